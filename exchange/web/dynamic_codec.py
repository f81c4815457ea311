"""Dynamic adjustment as the wire shows it: factors, with their arithmetic and what they change."""

from __future__ import annotations

from exchange.core.dynamic import Bounds, DayFactors, Factor, Span, threshold_of
from exchange.core.model import Policy
from exchange.core.recovery_path import exact_percent, percent
from exchange.flow.standing_books import KeptFactors
from exchange.flow.standings import Shadow
from exchange.web.rates_codec import show_rates
from exchange.web.wire import dollars
from exchange.web.wire_standing import (
    DynamicAnswer,
    DynamicBounds,
    DynamicDay,
    FactorAnswer,
    SpanAnswer,
)


def show_shadow(shadow: Shadow, policy: Policy) -> DynamicAnswer:
    """Write what dynamic adjustment makes of a standing."""
    factors, standing = shadow.factors, shadow.standing
    before = percent(standing.overall_hundredths)
    eased = exact_percent(standing.rejected, standing.assigned) if standing.assigned else "0.00 %"
    return DynamicAnswer(
        mode=shadow.mode,
        applied=shadow.applied,
        market=_factor(factors.market),
        seasonal=_factor(factors.seasonal),
        trend=_factor(shadow.trend),
        threshold=_threshold(factors, policy),
        penalty=f"{before} × (1 − {_signless(shadow.trend.bp)}) = {eased}",
        adjusted=show_rates(standing),
        unadjusted=show_rates(shadow.without),
    )


def _threshold(factors: DayFactors, policy: Policy) -> str:
    moved = exact_percent(*threshold_of(policy.crm_threshold_bp, factors))
    return (
        f"{percent(policy.crm_threshold_bp)} × (1 {_signed(factors.market.bp)} "
        f"{_signed(factors.seasonal.bp)}) = {moved}"
    )


def _signed(bp: int) -> str:
    return f"{'−' if bp < 0 else '+'} {_signless(bp)}"


def _signless(bp: int) -> str:
    """Basis points as the ratio they are: 230 → ``0.0230``."""
    return f"{abs(bp) // 10_000}.{abs(bp) % 10_000:04d}"


def _factor(factor: Factor) -> FactorAnswer:
    return FactorAnswer(
        recent=_span(factor.recent),
        usual=_span(factor.usual),
        measured_pct=dollars(factor.measured_bp),
        pct=dollars(factor.bp),
        why=factor.why,
    )


def _span(span: Span) -> SpanAnswer:
    return SpanAnswer(
        from_=span.first,
        to=span.last,
        assigned=dollars(span.assigned),
        rejected=dollars(span.rejected),
        pct=dollars(span.rate_hundredths),
    )


def show_bounds(bounds: Bounds) -> DynamicBounds:
    """Write how far factors may go."""
    return DynamicBounds(
        market_pct=dollars(bounds.market_bp),
        seasonal_pct=dollars(bounds.seasonal_bp),
        trend_pct=dollars(bounds.trend_bp),
        least_assigned=dollars(bounds.least_cents),
    )


def show_factors(kept: KeptFactors, policy: Policy) -> DynamicDay:
    """Write a day's factors."""
    return DynamicDay(
        day=kept.factors.day,
        applied=kept.applied,
        market=_factor(kept.factors.market),
        seasonal=_factor(kept.factors.seasonal),
        threshold=_threshold(kept.factors, policy),
        bounds=show_bounds(kept.factors.bounds),
    )
