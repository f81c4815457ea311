"""Money is integer cents; the only rounding is half to even (rules: §0, §6)."""

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.money import (
    MAX_CENTS,
    MoneyError,
    divide_half_even,
    format_cents,
    parse_cents,
    parse_signed_cents,
    part_of,
    percent_hundredths,
)

AMOUNTS = st.integers(0, MAX_CENTS)


@pytest.mark.parametrize(
    ("written", "cents"),
    [
        pytest.param(Decimal("12.50"), 1250, id="a decimal"),
        pytest.param("12.50", 1250, id="a string"),
        pytest.param("12.5", 1250, id="one decimal"),
        pytest.param("12.500", 1250, id="a third decimal that says nothing"),
        pytest.param(12, 1200, id="whole dollars"),
        pytest.param("0", 0, id="nothing"),
        pytest.param("0.01", 1, id="a cent"),
        pytest.param(Decimal("1E+2"), 10_000, id="a JSON number with an exponent"),
        pytest.param("100000000.00", MAX_CENTS, id="the largest amount"),
    ],
)
def test_an_amount_is_read_as_cents(written: Decimal | int | str, cents: int) -> None:
    assert parse_cents(written) == cents


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("NaN", id="NaN in a string"),
        pytest.param(Decimal("NaN"), id="NaN"),
        pytest.param(Decimal("sNaN"), id="signalling NaN"),
        pytest.param("Infinity", id="infinity in a string"),
        pytest.param(Decimal("Infinity"), id="infinity"),
        pytest.param(Decimal("-Infinity"), id="minus infinity"),
        pytest.param("-0.01", id="negative"),
        pytest.param(-1, id="negative whole"),
        pytest.param(Decimal("-0.00"), id="minus nothing"),
        pytest.param("12.505", id="three decimals"),
        pytest.param(Decimal("1E-3"), id="a tenth of a cent"),
        pytest.param(Decimal("1E-999999"), id="next to nothing"),
        pytest.param(Decimal("1." + "0" * 40 + "1"), id="a digit beyond any context"),
        pytest.param("100000000.01", id="a cent above the largest"),
        pytest.param(Decimal("1E+999999"), id="beyond all bounds"),
        pytest.param("", id="empty"),
        pytest.param("twelve", id="a word"),
        pytest.param("$12", id="a sign of currency"),
        pytest.param("1_000", id="a separator"),
        pytest.param("1,000.00", id="a comma"),
        pytest.param(" 12", id="a space"),
        pytest.param("١٢", id="digits of another script"),
        pytest.param("9" * 5_000, id="a long string"),
        pytest.param(12.5, id="a float"),
        pytest.param(True, id="a bool"),
        pytest.param(None, id="nothing at all"),
        pytest.param(b"12", id="bytes"),
    ],
)
def test_what_is_not_an_amount_in_dollars_is_refused(written: Any) -> None:
    with pytest.raises(MoneyError):
        parse_cents(written)


@given(AMOUNTS)
def test_every_amount_reads_back_as_it_was_written(cents: int) -> None:
    assert parse_cents(format_cents(cents)) == cents


@given(AMOUNTS)
def test_a_modifier_may_be_negative(cents: int) -> None:
    assert parse_signed_cents(format_cents(-cents)) == -cents if cents else True


@pytest.mark.parametrize("written", ["-12.505", "-100000000.01", "-", "nan", -12.5, "-Infinity"])
def test_a_negative_amount_has_the_same_bounds(written: Any) -> None:
    with pytest.raises(MoneyError):
        parse_signed_cents(written)


@pytest.mark.parametrize(
    ("numerator", "denominator", "rounded"),
    [
        pytest.param(5, 10, 0, id="half goes to even, down"),
        pytest.param(15, 10, 2, id="half goes to even, up"),
        pytest.param(25, 10, 2, id="half goes to even, down again"),
        pytest.param(26, 10, 3, id="above half goes up"),
        pytest.param(24, 10, 2, id="below half goes down"),
        pytest.param(-5, 10, 0, id="minus half goes to even"),
        pytest.param(-15, 10, -2, id="minus one and a half goes to even"),
    ],
)
def test_a_half_is_rounded_to_even(numerator: int, denominator: int, rounded: int) -> None:
    assert divide_half_even(numerator, denominator) == rounded


@given(st.integers(-(10**18), 10**18), st.integers(1, 10**12))
def test_division_agrees_with_exact_fractions(numerator: int, denominator: int) -> None:
    assert divide_half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@pytest.mark.parametrize("denominator", [0, -1])
def test_division_needs_a_positive_denominator(denominator: int) -> None:
    with pytest.raises(ValueError):
        divide_half_even(1, denominator)


@given(AMOUNTS, st.integers(0, 10_000))
def test_a_part_of_an_amount_is_rounded_half_to_even_to_the_cent(cents: int, rate_bp: int) -> None:
    exact = Decimal(cents) * rate_bp / 10_000
    assert part_of(cents, rate_bp) == int(exact.quantize(Decimal(1), ROUND_HALF_EVEN))


def test_a_percentage_is_shown_in_hundredths() -> None:
    assert percent_hundredths(85, 1000) == 850


def test_the_percentage_of_nothing_is_nothing() -> None:
    assert percent_hundredths(0, 0) == 0


@pytest.mark.parametrize(("cents", "text"), [(3889, "38.89"), (5, "0.05"), (-1250, "-12.50")])
def test_an_amount_is_written_with_two_decimals(cents: int, text: str) -> None:
    assert format_cents(cents) == text
