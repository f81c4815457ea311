"""What a company would have won on a day, had it stood otherwise: the day's receipts held again.

Receipts are read in small pages with a pause behind each, one question at a time, up to a bound and
a deadline: it must not be felt by those who sell. What was cut off is told. Source: rules §12.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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

PAGE: Final = 50
"""Receipts read and held again at one go: a few milliseconds of the worker's time."""

PAUSE_S: Final = 0.005
"""Left to others between two pages; about as long as a page takes."""

DEADLINE_S: Final = 20.0
"""Longest an answer may take; what was read by then is told."""

MOST_CHANGES: Final = 100
"""Auctions with another outcome that are told one by one; the others are counted."""

MOST_CAMPAIGNS: Final = 1_000
"""Campaigns of a company looked at, the last changed first."""


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

    ``before`` and ``after`` are over the auctions that are known, ``not_known`` counts the others
    by why. ``cut`` says what ended the reading early, and ``until`` how far it came.
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
        campaigns = await self._books.campaigns_past(company_id, MOST_CAMPAIGNS)
        replaying = _Replaying(self._market, self._draw_key, answered, campaigns)
        await self._read(answered, replaying)
        return answered

    async def _read(self, answered: Answered, replaying: _Replaying) -> None:
        """Read the day page by page, up to the bound and the deadline."""
        first, end = self._end_of(answered.day - timedelta(days=1)), self._end_of(answered.day)
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


class _Known(Struct, frozen=True, kw_only=True):
    """A campaign, compiled where it still fits its vertical."""

    past: CampaignPast
    runner: Runner | None


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
            known = _Known(past=past, runner=self._compile(past))
            self._by_vertical.setdefault(past.campaign.vertical, []).append(known)

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
        if not named and not any(_may_match(known, attributes, receipt) for known in campaigns):
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
        bases = _bases(campaigns, attributes, receipt) if named else {}
        found = replay(held, company_id, self._answered.assumed, bases, self._market.policy)
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
        """The company's campaigns that may have been in the market when a ping was decided."""
        at = receipt.decided_at
        return [
            known
            for known in self._by_vertical.get(receipt.vertical, ())
            if known.past.created_at <= at
            and not (known.past.deleted and known.past.updated_at <= at)
        ]

    def _compile(self, past: CampaignPast) -> Runner | None:
        try:
            return self._market.compile(past.campaign)
        except (FilterError, KeyError):
            return None


def _is_of_then(known: _Known, receipt: Receipt) -> bool:
    """Whether the campaign as it is known was the one in force when a ping was decided."""
    return known.past.updated_at <= receipt.decided_at and known.runner is not None


def _may_match(known: _Known, attributes: Struct, receipt: Receipt) -> bool:
    """Whether a campaign may have taken part; one changed since may always have."""
    runner = known.runner
    if runner is None or not _is_of_then(known, receipt):
        return True
    campaign = runner.campaign
    return (
        campaign.active
        and runner.matches(attributes)
        and is_open(campaign.schedule, receipt.decided_at)
        and any(share <= receipt.max_buyers for share in shares(campaign))
    )


def _bases(campaigns: Sequence[_Known], attributes: Struct, receipt: Receipt) -> Bases:
    """Base prices of the campaigns that are as they were, by share count."""
    found: dict[CampaignId, Mapping[int, int]] = {}
    for known in campaigns:
        runner = known.runner
        if runner is None or not _is_of_then(known, receipt):
            continue
        if runner.campaign.bid.remote is not None:
            # What its own bidder would have said is not known.
            continue
        prices = {n: base_price(runner, attributes, n) for n in range(1, receipt.max_buyers + 1)}
        found[runner.campaign.campaign_id] = {
            share: price for share, price in prices.items() if price is not None
        }
    return found
