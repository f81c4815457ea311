"""What a bid is worth, and who gets what of it (rules: §6, and the cascade of §7)."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.model import Cascade, Policy
from exchange.core.pricing import cascade_price, charge, margin, rectify, seller_price
from exchange.core.standing import Bucket, Standing, weigh
from tests.core.making import TODAY, window

PRICES = st.integers(0, 10_000_000)


def standing(assigned: int, rejected: int) -> Standing:
    held = window({(TODAY, 0): Bucket(assigned=assigned, manual=rejected)})
    return weigh(held, TODAY, Policy())


@pytest.mark.parametrize(
    ("base", "rejected", "price"),
    [
        pytest.param(100_00, 21, 97_90, id="2.1 % of $100"),
        pytest.param(100_00, 85, 91_50, id="8.5 % of $100"),
        pytest.param(100_00, 187, 81_30, id="18.7 % of $100"),
        pytest.param(50_00, 85, 45_75, id="8.5 % of $50"),
        pytest.param(100_00, 0, 100_00, id="nothing rejected"),
        pytest.param(100_00, 1000, 0, id="all rejected"),
    ],
)
def test_a_base_price_is_lowered_by_the_overall_rate(base: int, rejected: int, price: int) -> None:
    assert rectify(base, standing(1000, rejected)) == price


def test_1100_leads_at_a_50_dollar_base_and_8_5_percent_cost_50325() -> None:
    assert 1_100 * rectify(50_00, standing(1000, 85)) == 50_325_00


def test_a_company_with_nothing_assigned_pays_its_base() -> None:
    assert rectify(45_67, standing(0, 0)) == 45_67


@pytest.mark.parametrize(
    ("base", "price"), [pytest.param(1, 0, id="0.5 → 0"), pytest.param(3, 2, id="1.5 → 2")]
)
def test_a_rectified_price_is_rounded_half_to_even(base: int, price: int) -> None:
    assert rectify(base, standing(2, 1)) == price


@given(PRICES, st.integers(1, 10**9), st.data())
def test_a_rectified_price_is_the_exact_price_to_the_cent(
    base: int, assigned: int, data: st.DataObject
) -> None:
    rejected = data.draw(st.integers(0, assigned))
    exact = base * (1 - Fraction(rejected, assigned))
    assert rectify(base, standing(assigned, rejected)) == round(exact)


@given(PRICES, st.integers(1, 10**6), st.data())
def test_a_higher_rate_never_raises_a_price(base: int, assigned: int, data: st.DataObject) -> None:
    rejected = data.draw(st.integers(0, assigned - 1))
    lower, higher = standing(assigned, rejected), standing(assigned, rejected + 1)
    assert rectify(base, higher) <= rectify(base, lower)


@pytest.mark.parametrize(("rectify", "charged"), [("rank_and_charge", 45_75), ("rank_only", 50_00)])
def test_the_policy_says_whether_the_rectified_price_or_the_base_is_charged(
    rectify: str, charged: int
) -> None:
    policy = Policy(rectify="rank_only" if rectify == "rank_only" else "rank_and_charge")
    assert charge(50_00, 45_75, policy) == charged


@pytest.mark.parametrize(
    ("charged", "kept", "paid"),
    [
        pytest.param(45_75, 6_86, 38_89, id="6.8625 → 6.86"),
        pytest.param(10, 2, 8, id="1.5 → 2"),
        pytest.param(30, 4, 26, id="4.5 → 4"),
    ],
)
def test_the_margin_is_rounded_half_to_even_and_the_seller_gets_the_rest(
    charged: int, kept: int, paid: int
) -> None:
    assert (margin(charged, 1_500), seller_price(charged, 1_500)) == (kept, paid)


@given(PRICES, st.integers(0, 10_000))
def test_margin_and_seller_price_are_what_the_company_pays(charged: int, rate_bp: int) -> None:
    assert margin(charged, rate_bp) + seller_price(charged, rate_bp) == charged
    assert 0 <= seller_price(charged, rate_bp) <= charged


@pytest.mark.parametrize(
    ("charged", "cascade", "price"),
    [
        pytest.param(50_00, "promised", 38_89, id="a dearer company pays no more to the seller"),
        pytest.param(45_75, "promised", 38_89, id="the same price, the same promise"),
        pytest.param(40_00, "promised", 38_89, id="the margin gives way first"),
        pytest.param(38_89, "promised", 38_89, id="the margin is gone, the promise holds"),
        pytest.param(38_88, "promised", None, id="a cent short of the promise"),
        pytest.param(38_88, "min_price", 33_05, id="below it the ping's word counts"),
        pytest.param(14_12, "min_price", 12_00, id="the margin just covers min_price"),
        pytest.param(13_00, "min_price", 12_00, id="the margin gives way down to min_price"),
        pytest.param(12_00, "min_price", 12_00, id="down to min_price"),
        pytest.param(11_99, "min_price", None, id="a cent below min_price"),
    ],
)
def test_the_next_rank_is_paid_for_as_promised_or_as_the_ping_allowed(
    charged: int, cascade: Cascade, price: int | None
) -> None:
    found = cascade_price(
        charged_cents=charged,
        promised_cents=38_89,
        min_price_cents=12_00,
        cascade=cascade,
        take_rate_bp=1_500,
    )
    assert found == price


@given(PRICES, PRICES, PRICES, st.sampled_from(["promised", "min_price"]), st.integers(0, 10_000))
def test_no_seller_gets_more_than_was_charged_or_less_than_allowed(
    charged: int, promised: int, least: int, cascade: Cascade, rate_bp: int
) -> None:
    least = min(least, promised)
    price = cascade_price(
        charged_cents=charged,
        promised_cents=promised,
        min_price_cents=least,
        cascade=cascade,
        take_rate_bp=rate_bp,
    )
    if price is not None:
        assert (promised if cascade == "promised" else least) <= price <= charged
        assert price <= promised
