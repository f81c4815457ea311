"""Rates and what follows from them, as several answers show them."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from exchange.core.pricing import rectify
from exchange.core.standing import Standing
from exchange.web.wire import dollars
from exchange.web.wire_standing import RatesAnswer

_HUNDRED_DOLLARS_CENTS: Final = 100_00


def perhaps(cents: int | None) -> Decimal | None:
    """Write cents as dollars, where there are any to write."""
    return None if cents is None else dollars(cents)


def price_of_100(standing: Standing) -> Decimal:
    """What a $100.00 bid is worth, in dollars."""
    return dollars(rectify(_HUNDRED_DOLLARS_CENTS, standing))


def show_rates(standing: Standing) -> RatesAnswer:
    """Write rates and what follows from them."""
    return RatesAnswer(
        verdict=standing.verdict.value,
        overall_pct=dollars(standing.overall_hundredths),
        crm_pct=dollars(standing.crm_hundredths),
        price_of_100=price_of_100(standing),
    )
