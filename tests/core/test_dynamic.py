"""Thresholds and penalties move with the market, within bounds (rules: §10)."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.auction import decide
from exchange.core.audit import recompute
from exchange.core.dynamic import (
    Bounds,
    DayFactors,
    DayTotal,
    Span,
    compare,
    ease,
    factors_of,
    spans_of,
    threshold_of,
    trend,
)
from exchange.core.model import Bid, Policy
from exchange.core.money import BASIS_POINTS
from exchange.core.pricing import rectify
from exchange.core.race import race
from exchange.core.standing import Bucket, Verdict, gate_threshold, trend_of, weigh
from tests.core.making import (
    DRAW_KEY,
    NOW,
    TODAY,
    campaign,
    company,
    days_ago,
    market,
    ping,
    rated,
    window,
)

BOUNDS = Bounds()
ANY_SPAN = st.builds(
    lambda assigned, part: Span(
        first=TODAY, last=TODAY, assigned=assigned, rejected=assigned * part // 1_000
    ),
    st.integers(0, 10**9),
    st.integers(0, 1_000),
)


def span(rate_bp: int, assigned: int = 10**8) -> Span:
    """A span of that rejection rate."""
    return Span(
        first=TODAY, last=TODAY, assigned=assigned, rejected=assigned * rate_bp // BASIS_POINTS
    )


def day_factors(
    month: Span, quarter: Span, season: Span, year: Span, bounds: Bounds = BOUNDS
) -> DayFactors:
    return DayFactors(
        day=TODAY,
        market=compare(month, quarter, bounds.market_bp, bounds),
        seasonal=compare(season, year, bounds.seasonal_bp, bounds),
        bounds=bounds,
    )


PUBLISHED = day_factors(span(1_023), span(1_000), span(989), span(1_000))
FLAT = day_factors(span(1_000), span(1_000), span(1_000), span(1_000))


def test_section_10_plus_2_3_and_minus_1_1_percent_make_10_percent_10_12() -> None:
    assert (PUBLISHED.market.bp, PUBLISHED.seasonal.bp) == (230, -110)
    assert Fraction(*threshold_of(1_000, PUBLISHED)) == Fraction(1_012, 10_000)


@pytest.mark.parametrize(
    ("crm", "verdict"),
    [
        pytest.param(1_012_00, Verdict.CONDITIONAL, id="exactly 10.12 % still bids"),
        pytest.param(1_012_01, Verdict.EXCLUDED, id="a cent above does not"),
    ],
)
def test_section_10_the_gate_closes_above_the_adjusted_threshold(
    crm: int, verdict: Verdict
) -> None:
    held = window({(TODAY, 0): Bucket(assigned=10_000_00, crm=crm)})
    policy = Policy(adjustments={TODAY: PUBLISHED})
    assert weigh(held, TODAY, policy).verdict is verdict
    assert weigh(held, TODAY, Policy()).verdict is Verdict.EXCLUDED


def test_section_10_off_is_as_if_there_were_no_adjustment() -> None:
    held = window({(TODAY, 0): Bucket(assigned=10_000_00, manual=850_00)})
    assert weigh(held, TODAY, Policy()) == weigh(held, TODAY, Policy(adjustments={TODAY: FLAT}))


def test_section_10_factors_hold_on_their_day_only() -> None:
    policy = Policy(adjustments={TODAY: PUBLISHED})
    assert Fraction(*gate_threshold(TODAY, policy)) == Fraction(1_012, 10_000)
    for day in (TODAY - timedelta(days=1), TODAY + timedelta(days=1)):
        assert Fraction(*gate_threshold(day, policy)) == Fraction(1, 10)


def test_section_10_a_trend_lets_off_its_part_of_the_penalty() -> None:
    # 10 % over the window and 9 % lately: a tenth better, so 10 % costs 9 %.
    held = window(
        {
            (days_ago(20), 0): Bucket(assigned=20_000_00, manual=2_100_00),
            (TODAY, 0): Bucket(assigned=10_000_00, manual=900_00),
        }
    )
    policy = Policy(adjustments={TODAY: FLAT})
    standing = weigh(held, TODAY, policy)
    assert standing.eased_bp == 1_000
    assert standing.overall_hundredths == 1_000
    assert standing.overall_rate == Fraction(9, 100)
    assert rectify(100_00, standing) == 91_00
    assert rectify(100_00, weigh(held, TODAY, Policy())) == 90_00


@pytest.mark.parametrize(
    ("lately", "usually", "measured", "counted"),
    [
        pytest.param(1_000, 1_000, 0, 0, id="no change"),
        pytest.param(900, 1_000, 1_000, 1_000, id="a tenth better"),
        pytest.param(750, 1_000, 2_500, 2_500, id="exactly the bound"),
        pytest.param(0, 1_000, 10_000, 2_500, id="clean lately: no more than 0.25"),
        pytest.param(1_200, 1_000, -2_000, 0, id="worse is not punished twice"),
    ],
)
def test_section_10_a_trend_is_from_0_to_a_quarter(
    lately: int, usually: int, measured: int, counted: int
) -> None:
    found = trend(span(lately), span(usually), BOUNDS)
    assert (found.measured_bp, found.bp) == (measured, counted)
    assert found.why == ("measured" if measured == counted else "bounded")


def test_section_10_a_trend_is_of_the_last_10_days_against_the_window() -> None:
    held = window({(days_ago(age), 0): Bucket(assigned=1_000_00, manual=age) for age in range(35)})
    found = trend_of(held, TODAY, Policy(), BOUNDS)
    assert (found.recent.first, found.recent.last) == (days_ago(9), TODAY)
    assert (found.usual.first, found.usual.last) == (days_ago(29), TODAY)
    assert found.recent.rejected == sum(range(10)) and found.usual.rejected == sum(range(30))


def test_what_does_not_count_in_a_rate_does_not_count_in_its_trend() -> None:
    held = window(
        {
            (days_ago(20), 0): Bucket(assigned=10_000_00, manual=500_00, crm=9_000_00),
            (TODAY, 1): Bucket(assigned=10_000_00, manual=500_00, crm=100_00),
        },
        era=1,
    )
    found = trend_of(held, TODAY, Policy(), BOUNDS)
    assert (found.usual.rejected, found.recent.rejected) == (1_100_00, 600_00)


def test_section_10_spans_are_of_whole_days_and_known_before_the_day_begins() -> None:
    spans = spans_of(date(2026, 12, 2))
    assert (spans.month.first, spans.month.last) == (date(2026, 11, 1), date(2026, 11, 30))
    assert spans.quarter.first == date(2026, 9, 2)
    assert (spans.season.first, spans.season.last) == (date(2026, 11, 1), date(2026, 11, 30))
    assert spans.year.first == date(2025, 12, 1)
    assert spans_of(date(2026, 12, 3)).season.first == date(2026, 12, 1)


def test_section_10_factors_are_made_of_the_days_of_their_spans() -> None:
    day = date(2026, 12, 2)
    ages = {2: 1, 31: 10, 32: 100, 91: 1_000, 92: 10_000, 366: 100_000, 367: 1_000_000, 1: 5}
    totals = [DayTotal(day - timedelta(days=age), 10**8, cents) for age, cents in ages.items()]
    found = factors_of(day, totals, BOUNDS)
    assert found.market.recent.rejected == 11
    assert found.market.usual.rejected == 1_111
    assert found.seasonal.recent.rejected == 11
    assert found.seasonal.usual.rejected == 111_111
    assert found.seasonal.usual.assigned == 6 * 10**8


@pytest.mark.parametrize(
    ("recent", "usual"),
    [
        pytest.param(span(1_000, 999_99), span(500), id="too little lately"),
        pytest.param(span(1_000), span(500, 999_99), id="too little before"),
        pytest.param(span(1_000), span(0), id="nothing was ever rejected"),
    ],
)
def test_section_10_too_little_data_moves_nothing(recent: Span, usual: Span) -> None:
    factors = day_factors(recent, usual, recent, usual)
    assert (factors.market.bp, factors.seasonal.bp) == (0, 0)
    assert factors.market.why == "too_little"
    assert trend(recent, usual, BOUNDS).bp == 0


@given(ANY_SPAN, ANY_SPAN, ANY_SPAN, ANY_SPAN, st.integers(0, 5_000), st.integers(0, 10_000))
def test_section_10_every_factor_is_bounded_and_a_threshold_never_below_0(
    a: Span, b: Span, c: Span, d: Span, most: int, threshold_bp: int
) -> None:
    bounds = Bounds(market_bp=most, seasonal_bp=most, trend_bp=2_500, least_cents=0)
    factors = day_factors(a, b, c, d, bounds)
    assert abs(factors.market.bp) <= most and abs(factors.seasonal.bp) <= most
    assert 0 <= trend(a, b, bounds).bp <= 2_500
    moved = Fraction(*threshold_of(threshold_bp, factors))
    exact = Fraction(threshold_bp, 10_000) * (
        1 + Fraction(factors.market.bp, 10_000) + Fraction(factors.seasonal.bp, 10_000)
    )
    assert moved == max(exact, 0)


@given(st.integers(1, 10**12), st.integers(0, 1_000), st.integers(0, 2_500))
def test_section_10_an_eased_rate_is_exactly_the_penalty_less_the_trend(
    assigned: int, part: int, trend_bp: int
) -> None:
    rejected = assigned * part // 1_000
    eased = Fraction(*ease(rejected, assigned, trend_bp))
    assert eased == Fraction(rejected, assigned) * (1 - Fraction(trend_bp, 10_000))


def test_section_10_receipts_of_eased_prices_can_still_be_recomputed() -> None:
    companies = [
        company("roofs", rated(20_000_00, 2_000_00, day=days_ago(20)), rated(10_000_00, 500_00)),
        company("other", rated(10_000_00, 100_00)),
    ]
    campaigns = [
        campaign("a", "roofs", bid=Bid(exclusive_cents=50_00)),
        campaign("b", "other", bid=Bid(exclusive_cents=49_00)),
    ]
    held = market(campaigns, companies)
    made = ping(held.verticals["solar"])
    plain = decide(held, made, NOW, DRAW_KEY)
    held.adjust({TODAY: FLAT})
    eased = decide(held, made, NOW, DRAW_KEY)
    for decision in (plain, eased):
        winners = tuple(c.campaign_id for c in decision.candidates if c.outcome == "won")
        assert recompute(decision.candidates, max_buyers=1) == winners
    assert [c.rectified_cents for c in plain.candidates if c.campaign_id == "a"] == [45_83]
    # 8.33 % of the window, 5 % lately: a quarter off, so 6.25 % is left.
    assert [c.rectified_cents for c in eased.candidates if c.campaign_id == "a"] == [46_88]
    raced = race(held, made, NOW, DRAW_KEY)
    assert [(r.campaign_id, r.rectified_cents) for r in raced.award.ranks] == [
        (r.campaign_id, r.rectified_cents) for r in eased.award.ranks
    ]


def test_section_10_a_market_weighs_anew_when_the_day_s_factors_come_and_go() -> None:
    held = market([campaign("a", "roofs")], [company("roofs", rated(10_000_00, crm=1_012_00))])
    made = ping(held.verticals["solar"])
    index = held.indexes["solar"]
    assert index.gate(made, NOW).counts == {"crm_gate": 1}
    held.adjust({TODAY: PUBLISHED})
    assert index.gate(made, NOW).counts == {}
    held.move_to(TODAY + timedelta(days=1))
    assert index.gate(made, NOW).counts == {"crm_gate": 1}
    held.move_to(TODAY)
    held.adjust({})
    assert index.gate(made, NOW).counts == {"crm_gate": 1}
