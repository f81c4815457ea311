"""What would lift a company: the least clean dollars, the day old rejections leave, a CRM reset.

Exact integers throughout: with the cents told a goal is reached, with one less it is not. Every
answer is found by the rule that judges (`standing.weigh`), or checked against it.
Source: rules §5 and §12. Must not know stores, sentences or the wire.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from exchange.core.model import Policy
from exchange.core.money import BASIS_POINTS
from exchange.core.reset import missing_cents
from exchange.core.standing import (
    Standing,
    Verdict,
    Window,
    book,
    day_weight,
    factors_on,
    gate_threshold,
    start_era,
    weigh,
)

Goal = Literal["bids", "qualified"]
"""To bid at all (over the CRM gate), or to be qualified (and below the conditional rate too)."""


class Lift(Struct, frozen=True, kw_only=True):
    """What would reach a goal, each way alone.

    ``clean_cents``: assigned today and not rejected; 0 where the goal is reached, None where no
    sum would do. ``day``: from which on it is reached if nothing more is assigned, None where it
    is reached now, or is not within the window.
    """

    goal: Goal
    reached: bool
    clean_cents: int | None
    day: date | None


class ResetDue(Struct, frozen=True, kw_only=True):
    """When a CRM reset may be asked for: cents still to be assigned, and the earliest time.

    ``earliest`` is None where nothing but the missing cents stands in the way. ``after`` is the
    standing right after one.
    """

    may_ask: bool
    missing_cents: int
    earliest: datetime | None
    after: Standing


class Room(Struct, frozen=True, kw_only=True):
    """What may still be rejected, in cents, before a verdict changes for the worse.

    A delivery that fails for good is assigned with its failure, a lead that is returned was
    assigned before. ``crm_cents`` may fail until the gate closes, ``overall_cents`` be returned and
    ``overall_crm_cents`` fail until the company is conditional. None where a cent has no fixed
    weight (recency weighting), the line is crossed already, or no sum crosses it (failures of a
    protected company, a line at 100 %).
    """

    crm_cents: int | None
    overall_cents: int | None
    overall_crm_cents: int | None


class ProtectionEnd(Struct, frozen=True, kw_only=True):
    """What a protected company would be if ``left_cents`` more were assigned to it, all clean.

    ``counting_cents`` of CRM rejections begin to count then.
    """

    left_cents: int
    counting_cents: int
    standing: Standing


class Recovery(Struct, frozen=True, kw_only=True):
    """A standing with every way out of it.

    ``ahead`` are the coming days on which something leaves the window, up to the one on which the
    company is qualified: its standing on each if nothing more is assigned.
    """

    standing: Standing
    threshold: tuple[int, int]
    bids: Lift
    qualified: Lift
    reset: ResetDue
    room: Room
    protection_end: ProtectionEnd | None
    ahead: tuple[Standing, ...]


def recover(window: Window, today: date, now: datetime, policy: Policy) -> Recovery:
    """Find every way out of a standing. ``today`` is the market's day at ``now``."""
    standing = weigh(window, today, policy)
    ahead = tuple(look_ahead(window, today, policy))
    return Recovery(
        standing=standing,
        threshold=gate_threshold(today, policy),
        bids=_lift(window, standing, policy, "bids", ahead),
        qualified=_lift(window, standing, policy, "qualified", ahead),
        reset=reset_due(window, today, now, policy),
        room=room_left(standing, policy),
        protection_end=_protection_end(window, standing, policy),
        ahead=ahead,
    )


def is_reached(standing: Standing, goal: Goal) -> bool:
    """Whether a standing is what is wanted."""
    if goal == "bids":
        return standing.verdict is not Verdict.EXCLUDED
    return standing.verdict is Verdict.QUALIFIED


def least_clean(window: Window, today: date, policy: Policy, goal: Goal) -> int | None:
    """The least cents assigned today and not rejected that reach a goal; None if none would.

    What is assigned may end the company's protection, and its CRM rejections begin to count with
    that very cent: then what reached the goal before no longer need.
    """
    standing = weigh(window, today, policy)
    if is_reached(standing, goal):
        return 0
    if not standing.protected:
        return _needed(standing, policy, goal)
    left = standing.protection_left
    early = _needed(standing, policy, goal)
    if early is not None and early < left:
        return early
    after = weigh(book(window, today, window.era, assigned=left), today, policy)
    more = _needed(after, policy, goal)
    return None if more is None else left + more


