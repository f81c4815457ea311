"""What receipts, delivered leads and their rejections look like on the wire."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Raw

from exchange.flow.ports import Contact
from exchange.web.wire import Answer, Body, LegPrice, ReasonAnswer
from exchange.web.wire_accounts import StandingSummary
from exchange.web.wire_flaws import QualityAnswer


class SellerReceipt(Answer, frozen=True, kw_only=True):
    """What decided a ping, as far as its seller may see: no company and no bid.

    ``quality`` is there for what was refused for the lead itself or its consent, and for operators.
    """

    ping_id: str
    status: Literal["offer", "no_offer", "refused"]
    decided_at: datetime
    price: Decimal | None
    mode: Literal["exclusive", "shared"] | None
    legs: tuple[LegPrice, ...]
    expires_at: datetime | None
    reason: ReasonAnswer | None
    reasons: dict[str, int]
    timings_us: dict[str, int]
    test: bool
    quality: QualityAnswer | None


class AppliedAnswer(Answer, frozen=True, kw_only=True, omit_defaults=True):
    """How a contract made a base of the list price: the tier's cents and factor, the discount.

    Each step is rounded half to even, in this order; ``min_score`` is the tier's.
    """

    contract_id: str
    version: int
    listed: Decimal
    min_score: int | None = None
    add: Decimal | None = None
    multiply: Decimal | None = None
    discount_pct: Decimal | None = None


class CandidateAnswer(Answer, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one campaign. ``overall_ratio`` is the exact rate, ``draw`` settled ties.

    ``contract`` is there where a contract changed the price. Where the outcome of a recomputed
    receipt is not known, ``why_not_known`` says why.
    """

    campaign_id: str
    company_id: str
    outcome: Literal["won", "lost", "no_bid", "not_known"]
    reason: str | None = None
    why_not_known: str | None = None
    base: Decimal | None = None
    overall_pct: Decimal | None = None
    overall_ratio: str | None = None
    rectified: Decimal | None = None
    charged: Decimal | None = None
    rank: int | None = None
    share: int | None = None
    draw: int | None = None
    first_look: bool = False
    contract: AppliedAnswer | None = None


class WholeReceipt(SellerReceipt, frozen=True, kw_only=True):
    """Everything that decided a ping: from it and the rules the winner can be recomputed."""

    seller_id: str
    vertical: str
    attributes: Raw
    max_buyers: int
    min_price: Decimal
    share: int | None
    premium: bool
    candidates: tuple[CandidateAnswer, ...]


class DifferenceAnswer(Answer, frozen=True, kw_only=True, omit_defaults=True):
    """What a receipt tells otherwise than was recomputed.

    ``count``: how many campaigns a reason kept away (without a reason: how many there were).
    ``line``: a campaign's place in line (without a campaign: how many won). ``named``: why a
    campaign that the receipt names fell short.
    """

    kind: Literal["count", "line", "named"]
    reason: str | None = None
    campaign_id: str | None = None
    told: int | str | None = None
    found: int | str | None = None


class RecomputedAnswer(Answer, frozen=True, kw_only=True):
    """How far a receipt's campaigns are known.

    ``source`` is ``receipt`` where it names every campaign, ``recomputed`` where they were judged
    again from what is kept of then, and ``vertical_changed`` where that cannot be done. ``exact``:
    every outcome is known, and the receipt's counts, line and names agree. ``not_known`` counts
    campaigns by why. ``moving`` are campaigns whose company's figures changed at that moment: their
    outcome is certain, their rate and price may be those of a moment before.
    """

    source: Literal["receipt", "recomputed", "vertical_changed"]
    exact: bool
    campaigns: int
    market_version: int | None
    differences: tuple[DifferenceAnswer, ...]
    not_known: dict[str, int]
    moving: tuple[str, ...]
    assumptions: tuple[str, ...]


class FullReceipt(WholeReceipt, frozen=True, kw_only=True):
    """A receipt with every campaign of the vertical at that moment among its candidates."""

    recomputed: RecomputedAnswer


class OwnReceipt(Answer, frozen=True, kw_only=True):
    """What became of a company's own campaigns in an auction, and whether that is certain.

    ``exact`` is of its own campaigns and of the receipt they were held against.
    """

    ping_id: str
    vertical: str
    decided_at: datetime
    source: Literal["receipt", "recomputed", "vertical_changed"]
    exact: bool
    candidates: tuple[CandidateAnswer, ...]


class LeadAnswer(Answer, frozen=True, kw_only=True):
    """A lead as the company that took it sees it; ``consent`` is the proof the seller gave."""

    lead_id: str
    delivery_id: str
    campaign_id: str
    vertical: str
    status: str
    price: Decimal
    attributes: Raw
    contact: Contact | None
    delivered_at: datetime
    rejectable_until: datetime | None
    rejection: ReasonAnswer | None
    rejection_status: str | None
    test: bool
    consent: dict[str, str]
    quality_score: int


class LeadList(Answer, frozen=True, kw_only=True):
    """A page of leads."""

    items: tuple[LeadAnswer, ...]
    next: str | None


class SaleLeg(Answer, frozen=True, kw_only=True):
    """One buyer's part of a sold lead; ``final`` is sold for good, ``rejected`` was returned."""

    leg_id: str
    status: Literal["sold", "in_review", "rejected", "final"]
    price: Decimal
    rejectable_until: datetime


class SaleAnswer(Answer, frozen=True, kw_only=True):
    """A lead a seller sold, without its contact.

    ``price`` is what the post came to, ``pay_reversed`` what returns have taken back of it by now.
    """

    lead_id: str
    ping_id: str
    vertical: str
    source: dict[str, str]
    sold_at: datetime
    price: Decimal
    pay_reversed: Decimal
    legs: tuple[SaleLeg, ...]


class SaleList(Answer, frozen=True, kw_only=True):
    """A page of sold leads."""

    items: tuple[SaleAnswer, ...]
    next: str | None


class RejectionBody(Body, frozen=True, kw_only=True):
    """Why a lead is returned: a reason's code, or free text.

    ``dry_run`` only tells what it would do; ``review`` lets the operator read a text that fits no
    reason.
    """

    reason: Annotated[str, Meta(max_length=40)] | None = None
    text: Annotated[str, Meta(min_length=1, max_length=1_000)] | None = None
    note: Annotated[str, Meta(max_length=1_000)] | None = None
    review: bool = False
    dry_run: bool = False


class RejectionAnswer(Answer, frozen=True, kw_only=True):
    """A rejection that was taken, and the standing right after it.

    One in review counts in the standing, and is credited once it is approved; ``category`` is null
    while nobody has read its text.
    """

    rejection_id: str
    lead_id: str
    kind: Literal["manual"] = "manual"
    category: str | None
    reason: str
    value: Decimal
    standing: StandingSummary
    status: Literal["accepted", "in_review"]
