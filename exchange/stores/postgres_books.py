"""The books of leads: claimed, reserved, settled, finished, taken over.

Implements `flow.ports.Books`; what several leads ask at one moment shares a transaction. Source:
rules §2, §8. Prices and states are decided by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from exchange.core.cascade import Assignment, Result, Turn
from exchange.core.changes import CompanyChange
from exchange.core.lifecycle import State, combine
from exchange.core.model import LeadId, PingId, SellerId
from exchange.core.reasons import Reason
from exchange.core.screen import DuplicateWindows
from exchange.flow.faults import LostLead
from exchange.flow.ports import (
    Claim,
    Claimed,
    Contact,
    LeadStatus,
    OpenLead,
    PostResult,
    Reservation,
    Sealed,
    Settlement,
    Vault,
)
from exchange.stores.offer_bodies import read_offer
from exchange.stores.postgres import QUERIES, Postgres, Record
from exchange.stores.postgres_claims import Claims
from exchange.stores.postgres_deliveries import Deliveries, Finish
from exchange.stores.vault import VaultError


class PostgresBooks:
    """Leads, legs and deliveries in PostgreSQL; ``windows`` say when a contact is a duplicate."""

    def __init__(self, postgres: Postgres, vault: Vault, windows: DuplicateWindows) -> None:
        self._postgres = postgres
        self._vault = vault
        self._claims = Claims(postgres, windows)
        self._deliveries = Deliveries(postgres, windows)

    async def claim(self, claim: Claim) -> Claimed:
        """Write a lead and its legs down, with its sale where that is certain."""
        return await self._claims.claim(claim)

    async def status(self, lead_id: LeadId) -> LeadStatus | None:
        """What the books say of a lead."""
        return await self._claims.status(lead_id)

    async def claimed(
        self, ping_id: PingId, seller_id: SellerId, idempotency_key: str
    ) -> LeadStatus | None:
        """The lead a ping or an idempotency key was already posted as, if any."""
        return await self._claims.claimed((ping_id, seller_id, idempotency_key))

    async def reserve(self, reservation: Reservation) -> tuple[str, CompanyChange | None]:
        """Hold caps, budget and balance and write the delivery down."""
        return await self._deliveries.reserve(reservation)

    async def settle(self, settlement: Settlement) -> tuple[bool, CompanyChange | None]:
        """Book how a delivery ended; False when it was settled before or is another worker's."""
        return await self._deliveries.settle(settlement)

    async def finish(
        self,
        lead_id: LeadId,
        owner: str,
        answer: PostResult,
        states: Sequence[State],
        now: datetime,
    ) -> PostResult:
        """Close a lead with its answer; gives the answer that stands, this one or an earlier."""
        finish = Finish(lead_id=lead_id, owner=owner, answer=answer, states=tuple(states), now=now)
        if await self._deliveries.finish(finish):
            return answer
        status = await self.status(lead_id)
        if status is None or status.answer is None:
            raise LostLead(lead_id)
        return status.answer

    async def adopt(
        self, owner: str, stranded: Sequence[LeadId], limit: int, silent_s: float
    ) -> list[OpenLead]:
        """Take over unfinished leads of silent workers, and this worker's own stranded ones."""
        rows = await self._postgres.rows("adopt_leads", owner, limit, silent_s, list(stranded))
        if not rows:
            return []
        ids = [row["id"] for row in rows]
        legs = await self._postgres.rows("legs_of_leads", ids)
        deliveries = await self._postgres.rows("deliveries_of_leads", ids)
        return [
            self._open_lead(
                row,
                [leg for leg in legs if leg["lead_id"] == row["id"]],
                [d for d in deliveries if d["lead_id"] == row["id"]],
            )
            for row in rows
        ]

    def _open_lead(self, row: Record, legs: list[Record], deliveries: list[Record]) -> OpenLead:
        offer = read_offer(row["offer"])
        turns, waiting = [], []
        for d in deliveries:
            if d["state"] == "open":
                waiting.append(
                    Assignment(
                        leg=d["leg"],
                        place=d["place"],
                        ranked=offer.ranks[d["place"]],
                        seller_cents=d["seller_cents"],
                    )
                )
            else:
                reason = None if d["reason"] is None else Reason(d["reason"])
                result = cast(Result, d["state"])
                turns.append(Turn(leg=d["leg"], place=d["place"], result=result, reason=reason))
        return OpenLead(
            lead_id=row["id"],
            offer=offer,
            contact=self._contact(row),
            contact_keys=tuple(row["contact_keys"]),
            deadline_at=row["deadline_at"],
            legs=tuple(State(leg["state"]) for leg in legs),
            turns=tuple(turns),
            sold_cents={
                leg["leg"]: leg["seller_cents"] for leg in legs if leg["seller_cents"] is not None
            },
            open=tuple(waiting),
        )

    def _contact(self, row: Record) -> Contact | None:
        try:
            return self._vault.open(Sealed(row["contact_key_id"], row["contact"]), row["id"])
        except VaultError:
            return None

    async def heartbeat(self, owner: str) -> None:
        """Say that this worker lives."""
        await self._postgres.run("heartbeat", owner)

    async def retire(self, owner: str) -> None:
        """Say that this worker has ended, so that what it left is taken over at once."""
        await self._postgres.run("retire_worker", owner)

    async def close_windows(self, now: datetime, limit: int) -> int:
        """Make sales final whose rejection window has closed; gives how many leads changed."""
        async with self._postgres.connection() as connection, connection.transaction():
            rows = await connection.fetch(QUERIES["close_windows"], now, limit)
            for row in rows:
                await set_lead_state(connection, row["lead_id"])
        return len(rows)


async def set_lead_state(connection: Any, lead_id: str) -> None:
    """Set a lead's state to what its legs make of it, inside the caller's transaction."""
    states = await connection.fetch(QUERIES["lead_state_from_legs"], lead_id)
    state = combine(State(row["state"]) for row in states)
    await connection.execute(QUERIES["set_lead_state"], lead_id, state)