def look_ahead(window: Window, today: date, policy: Policy) -> list[Standing]:
    """A company's coming standings if nothing more is assigned, until it is qualified.

    A day is looked at where something leaves the window (every day under recency weighting). The
    factors of today are taken to hold, as nobody knows those to come.
    """
    if weigh(window, today, policy).verdict is Verdict.QUALIFIED:
        return []
    days = [today + timedelta(days=ahead) for ahead in range(1, policy.window_days + 1)]
    if policy.half_life_days is None:
        leaving = {day + timedelta(days=policy.window_days) for day, _ in window.buckets}
        days = [day for day in days if day in leaving]
    factors = factors_on(today, policy)
    if factors is not None:
        policy = replace(policy, adjustments=dict.fromkeys(days, factors))
    found: list[Standing] = []
    for day in days:
        found.append(weigh(window, day, policy))
        if found[-1].verdict is Verdict.QUALIFIED:
            break
    return found


def reset_due(window: Window, today: date, now: datetime, policy: Policy) -> ResetDue:
    """When a company may ask for a CRM reset. Agrees with `reset.judge_reset`."""
    missing = missing_cents(window, policy)
    earliest = None
    if window.reset_at is not None:
        earliest = window.reset_at + timedelta(days=policy.reset_interval_days)
        if earliest <= now:
            earliest = None
    return ResetDue(
        may_ask=not missing and earliest is None,
        missing_cents=missing,
        earliest=earliest,
        after=weigh(start_era(window, now), today, policy),
    )


def room_left(standing: Standing, policy: Policy) -> Room:
    """How much more may fail or be returned before a verdict changes.

    Failing v more of A assigned and R rejected, a line at part ÷ whole is reached where
    (R + v) ÷ (A + v) is; returning v of what was sold, where (R + v) ÷ A is.
    """
    crm = overall = overall_crm = None
    if policy.half_life_days is None:
        limit_bp = policy.conditional_overall_bp
        assigned, rejected = standing.overall_assigned, standing.overall_rejected
        if standing.verdict is Verdict.QUALIFIED and assigned:
            overall = _up(limit_bp * assigned, BASIS_POINTS) - 1 - rejected
            sold = standing.raw_assigned - standing.raw_crm
            overall = min(overall, sold - standing.raw_manual)
        if not standing.protected:
            part, whole = gate_threshold(standing.day, policy)
            above = part * standing.crm_assigned - whole * standing.crm_rejected
            if standing.verdict is not Verdict.EXCLUDED and part < whole:
                # Just at the threshold it still bids.
                crm = above // (whole - part)
            below = limit_bp * assigned - BASIS_POINTS * rejected
            if standing.verdict is Verdict.QUALIFIED and limit_bp < BASIS_POINTS:
                # Just at the limit it is conditional.
                overall_crm = max(0, _up(below, BASIS_POINTS - limit_bp) - 1)
    return Room(crm_cents=crm, overall_cents=overall, overall_crm_cents=overall_crm)


def _lift(
    window: Window, standing: Standing, policy: Policy, goal: Goal, ahead: tuple[Standing, ...]
) -> Lift:
    reached = is_reached(standing, goal)
    return Lift(
        goal=goal,
        reached=reached,
        clean_cents=least_clean(window, standing.day, policy, goal),
        day=None if reached else next((s.day for s in ahead if is_reached(s, goal)), None),
    )


def _protection_end(window: Window, standing: Standing, policy: Policy) -> ProtectionEnd | None:
    if not standing.protected:
        return None
    left = standing.protection_left
    after = weigh(book(window, standing.day, window.era, assigned=left), standing.day, policy)
    return ProtectionEnd(left_cents=left, counting_cents=standing.raw_crm_rejected, standing=after)


def _needed(standing: Standing, policy: Policy, goal: Goal) -> int | None:
    """The least clean cents of today that reach a goal while what counts stays what it is."""
    weight = day_weight(0, policy.half_life_days)
    part, whole = gate_threshold(standing.day, policy)
    needed = 0
    if standing.crm_rejected * whole > part * standing.crm_assigned:
        if not part:
            return None
        needed = _up(_up(standing.crm_rejected * whole, part) - standing.crm_assigned, weight)
    if goal == "bids":
        return needed
    conditional_bp = policy.conditional_overall_bp
    rejected, assigned = standing.overall_rejected, standing.overall_assigned
    if not conditional_bp:
        # From 0 % on a company is conditional, so none that was assigned anything is qualified.
        return None
    least = rejected * BASIS_POINTS // conditional_bp + 1
    return max(needed, _up(least - assigned, weight), 0)


def _up(numerator: int, denominator: int) -> int:
    """Divide and round up."""
    return -(-numerator // denominator)
