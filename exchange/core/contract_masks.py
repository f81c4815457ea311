"""A seller's contracts as masks over the campaigns of one vertical.

Made anew when a contract or a campaign's slot changes, never with a ping. Agrees with
`contract.why_no_trade` on every campaign. Source: rules §3.2 and §9.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from exchange.core.contract_book import SellerDeals
from exchange.core.masks import Bounds
from exchange.core.model import CompanyId
from exchange.core.money import BASIS_POINTS


class SellerMasks(Struct, frozen=True, eq=False):
    """Which campaigns each clause of a seller's contracts concerns.

    ``closed`` are those that do not trade, by the code of the reason. ``only_shared`` and
    ``only_exclusive`` buy no other leads. ``scored`` tells which take a quality score, ``priced``
    are those whose base the terms may change, ``first_look`` those that always have one.
    """

    deals: SellerDeals
    age: int
    closed: dict[str, int]
    only_shared: int
    only_exclusive: int
    scored: Bounds
    priced: int
    first_look: int
    most_add_cents: int
    most_multiply_bp: int

    def bound(self, top_cents: int) -> int:
        """What a campaign worth at most ``top_cents`` by its list is worth at most under its terms.

        Both are rectified prices in cents. The cent added before and the two after make up for
        what three roundings may add.
        """
        raised = (top_cents + self.most_add_cents + 1) * self.most_multiply_bp
        return raised // BASIS_POINTS + 2

    def barred(self, share: int) -> int:
        """The campaigns that are sold no leads at a share count."""
        return self.only_shared if share == 1 else self.only_exclusive


def make_masks(deals: SellerDeals, age: int, of_company: Mapping[CompanyId, int]) -> SellerMasks:
    """Put a seller's deals on the campaigns of a vertical; ``age`` says which slots these are."""
    closed: dict[str, int] = {}
    only_shared = only_exclusive = priced = first_look = most_add_cents = 0
    most_multiply_bp = BASIS_POINTS
    scored = Bounds()
    for company_id, deal in deals.by_company.items():
        mask = of_company.get(company_id, 0)
        if not mask:
            continue
        if deal.closed is not None:
            closed[deal.closed.code] = closed.get(deal.closed.code, 0) | mask
        if not deal.exclusive:
            only_shared |= mask
        if not deal.shared:
            only_exclusive |= mask
        if deal.least_score > 0:
            scored.add(deal.least_score, mask)
        if deal.moves_prices:
            priced |= mask
            most_add_cents = max(most_add_cents, *(tier.add_cents for tier in deal.tiers), 0)
            most_multiply_bp = max(
                most_multiply_bp, *(tier.multiply_bp for tier in deal.tiers), BASIS_POINTS
            )
        if deal.first_look:
            first_look |= mask
    return SellerMasks(
        deals=deals,
        age=age,
        closed=closed,
        only_shared=only_shared,
        only_exclusive=only_exclusive,
        scored=scored,
        priced=priced,
        first_look=first_look,
        most_add_cents=most_add_cents,
        most_multiply_bp=most_multiply_bp,
    )
