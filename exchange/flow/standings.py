"""A company's standing told: explained now, day by day in the past, and under dynamic adjustment.

Decides nothing itself; reads the books and asks the core. Source: rules §10 and §12.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from exchange.core.dynamic import DayFactors, DynamicPolicy, Factor, Mode
from exchange.core.history import MOST_DAYS, PastDay, look_back
from exchange.core.market import Market
from exchange.core.model import CompanyId, Policy
from exchange.core.recovery import Recovery, recover
from exchange.core.recovery_path import Cause, Step, tell_path
from exchange.core.standing import Standing, Window, trend_of, weigh, window_start
from exchange.flow.dynamics import Dynamics
from exchange.flow.faults import Invalid
from exchange.flow.ports import Clock
from exchange.flow.registry import Registry
from exchange.flow.standing_books import KeptFactors, StandingBooks
from exchange.flow.what_if import WhatIf

_DAYS_AT_ONCE: Final = 20
"""Days of a history weighed before others get their turn."""


class Shadow(Struct, frozen=True, kw_only=True):
    """What dynamic adjustment makes of a standing on a day.

    ``standing`` is with the factors, ``without`` is without them; ``applied`` says which of the
    two is in force.
    """

    mode: Mode
    applied: bool
    factors: DayFactors
    trend: Factor
    standing: Standing
    without: Standing


class Explained(Struct, frozen=True, kw_only=True):
    """A standing with all it came from and every way out of it."""

    window: Window
    policy: Policy
    recovery: Recovery
    path: tuple[Step, ...]
    causes: tuple[Cause, ...]
    asked_at: datetime | None
    shadow: Shadow | None


class ToldDay(Struct, frozen=True, kw_only=True):
    """A day of a history. ``shadow`` where factors of the day are known and were not applied."""

    past: PastDay
    policy: Policy
    shadow: Standing | None
    kept: KeptFactors | None


class Standings:
    """Tells standings; ``what_if`` tells what other ones would have come to."""

    def __init__(
        self,
        *,
        market: Market,
        registry: Registry,
        books: StandingBooks,
        dynamics: Dynamics,
        what_if: WhatIf,
        clock: Clock,
        today: Callable[[datetime], date],
        end_of: Callable[[date], datetime],
    ) -> None:
        self._market = market
        self._registry = registry
        self._books = books
        self._dynamics = dynamics
        self.what_if = what_if
        self._clock = clock
        self._today = today
        self._end_of = end_of

    @property
    def today(self) -> date:
        """The market's day."""
        return self._today(self._clock.now())

    async def explain(self, company_id: CompanyId) -> Explained | None:
        """Explain a company's standing now; None for no such company."""
        now = self._clock.now()
        today, policy = self._today(now), self._market.policy
        window = await self._registry.window(company_id, now)
        if window is None:
            return None
        recovery = recover(window, today, now, policy)
        first = window_start(today, policy)
        causes = await self._books.causes(company_id, first, today, window.era)
        asked_at = await self._books.reset_asked_at(company_id)
        return Explained(
            window=window,
            policy=policy,
            recovery=recovery,
            path=tell_path(recovery, causes, policy, asked_at=asked_at),
            causes=causes,
            asked_at=asked_at,
            shadow=self._shadow(window, today, policy),
        )

    async def history(self, company_id: CompanyId, first: date, last: date) -> list[ToldDay] | None:
        """A company's standing at the end of each day; None for no such company.

        Today's is as it stands now. Raises Invalid for a span that is none or too long.
        """
        if last > self.today:
            raise Invalid("to must not be in the future.", field="to")
        check_span(first, last)
        policy = self._market.policy
        past = await self._books.past(company_id, window_start(first, policy), last)
        if past is None:
            return None
        told: list[ToldDay] = []
        for day in look_back(past, first, last, policy, self._end_of):
            told.append(self._told(day, policy))
            if len(told) % _DAYS_AT_ONCE == 0:
                await asyncio.sleep(0)
        return told

    def factors(self, first: date, last: date) -> tuple[DynamicPolicy, list[KeptFactors]]:
        """How threshold and penalty move with the market: the policy, and these days' factors.

        Raises Invalid for a span that is none or too long.
        """
        check_span(first, last)
        return self._dynamics.policy, self._dynamics.known(first, last)

    def _shadow(self, window: Window, today: date, policy: Policy) -> Shadow | None:
        factors = self._dynamics.factors(today)
        if factors is None or self._dynamics.policy.mode == "off":
            return None
        return Shadow(
            mode=self._dynamics.policy.mode,
            applied=today in policy.adjustments,
            factors=factors,
            trend=trend_of(window, today, policy, factors.bounds),
            standing=weigh(window, today, replace(policy, adjustments={today: factors})),
            without=weigh(window, today, replace(policy, adjustments={})),
        )

    def _told(self, past: PastDay, policy: Policy) -> ToldDay:
        day = past.standing.day
        kept = next(iter(self._dynamics.known(day, day)), None)
        shadow = None
        if kept is not None and day not in policy.adjustments:
            adjusted = replace(policy, adjustments={day: kept.factors})
            shadow = weigh(past.window, day, adjusted)
        return ToldDay(past=past, policy=policy, shadow=shadow, kept=kept)


def check_span(first: date, last: date) -> None:
    """A span of days must be one, and not too long. Raises Invalid."""
    if first > last:
        raise Invalid("from must not be after to.", field="from")
    if last - first >= timedelta(days=MOST_DAYS):
        raise Invalid(f"from and to may be at most {MOST_DAYS} days apart.", field="from")
