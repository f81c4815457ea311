"""What a company would have won on a day, had it stood otherwise: the day's receipts held again.

Receipts are read in small pages with a pause behind each, one question at a time, up to a bound and
a deadline: it must not be felt by those who sell. What was cut off is told. Source: rules §12.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Final, Literal

import msgspec
from msgspec import Struct

from exchange.core.auction import Drawer
from exchange.core.filters import FilterError
from exchange.core.hours import is_open
from exchange.core.market import Market
from exchange.core.model import CampaignId, CompanyId
from exchange.core.runner import Runner, base_price, shares
from exchange.core.standing import Standing, weigh
from exchange.core.what_if import Bases, Held, NotKnown, Outcome, Replayed, assume, replay
from exchange.flow.faults import Invalid, NotFound, Unavailable
from exchange.flow.ping import tell_line
from exchange.flow.ports import Clock, Receipt
from exchange.flow.registry import Registry
from exchange.flow.standing_books import Bought, CampaignPast, StandingBooks

MOST_RECEIPTS: Final = 20_000
"""Receipts read for one answer."""

PAGE: Final = 25
"""Receipts read and held again at one go: a few milliseconds of the worker's time."""

PAUSE_S: Final = 0.005
"""Left to others between two pages; about as long as a page takes."""

DEADLINE_S: Final = 20.0
"""Longest an answer may take; what was read by then is told."""

MOST_CHANGES: Final = 100
"""Auctions with another outcome that are told one by one; the others are counted."""

MOST_CAMPAIGNS: Final = 2_000
"""Versions of a company's campaigns that a day may have seen; beyond, it is no question."""


class Assumption(Struct, frozen=True, kw_only=True):
    """Rates to be assumed, in basis points; None leaves the present one."""

    overall_bp: int | None = None
    crm_bp: int | None = None


class Change(Struct, frozen=True, kw_only=True):
    """An auction that would have come out otherwise for the company."""

    receipt: Receipt
    replayed: Replayed


