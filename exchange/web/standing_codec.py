"""Standings explained, and their history, as the wire shows them."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from exchange.core.model import Policy
from exchange.core.money import divide_half_even, format_cents
from exchange.core.recovery import Lift, Recovery
from exchange.core.recovery_path import tell_price, tell_verdict
from exchange.core.standing import (
    UNIT_WEIGHT,
    Bucket,
    Standing,
    Window,
    day_weight,
    gate_threshold,
    window_start,
)
from exchange.flow.standings import Explained, ToldDay
from exchange.web.dynamic_codec import show_shadow
from exchange.web.market_codec import category_of, show_standing
from exchange.web.rates_codec import perhaps, price_of_100, show_rates
from exchange.web.wire import dollars
from exchange.web.wire_standing import (
    AheadAnswer,
    CauseAnswer,
    DayShare,
    ExplainedStanding,
    Explanation,
    HistoryDay,
    LiftAnswer,
    ProtectionAnswer,
    RateAnswer,
    ResetDueAnswer,
    RoomAnswer,
    ShadowAnswer,
    StepAnswer,
)

_POINT_DIGITS = 4
"""Decimals of a day's percentage points: a day's part of a rate is often below a hundredth."""


def show_explained(explained: Explained) -> ExplainedStanding:
    """Write a standing with its days, its arithmetic and its way back."""
    standing, policy = explained.recovery.standing, explained.policy
    summary = show_standing(standing, policy)
    return ExplainedStanding(
        **{name: getattr(summary, name) for name in summary.__struct_fields__},
        days=_days(explained.window, standing, policy),
        explained=_explanation(explained),
        dynamic=None if explained.shadow is None else show_shadow(explained.shadow, policy),
    )


def _days(window: Window, standing: Standing, policy: Policy) -> tuple[DayShare, ...]:
    first, today = window_start(standing.day, policy), standing.day
    days: dict[date, tuple[Bucket, int]] = {}
    for (day, era), bucket in window.buckets.items():
        if not first <= day <= today:
            continue
        seen, counted = days.get(day, (Bucket(), 0))
        counts_crm = era == window.era and not standing.protected
        days[day] = (
            Bucket(
                assigned=seen.assigned + bucket.assigned,
                manual=seen.manual + bucket.manual,
                crm=seen.crm + bucket.crm,
            ),
            counted + bucket.manual + (bucket.crm if counts_crm else 0),
        )
    return tuple(
        DayShare(
            day=day,
            assigned=dollars(bucket.assigned),
            manual=dollars(bucket.manual),
            crm=dollars(bucket.crm),
            counted=dollars(counted),
            weight=_weight(today - day, policy),
            overall_points=_points(today - day, counted, standing, policy),
            leaves_on=day + timedelta(days=policy.window_days),
        )
        for day, (bucket, counted) in sorted(days.items())
    )


def _weight(age: timedelta, policy: Policy) -> Decimal:
    if policy.half_life_days is None:
        return Decimal(1)
    weight = day_weight(age.days, policy.half_life_days)
    return Decimal(divide_half_even(weight * 10**6, UNIT_WEIGHT)).scaleb(-6)


def _points(age: timedelta, counted: int, standing: Standing, policy: Policy) -> Decimal:
    """Percentage points a day adds to the overall rate."""
    if not standing.overall_assigned:
        return Decimal(0).scaleb(-_POINT_DIGITS)
    weighted = counted * day_weight(age.days, policy.half_life_days)
    scale = 100 * 10**_POINT_DIGITS
    points = divide_half_even(weighted * scale, standing.overall_assigned)
    return Decimal(points).scaleb(-_POINT_DIGITS)


def _explanation(explained: Explained) -> Explanation:
    found, policy = explained.recovery, explained.policy
    standing, end = found.standing, found.protection_end
    return Explanation(
        overall=_overall(standing, policy),
        crm=_crm(standing, policy),
        verdict=tell_verdict(found, policy),
        half_life_days=policy.half_life_days,
        price=tell_price(standing),
        bids=_lift(found.bids),
        qualified=_lift(found.qualified),
        reset=_reset(found, explained),
        room=RoomAnswer(
            before_gate=perhaps(found.room.crm_cents),
            before_conditional=perhaps(found.room.overall_cents),
            before_conditional_crm=perhaps(found.room.overall_crm_cents),
        ),
        protection=None
        if end is None
        else ProtectionAnswer(
            left=dollars(end.left_cents),
            then_counting=dollars(end.counting_cents),
            then=show_rates(end.standing),
        ),
        causes=tuple(
            CauseAnswer(
                kind=cause.kind,
                reason=cause.reason.code,
                category=category_of(cause.reason),
                leads=cause.leads,
                value=dollars(cause.value_cents),
            )
            for cause in explained.causes
        ),
        ahead=tuple(
            AheadAnswer(
                day=coming.day,
                verdict=coming.verdict.value,
                overall_pct=dollars(coming.overall_hundredths),
                crm_pct=dollars(coming.crm_hundredths),
                price_of_100=price_of_100(coming),
            )
            for coming in found.ahead
        ),
        path=tuple(
            StepAnswer(
                step=number,
                kind=step.kind,
                text=step.text,
                amount=perhaps(step.cents),
                day=step.day,
                at=step.at,
            )
            for number, step in enumerate(explained.path, start=1)
        ),
    )


def _overall(standing: Standing, policy: Policy) -> RateAnswer:
    rejected, assigned = standing.overall_rejected, standing.overall_assigned
    if policy.half_life_days is None:
        crm = rejected - standing.raw_manual
        above = f"({_told(standing.raw_manual)} manual + {_told(crm)} CRM)"
    else:
        above = f"{_told(_unweighted(rejected, policy))} rejected, weighted by age"
    return _rate(above, rejected, assigned, standing.overall_hundredths, policy)


def _crm(standing: Standing, policy: Policy) -> RateAnswer:
    rejected, assigned = standing.crm_rejected, standing.crm_assigned
    above = f"{_told(_unweighted(rejected, policy))} CRM"
    return _rate(above, rejected, assigned, standing.crm_hundredths, policy)


def _rate(above: str, rejected: int, assigned: int, hundredths: int, policy: Policy) -> RateAnswer:
    below = _told(_unweighted(assigned, policy))
    formula = f"{above} ÷ {below} assigned × 100 = {format_cents(hundredths)}"
    if not assigned:
        formula = "Nothing is assigned, so the rate is 0."
    return RateAnswer(pct=dollars(hundredths), ratio=f"{rejected}/{assigned}", formula=formula)


def _unweighted(cents: int, policy: Policy) -> int:
    """A sum in cents of today; under recency weighting a day's cents are worth less."""
    return cents if policy.half_life_days is None else divide_half_even(cents, UNIT_WEIGHT)


