"""One keep-alive connection to a company's bidder: a request out, its answer in.

Says when it is free again and when it has ended; who asks next is the pool's to decide. Everything
read has a bound. Source: RFC 9112.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

import httptools

from exchange.buyers.bid_outbox import Outbox
from exchange.buyers.bid_reading import unreadable
from exchange.buyers.bid_wire import why_no_bid
from exchange.buyers.speech import BidRead, Incoming, KnownHead
from exchange.core.reasons import Reason

if TYPE_CHECKING:
    from exchange.buyers.bid_round import Call

MAX_HEAD_BYTES: Final = 16 * 1024
"""The longest head of an answer, interim answers before it included."""

# A body in chunks of one byte is six times its size on the wire; that is as far as it goes.
_MAX_FRAMING: Final = 6

LOST: Final = BidRead(reason=Reason.BIDDER_CONNECTION, detail="connection lost before an answer")
_CUT_OFF: Final = BidRead(reason=Reason.BIDDER_CONNECTION, detail="the answer was cut off")
_TOO_LARGE: Final = BidRead(reason=Reason.BID_TOO_LARGE, detail="more than is read")
_NOT_HTTP: Final = unreadable("the answer is not HTTP")
_LENGTHS: Final = (b"content-length", b"transfer-encoding")
_HEAD_END: Final = b"\r\n\r\n"
_NO_CONTENT: Final = 204

KNOWN_HEADS: Final = 64
"""Heads of answers remembered for one bidder; nearly all of a second's are the same."""

MAX_KNOWN_BYTES: Final = 1_024
"""A longer head is not remembered."""


class ConnectionOwner(Protocol):
    """Who is told how a connection is doing."""

    def freed(self, connection: HttpConnection) -> None:
        """The exchange is over and the connection can take another."""
        ...

    def ended(self, connection: HttpConnection) -> None:
        """The connection is gone; told once, before its call is settled."""
        ...

    def try_again(self, call: Call) -> None:
        """The connection had died before it was used: nobody heard the question."""
        ...


