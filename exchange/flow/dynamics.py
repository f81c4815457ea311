"""Keeping a worker's market at the day's factors: computed once for all, known before the day.

Whoever first finds tomorrow without factors computes and keeps them; the others read what stands.
So every worker has them when the day begins, and turns to them at the same midnight.
Source: rules §10.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Final

from exchange.core.dynamic import DayFactors, DynamicPolicy, factors_of, spans_of
from exchange.core.market import Market
from exchange.flow.standing_books import FactorBooks, KeptFactors

KEPT_DAYS: Final = 400
"""Days back of which a worker knows the factors: as far as a history reaches, and a month more."""

STARTING_TRIES: Final = 25
STARTING_PAUSE_S: Final = 0.2
"""How long a worker that starts waits for another that is summing up the market: five seconds."""


class Dynamics:
    """The factors a worker knows, and those its market uses."""

    def __init__(
        self,
        market: Market,
        books: FactorBooks,
        policy: DynamicPolicy,
        today: Callable[[datetime], date],
    ) -> None:
        self.policy = policy
        self._market = market
        self._books = books
        self._today = today
        self._known: dict[date, KeptFactors] = {}
        self._loaded_on: date | None = None

    def factors(self, day: date) -> DayFactors | None:
        """A day's factors, used or only shown; None where none are known."""
        kept = self._known.get(day)
        return None if kept is None else kept.factors

    def known(self, first: date, last: date) -> list[KeptFactors]:
        """What is known of these days, in their order."""
        days = [first + timedelta(days=ahead) for ahead in range((last - first).days + 1)]
        return [kept for day in days if (kept := self._known.get(day)) is not None]

    async def follow(self, now: datetime) -> None:
        """Have the factors of today and tomorrow, and the market use those it should."""
        today = self._today(now)
        is_first = self._loaded_on is None
        if is_first:
            await self._load(today)
        if self.policy.mode == "off":
            return
        is_new_day = self._loaded_on != today
        missing = [day for day in (today, today + timedelta(days=1)) if not self._has(day)]
        for day in missing:
            # A worker that starts waits for the one that is at it, and begins as the others do.
            for _ in range(STARTING_TRIES if is_first else 1):
                if await self._fetch(day, now):
                    break
                await asyncio.sleep(STARTING_PAUSE_S)
        if is_new_day:
            oldest = today - timedelta(days=KEPT_DAYS)
            self._known = {day: kept for day, kept in self._known.items() if day >= oldest}
            self._loaded_on = today
        if missing or is_new_day:
            self._use(today)

    def _has(self, day: date) -> bool:
        """Whether a day's factors are known, and kept as this worker uses them."""
        kept = self._known.get(day)
        return kept is not None and kept.applied == (self.policy.mode == "apply")

    async def _load(self, today: date) -> None:
        first, last = today - timedelta(days=KEPT_DAYS), today + timedelta(days=1)
        self._known = {kept.factors.day: kept for kept in await self._books.kept(first, last)}
        self._use(today)
        self._loaded_on = today

    async def _fetch(self, day: date, now: datetime) -> bool:
        """Read a day's factors, or compute them; False while another worker is at it."""
        applied = self.policy.mode == "apply"
        kept = next(iter(await self._books.kept(day, day)), None)
        if kept is None or kept.applied != applied:
            factors = None if kept is None else kept.factors
            if factors is None:
                totals = await self._books.sums(spans_of(day).year)
                if totals is None:
                    return False
                factors = factors_of(day, totals, self.policy.bounds)
            kept = await self._books.keep(factors, applied, now)
        self._known[day] = kept
        return True

    def _use(self, today: date) -> None:
        """Past days are used as they were; today and tomorrow as this worker's mode says."""
        applies = self.policy.mode == "apply"
        adjustments = {
            day: kept.factors
            for day, kept in self._known.items()
            if kept.applied and (applies or day < today)
        }
        if adjustments != self._market.policy.adjustments:
            self._market.adjust(adjustments)
