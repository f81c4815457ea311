"""Changes may come in any order and twice, and make the same market (rules: §3–§5)."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.changes import BucketChange, CampaignChange, CompanyChange, UsageChange
from exchange.core.filters import FilterError
from exchange.core.hours import period_bounds
from exchange.core.market import Market
from exchange.core.model import CampaignId, CompanyId, Condition, Period, Policy
from exchange.core.standing import Bucket, Verdict
from tests.core.making import (
    NOW,
    TODAY,
    campaign,
    company,
    days_ago,
    market,
    rated,
    solar,
)

SOLAR = solar()
ROOFS = CompanyId("roofs")
CAMPAIGNS = [CampaignId("c-1"), CampaignId("c-2")]
PERIODS: list[Period] = ["day", "month"]


@st.composite
def histories(draw: st.DrawFn) -> list[CompanyChange]:
    """What the transactions of one company publish, oldest first; some as whole snapshots."""
    buckets: dict[tuple[date, int], BucketChange] = {}
    usage: dict[tuple[CampaignId, Period], UsageChange] = {}
    told = []
    for version in range(1, draw(st.integers(2, 8))):
        touched_days = draw(st.sets(st.sampled_from([0, 1, 2]), max_size=2))
        touched_uses = draw(
            st.sets(st.tuples(st.sampled_from(CAMPAIGNS), st.sampled_from(PERIODS)), max_size=2)
        )
        era = draw(st.integers(0, 1))
        for age in touched_days:
            key = (days_ago(age), era)
            buckets[key] = BucketChange(*key, 100_00 * version, version, 2 * version)
        for campaign_id, period in touched_uses:
            starts_at, _ = period_bounds(period, "UTC", NOW)
            usage[campaign_id, period] = UsageChange(
                campaign_id, period, starts_at, version, 50_00 * version
            )
        whole = draw(st.booleans())
        if whole and buckets and draw(st.booleans()):
            buckets.pop(draw(st.sampled_from(sorted(buckets))))
        if whole and usage and draw(st.booleans()):
            usage.pop(draw(st.sampled_from(sorted(usage))))
        told.append(
            CompanyChange(
                company_id=ROOFS,
                version=version,
                active=draw(st.booleans()),
                era=era,
                era_assigned=1_000_00 * version,
                available_cents=draw(st.none() | st.integers(0, 10)),
                buckets=tuple(
                    row
                    for key, row in buckets.items()
                    if whole or (key[1] == era and (TODAY - key[0]).days in touched_days)
                ),
                usage=tuple(row for key, row in usage.items() if whole or key in touched_uses),
                whole=whole,
            )
        )
    return told


def after(changes: list[CompanyChange]) -> tuple[object, ...]:
    """All that is decided from, after these changes in this order."""
    made = Market([SOLAR], Policy(), TODAY)
    for change in changes:
        made.apply_company(change)
    held = made.companies[ROOFS]
    return (
        held.version,
        held.active,
        held.available_cents,
        held.window,
        held.usage,
        made.standings[ROOFS],
    )


@given(histories(), st.data())
def test_changes_in_any_order_and_twice_make_the_same_market(
    history: list[CompanyChange], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(history), max_size=4))
    shuffled = data.draw(st.permutations(history + again))
    assert after(shuffled) == after(history)


@given(histories())
def test_a_whole_snapshot_leaves_only_what_it_names(history: list[CompanyChange]) -> None:
    snapshot = company("roofs", rated(70_00, manual=7_00), version=100, whole=True)
    made = Market([SOLAR], Policy(), TODAY)
    for change in [*history, snapshot]:
        made.apply_company(change)
    held = made.companies[ROOFS]
    assert held.window.buckets == {(TODAY, 0): Bucket(assigned=70_00, manual=7_00)}
    assert held.usage == {}


def test_a_late_change_does_not_bring_back_what_a_snapshot_left_out() -> None:
    snapshot = company("roofs", version=5, whole=True)
    late = company("roofs", rated(50_00, manual=50_00), version=3)
    assert after([snapshot, late]) == after([late, snapshot])


def test_a_late_snapshot_keeps_what_is_newer() -> None:
    newer = company("roofs", rated(50_00), version=6)
    snapshot = company("roofs", rated(40_00, day=days_ago(1)), version=5, whole=True)
    assert after([newer, snapshot]) == after([snapshot, newer])


CAMPAIGN_HISTORY = [
    CampaignChange(
        campaign_id=CampaignId("c-1"),
        version=version,
        campaign=None if version == 3 else campaign("c-1", name=f"version {version}"),
    )
    for version in range(1, 6)
]


@given(st.permutations(CAMPAIGN_HISTORY + CAMPAIGN_HISTORY[1:3]))
def test_the_newest_word_on_a_campaign_holds(changes: list[CampaignChange]) -> None:
    made = Market([SOLAR], Policy(), TODAY)
    for change in changes:
        made.apply_campaign(change)
    held = made.campaign(CampaignId("c-1"))
    assert held is not None and held.name == "version 5"


@given(st.permutations(CAMPAIGN_HISTORY[:3]))
def test_a_deleted_campaign_stays_deleted(changes: list[CampaignChange]) -> None:
    made = Market([SOLAR], Policy(), TODAY)
    for change in changes:
        made.apply_campaign(change)
    assert made.campaign(CampaignId("c-1")) is None


def test_a_campaign_may_change_its_vertical() -> None:
    made = Market([SOLAR, solar(name="roofing")], Policy(), TODAY)
    for version, name in enumerate(("solar", "roofing")):
        one = campaign("c-1", vertical=name)
        made.apply_campaign(
            CampaignChange(campaign_id=one.campaign_id, version=version, campaign=one)
        )
    assert not list(made.runners("solar"))
    assert [runner.campaign.campaign_id for runner in made.runners("roofing")] == ["c-1"]


def test_a_campaign_that_does_not_fit_its_vertical_leaves_the_older_in_place() -> None:
    made = market([campaign("c-1")])
    wrong = campaign("c-1", filter=Condition(field="colour", op="=", value="red"))
    with pytest.raises(FilterError):
        made.apply_campaign(
            CampaignChange(campaign_id=wrong.campaign_id, version=2, campaign=wrong)
        )
    assert made.campaign(CampaignId("c-1")) == campaign("c-1")


def test_a_rejection_is_in_the_standing_at_once() -> None:
    made = market([], [company("roofs", rated(10_000_00))])
    made.apply_company(company("roofs", rated(10_000_00, crm=1_000_01), version=2))
    assert made.standings[ROOFS].verdict is Verdict.EXCLUDED


def test_at_midnight_the_oldest_day_leaves_every_window() -> None:
    made = market(
        [], [company("roofs", rated(10_000_00, crm=9_000_00, day=days_ago(29)), rated(1_00))]
    )
    assert made.standings[ROOFS].verdict is Verdict.EXCLUDED
    made.move_to(TODAY + timedelta(days=1))
    assert made.standings[ROOFS].verdict is Verdict.QUALIFIED
    assert list(made.companies[ROOFS].window.buckets) == [(TODAY, 0)]


def test_a_premium_condition_must_fit_its_vertical() -> None:
    with pytest.raises(FilterError) as fault:
        market([], vertical=solar(premium=Condition(field="colour", op="=", value="red")))
    assert fault.value.path == "premium.field"
