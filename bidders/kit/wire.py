"""What the exchange says to a company, and what the company may answer.

Pure: bytes in, values out, and back. Money is Decimal, in dollars with two decimals.
Source: the wire (bidders/README.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Literal

import msgspec

MAX_BODY_BYTES: Final = 64 * 1024  # the wire's bound
MAX_PRICE: Final = Decimal(10_000_000)  # USD for one lead; above is a fault of whoever says it
MAX_TIMEOUT_MS: Final = 60_000

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


Price = Decimal | int | str
"""How an amount of dollars may be given; see `read_price`."""


class Ping(msgspec.Struct, frozen=True, kw_only=True):
    """An anonymous lead, offered to one campaign.

    ``shares`` is how many companies the price is for; 1 is exclusive. ``timeout_ms`` is how long
    the exchange will wait. A ``test`` ping touches no money. ``quality_score`` is 0 to 100, the
    best, which a lead without a flaw has.
    """

    ping_id: Id
    campaign_id: Id
    vertical: str = ""
    attributes: dict[str, Any] = {}
    mode: Literal["exclusive", "shared"] = "exclusive"
    shares: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 1
    timeout_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_TIMEOUT_MS)] = 300
    test: bool = False
    quality_score: Annotated[int, msgspec.Meta(ge=0, le=100)] = 100


class Lead(msgspec.Struct, frozen=True, kw_only=True):
    """A lead that was sold to the company; ``token`` is what its bid came with.

    ``consent`` is the proof of the consumer's consent that the seller gave, ``quality_score`` the
    lead's with its contact.
    """

    delivery_id: Id
    lead_id: Id
    campaign_id: Id
    vertical: Id
    price: Decimal
    attributes: dict[str, Any]
    contact: dict[str, Any]
    test: bool = False
    token: str | None = None
    quality_score: Annotated[int, msgspec.Meta(ge=0, le=100)] = 100
    consent: dict[str, str] = {}

    def __post_init__(self) -> None:
        if not (self.price.is_finite() and 0 <= self.price <= MAX_PRICE):
            raise ValueError(f"`price` must be from 0 to {MAX_PRICE}")
        if self.price != round(self.price, 2):
            raise ValueError("`price` must have at most two decimals")

    @property
    def price_cents(self) -> int:
        """The price in cents; exact, for the price has at most two decimals."""
        return int(self.price * 100)


class Bid:
    """A price for a lead: ``Bid("42.50")``.

    The price is a Decimal, a whole number or text, in dollars and cents; floats are refused, as
    they do not hold most amounts. The token comes back with the lead, if the bid wins.
    Raises ValueError, TypeError.
    """

    __slots__ = ("currency", "price", "token")

    def __init__(self, price: Price, *, currency: str = "USD", token: str | None = None) -> None:
        self.price = read_price(price)
        self.currency = currency
        self.token = token

    def __repr__(self) -> str:
        return f"Bid({str(self.price)!r}, currency={self.currency!r}, token={self.token!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Bid):
            return NotImplemented
        mine, its = (self.price, self.currency, self.token), (other.price, other.currency)
        return mine == (*its, other.token)

    def __hash__(self) -> int:
        return hash((self.price, self.currency, self.token))


class Accepted(msgspec.Struct, frozen=True):
    """The company takes the lead; ``reference`` is its own name for it."""

    reference: str | None = None


class Refused(msgspec.Struct, frozen=True):
    """The company does not want the lead: it is not charged, and it is no failure."""

    reason: str


class _WrittenBid(msgspec.Struct, omit_defaults=True, kw_only=True):
    price: Decimal
    currency: str
    token: str | None = None


read_ping: Final = msgspec.json.Decoder(Ping).decode
read_pings: Final = msgspec.json.Decoder(list[Ping]).decode
read_lead: Final = msgspec.json.Decoder(Lead).decode
_write: Final = msgspec.json.Encoder(decimal_format="number").encode
_write_sorted: Final = msgspec.json.Encoder(decimal_format="number", order="sorted").encode


def read_price(price: Price) -> Decimal:
    """Read an amount of dollars and cents above zero. Raises ValueError, TypeError."""
    if isinstance(price, float | bool) or not isinstance(price, Decimal | int | str):
        raise TypeError(f"give the price as text or Decimal, not as {type(price).__name__}")
    try:
        amount = Decimal(price)
        in_range = 0 < amount <= MAX_PRICE  # comparing with NaN raises
    except InvalidOperation:
        raise ValueError(f"{price!r} is not a price") from None
    if not in_range:
        raise ValueError(f"a price is above 0 and at most {MAX_PRICE}, not {price}")
    cents = round(amount, 2)
    if cents != amount:
        raise ValueError(f"a price has two decimals, not those of {price}")
    return cents


def write_bid(bid: Bid) -> bytes:
    """Write a bid as the answer to a ping."""
    return _write(_WrittenBid(price=bid.price, currency=bid.currency, token=bid.token))


def write_streamed(ping: Ping, bid: Bid | None) -> bytes:
    """Write a bid, or that there is none, as one of the answers in a stream's frame."""
    said: dict[str, Any] = {
        "ping_id": ping.ping_id,
        "campaign_id": ping.campaign_id,
        "shares": ping.shares,
        "price": None if bid is None else bid.price,
    }
    if bid is not None:
        said["currency"] = bid.currency
        if bid.token is not None:
            said["token"] = bid.token
    return _write(said)


def join_streamed(answers: Sequence[bytes]) -> str:
    """Put answers together into a frame."""
    return f"[{b','.join(answers).decode()}]"


def write_taken(taken: Accepted | Refused) -> bytes:
    """Write the answer to a lead."""
    if isinstance(taken, Refused):
        return _write({"status": "rejected", "reason": taken.reason})
    if taken.reference is None:
        return _write({"status": "accepted"})
    return _write({"status": "accepted", "reference": taken.reference})


def write_canonical(lead: Lead) -> bytes:
    """Write a lead so that equal ones are equal bytes, however they were sent."""
    return _write_sorted(lead)
