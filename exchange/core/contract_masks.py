"""A seller's contracts as masks over the campaigns of one vertical.

Kept as campaigns get and lose their slots, made anew when a contract changes, never with a ping.
Agrees with `contract.why_no_trade` on every campaign. Source: rules §3.2 and §9.
"""

from __future__ import annotations

from collections.abc import Mapping

from exchange.core.contract import Deal
from exchange.core.contract_book import SellerDeals
from exchange.core.masks import Bounds
from exchange.core.model import CompanyId
from exchange.core.terms import Raise, raise_by, tier_of
from exchange.core.trial_room import TrialRoom, why_full


class SellerMasks:
    """Which campaigns each clause of a seller's contracts concerns.

    ``closed`` are those that do not trade, by the code of the reason. ``only_shared`` and
    ``only_exclusive`` buy no other leads. ``scored`` tells which take a quality score, ``priced``
    are those whose base the terms may change, ``first_look`` those that always have one.
    ``trials`` are the deals in a trial with bounds, ``rooms`` what is left of each: ``full`` are
    the campaigns it has no room for, ``tight`` those for which that depends on the price. Whoever
    keeps the masks looks again at trials whose room is stale, as of ``used``.
    """

    __slots__ = (
        "_raises", "closed", "deals", "first_look", "full", "is_stale", "only_exclusive",
        "only_shared", "priced", "rooms", "scored", "tight", "trials", "used",
    )  # fmt: skip

    def __init__(self, deals: SellerDeals, of_company: Mapping[CompanyId, int]) -> None:
        self.deals = deals
        self.closed: dict[str, int] = {}
        self.only_shared = 0
        self.only_exclusive = 0
        self.scored = Bounds()
        self.priced = 0
        self.first_look = 0
        self.trials: dict[CompanyId, Deal] = {
            company_id: deal
            for company_id, deal in deals.by_company.items()
            if deal.closed is None and deal.capped_trial is not None
        }
        self.rooms: dict[CompanyId, TrialRoom] = {}
        self.full = 0
        self.tight = 0
        self.used = -1
        self.is_stale = bool(self.trials)
        self._raises: dict[int, Raise] = {}
        for company_id in deals.by_company:
            if mask := of_company.get(company_id, 0):
                self.enter(company_id, mask)

    def enter(self, company_id: CompanyId, bits: int) -> None:
        """Campaigns of a company got these slots."""
        deal = self.deals.by_company.get(company_id)
        if deal is None:
            return
        if deal.closed is not None:
            self.closed[deal.closed.code] = self.closed.get(deal.closed.code, 0) | bits
        if not deal.exclusive:
            self.only_shared |= bits
        if not deal.shared:
            self.only_exclusive |= bits
        if deal.least_score:
            self.scored.add(deal.least_score, bits)
        if deal.moves_prices:
            self.priced |= bits
        if deal.first_look:
            self.first_look |= bits
        if company_id in self.trials:
            self.rooms.pop(company_id, None)
            self.is_stale = True

    def leave(self, company_id: CompanyId, bits: int) -> None:
        """Campaigns of a company lost these slots."""
        deal = self.deals.by_company.get(company_id)
        if deal is None:
            return
        if deal.closed is not None:
            self.closed[deal.closed.code] &= ~bits
        if deal.least_score:
            self.scored.remove(deal.least_score, bits)
        self.only_shared &= ~bits
        self.only_exclusive &= ~bits
        self.priced &= ~bits
        self.first_look &= ~bits
        self.full &= ~bits
        self.tight &= ~bits

    def put_room(self, company_id: CompanyId, room: TrialRoom, bits: int, tight: int) -> None:
        """A trial's room is known: of the company's campaigns ``tight`` may not fit at a price."""
        self.rooms[company_id] = room
        self.full &= ~bits
        self.tight = self.tight & ~bits | tight
        if why_full(room, 0) is not None:
            self.full |= bits

    def barred(self, share: int) -> int:
        """The campaigns that are sold no leads at a share count."""
        return self.only_shared if share == 1 else self.only_exclusive

    def raised(self, score: int) -> Raise:
        """What the contracts' tiers add at most to any price at a score."""
        raised = self._raises.get(score)
        if raised is None:
            tiers = (tier_of(deal.tiers, score) for deal in self.deals.by_company.values())
            raised = self._raises[score] = raise_by(tier for tier in tiers if tier is not None)
        return raised
