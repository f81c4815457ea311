"""A company's bidder: its own two functions, and what makes them answer in time and once.

It knows no HTTP: the doors (`http_door`, `stream_door`) bring pings and leads, and take answers
out. Source: the wire (bidders/README.md).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import msgspec
import uvloop
from aiohttp import web

from bidders.kit import http_door
from bidders.kit.deliveries import Deliveries, Taken
from bidders.kit.faults import OutOfTime, OwnFault
from bidders.kit.wire import Accepted, Bid, Lead, Ping, Refused
from bidders.process import write_address

PriceFunction = Callable[[Ping], Bid | Awaitable[Bid | None] | None]
LeadFunction = Callable[[Lead], Taken | Awaitable[Taken | None] | None]
P = TypeVar("P", bound=PriceFunction)
L = TypeVar("L", bound=LeadFunction)
T = TypeVar("T")

SPARE_MS: Final = 20  # what the way back to the exchange may take
LEAD_TIMEOUT_S: Final = 10.0
MAX_PRICING: Final = 1_000  # price functions waiting at once; beyond it there is no bid
SHUTDOWN_S: Final = 1.0

_log = logging.getLogger("bidders.kit")


class Counts(msgspec.Struct):
    """What a bidder has done. ``pings`` = ``bids`` + ``passed`` + ``late`` + ``failed``.

    ``passed`` are pings without a bid, ``late`` those whose time ran out, ``failed`` those whose
    price function failed. ``leads`` are taken or refused, ``repeats`` answered again, and
    ``unproven`` is whatever was turned away for its signature.
    """

    pings: int = 0
    bids: int = 0
    passed: int = 0
    late: int = 0
    failed: int = 0
    leads: int = 0
    repeats: int = 0
    unproven: int = 0


class Bidder:
    """Answers pings with the price function's bids, and takes leads with the lead function.

    With a ``secret`` whatever is not signed by it is turned away; ``allow_unsigned_leads`` lets
    leads in that carry no signature at all (a wrong one never gets in). ``spare_ms`` is kept of
    a ping's time for the way back; ``lead_timeout_s`` is the most the lead function may take.
    ``now`` tells unix seconds.
    """

    def __init__(
        self,
        *,
        secret: str | None = None,
        allow_unsigned_leads: bool = False,
        spare_ms: int = SPARE_MS,
        lead_timeout_s: float = LEAD_TIMEOUT_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        if secret == "":
            raise ValueError("the secret is empty; leave it out to take what is not signed")
        self.secret = secret
        self.allow_unsigned_leads = allow_unsigned_leads
        self.now = now
        self.counts = Counts()
        self._spare_s = spare_ms / 1_000
        self._lead_timeout_s = lead_timeout_s
        self._price: PriceFunction | None = None
        self._lead: LeadFunction | None = None
        self._deliveries = Deliveries()
        self._pricing: set[asyncio.Future[Bid | None]] = set()

    # --- what a company writes ----------------------------------------------------------------

    def price(self, function: P) -> P:
        """Have this function price pings: it gives a Bid, or None for no bid.

        A plain function must not wait: all else waits for it. An ``async`` one may, and is
        cancelled when its ping's time is nearly over.
        """
        self._price = function
        return function

    def lead(self, function: L) -> L:
        """Have this function take leads: it gives Accepted (or None), or Refused.

        It is called once for a delivery, however often that is sent. If it raises or takes too
        long the delivery has failed, and will be tried again.
        """
        self._lead = function
        return function

    def run(self, *, port: int, host: str = "127.0.0.1") -> None:
        """Serve until SIGINT or SIGTERM: pings at /ping, leads at /leads, streams at /stream."""
        app = web.Application()
        self.add_routes(app)
        address = f"pings at http://{write_address(host, port)}/ping"
        web.run_app(
            app,
            host=host,
            port=port,
            print=lambda _: print(address, flush=True),  # called once it listens
            access_log=None,
            shutdown_timeout=SHUTDOWN_S,
            loop=uvloop.new_event_loop(),
        )

    @asynccontextmanager
    async def serving(self, *, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[str]:
        """Serve while the context lasts; gives the base URL. Port 0 takes a free one."""
        app = web.Application()
        self.add_routes(app)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            yield f"http://{write_address(host, int(runner.addresses[0][1]))}"
        finally:
            await runner.cleanup()

    def add_routes(self, app: web.Application, prefix: str = "") -> None:
        """Serve under this prefix of an application of the company's own.

        Raises RuntimeError when no function was given.
        """
        if self._price is None and self._lead is None:
            raise RuntimeError("give the bidder a function first, with @bidder.price")
        http_door.add_routes(app, prefix, self)
        app.on_cleanup.append(self._close)

    # --- what the doors call ------------------------------------------------------------------

    @property
    def prices(self) -> bool:
        """Whether it bids."""
        return self._price is not None

    @property
    def takes_leads(self) -> bool:
        """Whether it takes leads."""
        return self._lead is not None

    async def decide(self, ping: Ping, arrived: float) -> Bid | None:
        """Ask the price function; None if it has no bid in time.

        ``arrived`` is when the ping came, on the loop's clock. Raises OwnFault.
        """
        assert self._price is not None
        self.counts.pings += 1
        if len(self._pricing) >= MAX_PRICING:
            self.counts.late += 1
            return None
        deadline = arrived + max(ping.timeout_ms / 1_000 - self._spare_s, 0.0)
        try:
            said = self._price(ping)
            # Whatever the types promise, it is the company's code: it is looked at below.
            bid: Any = await self._within(said, deadline) if inspect.isawaitable(said) else said
        except OutOfTime:
            self.counts.late += 1
            return None
        except Exception as fault:
            self.counts.failed += 1
            _log.exception("the price function failed")
            raise OwnFault from fault
        if bid is None:
            self.counts.passed += 1
            return None
        if not isinstance(bid, Bid):
            self.counts.failed += 1
            _log.error("the price function gave a %s, not a Bid or None", type(bid).__name__)
            raise OwnFault
        if asyncio.get_running_loop().time() > deadline:
            self.counts.late += 1
            return None
        self.counts.bids += 1
        return bid

    async def take(self, lead: Lead) -> Taken:
        """Have a lead taken, once; a repeat is answered as the first was.

        Raises OwnFault, OutOfTime, DeliveryConflict, TooManyLeads.
        """
        taken, repeated = await self._deliveries.take(lead, self._take_once)
        if repeated:
            self.counts.repeats += 1
        return taken

    async def _take_once(self, lead: Lead) -> Taken:
        assert self._lead is not None
        deadline = asyncio.get_running_loop().time() + self._lead_timeout_s
        try:
            said = self._lead(lead)
            taken: Any = await _within(said, deadline) if inspect.isawaitable(said) else said
        except OutOfTime:
            _log.error("the lead function took longer than %s s", self._lead_timeout_s)
            raise
        except Exception as fault:
            _log.exception("the lead function failed")
            raise OwnFault from fault
        if taken is not None and not isinstance(taken, Accepted | Refused):
            _log.error("the lead function gave a %s, not an answer", type(taken).__name__)
            raise OwnFault
        self.counts.leads += 1
        answer: Taken = Accepted() if taken is None else taken
        return answer

    async def _within(self, said: Awaitable[Bid | None], deadline: float) -> Bid | None:
        task = asyncio.ensure_future(said)
        self._pricing.add(task)
        task.add_done_callback(self._pricing.discard)
        return await _within(task, deadline)

    async def _close(self, app: web.Application) -> None:
        await self._deliveries.close()
        for task in list(self._pricing):
            task.cancel()


async def _within(said: Awaitable[T], deadline: float) -> T:
    """Wait for an answer until the deadline; then cancel it, and do not wait for it to end.

    Raises OutOfTime, and what the answer does.
    """
    task: asyncio.Future[Any] = asyncio.ensure_future(said)
    try:
        await asyncio.wait({task}, timeout=deadline - asyncio.get_running_loop().time())
        if not task.done():
            raise OutOfTime
        if task.cancelled():  # by the company's own code, and not to be taken for our own end
            raise RuntimeError("the function was cancelled")
        result: T = task.result()
        return result
    finally:
        task.cancel()  # does nothing to what is done
