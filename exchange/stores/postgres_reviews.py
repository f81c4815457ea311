"""Returns after they were asked for: reviews, disputes and reversals, each one transaction.

Implements `flow.returning.Reviews`. What may be done is judged by the core under the lead's lock;
the SQL functions only check that it may still be done. Source: rules §8.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Any, Final, NoReturn

import msgspec
from uuid_utils import uuid7

from exchange.core.changes import CompanyChange
from exchange.core.model import LeadId, Policy, SellerId
from exchange.core.reasons import Reason
from exchange.core.rejection import clause_of
from exchange.core.returning import ReturnPolicy, judge_dispute, judge_silence
from exchange.core.standing import window_start
from exchange.flow.faults import Invalid, NotFound, because
from exchange.flow.ports import Role, Vault
from exchange.flow.returning import Dispute, Kind, Return, Statement
from exchange.stores.postgres import QUERIES, Postgres, Record
from exchange.stores.postgres_books import set_lead_state
from exchange.stores.postgres_return_terms import terms_of_return
from exchange.stores.postgres_returns import open_sealed
from exchange.stores.postgres_room import decode_change

_LISTS: Final[dict[Role, str]] = {
    "operator": "returns_of_all",
    "company": "returns_of_company",
    "seller": "returns_of_seller",
}


class PostgresReviews:
    """Reviews, disputes and reversals in PostgreSQL."""

    def __init__(
        self, postgres: Postgres, policy: Policy, returns: ReturnPolicy, vault: Vault
    ) -> None:
        self._postgres = postgres
        self._policy = policy
        self._returns = returns
        self._vault = vault
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Statement).decode

    async def returns(
        self,
        role: Role,
        subject_id: str,
        after: str,
        limit: int,
        kind: Kind | None = None,
        counting_since: date | None = None,
    ) -> Sequence[Return]:
        """A company's or a seller's returns, or an operator's of everybody, by id."""
        name, whose = _LISTS[role], kind if role == "operator" else subject_id
        more: tuple[object, ...] = ()
        if role == "company" and counting_since is not None:
            name, more = "counting_of_company", (kind or "manual", counting_since)
        elif role == "company" and kind == "crm":
            name = "failures_of_company"
        rows = await self._postgres.rows(name, after, limit, whose, *more)
        return await self._whole([row["id"] for row in rows])

    async def in_review(self, after: str, limit: int) -> Sequence[Return]:
        """Returns that wait for a review."""
        rows = await self._postgres.rows("returns_in_review", after, limit)
        return await self._whole([row["id"] for row in rows])

    async def open_disputes(self, after: str, limit: int) -> Sequence[Return]:
        """Returns whose dispute waits for a decision, in the order of the disputes' ids."""
        rows = await self._postgres.rows("open_disputes", after, limit)
        return await self._whole([row["rejection_id"] for row in rows])

    async def one(self, rejection_id: str) -> Return | None:
        """A rejection with all that became of it."""
        return next(iter(await self._whole([rejection_id])), None)

    async def _whole(self, ids: Sequence[str]) -> list[Return]:
        if not ids:
            return []
        async with self._postgres.connection() as connection:
            rows = await connection.fetch(QUERIES["returns_by_id"], list(ids))
            found = {row["id"]: self._read(row, await _clause(connection, row)) for row in rows}
        return [found[rejection_id] for rejection_id in ids if rejection_id in found]

    async def decide_review(
        self,
        rejection_id: str,
        *,
        approved: bool,
        reason: Reason | None,
        sentence: str | None,
        now: datetime,
        day: date,
    ) -> CompanyChange | None:
        """Approve or decline a return under review, once."""
        async with self._held(rejection_id) as (connection, row):
            if row["review_until"] is None:
                raise NotFound("this return was never under review", field="rejection_id")
            if row["status"] != "in_review":
                is_same = (row["status"] != "declined") is approved
                if not is_same or reason not in (None, row["reason"]):
                    _refuse_otherwise(row["status"])
                return None
            if approved:
                _judge_reason(row, reason)
            decision = (
                self._vault.seal_note(sentence, row["lead_id"]) if sentence is not None else None
            )
            await connection.fetchval(
                QUERIES["decide_review"],
                rejection_id,
                approved,
                reason if approved else None,
                "operator",
                decision and decision.data,
                decision and decision.key_id,
                now,
            )
            return await self._changed(connection, row, now, day)

    async def decide_due(self, now: datetime, day: date) -> CompanyChange | None:
        """Decide one return whose review nobody decided in time; None if there is none.

        It is approved, unless `judge_silence` is against it. One that another worker is at is left
        to it.
        """
        async with self._postgres.connection() as connection, connection.transaction():
            due = await connection.fetchrow(QUERIES["due_review"], now)
            if due is None:
                return None
            (row,) = await connection.fetch(QUERIES["returns_by_id"], [due["id"]])
            await connection.execute(QUERIES["lock_sale"], row["lead_id"], row["company_id"])
            terms = await terms_of_return(connection, row)
            approved = judge_silence(Reason(row["reason"]), terms) is None
            await connection.fetchval(
                QUERIES["decide_review"], due["id"], approved, None, "time", None, None, now
            )
            return await self._changed(connection, row, now, day)

    async def open_dispute(
        self, rejection_id: str, seller_id: SellerId, said: Statement, now: datetime
    ) -> None:
        """Take a seller's dispute down, once."""
        async with self._held(rejection_id) as (connection, row):
            if row["kind"] != "manual" or row["seller_id"] != seller_id:
                raise _no_return()
            if row["dispute_id"] is not None:
                if self._said(row) != said:
                    raise because(Reason.DISPUTED_OTHERWISE, field="statement")
                return
            refused = judge_dispute(row["status"], row["accepted_at"], now, self._returns)
            if refused is not None:
                raise because(refused, details=self._why_too_late(refused, row))
            sealed = self._vault.seal_note(self._encode(said).decode(), row["lead_id"])
            await connection.execute(
                QUERIES["add_dispute"],
                str(uuid7()),
                rejection_id,
                seller_id,
                sealed.data,
                sealed.key_id,
                now,
            )

    async def decide_dispute(
        self, dispute_id: str, *, overturned: bool, sentence: str, now: datetime, day: date
    ) -> tuple[str, CompanyChange | None]:
        """Let a disputed return stand, or reverse it, once."""
        rejection_id = await self._postgres.value("rejection_of_dispute", dispute_id)
        if rejection_id is None:
            raise NotFound("there is no such dispute", field="dispute_id")
        async with self._held(rejection_id) as (connection, row):
            decided = "overturned" if overturned else "upheld"
            if row["dispute_status"] != "open":
                if row["dispute_status"] != decided:
                    _refuse_otherwise(row["dispute_status"])
                return rejection_id, None
            if overturned:
                return rejection_id, await self._reverse(connection, row, sentence, now, day)
            await self._close_dispute(connection, row, decided, sentence, now)
            return rejection_id, None

    async def reverse(
        self, rejection_id: str, *, sentence: str, now: datetime, day: date
    ) -> CompanyChange | None:
        """Take an accepted rejection back, whatever its kind, once; it ends its dispute too."""
        async with self._held(rejection_id) as (connection, row):
            if row["status"] == "reversed":
                return None
            if row["status"] == "in_review":
                raise because(Reason.RETURN_UNDECIDED)
            if row["status"] == "declined":
                raise because(Reason.RETURN_DECLINED)
            return await self._reverse(connection, row, sentence, now, day)

    async def _reverse(
        self, connection: Any, row: Record, sentence: str, now: datetime, day: date
    ) -> CompanyChange:
        sealed = self._vault.seal_note(sentence, row["lead_id"])
        await connection.fetchval(
            QUERIES["reverse_rejection"], row["id"], sealed.data, sealed.key_id, now
        )
        if row["dispute_status"] is not None:
            await self._close_dispute(connection, row, "overturned", sentence, now)
        return await self._changed(connection, row, now, day)

    async def _close_dispute(
        self, connection: Any, row: Record, decided: str, sentence: str, now: datetime
    ) -> None:
        sealed = self._vault.seal_note(sentence, row["lead_id"])
        await connection.execute(
            QUERIES["decide_dispute"], row["id"], decided, now, sealed.data, sealed.key_id
        )

    @asynccontextmanager
    async def _held(self, rejection_id: str) -> AsyncIterator[tuple[Any, Record]]:
        """A rejection under its lead's and its sale's locks, in a transaction."""
        async with self._postgres.connection() as connection, connection.transaction():
            query = QUERIES["returns_by_id"]
            seen = await connection.fetch(query, [rejection_id])
            if not seen:
                raise _no_return()
            await connection.execute(QUERIES["lock_lead"], seen[0]["lead_id"])
            await connection.execute(
                QUERIES["lock_sale"], seen[0]["lead_id"], seen[0]["company_id"]
            )
            # As it was before the locks it may have been decided meanwhile.
            (row,) = await connection.fetch(query, [rejection_id])
            yield connection, row

    async def _changed(
        self, connection: Any, row: Record, now: datetime, day: date
    ) -> CompanyChange:
        """Set the lead's state, and give the company as this transaction leaves it."""
        await set_lead_state(connection, row["lead_id"])
        first = window_start(day, self._policy)
        return decode_change(
            await connection.fetchval(
                QUERIES["companies_whole_of"], first, now, [row["company_id"]]
            )
        )

    def _why_too_late(self, refused: Reason, row: Record) -> dict[str, object]:
        ended_at = self._returns.disputable_until(row["accepted_at"])
        if refused is not Reason.DISPUTE_TOO_LATE or ended_at is None:
            return {}
        return {"disputable_until": ended_at}

    def _said(self, row: Record) -> Statement | None:
        text = open_sealed(self._vault, row, "statement", "statement_key_id")
        return None if text is None else self._decode(text)

    def _read(self, row: Record, clause: dict[str, object]) -> Return:
        return Return(
            rejection_id=row["id"],
            kind=row["kind"],
            status=row["status"],
            lead_id=LeadId(row["lead_id"]),
            ping_id=row["ping_id"],
            vertical=row["vertical"],
            company_id=row["company_id"],
            campaign_id=row["campaign_id"],
            seller_id=row["lead_seller_id"],
            reason=Reason(row["reason"]),
            note=open_sealed(self._vault, row, "note", "note_key_id"),
            value_cents=row["value"],
            seller_cents=row["seller_cents"],
            rejected_at=row["rejected_at"],
            review_until=row["review_until"],
            accepted_at=row["accepted_at"],
            decided_at=row["decided_at"],
            decided_by=row["decided_by"],
            decision=open_sealed(self._vault, row, "decision", "decision_key_id"),
            clause=clause,
            dispute=None if row["dispute_id"] is None else self._read_dispute(row),
        )

    def _read_dispute(self, row: Record) -> Dispute:
        return Dispute(
            dispute_id=row["dispute_id"],
            status=row["dispute_status"],
            opened_at=row["opened_at"],
            said=self._said(row),
            decided_at=row["dispute_decided_at"],
            decision=open_sealed(self._vault, row, "dispute_decision", "dispute_decision_key_id"),
        )


async def _clause(connection: Any, row: Record) -> dict[str, object]:
    """The clause that a return was declined by for want of a review; few are."""
    if (row["status"], row["decided_by"]) != ("declined", "time"):
        return {}
    return clause_of(Reason.REASON_NOT_ALLOWED, await terms_of_return(connection, row))


def _no_return() -> NotFound:
    return NotFound("there is no such return", field="rejection_id")


def _refuse_otherwise(status: str) -> NoReturn:
    raise because(Reason.DECIDED_OTHERWISE, details={"decided": status})


def _judge_reason(row: Record, reason: Reason | None) -> None:
    """Check the reason an operator sets, or leaves, on approving."""
    if reason is None and row["reason"] == Reason.REASON_UNCLEAR:
        raise Invalid(
            "say which reason the company's text stands for", field="reason", code="missing_field"
        )
    if reason is not None and reason not in row["allowed"]:
        allowed = sorted(Reason(number).code for number in row["allowed"])
        raise because(Reason.REASON_NOT_ALLOWED, field="reason", details={"allowed": allowed})
