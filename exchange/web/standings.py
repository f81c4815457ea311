"""Calls about standings: explained, day by day, under other rates, and as the market moves them."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from exchange.flow.faults import Invalid, NotFound
from exchange.flow.what_if import Assumption
from exchange.web.calls import Call, Reply
from exchange.web.dynamic_codec import show_bounds, show_factors
from exchange.web.queries import (
    DAY,
    PERCENT,
    Asked,
    read_day,
    read_percent,
    wants_csv,
)
from exchange.web.standing_codec import show_csv, show_day, show_explained
from exchange.web.what_if_codec import show_what_if
from exchange.web.wire_standing import (
    DynamicDays,
    ExplainedStanding,
    StandingHistory,
    WhatIfAnswer,
)

_USUAL_DAYS: Final = 30
"""Days of a history that names no beginning."""

HISTORY_ASKED: Final = (
    Asked(name="from", meaning="The first day; 29 days before `to` by default.", shape=DAY),
    Asked(name="to", meaning="The last day; today by default.", shape=DAY),
    Asked(name="step", meaning="One row a day.", shape={"type": "string", "enum": ["day"]}),
)
WHAT_IF_ASKED: Final = (
    Asked(
        name="overall",
        meaning="The overall rate assumed, in percent; the present one by default.",
        shape=PERCENT,
    ),
    Asked(
        name="crm",
        meaning="The CRM rate assumed, in percent; the present one by default.",
        shape=PERCENT,
    ),
    Asked(
        name="day",
        meaning="The day whose auctions are held again: a date, today, or yesterday (default).",
        shape={"type": "string"},
    ),
)
DYNAMIC_ASKED: Final = (
    Asked(name="from", meaning="The first day; 29 days before `to` by default.", shape=DAY),
    Asked(name="to", meaning="The last day; tomorrow by default.", shape=DAY),
)


async def get_standing(call: Call) -> ExplainedStanding:
    """Show a company's standing with its arithmetic and its way back."""
    explained = await call.site.doors.standings.explain(call.own_company("company_id"))
    if explained is None:
        raise NotFound("There is no such company.")
    return show_explained(explained)


async def get_history(call: Call) -> StandingHistory | Reply:
    """Show a company's standing at the end of each day, as JSON or CSV."""
    company_id, standings = call.own_company("company_id"), call.site.doors.standings
    if call.query.get("step", "day") != "day":
        raise Invalid("step must be day.", field="step")
    today = standings.today
    last = read_day(call.query, "to", today, today)
    first = read_day(call.query, "from", last - timedelta(days=_USUAL_DAYS - 1), today)
    told = await standings.history(company_id, first, last)
    if told is None:
        raise NotFound("There is no such company.")
    days = tuple(show_day(day) for day in told)
    if wants_csv(call.headers):
        return Reply(show_csv(days), content_type="text/csv; charset=utf-8")
    return StandingHistory(company_id=company_id, from_=first, to=last, days=days)


async def get_what_if(call: Call) -> WhatIfAnswer:
    """Show what a company would have won on a day under other rates."""
    company_id, standings = call.own_company("company_id"), call.site.doors.standings
    today = standings.today
    assumption = Assumption(
        overall_bp=read_percent(call.query, "overall"), crm_bp=read_percent(call.query, "crm")
    )
    day = read_day(call.query, "day", today - timedelta(days=1), today)
    return show_what_if(await standings.what_if.ask(company_id, day, assumption))


async def get_dynamic(call: Call) -> DynamicDays:
    """Show how threshold and penalty move with the market, day by day."""
    standings = call.site.doors.standings
    today = standings.today
    last = read_day(call.query, "to", today + timedelta(days=1), today)
    first = read_day(call.query, "from", last - timedelta(days=_USUAL_DAYS - 1), today)
    policy, days = standings.factors(first, last)
    return DynamicDays(
        mode=policy.mode,
        bounds=show_bounds(policy.bounds),
        from_=first,
        to=last,
        days=tuple(show_factors(kept, call.site.doors.market.policy) for kept in days),
    )
