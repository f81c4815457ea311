"""Standings explained, their history, what-ifs and dynamic adjustment on the wire."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from exchange.web.wire import Answer
from exchange.web.wire_accounts import StandingSummary

VerdictWord = Literal["qualified", "conditional", "excluded"]


class DayShare(Answer, frozen=True, kw_only=True):
    """What one day's leads came to, and its part of the rates.

    ``manual`` and ``crm`` sit on the day the lead was assigned; ``counted`` is what of them counts.
    ``weight`` is 1 without recency weighting. ``overall_points`` are the percentage points this day
    adds to the overall rate, ``leaves_on`` the first day it is no longer in the window.
    """

    day: date
    assigned: Decimal
    manual: Decimal
    crm: Decimal
    counted: Decimal
    weight: Decimal
    overall_points: Decimal
    leaves_on: date


class RateAnswer(Answer, frozen=True, kw_only=True):
    """A rate with its division: ``ratio`` is exact, in cents (or weighted cents)."""

    pct: Decimal
    ratio: str
    formula: str


class LiftAnswer(Answer, frozen=True, kw_only=True):
    """What would reach a verdict, each way alone.

    ``clean_leads``: dollars assigned today and not rejected, to the cent; null where no sum would
    do. ``from_day``: if nothing more is assigned; null where that does not happen in the window.
    """

    reached: bool
    clean_leads: Decimal | None
    from_day: date | None


class RoomAnswer(Answer, frozen=True, kw_only=True):
    """Dollars that may still go wrong before the gate closes, or first look is lost.

    ``before_gate`` and ``before_conditional_crm``: of leads to come whose delivery fails, which
    count as assigned as well; ``before_conditional``: of leads sold that are returned.
    """

    before_gate: Decimal | None
    before_conditional: Decimal | None
    before_conditional_crm: Decimal | None


class RatesAnswer(Answer, frozen=True, kw_only=True):
    """Rates and what follows from them."""

    verdict: VerdictWord
    overall_pct: Decimal
    crm_pct: Decimal
    price_of_100: Decimal


class ResetDueAnswer(Answer, frozen=True, kw_only=True):
    """When a CRM reset may be asked for, and what would be the case right after one.

    ``asked_at`` is of one that waits for its approval.
    """

    may_ask: bool
    missing: Decimal
    earliest: datetime | None
    asked_at: datetime | None
    then: RatesAnswer


class ProtectionAnswer(Answer, frozen=True, kw_only=True):
    """How long protection lasts, and what would be the case behind it were all leads clean."""

    left: Decimal
    then_counting: Decimal
    then: RatesAnswer


class CauseAnswer(Answer, frozen=True, kw_only=True):
    """What a part of the rejections in the window was for.

    ``category`` is null while nobody has read the company's text.
    """

    kind: Literal["manual", "crm"]
    reason: str
    category: str | None
    leads: int
    value: Decimal


class AheadAnswer(RatesAnswer, frozen=True, kw_only=True):
    """A coming day on which something leaves the window, if nothing more is assigned."""

    day: date


class StepAnswer(Answer, frozen=True, kw_only=True, omit_defaults=True):
    """One step of the way back; ``amount``, ``day`` and ``at`` are what its sentence names."""

    step: int
    kind: str
    text: str
    amount: Decimal | None = None
    day: date | None = None
    at: datetime | None = None


class Explanation(Answer, frozen=True, kw_only=True):
    """Where a standing comes from, and every way out of it.

    ``verdict`` are the comparisons in the order they are made. ``half_life_days`` is null where
    recency weighting does not apply: every day of the window weighs the same.
    """

    overall: RateAnswer
    crm: RateAnswer
    verdict: tuple[str, ...]
    half_life_days: int | None
    price: str
    bids: LiftAnswer
    qualified: LiftAnswer
    reset: ResetDueAnswer
    room: RoomAnswer
    protection: ProtectionAnswer | None
    causes: tuple[CauseAnswer, ...]
    ahead: tuple[AheadAnswer, ...]
    path: tuple[StepAnswer, ...]


class SpanAnswer(Answer, frozen=True, kw_only=True, rename={"from_": "from"}):
    """What a span of days came to, both inclusive."""

    from_: date
    to: date
    assigned: Decimal
    rejected: Decimal
    pct: Decimal


class FactorAnswer(Answer, frozen=True, kw_only=True):
    """A factor: ``recent`` against ``usual``, as measured and as it counts, in percent.

    ``why`` is measured, bounded, or too_little where a span holds too little to say.
    """

    recent: SpanAnswer
    usual: SpanAnswer
    measured_pct: Decimal
    pct: Decimal
    why: Literal["measured", "bounded", "too_little"]


class DynamicAnswer(Answer, frozen=True, kw_only=True):
    """What dynamic adjustment makes of this standing: ``adjusted`` against ``unadjusted``.

    ``applied`` says which of the two is in force; in shadow it is the unadjusted.
    """

    mode: Literal["off", "shadow", "apply"]
    applied: bool
    market: FactorAnswer
    seasonal: FactorAnswer
    trend: FactorAnswer
    threshold: str
    penalty: str
    adjusted: RatesAnswer
    unadjusted: RatesAnswer


class ExplainedStanding(StandingSummary, frozen=True, kw_only=True):
    """A company's standing with its days, its arithmetic and its way back."""

    days: tuple[DayShare, ...]
    explained: Explanation
    dynamic: DynamicAnswer | None


