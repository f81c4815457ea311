"""A campaign compiled against its vertical: its filter a predicate, its prices ready to reckon.

Source: rules §3.2, and the bid modifiers of §7. Must not know companies or standings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from exchange.core.filters import Predicate, compile_filter
from exchange.core.model import Campaign
from exchange.core.money import BASIS_POINTS, part_of
from exchange.core.verticals import Vertical


class PricedModifier(Struct, frozen=True):
    """A modifier ready to apply: add cents, then take ``multiply_bp`` basis points of the sum."""

    applies: Predicate
    add_cents: int
    multiply_bp: int


class Runner(Struct, frozen=True, eq=False):
    """A campaign compiled against its vertical, ready to be matched and priced.

    Its prices are at hand: among thousands, each step to them is a wait for memory.
    """

    campaign: Campaign
    matches: Predicate
    modifiers: tuple[PricedModifier, ...]
    exclusive_cents: int | None
    shared_cents: Mapping[int, int]


def compile_runner(campaign: Campaign, vertical: Vertical) -> Runner:
    """Compile a campaign against its vertical. Raises FilterError."""
    return Runner(
        campaign,
        compile_filter(campaign.filter, vertical),
        tuple(
            PricedModifier(
                compile_filter(modifier.when, vertical, f"bid.modifiers[{i}].when"),
                modifier.add_cents,
                modifier.multiply_bp,
            )
            for i, modifier in enumerate(campaign.bid.modifiers)
        ),
        campaign.bid.exclusive_cents,
        campaign.bid.shared_cents,
    )


def shares(campaign: Campaign) -> Iterator[int]:
    """The share counts a campaign has a price for; 1 is exclusive."""
    if campaign.bid.remote is not None:
        yield from campaign.bid.remote.shares
        return
    if campaign.bid.exclusive_cents is not None:
        yield 1
    yield from (share for share in campaign.bid.shared_cents if share > 1)


def base_price(runner: Runner, attributes: Struct, share: int) -> int | None:
    """A campaign's price for a share count in cents, its modifiers applied in their order.

    Each modifier adds its cents, then takes its factor, rounded half to even; never below 0.
    """
    price = runner.exclusive_cents if share == 1 else runner.shared_cents.get(share)
    if price is None:
        return None
    for modifier in runner.modifiers:
        if modifier.applies(attributes):
            price += modifier.add_cents
            if modifier.multiply_bp != BASIS_POINTS:
                price = part_of(price, modifier.multiply_bp)
            price = max(price, 0)
    return price


def highest_price(runner: Runner) -> int:
    """A bound no price of a campaign exceeds, whatever the lead, in cents.

    Every modifier that would raise the price is taken to apply, and no other.
    """
    bid = runner.campaign.bid
    if bid.remote is not None:
        return bid.remote.max_price_cents
    price = max(bid.exclusive_cents or 0, *bid.shared_cents.values(), 0)
    for modifier in runner.modifiers:
        price = max(price, part_of(price + modifier.add_cents, modifier.multiply_bp))
    return price
