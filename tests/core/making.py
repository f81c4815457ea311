"""Small markets for the tests: every function makes one thing, with defaults that let it trade."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from exchange.core.changes import BucketChange, CampaignChange, CompanyChange, UsageChange
from exchange.core.contract import Clauses, Contract, Trial
from exchange.core.contract_book import ContractChange
from exchange.core.market import Market
from exchange.core.model import (
    Bid,
    Campaign,
    CampaignId,
    CompanyId,
    DeliveryTarget,
    Ping,
    PingId,
    Policy,
    SellerId,
)
from exchange.core.money import parse_cents
from exchange.core.standing import Bucket, Window
from exchange.core.trial_room import TrialUse
from exchange.core.verticals import AttributeSpec, Vertical, VerticalSpec, compile_vertical

NOW = datetime(2026, 11, 21, 22, 35, 8, tzinfo=UTC)  # a Saturday
TODAY = NOW.date()
DRAW_KEY = b"sixteen bytes or more"
LEAD: dict[str, Any] = {
    "zip": "94107",
    "state": "CA",
    "credit_score": 710,
    "owns_home": True,
    "monthly_bill": 150,
}


def cents(dollars: str) -> int:
    """Read cents, as an edge would."""
    return parse_cents(Decimal(dollars))


def solar(**changes: Any) -> Vertical:
    """A vertical with an attribute of every kind."""
    attributes = {
        "zip": AttributeSpec(kind="zip"),
        "state": AttributeSpec(kind="state"),
        "credit_score": AttributeSpec(kind="integer", min=300, max=850),
        "monthly_bill": AttributeSpec(kind="decimal", min=0, max=10_000),
        "owns_home": AttributeSpec(kind="boolean"),
        "roof": AttributeSpec(kind="choice", allowed=("tile", "metal", "asphalt")),
        "remark": AttributeSpec(kind="text"),
    }
    spec: dict[str, Any] = {"name": "solar", "title": "Solar", "attributes": attributes}
    return compile_vertical(VerticalSpec(**(spec | changes)))


def attributes(vertical: Vertical, **values: Any) -> msgspec.Struct:
    """A lead's attributes as they are decoded on a ping."""
    return msgspec.convert(values, vertical.attributes_type)


def ping(vertical: Vertical, **changes: Any) -> Ping:
    """A ping for the lead everybody wants."""
    values: dict[str, Any] = {
        "ping_id": PingId("p-1"),
        "seller_id": SellerId("s-1"),
        "vertical": vertical.name,
        "attributes": attributes(vertical, **LEAD),
        "captured_at": NOW - timedelta(minutes=1),
        "received_at": NOW,
    }
    return Ping(**(values | changes))


def campaign(campaign_id: str, company_id: str | None = None, **changes: Any) -> Campaign:
    """A campaign that takes every lead, exclusively, for $50; the company goes by its id."""
    values: dict[str, Any] = {
        "campaign_id": CampaignId(campaign_id),
        "company_id": CompanyId(company_id or f"{campaign_id}-co"),
        "name": campaign_id,
        "vertical": "solar",
        "bid": Bid(exclusive_cents=5_000),
        "delivery": (DeliveryTarget(kind="inbox"),),
    }
    return Campaign(**(values | changes))


def rated(assigned: int, manual: int = 0, crm: int = 0, day: date = TODAY) -> BucketChange:
    """One day of a company's window, in cents, in the first era."""
    return BucketChange(day, 0, assigned, manual, crm)


def company(
    company_id: str,
    *buckets: BucketChange,
    version: int = 1,
    era_assigned: int | None = None,
    available_cents: int | None = None,
    usage: tuple[UsageChange, ...] = (),
    **changes: Any,
) -> CompanyChange:
    """A company as its stores would tell it; what its buckets hold was assigned in this era."""
    gained = sum(row.assigned for row in buckets)
    values: dict[str, Any] = {
        "company_id": CompanyId(company_id),
        "version": version,
        "active": True,
        "era": 0,
        "era_assigned": gained if era_assigned is None else era_assigned,
        "available_cents": available_cents,
        "buckets": buckets,
        "usage": usage,
    }
    return CompanyChange(**(values | changes))


def market(
    campaigns: Iterable[Campaign],
    companies: Iterable[CompanyChange] = (),
    policy: Policy | None = None,
    vertical: Vertical | None = None,
) -> Market:
    """A market of these campaigns; companies not given are new, active and on account."""
    made = Market([vertical or solar()], policy or Policy(), TODAY)
    for change in companies:
        made.apply_company(change)
    for one in campaigns:
        if one.company_id not in made.companies:
            made.apply_company(company(one.company_id))
        made.apply_campaign(CampaignChange(campaign_id=one.campaign_id, version=1, campaign=one))
    return made


def contract(
    company_id: str,
    number: int = 1,
    *,
    seller_id: str = "s-1",
    version: int = 1,
    since: datetime = NOW - timedelta(days=1),
    until: datetime | None = None,
    **clauses: Any,
) -> ContractChange:
    """A version of the contract between a seller and a company, in force since yesterday."""
    return ContractChange(
        contract=Contract(
            contract_id=f"{seller_id}-{company_id}",
            version=version,
            number=number,
            seller_id=SellerId(seller_id),
            company_id=CompanyId(company_id),
            effective_from=since,
            effective_to=until,
            recorded_at=since,
            clauses=Clauses(**clauses),
        )
    )


def trial_use(
    company_id: str,
    trial: Trial,
    version: int,
    *,
    leads: int = 0,
    spend: int = 0,
    seller_id: str = "s-1",
) -> TrialUse:
    """What a company has used of a trial with a seller."""
    return TrialUse(
        contract_id=f"{seller_id}-{company_id}",
        seller_id=SellerId(seller_id),
        company_id=CompanyId(company_id),
        version=version,
        starts_at=trial.starts_at,
        ends_at=trial.ends_at,
        leads=leads,
        spend_cents=spend,
    )


def window(
    buckets: Mapping[tuple[date, int], Bucket] | None = None,
    *,
    era: int = 0,
    era_assigned: int = 10_000_000,
    reset_at: datetime | None = None,
) -> Window:
    """A company's window, by default long out of protection."""
    return Window(
        company_id=CompanyId("roofs"),
        era=era,
        era_assigned=era_assigned,
        reset_at=reset_at,
        buckets=buckets or {},
    )


def days_ago(days: int) -> date:
    """A day of the window, counted back from today."""
    return TODAY - timedelta(days=days)
