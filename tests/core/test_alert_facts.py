"""From which figures on something is alerted to, and how it is reckoned (rules §4, §5, §8, §12)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.alert_kinds import AlertKind
from exchange.core.alert_money import balance_facts, cap_facts, least_price, rate_facts
from exchange.core.alert_systems import (
    BidderCounts,
    Incidents,
    Streak,
    bidder_facts,
    connection_fact,
    crm_fact,
    drift_fact,
    saved_fact,
)
from exchange.core.alert_terms import Terms
from exchange.core.alerts import Fact, Watch, key_of
from exchange.core.changes import UsageChange
from exchange.core.connections import Hour, places_of, uptime
from exchange.core.model import (
    Bid,
    Campaign,
    CampaignId,
    Cap,
    CompanyId,
    Condition,
    DeliveryTarget,
    Modifier,
    Policy,
)
from exchange.core.remote import Remote
from exchange.core.standing import Bucket, Standing, Verdict, Window, book, weigh

TODAY = date(2026, 11, 21)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ACME, ROOFS = CompanyId("acme"), CampaignId("roofs")
TERMS = Terms()


def standing_of(assigned: int, manual: int, crm: int, policy: Policy | None = None) -> Standing:
    window = Window(
        company_id=ACME,
        era_assigned=max(assigned, 5_000_00),
        buckets={(TODAY, 0): Bucket(assigned=assigned, manual=manual, crm=crm)},
    )
    return weigh(window, TODAY, policy or Policy())


def watching(*kinds: AlertKind, campaign: CampaignId | None = None) -> dict[str, Watch]:
    keys = [key_of(kind, ACME, campaign) for kind in kinds]
    return {key: Watch(key=key, alert_id="a") for key in keys}


def levels(facts: list[Fact]) -> dict[str, str]:
    return {fact.kind.value: fact.level for fact in facts}


def rates(standing: Standing, watches: dict[str, Watch] | None = None) -> list[Fact]:
    return list(rate_facts(standing, Policy(), TERMS, watches or {}))


# --- rates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("manual", "crm", "expected"),
    [
        (180, 30, {}),
        (370, 30, {"overall_near": "over"}),
        (530, 320, {"overall_over": "over", "verdict_changed": "over"}),
        (0, 800, {"overall_over": "over", "crm_near": "over", "verdict_changed": "over"}),
        (630, 1_240, {"overall_over": "over", "crm_over": "over", "verdict_changed": "over"}),
    ],
    ids=["2.1/0.3", "4.0/0.3", "8.5/3.2", "8.0/8.0", "18.7/12.4"],
)
def test_section_12_the_published_companies_are_told_what_they_are_at(
    manual: int, crm: int, expected: dict[str, str]
) -> None:
    assert levels(rates(standing_of(10_000_00, manual * 100, crm * 100))) == expected


def test_section_5_exactly_ten_percent_still_bids_and_is_near_not_over() -> None:
    assert levels(rates(standing_of(10_000_00, 0, 1_000_00)))["crm_near"] == "over"
    assert "crm_over" not in levels(rates(standing_of(10_000_00, 0, 1_000_00)))
    assert levels(rates(standing_of(10_000_00, 0, 1_000_01)))["crm_over"] == "over"


def test_an_alert_to_a_rate_shows_its_arithmetic() -> None:
    (fact,) = rates(standing_of(10_000_00, 450_00, 0))
    assert fact.text == (
        "The overall rejection rate is 4.50 %; a company is conditional from 5.00 %."
    )
    assert fact.arithmetic == (
        "450.00 rejected / 10000.00 assigned = 4.50 %; near from 80 % of 5.00 % = 4.00 %"
    )
    assert fact.values == {
        "overall_pct": Decimal("4.50"),
        "threshold_pct": Decimal("5.00"),
        "near_pct": Decimal("4.00"),
        "rejected": Decimal("450.00"),
        "assigned": Decimal("10000.00"),
    }


def test_recency_weighted_sums_are_told_in_dollars() -> None:
    policy = Policy(half_life_days=7)
    facts = list(rate_facts(standing_of(10_000_00, 450_00, 0, policy), policy, TERMS, {}))
    assert facts[0].values["assigned"] == Decimal("10000.00")


@given(st.integers(1, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_over_the_gate_is_what_the_gate_says_and_never_both_near_and_over(
    assigned: int, manual: int, crm: int
) -> None:
    manual = min(manual, assigned)
    standing = standing_of(assigned, manual, min(crm, assigned - manual))
    found = levels(rates(standing))
    assert ("crm_over" in found) == (standing.verdict is Verdict.EXCLUDED)
    for rate in ("crm", "overall"):
        assert not {f"{rate}_near", f"{rate}_over"} <= found.keys()
    # Whatever is remembered, what is over is not also under.
    kinds = (AlertKind.CRM_OVER, AlertKind.CRM_NEAR)
    again = levels(rates(standing, watching(*kinds)))
    assert {kind for kind, level in again.items() if level == "over"} == found.keys()


@given(st.integers(0, 2_000))
def test_a_rate_must_fall_a_margin_below_its_threshold_to_count_as_under(crm: int) -> None:
    watches = watching(AlertKind.CRM_OVER, AlertKind.CRM_NEAR)
    found = levels(rates(standing_of(10_000, 0, crm), watches))
    # Of 10,000 cents: over above 1,000 cents, under below 95 % of that; near from 800, under
    # below 75 % of the threshold.
    assert found["crm_over"] == ("over" if crm > 1_000 else "under" if crm < 950 else "between")
    near = "over" if crm >= 800 else "under" if crm < 750 else "between"
    assert found["crm_near"] == ("between" if crm > 1_000 else near)


def test_section_5_a_protected_company_is_told_of_no_crm_rate() -> None:
    window = Window(
        company_id=ACME,
        era_assigned=4_999_99,
        buckets={(TODAY, 0): Bucket(assigned=4_999_99, crm=4_000_00)},
    )
    assert rates(weigh(window, TODAY, Policy())) == []


# --- caps and balances ----------------------------------------------------------------------------


def campaign_of(*caps: Cap, bid: Bid | None = None) -> Campaign:
    return Campaign(
        campaign_id=ROOFS,
        company_id=ACME,
        name="Roofs",
        vertical="solar",
        bid=bid or Bid(exclusive_cents=45_75),
        caps=caps,
        delivery=(DeliveryTarget(kind="inbox"),),
    )


def caps(leads: int, cents: int, cap: Cap, watches: dict[str, Watch] | None = None) -> list[Fact]:
    start = datetime(2026, 11, 21, tzinfo=UTC)
    used = UsageChange(ROOFS, "day", start, leads, cents)
    usage = {(ROOFS, cap.period): used}
    return list(cap_facts(campaign_of(cap), usage, 45_75, NOON, TERMS, watches or {}))


@pytest.mark.parametrize(
    ("leads", "expected"), [(79, []), (80, ["cap_near"]), (99, ["cap_near"]), (100, ["cap_full"])]
)
def test_section_12_a_cap_is_told_at_80_percent_and_at_100(leads: int, expected: list[str]) -> None:
    assert [fact.kind.value for fact in caps(leads, 0, Cap(period="day", leads=100))] == expected


def test_a_budget_whose_rest_buys_no_lead_is_used_up() -> None:
    cap = Cap(period="day", spend_cents=1_000_00)
    assert [f.kind for f in caps(0, 954_25, cap)] == [AlertKind.CAP_NEAR]
    (fact,) = caps(0, 954_26, cap)
    assert fact.kind is AlertKind.CAP_FULL
    assert fact.arithmetic == (
        "954.26 / 1000.00 = 95.43 %; near from 80 %; the rest of 45.74 is less than the least "
        "price of 45.75"
    )


def test_a_cap_once_told_stays_told_while_what_is_held_comes_and_goes() -> None:
    cap = Cap(period="day", leads=100)
    (full,) = caps(100, 0, cap)
    watches = {full.key: Watch(key=full.key, alert_id="a")}
    assert levels(caps(99, 0, cap, watches)) == {"cap_full": "between"}


def test_section_12_a_cap_that_is_used_up_is_near_no_longer() -> None:
    cap = Cap(period="day", leads=100)
    (near,) = caps(99, 0, cap)
    watches = {near.key: Watch(key=near.key, alert_id="a")}
    assert levels(caps(100, 0, cap, watches)) == {"cap_full": "over", "cap_near": "under"}


def test_a_cap_of_a_period_that_is_over_is_not_told_of() -> None:
    cap = Cap(period="hour", leads=1)
    assert caps(1, 0, cap) == []


def test_the_least_price_of_what_only_a_ping_tells_is_a_cent() -> None:
    modifier = Modifier(when=Condition(field="zip", op="=", value="1"), add_cents=-40_00)
    assert least_price(campaign_of(bid=Bid(remote=Remote(url="http://b"))), None) == 1
    assert least_price(campaign_of(bid=Bid(exclusive_cents=5, modifiers=(modifier,))), None) == 1
    both = Bid(exclusive_cents=50_00, shared_cents={2: 30_00})
    assert least_price(campaign_of(bid=both), None) == 30_00
    assert least_price(campaign_of(bid=both), standing_of(1_000_00, 85_00, 0)) == 27_45


@pytest.mark.parametrize(
    ("cents", "expected"),
    [
        (110_00, {"balance_low": "under", "balance_empty": "under"}),
        (109_99, {"balance_low": "between", "balance_empty": "under"}),
        (100_00, {"balance_low": "between", "balance_empty": "under"}),
        (99_99, {"balance_low": "over", "balance_empty": "under"}),
        (45_75, {"balance_low": "over", "balance_empty": "between"}),
        (45_74, {"balance_low": "between", "balance_empty": "over"}),
        (0, {"balance_low": "between", "balance_empty": "over"}),
    ],
)
def test_section_12_a_balance_is_low_below_the_set_amount_and_empty_below_every_price(
    cents: int, expected: dict[str, str]
) -> None:
    watches = watching(AlertKind.BALANCE_LOW, AlertKind.BALANCE_EMPTY)
    assert levels(list(balance_facts(ACME, cents, [60_00, 45_75], TERMS, watches))) == expected


def test_a_company_that_buys_nothing_is_not_told_of_its_balance() -> None:
    assert list(balance_facts(ACME, 0, [], TERMS, {})) == []


# --- systems --------------------------------------------------------------------------------------


def incidents(count: int) -> Incidents:
    return Incidents(
        company_id=ACME,
        campaign_id=ROOFS,
        count=count,
        cents=45_75 * count,
        reasons={"crm_timeout": count},
        kinds=("email",),
    )


def test_section_8_crm_rejections_are_told_from_the_set_number_on() -> None:
    terms = Terms(crm_rejections=3)
    assert [crm_fact(incidents(n), terms, None).level for n in (0, 1, 2, 3)] == [
        "under",
        "between",
        "between",
        "over",
    ]
    fact = crm_fact(incidents(3), terms, standing_of(10_000_00, 0, 137_25))
    assert "3 deliveries worth 137.25 dollars failed for good" in fact.text
    assert fact.text.endswith("; they count as CRM rejections.")
    assert fact.values["reason_crm_timeout"] == 3


def test_section_5_a_protected_company_is_not_told_that_its_failed_deliveries_count() -> None:
    held = book(Window(company_id=ACME), TODAY, 0, assigned=4_000_00, crm=137_25)
    fact = crm_fact(incidents(3), Terms(), weigh(held, TODAY, Policy()))
    assert fact.text.endswith(
        "; as the company is protected, they count only once 1000.00 dollars more are assigned."
    )


def test_section_8_a_sale_that_a_backup_saved_is_an_incident_that_is_told() -> None:
    fact = saved_fact(incidents(1))
    assert (fact.level, fact.values["sales"], fact.values["taken_by"]) == ("over", 1, "email")


def bidder(resting: int = 0, workers: int = 2, asked: int = 100, failed: int = 0) -> BidderCounts:
    return BidderCounts(
        company_id=ACME,
        campaign_id=ROOFS,
        workers=workers,
        resting=resting,
        asked=asked,
        failed=failed,
    )


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (bidder(), {"bidder_resting": "under", "bidder_errors": "under"}),
        (bidder(resting=1), {"bidder_resting": "over", "bidder_errors": "under"}),
        (bidder(resting=1, workers=3), {"bidder_resting": "between", "bidder_errors": "under"}),
        (bidder(failed=50), {"bidder_resting": "under", "bidder_errors": "over"}),
        (bidder(failed=40), {"bidder_resting": "under", "bidder_errors": "between"}),
        (bidder(failed=39), {"bidder_resting": "under", "bidder_errors": "under"}),
        (bidder(asked=19, failed=19), {"bidder_resting": "under", "bidder_errors": "between"}),
    ],
)
def test_section_12_a_bidder_that_rests_or_fails_is_told(
    counts: BidderCounts, expected: dict[str, str]
) -> None:
    watches = watching(AlertKind.BIDDER_RESTING, AlertKind.BIDDER_ERRORS, campaign=ROOFS)
    assert levels(bidder_facts(counts, TERMS, watches)) == expected
    told = {kind: level for kind, level in expected.items() if level == "over"}
    assert levels(bidder_facts(counts, TERMS, {})) == told


@pytest.mark.parametrize(
    ("failures", "successes", "expected"),
    [(1, 0, "between"), (2, 0, "between"), (3, 0, "over"), (0, 1, "between"), (0, 2, "under")],
)
def test_section_12_a_connection_fails_after_so_many_failures_and_works_after_so_many_successes(
    failures: int, successes: int, expected: str
) -> None:
    streak = Streak(
        company_id=ACME,
        campaign_id=ROOFS,
        target="delivery[0]",
        failures=failures,
        successes=successes,
    )
    assert connection_fact(streak, 3, 2).level == expected


def test_stores_that_agree_are_no_fact_to_tell() -> None:
    assert drift_fact([], 100).level == "under"
    fact = drift_fact(["company a in the fast store: head", "company b"], 100)
    assert (fact.level, fact.values["companies"], fact.company_id) == ("over", 2, None)


# --- connections ----------------------------------------------------------------------------------


def test_uptime_is_the_part_of_the_tests_of_a_span_that_passed() -> None:
    hours = [
        Hour(hour=NOON - timedelta(hours=24), tests=9, passed=0),
        Hour(hour=NOON - timedelta(hours=23), tests=4, passed=3, took_ms=(30, 10, 20)),
        Hour(hour=NOON, tests=1, passed=1, took_ms=(40,)),
    ]
    day = uptime(hours, NOON, timedelta(days=1))
    assert (day.tests, day.passed) == (5, 4)
    assert (day.p50_ms, day.p95_ms, day.p99_ms) == (20, 40, 40)
    assert uptime(hours, NOON, timedelta(days=30)).tests == 14
    assert uptime((), NOON, timedelta(days=1)).p50_ms is None


@given(st.lists(st.integers(0, 60_000), min_size=1, max_size=60))
def test_a_percentile_is_a_time_that_was_measured_and_so_many_are_not_above(
    times: list[int],
) -> None:
    hour = Hour(hour=NOON, tests=len(times), passed=len(times), took_ms=times)
    found = uptime([hour], NOON, timedelta(days=1))
    for percent, value in ((50, found.p50_ms), (95, found.p95_ms), (99, found.p99_ms)):
        assert value is not None
        assert value in times
        assert sum(time <= value for time in times) * 100 >= percent * len(times)
        assert sum(time < value for time in times) * 100 < percent * len(times)


def test_an_inbox_and_a_bid_stream_have_nothing_to_test() -> None:
    remote = Remote(url="wss://bidder.example", stream=True)
    places = places_of(campaign_of(bid=Bid(remote=remote)))
    assert [(place.target, place.untested) for place in places] == [
        ("bidder", "stream"),
        ("delivery[0]", "inbox"),
    ]
