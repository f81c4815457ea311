"""Dynamic adjustment: how far the CRM threshold and the price's penalty move with the market.

Every factor is the rate of a recent span against the rate of a longer one, taken to whole basis
points (the one rounding here, half to even) and bounded. Market and season are of a day and the
same for everybody; the trend is a company's own. Source: rules §10. Must not know companies,
prices or stores.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final, Literal

from msgspec import Struct

from exchange.core.money import BASIS_POINTS, divide_half_even

LAG_DAYS: Final = 2
"""A day's factors are of the days up to the one before the last: so they can be computed, and be
with every worker, before the day begins."""

TREND_DAYS: Final = 10
"""The recent days of a company's trend, today included."""

_MONTH_DAYS: Final = 30
_QUARTER_DAYS: Final = 90
_YEAR_DAYS: Final = 365

Mode = Literal["off", "shadow", "apply"]
"""Not computed; computed and shown; computed and used."""


class Bounds(Struct, frozen=True, kw_only=True):
    """How far each factor may go, in basis points either way (the trend: down only).

    A span with less than ``least_cents`` assigned says nothing: its factor is 0.
    """

    market_bp: int = 1_000
    seasonal_bp: int = 1_000
    trend_bp: int = 2_500
    least_cents: int = 100_000


class DynamicPolicy(Struct, frozen=True, kw_only=True):
    """Whether thresholds and penalties move with the market, and within which bounds."""

    mode: Mode = "off"
    bounds: Bounds = Bounds()


class Days(Struct, frozen=True, kw_only=True):
    """A span of days, both inclusive."""

    first: date
    last: date


class Span(Days, frozen=True, kw_only=True):
    """What a span of days came to, in cents."""

    assigned: int
    rejected: int

    @property
    def rate_hundredths(self) -> int:
        """The rejection rate in hundredths of a percent, for display."""
        if not self.assigned:
            return 0
        return divide_half_even(self.rejected * BASIS_POINTS, self.assigned)


class DayTotal(Struct, frozen=True):
    """What one day came to for everybody, in cents; CRM rejections of the protected and all."""

    day: date
    assigned: int
    rejected: int


class Factor(Struct, frozen=True, kw_only=True):
    """One factor with its arithmetic, in basis points.

    ``measured_bp`` is the recent rate's relative distance from the usual one, ``bp`` the part of
    it that counts. ``why``: as measured, cut at its bound, or 0 for want of data.
    """

    recent: Span
    usual: Span
    measured_bp: int
    bp: int
    why: Literal["measured", "bounded", "too_little"]


class DayFactors(Struct, frozen=True, kw_only=True):
    """What holds of a whole day for everybody, with the bounds it was computed under."""

    day: date
    market: Factor
    seasonal: Factor
    bounds: Bounds


class DaySpans(Struct, frozen=True, kw_only=True):
    """The days a day's factors are made of."""

    month: Days
    quarter: Days
    season: Days
    year: Days


def spans_of(day: date) -> DaySpans:
    """The spans a day's factors compare: 30 days with 90, and the last day's month with 365 days.

    All end ``LAG_DAYS`` before the day, so that they are of whole days.
    """
    last = day - timedelta(days=LAG_DAYS)
    return DaySpans(
        month=_ending(last, _MONTH_DAYS),
        quarter=_ending(last, _QUARTER_DAYS),
        season=Days(first=last.replace(day=1), last=last),
        year=_ending(last, _YEAR_DAYS),
    )


def factors_of(day: date, totals: Iterable[DayTotal], bounds: Bounds) -> DayFactors:
    """A day's factors from what the market came to on each day of the year before."""
    spans, known = spans_of(day), list(totals)
    return DayFactors(
        day=day,
        market=compare(
            _sum(known, spans.month), _sum(known, spans.quarter), bounds.market_bp, bounds
        ),
        seasonal=compare(
            _sum(known, spans.season), _sum(known, spans.year), bounds.seasonal_bp, bounds
        ),
        bounds=bounds,
    )


def compare(recent: Span, usual: Span, most_bp: int, bounds: Bounds) -> Factor:
    """A factor of the market: ``recent rate ÷ usual rate − 1``, within ``most_bp`` either way."""
    distance = _distance(recent, usual, bounds)
    if distance is None:
        return Factor(recent=recent, usual=usual, measured_bp=0, bp=0, why="too_little")
    return _bounded(recent, usual, distance, -most_bp, most_bp)


def trend(recent: Span, usual: Span, bounds: Bounds) -> Factor:
    """How far a company improved of late: 0 where it did not, at most the bound.

    ``1 − recent rate ÷ usual rate``; the part of the penalty that is let off.
    """
    distance = _distance(recent, usual, bounds)
    if distance is None:
        return Factor(recent=recent, usual=usual, measured_bp=0, bp=0, why="too_little")
    return _bounded(recent, usual, -distance, 0, bounds.trend_bp)


def threshold_of(threshold_bp: int, factors: DayFactors | None) -> tuple[int, int]:
    """The CRM threshold as an exact ratio: ``threshold × (1 + market + seasonal)``, at least 0."""
    if factors is None:
        return threshold_bp, BASIS_POINTS
    moved = max(0, BASIS_POINTS + factors.market.bp + factors.seasonal.bp)
    return threshold_bp * moved, BASIS_POINTS * BASIS_POINTS


def ease(rejected: int, assigned: int, trend_bp: int) -> tuple[int, int]:
    """A rate with a trend's part let off, as a ratio of integers: ``penalty × (1 − trend)``.

    Whole basis points keep both sides integers, so that a price is recomputed from them exactly.
    """
    if not trend_bp or not rejected:
        return rejected, assigned
    return rejected * (BASIS_POINTS - trend_bp), assigned * BASIS_POINTS


def _bounded(recent: Span, usual: Span, measured_bp: int, least: int, most: int) -> Factor:
    bp = min(max(measured_bp, least), most)
    return Factor(
        recent=recent,
        usual=usual,
        measured_bp=measured_bp,
        bp=bp,
        why="measured" if bp == measured_bp else "bounded",
    )


def _distance(recent: Span, usual: Span, bounds: Bounds) -> int | None:
    """``recent rate ÷ usual rate − 1`` in basis points; None where there is too little to say."""
    least = max(bounds.least_cents, 1)
    if recent.assigned < least or usual.assigned < least or not usual.rejected:
        return None
    usually = usual.rejected * recent.assigned
    lately = recent.rejected * usual.assigned
    return divide_half_even((lately - usually) * BASIS_POINTS, usually)


def _sum(totals: list[DayTotal], days: Days) -> Span:
    counted = [total for total in totals if days.first <= total.day <= days.last]
    return Span(
        first=days.first,
        last=days.last,
        assigned=sum(total.assigned for total in counted),
        rejected=sum(total.rejected for total in counted),
    )


def _ending(last: date, days: int) -> Days:
    return Days(first=last - timedelta(days=days - 1), last=last)
