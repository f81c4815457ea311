"""Manual rejections in PostgreSQL: judged by the core under the sale's lock, booked in one
transaction. Implements `flow.ports.Returns`. Source: rules §8.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec
from msgspec.structs import replace
from uuid_utils import uuid7

from exchange.core.model import CompanyId, LeadId, Policy
from exchange.core.reasons import Reason
from exchange.core.rejection import Terms, clause_of, judge
from exchange.core.standing import window_start
from exchange.flow.faults import NotFound, because
from exchange.flow.ports import Rejected, RejectRequest, Sealed, Vault
from exchange.flow.returning import Foreseen
from exchange.stores.postgres import QUERIES, Postgres, Record
from exchange.stores.postgres_books import set_lead_state
from exchange.stores.postgres_return_terms import terms_of_return, terms_of_sale
from exchange.stores.postgres_room import decode_change
from exchange.stores.vault import VaultError


class _Judged(NamedTuple):
    """A sale that may be returned, or one that was: ``earlier`` is what that came to."""

    sale: Record
    terms: Terms
    is_reviewed: bool
    earlier: Rejected | None = None


class PostgresReturns:
    """Returns of sold leads. Implements `flow.returning.Foreseeing` as well."""

    def __init__(self, postgres: Postgres, policy: Policy, vault: Vault) -> None:
        self._postgres = postgres
        self._policy = policy
        self._vault = vault
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Rejected).decode

    async def earlier(self, company_id: CompanyId, lead_id: LeadId) -> Rejected | None:
        """What a company's rejection of this lead came to, if it was rejected."""
        async with self._postgres.connection() as connection:
            row = await connection.fetchrow(QUERIES["rejection_of_lead"], lead_id, company_id)
            if row is None:
                return None
            return self._answer_again(row, await _why_silence_declined(connection, row))

    async def reject(self, request: RejectRequest) -> Rejected:
        """Return a lead, once; a repeat gives what the first gave."""
        async with self._postgres.connection() as connection, connection.transaction():
            judged = await self._judged(connection, request)
            return judged.earlier or await self._book(connection, request, judged)

    async def foresee(self, request: RejectRequest) -> Foreseen:
        """What `reject` would book, or raise."""
        async with self._postgres.connection() as connection, connection.transaction():
            judged = await self._judged(connection, request)
        sale, earlier = judged.sale, judged.earlier
        if earlier is not None:
            outcome: Literal["accepted", "in_review", "returned_before"] = "returned_before"
        else:
            outcome = "in_review" if judged.is_reviewed else "accepted"
        return Foreseen(
            outcome=outcome,
            reason=request.reason if earlier is None else earlier.reason,
            value_cents=sale["charged"] if earlier is None else 0,
            day=sale["day"],
            era=sale["era"],
        )

    async def _judged(self, connection: Any, request: RejectRequest) -> _Judged:
        """The sale, held still, with its terms, and what an earlier return of it came to.

        Raises Conflict with the rule that refuses the rejection.
        """
        # The lead first, as a post does: so neither waits for the other for ever, and the
        # lead's state is computed from legs that stand still.
        await connection.execute(QUERIES["lock_lead"], request.lead_id)
        sale = await connection.fetchrow(QUERIES["lock_sale"], request.lead_id, request.company_id)
        if sale is None:
            raise await self._why_no_sale(connection, request)
        row = await connection.fetchrow(QUERIES["rejection_of_delivery"], sale["delivery_id"])
        if row is not None:
            earlier = self._answer_again(row, await _why_silence_declined(connection, row))
            return _Judged(sale, request.terms, False, earlier)
        terms = await terms_of_sale(connection, request, sale)
        refused = judge(
            window_closes_at=sale["window_closes_at"],
            is_test=False,
            reason=request.reason,
            now=request.now,
            terms=_with_unread(terms, request.reason),
            value_cents=sale["charged"],
        )
        if refused is not None:
            details = _details(refused, sale) | clause_of(refused, terms)
            raise because(refused, field=_field_of(refused, request.reason), details=details)
        return _Judged(sale, terms, request.reviewed or terms.reviewed)

    async def _book(self, connection: Any, request: RejectRequest, judged: _Judged) -> Rejected:
        rejection_id = str(uuid7())
        sale, is_reviewed = judged.sale, judged.is_reviewed
        # A company's own words may quote the contact.
        note = request.note and self._vault.seal_note(request.note, request.lead_id)
        await connection.fetchval(
            QUERIES["book_rejection"],
            rejection_id,
            sale["delivery_id"],
            request.reason,
            note.data if note else None,
            note.key_id if note else None,
            request.now,
            request.review_until if is_reviewed else None,
            sorted(judged.terms.allowed) if is_reviewed else None,
        )
        await set_lead_state(connection, request.lead_id)
        today = request.day
        whole = await connection.fetchval(
            QUERIES["companies_whole_of"],
            window_start(today, self._policy),
            request.now,
            [request.company_id],
        )
        rejected = Rejected(
            rejection_id=rejection_id,
            lead_id=request.lead_id,
            reason=request.reason,
            value_cents=sale["charged"],
            rejected_at=request.now,
            day=today,
            company=decode_change(whole),
            status="in_review" if is_reviewed else "accepted",
        )
        await connection.execute(
            QUERIES["keep_rejection_answer"], rejection_id, self._encode(rejected)
        )
        return rejected

    def _answer_again(self, row: Record, clause: dict[str, object]) -> Rejected:
        """What was answered, with what was decided since; raises Conflict where that is against.

        ``clause`` is the contract's that time declined it by.
        """
        status = row["status"]
        if status in ("declined", "reversed"):
            reason = Reason.RETURN_DECLINED if status == "declined" else Reason.RETURN_REVERSED
            details: dict[str, object] = {
                "rejection_id": row["id"],
                "decided_at": row["decided_at"],
            }
            sentence = open_sealed(self._vault, row, "decision", "decision_key_id")
            if sentence is not None:
                details["decision"] = sentence
            raise because(reason, details=details | clause)
        answer: Rejected = self._decode(row["answer"])
        return replace(answer, status=status, reason=Reason(row["reason"]), is_repeat=True)

    async def _why_no_sale(self, connection: Any, request: RejectRequest) -> Exception:
        row = await connection.fetchrow(
            QUERIES["delivery_of_company"], request.lead_id, request.company_id
        )
        if row is not None and row["test"] and row["state"] == "accepted":
            return because(Reason.TEST_LEAD)
        return NotFound("your company bought no lead with this id", field="lead_id")


