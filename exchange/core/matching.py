"""Whether a campaign bids on a ping, and why not.

Source: rules §3.2 and §3.3, in that order. Must not know ranks, offers or stores.
"""

from __future__ import annotations

from datetime import datetime

from exchange.core.company import Company
from exchange.core.contract import Deal, why_no_trade
from exchange.core.hours import is_open, period_bounds
from exchange.core.model import Campaign, Ping
from exchange.core.quality.requires import demand_unmet
from exchange.core.reasons import Reason
from exchange.core.runner import Runner, shares
from exchange.core.standing import Standing, Verdict
from exchange.core.trial_room import TrialRoom, why_full


def why_not(
    runner: Runner,
    company: Company | None,
    standing: Standing | None,
    ping: Ping,
    now: datetime,
    deal: Deal | None = None,
    room: TrialRoom | None = None,
) -> Reason | None:
    """The first reason, in the rules' order, for which a campaign does not bid; None if it may.

    ``deal`` is what holds between the ping's seller and the company, where they have a contract,
    ``room`` what is left of its trial.
    """
    campaign = runner.campaign
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
    if (requires := campaign.requires) is not None:
        reason = demand_unmet(requires, ping.quality_score, ping.flaws, ping.consent)
        if reason is not None:
            return reason
    if campaign.company_id in ping.suppressed_by:
        return Reason.SUPPRESSED
    if campaign.company_id in ping.sold_to:
        return Reason.SOLD_BEFORE
    if not any(share <= ping.max_buyers for share in shares(campaign)):
        return Reason.SHARE_MODE
    if deal is not None:
        kept = why_no_trade(
            deal,
            shares(campaign),
            ping.max_buyers,
            ping.quality_score,
            is_full=why_full(room, 0) is not None,
        )
        if kept is not None:
            return kept
    if standing is None or standing.verdict is Verdict.EXCLUDED:
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
