"""The market of a past moment, put together from kept versions and the books.

What a worker knew is known up to what was on its way to it: a change of the last moments it may
have heard of or not, so a company that changed then is told as it was after and before each.
Campaigns are those of the version on the receipt. Decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from exchange.core.changes import CompanyChange, UsageChange
from exchange.core.company import Company
from exchange.core.contract_book import ContractBook, ContractChange
from exchange.core.filters import FilterError
from exchange.core.hours import period_bounds
from exchange.core.market import Market
from exchange.core.model import CompanyId, Policy
from exchange.core.moment import State
from exchange.core.retell import Open
from exchange.core.runner import Runner, compile_runner
from exchange.core.standing import Standing, weigh, window_start
from exchange.core.verticals import Vertical
from exchange.flow.moments import CampaignVersion, CapPeriod, CompanyHead, Moments
from exchange.flow.ports import Receipt
from exchange.flow.standing_books import FactorBooks

T = TypeVar("T")

SOON: Final = timedelta(milliseconds=250)
"""How long a change is on its way to a worker that hears it: many times what it takes."""

ON_ITS_WAY: Final = timedelta(seconds=2)
"""How long it may be on its way where it was missed: two rounds of mending."""

MOST_CHANGES: Final = 48
"""Moments of change looked at, the last ones."""

_INSTANT: Final = timedelta(microseconds=1)
"""What PostgreSQL's times are apart at the least."""

PAGE: Final = 100
"""Campaigns compiled or judged at one go: a few milliseconds of the worker's time."""

PAUSE_S: Final = 0.002
"""Left to others between two pages."""


class Cast(Struct, frozen=True, kw_only=True):
    """The campaigns of a vertical at a moment, and those whose version of then is not kept."""

    runners: Sequence[Runner]
    unknown: Sequence[Open]


class Heads(Struct, frozen=True, kw_only=True):
    """Companies as they were at a moment, and a little before."""

    at: dict[CompanyId, CompanyHead]
    before: dict[CompanyId, CompanyHead]

    def company(self, company_id: CompanyId) -> Company:
        """A company that has room, active if it may have been."""
        head = self.at[company_id]
        return _company(replace(head, active=head.active or self.is_moving(company_id)), None, ())

    def is_moving(self, company_id: CompanyId) -> bool:
        """Whether a company was blocked or unblocked at that moment."""
        return self.at[company_id].active != self.before[company_id].active


