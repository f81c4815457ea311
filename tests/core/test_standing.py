"""Rates are dollar-weighted over 30 days, and decide who may bid (rules: §4, §5)."""

from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.model import Policy
from exchange.core.pricing import rectify
from exchange.core.standing import (
    UNIT_WEIGHT,
    Bucket,
    Verdict,
    Window,
    book,
    day_weight,
    start_era,
    weigh,
    window_start,
)
from tests.core.making import NOW, TODAY, days_ago, window

POLICY = Policy()
DAYS = st.integers(0, 40).map(days_ago)
CENTS = st.integers(0, 10_000_000)


@st.composite
def buckets(draw: st.DrawFn) -> Bucket:
    assigned = draw(CENTS)
    manual = draw(st.integers(0, assigned))
    return Bucket(assigned=assigned, manual=manual, crm=draw(st.integers(0, assigned - manual)))


WINDOWS = st.builds(
    window,
    st.dictionaries(st.tuples(DAYS, st.integers(0, 2)), buckets(), max_size=12),
    era=st.integers(0, 2),
    era_assigned=st.integers(0, 1_000_000),
)


@pytest.mark.parametrize(
    ("manual", "crm", "verdict", "overall", "price_of_100"),
    [
        pytest.param(180_00, 30_00, Verdict.QUALIFIED, 210, 97_90, id="2.1 % overall, 0.3 % CRM"),
        pytest.param(530_00, 320_00, Verdict.CONDITIONAL, 850, 91_50, id="8.5 % and 3.2 %"),
        pytest.param(630_00, 1240_00, Verdict.EXCLUDED, 1870, 81_30, id="18.7 % and 12.4 %"),
    ],
)
def test_the_published_companies_stand_and_pay_as_published(
    manual: int, crm: int, verdict: Verdict, overall: int, price_of_100: int
) -> None:
    bought = Bucket(assigned=10_000_00, manual=manual, crm=crm)
    standing = weigh(window({(TODAY, 0): bought}), TODAY, POLICY)
    assert (standing.verdict, standing.overall_hundredths) == (verdict, overall)
    assert rectify(100_00, standing) == price_of_100


def test_three_ten_day_spans_of_equal_value_average() -> None:
    held = {
        (days_ago(day), 0): Bucket(assigned=1_000_00, manual=manual)
        for start, manual in ((0, 25_00), (10, 60_00), (20, 80_00))
        for day in range(start, start + 10)
    }
    assert weigh(window(held), TODAY, POLICY).overall_hundredths == 550


def test_a_rejected_500_dollar_lead_weighs_as_much_as_ten_of_50() -> None:
    held = window()
    for _ in range(10):
        held = book(held, TODAY, 0, assigned=50_00)
    held = book(held, TODAY, 0, assigned=500_00, manual=500_00)
    assert weigh(held, TODAY, POLICY).overall_rate == Fraction(1, 2)


def test_manual_and_crm_rejections_both_count_in_the_overall_rate() -> None:
    held = window({(TODAY, 0): Bucket(assigned=1_000_00, manual=50_00, crm=30_00)})
    standing = weigh(held, TODAY, POLICY)
    assert (standing.overall_hundredths, standing.crm_hundredths) == (800, 300)


def test_with_nothing_assigned_the_rate_is_0() -> None:
    standing = weigh(window(), TODAY, POLICY)
    assert standing.overall_rate == 0 and standing.crm_hundredths == 0
    assert standing.verdict is Verdict.QUALIFIED


@given(WINDOWS)
def test_a_rate_never_exceeds_100_percent(held: Window) -> None:
    standing = weigh(held, TODAY, POLICY)
    assert 0 <= standing.overall_rate <= 1
    assert 0 <= standing.crm_rejected <= max(standing.crm_assigned, 0)


def test_the_window_is_today_and_the_29_days_before_it() -> None:
    assert window_start(TODAY, POLICY) == days_ago(29)


@pytest.mark.parametrize(
    ("age", "counted"), [(0, True), (29, True), (30, False), (31, False), (-1, False)]
)
def test_a_day_counts_inside_the_window_only(age: int, counted: bool) -> None:
    held = window({(days_ago(age), 0): Bucket(assigned=100_00, manual=40_00)})
    assert (weigh(held, TODAY, POLICY).overall_hundredths == 4000) is counted


