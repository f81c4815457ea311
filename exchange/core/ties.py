"""What settles equal prices in an auction: the lower rate, the keyed draw, and at last the id.

A draw is made only for those that are equal. Source: rules §7.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from operator import itemgetter
from typing import Any, Final, TypeVar

from exchange.core.auction import Drawer
from exchange.core.model import PingId
from exchange.core.quote import Price, Quote

_BY_PRICE: Final = itemgetter(0)
_NO_DRAWS: Final[Mapping[int, int]] = {}

E = TypeVar("E", tuple[int, int, Price, Quote], tuple[int, int, Price, Quote, str | None])
"""A price at one share count: minus its rectified cents, its slot, all of it, whose it is."""


def settle(entrants: list[E], draw_key: bytes, ping_id: PingId) -> Mapping[int, int]:
    """Put the prices of one share count in their order; gives the draws it took, by slot."""
    entrants.sort(key=_BY_PRICE)
    prices = [entrant[0] for entrant in entrants]
    if len(set(prices)) == len(prices):
        return _NO_DRAWS
    equal = {one for one, other in pairwise(prices) if one == other}
    drawer = Drawer(draw_key, ping_id)
    drawn = {
        entrant[1]: drawer.draw(entrant[3].campaign_id)
        for entrant in entrants
        if entrant[0] in equal
    }

    def order(entrant: E) -> tuple[Any, ...]:
        price, slot, quote = entrant[0], entrant[1], entrant[3]
        if slot not in drawn:
            return (price,)
        return price, quote.standing.overall_rate, drawn[slot], quote.campaign_id

    entrants.sort(key=order)
    return drawn
