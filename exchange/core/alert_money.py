"""Facts about a company's money: its rates, its campaigns' caps, its prepaid balance.

All comparisons are of integers, multiplied out. A figure must fall a margin below what it was
raised at before it counts as over, so that it does not flap. A fact that is ``under`` is only made
where something is remembered of it. Source: rules §4, §5, §12.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from exchange.core.alert_kinds import AlertKind
from exchange.core.alert_terms import Terms
from exchange.core.alerts import Fact, Level, Value, Watch, key_of, mark_of
from exchange.core.changes import UsageChange
from exchange.core.hours import period_bounds
from exchange.core.model import Campaign, CampaignId, Cap, CompanyId, Period, Policy
from exchange.core.money import BASIS_POINTS, divide_half_even, format_cents, percent_hundredths
from exchange.core.pricing import rectify
from exchange.core.standing import UNIT_WEIGHT, Standing

RATE_MARGIN_PCT: Final = 5
"""How far below its threshold, in percent of it, a rate counts as under it again."""

BALANCE_MARGIN_PCT: Final = 10
"""How far above the set amount, in percent of it, a balance counts as filled again."""

Watches = Mapping[str, Watch]


def rate_facts(
    standing: Standing, policy: Policy, terms: Terms, watches: Watches
) -> Iterator[Fact]:
    """Tell how near a company's rates are to their thresholds, and its verdict."""
    overall = standing.rejected, standing.assigned, policy.conditional_overall_bp
    crm = standing.crm_rejected, standing.crm_assigned, policy.crm_threshold_bp
    yield from _rate("overall", standing, overall, policy, terms, watches)
    yield from _rate("crm", standing, crm, policy, terms, watches)
    key = key_of(AlertKind.VERDICT_CHANGED, standing.company_id)
    before, verdict = mark_of(watches.get(key)), standing.verdict.value
    if key in watches or verdict != before:
        yield Fact(
            kind=AlertKind.VERDICT_CHANGED,
            company_id=standing.company_id,
            mark=verdict,
            text=f"The verdict has changed from {before} to {verdict}.",
            values={
                "from": before,
                "to": verdict,
                "overall_pct": _hundredths(standing.overall_hundredths),
                "crm_pct": _hundredths(standing.crm_hundredths),
            },
        )


def _rate(
    name: str,
    standing: Standing,
    figures: tuple[int, int, int],
    policy: Policy,
    terms: Terms,
    watches: Watches,
) -> Iterator[Fact]:
    """The two facts of one rate: near its threshold, and over it."""
    rejected, assigned, threshold_bp = figures
    is_crm = name == "crm"
    over_kind = AlertKind.CRM_OVER if is_crm else AlertKind.OVERALL_OVER
    near_kind = AlertKind.CRM_NEAR if is_crm else AlertKind.OVERALL_NEAR
    # In ten-thousandths of a percent of what was assigned, so that a part of a threshold is whole.
    rate, limit = rejected * BASIS_POINTS * 100, threshold_bp * 100 * assigned
    is_over = rejected > 0 and (rate > limit if is_crm else rate >= limit)
    levels = {
        over_kind: _level(is_over, not rejected or _is_below(rate, limit, 100 - RATE_MARGIN_PCT)),
        near_kind: "between"
        if is_over
        else _level(
            rejected > 0 and not _is_below(rate, limit, terms.near_pct),
            not rejected or _is_below(rate, limit, terms.near_pct - RATE_MARGIN_PCT),
        ),
    }
    for kind, level in levels.items():
        if level != "over" and key_of(kind, standing.company_id) not in watches:
            continue
        pct = percent_hundredths(rejected, assigned)
        near_at = divide_half_even(threshold_bp * terms.near_pct, 100)
        unit = UNIT_WEIGHT if policy.half_life_days is not None else 1
        sums = divide_half_even(rejected, unit), divide_half_even(assigned, unit)
        yield Fact(
            kind=kind,
            company_id=standing.company_id,
            level=level,
            text=(
                f"The {'CRM' if is_crm else 'overall'} rejection rate is {format_cents(pct)} %; "
                f"{_consequence(is_crm)} {format_cents(threshold_bp)} %."
            ),
            arithmetic=(
                f"{format_cents(sums[0])} rejected / {format_cents(sums[1])} assigned = "
                f"{format_cents(pct)} %; near from {terms.near_pct} % of "
                f"{format_cents(threshold_bp)} % = {format_cents(near_at)} %"
            ),
            values={
                f"{name}_pct": _hundredths(pct),
                "threshold_pct": _hundredths(threshold_bp),
                "near_pct": _hundredths(near_at),
                "rejected": _hundredths(sums[0]),
                "assigned": _hundredths(sums[1]),
            },
        )


def _consequence(is_crm: bool) -> str:
    if is_crm:
        return "a company is excluded above"
    return "a company is conditional from"


def _is_below(rate: int, limit: int, pct: int) -> bool:
    return rate * 100 < limit * pct


