"""What would lift a company over the gate, to the cent (rules: §5, §12)."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from exchange.core.dynamic import Bounds, DayFactors, Factor, Span
from exchange.core.model import Policy
from exchange.core.recovery import (
    Goal,
    is_reached,
    least_clean,
    look_ahead,
    recover,
    reset_due,
    room_left,
)
from exchange.core.reset import judge_reset, missing_cents
from exchange.core.standing import Bucket, Verdict, Window, book, start_era, weigh
from tests.core.making import NOW, TODAY, days_ago, window

POLICY = Policy()
DAYS = st.integers(0, 40).map(days_ago)
GOALS: st.SearchStrategy[Goal] = st.sampled_from(["bids", "qualified"])


@st.composite
def buckets(draw: st.DrawFn) -> Bucket:
    assigned = draw(st.integers(0, 1_000_000))
    manual = draw(st.integers(0, assigned))
    return Bucket(assigned=assigned, manual=manual, crm=draw(st.integers(0, assigned - manual)))


WINDOWS = st.builds(
    window,
    st.dictionaries(st.tuples(DAYS, st.integers(0, 2)), buckets(), max_size=8),
    era=st.integers(0, 2),
    era_assigned=st.integers(0, 1_000_000),
)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Policies with and without recency weighting, and with factors applied on every day."""
    policy = Policy(
        half_life_days=draw(st.sampled_from([None, None, 3, 30])),
        crm_threshold_bp=draw(st.sampled_from([1_000, 0, 333, 10_000])),
        conditional_overall_bp=draw(st.sampled_from([500, 0, 77, 10_000])),
    )
    if draw(st.booleans()):
        factors = moved(draw(st.integers(-1_000, 1_000)), draw(st.integers(-1_000, 1_000)))
        days = [TODAY + timedelta(days=ahead) for ahead in range(40)]
        policy = replace(policy, adjustments=dict.fromkeys(days, factors))
    return policy


def moved(market_bp: int, seasonal_bp: int) -> DayFactors:
    """Factors of that size."""
    span = Span(first=TODAY, last=TODAY, assigned=0, rejected=0)

    def factor(bp: int) -> Factor:
        return Factor(recent=span, usual=span, measured_bp=bp, bp=bp, why="measured")

    return DayFactors(
        day=TODAY, market=factor(market_bp), seasonal=factor(seasonal_bp), bounds=Bounds()
    )


def with_clean(held: Window, cents: int) -> Window:
    return book(held, TODAY, held.era, assigned=cents)


@given(WINDOWS, policies(), GOALS)
def test_with_exactly_the_dollars_told_the_goal_is_reached_and_with_a_cent_less_it_is_not(
    held: Window, policy: Policy, goal: Goal
) -> None:
    clean = least_clean(held, TODAY, policy, goal)
    if clean is None:
        for cents in (1, 500_000, 10**12):
            assert not is_reached(weigh(with_clean(held, cents), TODAY, policy), goal)
        return
    assert is_reached(weigh(with_clean(held, clean), TODAY, policy), goal)
    if clean:
        assert not is_reached(weigh(with_clean(held, clean - 1), TODAY, policy), goal)


@given(WINDOWS, policies(), GOALS, st.integers(0, 999))
def test_nothing_less_than_the_dollars_told_reaches_the_goal(
    held: Window, policy: Policy, goal: Goal, part: int
) -> None:
    clean = least_clean(held, TODAY, policy, goal)
    if clean != 0:
        less = (10**7 if clean is None else clean) * part // 1_000
        assert not is_reached(weigh(with_clean(held, less), TODAY, policy), goal)


@pytest.mark.parametrize(
    ("manual", "crm", "bids", "qualified"),
    [
        pytest.param(180_00, 30_00, 0, 0, id="2.1 % and 0.3 %: qualified already"),
        # 850 / (10,000 + x) < 5 %: a cent more than 7,000.
        pytest.param(530_00, 320_00, 0, 7_000_01, id="8.5 % and 3.2 %: conditional"),
        # 1,240 / (10,000 + x) ≤ 10 %, and 1,870 / (10,000 + x) < 5 %.
        pytest.param(630_00, 1240_00, 2_400_00, 27_400_01, id="18.7 % and 12.4 %: excluded"),
    ],
)
def test_section_12_the_published_companies_read_what_would_lift_them(
    manual: int, crm: int, bids: int, qualified: int
) -> None:
    held = window({(TODAY, 0): Bucket(assigned=10_000_00, manual=manual, crm=crm)})
    found = recover(held, TODAY, NOW, POLICY)
    assert (found.bids.clean_cents, found.qualified.clean_cents) == (bids, qualified)


def test_section_5_exactly_10_percent_still_bids_so_nothing_is_missing() -> None:
    held = window({(TODAY, 0): Bucket(assigned=10_000_00, crm=1_000_00)})
    assert least_clean(held, TODAY, POLICY, "bids") == 0


def test_section_5_clean_leads_may_end_protection_and_then_more_are_needed() -> None:
    held = book(window(era_assigned=0), TODAY, 0, assigned=4_900_00, manual=245_00, crm=480_00)
    # A cent more and manual rejections are below 5 %: 245 / 4,900.01.
    assert least_clean(held, TODAY, POLICY, "qualified") == 1
    held = book(window(era_assigned=0), TODAY, 0, assigned=4_900_00, manual=251_00, crm=480_00)
    # Below 5 % only past $5,000, where $480 more begin to count: 731 / (4,900 + x) < 5 %.
    assert least_clean(held, TODAY, POLICY, "qualified") == 731_00 * 20 + 1 - 4_900_00


