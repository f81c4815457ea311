"""What a bid is worth and who gets what of it.

Source: rules §6 and the cascade of §7. Every rounding is half to even, to the cent.
"""

from __future__ import annotations

from exchange.core.model import Cascade, Policy
from exchange.core.money import divide_half_even, part_of
from exchange.core.standing import Standing


def rectify(base_cents: int, standing: Standing) -> int:
    """Lower a base price by the company's overall rejection rate.

    ``base × (assigned − rejected) / assigned``; the base itself while nothing is assigned.
    """
    if not standing.assigned:
        return base_cents
    kept = standing.assigned - standing.rejected
    return divide_half_even(base_cents * kept, standing.assigned)


def charge(base_cents: int, rectified_cents: int, policy: Policy) -> int:
    """The price a company pays for a won lead under the policy's ``rectify``."""
    return rectified_cents if policy.rectify == "rank_and_charge" else base_cents


def margin(charged_cents: int, take_rate_bp: int) -> int:
    """The operator's part of what a company pays."""
    return part_of(charged_cents, take_rate_bp)


def seller_price(charged_cents: int, take_rate_bp: int) -> int:
    """The seller's part: what is left of the charge after the margin."""
    return charged_cents - margin(charged_cents, take_rate_bp)


def cascade_price(
    *,
    charged_cents: int,
    promised_cents: int,
    min_price_cents: int,
    cascade: Cascade,
    take_rate_bp: int,
) -> int | None:
    """The seller's price when a leg goes to a company that was not the one promised.

    The promise holds while the charge covers it: the margin gives way first. Below that the leg
    is sold only if the ping allowed it, at the charge less the margin, and the margin again gives
    way down to ``min_price``. None: this company's charge cannot buy the leg.
    """
    if charged_cents >= promised_cents:
        return promised_cents
    if cascade == "min_price" and charged_cents >= min_price_cents:
        return max(min_price_cents, seller_price(charged_cents, take_rate_bp))
    return None
