"""The books of leads: claimed, reserved, settled, finished, taken over. One transaction a method.

Implements `flow.ports.Books`. Source: rules §2, §8. Prices and states are decided by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, cast

import msgspec

from exchange.core.cascade import Assignment, Result, Turn
from exchange.core.changes import CompanyChange
from exchange.core.hours import period_bounds
from exchange.core.lifecycle import PRECEDENCE, State, combine
from exchange.core.model import LeadId, Offer, PingId, SellerId
from exchange.core.reasons import Reason
from exchange.flow.faults import LostLead
from exchange.flow.ports import (
    Claim,
    Contact,
    LeadStatus,
    OpenLead,
    PostResult,
    Reservation,
    Sealed,
    Settlement,
    Vault,
)
from exchange.stores.postgres import QUERIES, Postgres, Record
from exchange.stores.vault import VaultError

encode_offer = msgspec.json.Encoder().encode
decode_offer = msgspec.json.Decoder(Offer).decode
_encode_answer = msgspec.json.Encoder().encode
_decode_answer = msgspec.json.Decoder(PostResult).decode
decode_change = msgspec.json.Decoder(CompanyChange).decode

_CLOSED_HERE: Final = (State.UNSOLD, State.TIMED_OUT, State.INVALID)
"""States a leg reaches when its lead is finished; sold is reached when a delivery is settled."""


class PostgresBooks:
    """Leads, legs and deliveries in PostgreSQL."""

    def __init__(self, postgres: Postgres, vault: Vault) -> None:
        self._postgres = postgres
        self._vault = vault

    async def claim(self, claim: Claim) -> LeadStatus | None:
        """Write a lead and its legs down; None if it was, else what stands already."""
        request, offer = claim.request, claim.offer
        written = await self._postgres.value(
            "claim_lead",
            claim.lead_id,
            request.ping_id,
            request.seller_id,
            offer.vertical,
            offer.test,
            request.idempotency_key,
            request.body_hash,
            encode_offer(offer),
            claim.sealed.data,
            claim.sealed.key_id,
            list(request.contact_keys),
            claim.owner,
            request.received_at,
            claim.deadline_at,
            list(offer.legs_cents),
        )
        if written is not None:
            return None
        row = await self._postgres.row(
            "lead_of_post", request.ping_id, request.seller_id, request.idempotency_key
        )
        if row is None:
            raise RuntimeError("a lead was claimed and then not found")
        return _status(row)

    async def status(self, lead_id: LeadId) -> LeadStatus | None:
        """What the books say of a lead."""
        row = await self._postgres.row("lead_status", lead_id)
        return None if row is None else _status(row)

    async def claimed(
        self, ping_id: PingId, seller_id: SellerId, idempotency_key: str
    ) -> LeadStatus | None:
        """The lead a ping or an idempotency key was already posted as, if any."""
        row = await self._postgres.row("lead_of_post", ping_id, seller_id, idempotency_key)
        return None if row is None else _status(row)

    async def reserve(self, reservation: Reservation) -> tuple[str, CompanyChange | None]:
        """Hold caps, budget and balance and write the delivery down, in one transaction."""
        ranked, campaign = reservation.assignment.ranked, reservation.campaign
        bounds = [
            period_bounds(cap.period, campaign.schedule.timezone, reservation.now)
            for cap in campaign.caps
        ]
        row = await self._postgres.row(
            "reserve_delivery",
            reservation.owner,
            reservation.delivery_id,
            reservation.lead_id,
            reservation.assignment.leg,
            reservation.assignment.place,
            ranked.company_id,
            ranked.campaign_id,
            reservation.test,
            ranked.charged_cents,
            reservation.assignment.seller_cents,
            reservation.day,
            reservation.now,
            [cap.period for cap in campaign.caps],
            [start for start, _ in bounds],
            [end for _, end in bounds],
            [cap.leads for cap in campaign.caps],
            [cap.spend_cents for cap in campaign.caps],
        )
        if row is None:
            raise RuntimeError("reserve_delivery gave no row")
        change = row["change"]
        return row["outcome"], decode_change(change) if change else None

    async def settle(self, settlement: Settlement) -> tuple[bool, CompanyChange | None]:
        """Book how a delivery ended; False when it was settled before or is another worker's."""
        change = await self._postgres.value(
            "settle_delivery",
            settlement.owner,
            settlement.delivery_id,
            settlement.result,
            settlement.reason,
            settlement.kind,
            settlement.reference,
            settlement.detail,
            settlement.attempts,
            settlement.leg_state,
            settlement.now,
            settlement.now + timedelta(seconds=settlement.rejection_window_s),
        )
        return change is not None, decode_change(change) if change else None

    async def finish(
        self,
        lead_id: LeadId,
        owner: str,
        answer: PostResult,
        states: Sequence[State],
        now: datetime,
    ) -> PostResult:
        """Close a lead with its answer; gives the answer that stands, this one or an earlier."""
        ended = [(leg, s) for leg, s in enumerate(states) if s in _CLOSED_HERE]
        if await self._postgres.value(
            "finish_lead",
            lead_id,
            owner,
            _encode_answer(answer),
            [leg for leg, _ in ended],
            [state for _, state in ended],
            list(PRECEDENCE),
            now,
        ):
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
        offer = decode_offer(row["offer"])
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


def _status(row: Record) -> LeadStatus:
    answer = row["answer"]
    return LeadStatus(
        lead_id=row["id"],
        ping_id=row["ping_id"],
        seller_id=row["seller_id"],
        body_hash=row["body_hash"],
        owner=row["owner"],
        answer=None if answer is None else _decode_answer(answer),
    )
