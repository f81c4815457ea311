"""How a company's bidder is spoken to: what goes out for a question, what an answer means.

The shapes between the client, which knows sockets and clocks, and a speech, which knows neither.
The design's own JSON is one speech (`bid_wire`); others say the same in a company's words.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from exchange.core.reasons import Reason
from exchange.flow.bidding import Asked, Question


class Outgoing(Struct, frozen=True):
    """A request. ``url`` has the origin of the campaign's own; the client adds what HTTP needs
    (host, length, connection) and the signature, and ignores such headers given here.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Incoming(Struct, frozen=True):
    """An answer, whole and within bounds; header names are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class KnownHead(Struct, frozen=True):
    """The head of an answer that came whole, in one piece, and was clean: one with these bytes is
    read the same. ``may_bid`` says that, in the design's own speech, the body decides.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body_bytes: int
    may_bid: bool


class BidRead(Struct, frozen=True, kw_only=True):
    """What an answer comes to: ``cents``, with the token the post will carry, or ``reason``.

    ``detail`` says more to whoever tries a bidder out, and holds nothing of the answer's text.
    """

    cents: int | None = None
    token: str | None = None
    reason: Reason | None = None
    detail: str | None = None


class BidSpeech(Protocol):
    """One way of asking. Used by many questions at once, so it keeps nothing of one."""

    def write(self, question: Question, asked: Asked, timeout_ms: int) -> Outgoing:
        """Write the request; ``timeout_ms`` is the time the bidder has."""
        ...

    def read(self, question: Question, asked: Asked, answer: Incoming) -> BidRead:
        """Read the answer; never raises for what a bidder answered."""
        ...
