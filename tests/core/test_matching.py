"""Every campaign that does not bid carries the first reason of the rules' order (rules: §3.2–3)."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec import Struct

from exchange.core.changes import BucketChange, CampaignChange, UsageChange
from exchange.core.contract import Trial
from exchange.core.hours import period_bounds
from exchange.core.market import Market
from exchange.core.matching import why_no_room, why_not
from exchange.core.model import (
    Bid,
    CampaignId,
    Cap,
    CompanyId,
    Condition,
    Modifier,
    OpenHours,
    Period,
    Schedule,
)
from exchange.core.reasons import Reason
from exchange.core.runner import base_price
from exchange.core.terms import Tier
from tests.core.making import (
    LEAD,
    NOW,
    attributes,
    campaign,
    company,
    contract,
    market,
    ping,
    rated,
    solar,
    trial_use,
)

SOLAR = solar()
YESTERDAY = NOW - timedelta(days=1)
NEVER = Schedule(windows=(OpenHours(days=(), from_minute=0, to_minute=60),))


def used(period: Period, leads: int = 0, spend_cents: int = 0, periods_ago: int = 0) -> UsageChange:
    starts_at, _ = period_bounds(period, "UTC", NOW)
    for _ in range(periods_ago):
        starts_at, _ = period_bounds(period, "UTC", starts_at - timedelta(seconds=1))
    return UsageChange(CampaignId("roofs"), period, starts_at, leads, spend_cents)


class Fault(Struct, frozen=True):
    """One thing that keeps a campaign from bidding; the rest of its market is in order."""

    reason: Reason
    campaign: dict[str, Any] = {}
    cap: Cap | None = None
    usage: UsageChange | None = None
    available_cents: int | None = None
    bucket: BucketChange | None = None
    suppressed_by: frozenset[CompanyId] = frozenset()
    sold_to: frozenset[CompanyId] = frozenset()
    contract: dict[str, Any] = {}


IN_ORDER = [
    Fault(Reason.INACTIVE, {"active": False}),
    Fault(Reason.FILTER, {"filter": Condition(field="state", op="=", value="NV")}),
    Fault(Reason.SCHEDULE, {"schedule": NEVER}),
    Fault(Reason.CAP, cap=Cap(period="month", leads=5), usage=used("month", leads=5)),
    Fault(
        Reason.BUDGET,
        cap=Cap(period="day", spend_cents=100_00),
        usage=used("day", spend_cents=100_00),
    ),
    Fault(Reason.BALANCE, available_cents=0),
    Fault(Reason.LEAD_AGE, {"max_age_s": 59}),
    Fault(Reason.SUPPRESSED, suppressed_by=frozenset({CompanyId("roofs-co")})),
    Fault(Reason.SOLD_BEFORE, sold_to=frozenset({CompanyId("roofs-co")})),
    Fault(Reason.SHARE_MODE, {"bid": Bid(shared_cents={2: 30_00})}),
    Fault(Reason.TRIAL_OVER, contract={"trial": Trial(starts_at=YESTERDAY, ends_at=NOW)}),
    Fault(Reason.LEAD_TYPE, contract={"lead_types": ("shared",)}),
    Fault(Reason.LOW_SCORE, contract={"tiers": (Tier(min_score=101),)}),
    Fault(Reason.CRM_GATE, bucket=rated(10_000_00, crm=1_000_01)),
]


def faulty(*faults: Fault) -> Market:
    """A market of one campaign with these faults together, its caps in the reverse order."""
    changes: dict[str, Any] = {}
    for fault in faults:
        changes |= fault.campaign
    caps = tuple(fault.cap for fault in reversed(faults) if fault.cap is not None)
    balances = [f.available_cents for f in faults if f.available_cents is not None]
    told = company(
        "roofs-co",
        *(fault.bucket for fault in faults if fault.bucket is not None),
        usage=tuple(fault.usage for fault in faults if fault.usage is not None),
        available_cents=balances[0] if balances else None,
    )
    made = market([campaign("roofs", caps=caps, **changes)], [told], vertical=SOLAR)
    clauses: dict[str, Any] = {}
    for fault in faults:
        clauses |= fault.contract
    if clauses:
        made.contracts.apply(contract("roofs-co", **clauses))
    return made


def reason_in(
    made: Market,
    max_buyers: int = 1,
    sold_to: frozenset[CompanyId] = frozenset(),
    suppressed_by: frozenset[CompanyId] = frozenset(),
) -> Reason | None:
    (runner,) = made.runners("solar")
    company_id = runner.campaign.company_id
    one = ping(SOLAR, max_buyers=max_buyers, sold_to=sold_to, suppressed_by=suppressed_by)
    held, standing = made.companies.get(company_id), made.standings.get(company_id)
    deal = made.contracts.deal(one.seller_id, company_id, NOW)
    room = None if deal is None else made.contracts.room(deal)
    reason = why_not(runner, held, standing, one, NOW, deal, room)
    counts = made.indexes["solar"].gate(one, NOW).counts
    assert counts == ({} if reason is None else {reason.code: 1})
    return reason


def test_a_campaign_without_fault_bids() -> None:
    assert reason_in(faulty()) is None


@pytest.mark.parametrize("fault", IN_ORDER, ids=lambda fault: fault.reason.code)
def test_a_fault_is_told_as_its_reason(fault: Fault) -> None:
    found = reason_in(faulty(fault), sold_to=fault.sold_to, suppressed_by=fault.suppressed_by)
    assert found is fault.reason


@pytest.mark.parametrize("first", range(len(IN_ORDER)), ids=lambda i: IN_ORDER[i].reason.code)
def test_of_many_faults_the_first_in_the_rules_order_is_told(first: int) -> None:
    faults = IN_ORDER[first:]
    sold_to = frozenset().union(*(fault.sold_to for fault in faults))
    suppressed_by = frozenset().union(*(fault.suppressed_by for fault in faults))
    found = reason_in(faulty(*faults), sold_to=sold_to, suppressed_by=suppressed_by)
    assert found is faults[0].reason


def test_a_full_trial_is_told_after_the_campaign_and_before_the_contracts_other_clauses() -> None:
    trial = Trial(starts_at=YESTERDAY, ends_at=NOW + timedelta(days=1), leads=2)
    in_trial = Fault(Reason.TRIAL_FULL, contract={"trial": trial})
    after = [fault for fault in IN_ORDER if fault.reason in (Reason.LEAD_TYPE, Reason.LOW_SCORE)]
    for others, told in ((after, Reason.TRIAL_FULL), (IN_ORDER[:1], Reason.INACTIVE)):
        made = faulty(*others, in_trial)
        made.contracts.apply_use(trial_use("roofs-co", trial, 1, leads=2))
        assert reason_in(made) is told


def test_a_contact_another_company_suppresses_is_taken() -> None:
    assert reason_in(faulty(), suppressed_by=frozenset({CompanyId("other")})) is None


def test_a_contact_sold_to_another_company_is_taken() -> None:
    assert reason_in(faulty(), sold_to=frozenset({CompanyId("other")})) is None


def test_a_campaign_of_an_inactive_company_is_inactive() -> None:
    made = market([campaign("roofs")], [company("roofs-co", active=False)], vertical=SOLAR)
    assert reason_in(made) is Reason.INACTIVE


def test_a_campaign_of_an_unknown_company_is_inactive() -> None:
    made = market([], vertical=SOLAR)
    one = campaign("roofs")
    made.apply_campaign(CampaignChange(campaign_id=one.campaign_id, version=1, campaign=one))
    assert reason_in(made) is Reason.INACTIVE


def test_exactly_10_percent_crm_still_bids() -> None:
    made = faulty(Fault(Reason.CRM_GATE, bucket=rated(10_000_00, crm=1_000_00)))
    assert reason_in(made) is None


def test_a_lead_exactly_as_old_as_taken_is_taken() -> None:
    assert reason_in(faulty(Fault(Reason.LEAD_AGE, {"max_age_s": 60}))) is None


LEADS, SPEND = Cap(period="day", leads=5), Cap(period="day", spend_cents=100_00)


@pytest.mark.parametrize(
    ("cap", "usage", "reason"),
    [
        pytest.param(LEADS, None, None, id="nothing used"),
        pytest.param(LEADS, used("day", 4), None, id="one lead left"),
        pytest.param(LEADS, used("day", 5), Reason.CAP, id="none left"),
        pytest.param(LEADS, used("day", 5, periods_ago=1), None, id="none left yesterday"),
        pytest.param(LEADS, used("hour", 5), None, id="none left of another period"),
        pytest.param(Cap(period="day", leads=0), None, Reason.CAP, id="a cap of nothing"),
        pytest.param(SPEND, used("day", 1, 50_00), None, id="just enough money"),
        pytest.param(SPEND, used("day", 1, 50_01), Reason.BUDGET, id="a cent short"),
        pytest.param(SPEND, used("day", 1, 99_00, 1), None, id="spent yesterday"),
    ],
)
def test_a_cap_counts_what_was_used_in_its_period(
    cap: Cap, usage: UsageChange | None, reason: Reason | None
) -> None:
    told = company("roofs-co", usage=(usage,) if usage else ())
    held = market([], [told], vertical=SOLAR).companies[CompanyId("roofs-co")]
    assert why_no_room(campaign("roofs", caps=(cap,)), held, NOW, 50_00) is reason


@pytest.mark.parametrize(
    ("available", "reason"),
    [
        pytest.param(None, None, id="on account"),
        pytest.param(50_00, None, id="just enough"),
        pytest.param(49_99, Reason.BALANCE, id="a cent short"),
    ],
)
def test_a_prepaid_company_buys_what_it_can_pay(
    available: int | None, reason: Reason | None
) -> None:
    told = company("roofs-co", available_cents=available)
    held = market([], [told], vertical=SOLAR).companies[CompanyId("roofs-co")]
    assert why_no_room(campaign("roofs"), held, NOW, 50_00) is reason


@pytest.mark.parametrize(
    ("max_buyers", "bid", "reason"),
    [
        pytest.param(1, Bid(exclusive_cents=1), None, id="exclusive for exclusive"),
        pytest.param(3, Bid(exclusive_cents=1), None, id="exclusive for up to 3"),
        pytest.param(2, Bid(shared_cents={2: 1}), None, id="shared by 2 for up to 2"),
        pytest.param(2, Bid(shared_cents={3: 1}), Reason.SHARE_MODE, id="by 3 for up to 2"),
        pytest.param(1, Bid(shared_cents={2: 1}), Reason.SHARE_MODE, id="shared for exclusive"),
        pytest.param(2, Bid(shared_cents={1: 1}), Reason.SHARE_MODE, id="shared by 1 is no share"),
        pytest.param(2, Bid(), Reason.SHARE_MODE, id="no price at all"),
    ],
)
def test_a_share_count_must_be_one_the_ping_allows(
    max_buyers: int, bid: Bid, reason: Reason | None
) -> None:
    made = market([campaign("roofs", bid=bid)], vertical=SOLAR)
    assert reason_in(made, max_buyers) is reason


HERE = Condition(field="zip", op="prefix", value="941")
ELSEWHERE = Condition(field="zip", op="prefix", value="100")


@pytest.mark.parametrize(
    ("modifiers", "price"),
    [
        pytest.param([], 50_00, id="none"),
        pytest.param([Modifier(when=HERE, add_cents=5_00)], 55_00, id="adds"),
        pytest.param([Modifier(when=HERE, add_cents=-5_00)], 45_00, id="takes off"),
        pytest.param([Modifier(when=HERE, multiply_bp=11_000)], 55_00, id="takes its factor"),
        pytest.param([Modifier(when=HERE, add_cents=5_00, multiply_bp=11_000)], 60_50, id="both"),
        pytest.param([Modifier(when=ELSEWHERE, add_cents=5_00)], 50_00, id="does not apply"),
        pytest.param(
            [Modifier(when=HERE, multiply_bp=5_000), Modifier(when=HERE, add_cents=10)],
            25_10,
            id="the factor first, if it is first",
        ),
        pytest.param([Modifier(when=HERE, add_cents=-60_00)], 0, id="never below nothing"),
        pytest.param(
            [Modifier(when=HERE, add_cents=-49_95), Modifier(when=HERE, multiply_bp=5_000)],
            2,
            id="half to even: 2.5 cents are 2",
        ),
    ],
)
def test_modifiers_change_a_base_price_in_their_order(
    modifiers: list[Modifier], price: int
) -> None:
    bid = Bid(exclusive_cents=50_00, modifiers=tuple(modifiers))
    made = market([campaign("roofs", bid=bid)], vertical=SOLAR)
    (runner,) = made.runners("solar")
    assert base_price(runner, attributes(SOLAR, **LEAD), 1) == price


def test_a_share_count_without_price_has_none() -> None:
    made = market([campaign("roofs")], vertical=SOLAR)
    (runner,) = made.runners("solar")
    assert base_price(runner, attributes(SOLAR, **LEAD), 2) is None
