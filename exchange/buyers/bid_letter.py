"""Turns a speech's requests into HTTP as it goes over the wire, signed; and hands answers back.

All of a head that stays the same from call to call is written once. Knows no sockets. Source: RFC
9112; the signature is `signing`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from time import time
from typing import TYPE_CHECKING, Final

import structlog

from exchange import __version__
from exchange.buyers.bid_dialling import Place, read_place
from exchange.buyers.bid_reading import read_bid, unreadable
from exchange.buyers.bid_wire import PlainSpeech, request_of
from exchange.buyers.signing import SIGNATURE_HEADER, TIMESTAMP_HEADER, Signer
from exchange.buyers.speech import BidRead, BidSpeech, Incoming, KnownHead, Outgoing

if TYPE_CHECKING:
    from exchange.buyers.bid_round import Call

log = structlog.get_logger()

_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH"})
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token, RFC 9110 §5.6.2
_VALUE: Final = re.compile(r"[\t -~\x80-\xff]*")  # nothing that ends a line, RFC 9110 §5.5

# The client's own: what a speech says of these is not sent.
_OWN: Final = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "accept-encoding",
        TIMESTAMP_HEADER.lower(),
        SIGNATURE_HEADER.lower(),
    }
)

_TIMESTAMP: Final = TIMESTAMP_HEADER.encode()
_SIGNATURE: Final = SIGNATURE_HEADER.encode()


@lru_cache(maxsize=4_096)
def _length(body_bytes: int) -> bytes:
    """The end of a head: bodies are of few lengths."""
    return b"\r\nContent-Length: %d\r\n\r\n" % body_bytes


class Unsendable(Exception):
    """A speech wrote what cannot be sent; says what."""


class Letter:
    """One campaign's requests. ``clock`` gives Unix seconds."""

    __slots__ = ("_clock", "_head", "_last", "_place", "_second", "_signer", "_speech", "_stamp")

    def __init__(
        self, speech: BidSpeech, signer: Signer, place: Place, clock: Callable[[], float] = time
    ) -> None:
        self._speech = speech
        self._signer = signer
        self._place = place
        self._clock = clock
        self._last: Outgoing | None = None
        self._head = b""
        self._second = -1
        self._stamp = b""

    def write(self, call: Call) -> bytes:
        """Write a whole request. Raises Unsendable."""
        try:
            out = self._speech.write(call.question, call.asked, call.time_ms)
        except Exception as fault:  # a speech follows a company's own template
            log.warning(
                "bid_not_written", campaign_id=call.asked.campaign_id, fault=type(fault).__name__
            )
            raise Unsendable("the request could not be written") from fault
        last = self._last
        if (
            last is None
            or out.url != last.url
            or out.headers != last.headers
            or out.method != last.method
        ):
            self._head = self._write_head(out)
            self._last = out
        second = int(self._clock())
        if second != self._second:
            self._second, self._stamp = second, b"%d" % second
        signature = self._signer.sign(self._stamp, out.body).encode()
        return b"%b%b: %b\r\n%b: v1=%b\r\nContent-Length: %d\r\n\r\n%b" % (
            self._head,
            _TIMESTAMP,
            self._stamp,
            _SIGNATURE,
            signature,
            len(out.body),
            out.body,
        )

    def read(self, call: Call, answer: Incoming) -> BidRead:
        """Read a whole answer."""
        try:
            return self._speech.read(call.question, call.asked, answer)
        except Exception as fault:  # the last guard: an answer costs its own bid, nothing else
            log.warning(
                "bid_not_read", campaign_id=call.asked.campaign_id, fault=type(fault).__name__
            )
            return unreadable("the answer could not be read")

    def read_known(self, call: Call, known: KnownHead, body: bytes) -> BidRead:
        """Read a whole answer whose head is known."""
        return self.read(call, Incoming(known.status, known.headers, body))

    def _write_head(self, out: Outgoing) -> bytes:
        """Write what stays: all before the time, the signature and the length."""
        try:
            place = read_place(out.url)
        except ValueError as fault:
            raise Unsendable(f"the URL {fault}") from None
        if (place.host, place.port, place.is_tls) != (
            self._place.host,
            self._place.port,
            self._place.is_tls,
        ):
            raise Unsendable("the URL is not of the campaign's own server")
        if out.method not in _METHODS:
            raise Unsendable("the method is not known")
        lines = [
            f"{out.method} {place.target} HTTP/1.1",
            f"Host: {place.authority}",
            "Accept-Encoding: identity",
        ]
        if not any(name.lower() == "user-agent" for name, _ in out.headers):
            lines.append(f"User-Agent: exchange/{__version__}")
        for name, value in out.headers:
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                raise Unsendable("a header is not one of HTTP's")
            if name.lower() not in _OWN:
                lines.append(f"{name}: {value}")
        return "\r\n".join([*lines, ""]).encode("latin-1")


class PlainLetter(Letter):
    """One campaign's requests in the design's own speech, of which the head never changes."""

    __slots__ = ("_begun", "_pings")

    def __init__(
        self, speech: PlainSpeech, signer: Signer, place: Place, clock: Callable[[], float] = time
    ) -> None:
        super().__init__(speech, signer, place, clock)
        self._pings = speech.pings
        self._begun = b""

    def write(self, call: Call) -> bytes:
        """Write a whole request. Raises Unsendable."""
        body = self._pings.write(call.question, call.asked, call.time_ms)
        second = int(self._clock())
        if second != self._second:
            self._begin(call, second)
        signature = self._signer.sign(self._stamp, body).encode()
        return b"".join((self._begun, signature, _length(len(body)), body))

    def read_known(self, call: Call, known: KnownHead, body: bytes) -> BidRead:
        """Read a whole answer whose head is known."""
        if not known.may_bid:
            return super().read_known(call, known, body)
        return read_bid(
            body,
            ping_id=call.question.ping_id,
            max_price_cents=call.asked.remote.max_price_cents,
        )

    def _begin(self, call: Call, second: int) -> None:
        """Write all before the signature, for a second."""
        if not self._head:
            self._head = self._write_head(request_of(call.asked, b""))
        self._second, self._stamp = second, b"%d" % second
        self._begun = b"%b%b: %d\r\n%b: v1=" % (self._head, _TIMESTAMP, second, _SIGNATURE)
