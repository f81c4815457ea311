"""What returns look like on the wire: previews, many at once, reviews, disputes, reversals."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta, Raw

from exchange.web.wire import Answer, Body
from exchange.web.wire_accounts import StandingSummary

Sentence = Annotated[str, Meta(min_length=1, max_length=1_000)]


class RefusalAnswer(Answer, frozen=True, kw_only=True, omit_defaults=True):
    """The rule against a rejection, as the problem would tell it."""

    code: str
    message: str
    field: str | None = None
    details: dict[str, Any] | None = None


class BidAnswer(Answer, frozen=True, kw_only=True):
    """A campaign's exclusive list price, and what it is rectified to before and after."""

    campaign_id: str
    name: str
    base: Decimal
    price_before: Decimal
    price_after: Decimal


class RejectionPreview(Answer, frozen=True, kw_only=True):
    """What a rejection would do; nothing was changed. ``value`` is what it would credit."""

    dry_run: Literal[True] = True
    lead_id: str
    outcome: Literal["accepted", "in_review", "returned_before", "refused"]
    refusal: RefusalAnswer | None
    reason: str | None
    category: str | None
    value: Decimal | None
    before: StandingSummary
    after: StandingSummary
    bids: tuple[BidAnswer, ...]


class BulkLine(Body, frozen=True, kw_only=True):
    """One lead of a bulk return: a reason's code or free text, and what else is to be said."""

    lead_id: str
    reason: str | None = None
    text: str | None = None
    note: str | None = None
    review: bool = False


class BulkBody(Body, frozen=True, kw_only=True):
    """Leads to be returned, in their order: each a `BulkLine`, and read by itself.

    ``dry_run`` only tells what that would do.
    """

    lines: Annotated[tuple[Raw, ...], Meta(min_length=1)]
    dry_run: bool = False


class LineAnswer(Answer, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one line, or would; rates and prices are those after it."""

    line: int
    lead_id: str
    status: Literal["accepted", "in_review", "returned_before", "refused", "not_tried"]
    rejection_id: str | None = None
    reason: str | None = None
    value: Decimal | None = None
    overall_pct: Decimal | None = None
    crm_pct: Decimal | None = None
    verdict: str | None = None
    price_of_100: Decimal | None = None
    code: str | None = None
    field: str | None = None
    message: str | None = None


class BulkAnswer(Answer, frozen=True, kw_only=True):
    """Every line's result as it came about, then how many there were of each."""

    dry_run: bool
    lines: tuple[LineAnswer, ...]
    accepted: int
    in_review: int
    returned_before: int
    refused: int
    not_tried: int
    value: Decimal


class DisputeAnswer(Answer, frozen=True, kw_only=True, omit_defaults=True):
    """A seller's dispute. ``upheld``: the return stands; ``overturned``: it was reversed.

    What the seller said is for the seller and an operator.
    """

    dispute_id: str
    status: Literal["open", "upheld", "overturned"]
    opened_at: datetime
    statement: str | None = None
    evidence: tuple[str, ...] = ()
    decided_at: datetime | None = None
    decision: str | None = None


class ReturnAnswer(Answer, frozen=True, kw_only=True, omit_defaults=True):
    """A return as its reader may see it.

    A seller reads what it was paid, a company what it was charged, neither who the other is.
    ``credited`` and ``pay_reversed`` are what has been booked back by now. ``refusal`` is the
    contract's clause by which a return was declined that nobody reviewed in time.
    """

    rejection_id: str
    kind: Literal["manual", "crm"]
    status: Literal["accepted", "in_review", "declined", "reversed"]
    lead_id: str
    vertical: str
    reason: str
    message: str
    rejected_at: datetime
    ping_id: str | None = None
    seller_id: str | None = None
    company_id: str | None = None
    campaign_id: str | None = None
    category: str | None = None
    note: str | None = None
    value: Decimal | None = None
    credited: Decimal | None = None
    pay: Decimal | None = None
    pay_reversed: Decimal | None = None
    review_until: datetime | None = None
    decided_at: datetime | None = None
    decided_by: Literal["operator", "time"] | None = None
    decision: str | None = None
    refusal: RefusalAnswer | None = None
    disputable_until: datetime | None = None
    dispute: DisputeAnswer | None = None


class ReturnList(Answer, frozen=True, kw_only=True):
    """A page of returns."""

    items: tuple[ReturnAnswer, ...]
    next: str | None


class ReviewBody(Body, frozen=True, kw_only=True):
    """An operator's word on a return under review; a reason where the text was unclear."""

    decision: Literal["approved", "declined"]
    reason: Annotated[str, Meta(max_length=40)] | None = None
    sentence: Sentence | None = None


class DisputeBody(Body, frozen=True, kw_only=True):
    """Why a return is wrong, and what shows it: links, call ids, certificates of consent."""

    statement: Annotated[str, Meta(min_length=1, max_length=4_000)]
    evidence: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=1_000)], ...], Meta(max_length=10)
    ] = ()


class DisputeDecisionBody(Body, frozen=True, kw_only=True):
    """Whether a disputed return stands, and why."""

    decision: Literal["upheld", "overturned"]
    sentence: Sentence


class ReversalBody(Body, frozen=True, kw_only=True):
    """Why a rejection is taken back."""

    sentence: Sentence
