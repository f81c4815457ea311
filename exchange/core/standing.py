"""A company's standing: dollar-weighted 30-day rates, protection, and the verdict on who may bid.

Rates are ratios of two integers and stay so; nothing here rounds but the figures made for display.
Source: rules §4 and §5. Must not know prices, campaigns or stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from exchange.core.dynamic import (
    TREND_DAYS,
    Bounds,
    DayFactors,
    Factor,
    Span,
    ease,
    threshold_of,
    trend,
)
from exchange.core.model import CompanyId, Policy
from exchange.core.money import BASIS_POINTS, percent_hundredths

UNIT_WEIGHT: Final = 1 << 32
"""Weight of today under recency weighting; large, so that rounding a weight moves no cent."""


class Bucket(Struct, frozen=True, kw_only=True):
    """What one day and CRM era hold for a company, in cents; rejections sit on the day assigned."""

    assigned: int = 0
    manual: int = 0
    crm: int = 0


class Window(Struct, frozen=True, kw_only=True):
    """All a company's rates are computed from.

    ``era`` counts CRM resets; a bucket belongs to the era its leads were assigned in.
    ``era_assigned`` is everything assigned since the last reset, inside the 30 days or not.
    """

    company_id: CompanyId
    era: int = 0
    era_assigned: int = 0
    reset_at: datetime | None = None
    buckets: Mapping[tuple[date, int], Bucket] = {}


class Verdict(StrEnum):
    """Who may bid: conditional bids except in the first-look round; excluded does not bid."""

    QUALIFIED = "qualified"
    CONDITIONAL = "conditional"
    EXCLUDED = "excluded"


class Standing(Struct, frozen=True, kw_only=True):
    """A window weighed on one day, in cents unless named otherwise.

    ``overall_assigned`` and ``overall_rejected`` are what the overall rate is computed from;
    ``crm_assigned`` and ``crm_rejected`` what the CRM rate is. Under recency weighting these four
    are weighted sums. ``assigned`` and ``rejected`` are the ratio a price is lowered by: the
    overall rate, less the part of it (``eased_bp``, basis points) that a trend lets off where
    dynamic adjustment is applied. ``overall_rate`` is that ratio, which ranks equal prices. The
    ``raw_`` sums are plain cents and show a protected company's CRM rejections too.
    """

    company_id: CompanyId
    day: date
    assigned: int
    rejected: int
    crm_assigned: int
    crm_rejected: int
    raw_assigned: int
    raw_manual: int
    raw_crm: int
    raw_crm_assigned: int
    raw_crm_rejected: int
    verdict: Verdict
    protected: bool
    protection_left: int
    reset_at: datetime | None
    overall_rate: Fraction
    overall_assigned: int
    overall_rejected: int
    eased_bp: int = 0

    @property
    def overall_hundredths(self) -> int:
        """Overall rejection rate in hundredths of a percent, for display: 8.50 % is 850."""
        return percent_hundredths(self.overall_rejected, self.overall_assigned)

    @property
    def crm_hundredths(self) -> int:
        """CRM rejection rate in hundredths of a percent, for display."""
        return percent_hundredths(self.crm_rejected, self.crm_assigned)


def window_start(today: date, policy: Policy) -> date:
    """The first day of the window that ends today: 29 days back by default."""
    return today - timedelta(days=policy.window_days - 1)


def weigh(window: Window, today: date, policy: Policy) -> Standing:
    """Compute a company's standing on a day from its buckets."""
    first = window_start(today, policy)
    protected = window.era_assigned < policy.protection_cents
    raw_assigned = raw_manual = raw_crm = era_assigned = era_crm = 0
    assigned = manual = crm_assigned = crm = 0
    for (day, era), bucket in window.buckets.items():
        if not first <= day <= today:
            continue
        weight = day_weight((today - day).days, policy.half_life_days)
        raw_assigned += bucket.assigned
        raw_manual += bucket.manual
        raw_crm += bucket.crm
        assigned += weight * bucket.assigned
        manual += weight * bucket.manual
        if era == window.era:
            era_assigned += bucket.assigned
            era_crm += bucket.crm
            crm_assigned += weight * bucket.assigned
            crm += weight * bucket.crm
    counted_crm = 0 if protected else crm
    rejected = manual + counted_crm
    factors = factors_on(today, policy)
    eased_bp = 0 if factors is None else trend_of(window, today, policy, factors.bounds).bp
    price_rejected, price_assigned = ease(rejected, assigned, eased_bp)
    return Standing(
        company_id=window.company_id,
        day=today,
        assigned=price_assigned,
        rejected=price_rejected,
        crm_assigned=crm_assigned,
        crm_rejected=counted_crm,
        raw_assigned=raw_assigned,
        raw_manual=raw_manual,
        raw_crm=raw_crm,
        raw_crm_assigned=era_assigned,
        raw_crm_rejected=era_crm,
        verdict=_judge(assigned, rejected, crm_assigned, counted_crm, policy, factors),
        protected=protected,
        protection_left=max(0, policy.protection_cents - window.era_assigned),
        reset_at=window.reset_at,
        overall_rate=Fraction(price_rejected, price_assigned) if assigned else Fraction(0),
        overall_assigned=assigned,
        overall_rejected=rejected,
        eased_bp=eased_bp,
    )


