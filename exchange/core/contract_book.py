"""Every contract a worker knows, by seller and company; compiled for a seller's pings.

State without I/O: versions come in as values, in any order and twice. What holds is worked out
once for a seller and kept until a version comes or a moment passes at which it changes by itself.
Source: rules §9.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from exchange.core.contract import Contract, Deal, deal_of, in_force, next_change
from exchange.core.model import CompanyId, SellerId
from exchange.core.terms import NO_RAISE, Raise, raise_by
from exchange.core.trial_room import TrialRoom, TrialUse, room_of


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
    """The versions of every pair, and what their trials have used.

    ``sellers`` is empty while there is no contract at all.

    ``complete`` is the number up to which no version is missing, for whoever fetches the rest.
    ``raises`` bounds what any version of a company, whenever it holds, adds to its prices.
    ``used`` counts how often the use of any trial of a seller changed.
    """

    def __init__(self) -> None:
        self.sellers: dict[SellerId, dict[CompanyId, tuple[Contract, ...]]] = {}
        self.raises: dict[CompanyId, Raise] = {}
        self.complete = 0
        self._ahead: set[int] = set()
        self._deals: dict[SellerId, SellerDeals] = {}
        self._uses: dict[tuple[str, datetime, datetime], TrialUse] = {}
        self.used: dict[SellerId, int] = {}

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

    def apply_use(self, use: TrialUse) -> None:
        """Take in what a trial has used; the newest wins."""
        key = (use.contract_id, use.starts_at, use.ends_at)
        known = self._uses.get(key)
        if known is None or use.version > known.version:
            self._uses[key] = use
            self.used[use.seller_id] = self.used.get(use.seller_id, 0) + 1

    def room(self, deal: Deal) -> TrialRoom | None:
        """What is left of the trial a deal is in; None where none bounds what is bought."""
        if deal.trial is None or (trial := deal.capped_trial) is None:
            return None
        use = self._uses.get((deal.contract_id, trial.starts_at, trial.ends_at))
        return room_of(trial, use)

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
            if deal is not None:
                found[company_id] = deal
        known = self._deals[seller_id] = SellerDeals(
            now, min((moment for moment in changes if moment is not None), default=None), found
        )
        return known
