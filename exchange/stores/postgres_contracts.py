"""Contracts in PostgreSQL: versions written once, in one order. Implements `flow.contracts`.

Whether a version may stand is decided by the core, under the lock of all contracts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec.structs import replace
from uuid_utils import uuid7

from exchange.core.contract import Clauses, Contract, in_force
from exchange.core.contract_book import ContractChange
from exchange.core.contract_rules import ContractFault, check_contract, overlapping
from exchange.core.model import CompanyId, DeliveryId, LeadId, SellerId
from exchange.core.reasons import Reason
from exchange.core.trial_room import TrialUse
from exchange.flow.contracts import Breach, ContractRecord, Draft, TrialHold
from exchange.flow.faults import Conflict, Invalid
from exchange.stores.postgres import QUERIES, Postgres, Record

_LOCK: Final = 0x436F6E7472616374
"""The advisory lock under which versions are numbered: contracts are written seldom."""

_encode = msgspec.json.Encoder().encode
_decode_clauses = msgspec.json.Decoder(Clauses).decode


class PostgresContracts:
    """Contracts and their versions."""

    def __init__(
        self, postgres: Postgres, announce: Callable[[ContractChange | TrialUse], Awaitable[None]]
    ) -> None:
        self._postgres = postgres
        self._announce = announce

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
        asked = _hash("create", seller_id, company_id, draft)
        written: Contract | None = None
        async with self._postgres.connection() as connection, connection.transaction():
            await connection.execute(QUERIES["lock_contracts"], _LOCK)
            contract_id = await _earlier(connection, key, asked)
            if contract_id is None:
                for name, account_id in (("seller", seller_id), ("company", company_id)):
                    if await connection.fetchrow(QUERIES[name], account_id) is None:
                        raise Invalid(f"There is no such {name}.", field=f"{name}_id")
                versions = await _of_pair(connection, seller_id, company_id)
                begins = _begin(draft, now)
                other = overlapping(versions, begins)
                if other is not None:
                    raise _overlap(other)
                contract_id = str(uuid7())
                await connection.execute(
                    QUERIES["add_contract"], contract_id, seller_id, company_id, now
                )
                first = Contract(
                    contract_id=contract_id,
                    version=1,
                    number=await _next_number(connection),
                    seller_id=seller_id,
                    company_id=company_id,
                    effective_from=begins,
                    effective_to=draft.effective_to,
                    recorded_at=now,
                    clauses=draft.clauses,
                )
                await _write(connection, first, key, asked)
                written = first
        return await self._told(contract_id, written)

    async def amend(
        self, contract_id: str, draft: Draft, *, key: str | None, now: datetime
    ) -> ContractRecord | None:
        """A new version; None where there is no such contract."""
        asked = _hash("amend", contract_id, draft)

        def begin(_versions: Sequence[Contract]) -> tuple[Draft, datetime]:
            return draft, _begin(draft, now)

        return await self._add(contract_id, begin, key, asked, now)

    async def end(
        self, contract_id: str, at: datetime | None, *, key: str | None, now: datetime
    ) -> ContractRecord | None:
        """Let a contract end at a moment, or now; then the vertical's defaults hold."""
        if at is not None and at < now:
            raise Invalid("effective_to must not be in the past.", field="effective_to")

        def begin(versions: Sequence[Contract]) -> tuple[Draft, datetime]:
            newest, ends = versions[-1], at or now
            if newest.effective_to is not None and newest.effective_to <= ends:
                raise Conflict(
                    "The contract ends before that already.",
                    field="effective_to",
                    code="contract_ended",
                    details={"effective_to": newest.effective_to},
                )
            # What was to hold until then holds until then, and what was to begin later never does.
            last = in_force(versions, ends) or newest
            begins = min(max(now, last.effective_from), ends)
            return Draft(clauses=last.clauses, effective_to=ends), begins

        return await self._add(contract_id, begin, key, _hash("end", contract_id, at), now)

    async def contract(self, contract_id: str) -> ContractRecord | None:
        """One contract with its history."""
        row = await self._postgres.row("contract", contract_id)
        return None if row is None else (await self._records([row]))[0]

    async def contracts(
        self, seller_id: SellerId | None, company_id: CompanyId | None, after: str, limit: int
    ) -> Sequence[ContractRecord]:
        """Contracts of a seller, a company, both or all, in the order of their ids."""
        rows = await self._postgres.rows("contracts", seller_id, company_id, after, limit)
        return await self._records(rows)

    async def note_breach(self, breach: Breach) -> None:
        """Note a refusal outside its contract, once for its delivery."""
        await self._postgres.run(
            "note_breach",
            breach.delivery_id,
            breach.lead_id,
            breach.seller_id,
            breach.company_id,
            breach.contract_id,
            breach.version,
            breach.clause,
            breach.reason,
            breach.noted_at,
        )

    async def hold_trial(self, hold: TrialHold) -> tuple[bool, TrialUse]:
        """Take room in a trial for a delivery, once; False where there is none."""
        row = await self._postgres.row(
            "take_trial_room",
            hold.delivery_id,
            hold.contract_id,
            hold.offered_at,
            hold.charged_cents,
            hold.trial.starts_at,
            hold.trial.ends_at,
            hold.trial.leads,
            hold.trial.spend_cents,
        )
        if row is None:
            raise RuntimeError("take_trial_room gave no row")
        return row["held"], TrialUse(
            contract_id=hold.contract_id,
            seller_id=hold.seller_id,
            company_id=hold.company_id,
            version=row["version"],
            starts_at=hold.trial.starts_at,
            ends_at=hold.trial.ends_at,
            leads=row["leads"],
            spend_cents=row["spend"],
        )

    async def leave_trial(
        self, contract_id: str, delivery_id: DeliveryId, lead_id: LeadId, owner: str
    ) -> Sequence[TrialUse]:
        """Give room back that no delivery was written for; gives what is used, to be told."""
        await self._postgres.run("leave_trial_room", contract_id, delivery_id, lead_id, owner)
        return await self.trial_uses(contract_id)

    async def trial_uses(self, contract_id: str) -> Sequence[TrialUse]:
        """What every trial of a contract has used, to be told."""
        rows = await self._postgres.rows("trials_of_contract", contract_id)
        return [read_use(row) for row in rows]

    async def breaches(self, contract_id: str | None, after: str, limit: int) -> Sequence[Breach]:
        """Refusals outside a contract, or any, in the order of their deliveries' ids."""
        rows = await self._postgres.rows("breaches", contract_id, after, limit)
        return [Breach(**{**dict(row), "reason": Reason(row["reason"])}) for row in rows]

    async def _add(
        self,
        contract_id: str,
        begin: Callable[[Sequence[Contract]], tuple[Draft, datetime]],
        key: str | None,
        asked: bytes,
        now: datetime,
    ) -> ContractRecord | None:
        """Record a further version; ``begin`` makes it of those there, and says from when."""
        written: Contract | None = None
        async with self._postgres.connection() as connection, connection.transaction():
            await connection.execute(QUERIES["lock_contracts"], _LOCK)
            row = await connection.fetchrow(QUERIES["contract"], contract_id)
            if row is None:
                return None
            if await _earlier(connection, key, asked) is None:
                pair = await _of_pair(connection, row["seller_id"], row["company_id"])
                if pair[-1].contract_id != contract_id:
                    raise _overlap(pair[-1])
                versions = [one for one in pair if one.contract_id == contract_id]
                draft, begins = begin(versions)
                written = replace(
                    versions[-1],
                    version=versions[-1].version + 1,
                    number=await _next_number(connection),
                    effective_from=begins,
                    effective_to=draft.effective_to,
                    recorded_at=now,
                    clauses=draft.clauses,
                )
                await _write(connection, written, key, asked)
        return await self._told(contract_id, written)

    async def _told(self, contract_id: str, written: Contract | None) -> ContractRecord:
        if written is not None:
            # A trial that is recorded anew may have been used in part already.
            if written.clauses.trial is not None:
                for use in await self.trial_uses(contract_id):
                    await self._announce(use)
            await self._announce(ContractChange(contract=written))
        record = await self.contract(contract_id)
        if record is None:
            raise RuntimeError("a contract was recorded and then not found")
        return record

    async def _records(self, rows: Sequence[Record]) -> list[ContractRecord]:
        found = await self._postgres.rows("versions_of_contracts", [row["id"] for row in rows])
        versions: dict[str, list[Contract]] = {}
        for version in map(read_version, found):
            versions.setdefault(version.contract_id, []).append(version)
        return [
            ContractRecord(
                contract_id=row["id"],
                seller_id=row["seller_id"],
                company_id=row["company_id"],
                created_at=row["created_at"],
                versions=tuple(versions[row["id"]]),
            )
            for row in rows
        ]