def _level(is_over: bool, is_under: bool) -> Level:
    return "over" if is_over else "under" if is_under else "between"


def least_price(campaign: Campaign, standing: Standing | None) -> int:
    """The least a campaign could be charged for a lead, in cents; 1 where only a ping tells.

    That is where its own bidder names the price, or modifiers move it.
    """
    bid = campaign.bid
    if bid.remote is not None or bid.modifiers:
        return 1
    prices = [*bid.shared_cents.values()]
    if bid.exclusive_cents is not None:
        prices.append(bid.exclusive_cents)
    least = min(prices, default=1)
    return max(1, least if standing is None else rectify(least, standing))


def cap_facts(
    campaign: Campaign,
    usage: Mapping[tuple[CampaignId, Period], UsageChange],
    least_cents: int,
    now: datetime,
    terms: Terms,
    watches: Watches,
) -> Iterator[Fact]:
    """Tell which of a campaign's caps are nearly or wholly used; each period by itself.

    One that is neither is not told of: a cap's alert ends with its period, and not before, as
    what is held for deliveries comes and goes. One that is used up is near no longer, and does not
    become so again.
    """
    for cap in campaign.caps:
        start, end = period_bounds(cap.period, campaign.schedule.timezone, now)
        used = usage.get((campaign.campaign_id, cap.period))
        if used is None or used.starts_at != start:
            continue
        bounds = (
            ("leads", used.leads, cap.leads, 1),
            ("spend", used.spend_cents, cap.spend_cents, least_cents),
        )
        for what, amount, most, least in bounds:
            if most is not None and amount * 100 >= most * min(terms.cap_pct, 100):
                # A rest that pays for no lead is none: spending hardly ever meets its cap.
                is_full = most - amount < least
                fact = _cap_fact(campaign, cap, what, amount, most, least, start, end, terms)
                full = replace(
                    fact, kind=AlertKind.CAP_FULL, level="over" if is_full else "between"
                )
                was_full = is_full or full.key in watches
                if was_full:
                    yield full
                near = replace(fact, level="under" if was_full else "over")
                if not was_full or near.key in watches:
                    yield near


def _cap_fact(
    campaign: Campaign,
    cap: Cap,
    what: str,
    amount: int,
    most: int,
    least: int,
    start: datetime,
    end: datetime,
    terms: Terms,
) -> Fact:
    is_spend = what == "spend"
    write = format_cents if is_spend else str
    unit = "dollars" if is_spend else "leads"
    pct = percent_hundredths(amount, most)
    values: dict[str, Value] = {
        "period": cap.period,
        "used": _hundredths(amount) if is_spend else amount,
        "cap": _hundredths(most) if is_spend else most,
        "used_pct": _hundredths(pct),
        "period_ends_at": f"{end.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    rest = (
        f"; the rest of {format_cents(most - amount)} is less than the least price of "
        f"{format_cents(least)}"
        if is_spend and 0 < most - amount < least
        else ""
    )
    return Fact(
        kind=AlertKind.CAP_NEAR,
        company_id=campaign.company_id,
        campaign_id=campaign.campaign_id,
        detail=f"{cap.period}:{start.isoformat()}:{what}",
        text=(
            f"The campaign has used {write(amount)} of the {write(most)} {unit} it may use each "
            f"{cap.period}."
        ),
        arithmetic=(
            f"{write(amount)} / {write(most)} = {format_cents(pct)} %; near from "
            f"{terms.cap_pct} %{rest}"
        ),
        values=values,
    )


def balance_facts(
    company_id: CompanyId,
    available_cents: int,
    least_prices: Iterable[int],
    terms: Terms,
    watches: Watches,
) -> Iterator[Fact]:
    """Tell whether a prepaid company's balance is low or used up; not of one that buys nothing."""
    least = min(least_prices, default=None)
    if least is None:
        return
    low = terms.balance_low_cents
    is_empty = available_cents < least
    filled = available_cents * 100 >= low * (100 + BALANCE_MARGIN_PCT)
    levels: dict[AlertKind, Level] = {
        AlertKind.BALANCE_EMPTY: _level(is_empty, available_cents >= 2 * least),
        AlertKind.BALANCE_LOW: "between"
        if is_empty and low
        else _level(available_cents < low, filled),
    }
    for kind, level in levels.items():
        if level != "over" and key_of(kind, company_id) not in watches:
            continue
        yield Fact(
            kind=kind,
            company_id=company_id,
            level=level,
            text=(
                f"The prepaid balance has {format_cents(available_cents)} dollars left to spend; "
                f"the least price of its campaigns is {format_cents(least)}."
            ),
            arithmetic=(
                f"{format_cents(available_cents)} available; low below {format_cents(low)}, "
                f"used up below {format_cents(least)}"
            ),
            values={
                "available": _hundredths(available_cents),
                "low_below": _hundredths(low),
                "least_price": _hundredths(least),
            },
        )


def _hundredths(value: int) -> Decimal:
    """Cents as dollars, hundredths of a percent as percents: two decimals."""
    return Decimal(value).scaleb(-2)