@given(WINDOWS, st.integers(1, 45))
def test_a_day_leaves_with_its_numerator_and_its_denominator(held: Window, later: int) -> None:
    today = TODAY + timedelta(days=later)
    kept = {k: b for k, b in held.buckets.items() if k[0] >= window_start(today, POLICY)}
    moved = weigh(held, today, POLICY)
    assert moved.raw_assigned == sum(b.assigned for b in kept.values())
    assert moved.raw_manual == sum(b.manual for b in kept.values())
    assert moved.raw_crm == sum(b.crm for b in kept.values())


def test_a_rejection_is_booked_on_the_day_its_lead_was_assigned() -> None:
    held = book(window(), days_ago(3), 0, assigned=50_00)
    held = book(held, TODAY, 0, assigned=50_00)
    held = book(held, days_ago(3), 0, manual=50_00)
    assert held.buckets[days_ago(3), 0] == Bucket(assigned=50_00, manual=50_00)


@pytest.mark.parametrize(
    ("crm", "verdict"),
    [
        pytest.param(1_000_00, Verdict.CONDITIONAL, id="exactly 10 % still bids"),
        pytest.param(1_000_01, Verdict.EXCLUDED, id="a cent above does not"),
    ],
)
def test_above_10_percent_crm_a_company_is_excluded(crm: int, verdict: Verdict) -> None:
    held = window({(TODAY, 0): Bucket(assigned=10_000_00, crm=crm)})
    assert weigh(held, TODAY, POLICY).verdict is verdict


def test_manual_rejections_alone_never_exclude() -> None:
    held = window({(TODAY, 0): Bucket(assigned=10_000_00, manual=9_000_00)})
    assert weigh(held, TODAY, POLICY).verdict is Verdict.CONDITIONAL


@pytest.mark.parametrize(
    ("manual", "verdict"),
    [
        pytest.param(499_99, Verdict.QUALIFIED, id="a cent below 5 %"),
        pytest.param(500_00, Verdict.CONDITIONAL, id="exactly 5 %"),
    ],
)
def test_from_5_percent_overall_a_company_is_conditional(manual: int, verdict: Verdict) -> None:
    held = window({(TODAY, 0): Bucket(assigned=10_000_00, manual=manual)})
    assert weigh(held, TODAY, POLICY).verdict is verdict


@pytest.mark.parametrize(
    ("assigned", "protected", "verdict", "overall", "left"),
    [
        pytest.param(499_999, True, Verdict.QUALIFIED, 0, 1, id="$4,999.99: nothing counts"),
        pytest.param(500_000, False, Verdict.EXCLUDED, 6000, 0, id="$5,000.00: all counts"),
    ],
)
def test_protection_ends_at_5000_dollars_to_the_cent(
    assigned: int, protected: bool, verdict: Verdict, overall: int, left: int
) -> None:
    crm = assigned * 6 // 10
    held = book(window(era_assigned=0), TODAY, 0, assigned=assigned, crm=crm)
    standing = weigh(held, TODAY, POLICY)
    assert (standing.protected, standing.protection_left) == (protected, left)
    assert (standing.verdict, standing.overall_hundredths) == (verdict, overall)


def test_protection_does_not_cover_manual_rejections() -> None:
    held = book(window(era_assigned=0), TODAY, 0, assigned=1_000_00, manual=85_00, crm=500_00)
    standing = weigh(held, TODAY, POLICY)
    assert standing.protected and standing.overall_hundredths == 850


def test_what_was_assigned_before_the_window_still_ends_protection() -> None:
    held = book(window(era_assigned=0), days_ago(60), 0, assigned=5_000_00, crm=5_000_00)
    held = book(held, TODAY, 0, assigned=100_00, crm=20_00)
    standing = weigh(held, TODAY, POLICY)
    assert not standing.protected and standing.crm_hundredths == 2000


def test_a_standing_shows_the_crm_rejections_of_a_protected_company() -> None:
    held = book(window(era_assigned=0), TODAY, 0, assigned=100_00, crm=60_00)
    standing = weigh(held, TODAY, POLICY)
    assert (standing.raw_crm, standing.crm_rejected) == (60_00, 0)


