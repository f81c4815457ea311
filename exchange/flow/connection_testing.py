"""Connection tests: spread over time, a few at once, and on request. Source: rules §8, §12.

Every worker takes what is due from the books, so that each target is tested once an interval
however many workers there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from exchange.core.connections import Place, places_of, uptime
from exchange.core.market import Market
from exchange.core.model import Campaign, CampaignId
from exchange.flow.connection_ports import (
    ConnectionBooks,
    ConnectionOutcome,
    ConnectionState,
    Registered,
    Tester,
)
from exchange.flow.faults import Unavailable
from exchange.flow.ports import Clock

TEST_S: Final = 35.0
"""The longest a test may take; the longest a delivery may is 30 s."""

WAIT_S: Final = 35.0
"""How long a test on request waits for room."""

REGISTER_S: Final = 600.0
"""How often the places are looked through where no campaign has changed."""

LEAST_REGISTER_S: Final = 10.0
"""The least time between two times, however often campaigns change."""

_ON_REQUEST_S: Final = 3_600.0
_AT_ONCE: Final = 500


class ConnectionTesting:
    """Tests what is due, and what is asked for; implements `connection_ports.ConnectionDesk`.

    ``every_s`` is 0 where nothing is tested unasked; ``at_once`` bounds the tests under way here.
    """

    def __init__(
        self,
        *,
        market: Market,
        books: ConnectionBooks,
        tester: Tester,
        clock: Clock,
        every_s: float,
        at_once: int,
        keep_days: int,
        monotonic: Callable[[], float],
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self._market = market
        self._books = books
        self._tester = tester
        self._clock = clock
        self.every_s = every_s
        self._room = asyncio.Semaphore(at_once)
        self._at_once = at_once
        self._keep_days = keep_days
        self._monotonic = monotonic
        self._on_error = on_error
        self._registered: tuple[int, int] | None = None
        self._looked_at = float("-inf")
        self._testing: set[asyncio.Task[None]] = set()
        self.passed = 0
        self.failed = 0
        self.skipped = 0

    # --- in the background ------------------------------------------------------------------------

    async def step(self) -> None:
        """Register what is new, and begin the tests that are due, as far as there is room."""
        await self.register()
        await self.test_due()

    async def register(self) -> None:
        """Make the places of the active campaigns those that are tested, if any has changed."""
        versions = self._market.campaign_versions
        seen = (max(versions.values(), default=0), len(versions))
        now_s = self._monotonic()
        pause_s = REGISTER_S if seen == self._registered else LEAST_REGISTER_S
        if now_s - self._looked_at < pause_s:
            return
        places = []
        indexes = self._market.indexes.values()
        campaigns = [runner.campaign for index in indexes for runner in index.runners.values()]
        for count, campaign in enumerate(campaigns, start=1):
            if campaign.active:
                places += [
                    Registered(
                        campaign_id=campaign.campaign_id,
                        company_id=campaign.company_id,
                        place=place,
                    )
                    for place in places_of(campaign)
                    if place.untested is None
                ]
            if count % _AT_ONCE == 0:
                await asyncio.sleep(0)
        await self._books.register(places, self.every_s)
        await self._books.prune(self._clock.now() - timedelta(days=self._keep_days))
        self._registered, self._looked_at = seen, now_s

    async def test_due(self) -> int:
        """Begin the tests that are due; gives how many it began."""
        room = self._at_once - len(self._testing)
        if room <= 0:
            return 0
        due = await self._books.take(room, self.every_s)
        for campaign_id, target in due:
            campaign = self._market.campaign(campaign_id)
            if campaign is not None:
                task = asyncio.create_task(self._test_one(campaign, target))
                self._testing.add(task)
                task.add_done_callback(self._testing.discard)
        return len(due)

    async def idle(self) -> None:
        """Wait until every test that was begun has ended."""
        while self._testing:
            await asyncio.gather(*self._testing)

    async def close(self) -> None:
        """End the tests under way; nothing is kept of them."""
        for task in self._testing:
            task.cancel()
        await asyncio.gather(*self._testing, return_exceptions=True)

    async def _test_one(self, campaign: Campaign, target: str) -> None:
        try:
            for place in places_of(campaign):
                if place.target == target and place.untested is None:
                    async with self._room, asyncio.timeout(TEST_S):
                        await self._keep(campaign, await self._tester.test(campaign, place))
        except Exception as error:
            self._on_error("connection test", error)

    # --- on request -------------------------------------------------------------------------------

    async def test_now(self, campaign: Campaign) -> Sequence[ConnectionOutcome]:
        """Test every place of a campaign, all at once as far as there is room."""
        tests = (self._ask(campaign, place) for place in places_of(campaign))
        # Each ends by itself, whatever becomes of the others.
        outcomes = await asyncio.gather(*tests, return_exceptions=True)
        found = []
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            found.append(outcome)
        return found

    async def _ask(self, campaign: Campaign, place: Place) -> ConnectionOutcome:
        if place.untested is not None:
            return ConnectionOutcome(
                target=place.target,
                kind=place.kind,
                status="skipped",
                at=self._clock.now(),
                detail=_NOTHING_TO_TEST[place.untested],
            )
        try:
            async with asyncio.timeout(WAIT_S):
                await self._room.acquire()
        except TimeoutError:
            raise Unavailable("too many connection tests are under way") from None
        try:
            outcome = await self._tester.test(campaign, place)
        finally:
            self._room.release()
        await self._keep(campaign, outcome)
        return outcome

    async def states(self, campaign: Campaign) -> Sequence[ConnectionState]:
        """How a campaign's places have done."""
        now = self._clock.now()
        since = now - timedelta(days=self._keep_days)
        by_target = {
            kept.target: kept for kept in await self._books.kept(campaign.campaign_id, since)
        }
        states = []
        for place in places_of(campaign):
            kept = by_target.get(place.target)
            hours = () if kept is None else kept.hours
            states.append(
                ConnectionState(
                    place=place,
                    failures=0 if kept is None else kept.failures,
                    successes=0 if kept is None else kept.successes,
                    last=() if kept is None else kept.last,
                    day=uptime(hours, now, timedelta(days=1)),
                    month=uptime(hours, now, timedelta(days=30)),
                )
            )
        return states

    async def is_out(self, campaign_id: CampaignId) -> bool:
        """Whether a campaign is tested on request only."""
        return await self._books.is_out(campaign_id)

    async def opt_out(self, campaign_id: CampaignId, out: bool) -> None:
        """Have a campaign tested on request only, or not any longer."""
        await self._books.opt_out(campaign_id, out, self._clock.now())

    async def _keep(self, campaign: Campaign, result: ConnectionOutcome) -> None:
        if result.status == "passed":
            self.passed += 1
        elif result.status == "failed":
            self.failed += 1
        else:
            self.skipped += 1
        await self._books.record(campaign, result, self.every_s or _ON_REQUEST_S)


_NOTHING_TO_TEST: Final = {
    "inbox": "leads stay here, in the company's inbox",
    "stream": "a bid stream shows by itself whether it is up",
}
