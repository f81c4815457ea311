"""Contracts in memory, no stricter than the wire's tests need."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from exchange.core.contract import Contract
from exchange.core.model import CompanyId, DeliveryId, LeadId, SellerId
from exchange.core.trial_room import TrialUse
from exchange.flow.contracts import Breach, ContractRecord, Draft, TrialHold


class MemoryContracts:
    """Records what it is told to."""

    def __init__(self) -> None:
        self.records: dict[str, ContractRecord] = {}
        self.kept: list[Breach] = []
        self.keys: list[str | None] = []
        self.fault: Exception | None = None

    async def create(
        self,
        seller_id: SellerId,
        company_id: CompanyId,
        draft: Draft,
        *,
        key: str | None,
        now: datetime,
    ) -> ContractRecord:
        if self.fault is not None:
            raise self.fault
        self.keys.append(key)
        contract_id = f"contract-{len(self.records) + 1}"
        first = Contract(
            contract_id=contract_id,
            version=1,
            number=1,
            seller_id=seller_id,
            company_id=company_id,
            effective_from=draft.effective_from or now,
            effective_to=draft.effective_to,
            recorded_at=now,
            clauses=draft.clauses,
        )
        record = self.records[contract_id] = ContractRecord(
            contract_id=contract_id,
            seller_id=seller_id,
            company_id=company_id,
            created_at=now,
            versions=(first,),
        )
        return record

    async def amend(
        self, contract_id: str, draft: Draft, *, key: str | None, now: datetime
    ) -> ContractRecord | None:
        record = self.records.get(contract_id)
        if record is None:
            return None
        last = record.versions[-1]
        added = replace(
            last,
            version=last.version + 1,
            number=last.number + 1,
            effective_from=draft.effective_from or now,
            effective_to=draft.effective_to,
            clauses=draft.clauses,
        )
        record = self.records[contract_id] = replace(record, versions=(*record.versions, added))
        return record

    async def end(
        self, contract_id: str, at: datetime | None, *, key: str | None, now: datetime
    ) -> ContractRecord | None:
        record = self.records.get(contract_id)
        if record is None:
            return None
        clauses = record.versions[-1].clauses
        draft = Draft(clauses=clauses, effective_to=at or now)
        return await self.amend(contract_id, draft, key=key, now=now)

    async def contract(self, contract_id: str) -> ContractRecord | None:
        return self.records.get(contract_id)

    async def contracts(
        self, seller_id: SellerId | None, company_id: CompanyId | None, after: str, limit: int
    ) -> Sequence[ContractRecord]:
        return [
            record
            for record in self.records.values()
            if seller_id in (None, record.seller_id)
            and company_id in (None, record.company_id)
            and record.contract_id > after
        ][:limit]

    async def note_breach(self, breach: Breach) -> None:
        self.kept.append(breach)

    async def hold_trial(self, hold: TrialHold) -> tuple[bool, TrialUse]:
        raise NotImplementedError("nothing is sold here")

    async def leave_trial(
        self, contract_id: str, delivery_id: DeliveryId, lead_id: LeadId, owner: str
    ) -> Sequence[TrialUse]:
        raise NotImplementedError("nothing is sold here")

    async def trial_uses(self, contract_id: str) -> Sequence[TrialUse]:
        return []

    async def breaches(self, contract_id: str | None, after: str, limit: int) -> Sequence[Breach]:
        return [one for one in self.kept if contract_id in (None, one.contract_id)][:limit]