class TestCrmReset:
    """Rules §5: from the approval on, protection starts again."""

    BEFORE = book(window(era_assigned=0), TODAY, 0, assigned=10_000_00, manual=300_00, crm=2_000_00)
    AFTER = start_era(BEFORE, NOW)

    def test_the_company_bids_again(self) -> None:
        assert weigh(self.BEFORE, TODAY, POLICY).verdict is Verdict.EXCLUDED
        assert weigh(self.AFTER, TODAY, POLICY).verdict is Verdict.QUALIFIED

    def test_protection_starts_again(self) -> None:
        standing = weigh(self.AFTER, TODAY, POLICY)
        assert standing.protected and standing.protection_left == 5_000_00

    def test_manual_rejections_stay_over_the_whole_window(self) -> None:
        standing = weigh(self.AFTER, TODAY, POLICY)
        assert standing.overall_rate == Fraction(300_00, 10_000_00)

    def test_older_crm_rejections_never_count_again(self) -> None:
        later = book(self.AFTER, TODAY, 1, assigned=10_000_00, crm=500_00)
        standing = weigh(later, TODAY, POLICY)
        assert standing.crm_hundredths == 500
        assert standing.overall_rate == Fraction(300_00 + 500_00, 20_000_00)

    def test_a_late_crm_rejection_of_an_older_lead_counts_in_neither_rate(self) -> None:
        later = book(self.AFTER, TODAY, 1, assigned=10_000_00)
        late = book(later, TODAY, 0, crm=1_000_00)
        assert weigh(late, TODAY, POLICY).overall_rate == weigh(later, TODAY, POLICY).overall_rate
        assert weigh(late, TODAY, POLICY).crm_hundredths == 0

    def test_what_is_booked_for_the_older_era_does_not_end_protection(self) -> None:
        assert book(self.AFTER, TODAY, 0, assigned=9_000_00).era_assigned == 0

    def test_at_5000_dollars_since_the_reset_they_count_all_since_the_reset(self) -> None:
        later = book(self.AFTER, TODAY, 1, assigned=4_999_99, crm=600_00)
        assert weigh(later, TODAY, POLICY).verdict is Verdict.QUALIFIED
        later = book(later, TODAY, 1, assigned=1)
        assert weigh(later, TODAY, POLICY).verdict is Verdict.EXCLUDED

    def test_the_moment_of_the_reset_is_kept(self) -> None:
        assert weigh(self.AFTER, TODAY, POLICY).reset_at == NOW


class TestHalfLife:
    """Rules §4: optional recency weighting, off by default."""

    def test_it_is_off_by_default(self) -> None:
        assert POLICY.half_life_days is None and day_weight(29, None) == 1

    @pytest.mark.parametrize(("age", "share"), [(0, 1), (7, 2), (14, 4), (28, 16)])
    def test_a_weight_halves_every_half_life(self, age: int, share: int) -> None:
        assert day_weight(age, 7) * share == UNIT_WEIGHT

    @given(st.integers(0, 28), st.integers(1, 365))
    def test_an_older_day_never_weighs_more(self, age: int, half_life: int) -> None:
        assert day_weight(age + 1, half_life) <= day_weight(age, half_life)

    def test_a_rejection_of_a_half_life_ago_weighs_half(self) -> None:
        held = window(
            {
                (TODAY, 0): Bucket(assigned=100_00),
                (days_ago(10), 0): Bucket(assigned=100_00, manual=100_00),
            }
        )
        standing = weigh(held, TODAY, Policy(half_life_days=10))
        assert standing.overall_rate == Fraction(1, 3)

    def test_a_rate_that_is_the_same_every_day_does_not_change(self) -> None:
        held = window(
            {(days_ago(age), 0): Bucket(assigned=100_00, manual=8_50) for age in range(30)}
        )
        assert weigh(held, TODAY, Policy(half_life_days=3)).overall_rate == Fraction(85, 1000)

    def test_raw_sums_stay_plain_cents(self) -> None:
        held = window({(days_ago(10), 0): Bucket(assigned=100_00, manual=100_00)})
        assert weigh(held, TODAY, Policy(half_life_days=10)).raw_assigned == 100_00


@given(WINDOWS, DAYS, st.integers(0, 2), buckets())
def test_what_is_booked_and_taken_back_leaves_the_standing_as_it_was(
    held: Window, day: date, era: int, bucket: Bucket
) -> None:
    there = book(held, day, era, assigned=bucket.assigned, manual=bucket.manual, crm=bucket.crm)
    back = book(there, day, era, assigned=-bucket.assigned, manual=-bucket.manual, crm=-bucket.crm)
    assert weigh(back, TODAY, POLICY) == weigh(held, TODAY, POLICY)


@given(WINDOWS, st.integers(0, 100_000_00))
def test_a_price_is_only_ever_lowered(held: Window, base: int) -> None:
    assert 0 <= rectify(base, weigh(held, TODAY, POLICY)) <= base
