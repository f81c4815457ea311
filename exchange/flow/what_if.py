"""What a company would have won on a day, had it stood otherwise: the day's receipts held again.

Receipts are read in small pages with a pause behind each, one question at a time, up to a bound and
a deadline: it must not be felt by those who sell. What was cut off is told. Source: rules §12.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Final

from msgspec import Struct

from exchange.core.market import Market
from exchange.core.model import CompanyId
from exchange.core.standing import weigh
from exchange.core.what_if import assume
from exchange.flow.faults import Invalid, NotFound, Unavailable
from exchange.flow.ping import tell_line
from exchange.flow.ports import Clock
from exchange.flow.registry import Registry
from exchange.flow.replaying import Answered, Replaying, Tally
from exchange.flow.standing_books import StandingBooks

MOST_RECEIPTS: Final = 20_000
"""Receipts read for one answer."""

PAGE: Final = 25
"""Receipts held again at one go, and read as a rule: a few milliseconds of the worker's time."""

PAUSE_S: Final = 0.005
"""Left to others in between; about as long as so many take."""

DEADLINE_S: Final = 20.0
"""Longest an answer may take; what was read by then is told."""

MOST_CAMPAIGNS: Final = 2_000
"""Versions of a company's campaigns that a day may have seen; beyond, it is no question."""


class Assumption(Struct, frozen=True, kw_only=True):
    """Rates to be assumed, in basis points; None leaves the present one."""

    overall_bp: int | None = None
    crm_bp: int | None = None


class WhatIf:
    """Holds days again, one at a time."""

    def __init__(
        self,
        *,
        market: Market,
        registry: Registry,
        books: StandingBooks,
        clock: Clock,
        today: Callable[[datetime], date],
        end_of: Callable[[date], datetime],
        draw_key: bytes,
        kept_days: int,
    ) -> None:
        self._market = market
        self._registry = registry
        self._books = books
        self._clock = clock
        self._today = today
        self._end_of = end_of
        self._draw_key = draw_key
        self._kept_days = kept_days
        self._busy = False

    async def ask(self, company_id: CompanyId, day: date, assumption: Assumption) -> Answered:
        """Hold a day's auctions again with a company standing otherwise.

        Raises NotFound for no such company, Invalid for a day without receipts, Unavailable while
        another question is being answered.
        """
        now = self._clock.now()
        today = self._today(now)
        if day > today:
            raise Invalid("day must not be in the future.", field="day")
        if day < today - timedelta(days=self._kept_days):
            raise Invalid(f"Receipts are kept for {self._kept_days} days.", field="day")
        if self._busy:
            raise Unavailable("Another what-if is being answered; try again.", retry_after_s=5)
        self._busy = True
        try:
            return await self._answer(company_id, day, today, now, assumption)
        finally:
            self._busy = False

    async def _answer(
        self,
        company_id: CompanyId,
        day: date,
        today: date,
        now: datetime,
        assumption: Assumption,
    ) -> Answered:
        policy = self._market.policy
        window = await self._registry.window(company_id, now)
        if window is None:
            raise NotFound("There is no such company.")
        present = weigh(window, today, policy)
        answered = Answered(
            company_id=company_id,
            day=day,
            present=present,
            assumed=assume(
                present, policy, overall_bp=assumption.overall_bp, crm_bp=assumption.crm_bp
            ),
            bought=await self._books.bought(company_id, day),
            before=Tally(),
            after=Tally(),
            not_known=Counter(),
            changes=[],
        )
        start, end = self._end_of(day - timedelta(days=1)), self._end_of(day)
        campaigns = await self._books.campaigns_between(company_id, start, end, MOST_CAMPAIGNS + 1)
        if len(campaigns) > MOST_CAMPAIGNS:
            raise Invalid("Too many versions of campaigns were in force that day.", field="day")
        replaying = Replaying(self._market, self._draw_key, answered, campaigns)
        await self._read(answered, replaying, start, end)
        return answered

    async def _read(
        self, answered: Answered, replaying: Replaying, first: datetime, end: datetime
    ) -> None:
        """Read the day page by page, up to the bound and the deadline."""
        loop = asyncio.get_running_loop()
        ends, place = loop.time() + DEADLINE_S, None
        while True:
            if answered.read >= MOST_RECEIPTS or loop.time() > ends:
                answered.cut = "receipts" if answered.read >= MOST_RECEIPTS else "time"
                answered.until = first if place is None else place.at
                return
            page = await self._books.receipts(first, end, place, PAGE)
            if page is None:
                return
            for start in range(0, len(page.receipts), PAGE):
                for receipt in page.receipts[start : start + PAGE]:
                    replaying.take(tell_line(receipt, self._draw_key))
                await asyncio.sleep(PAUSE_S)
            answered.read += len(page.receipts)
            place = page.place