def factors_on(day: date, policy: Policy) -> DayFactors | None:
    """The factors applied on a day, if any were."""
    return policy.adjustments.get(day) if policy.adjustments else None


def gate_threshold(day: date, policy: Policy) -> tuple[int, int]:
    """The CRM rate above which a company is excluded on a day, as an exact ratio."""
    return threshold_of(policy.crm_threshold_bp, factors_on(day, policy))


def trend_of(window: Window, today: date, policy: Policy, bounds: Bounds) -> Factor:
    """A company's trend on a day: its last 10 days against its window, in plain cents.

    What does not count in its rate (CRM rejections under protection, or before a reset) does not
    count here. Source: rules §10.
    """
    first = window_start(today, policy)
    recent_first = max(first, today - timedelta(days=TREND_DAYS - 1))
    counted_era = None if window.era_assigned < policy.protection_cents else window.era
    sums = [0, 0, 0, 0]
    for (day, era), bucket in window.buckets.items():
        if first <= day <= today:
            rejected = bucket.manual + (bucket.crm if era == counted_era else 0)
            sums[0] += bucket.assigned
            sums[1] += rejected
            if day >= recent_first:
                sums[2] += bucket.assigned
                sums[3] += rejected
    return trend(
        Span(first=recent_first, last=today, assigned=sums[2], rejected=sums[3]),
        Span(first=first, last=today, assigned=sums[0], rejected=sums[1]),
        bounds,
    )


def _judge(
    assigned: int,
    rejected: int,
    crm_assigned: int,
    crm: int,
    policy: Policy,
    factors: DayFactors | None,
) -> Verdict:
    threshold, whole = threshold_of(policy.crm_threshold_bp, factors)
    if crm * whole > threshold * crm_assigned:
        return Verdict.EXCLUDED
    if assigned and rejected * BASIS_POINTS >= policy.conditional_overall_bp * assigned:
        return Verdict.CONDITIONAL
    return Verdict.QUALIFIED


@lru_cache(maxsize=4096)
def day_weight(age_days: int, half_life_days: int | None) -> int:
    """Weight of a day: 1, or ``0.5^(age / half life)`` in units of `UNIT_WEIGHT`."""
    if half_life_days is None:
        return 1
    with localcontext() as context:
        context.prec = 40
        exponent = Decimal(-age_days) / Decimal(half_life_days)
        return int((Decimal(2) ** exponent * UNIT_WEIGHT).to_integral_value())


def book(
    window: Window, day: date, era: int, *, assigned: int = 0, manual: int = 0, crm: int = 0
) -> Window:
    """Add cents to the bucket of the day and era a lead was assigned in (negative to take back).

    Only what is assigned in the current era counts towards the end of its protection.
    """
    old = window.buckets.get((day, era), Bucket())
    new = Bucket(assigned=old.assigned + assigned, manual=old.manual + manual, crm=old.crm + crm)
    gained = assigned if era == window.era else 0
    return replace(
        window,
        era_assigned=window.era_assigned + gained,
        buckets={**window.buckets, (day, era): new},
    )


def start_era(window: Window, now: datetime) -> Window:
    """Apply an approved CRM reset: a new era with nothing assigned, so protection starts again."""
    return replace(window, era=window.era + 1, era_assigned=0, reset_at=now)
