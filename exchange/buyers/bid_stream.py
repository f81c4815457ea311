"""A company's bid stream: one WebSocket of each worker, many pings and bids in a frame.

Pings of one turn of the loop go out together, under one signature; bids come back in any grouping,
each for itself. The stream is dialled here and kept up. Source: design, Remote bidders.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import time
from typing import Final

import msgspec
import structlog
from msgspec import Raw, Struct

from exchange import __version__
from exchange.buyers.bid_client import LOST
from exchange.buyers.bid_dialling import DialFailed, Dialler, Place
from exchange.buyers.bid_limits import BidLimits
from exchange.buyers.bid_pool import BUSY, Room
from exchange.buyers.bid_reading import judge_cents, read_cents
from exchange.buyers.bid_round import Call
from exchange.buyers.bid_wire import PingWriter
from exchange.buyers.signing import SIGNATURE_HEADER, TIMESTAMP_HEADER, Signer
from exchange.buyers.websocket import PING, WebSocket, WebSocketBroken
from exchange.core.breaker import Breaker
from exchange.core.reasons import Reason

MAX_FRAME_BYTES: Final = 1024 * 1024
"""The largest message read, and the size a frame of pings stays under if one ping does."""

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 15.0
STEADY_S: Final = 10.0  # up for so long, the next loss begins with the first pause again
SILENT_S: Final = 10.0  # after which the other side is pinged; after twice that it is gone

log = structlog.get_logger()

_Key = tuple[str, str, int]


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
    """The line to one bidder over its stream."""

    # A stream that is down is not asked anyway, so its losses need no breaker.
    held_against = frozenset(
        {Reason.BIDDER_TIMEOUT, Reason.BID_UNREADABLE, Reason.BID_TOO_LARGE},
    )

    def __init__(
        self,
        place: Place,
        dialler: Dialler,
        room: Room,
        limits: BidLimits,
        *,
        signer: Signer,
        pings: PingWriter,
        draw: Callable[[], float],
        clock: Callable[[], float] = time,
    ) -> None:
        self.breaker = Breaker()
        self._place = place
        self._dialler = dialler
        self._room = room
        self._limits = limits
        self._signer = signer
        self._pings = pings
        self._draw = draw
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._calls: dict[_Key, Call] = {}
        self._tick: list[bytes] = []
        self._early: list[Call] = []
        self._socket: WebSocket | None = None
        self._is_dialling = True
        self._keeper = self._loop.create_task(self._keep())

    @property
    def connections(self) -> int:
        """One, if the stream is up."""
        return int(self._socket is not None)

    @property
    def waiting(self) -> int:
        """Pings without an answer yet."""
        return len(self._calls)

    def place(self, call: Call) -> None:
        """Put a ping in this turn's frame; while the stream is being dialled, in its first."""
        key = (call.question.ping_id, call.asked.campaign_id, call.asked.share)
        socket, calls = self._socket, self._calls
        if len(calls) >= self._limits.max_stream_pings or key in calls:
            call.settle(BUSY)
        elif socket is not None:
            if socket.is_full:
                call.settle(BUSY)
                return
            calls[key] = call
            call.holder = self
            self._write(call)
        elif not self._is_dialling:
            call.settle(LOST)
        elif len(self._early) >= self._limits.max_stream_pings:
            call.settle(BUSY)
        else:
            calls[key] = call
            call.holder = self
            self._early.append(call)

    def give_up(self, call: Call) -> None:
        """Forget a ping whose time has passed; its bid will be nobody's."""
        key = (call.question.ping_id, call.asked.campaign_id, call.asked.share)
        if self._calls.get(key) is call:
            del self._calls[key]

    def sweep(self, now: float) -> None:
        """See whether a silent stream is still there."""
        socket = self._socket
        if socket is not None and now - socket.heard_at > SILENT_S:
            if now - socket.heard_at > 2 * SILENT_S:
                socket.drop()
            else:
                socket.send(b"", PING)

    async def close(self) -> None:
        """End the stream and every call."""
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        self._lose()

    # --- pings out --------------------------------------------------------------------------------

    def _write(self, call: Call) -> None:
        if not self._tick:
            self._loop.call_soon(self._flush)
        self._tick.append(self._pings.write(call.question, call.asked, call.time_ms))

    def _flush(self) -> None:
        pings, self._tick = self._tick, []
        if self._socket is not None:
            self._send(self._socket, pings)

    def _send(self, socket: WebSocket, pings: list[bytes]) -> None:
        if len(pings) > 1 and sum(map(len, pings)) > MAX_FRAME_BYTES - 1_024:
            half = len(pings) // 2
            self._send(socket, pings[:half])
            self._send(socket, pings[half:])
            return
        body = b"[%b]" % b",".join(pings)
        stamp = b"%d" % int(self._clock())
        signature = self._signer.sign(stamp, body).encode()
        socket.send(b"%b.%b\n%b" % (stamp, signature, body))

    # --- bids in ----------------------------------------------------------------------------------

    def _hear(self, message: bytes) -> None:
        for entry in self._entries(message):
            call = self._calls.pop((entry.ping_id, entry.campaign_id, entry.shares), None)
            if call is not None:
                read = judge_cents(
                    read_cents(entry.price),
                    ping_id=call.question.ping_id,
                    max_price_cents=call.seat.remote.max_price_cents,
                    currency=entry.currency,
                    token=entry.token,
                )
                call.settle(read)

    def _entries(self, message: bytes) -> list[_Entry]:
        """Read a frame; one entry that cannot be read does not take the others with it."""
        try:
            return _read_entries(message)
        except _UNREADABLE:
            self.breaker.failed()
        try:
            parts = _read_parts(message)
        except _UNREADABLE:
            return []
        return [entry for part in parts if (entry := _try_entry(part)) is not None]

    # --- the stream itself ------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Keep the stream up, until cancelled."""
        pause_s = FIRST_PAUSE_S
        while True:
            began = self._loop.time()
            try:
                await self._run()
            except (DialFailed, WebSocketBroken) as fault:
                log.info("bid_stream_not_up", host=self._place.host, fault=str(fault))
            except Exception as fault:  # the task's boundary: the stream is tried again
                log.error("bid_stream_failed", host=self._place.host, fault=type(fault).__name__)
            finally:
                self._is_dialling = False
                self._lose()
            if self._loop.time() - began >= STEADY_S:
                pause_s = FIRST_PAUSE_S
            # Spread, so that the workers of a machine do not come back in one moment.
            await asyncio.sleep(pause_s * (0.5 + self._draw()))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _run(self) -> None:
        """Dial, and stay until the stream has ended. Raises DialFailed or WebSocketBroken."""
        if not self._room.take():
            raise DialFailed("no room for another connection")
        socket: WebSocket | None = None
        self._is_dialling = True
        try:
            within_s = self._limits.connect_ms / 1_000
            socket = await self._dialler.dial(self._place, self._make, within_s)
            async with asyncio.timeout(within_s):
                await socket.opened
            self._open(socket)
            await socket.gone
        except TimeoutError:
            raise DialFailed("no handshake in time") from None
        finally:
            if socket is not None:
                socket.drop()
            self._room.give()

    def _open(self, socket: WebSocket) -> None:
        self._is_dialling = False
        self._socket = socket
        early, self._early = self._early, []
        for call in early:
            left_s = call.due - self._loop.time() - self._limits.network_ms / 1_000
            call.time_ms = min(call.time_ms, int(left_s * 1_000))
            if call.is_open and call.time_ms > 0:
                self._write(call)

    def _lose(self) -> None:
        self._socket = None
        self._tick, self._early = [], []
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.settle(LOST)

    def _make(self) -> WebSocket:
        stamp = b"%d" % int(self._clock())
        return WebSocket(
            target=self._place.target,
            headers=(
                ("Host", self._place.authority),
                ("User-Agent", f"exchange/{__version__}"),
                (TIMESTAMP_HEADER, stamp.decode()),
                (SIGNATURE_HEADER, f"v1={self._signer.sign(stamp, b'')}"),
            ),
            heard=self._hear,
            max_bytes=MAX_FRAME_BYTES,
            loop=self._loop,
        )


def _try_entry(part: Raw) -> _Entry | None:
    try:
        return _read_entry(part)
    except _UNREADABLE:
        return None
