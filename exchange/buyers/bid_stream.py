"""A company's bid stream: one WebSocket of each worker, many pings and bids in a frame.

Pings of one turn of the loop go out together, under one signature; bids come back in any grouping,
each for itself. The stream is dialled here and kept up. Source: design, Remote bidders.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from time import time
from typing import Final

import aiohttp
import msgspec
import structlog
from aiohttp import WSMsgType
from msgspec import Raw, Struct

from exchange import __version__
from exchange.buyers.bid_client import LOST
from exchange.buyers.bid_dialling import DialFailed
from exchange.buyers.bid_limits import BidLimits
from exchange.buyers.bid_pool import BUSY, Room
from exchange.buyers.bid_reading import judge_cents, read_cents
from exchange.buyers.bid_round import Call
from exchange.buyers.bid_sockets import BidSocket, BidSockets
from exchange.buyers.bid_strays import Key, Strays
from exchange.buyers.bid_wire import PingWriter
from exchange.buyers.signing import SIGNATURE_HEADER, TIMESTAMP_HEADER, Signer
from exchange.buyers.speech import BidRead
from exchange.core.breaker import Breaker
from exchange.core.reasons import Reason

MAX_FRAME_BYTES: Final = 1024 * 1024
"""The largest message read, and the size a frame of pings stays under if one ping does."""

MAX_UNSENT_BYTES: Final = 4 * 1024 * 1024
"""Pings that may wait for a company that does not read; beyond, it is busy."""

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 15.0
STEADY_S: Final = 10.0  # up for so long, the next loss begins with the first pause again
HEARTBEAT_S: Final = 10.0  # between pings of ours; half of it for the pong

log = structlog.get_logger()


class _Entry(Struct, frozen=True):
    """A bid in a frame; as in `bid_reading`, only what tells whose it is has a type."""

    ping_id: str
    campaign_id: str
    shares: int = 1
    price: Raw = Raw(b"null")
    currency: object = None
    token: object = None


_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_read_entries = msgspec.json.Decoder(list[_Entry]).decode
_read_entry = msgspec.json.Decoder(_Entry).decode
_read_parts = msgspec.json.Decoder(list[Raw]).decode


class StreamLine:
    """The line to one bidder over its stream. ``clock`` gives Unix seconds, for signatures."""

    # A stream that is down is not asked anyway, so its losses need no breaker.
    held_against = frozenset(
        {
            Reason.BIDDER_TIMEOUT,
            Reason.BID_UNREADABLE,
            Reason.BID_CURRENCY,
            Reason.BID_PRICE,
            Reason.BID_AUCTION,
        },
    )

    def __init__(
        self,
        url: str,
        sockets: BidSockets,
        room: Room,
        limits: BidLimits,
        *,
        signer: Signer,
        pings: PingWriter,
        draw: Callable[[], float],
        clock: Callable[[], float] = time,
    ) -> None:
        self.breaker = Breaker()
        self._url = url
        self._sockets = sockets
        self._room = room
        self._limits = limits
        self._signer = signer
        self._pings = pings
        self._draw = draw
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._calls: dict[Key, Call] = {}
        self._strays = Strays(limits.max_stream_pings)
        self._early: list[Call] = []  # asked while dialling
        self._tick: list[bytes] = []
        self._tick_bytes = 0
        self._has_pings = asyncio.Event()
        self._is_up = False
        self._is_dialling = True
        self._keeper = self._loop.create_task(self._keep())

    @property
    def connections(self) -> int:
        """One, if the stream is up."""
        return int(self._is_up)

    @property
    def waiting(self) -> int:
        """Pings without an answer yet."""
        return len(self._calls)

    def place(self, call: Call) -> None:
        """Put a ping in this turn's frame; while the stream is being dialled, in its first."""
        asked = call.asked
        key = (call.question.ping_id, asked.campaign_id, asked.share)
        calls, most = self._calls, self._limits.max_stream_pings
        if not (self._is_up or self._is_dialling):
            call.settle(LOST)
        elif len(calls) >= most or key in calls or self._tick_bytes >= MAX_UNSENT_BYTES:
            call.settle(BUSY)
        elif self._is_up:
            calls[key] = call
            call.holder = self
            self._write(call)
        elif len(self._early) >= most:
            call.settle(BUSY)
        else:
            calls[key] = call
            call.holder = self
            self._early.append(call)

    def give_up(self, call: Call) -> BidRead | None:
        """Forget a ping whose time has passed; its bid will be nobody's."""
        key = (call.question.ping_id, call.asked.campaign_id, call.asked.share)
        if self._calls.get(key) is call:
            del self._calls[key]
            self._strays.over([key])
        return self._strays.take(call)

    def sweep(self, now: float) -> None:
        """Nothing to do: the stream's own heartbeat tells whether it is still there."""

    async def close(self) -> None:
        """End the stream and every call."""
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        self._lose()

    # --- pings out --------------------------------------------------------------------------------

    def _write(self, call: Call) -> None:
        ping = self._pings.write(call.question, call.asked, call.time_ms)
        if not self._tick:
            self._has_pings.set()
        self._tick.append(ping)
        self._tick_bytes += len(ping)

    async def _send_ticks(self, socket: BidSocket) -> None:
        """Send what each turn of the loop brings, until cancelled. Raises ClientError."""
        while True:
            await self._has_pings.wait()
            self._has_pings.clear()
            pings, self._tick, self._tick_bytes = self._tick, [], 0
            for some in _in_frames(pings):
                body = b"[%b]" % b",".join(some)
                stamp = b"%d" % int(self._clock())
                signature = self._signer.sign(stamp, body).encode()
                await socket.send_frame(b"%b.%b\n%b" % (stamp, signature, body), WSMsgType.TEXT)

    # --- bids in ----------------------------------------------------------------------------------

    def _hear(self, message: bytes) -> None:
        calls, strays = self._calls, self._strays
        over: list[Key] = []
        for entry in self._entries(message):
            key = (entry.ping_id, entry.campaign_id, entry.shares)
            call = calls.pop(key, None)
            if call is None:
                strays.over(over)  # first: what is told twice in a frame is no stray
                over.clear()
                strays.came(key)
                continue
            over.append(key)
            read = judge_cents(
                read_cents(entry.price),
                ping_id=call.question.ping_id,
                max_price_cents=call.asked.remote.max_price_cents,
                currency=entry.currency,
                token=entry.token,
            )
            call.settle(read)
        strays.over(over)

    def _entries(self, message: bytes) -> list[_Entry]:
        """Read a frame; one entry that cannot be read does not take the others with it."""
        try:
            return _read_entries(message)
        except _UNREADABLE:
            return self._one_by_one(message)

    def _one_by_one(self, message: bytes) -> list[_Entry]:
        try:
            parts = _read_parts(message)
        except _UNREADABLE:
            self._strays.unread()
            return []
        return [entry for part in parts if (entry := self._try_entry(part)) is not None]

    def _try_entry(self, part: Raw) -> _Entry | None:
        try:
            return _read_entry(part)
        except _UNREADABLE:
            self._strays.unread()
            return None

    # --- the stream itself ------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Keep the stream up, until cancelled."""
        pause_s = FIRST_PAUSE_S
        place = self._url.partition("?")[0]
        while True:
            began = self._loop.time()
            self._is_dialling = True
            try:
                await self._run()
            except* DialFailed as faults:
                log.warning(
                    "bid_stream_not_up",
                    url=place,
                    fault=str(faults.exceptions[0]),
                )
            except* aiohttp.ClientError as faults:
                log.info(
                    "bid_stream_lost",
                    url=place,
                    fault=type(faults.exceptions[0]).__name__,
                )
            except* Exception as faults:  # the task's boundary: the stream is tried again
                log.error("bid_stream_failed", fault=type(faults.exceptions[0]).__name__)
            finally:
                self._lose()
            if self._loop.time() - began >= STEADY_S:
                pause_s = FIRST_PAUSE_S
            # Spread, so that the workers of a machine do not come back in one moment.
            await asyncio.sleep(pause_s * (0.5 + self._draw()))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _run(self) -> None:
        """Dial, and stay until the stream has ended. Raises DialFailed, or a group of faults."""
        if not self._room.take():
            raise DialFailed("no room for another connection")
        try:
            socket = await self._dial()
            try:
                async with asyncio.TaskGroup() as group:
                    sending = group.create_task(self._send_ticks(socket))
                    self._open()
                    async for message in socket:
                        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                            self._hear(message.data)
                    sending.cancel()
            finally:
                self._lose()
                await socket.close()
        finally:
            self._room.give()

    async def _dial(self) -> BidSocket:
        stamp = b"%d" % int(self._clock())
        return await self._sockets.open(
            self._url,
            {
                "User-Agent": f"exchange/{__version__}",
                TIMESTAMP_HEADER: stamp.decode(),
                SIGNATURE_HEADER: f"v1={self._signer.sign(stamp, b'')}",
            },
            within_s=self._limits.connect_ms / 1_000,
            heartbeat_s=HEARTBEAT_S,
            max_bytes=MAX_FRAME_BYTES,
        )

    def _open(self) -> None:
        self._is_up, self._is_dialling = True, False
        early, self._early = self._early, []
        for call in early:
            left_s = call.due - self._loop.time() - self._limits.network_ms / 1_000
            call.time_ms = min(call.time_ms, int(left_s * 1_000))
            if call.is_open and call.time_ms > 0:
                self._write(call)

    def _lose(self) -> None:
        self._is_up = self._is_dialling = False
        self._early, self._tick, self._tick_bytes = [], [], 0
        self._has_pings.clear()
        self._strays.clear()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.settle(LOST)


def _in_frames(pings: list[bytes]) -> Iterator[list[bytes]]:
    """Divide pings among frames of bounded size; one that is too large goes alone."""
    if len(pings) > 1 and sum(map(len, pings)) > MAX_FRAME_BYTES - 1_024:
        half = len(pings) // 2
        yield from _in_frames(pings[:half])
        yield from _in_frames(pings[half:])
    elif pings:
        yield pings
