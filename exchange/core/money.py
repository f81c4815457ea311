"""Money as integer cents, and the one rounding the market knows: half to even, to the cent.

Source: rules §0 and §6. No float ever holds a price.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Final

MAX_CENTS: Final = 100_000_000_00
"""The largest amount taken from outside, one hundred million dollars: keeps sums inside 64 bits."""

_CENT: Final = Decimal("0.01")
_MAX_DOLLARS: Final = Decimal(MAX_CENTS // 100)

_PLAIN: Final = re.compile(r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})")
"""An amount in a string: no spaces, exponents, separators or digits of other scripts."""

BASIS_POINTS: Final = 10_000
"""Rates in settings are whole basis points: 15 % is 1,500 of 10,000."""


class MoneyError(ValueError):
    """An amount from outside that is not money: says what is allowed."""


def parse_cents(value: Decimal | int | str) -> int:
    """Read an amount in dollars as cents.

    Takes a decimal, an integer or a string such as ``"12.50"``; at least 0, at most `MAX_CENTS`, at
    most two decimals. Raises MoneyError otherwise (NaN, infinities and floats included).
    """
    amount = _read(value, "12.50")
    if amount.is_finite() and _CENT <= amount <= _MAX_DOLLARS:
        dollars, parts = amount.as_integer_ratio()
        if 100 % parts == 0:
            return dollars * (100 // parts)
    if not amount.is_finite():
        raise MoneyError("must be a finite amount in dollars")
    if amount < 0 or (amount.is_zero() and amount.is_signed()):
        raise MoneyError("must not be negative")
    if amount > MAX_CENTS // 100:
        raise MoneyError(f"must be at most {format_cents(MAX_CENTS)}")
    # Quantizing compares every digit; a multiplication would first round to the context's 28.
    rounded = amount.quantize(_CENT)
    if amount != rounded:
        raise MoneyError("must have at most two decimals")
    return int(rounded * 100)


def parse_signed_cents(value: Decimal | int | str) -> int:
    """Read an amount that may be negative (a bid modifier), otherwise as `parse_cents`."""
    amount = _read(value, "-2.50")
    if amount.is_finite() and amount < 0:
        return -parse_cents(amount.copy_negate())
    return parse_cents(amount)


def _read(value: object, example: str) -> Decimal:
    """The amount as it was written; a float has lost what was written, a bool never was money."""
    fault = MoneyError(f"must be an amount in dollars such as {example}")
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise fault
    if isinstance(value, str) and not _PLAIN.fullmatch(value):
        raise fault
    try:
        return Decimal(value)
    except InvalidOperation:
        raise fault from None


def format_cents(cents: int) -> str:
    """Write cents as dollars with two decimals: 3889 → ``"38.89"``."""
    sign = "-" if cents < 0 else ""
    whole, part = divmod(abs(cents), 100)
    return f"{sign}{whole}.{part:02d}"


def divide_half_even(numerator: int, denominator: int) -> int:
    """Divide exactly and round half to even. The denominator must be positive."""
    if denominator <= 0:
        raise ValueError("denominator must be positive")
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient & 1):
        return quotient + 1
    return quotient


def part_of(cents: int, rate_bp: int) -> int:
    """Take ``rate_bp`` basis points of an amount, rounded half to even to the cent."""
    return divide_half_even(cents * rate_bp, BASIS_POINTS)


def percent_hundredths(numerator: int, denominator: int) -> int:
    """Express a ratio in hundredths of a percent, half to even, for display: 85/1000 → 850."""
    return divide_half_even(numerator * BASIS_POINTS, denominator) if denominator else 0