def _told(cents: int) -> str:
    return f"{cents // 100:,}.{cents % 100:02d}"


def _lift(lift: Lift) -> LiftAnswer:
    return LiftAnswer(
        reached=lift.reached, clean_leads=perhaps(lift.clean_cents), from_day=lift.day
    )


def _reset(found: Recovery, explained: Explained) -> ResetDueAnswer:
    due = found.reset
    return ResetDueAnswer(
        may_ask=due.may_ask and explained.asked_at is None,
        missing=dollars(due.missing_cents),
        earliest=due.earliest,
        asked_at=explained.asked_at,
        then=show_rates(due.after),
    )


def show_day(told: ToldDay) -> HistoryDay:
    """Write one day of a history."""
    standing, bought = told.past.standing, told.past.bought
    part, whole = gate_threshold(standing.day, told.policy)
    return HistoryDay(
        day=standing.day,
        assigned=dollars(bought.assigned),
        manual=dollars(bought.manual),
        crm=dollars(bought.crm),
        verdict=standing.verdict.value,
        protected=standing.protected,
        overall_pct=dollars(standing.overall_hundredths),
        crm_pct=dollars(standing.crm_hundredths),
        threshold_pct=dollars(divide_half_even(part * 10_000, whole)),
        price_of_100=price_of_100(standing),
        window_assigned=dollars(standing.raw_assigned),
        window_manual=dollars(standing.raw_manual),
        window_crm=dollars(standing.raw_crm),
        shadow=None
        if told.shadow is None
        else ShadowAnswer(
            verdict=told.shadow.verdict.value, price_of_100=price_of_100(told.shadow)
        ),
    )


_COLUMNS = (
    "day", "assigned", "manual", "crm", "verdict", "protected", "overall_pct", "crm_pct",
    "threshold_pct", "price_of_100", "window_assigned", "window_manual", "window_crm",
)  # fmt: skip


def show_csv(days: tuple[HistoryDay, ...]) -> bytes:
    """Write a history as RFC 4180 CSV with a header; no field needs quoting."""
    lines = [",".join((*_COLUMNS, "shadow_verdict", "shadow_price_of_100"))]
    for day in days:
        fields = [_field(getattr(day, name)) for name in _COLUMNS]
        shadow = day.shadow
        fields += ["", ""] if shadow is None else [shadow.verdict, str(shadow.price_of_100)]
        lines.append(",".join(fields))
    return ("\r\n".join(lines) + "\r\n").encode()


def _field(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
