"""Whole auctions, as JSON: incoming ping → outgoing legs → response to the seller.

A scenario is one file in ``tests/scenarios/auction``; amounts are dollars, rates percent.
Its ``receipt`` names every bid and every campaign that did not bid, and nothing else.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from exchange.core.auction import Candidate, Decision, decide
from exchange.core.audit import Limits, explain_receipt, recompute
from exchange.core.changes import BucketChange, CampaignChange, CompanyChange, UsageChange
from exchange.core.hours import period_bounds
from exchange.core.market import Market
from exchange.core.model import (
    Bid,
    Campaign,
    CampaignId,
    Cap,
    CompanyId,
    Condition,
    Modifier,
    Period,
    Ping,
    PingId,
    Policy,
    Schedule,
    SellerId,
)
from exchange.core.money import (
    format_cents,
    parse_cents,
    parse_signed_cents,
    percent_hundredths,
)
from exchange.core.pricing import seller_price
from exchange.core.verticals import Vertical
from tests.core.making import DRAW_KEY, attributes, solar

FILES = sorted(Path(__file__).parents[1].joinpath("scenarios", "auction").glob("*.json"))


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a scenario: a misspelt key is a fault, not a rule that is never tested."""


class DaySpec(Strict, frozen=True, kw_only=True):
    day: date
    era: int = 0
    assigned: str = "0.00"
    manual: str = "0.00"
    crm: str = "0.00"


class CompanySpec(Strict, frozen=True, kw_only=True):
    days: tuple[DaySpec, ...] = ()
    era: int = 0
    assigned_since_reset: str | None = None
    balance: str | None = None
    active: bool = True


class UsedSpec(Strict, frozen=True, kw_only=True):
    leads: int = 0
    spend: str = "0.00"


class CapSpec(Strict, frozen=True, kw_only=True):
    period: Period
    leads: int | None = None
    spend: str | None = None
    used: UsedSpec = UsedSpec()


class ModifierSpec(Strict, frozen=True, kw_only=True):
    when: Condition
    add: str = "0.00"
    multiply_pct: int = 100


class CampaignSpec(Strict, frozen=True, kw_only=True):
    company: str
    exclusive: str | None = None
    shared: dict[int, str] = {}
    modifiers: tuple[ModifierSpec, ...] = ()
    filter: Condition | None = None
    caps: tuple[CapSpec, ...] = ()
    schedule: Schedule = Schedule()
    max_age_s: int | None = None
    active: bool = True


class Incoming(Strict, frozen=True, kw_only=True):
    """The ping."""

    attributes: dict[str, Any]
    captured_at: datetime
    max_buyers: int = 1
    min_price: str = "0.00"
    sold_to: tuple[str, ...] = ()


class Leg(Strict, frozen=True, kw_only=True):
    """What goes out to a winner, and what it pays."""

    campaign: str
    price: str


