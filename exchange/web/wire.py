"""What a ping and a post look like on the wire, in and out.

Money is decimal dollars here and integer cents everywhere else; `dollars` and `cents` are the only
ways across. Source: the wire's contract (money as numbers with two decimals, strings accepted).
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from exchange.core.contract import NamedClause
from exchange.core.model import AttributeValue, Cascade
from exchange.core.money import MoneyError, parse_cents
from exchange.core.reasons import Reason
from exchange.flow.faults import Invalid
from exchange.web.wire_flaws import QualityAnswer

JSON: Final = msgspec.json.Encoder(decimal_format="number", enc_hook=str)
"""The encoder of every answer: decimals as numbers with the digits they were given."""

LARGEST_INTEGER: Final = 2**53
"""Integers beyond this are not the same number in every reader of JSON."""

Name = Annotated[str, Meta(min_length=1, max_length=100)]
Key = Annotated[str, Meta(min_length=1, max_length=40)]
Id = Annotated[str, Meta(min_length=1, max_length=64)]
Digest = Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$", max_length=64)]
Moment = Annotated[datetime, Meta(tz=True)]


def dollars(cents: int) -> Decimal:
    """Write cents as dollars; prints with exactly two decimals."""
    return Decimal(cents).scaleb(-2)


def cents(amount: Decimal, field: str) -> int:
    """Read dollars as cents. Raises Invalid, naming the field, for what is not money."""
    try:
        return parse_cents(amount)
    except MoneyError as error:
        raise Invalid(f"{field} {error}", field=field) from None


class Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body: what it does not know it refuses."""


class Answer(Struct, frozen=True, kw_only=True):
    """An answer."""


class ContactHashes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """SHA-256 in hex of the phone in E.164 and of the email trimmed and in lower case."""

    phone: Digest | None = None
    email: Digest | None = None


class PingBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An anonymous lead: no contact data in clear anywhere."""

    vertical: Annotated[str, Meta(max_length=40)]
    attributes: Raw
    contact_hashes: ContactHashes = ContactHashes()
    captured_at: Moment | None = None
    source: Annotated[dict[Key, Annotated[str, Meta(max_length=100)]], Meta(max_length=10)] = {}
    consent: Annotated[dict[Key, Annotated[str, Meta(max_length=500)]], Meta(max_length=10)] = {}
    max_buyers: Annotated[int, Meta(ge=1)] = 1
    min_price: Decimal = Decimal(0)
    timeout_ms: Annotated[int, Meta(ge=1)] | None = None
    cascade: Cascade = "promised"
    test: bool = False


class ClauseAnswer(Struct, frozen=True, kw_only=True):
    """The clause of a contract's version that a refusal follows from."""

    contract_id: str
    version: int
    clause: str


class ReasonAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why: a permanent code, its category where that says more, and a sentence.

    ``details`` name the contract's clause, where one explains it.
    """

    code: str
    category: str | None = None
    message: str
    details: ClauseAnswer | None = None


def give_reason(
    reason: Reason, *, with_category: bool = False, clause: NamedClause | None = None
) -> ReasonAnswer:
    """Write a numbered reason for the wire."""
    return ReasonAnswer(
        code=reason.code,
        category=reason.category if with_category else None,
        message=reason.message,
        details=None
        if clause is None
        else ClauseAnswer(
            contract_id=clause.contract_id, version=clause.version, clause=clause.clause
        ),
    )


class LegPrice(Struct, frozen=True, kw_only=True):
    """One buyer's part of an offer, as the seller is paid for it."""

    leg_id: str
    price: Decimal


class OfferAnswer(Struct, frozen=True, kw_only=True):
    """A binding price, good until ``expires_at``."""

    ping_id: str
    status: Literal["offer"] = "offer"
    price: Decimal
    currency: Literal["USD"] = "USD"
    mode: Literal["exclusive", "shared"]
    legs: tuple[LegPrice, ...]
    expires_at: datetime
    test: bool | UnsetType = UNSET


class NoOfferAnswer(Struct, frozen=True, kw_only=True):
    """Nobody bids; ``reasons`` counts the campaigns by their reason."""

    ping_id: str
    status: Literal["no_offer"] = "no_offer"
    reason: ReasonAnswer
    reasons: dict[str, int]
    test: bool | UnsetType = UNSET


class RefusedAnswer(Struct, frozen=True, kw_only=True):
    """The lead is not taken at all; ``quality`` says what is wrong with the lead itself."""

    ping_id: str
    status: Literal["refused"] = "refused"
    reason: ReasonAnswer
    quality: QualityAnswer | UnsetType = UNSET
    test: bool | UnsetType = UNSET


PingAnswer = OfferAnswer | NoOfferAnswer | RefusedAnswer


class ContactBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The consumer's contact data: a phone or an email, or both."""

    first_name: Name
    last_name: Name
    phone: Annotated[str, Meta(max_length=40)] | None = None
    email: Annotated[str, Meta(max_length=254)] | None = None
    address: (
        Annotated[str, Meta(max_length=500)]
        | Annotated[dict[Key, Annotated[str, Meta(max_length=200)]], Meta(max_length=10)]
        | None
    ) = None


class PostBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pinged lead with its contact; attributes that are repeated must be those pinged."""

    ping_id: Id
    attributes: Annotated[dict[Key, AttributeValue], Meta(max_length=100)] = {}
    contact: ContactBody


class LegAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one leg; a company may want the consumer sent to ``redirect_url``."""

    leg_id: str
    status: Literal["sold", "unsold", "timed_out"]
    price: Decimal | None = None
    reason: ReasonAnswer | None = None
    redirect_url: str | None = None


class PostAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a posted lead; ``price`` is the sum the seller is paid."""

    ping_id: str
    status: Literal["sold", "unsold", "refused"]
    lead_id: str
    price: Decimal | None = None
    reason: ReasonAnswer | None = None
    legs: tuple[LegAnswer, ...] = ()
    test: bool = False


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457 problem details. ``code`` is permanent; ``field`` is the place to be mended."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | None = None
    details: dict[str, Any] | None = None
    incident: str | None = None