class Tally(Struct, kw_only=True):
    """Auctions won, and what they were worth to the company in cents."""

    won: int = 0
    spend_cents: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one auction."""
        if outcome.won:
            self.won += 1
            self.spend_cents += outcome.charged_cents or 0


class Answered(Struct, kw_only=True):
    """What a day would have come to.

    ``before`` and ``after`` are over the auctions that are known (``took_part``), ``not_known``
    counts the others by why. ``cut`` says what ended the reading early, and ``until`` how far it came.
    """

    company_id: CompanyId
    day: date
    present: Standing
    assumed: Standing
    bought: Bought
    read: int = 0
    took_part: int = 0
    before: Tally
    after: Tally
    newly_won: int = 0
    no_longer_won: int = 0
    repriced: int = 0
    not_known: Counter[NotKnown]
    changes: list[Change]
    cut: Literal["receipts", "time"] | None = None
    until: datetime | None = None


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
        replaying = _Replaying(self._market, self._draw_key, answered, campaigns)
        await self._read(answered, replaying, start, end)
        return answered

    async def _read(
        self, answered: Answered, replaying: _Replaying, first: datetime, end: datetime
    ) -> None:
        """Read the day page by page, up to the bound and the deadline."""
        loop = asyncio.get_running_loop()
        ends, after = loop.time() + DEADLINE_S, ""
        while True:
            if answered.read >= MOST_RECEIPTS or loop.time() > ends:
                answered.cut = "receipts" if answered.read >= MOST_RECEIPTS else "time"
                answered.until = first
                return
            page = await self._books.receipts(first, end, after, PAGE)
            for receipt in page:
                replaying.take(tell_line(receipt, self._draw_key))
            answered.read += len(page)
            if len(page) < PAGE:
                return
            first, after = page[-1].decided_at, page[-1].ping_id
            await asyncio.sleep(PAUSE_S)


class _Known:
    """A version of a campaign, compiled when first needed, if it still fits its vertical."""

    __slots__ = ("_compiled", "_runner", "past")

    def __init__(self, past: CampaignPast) -> None:
        self.past = past
        self._compiled = False
        self._runner: Runner | None = None

    def runner(self, market: Market) -> Runner | None:
        """The campaign as it was; None where that is not known, or does not fit any more."""
        if not self._compiled:
            self._compiled = True
            if self.past.is_known:
                with suppress(FilterError, KeyError):
                    self._runner = market.compile(self.past.campaign)
        return self._runner


class _Replaying:
    """One question on its way through a day's receipts."""

    def __init__(
        self,
        market: Market,
        draw_key: bytes,
        answered: Answered,
        campaigns: Sequence[CampaignPast],
    ) -> None:
        self._market = market
        self._draw_key = draw_key
        self._answered = answered
        self._by_vertical: dict[str, list[_Known]] = {}
        for past in campaigns:
            self._by_vertical.setdefault(past.campaign.vertical, []).append(_Known(past))

    def take(self, receipt: Receipt) -> None:
        """Hold one auction again, and count what it came to."""
        if receipt.status == "refused" or (receipt.offer is not None and receipt.offer.test):
            return
        vertical = self._market.verticals.get(receipt.vertical)
        company_id = self._answered.company_id
        named = any(candidate.company_id == company_id for candidate in receipt.candidates)
        campaigns = self._there(receipt)
        if not named and not campaigns:
            return
        if vertical is None:
            self._answered.not_known["price_not_kept"] += 1
            return
        attributes = msgspec.json.decode(receipt.attributes, type=vertical.attributes_type)
        runners = [known.runner(self._market) for known in campaigns]
        runners = [runner for runner in runners if _may_match(runner, attributes, receipt)]
        if not named and not runners:
            return
        held = Held(
            candidates=receipt.candidates,
            reasons=receipt.reasons,
            max_buyers=receipt.max_buyers,
            min_price_cents=receipt.min_price_cents,
            floor_cents=vertical.floor_cents,
            premium=receipt.premium,
            draw=Drawer(self._draw_key, receipt.ping_id).draw,
        )
        bases = _bases(runners, attributes, receipt.max_buyers)
        found = replay(
            held,
            company_id,
            self._answered.assumed,
            bases,
            self._market.policy,
            all_known=len(bases) == len(runners),
        )
        if isinstance(found, Replayed):
            self._count(receipt, found)
        elif found is not None:
            self._answered.not_known[found] += 1

    def _count(self, receipt: Receipt, found: Replayed) -> None:
        answered, before, after = self._answered, found.before, found.after
        answered.took_part += 1
        answered.before.add(before)
        answered.after.add(after)
        if before.won and after.won:
            answered.repriced += before.charged_cents != after.charged_cents
        else:
            answered.newly_won += after.won
            answered.no_longer_won += before.won
        is_other = (before.won, before.charged_cents) != (after.won, after.charged_cents)
        if is_other and len(answered.changes) < MOST_CHANGES:
            answered.changes.append(Change(receipt=receipt, replayed=found))

    def _there(self, receipt: Receipt) -> list[_Known]:
        """The versions of the company's campaigns that were in force when a ping was decided."""
        at = receipt.decided_at
        return [
            known
            for known in self._by_vertical.get(receipt.vertical, ())
            if known.past.since <= at and (known.past.until is None or at < known.past.until)
        ]


def _bases(runners: Sequence[Runner | None], attributes: Struct, max_buyers: int) -> Bases:
    """Base prices of the campaigns by share count, where a list of then gave them."""
    found: dict[CampaignId, Mapping[int, int]] = {}
    for runner in runners:
        # What a company's own bidder would have said is not known.
        if runner is None or runner.campaign.bid.remote is not None:
            continue
        found[runner.campaign.campaign_id] = {
            share: price
            for share in range(1, max_buyers + 1)
            if (price := base_price(runner, attributes, share)) is not None
        }
    return found


def _may_match(runner: Runner | None, attributes: Struct, receipt: Receipt) -> bool:
    """Whether a campaign may have taken part; one that is not known may always have."""
    if runner is None:
        return True
    campaign = runner.campaign
    return (
        campaign.active
        and runner.matches(attributes)
        and is_open(campaign.schedule, receipt.decided_at)
        and any(share <= receipt.max_buyers for share in shares(campaign))
    )
