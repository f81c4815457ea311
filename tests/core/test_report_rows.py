"""Sums into rows: rates by value, averages, savings, the market beside one (rules §4, §12)."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.reasons import Reason
from exchange.core.report_rows import SAVING_REASONS, average, name_reason, rate, row_of
from exchange.core.reports import EVERYONE, REPORTS
from exchange.core.weekly import weekly_rows

CENTS = st.integers(min_value=0, max_value=10**15)


@given(
    st.integers(min_value=-(10**15), max_value=10**15), st.integers(min_value=1, max_value=10**9)
)
def test_an_average_is_rounded_half_to_even_to_the_cent(cents: int, count: int) -> None:
    assert average(cents, count) == round(Fraction(cents, count))


@given(CENTS, st.integers(min_value=1, max_value=10**15))
def test_a_rate_is_in_hundredths_of_a_percent(part: int, whole: int) -> None:
    assert rate(part, whole) == round(Fraction(part * 10_000, whole))


def test_of_nothing_there_is_neither_average_nor_rate() -> None:
    assert (average(0, 0), rate(0, 0)) == (None, None)


def test_every_report_fills_every_column_it_names() -> None:
    for name, spec in REPORTS.items():
        names = [column.name for column in spec.columns]
        assert len(set(names)) == len(names)
        for reader in EVERYONE & spec.readers:
            row = (
                weekly_rows({}, {}, reader)[0]
                if name == "weekly-summary"
                else row_of(name, {}, reader)
            )
            assert set(names) == row.keys(), name


def test_section_4_a_rejected_500_dollar_lead_weighs_ten_of_50() -> None:
    sums = {"sales": 11, "charged": 1_000_00, "manual": 1, "manual_cents": 500_00, "pay": 850_00,
            "manual_pay": 425_00}  # fmt: skip
    row = row_of("monthly-impact", sums, "operator")
    assert (row["rejection_pct"], row["rejections_cost"]) == (50_00, 500_00)
    assert (row["net_revenue"], row["margin"]) == (500_00, 75_00)


def test_section_8_a_return_under_review_is_in_the_rate_and_in_no_money() -> None:
    sums = {"sales": 4, "charged": 100_00, "pay": 85_00, "manual": 1, "review": 1,
            "review_cents": 25_00}  # fmt: skip
    row = row_of("monthly-impact", sums, "operator")
    assert (row["returned"], row["in_review"], row["rejection_pct"]) == (1, 25_00, 25_00)
    assert (row["credited"], row["net_revenue"], row["margin"]) == (0, 100_00, 15_00)
    (rate_of_week,) = (
        line for line in weekly_rows(sums, {}, "company") if line["figure"] == "rejection_pct"
    )
    assert str(rate_of_week["week"]) == "25.00"
    contract = row_of("contracts", sums, "operator")
    assert (contract["net_amount"], contract["net_average_price"]) == (100_00, 25_00)


def test_section_4_a_failed_delivery_is_assigned_and_never_revenue() -> None:
    sums = {"sales": 1, "charged": 90_00, "crm": 1, "crm_cents": 10_00}
    row = row_of("monthly-impact", sums, "company")
    assert (row["revenue"], row["assigned"], row["crm_pct"]) == (90_00, 100_00, 10_00)


def test_a_saving_at_the_ping_is_the_count_times_the_average_charge() -> None:
    sums = {"stage": "ping", "value": "208", "refused": 7, "sales": 3, "charged": 100_00}
    row = row_of("savings", sums, "company")
    assert (row["reason"], row["average_charge"], row["value"]) == ("suppressed", 33_33, 7 * 33_33)
    assert row["basis"] == "estimate"
    nothing_bought = row_of("savings", sums | {"sales": 0, "charged": 0}, "company")
    assert (nothing_bought["average_charge"], nothing_bought["value"]) == (None, None)


def test_a_saving_at_the_post_is_exact() -> None:
    sums = {"stage": "post", "value": "411", "refused": 2, "cents": 91_17, "sales": 0}
    row = row_of("savings", sums, "company")
    assert (row["value"], row["basis"]) == (91_17, "exact")


def test_what_was_never_wanted_is_no_saving() -> None:
    kept = set(SAVING_REASONS)
    assert not kept & {Reason.FILTER, Reason.SCHEDULE, Reason.BIDDER_TIMEOUT, Reason.OUTBID}
    assert {Reason.CRM_GATE, Reason.SUPPRESSED, Reason.SOLD_BEFORE, Reason.LEAD_AGE} <= kept


@pytest.mark.parametrize(("others", "shown"), [(4, False), (5, True)])
def test_the_market_is_shown_beside_five_others(others: int, shown: bool) -> None:
    sums = {"others": others, "sales": 1, "charged": 40_00, "market_sales": 9,
            "market_charged": 450_00, "market_returned_cents": 45_00}  # fmt: skip
    row = row_of("market-comparison", sums, "company")
    assert row["market_average_price"] == (50_00 if shown else None)
    assert row["market_rejection_pct"] == (10_00 if shown else None)
    assert row["average_price"] == 40_00


def test_a_seller_reads_its_pay_and_others_what_was_charged() -> None:
    sums = {"value": "none", "sales": 1, "charged": 100_00, "pay": 85_00}
    assert row_of("contracts", sums, "seller")["amount"] == 85_00
    assert row_of("contracts", sums, "company")["amount"] == 100_00


def test_a_reason_nobody_knows_here_is_told_as_its_number() -> None:
    assert name_reason("999") == ("999", "")
    assert name_reason("220")[0] == "crm_gate"


@pytest.mark.parametrize(
    ("now", "then", "sentence"),
    [
        (1_234, 1_000, "1,234 legs sold, up from 1,000 (23.40 %)."),
        (900, 1_000, "900 legs sold, down from 1,000 (10.00 %)."),
        (7, 7, "7 legs sold, as in the week before."),
        (7, 0, "7 legs sold, up from 0."),
        (1, 2, "1 leg sold, down from 2 (50.00 %)."),
        (0, 7, "0 legs sold, down from 7 (100.00 %)."),
    ],
)
def test_a_weeks_change_is_told_in_a_sentence(now: int, then: int, sentence: str) -> None:
    rows = {row["figure"]: row for row in weekly_rows({"sales": now}, {"sales": then}, "company")}
    assert rows["legs"]["sentence"] == sentence
    assert rows["legs"]["change"] == Decimal(now - then)


def test_a_weeks_dollars_and_rates_have_two_decimals() -> None:
    now = {"sales": 3, "charged": 1_234_50, "manual_cents": 123_45}
    then = {"sales": 2, "charged": 1_000_00}
    rows = {row["figure"]: row for row in weekly_rows(now, then, "operator")}
    assert rows["charged"]["sentence"] == "$1,234.50 charged, up from $1,000.00 (23.45 %)."
    assert str(rows["rejection_pct"]["week"]) == "10.00"
    told = "10.00 % of what was assigned rejected, up from 0.00 % (10.00 points)."
    assert rows["rejection_pct"]["sentence"] == told


def test_a_week_of_nothing_is_told_as_such() -> None:
    rows = {row["figure"]: row for row in weekly_rows({}, {"sales": 1, "pay": 8_50}, "seller")}
    told = "nothing earned for a leg, against $8.50 the week before."
    assert rows["average_price"]["sentence"] == told
    assert rows["average_price"]["change"] is None
