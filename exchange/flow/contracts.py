"""Contracts as they are recorded and read: the values and the protocol.

Implemented in `exchange.stores`. A version that was recorded is in this worker's market, and told
to the others, before the method returns. Source: rules §9.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from exchange.core.contract import Clauses, Contract, Trial
from exchange.core.model import CompanyId, DeliveryId, LeadId, SellerId
from exchange.core.reasons import Reason
from exchange.core.trial_room import TrialUse


class Draft(Struct, frozen=True, kw_only=True):
    """A version to be recorded; without ``effective_from`` it takes effect at once."""

    clauses: Clauses
    effective_from: datetime | None = None
    effective_to: datetime | None = None


class ContractRecord(Struct, frozen=True, kw_only=True):
    """A contract with all its versions, oldest first."""

    contract_id: str
    seller_id: SellerId
    company_id: CompanyId
    created_at: datetime
    versions: tuple[Contract, ...]


class Breach(Struct, frozen=True, kw_only=True):
    """A real-time refusal for a reason the contract does not allow, with the clause."""

    delivery_id: DeliveryId
    lead_id: LeadId
    seller_id: SellerId
    company_id: CompanyId
    contract_id: str
    version: int
    clause: str
    reason: Reason
    noted_at: datetime


class TrialHold(Struct, frozen=True, kw_only=True):
    """A delivery that needs room in the trial of a contract."""

    delivery_id: DeliveryId
    contract_id: str
    seller_id: SellerId
    company_id: CompanyId
    trial: Trial
    offered_at: datetime
    charged_cents: int


class SaleContracts(Protocol):
    """What selling a lead needs of contracts."""

    async def note_breach(self, breach: Breach) -> None:
        """Note a refusal outside its contract, once for its delivery."""
        ...

    async def hold_trial(self, hold: TrialHold) -> tuple[bool, TrialUse]:
        """Take room in a trial for a delivery, once; False where there is none.

        It is free again once the delivery has ended without a sale. Gives what the trial has used
        then, to be told.
        """
        ...

    async def leave_trial(
        self, contract_id: str, delivery_id: DeliveryId, lead_id: LeadId, owner: str
    ) -> Sequence[TrialUse]:
        """Give room back that no delivery was written for; gives what is used, to be told."""
        ...

    async def trial_uses(self, contract_id: str) -> Sequence[TrialUse]:
        """What every trial of a contract has used, to be told."""
        ...


class Contracts(SaleContracts, Protocol):
    """Contracts, their versions, and what was refused outside them.

    What cannot stand raises Invalid with the place, what contradicts what stands Conflict. The same
    ``key`` with the same request gives what the first gave.
    """

    async def create(
        self,
        seller_id: SellerId,
        company_id: CompanyId,
        draft: Draft,
        *,
        key: str | None,
        now: datetime,
    ) -> ContractRecord:
        """A new contract. Raises Conflict where the pair has one that still holds then."""
        ...

    async def amend(
        self, contract_id: str, draft: Draft, *, key: str | None, now: datetime
    ) -> ContractRecord | None:
        """A new version; None where there is no such contract.

        Versions that have not taken effect when this one does never will.
        """
        ...

    async def end(
        self, contract_id: str, at: datetime | None, *, key: str | None, now: datetime
    ) -> ContractRecord | None:
        """Let a contract end at a moment, or now; then the vertical's defaults hold."""
        ...

    async def contract(self, contract_id: str) -> ContractRecord | None:
        """One contract with its history."""
        ...

    async def contracts(
        self, seller_id: SellerId | None, company_id: CompanyId | None, after: str, limit: int
    ) -> Sequence[ContractRecord]:
        """Contracts of a seller, a company, both or all, in the order of their ids."""
        ...

    async def breaches(self, contract_id: str | None, after: str, limit: int) -> Sequence[Breach]:
        """Refusals outside a contract, or any, in the order of their deliveries' ids."""
        ...
