"""Which campaigns bid on a ping, at what base price, and why the others do not.

Source: rules §3.2 and §3.3, in that order. Must not know ranks, offers or stores.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from exchange.core.hours import is_open, period_bounds
from exchange.core.market import Company, Market, Runner
from exchange.core.model import Campaign, Ping
from exchange.core.money import part_of
from exchange.core.reasons import Reason
from exchange.core.standing import Verdict


def why_not(runner: Runner, market: Market, ping: Ping, now: datetime) -> Reason | None:
    """The first reason, in the rules' order, for which a campaign does not bid; None if it may."""
    campaign = runner.campaign
    company = market.companies.get(campaign.company_id)
    if company is None or not company.active or not campaign.active:
        return Reason.INACTIVE
    if not runner.matches(ping.attributes):
        return Reason.FILTER
    if not is_open(campaign.schedule, now):
        return Reason.SCHEDULE
    if (reason := why_no_room(campaign, company, now, 0)) is not None:
        return reason
    age = now - ping.captured_at
    if campaign.max_age_s is not None and age.total_seconds() > campaign.max_age_s:
        return Reason.LEAD_AGE
    if campaign.company_id in ping.sold_to:
        return Reason.SOLD_BEFORE
    if not any(share <= ping.max_buyers for share in shares(campaign)):
        return Reason.SHARE_MODE
    if market.standings[campaign.company_id].verdict is Verdict.EXCLUDED:
        return Reason.CRM_GATE
    return None


def why_no_room(
    campaign: Campaign, company: Company, now: datetime, price_cents: int
) -> Reason | None:
    """Whether caps, budgets and balance leave room for one more lead at a price in cents.

    Caps are told before budgets, and these before the balance, whatever order they were saved in.
    """
    over_budget = False
    for cap in campaign.caps:
        used = company.usage.get((campaign.campaign_id, cap.period))
        starts_at, _ = period_bounds(cap.period, campaign.schedule.timezone, now)
        current = used is not None and used.starts_at == starts_at
        leads = used.leads if used is not None and current else 0
        spend = used.spend_cents if used is not None and current else 0
        if cap.leads is not None and leads >= cap.leads:
            return Reason.CAP
        if cap.spend_cents is not None and spend + max(price_cents, 1) > cap.spend_cents:
            over_budget = True
    if over_budget:
        return Reason.BUDGET
    if company.available_cents is not None and company.available_cents < max(price_cents, 1):
        return Reason.BALANCE
    return None


def shares(campaign: Campaign) -> Iterator[int]:
    """The share counts a campaign has a price for; 1 is exclusive."""
    if campaign.bid.exclusive_cents is not None:
        yield 1
    yield from (share for share in campaign.bid.shared_cents if share > 1)


def base_price(runner: Runner, attributes: Struct, share: int) -> int | None:
    """A campaign's price for a share count in cents, its modifiers applied in their order.

    Each modifier adds its cents, then takes its factor, rounded half to even; never below 0.
    """
    bid = runner.campaign.bid
    price = bid.exclusive_cents if share == 1 else bid.shared_cents.get(share)
    if price is None:
        return None
    for modifier in runner.modifiers:
        if modifier.applies(attributes):
            price = max(0, part_of(price + modifier.add_cents, modifier.multiply_bp))
    return price