class HttpConnection(asyncio.Protocol):
    """A connection that is idle, open for an answer, or late: still open, its call given up.

    ``idle_since`` and ``late_until`` are moments of the loop's clock; the latter is None unless
    late. ``heads`` are those of answers by the same bidder that were read before, by their bytes.
    """

    __slots__ = (
        "_body",
        "_body_bytes",
        "_call",
        "_has_length",
        "_headers",
        "_heads",
        "_is_busy",
        "_is_complete",
        "_is_extra",
        "_is_head_done",
        "_is_kept",
        "_late_s",
        "_loop",
        "_max_body_bytes",
        "_outbox",
        "_owner",
        "_parser",
        "_received",
        "_request",
        "_rested",
        "_transport",
        "idle_since",
        "is_ended",
        "late_until",
    )

    def __init__(
        self,
        owner: ConnectionOwner,
        *,
        loop: asyncio.AbstractEventLoop,
        outbox: Outbox,
        max_body_bytes: int,
        late_s: float,
        heads: dict[bytes, KnownHead] | None = None,
    ) -> None:
        self._owner = owner
        self._heads = {} if heads is None else heads
        self._loop = loop
        self._outbox = outbox
        self._request = b""
        self._max_body_bytes = max_body_bytes
        self._late_s = late_s
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._call: Call | None = None
        self._is_busy = self._rested = False
        self.is_ended = False
        self.idle_since = 0.0
        self.late_until: float | None = None
        # Of the answer being read:
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._body_bytes = self._received = 0
        self._is_head_done = self._has_length = self._is_kept = False
        self._is_complete = self._is_extra = False

    def send(self, call: Call, request: bytes) -> None:
        """Send a request, with those of this turn; the connection must be idle."""
        assert self._transport is not None and not self._is_busy
        if self._received:
            self._begin()
        self._call = call
        self._is_busy = True
        call.holder = self
        self._request = request
        self._outbox.put(self)

    def write_out(self) -> None:
        """Write the request, unless the connection has ended since."""
        request, self._request = self._request, b""
        if not self.is_ended and self._transport is not None:
            self._transport.write(request)

    def rest(self) -> None:
        """Note that it waits from now on, during which the other side may hang up unnoticed."""
        self._rested = True
        self.idle_since = self._loop.time()

    def give_up(self, call: Call) -> BidRead | None:
        """Let the call go; the connection is kept for a while, should the answer still come."""
        self._call = None
        self.late_until = self._loop.time() + self._late_s
        return None

    def drop(self) -> None:
        """End the connection now; an open call is lost with it."""
        self._end(LOST)

    # --- what the loop tells ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's are no subclasses

    def data_received(self, data: bytes) -> None:
        """Take bytes of an answer."""
        if self.is_ended:
            return
        if not self._is_busy:  # an answer nobody asked for: what comes next cannot be trusted
            self._end(LOST)
            return
        if not self._received:
            end = data.find(_HEAD_END, 0, MAX_KNOWN_BYTES) + len(_HEAD_END)
            known = self._heads.get(data[:end])
            if known is not None and len(data) == end + known.body_bytes:
                # A whole answer whose head was read before, byte by byte.
                call, self._call = self._call, None
                self._is_busy = False
                self.late_until = None
                self._owner.freed(self)
                if call is not None and call.is_open:
                    letter = call.seat.letter
                    assert letter is not None
                    call.settle(letter.read_known(call, known, data[end:]))
                return
        self._received += len(data)
        is_http = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            is_http = False
        if self._is_complete:
            is_clean = is_http and self._is_kept and not self._is_extra
            answer = self._answer()
            if is_clean and self._received == len(data):
                self._remember(data, answer)
            self._finish(is_clean, answer)
        elif not is_http:
            self._end(_NOT_HTTP)
        elif self._is_too_large():
            self._end(_TOO_LARGE)

    def eof_received(self) -> None:
        """Take the end as the answer's where nothing else says how long it is."""
        if self._is_busy and self._is_head_done and not self._has_length and not self.is_ended:
            self._finish(False, self._answer())

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        if self.is_ended:
            return
        call = self._call
        if call is not None and self._rested and not self._received:
            self._call = None
            self._end(LOST)
            self._owner.try_again(call)
        else:
            self._end(_CUT_OFF if self._received else LOST)

    # --- what the parser tells --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """See an answer begin: one is expected, no more."""
        if self._is_complete:
            self._is_extra = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those behind the body are not looked at."""
        if not self._is_head_done:
            name = name.lower()
            self._headers.append((name, value))
            if name in _LENGTHS:
                self._has_length = True

    def on_headers_complete(self) -> None:
        """Take the head."""
        if not self._is_complete:
            self._is_head_done = True
            self._is_kept = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """Take some of the body, as far as there is room."""
        if self._is_complete:
            return
        self._body_bytes += len(body)
        if self._body_bytes <= self._max_body_bytes:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """See the answer whole, or an interim one, which says nothing (RFC 9110 §15.2)."""
        if self._is_complete:
            return
        if self._parser.get_status_code() < 200:
            self._headers.clear()
            self._is_head_done = self._has_length = False
        elif self._body_bytes <= self._max_body_bytes:
            self._is_complete = True

    # --- what follows -----------------------------------------------------------------------------

    def _begin(self) -> None:
        self._headers = []
        self._body = []
        self._body_bytes = self._received = 0
        self._is_head_done = self._has_length = self._is_kept = False
        self._is_complete = self._is_extra = False

    def _is_too_large(self) -> bool:
        if not self._is_head_done:
            return self._received > MAX_HEAD_BYTES
        if self._body_bytes > self._max_body_bytes:
            return True
        return self._received > MAX_HEAD_BYTES + _MAX_FRAMING * self._max_body_bytes

    def _remember(self, data: bytes, answer: Incoming) -> None:
        """Remember the head of a clean answer that came in one piece, if it says how long it is."""
        end = data.find(_HEAD_END, 0, MAX_KNOWN_BYTES) + len(_HEAD_END)
        names = [name for name, _ in answer.headers]
        says_length = names.count("content-length") == 1 or answer.status == _NO_CONTENT
        if not says_length or "transfer-encoding" in names or data[end:] != answer.body:
            return
        if len(self._heads) >= KNOWN_HEADS:
            self._heads.clear()
        self._heads[data[:end]] = KnownHead(
            answer.status, answer.headers, len(answer.body), why_no_bid(answer) is None
        )

    def _answer(self) -> Incoming:
        headers = tuple([(n.decode("latin-1"), v.decode("latin-1")) for n, v in self._headers])
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        return Incoming(self._parser.get_status_code(), headers, body)

    def _finish(self, is_clean: bool, answer: Incoming) -> None:
        """Hand the answer over; the connection first, so that whoever waits can have it."""
        call, self._call = self._call, None
        self._is_busy = False
        self.late_until = None
        if is_clean:
            self._owner.freed(self)
        else:
            self._end(LOST)
        if call is not None and call.is_open:
            letter = call.seat.letter
            assert letter is not None
            call.settle(letter.read(call, answer))

    def _end(self, told: BidRead) -> None:
        if self.is_ended:
            return
        self.is_ended = True
        call, self._call = self._call, None
        if self._transport is not None:
            self._transport.abort()
        self._owner.ended(self)
        if call is not None:
            call.settle(told)
