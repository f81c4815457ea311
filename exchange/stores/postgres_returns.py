"""Manual rejections in PostgreSQL: judged by the core under the sale's lock, booked in one
transaction. Implements `flow.ports.Returns`. Source: rules §8.
"""

from __future__ import annotations

from typing import Any

import msgspec
from uuid_utils import uuid7

from exchange.core.model import CompanyId, LeadId, Policy
from exchange.core.reasons import Reason
from exchange.core.rejection import clause_of, judge
from exchange.core.standing import window_start
from exchange.flow.faults import NotFound, because
from exchange.flow.ports import Rejected, RejectRequest, Vault
from exchange.stores.postgres import QUERIES, Postgres, Record
from exchange.stores.postgres_books import set_lead_state
from exchange.stores.postgres_return_terms import terms_of_sale
from exchange.stores.postgres_room import decode_change


class PostgresReturns:
    """Returns of sold leads."""

    def __init__(self, postgres: Postgres, policy: Policy, vault: Vault) -> None:
        self._postgres = postgres
        self._policy = policy
        self._vault = vault
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Rejected).decode

    async def earlier(self, company_id: CompanyId, lead_id: LeadId) -> Rejected | None:
        """What a company's rejection of this lead came to, if it was rejected."""
        answer = await self._postgres.value("rejection_of_lead", lead_id, company_id)
        return None if answer is None else self._decode(answer)

    async def reject(self, request: RejectRequest) -> Rejected:
        """Return a lead, once; a repeat gives what the first gave."""
        async with self._postgres.connection() as connection, connection.transaction():
            # The lead first, as a post does: so neither waits for the other for ever, and the
            # lead's state is computed from legs that stand still.
            await connection.execute(QUERIES["lock_lead"], request.lead_id)
            sale = await connection.fetchrow(
                QUERIES["lock_sale"], request.lead_id, request.company_id
            )
            if sale is None:
                raise await self._why_no_sale(connection, request)
            if sale["state"] == "rejected":
                row = await connection.fetchrow(
                    QUERIES["rejection_of_delivery"], sale["delivery_id"]
                )
                return self._decode(row["answer"])
            terms = await terms_of_sale(connection, request, sale)
            refused = judge(
                window_closes_at=sale["window_closes_at"],
                is_test=False,
                reason=request.reason,
                now=request.now,
                terms=terms,
                value_cents=sale["charged"],
            )
            if refused is not None:
                details = _details(refused, sale) | clause_of(refused, terms)
                raise because(refused, field=_field_of(refused), details=details)
            return await self._book(connection, request, sale)

    async def _book(self, connection: Any, request: RejectRequest, sale: Record) -> Rejected:
        rejection_id = str(uuid7())
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
        )
        await connection.execute(
            QUERIES["keep_rejection_answer"], rejection_id, self._encode(rejected)
        )
        return rejected

    async def _why_no_sale(self, connection: Any, request: RejectRequest) -> Exception:
        row = await connection.fetchrow(
            QUERIES["delivery_of_company"], request.lead_id, request.company_id
        )
        if row is not None and row["test"] and row["state"] == "accepted":
            return because(Reason.TEST_LEAD)
        return NotFound("your company bought no lead with this id", field="lead_id")


def _field_of(refused: Reason) -> str | None:
    return "reason" if refused is Reason.REASON_NOT_ALLOWED else None


def _details(refused: Reason, sale: Record) -> dict[str, object]:
    if refused is Reason.WINDOW_CLOSED:
        return {"window_closed_at": sale["window_closes_at"].isoformat()}
    return {}