class ShadowAnswer(Answer, frozen=True, kw_only=True):
    """What a day's factors would have made of it."""

    verdict: VerdictWord
    price_of_100: Decimal


class HistoryDay(Answer, frozen=True, kw_only=True):
    """One day: what its own leads came to, and the standing at its end over the whole window.

    ``shadow`` is there for days whose factors were computed and not applied.
    """

    day: date
    assigned: Decimal
    manual: Decimal
    crm: Decimal
    verdict: VerdictWord
    protected: bool
    overall_pct: Decimal
    crm_pct: Decimal
    threshold_pct: Decimal
    price_of_100: Decimal
    window_assigned: Decimal
    window_manual: Decimal
    window_crm: Decimal
    shadow: ShadowAnswer | None


class StandingHistory(Answer, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A company's standing day by day, both ends inclusive."""

    company_id: str
    from_: date
    to: date
    step: Literal["day"] = "day"
    days: tuple[HistoryDay, ...]


class TallyAnswer(Answer, frozen=True, kw_only=True):
    """Auctions won, and what the company would pay were all those leads posted."""

    auctions_won: int
    spend: Decimal


class BoughtAnswer(Answer, frozen=True, kw_only=True):
    """What was really posted and sold to the company on the day."""

    leads: int
    spend: Decimal


class OutcomeAnswer(Answer, frozen=True, kw_only=True, omit_defaults=True):
    """What an auction came to for the company; no rank where it was not in line."""

    won: bool
    rank: int | None = None
    share: int | None = None
    campaign_id: str | None = None
    base: Decimal | None = None
    charged: Decimal | None = None


class AuctionChange(Answer, frozen=True, kw_only=True):
    """An auction that would have come out otherwise."""

    ping_id: str
    vertical: str
    decided_at: datetime
    before: OutcomeAnswer
    after: OutcomeAnswer


class CutAnswer(Answer, frozen=True, kw_only=True):
    """Why the day was not read to its end, and how far it was."""

    by: Literal["receipts", "time"]
    until: datetime


class WhatIfAnswer(Answer, frozen=True, kw_only=True):
    """A day's auctions held again with other rates.

    ``before`` and ``after`` are over ``took_part``: the auctions that are known, those included
    in which the company was too far from winning to be named. ``not_known`` counts those that are
    not, by why. ``changes`` tells the first hundred one by one.
    """

    company_id: str
    day: date
    present: RatesAnswer
    assumed: RatesAnswer
    receipts_read: int
    cut: CutAnswer | None
    took_part: int
    not_known: dict[str, int]
    before: TallyAnswer
    after: TallyAnswer
    newly_won: int
    no_longer_won: int
    repriced: int
    bought: BoughtAnswer
    assumptions: tuple[str, ...]
    changes: tuple[AuctionChange, ...]


class DynamicBounds(Answer, frozen=True, kw_only=True):
    """How far each factor may go, in percent, and the dollars a span needs to say anything."""

    market_pct: Decimal
    seasonal_pct: Decimal
    trend_pct: Decimal
    least_assigned: Decimal


class DynamicDay(Answer, frozen=True, kw_only=True):
    """A day's factors for everybody, and the CRM threshold they make."""

    day: date
    applied: bool
    market: FactorAnswer
    seasonal: FactorAnswer
    threshold: str
    bounds: DynamicBounds


class DynamicDays(Answer, frozen=True, kw_only=True, rename={"from_": "from"}):
    """How threshold and penalty move with the market."""

    mode: Literal["off", "shadow", "apply"]
    bounds: DynamicBounds
    from_: date
    to: date
    days: tuple[DynamicDay, ...]