@given(WINDOWS, policies())
def test_the_days_told_are_the_first_on_which_a_goal_is_reached(
    held: Window, policy: Policy
) -> None:
    found = recover(held, TODAY, NOW, policy)
    factors = policy.adjustments.get(TODAY)
    for lift in (found.bids, found.qualified):
        first = None
        for ahead in range(1, policy.window_days + 1):
            day = TODAY + timedelta(days=ahead)
            at_todays = replace(policy, adjustments={day: factors} if factors else {})
            if is_reached(weigh(held, day, at_todays), lift.goal):
                first = day
                break
        assert lift.day == (None if lift.reached else first)


@pytest.mark.parametrize(
    ("age", "until"),
    [pytest.param(29, 1, id="the oldest day goes at midnight"), pytest.param(0, 30, id="today's")],
)
def test_section_4_a_day_of_rejections_leaves_30_days_after_it(age: int, until: int) -> None:
    held = window({(days_ago(age), 0): Bucket(assigned=1_000_00, crm=500_00)})
    found = recover(held, TODAY, NOW, POLICY)
    assert found.bids.day == TODAY + timedelta(days=until)


def test_what_is_looked_ahead_at_ends_where_the_company_is_qualified() -> None:
    held = window(
        {(days_ago(age), 0): Bucket(assigned=100_00, manual=50_00 - age) for age in range(30)}
    )
    ahead = look_ahead(held, TODAY, POLICY)
    assert len(ahead) == 30 and ahead[-1].verdict is Verdict.QUALIFIED
    assert all(standing.verdict is Verdict.CONDITIONAL for standing in ahead[:-1])
    assert look_ahead(window(), TODAY, POLICY) == []


@given(st.integers(0, 1_000_000), st.none() | st.integers(0, 60))
def test_section_5_a_reset_is_due_exactly_when_one_would_be_granted(
    era_assigned: int, days: int | None
) -> None:
    reset_at = None if days is None else NOW - timedelta(days=days)
    held = window(era_assigned=era_assigned, reset_at=reset_at)
    due = reset_due(held, TODAY, NOW, POLICY)
    assert due.may_ask is (judge_reset(held, NOW, POLICY) is None)
    assert due.missing_cents == missing_cents(held, POLICY)
    if due.earliest is not None:
        full = replace(held, era_assigned=POLICY.protection_cents)
        assert judge_reset(full, due.earliest, POLICY) is None
        assert judge_reset(full, due.earliest - timedelta(microseconds=1), POLICY) is not None


def test_section_5_a_reset_lifts_an_excluded_company_at_once() -> None:
    held = window({(TODAY, 0): Bucket(assigned=10_000_00, crm=2_000_00)})
    due = recover(held, TODAY, NOW, POLICY).reset
    assert due.may_ask and due.after == weigh(start_era(held, NOW), TODAY, POLICY)
    assert due.after.verdict is Verdict.QUALIFIED and due.after.overall_hundredths == 0


@given(WINDOWS, policies())
def test_section_12_the_room_told_may_go_wrong_and_a_cent_more_changes_the_verdict(
    held: Window, policy: Policy
) -> None:
    standing = weigh(held, TODAY, policy)
    room = room_left(standing, policy)

    def verdict(**cents: int) -> Verdict:
        return weigh(book(held, TODAY, held.era, **cents), TODAY, policy).verdict

    def failing(cents: int) -> Verdict:
        return verdict(assigned=cents, crm=cents)

    if (crm := room.crm_cents) is not None:
        assert failing(crm) is not Verdict.EXCLUDED
        assert failing(crm + 1) is Verdict.EXCLUDED
    if (returned := room.overall_cents) is not None:
        assert verdict(manual=returned) is Verdict.QUALIFIED
        sold = standing.raw_assigned - standing.raw_crm - standing.raw_manual
        assert verdict(manual=returned + 1) is not Verdict.QUALIFIED or returned == sold
    if (failed := room.overall_crm_cents) is not None:
        if crm is None or failed <= crm:
            assert failing(failed) is Verdict.QUALIFIED
        assert failing(failed + 1) is not Verdict.QUALIFIED


def test_section_12_a_failed_delivery_is_assigned_with_its_failure() -> None:
    held = window({(TODAY, 0): Bucket(assigned=5_590_20, crm=100_00)})
    room = room_left(weigh(held, TODAY, POLICY), POLICY)
    # (100.00 + 510.02) ÷ (5,590.20 + 510.02) is 10 % and no more; of what was sold 459.02 would be.
    assert room.crm_cents == 510_02
    # (100.00 + 179.50) ÷ 5,590.20, and (100.00 + 188.95) ÷ (5,590.20 + 188.95): just below 5 %.
    assert (room.overall_cents, room.overall_crm_cents) == (179_50, 188_95)


def test_section_5_a_protected_company_reads_what_it_would_be_without() -> None:
    held = book(window(era_assigned=0), TODAY, 0, assigned=4_000_00, crm=800_00)
    found = recover(held, TODAY, NOW, POLICY)
    assert found.standing.verdict is Verdict.QUALIFIED
    end = found.protection_end
    assert end is not None and (end.left_cents, end.counting_cents) == (1_000_00, 800_00)
    assert end.standing.verdict is Verdict.EXCLUDED and end.standing.crm_hundredths == 1600


def test_a_day_in_the_future_of_the_window_is_not_looked_at_twice() -> None:
    held = window({(TODAY, 0): Bucket(assigned=1, crm=1), (TODAY, 1): Bucket(assigned=1)})
    days: list[date] = [standing.day for standing in look_ahead(held, TODAY, POLICY)]
    assert days == [TODAY + timedelta(days=30)]
