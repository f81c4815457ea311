"""What the demo's people must do so that the month ends at the published rates. Pure arithmetic.

Companies choose which leads to return, and their systems fail when they do; here is only which
ones, in cents. What follows from it is computed by the exchange alone. Source: rules §5 and §6.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from exchange.core.money import divide_half_even
from exchange.core.standing import Verdict

HUNDRED_DOLLARS: Final = 10_000
"""The base price of the published cases, in cents."""

_MARGIN_TENTHS: Final = 4
"""A rate is brought to within 4 of the 5 tenths it may be away before it would round away."""


class Aim(Struct, frozen=True, kw_only=True):
    """A published case: rates in tenths of a percent, the verdict, the price of a $100.00 lead."""

    crm: str
    overall_tenths: int
    crm_tenths: int
    verdict: Verdict
    price_cents: int


AIMS: Final = (
    Aim(
        crm="good",
        overall_tenths=21,
        crm_tenths=3,
        verdict=Verdict.QUALIFIED,
        price_cents=9_790,
    ),
    Aim(
        crm="slow",
        overall_tenths=85,
        crm_tenths=32,
        verdict=Verdict.CONDITIONAL,
        price_cents=9_150,
    ),
    Aim(
        crm="failing",
        overall_tenths=187,
        crm_tenths=124,
        verdict=Verdict.EXCLUDED,
        price_cents=8_130,
    ),
)
"""The three companies of rules §5, by the CRM that plays each."""


def tenths(part: int, whole: int) -> int:
    """A rate in tenths of a percent, half to even: what the published cases are told in."""
    return divide_half_even(part * 1_000, whole) if whole else 0


def overall_range(aim: Aim, assigned: int) -> tuple[int, int]:
    """Between which sums rejected a $100.00 lead costs the aim's price to the cent."""
    middle = (HUNDRED_DOLLARS - aim.price_cents) * assigned * 10
    reach = _MARGIN_TENTHS * assigned
    whole = HUNDRED_DOLLARS * 10
    return -(-(middle - reach) // whole), (middle + reach) // whole


def crm_range(aim: Aim, assigned: int) -> tuple[int, int]:
    """Between which sums failed the CRM rate is the aim's, to a tenth of a percent."""
    middle = aim.crm_tenths * assigned * 10
    reach = _MARGIN_TENTHS * assigned
    return -(-(middle - reach) // 10_000), (middle + reach) // 10_000


def choose(amounts: Sequence[int], low: int, high: int, wanted: int) -> tuple[int, ...] | None:
    """Choose amounts whose sum lies from ``low`` to ``high``, as near to ``wanted`` as can be.

    Gives their indices, or None where no sum lies there. Exact: every reachable sum is a bit.
    """
    if high < 0 or low > high:
        return None
    mask = (1 << (high + 1)) - 1
    reachable = [1]
    for amount in amounts:
        reachable.append((reachable[-1] | reachable[-1] << amount) & mask)
    total = _nearest(reachable[-1], max(low, 0), high, wanted)
    if total is None:
        return None
    chosen = []
    for index in range(len(amounts) - 1, -1, -1):
        if not reachable[index] >> total & 1:
            chosen.append(index)
            total -= amounts[index]
    return tuple(reversed(chosen))


def _nearest(sums: int, low: int, high: int, wanted: int) -> int | None:
    wanted = min(max(wanted, low), high)
    for distance in range(max(wanted - low, high - wanted) + 1):
        for total in (wanted - distance, wanted + distance):
            if low <= total <= high and sums >> total & 1:
                return total
    return None