def open_sealed(vault: Vault, row: Record, column: str, key_column: str) -> str | None:
    """What was written of a row's lead; None if nothing was, or if its key is gone."""
    if row[column] is None:
        return None
    try:
        return vault.open_note(Sealed(row[key_column], row[column]), row["lead_id"])
    except VaultError:
        return None


async def _why_silence_declined(connection: Any, row: Record) -> dict[str, object]:
    if (row["status"], row["decided_by"]) != ("declined", "time"):
        return {}
    (whole,) = await connection.fetch(QUERIES["returns_by_id"], [row["id"]])
    return clause_of(Reason.REASON_NOT_ALLOWED, await terms_of_return(connection, whole))


def _with_unread(terms: Terms, reason: Reason) -> Terms:
    """The terms; a reason nobody could read yet is for the review to judge, if any is allowed."""
    if reason is not Reason.REASON_UNCLEAR or not terms.allowed:
        return terms
    return replace(terms, allowed=terms.allowed | {Reason.REASON_UNCLEAR})


def _field_of(refused: Reason, asked: Reason) -> str | None:
    if refused is not Reason.REASON_NOT_ALLOWED:
        return None
    return "text" if asked is Reason.REASON_UNCLEAR else "reason"


def _details(refused: Reason, sale: Record) -> dict[str, object]:
    if refused is Reason.WINDOW_CLOSED:
        return {"window_closed_at": sale["window_closes_at"]}
    return {}
