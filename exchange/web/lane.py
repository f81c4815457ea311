"""The quick way in: pings and posts read straight from the connection's bytes.

A request is taken here only if it is as plain as sellers' programs send them: known path, every
header line well formed, one Content-Length, nothing that changes how the message is read. The
connection of any other goes over to aiohttp, with all that was read of it, and stays there: what
is unusual is read by the kept library, and answered the same. Source: RFC 9112.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from time import time
from typing import Final

from exchange.web.dispatch import Dispatcher, Said
from exchange.web.heads import FIRST_LINES, Head, read_head
from exchange.web.quick import QuickPings

_STARTS: Final = tuple(FIRST_LINES)
_LONGEST_START: Final = max(map(len, _STARTS))
_HEAD_END: Final = b"\r\n\r\n"

MAX_HEAD_BYTES: Final = 4_096
"""A longer head is aiohttp's to read, or to refuse."""

KNOWN_HEADS: Final = 1_024
"""Heads remembered: a program's differ only in their length. One with an idempotency key is not."""

HOLD_S: Final = 1.0
"""How long part of a request is held; then aiohttp waits for the rest, with its own deadlines."""

SWEEP_S: Final = 5.0
"""How often idle connections are looked for."""

_NO_QUERY: Final[Mapping[str, str]] = {}


class _Plain:
    """A whole request."""

    __slots__ = ("_body", "headers", "method", "path", "query")

    def __init__(self, head: Head, body: bytes) -> None:
        self._body = body
        self.method = head.route.method
        self.path = head.route.path
        self.headers = head.headers
        self.query = _NO_QUERY

    async def read(self, max_bytes: int, timeout_s: float) -> bytes:
        """The body, which is there and within its bounds."""
        return self._body

    async def chunks(
        self, max_bytes: int, pause_s: float, timeout_s: float
    ) -> AsyncIterator[bytes]:
        """The body in one piece."""
        yield self._body


class Lanes:
    """The connections of one server. ``others`` makes the protocol for all that is not plain."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        *,
        others: Callable[[], asyncio.Protocol],
        keepalive_s: float,
    ) -> None:
        self.dispatcher = dispatcher
        self.pings = QuickPings(dispatcher)
        self.others = others
        self.lanes: set[Lane] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._keepalive_s = keepalive_s
        self._heads: dict[bytes, Head] = {}
        self._date_at = 0
        self._starts: dict[int, bytes] = {}
        self.loop = asyncio.get_running_loop()
        self._sweeping = self.loop.call_later(SWEEP_S, self._sweep)

    def open(self) -> asyncio.Protocol:
        """A new connection."""
        return Lane(self)

    def close(self) -> None:
        """Close every connection."""
        self._sweeping.cancel()
        for lane in list(self.lanes):
            lane.close()

    def head(self, raw: bytes) -> Head | None:
        """The head of these bytes, read once; None for one that is not plain."""
        head = self._heads.get(raw)
        if head is None:
            head = read_head(raw)
            if head is not None and "Idempotency-Key" not in head.headers:
                if len(self._heads) >= KNOWN_HEADS:
                    self._heads.clear()
                self._heads[raw] = head
        return head

    def write(self, said: Said, closes: bool) -> bytes:
        """An answer's bytes."""
        now = int(time())
        if now != self._date_at:
            # The first lines stay the same for a second.
            self._date_at = now
            self._starts.clear()
        start = self._starts.get(said.status)
        if start is None:
            phrase = HTTPStatus(said.status).phrase
            date = formatdate(now, usegmt=True)
            start = f"HTTP/1.1 {said.status} {phrase}\r\nDate: {date}\r\nContent-Type: ".encode()
            self._starts[said.status] = start
        head = f"{said.content_type}\r\nContent-Length: {len(said.body)}\r\n"
        for name, text in said.headers.items():
            head += f"{name}: {text}\r\n"
        if closes:
            head += "Connection: close\r\n"
        return b"".join((start, head.encode(), b"\r\n", said.body))

    def _sweep(self) -> None:
        self._sweeping = self.loop.call_later(SWEEP_S, self._sweep)
        before = self.loop.time() - self._keepalive_s
        for lane in list(self.lanes):
            if lane.is_idle and lane.active_at < before:
                lane.close()