def read_use(row: Record) -> TrialUse:
    """What a trial has used, of the view ``trial_room``."""
    return TrialUse(
        contract_id=row["contract_id"],
        seller_id=row["seller_id"],
        company_id=row["company_id"],
        version=row["version"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        leads=row["leads"],
        spend_cents=row["spend"],
    )


def read_version(row: Record) -> Contract:
    """A version as it was recorded."""
    return Contract(
        contract_id=row["contract_id"],
        version=row["version"],
        number=row["number"],
        seller_id=row["seller_id"],
        company_id=row["company_id"],
        effective_from=row["effective_from"],
        effective_to=row["effective_to"],
        recorded_at=row["recorded_at"],
        clauses=_decode_clauses(row["clauses"]),
    )


def _begin(draft: Draft, now: datetime) -> datetime:
    """When a version takes effect. Raises Invalid for terms that cannot stand."""
    begins = draft.effective_from or now
    if begins < now:
        raise Invalid(
            "effective_from must not be in the past: what was offered stays as it was.",
            field="effective_from",
        )
    try:
        check_contract(draft.clauses, begins, draft.effective_to)
    except ContractFault as fault:
        message = f"{fault.path} {fault.message}."
        raise Invalid(message, field=fault.path, code="invalid_contract") from None
    return begins


def _overlap(other: Contract) -> Conflict:
    until = other.effective_to
    return Conflict(
        "This seller and company have another contract then; end it, or record a version of it.",
        field="effective_from",
        code="contract_overlaps",
        details={
            "contract_id": other.contract_id,
            "effective_to": None if until is None else until.isoformat(),
        },
    )


async def _earlier(connection: Any, key: str | None, asked: bytes) -> str | None:
    """The contract this key was used for. Raises Conflict if it was for another request."""
    row = None if key is None else await connection.fetchrow(QUERIES["contract_of_key"], key)
    if row is None:
        return None
    if row["request_hash"] != asked:
        raise Conflict(
            "This Idempotency-Key was used for another version.",
            field="Idempotency-Key",
            code="idempotency_conflict",
        )
    return str(row["contract_id"])


async def _of_pair(connection: Any, seller_id: str, company_id: str) -> list[Contract]:
    rows = await connection.fetch(QUERIES["versions_of_pair"], seller_id, company_id)
    return [read_version(row) for row in rows]


async def _next_number(connection: Any) -> int:
    return int(await connection.fetchval(QUERIES["last_contract_number"])) + 1


async def _write(connection: Any, one: Contract, key: str | None, asked: bytes) -> None:
    await connection.execute(
        QUERIES["add_contract_version"],
        one.number,
        one.contract_id,
        one.version,
        one.seller_id,
        one.company_id,
        one.effective_from,
        one.effective_to,
        one.recorded_at,
        _encode(one.clauses).decode(),
        key,
        asked,
    )
    if one.clauses.trial is not None:
        await connection.execute(QUERIES["note_trial_use"], one.contract_id)


def _hash(*asked: object) -> bytes:
    return hashlib.sha256(_encode(asked)).digest()
