"""Deliveries reserved and settled, leads finished: those of a moment in one transaction.

Source: rules §2, §8. Prices and states are decided by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from exchange.core.changes import CompanyChange
from exchange.core.lifecycle import PRECEDENCE, State
from exchange.core.model import LeadId
from exchange.core.screen import DuplicateWindows
from exchange.flow.ports import PostResult, Reservation, Settlement
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_claims import encode_answer
from exchange.stores.postgres_room import caps_of, read_changes
from exchange.stores.together import Together

Reserved = tuple[str, CompanyChange | None]
Settled = tuple[bool, CompanyChange | None]

_CLOSED_HERE: Final = (State.UNSOLD, State.TIMED_OUT, State.INVALID)
"""States a leg reaches when its lead is finished; sold is reached when a delivery is settled."""


class Finish(Struct, frozen=True, kw_only=True):
    """A lead to be closed with its answer; ``states`` are its legs'."""

    lead_id: LeadId
    owner: str
    answer: PostResult
    states: tuple[State, ...]
    now: datetime


class Deliveries:
    """Reserves, settles and finishes for one worker."""

    def __init__(self, postgres: Postgres, windows: DuplicateWindows) -> None:
        self._postgres = postgres
        self._company_days = windows.company_days
        self._reservations: Together[Reservation, Reserved] = Together(self._reserve)
        self._settlements: Together[Settlement, Settled] = Together(self._settle)
        self._finishes: Together[Finish, bool] = Together(self._finish)

    async def reserve(self, reservation: Reservation) -> Reserved:
        """Hold caps, budget and balance and write the delivery down."""
        return await self._reservations.ask(reservation)

    async def settle(self, settlement: Settlement) -> Settled:
        """Book how a delivery ended; False when it was settled before or is another worker's."""
        return await self._settlements.ask(settlement)

    async def finish(self, finish: Finish) -> bool:
        """Close a lead; False when it was finished before or is another worker's."""
        return await self._finishes.ask(finish)

    async def _reserve(self, asked: Sequence[Reservation]) -> Sequence[Reserved]:
        ranked = [one.assignment.ranked for one in asked]
        caps = caps_of([(one.campaign, one.now) for one in asked])
        row = await self._postgres.row(
            "reserve_deliveries",
            asked[0].owner,
            [one.delivery_id for one in asked],
            [one.lead_id for one in asked],
            [one.assignment.leg for one in asked],
            [one.assignment.place for one in asked],
            [one.company_id for one in ranked],
            [one.campaign_id for one in ranked],
            [one.test for one in asked],
            [one.charged_cents for one in ranked],
            [one.assignment.seller_cents for one in asked],
            [one.day for one in asked],
            [one.now for one in asked],
            caps.whose,
            caps.periods,
            caps.starts,
            caps.ends,
            caps.leads,
            caps.spend,
            self._company_days,
        )
        if row is None:
            raise RuntimeError("reserve_deliveries gave no row")
        changes = read_changes(row["changes"])
        return [
            (outcome, changes.get(one.company_id) if outcome == "reserved" else None)
            for outcome, one in zip(row["outcomes"], ranked, strict=True)
        ]

    async def _settle(self, asked: Sequence[Settlement]) -> Sequence[Settled]:
        row = await self._postgres.row(
            "settle_deliveries",
            asked[0].owner,
            [one.delivery_id for one in asked],
            [one.result for one in asked],
            [one.reason for one in asked],
            [one.kind for one in asked],
            [one.reference for one in asked],
            [one.detail for one in asked],
            [one.attempts for one in asked],
            [one.leg_state for one in asked],
            [one.now for one in asked],
            [one.now + timedelta(seconds=one.rejection_window_s) for one in asked],
        )
        if row is None:
            raise RuntimeError("settle_deliveries gave no row")
        changes = read_changes(row["changes"])
        answers: list[Settled] = [(False, None)] * len(asked)
        for nth, company_id in zip(row["settled"] or (), row["companies"] or (), strict=True):
            answers[nth - 1] = (True, changes.get(company_id))
        return answers

    async def _finish(self, asked: Sequence[Finish]) -> Sequence[bool]:
        ended = [
            (nth, leg, state)
            for nth, one in enumerate(asked, 1)
            for leg, state in enumerate(one.states)
            if state in _CLOSED_HERE
        ]
        finished = await self._postgres.value(
            "finish_leads",
            asked[0].owner,
            [one.lead_id for one in asked],
            [encode_answer(one.answer) for one in asked],
            [one.now for one in asked],
            [nth for nth, _, _ in ended],
            [leg for _, leg, _ in ended],
            [state for _, _, state in ended],
            list(PRECEDENCE),
        )
        return [nth in (finished or ()) for nth in range(1, len(asked) + 1)]
