"""Every contract a worker knows, by seller and company; compiled for a seller's pings.

State without I/O: versions come in as values, in any order and twice. What holds is worked out
once for a seller and kept until a version comes or a moment passes at which it changes by itself.
Source: rules §9.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from exchange.core.contract import Contract, Deal, deal_of, in_force, next_change
from exchange.core.model import CompanyId, SellerId
from exchange.core.reasons import Reason
from exchange.core.terms import NO_RAISE, Raise, raise_by

FULL_S: Final = 60
"""How long a trial that had no room makes no bids before it is tried again."""


class ContractChange(Struct, frozen=True, kw_only=True):
    """A version that was recorded."""

    contract: Contract


class SellerDeals(Struct, frozen=True, eq=False):
    """What holds between a seller and each company with a contract, from a moment until another."""

    since: datetime
    until: datetime | None
    by_company: Mapping[CompanyId, Deal]

    def holds(self, at: datetime) -> bool:
        """Whether it is still so at a moment."""
        return self.since <= at and (self.until is None or at < self.until)


class ContractBook:
    """The versions of every pair. ``sellers`` is empty while there is no contract at all.

    ``complete`` is the number up to which no version is missing, for whoever fetches the rest.
    ``raises`` bounds what any version of a company, whenever it holds, adds to its prices.
    """

    def __init__(self) -> None:
        self.sellers: dict[SellerId, dict[CompanyId, tuple[Contract, ...]]] = {}
        self.raises: dict[CompanyId, Raise] = {}
        self.complete = 0
        self._ahead: set[int] = set()
        self._deals: dict[SellerId, SellerDeals] = {}
        self._full: dict[tuple[SellerId, CompanyId], datetime] = {}

    def apply(self, change: ContractChange) -> None:
        """Take a version in, once."""
        one = change.contract
        if one.number <= self.complete or one.number in self._ahead:
            return
        self._ahead.add(one.number)
        while self.complete + 1 in self._ahead:
            self.complete += 1
            self._ahead.discard(self.complete)
        companies = self.sellers.setdefault(one.seller_id, {})
        companies[one.company_id] = (*companies.get(one.company_id, ()), one)
        known = self.raises.get(one.company_id, NO_RAISE)
        self.raises[one.company_id] = raise_by(one.clauses.tiers, known)
        self._deals.pop(one.seller_id, None)
        self._full.pop((one.seller_id, one.company_id), None)

    def fill(self, seller_id: SellerId, company_id: CompanyId, now: datetime) -> None:
        """Note that a pair's trial had no room: no bids under it for `FULL_S`.

        A delivery that is refused makes room again, so it is tried anew then.
        """
        self._full[seller_id, company_id] = now + timedelta(seconds=FULL_S)
        self._deals.pop(seller_id, None)

    def deal(self, seller_id: SellerId, company_id: CompanyId, at: datetime) -> Deal | None:
        """What held between a pair at a moment; None for the vertical's defaults."""
        versions = self.sellers.get(seller_id, {}).get(company_id)
        current = None if versions is None else in_force(versions, at)
        return None if current is None else deal_of(current, at)

    def deals(self, seller_id: SellerId, now: datetime) -> SellerDeals | None:
        """What holds between a seller and all its companies now; None where it has no contract."""
        known = self._deals.get(seller_id)
        if known is not None and known.holds(now):
            return known
        companies = self.sellers.get(seller_id)
        if companies is None:
            return None
        changes = [next_change(versions, now) for versions in companies.values()]
        found: dict[CompanyId, Deal] = {}
        for company_id in companies:
            deal = self.deal(seller_id, company_id, now)
            if deal is None:
                continue
            full_until = self._full.get((seller_id, company_id), now)
            if full_until > now and deal.capped_trial is not None and deal.closed is None:
                deal = replace(deal, closed=Reason.TRIAL_FULL)
                changes.append(full_until)
            found[company_id] = deal
        known = self._deals[seller_id] = SellerDeals(
            now, min((moment for moment in changes if moment is not None), default=None), found
        )
        return known
