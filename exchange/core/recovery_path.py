"""A company's way back, told in ordered steps: what stands, what can be done, what it comes to.

Sentences over what `recovery` found; decides no rule. Source: rules §5, §6 and §12.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from msgspec import Struct

from exchange.core.model import Policy
from exchange.core.money import BASIS_POINTS, divide_half_even, format_cents
from exchange.core.pricing import rectify
from exchange.core.reasons import Reason
from exchange.core.recovery import Lift, Recovery
from exchange.core.standing import Standing, Verdict

HUNDRED_DOLLARS_CENTS = 100_00

StepKind = Literal[
    "gate_closed", "mend", "crm_reset", "wait", "clean_leads", "conditional", "protection", "keep"
]


class Cause(Struct, frozen=True, kw_only=True):
    """What a company's rejections of the window are made of; dearest first."""

    kind: Literal["manual", "crm"]
    reason: Reason
    leads: int
    value_cents: int


class Step(Struct, frozen=True, kw_only=True):
    """One step of a way back. ``cents``, ``day`` and ``at`` are what the sentence speaks of."""

    kind: StepKind
    text: str
    cents: int | None = None
    day: date | None = None
    at: datetime | None = None


def tell_path(
    found: Recovery,
    causes: tuple[Cause, ...],
    policy: Policy,
    *,
    asked_at: datetime | None = None,
) -> tuple[Step, ...]:
    """Tell the steps in the order in which they help. ``asked_at``: of an open CRM reset."""
    standing = found.standing
    steps: list[Step] = []
    if standing.verdict is Verdict.EXCLUDED:
        steps += _over_the_gate(found, causes, asked_at)
    if standing.protected and found.protection_end is not None:
        steps.append(_protection(found))
    if standing.verdict is not Verdict.QUALIFIED:
        steps += _to_qualified(found, causes, policy, asked_at)
    else:
        steps.append(_keep(found))
    return tuple(steps)


def tell_verdict(found: Recovery, policy: Policy) -> tuple[str, ...]:
    """The comparisons a verdict comes from, in the order they are made."""
    standing, told = found.standing, []
    crm = percent(standing.crm_hundredths)
    threshold = exact_percent(*found.threshold)
    if standing.protected:
        told.append(
            "Protected: CRM rejections do not count until "
            f"{_dollars(policy.protection_cents)} has been assigned since the last CRM reset."
        )
    elif standing.verdict is Verdict.EXCLUDED:
        told.append(f"CRM {crm} is above {threshold}: no campaign bids.")
    else:
        told.append(f"CRM {crm} is not above {threshold}: campaigns may bid.")
    overall, limit = percent(standing.overall_hundredths), percent(policy.conditional_overall_bp)
    crossed = (
        standing.overall_assigned > 0
        and standing.overall_rejected * BASIS_POINTS
        >= policy.conditional_overall_bp * standing.overall_assigned
    )
    if crossed:
        told.append(f"Overall {overall} is not below {limit}: no first look at premium leads.")
    else:
        told.append(f"Overall {overall} is below {limit}: first look at premium leads.")
    return tuple(told)


def tell_price(standing: Standing) -> str:
    """What the overall rate does to a bid, by the example of $100.00."""
    worth = rectify(HUNDRED_DOLLARS_CENTS, standing)
    told = f"A $100.00 bid is worth {format_cents(worth)}"
    if standing.eased_bp and standing.rejected:
        eased = percent(standing.eased_bp)
        told += f", after an improving trend took {eased} off the penalty"
    return f"{told}."


def percent(hundredths: int) -> str:
    """Hundredths of a percent for people: 850 → ``8.50 %``."""
    return f"{format_cents(hundredths)} %"


def exact_percent(part: int, whole: int) -> str:
    """A ratio as a percentage with the digits it needs, two at least and four at most."""
    parts = divide_half_even(part * 1_000_000, whole)
    digits = f"{parts // 10_000}.{parts % 10_000:04d}"
    return f"{digits.removesuffix('00')} %" if digits.endswith("00") else f"{digits} %"


def _over_the_gate(
    found: Recovery, causes: tuple[Cause, ...], asked_at: datetime | None
) -> list[Step]:
    standing, threshold = found.standing, exact_percent(*found.threshold)
    crm = percent(standing.crm_hundredths)
    steps = [
        Step(
            kind="gate_closed",
            text=(
                f"None of your campaigns bids: {crm} of what was assigned to you failed in your "
                f"CRM, and the gate closes above {threshold}. While it is closed no lead is "
                "assigned to you, but those already being delivered."
            ),
        )
    ]
    steps += _mend(causes, "crm", "Mend your CRM first, as a reset forgives only what is past: ")
    steps.append(_reset(found, asked_at))
    if found.bids.day is not None:
        steps.append(
            Step(
                kind="wait",
                day=found.bids.day,
                text=(
                    "If you do nothing, old rejections leave the window and you bid again from "
                    f"{found.bids.day}."
                ),
            )
        )
    steps.append(_clean(found.bids, f"would bring your CRM rate down to {threshold}"))
    return steps


