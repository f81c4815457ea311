"""What is said to a company's bidder and what it said: requests out, answers in, bids read."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from exchange.core.reasons import Reason
from exchange.flow.bidding import Asked, Question


class Outgoing(Struct, frozen=True):
    """A request as it goes out."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Incoming(Struct, frozen=True):
    """An answer as it came in; header names are lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class BidRead(Struct, frozen=True, kw_only=True):
    """What an answer came to: a bid in cents with its token, or the reason there is none."""

    cents: int | None = None
    token: str | None = None
    reason: Reason | None = None
    detail: str | None = None


class BidSpeech(Protocol):
    """How one kind of bidder is spoken to."""

    def write(self, question: Question, asked: Asked, timeout_ms: int) -> Outgoing:
        """Write the request that asks for a bid."""
        ...

    def read(self, question: Question, asked: Asked, answer: Incoming) -> BidRead:
        """Read a bidder's answer; never raises for what a bidder answered."""
        ...