class Reviving:
    """Puts the market of a receipt together again."""

    def __init__(
        self,
        market: Market,
        moments: Moments,
        factors: FactorBooks,
        today: Callable[[datetime], date],
    ) -> None:
        self._market = market
        self._moments = moments
        self._factors = factors
        self._today = today

    async def policy(self, at: datetime) -> Policy:
        """The policy of now, with the adjustment that was applied on the day."""
        day = self._today(at)
        kept = await self._factors.kept(day, day)
        adjustments = {one.factors.day: one.factors for one in kept if one.applied}
        return replace(self._market.policy, adjustments=adjustments)

    async def cast(self, receipt: Receipt, vertical: Vertical) -> Cast:
        """The campaigns of a vertical that a receipt's worker held."""
        versions = await self._moments.campaigns(receipt.market, receipt.decided_at)
        runners: list[Runner] = []
        unknown: list[Open] = []
        wanted: list[CampaignVersion] = []
        for one in versions:
            held = self._market.runner(one.campaign_id)
            is_held = self._market.campaign_versions.get(one.campaign_id) == one.version
            if held is None or not is_held or not one.is_known:
                wanted.append(one)
            elif held.campaign.vertical == vertical.name:
                runners.append(held)
        async for page in pages(wanted):
            bodies = await self._moments.bodies(page)
            for one in page:
                campaign = bodies.get(one.campaign_id)
                if campaign is not None and campaign.vertical != vertical.name:
                    continue
                if campaign is None or not one.is_known:
                    unknown.append(_unknown(one))
                    continue
                # One that does not fit its vertical is in no worker's market.
                with suppress(FilterError):
                    runners.append(compile_runner(campaign, vertical))
        return Cast(runners=runners, unknown=unknown)

    async def heads(self, ids: Collection[CompanyId], at: datetime) -> Heads:
        """Companies at a moment and before it."""
        known = sorted(ids)
        return Heads(
            at=await self._moments.heads(known, at),
            before=await self._moments.heads(known, at - ON_ITS_WAY),
        )

    async def states(
        self,
        receipt: Receipt,
        policy: Policy,
        heads: Heads,
        runners: Sequence[Runner],
        weighed: Collection[CompanyId],
        within: timedelta,
    ) -> dict[CompanyId, list[State]]:
        """How the companies of campaigns may have stood, by what was booked last first.

        Changes older than ``within`` had come to the worker. Standings are those of ``weighed``
        alone: for the others they decide nothing.
        """
        at = receipt.decided_at
        contracts = await self._moments.contracts(receipt.seller_id, at)
        side = partial(self._side, receipt, policy, contracts=contracts)
        newest = await side(heads.at, runners, weighed, by=at)
        found = {company_id: [state] for company_id, state in newest.items()}
        changed = await self._changed(receipt, policy, heads, sorted(found), contracts, within)
        for moment in sorted(changed, reverse=True)[:MOST_CHANGES]:
            moved, before = changed[moment], moment - _INSTANT
            past = await side(
                await self._moments.heads(sorted(moved), before),
                [one for one in runners if one.campaign.company_id in moved],
                moved & set(weighed),
                by=before,
            )
            for company_id, state in past.items():
                if not any(_alike(state, other) for other in found[company_id]):
                    found[company_id].append(state)
        return found

    async def _changed(
        self,
        receipt: Receipt,
        policy: Policy,
        heads: Heads,
        ids: Sequence[CompanyId],
        contracts: Iterable[ContractChange],
        within: timedelta,
    ) -> dict[datetime, set[CompanyId]]:
        """Whose books changed at which moments that the worker may not have heard of yet."""
        at = receipt.decided_at
        first = window_start(self._today(at), policy)
        prepaid = [one for one in ids if heads.at[one].prepaid]
        changed: dict[datetime, set[CompanyId]] = {}
        for company_id, moment in await self._moments.changes(ids, prepaid, at - within, at, first):
            changed.setdefault(moment, set()).add(company_id)
        known = set(ids)
        for change in contracts:
            company_id, moment = change.contract.company_id, change.contract.recorded_at
            if at - within < moment and company_id in known:
                changed.setdefault(moment, set()).add(company_id)
        return changed

    async def _side(
        self,
        receipt: Receipt,
        policy: Policy,
        heads: dict[CompanyId, CompanyHead],
        runners: Sequence[Runner],
        weighed: Collection[CompanyId],
        *,
        contracts: Iterable[ContractChange],
        by: datetime,
    ) -> dict[CompanyId, State]:
        """How companies stood at the moment of a receipt by what was booked ``by`` then."""
        day = self._today(receipt.decided_at)
        first = window_start(day, policy)
        ids = sorted({runner.campaign.company_id for runner in runners})
        prepaid = [one for one in ids if heads[one].prepaid]
        available = await self._moments.available(prepaid, by, first) if prepaid else {}
        usage = await self._usage(runners, receipt.decided_at, by)
        windows = await self._moments.windows(
            [heads[one] for one in sorted(weighed)], by, first, day
        )
        book = _book(contracts, by)
        if book.sellers:
            for use in await self._moments.trial_uses(receipt.seller_id, by):
                book.apply_use(use)
        deals = book.deals(receipt.seller_id, receipt.decided_at)
        states: dict[CompanyId, State] = {}
        for one in ids:
            standing: Standing | None = None
            if (window := windows.get(one)) is not None:
                standing = weigh(window, day, policy)
            company = _company(heads[one], available.get(one), usage.get(one, ()))
            deal = None if deals is None else deals.by_company.get(one)
            room = None if deal is None else book.room(deal)
            states[one] = State(company=company, standing=standing, deal=deal, room=room)
        return states

    async def _usage(
        self, runners: Sequence[Runner], at: datetime, by: datetime
    ) -> dict[CompanyId, list[UsageChange]]:
        """What capped campaigns had used of the periods a moment lies in, by company."""
        periods: list[CapPeriod] = []
        companies: list[CompanyId] = []
        for runner in runners:
            campaign = runner.campaign
            for period in dict.fromkeys(cap.period for cap in campaign.caps):
                start, end = period_bounds(period, campaign.schedule.timezone, at)
                periods.append(
                    CapPeriod(
                        campaign_id=campaign.campaign_id,
                        period=period,
                        starts_at=start,
                        ends_at=end,
                    )
                )
                companies.append(campaign.company_id)
        found: dict[CompanyId, list[UsageChange]] = {}
        if periods:
            used = await self._moments.used(periods, by)
            for company_id, one in zip(companies, used, strict=True):
                found.setdefault(company_id, []).append(one)
        return found


async def pages(items: Sequence[T]) -> AsyncIterator[Sequence[T]]:
    """A sequence in parts, each after a pause for others."""
    for start in range(0, len(items), PAGE):
        await asyncio.sleep(PAUSE_S)
        yield items[start : start + PAGE]


def _company(
    head: CompanyHead, available_cents: int | None, usage: Iterable[UsageChange]
) -> Company:
    company = Company(head.company_id)
    company.apply(
        CompanyChange(
            company_id=head.company_id,
            version=1,
            active=head.active,
            era=head.era,
            era_assigned=0,
            available_cents=available_cents,
            usage=tuple(usage),
            whole=True,
        )
    )
    return company


def _book(contracts: Iterable[ContractChange], by: datetime) -> ContractBook:
    """The versions of contracts recorded by a moment."""
    book = ContractBook()
    for change in contracts:
        if change.contract.recorded_at <= by:
            book.apply(change)
    return book


def _alike(one: State, other: State) -> bool:
    return _told(one) == _told(other)


def _told(state: State) -> tuple[object, ...]:
    company = state.company
    room = company.active, company.available_cents, company.usage, state.room
    return *room, state.standing, state.deal


def _unknown(version: CampaignVersion) -> Open:
    return Open(
        campaign_id=version.campaign_id, company_id=version.company_id, why="campaign_version"
    )