class Lane(asyncio.Protocol):
    """One connection, one request at a time; what comes behind it waits its turn."""

    __slots__ = (
        "_busy", "_deadline", "_held", "_lanes", "_paused", "_swamped", "_transport", "active_at",
    )  # fmt: skip

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._transport: asyncio.Transport | None = None
        self._held = b""
        self._busy = False
        self._paused = False
        self._swamped = False
        self._deadline: asyncio.TimerHandle | None = None
        self.active_at = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether no request is open. One that waits behind answers nobody reads is not."""
        return not self._busy

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport  # type: ignore[assignment]
        self.active_at = self._lanes.loop.time()
        self._lanes.lanes.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """End. A request that is open goes on: what it does is done for its sender all the same."""
        self._transport = None
        self._held = b""
        self._cease_waiting()
        self._lanes.lanes.discard(self)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Take bytes; a request that is whole is answered."""
        if self._held:
            data = self._held + data
        if self._busy or self._swamped:
            self._held = data
            most = self._lanes.dispatcher.site.limits.max_body_bytes
            if len(data) > most and not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
            return
        self._take(data)

    def pause_writing(self) -> None:
        """Answers are not being read: take no more requests."""
        self._swamped = True

    def resume_writing(self) -> None:
        """Answers are being read again."""
        self._swamped = False
        self._go_on()

    def _take(self, data: bytes) -> None:
        """Begin the first request in some bytes, or hold them, or hand them over."""
        end = data.find(_HEAD_END, 0, MAX_HEAD_BYTES)
        if end < 0:
            start = data[:_LONGEST_START]
            if len(data) < MAX_HEAD_BYTES and any(
                known.startswith(start) or start.startswith(known) for known in _STARTS
            ):
                self._hold(data)
            else:
                self._hand_over(data)
            return
        head = self._lanes.head(data[:end])
        limits = self._lanes.dispatcher.site.limits
        if head is None or head.length > limits.max_body_bytes:
            self._hand_over(data)
            return
        begin = end + len(_HEAD_END)
        stop = begin + head.length
        if len(data) < stop:
            self._hold(data)
            return
        self._held = data[stop:]
        self._cease_waiting()
        dispatcher = self._lanes.dispatcher
        if (full := dispatcher.room(head.route)) is not None:
            # Before anything is spent on it: this is what keeps the others' answers quick.
            self._tell(dispatcher.shed(head.route, full))
            return
        self._busy = True
        body = data[begin:stop]
        leave = partial(self._start, head, body)
        if head.route.keyed or not self._lanes.pings.take(head, body, self._end, leave):
            leave()

    def _start(self, head: Head, body: bytes) -> None:
        """Answer a request in a task of its own."""
        task = self._lanes.loop.create_task(self._answer(head, body))
        self._lanes.tasks.add(task)
        task.add_done_callback(self._lanes.tasks.discard)

    async def _answer(self, head: Head, body: bytes) -> None:
        # Told by the task itself: once it is over, the server may close what is open.
        self._end(await self._lanes.dispatcher.answer(_Plain(head, body), head.route))

    def _end(self, said: Said) -> None:
        self._busy = False
        self._tell(said)

    def _tell(self, said: Said) -> None:
        lanes, transport = self._lanes, self._transport
        if transport is None:
            return
        closes = said.closes or lanes.dispatcher.site.draining
        transport.write(lanes.write(said, closes))
        self.active_at = self._lanes.loop.time()
        if closes:
            self._held = b""
            transport.close()
        elif self._held or self._paused:
            self._lanes.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._busy or self._swamped or self._transport is None:
            return
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if self._held:
            self._take(self._held)

    def _hold(self, data: bytes) -> None:
        self._held = data
        if self._deadline is None:
            self._deadline = self._lanes.loop.call_later(HOLD_S, self._give_up_waiting)

    def _give_up_waiting(self) -> None:
        self._deadline = None
        if self._held and not self._busy:
            self._hand_over(self._held)

    def _cease_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _hand_over(self, data: bytes) -> None:
        """Make this aiohttp's connection, with everything read and not yet answered."""
        transport = self._transport
        if transport is None:
            return
        self._held = b""
        self._transport = None
        self._cease_waiting()
        self._lanes.lanes.discard(self)
        other = self._lanes.others()
        transport.set_protocol(other)
        other.connection_made(transport)
        if self._paused:
            transport.resume_reading()
        other.data_received(data)
