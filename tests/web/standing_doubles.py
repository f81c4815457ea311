"""The past of companies and auctions in memory, no larger than the wire's tests need."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from exchange.core.changes import BucketChange
from exchange.core.dynamic import DayFactors, Days, DayTotal, DynamicPolicy
from exchange.core.history import Past
from exchange.core.hours import end_of_day
from exchange.core.market import Market
from exchange.core.model import CompanyId
from exchange.core.reasons import Reason
from exchange.core.recovery_path import Cause
from exchange.flow.dynamics import Dynamics
from exchange.flow.ports import Clock, Receipt
from exchange.flow.registry import Registry
from exchange.flow.standing_books import (
    Bought,
    CampaignPast,
    KeptFactors,
    ReceiptPage,
    ReceiptPlace,
)
from exchange.flow.standings import Standings
from exchange.flow.what_if import WhatIf

DRAW_KEY: Final = b"d" * 32
_ZONE: Final = ZoneInfo("UTC")


class MemoryStandingBooks:
    """What the registry's windows say, with one cause for all of a kind, and an unread text."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self.kept: list[Receipt] = []
        self.asked_at: datetime | None = None

    async def past(self, company_id: CompanyId, first: date, last: date) -> Past | None:
        window = await self._registry.window(company_id, self._clock.now())
        if window is None:
            return None
        return Past(
            company_id=company_id,
            buckets=[
                BucketChange(day, era, b.assigned, b.manual, b.crm)
                for (day, era), b in window.buckets.items()
                if first <= day <= last
            ],
            resets=[datetime(2026, 11, 20, 12, tzinfo=UTC)],
        )

    async def causes(
        self, company_id: CompanyId, first: date, last: date, era: int
    ) -> tuple[Cause, ...]:
        return (
            Cause(kind="manual", reason=Reason.INVALID_CONTACT, leads=798, value_cents=3_990_000),
            Cause(kind="manual", reason=Reason.REASON_UNCLEAR, leads=1, value_cents=5_000),
            Cause(kind="crm", reason=Reason.AUTH_FAILURE, leads=137, value_cents=685_000),
        )

    async def reset_asked_at(self, company_id: CompanyId) -> datetime | None:
        return self.asked_at

    async def bought(self, company_id: CompanyId, day: date) -> Bought:
        return Bought(leads=2, spend_cents=91_50)

    async def campaigns_between(
        self, company_id: CompanyId, start: datetime, end: datetime, limit: int
    ) -> Sequence[CampaignPast]:
        return []

    async def receipts(
        self, first: datetime, end: datetime, after: ReceiptPlace | None, least: int
    ) -> ReceiptPage | None:
        start = 0 if after is None else after.number
        found = [r for r in self.kept if first <= r.decided_at < end][start : start + least]
        if not found:
            return None
        return ReceiptPage(found, ReceiptPlace(found[-1].decided_at, "", start + len(found)))


class MemoryFactorBooks:
    """A market whose rate rose by 2.3 % and fell by 1.1 % with the season."""

    def __init__(self) -> None:
        self.days: dict[date, KeptFactors] = {}

    async def kept(self, first: date, last: date) -> Sequence[KeptFactors]:
        return [kept for day, kept in sorted(self.days.items()) if first <= day <= last]

    async def sums(self, wanted: Days) -> Sequence[DayTotal] | None:
        last = wanted.last
        return [
            DayTotal(last, 100_000_000, 10_230_000),
            DayTotal(last - timedelta(days=60), 100_000_000, 9_770_000),
            DayTotal(last - timedelta(days=200), 100_000_000, 11_031_345),
        ]

    async def keep(self, factors: DayFactors, applied: bool, now: datetime) -> KeptFactors:
        return self.days.setdefault(factors.day, KeptFactors(factors=factors, applied=applied))


def standings_over(
    market: Market, registry: Registry, clock: Clock, policy: DynamicPolicy | None = None
) -> tuple[Standings, MemoryStandingBooks, Dynamics]:
    """Standings over a market in memory."""
    books = MemoryStandingBooks(registry, clock)

    def today(at: datetime) -> date:
        return at.date()

    def end_of(day: date) -> datetime:
        return end_of_day(day, _ZONE)

    dynamics = Dynamics(market, MemoryFactorBooks(), policy or DynamicPolicy(), today)
    what_if = WhatIf(
        market=market,
        registry=registry,
        books=books,
        clock=clock,
        today=today,
        end_of=end_of,
        draw_key=DRAW_KEY,
        kept_days=90,
    )
    told = Standings(
        market=market,
        registry=registry,
        books=books,
        dynamics=dynamics,
        what_if=what_if,
        clock=clock,
        today=today,
        end_of=end_of,
    )
    return told, books, dynamics