def _reset(found: Recovery, asked_at: datetime | None) -> Step:
    """The step of a CRM reset. Whose CRM rejections count was assigned enough to ask for one."""
    due = found.reset
    then = (
        "Once the operator approves it, your CRM rejections of before count for nothing: you are "
        f"{due.after.verdict.value}, protected again, and a $100.00 bid is worth "
        f"{format_cents(rectify(HUNDRED_DOLLARS_CENTS, due.after))}."
    )
    if asked_at is not None:
        asked = f"You asked for a CRM reset on {asked_at:%Y-%m-%d}. {then}"
        return Step(kind="crm_reset", at=asked_at, text=asked)
    if due.earliest is not None:
        return Step(
            kind="crm_reset",
            at=due.earliest,
            text=f"You may ask for the next CRM reset from {due.earliest:%Y-%m-%d %H:%M} UTC.",
        )
    return Step(kind="crm_reset", text=f"You may ask for a CRM reset now. {then}")


def _to_qualified(
    found: Recovery, causes: tuple[Cause, ...], policy: Policy, asked_at: datetime | None
) -> list[Step]:
    standing, limit = found.standing, percent(policy.conditional_overall_bp)
    overall = percent(standing.overall_hundredths)
    steps = []
    if standing.verdict is Verdict.CONDITIONAL:
        steps.append(
            Step(
                kind="conditional",
                text=(
                    f"You bid, but without first look at premium leads: {overall} of what was "
                    f"assigned to you was rejected, and first look is for those below {limit}. "
                    f"{tell_price(standing)}"
                ),
            )
        )
        dearest: Literal["manual", "crm"] = causes[0].kind if causes else "manual"
        steps += _mend(causes, dearest, "Most of it is this: ")
        if found.reset.after.overall_rejected < standing.overall_rejected:
            steps.append(_reset(found, asked_at))
    steps.append(_clean(found.qualified, "would make you qualified"))
    if found.qualified.day is not None:
        steps.append(
            Step(
                kind="wait",
                day=found.qualified.day,
                text=(
                    f"If nothing more is assigned to you, you are qualified from "
                    f"{found.qualified.day}."
                ),
            )
        )
    return steps


def _clean(lift: Lift, does: str) -> Step:
    if lift.clean_cents is None:
        return Step(kind="clean_leads", text=f"No sum of clean leads {does}.")
    return Step(
        kind="clean_leads",
        cents=lift.clean_cents,
        text=(
            f"{_dollars(lift.clean_cents)} of leads assigned today and not rejected {does}; "
            "a cent less would not."
        ),
    )


def _protection(found: Recovery) -> Step:
    end = found.protection_end
    assert end is not None
    told = f"Your CRM rejections do not count for {_dollars(end.left_cents)} more of leads."
    if end.counting_cents:
        told += (
            f" Then {_dollars(end.counting_cents)} of them begin to count: were those leads all "
            f"clean, your CRM rate would be {percent(end.standing.crm_hundredths)} and your "
            f"verdict {end.standing.verdict.value}."
        )
    return Step(kind="protection", cents=end.left_cents, text=told)


def _keep(found: Recovery) -> Step:
    room = found.room
    if room.overall_cents is None:
        return Step(kind="keep", text="You are qualified: there is nothing to recover from.")
    told = (
        "You are qualified. Of the leads you were sold, "
        f"{_dollars(room.overall_cents)} more could be returned before you lose first look"
    )
    failing = [
        f"{_dollars(cents)} before {line}"
        for cents, line in (
            (room.overall_crm_cents, "that"),
            (room.crm_cents, "the gate closes"),
        )
        if cents is not None
    ]
    if failing:
        told += f"; of leads to come, {' and '.join(failing)} could fail in your CRM"
    return Step(kind="keep", cents=room.overall_cents, text=f"{told}.")


def _mend(causes: tuple[Cause, ...], kind: Literal["manual", "crm"], opening: str) -> list[Step]:
    """The dearest causes of a kind, three at most."""
    told = [
        f"{cause.reason.code} ({cause.leads} {'lead' if cause.leads == 1 else 'leads'}, "
        f"{_dollars(cause.value_cents)})"
        for cause in causes
        if cause.kind == kind
    ][:3]
    return [Step(kind="mend", text=f"{opening}{', '.join(told)}.")] if told else []


def _dollars(cents: int) -> str:
    return f"${cents // 100:,}.{cents % 100:02d}"
