"""Prices as companies' systems write them, read as cents or refused: never guessed at.

Knows ``12.5``, ``"12.50"``, ``"$12.50"``, ``"1,250.00"``, ``"USD 12.50"`` and cents. Another
currency, a comma for a decimal point, a third decimal or an exponent are not read.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final, Literal

from exchange.core.money import MAX_CENTS
from exchange.core.reasons import Reason

Unit = Literal["dollars", "cents"]

_USD: Final = re.compile(r"(?:US\s*\$|USD|\$|US\s+dollars?|dollars?)", re.IGNORECASE)
_AMOUNT: Final = r"[+-]?\s*[0-9.,]+"
_OTHER_CURRENCY: Final = re.compile(
    rf"(?:[€£¥₹₽₩]|[A-Za-z]{{3}}|[A-Za-z]{{1,2}}\$)\s*{_AMOUNT}"
    rf"|{_AMOUNT}\s*(?:[€£¥₹₽₩]|[A-Za-z]{{3}}|[A-Za-z]{{1,2}}\$)"
)
_PLAIN: Final = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{0,12})?|[+-]?\.[0-9]{1,12}")
_GROUPED: Final = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3}){1,4}(?:\.[0-9]{0,12})?")
_MAX_CHARS: Final = 40
# What is left of a decimal that went through binary floats: 12.1 as 12.100000000000001.
_FLOAT_NOISE: Final = Decimal("0.0000001")


class PriceFault(ValueError):
    """Something that is no price; ``reason`` says in which way."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def read_price(said: object, unit: Unit = "dollars") -> int:
    """Read a price as cents, 0 or more. Raises PriceFault."""
    amount = _amount(said)
    if amount < 0:
        raise PriceFault(Reason.BID_PRICE, "the price is negative")
    cents = amount if unit == "cents" else amount * 100
    whole = cents.to_integral_value()
    if abs(cents - whole) > (_FLOAT_NOISE if isinstance(said, float) else 0):
        raise PriceFault(Reason.BID_PRICE, "the price is not in whole cents")
    if whole > MAX_CENTS:
        raise PriceFault(Reason.BID_PRICE, "the price is too large")
    return int(whole)


def _amount(said: object) -> Decimal:
    if isinstance(said, bool) or said is None:
        raise PriceFault(Reason.BID_UNREADABLE, "there is no price")
    if isinstance(said, int | float):
        # What msgspec reads is finite; its shortest writing is what was sent.
        amount = Decimal(repr(said)) if abs(said) < 10**15 else None
        if amount is None or not amount.is_finite():
            raise PriceFault(Reason.BID_PRICE, "the price is too large")
        return amount
    if not isinstance(said, str) or len(said) > _MAX_CHARS:
        raise PriceFault(Reason.BID_UNREADABLE, "the price cannot be read")
    text = _USD.sub("", said).strip()
    number = re.sub(r"^([+-])\s+", r"\1", text)
    if _GROUPED.fullmatch(number):
        number = number.replace(",", "")
    if _PLAIN.fullmatch(number) and number.isascii():
        return Decimal(number)
    if _OTHER_CURRENCY.fullmatch(said.strip()):
        raise PriceFault(Reason.BID_CURRENCY, "the price is not in US dollars")
    raise PriceFault(Reason.BID_UNREADABLE, "the price cannot be read")


def is_dollars(said: object) -> bool:
    """Whether a currency an answer names is the US dollar; naming none is."""
    return said is None or (
        isinstance(said, str) and said.strip().upper() in ("", "USD", "US", "$", "US$", "840")
    )
