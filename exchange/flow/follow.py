"""Keeping a worker true: its market follows the others', and dead workers' leads are taken over.

Four loops: hear (what others publish), mend (what was missed, and the mirror after its store was
lost), recover (leads left in delivery, windows that close), and adjust (the day's factors).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import Final

from exchange.core.market import Market
from exchange.core.model import CompanyId
from exchange.core.standing import window_start
from exchange.flow.announce import Announcer
from exchange.flow.background import Background
from exchange.flow.faults import Unavailable
from exchange.flow.market_ports import Feed, MirrorCopy, Snapshots
from exchange.flow.ports import Books, Clock
from exchange.flow.post import Posting

TICK_S: Final = 1.0
"""Pause between rounds of mending and recovering."""

LOOK_BACK_S: Final = 10.0
"""How far back changed companies are looked for; several ticks, so that none falls between two."""

SILENT_S: Final = 5.0
"""A worker not heard of for this long is dead; several heartbeats."""

ADOPT_LIMIT: Final = 100
CLOSE_LIMIT: Final = 1_000


class Following:
    """Loads the market and keeps it, the mirror and the books in step."""

    def __init__(
        self,
        *,
        owner: str,
        market: Market,
        snapshots: Snapshots,
        announcer: Announcer,
        mirror: MirrorCopy,
        feed: Feed,
        books: Books,
        posting: Posting,
        clock: Clock,
        today: Callable[[datetime], date],
        rebuild: Callable[[], Awaitable[object]],
        tidy: Callable[[datetime], Awaitable[None]],
        adjust: Callable[[datetime], Awaitable[None]],
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self._owner = owner
        self._market = market
        self._snapshots = snapshots
        self._announcer = announcer
        self._mirror = mirror
        self._feed = feed
        self._books = books
        self._posting = posting
        self._clock = clock
        self._today = today
        self._rebuild = rebuild
        self._tidy = tidy
        self._adjust = adjust
        self._tidied_minute = -1
        self._missing: set[CompanyId] = set()
        self._background = Background(on_error)
        self._mirror_run_id: str | None = None
        self.books_away = False
        self.mirror_away = False

    async def start(self) -> None:
        """Load the whole market and begin to follow. Raises Unavailable without the stores."""
        await self._books.heartbeat(self._owner)
        await self.adjust()
        await self.load()
        await self._catch_up_mirror()
        self._mirror_run_id = await self._mirror.run_id()
        self._background.begin("hear", self._hear, TICK_S)
        self._background.begin("mend", self.mend, TICK_S)
        self._background.begin("recover", self.recover, TICK_S)
        self._background.begin("adjust", self.adjust, TICK_S)

    async def stop(self) -> None:
        """End the loops."""
        await self._background.stop()

    async def _hear(self) -> None:
        await self._feed.follow(self._announcer.apply, self.load)

    async def load(self) -> None:
        """Read the market whole from the books into this worker."""
        now = self._clock.now()
        self._market.move_to(self._today(now))
        first = window_start(self._today(now), self._market.policy)
        for company in await self._snapshots.companies(first, now):
            self._announcer.apply(company)
        for campaign in await self._snapshots.campaigns(0):
            self._announcer.apply(campaign)
        for contract in await self._snapshots.contracts(0):
            self._announcer.apply(contract)
        for use in await self._snapshots.trial_uses(now):
            self._announcer.apply(use)

    async def mend(self) -> None:
        """Fetch what this worker missed, write again what the mirror missed."""
        now = self._clock.now()
        self._market.move_to(self._today(now))
        try:
            await self._mend_books(now)
            self.books_away = False
        except Unavailable:
            self.books_away = True
            raise
        try:
            await self._mend_mirror()
            self.mirror_away = False
        except Unavailable:
            self.mirror_away = True
            raise

    async def _mend_books(self, now: datetime) -> None:
        await self._books.heartbeat(self._owner)
        versions = await self._snapshots.versions(LOOK_BACK_S)
        behind = [
            company_id
            for company_id, version in versions.items()
            if (held := self._market.companies.get(company_id)) is None or held.version < version
        ]
        # A change still on its way at the last look has come by now, or never will.
        missing = {company_id for company_id, held in self._market.companies.items() if held.missed}
        stale = {*behind, *self._mirror.dirty, *(missing & self._missing)}
        self._missing = missing
        if stale:
            first = window_start(self._today(now), self._market.policy)
            for company in await self._snapshots.companies(first, now, list(stale)):
                self._mirror.dirty.discard(company.company_id)
                await self._announcer.tell(company)
        newest = max(self._market.campaign_versions.values(), default=0)
        for campaign in await self._snapshots.campaigns(newest):
            self._announcer.apply(campaign)
        for contract in await self._snapshots.contracts(self._market.contracts.complete):
            self._announcer.apply(contract)
        if self._market.contracts.sellers:
            for use in await self._snapshots.trial_uses_within(LOOK_BACK_S):
                self._announcer.apply(use)

    async def _catch_up_mirror(self) -> None:
        """Write what a worker booked and, being killed, told nobody."""
        held = {company_id: c.version for company_id, c in self._market.companies.items()}
        behind = await self._mirror.behind(held)
        if behind:
            now = self._clock.now()
            first = window_start(self._today(now), self._market.policy)
            for company in await self._snapshots.companies(first, now, behind):
                await self._announcer.tell(company)

    async def _mend_mirror(self) -> None:
        run_id = await self._mirror.run_id()
        if run_id != self._mirror_run_id:
            await self._rebuild()
            self._mirror_run_id = run_id

    async def recover(self) -> None:
        """Go on with leads whose worker died, close rejection windows, drop what is too old."""
        if self._posting.is_draining:
            return
        stranded = list(self._posting.stranded)
        for lead in await self._books.adopt(self._owner, stranded, ADOPT_LIMIT, SILENT_S):
            await self._posting.resume(lead)
        self._posting.stranded.difference_update(stranded)
        more = True
        while more:
            more = await self._books.close_windows(self._clock.now(), CLOSE_LIMIT) == CLOSE_LIMIT
        now = self._clock.now()
        if (minute := int(now.timestamp()) // 60) != self._tidied_minute:
            self._tidied_minute = minute
            await self._tidy(now)

    async def adjust(self) -> None:
        """Have thresholds and penalties move with the market, where they do."""
        await self._adjust(self._clock.now())
