"""What a contract makes of a price: its quality tier, then its discount, each rounded once.

The order is fixed: a campaign's modifiers, the tier, the discount, and last the rectification by
the company's rate. Every step rounds half to even, to the cent. Source: rules §6 and §9.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from exchange.core.money import BASIS_POINTS, part_of


class Tier(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What leads of at least ``min_score`` (0–100) are worth: cents added, then a factor.

    ``multiply_bp`` is the factor in basis points (12,000 is 120 %).
    """

    min_score: int
    add_cents: int = 0
    multiply_bp: int = BASIS_POINTS

    @property
    def is_neutral(self) -> bool:
        """Whether it leaves every price as it is."""
        return not self.add_cents and self.multiply_bp == BASIS_POINTS

    def price(self, listed_cents: int) -> int:
        """A price in this tier, in cents, never below 0."""
        return max(0, part_of(listed_cents + self.add_cents, self.multiply_bp))


class Raise(NamedTuple):
    """A bound on what tiers add to a price: cents, then a factor in basis points.

    It never lowers one: ``add_cents`` is at least 0, ``multiply_bp`` at least 10,000.
    """

    add_cents: int = 0
    multiply_bp: int = BASIS_POINTS

    def most(self, cents: int) -> int:
        """What a price of at most so many cents is at most in any of the tiers.

        The cent more makes up for the rounding.
        """
        return (cents + self.add_cents) * self.multiply_bp // BASIS_POINTS + 1

    def least(self, cents: int) -> int:
        """What a price must be at least to come to so many cents in any of the tiers."""
        return -(-(cents - 1) * BASIS_POINTS // self.multiply_bp) - self.add_cents


NO_RAISE: Final = Raise()


def raise_by(tiers: Iterable[Tier], known: Raise = NO_RAISE) -> Raise:
    """The smallest raise that holds for all these tiers, and wherever ``known`` does."""
    add_cents, multiply_bp = known
    for tier in tiers:
        add_cents, multiply_bp = max(add_cents, tier.add_cents), max(multiply_bp, tier.multiply_bp)
    return Raise(add_cents, multiply_bp)


class Applied(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """How a contract made a bid's base of its list price: all that is needed to do it again.

    ``listed_cents`` is the price before it; ``min_score``, ``add_cents`` and ``multiply_bp`` are
    the tier's, if one applied; ``discount_bp`` is what was taken off last.
    """

    contract_id: str
    version: int
    listed_cents: int
    min_score: int | None = None
    add_cents: int = 0
    multiply_bp: int = BASIS_POINTS
    discount_bp: int = 0


def tier_of(tiers: Sequence[Tier], score: int) -> Tier | None:
    """The tier a score reaches, of those given highest first; None below them all."""
    for tier in tiers:
        if score >= tier.min_score:
            return tier
    return None


def discounted(cents: int, discount_bp: int) -> int:
    """A price less a discount in basis points: what is left of it, rounded once."""
    return part_of(cents, BASIS_POINTS - discount_bp) if discount_bp else cents