class Response(Strict, frozen=True, kw_only=True):
    """What the seller reads; ``legs`` are its prices, ``reasons`` why the others did not buy."""

    status: str
    price: str | None = None
    legs: tuple[str, ...] = ()
    reasons: dict[str, int] = {}


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A line of the receipt."""

    campaign: str
    outcome: str
    reason: str | None = None
    share: int | None = None
    base: str | None = None
    rate: str | None = None
    rectified: str | None = None
    charged: str | None = None
    rank: int | None = None


class VerticalChange(Strict, frozen=True, kw_only=True):
    floor: str = "0.00"
    premium: Condition | None = None


class Scenario(Strict, frozen=True, kw_only=True):
    rule: str
    now: datetime
    policy: Policy = Policy()
    vertical: VerticalChange = VerticalChange()
    companies: dict[str, CompanySpec]
    campaigns: dict[str, CampaignSpec]
    incoming: Incoming
    outgoing: tuple[Leg, ...]
    response: Response
    receipt: tuple[Row, ...]
    told: tuple[str, ...] = ()


def dollars(amount: str) -> int:
    return parse_cents(Decimal(amount))


def told_of(scenario: Scenario, name: str, spec: CompanySpec) -> CompanyChange:
    gained = sum(dollars(day.assigned) for day in spec.days if day.era == spec.era)
    usage = [
        UsageChange(
            CampaignId(campaign_name),
            cap.period,
            period_bounds(cap.period, campaign.schedule.timezone, scenario.now)[0],
            cap.used.leads,
            dollars(cap.used.spend),
        )
        for campaign_name, campaign in scenario.campaigns.items()
        if campaign.company == name
        for cap in campaign.caps
    ]
    return CompanyChange(
        company_id=CompanyId(name),
        version=1,
        active=spec.active,
        era=spec.era,
        era_assigned=(
            gained if spec.assigned_since_reset is None else dollars(spec.assigned_since_reset)
        ),
        available_cents=None if spec.balance is None else dollars(spec.balance),
        buckets=tuple(
            BucketChange(
                day.day, day.era, dollars(day.assigned), dollars(day.manual), dollars(day.crm)
            )
            for day in spec.days
        ),
        usage=tuple(usage),
        whole=True,
    )


def campaign_of(name: str, spec: CampaignSpec) -> Campaign:
    return Campaign(
        campaign_id=CampaignId(name),
        company_id=CompanyId(spec.company),
        name=name,
        vertical="solar",
        active=spec.active,
        filter=spec.filter,
        bid=Bid(
            exclusive_cents=None if spec.exclusive is None else dollars(spec.exclusive),
            shared_cents={share: dollars(price) for share, price in spec.shared.items()},
            modifiers=tuple(
                Modifier(
                    when=modifier.when,
                    add_cents=parse_signed_cents(modifier.add),
                    multiply_bp=100 * modifier.multiply_pct,
                )
                for modifier in spec.modifiers
            ),
        ),
        caps=tuple(
            Cap(
                period=cap.period,
                leads=cap.leads,
                spend_cents=None if cap.spend is None else dollars(cap.spend),
            )
            for cap in spec.caps
        ),
        schedule=spec.schedule,
        max_age_s=spec.max_age_s,
        delivery=(),
    )


def market_of(scenario: Scenario, vertical: Vertical) -> Market:
    made = Market([vertical], scenario.policy, scenario.now.date())
    for name, company in scenario.companies.items():
        made.apply_company(told_of(scenario, name, company))
    for name, campaign in scenario.campaigns.items():
        made.apply_campaign(
            CampaignChange(
                campaign_id=CampaignId(name), version=1, campaign=campaign_of(name, campaign)
            )
        )
    return made


def ping_of(scenario: Scenario, vertical: Vertical) -> Ping:
    incoming = scenario.incoming
    return Ping(
        ping_id=PingId("p-1"),
        seller_id=SellerId("s-1"),
        vertical="solar",
        attributes=attributes(vertical, **incoming.attributes),
        captured_at=incoming.captured_at,
        received_at=scenario.now,
        max_buyers=incoming.max_buyers,
        min_price_cents=dollars(incoming.min_price),
        sold_to=frozenset(CompanyId(name) for name in incoming.sold_to),
    )


def money(cents: int | None) -> str | None:
    return None if cents is None else format_cents(cents)


def row_of(candidate: Candidate) -> Row:
    rate = percent_hundredths(candidate.rejected, candidate.assigned)
    return Row(
        campaign=candidate.campaign_id,
        outcome=candidate.outcome,
        reason=None if candidate.reason is None else candidate.reason.code,
        share=candidate.share,
        base=money(candidate.base_cents),
        rate=None if candidate.base_cents is None else format_cents(rate),
        rectified=money(candidate.rectified_cents),
        charged=money(candidate.charged_cents),
        rank=candidate.rank,
    )


def response_of(decision: Decision, take_rate_bp: int) -> Response:
    award = decision.award
    prices = [seller_price(bid.charged_cents, take_rate_bp) for bid in award.ranks[: award.winners]]
    return Response(
        status="offer" if prices else "no_offer",
        price=money(sum(prices)) if prices else None,
        legs=tuple(format_cents(price) for price in prices),
        reasons=decision.reasons,
    )


def by_campaign(row: Row) -> tuple[str, int]:
    return row.campaign, row.share or 0


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def scenario(request: pytest.FixtureRequest) -> Scenario:
    path: Path = request.param
    return msgspec.json.decode(path.read_bytes(), type=Scenario)


@pytest.fixture
def vertical(scenario: Scenario) -> Vertical:
    return solar(floor=scenario.vertical.floor, premium=scenario.vertical.premium)


@pytest.fixture
def decision(scenario: Scenario, vertical: Vertical) -> Decision:
    return decide(
        market_of(scenario, vertical), ping_of(scenario, vertical), scenario.now, DRAW_KEY
    )


def test_the_lead_goes_to_the_companies_expected(scenario: Scenario, decision: Decision) -> None:
    award = decision.award
    legs = tuple(
        Leg(campaign=bid.campaign_id, price=format_cents(bid.charged_cents))
        for bid in award.ranks[: award.winners]
    )
    assert legs == scenario.outgoing


def test_the_seller_reads_the_response_expected(scenario: Scenario, decision: Decision) -> None:
    assert response_of(decision, scenario.policy.take_rate_bp) == scenario.response


def test_the_receipt_is_the_one_expected(scenario: Scenario, decision: Decision) -> None:
    rows = sorted(map(row_of, decision.candidates), key=by_campaign)
    assert msgspec.to_builtins(rows) == msgspec.to_builtins(
        sorted(scenario.receipt, key=by_campaign)
    )


def test_an_auditor_finds_the_same_winners(
    scenario: Scenario, vertical: Vertical, decision: Decision
) -> None:
    limits = Limits(
        floor_cents=vertical.floor_cents,
        min_price_cents=dollars(scenario.incoming.min_price),
        take_rate_bp=scenario.policy.take_rate_bp,
    )
    found = recompute(decision.candidates, max_buyers=scenario.incoming.max_buyers, limits=limits)
    assert found == tuple(leg.campaign for leg in scenario.outgoing)


def test_the_receipt_is_told_in_these_words(scenario: Scenario, decision: Decision) -> None:
    told = explain_receipt(decision.candidates, {})
    assert len(told) == len(decision.candidates)
    if scenario.told:
        assert told == list(scenario.told)


def test_there_are_scenarios() -> None:
    assert len(FILES) >= 15
