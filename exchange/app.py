"""The composition root: the one file that knows everybody, and the order of start and stop."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, date, datetime
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

import msgspec
import structlog
from uuid_utils import uuid7

from exchange.buyers.signing import signing_secret
from exchange.core.hours import Days
from exchange.core.market import Market
from exchange.core.model import CampaignId, CompanyId, LeadId, Ping, PingId
from exchange.core.quality.grading import Grading, QualityRules
from exchange.core.screen import DuplicateWindows
from exchange.core.standing import Standing, weigh, window_start
from exchange.core.verticals import Vertical
from exchange.flow.announce import Announcer
from exchange.flow.asking import Asking
from exchange.flow.background import Background
from exchange.flow.bidding import BidderState
from exchange.flow.faults import Unavailable
from exchange.flow.follow import Following
from exchange.flow.late_receipts import LateReceipts
from exchange.flow.ping import Pinging, PingTerms, tell_line
from exchange.flow.ping_together import PingGroups, PingingTogether, Told
from exchange.flow.ports import Clock, PostRequest, PostResult, Receipt, Rejected
from exchange.flow.post import Posting
from exchange.flow.receipt_check import CheckedReceipts, check_receipts
from exchange.flow.reports import Reports
from exchange.flow.retelling import Retelling, RetoldReceipt
from exchange.flow.sale_terms import SaleTerms
from exchange.flow.sell import Selling
from exchange.settings import QualitySettings, Secrets, Settings
from exchange.stores.check import Checked, check
from exchange.stores.housekeeping import Housekeeping
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_books import PostgresBooks
from exchange.stores.postgres_contracts import PostgresContracts
from exchange.stores.postgres_inbox import PostgresInbox
from exchange.stores.postgres_moments import PostgresMoments
from exchange.stores.postgres_receipts import PostgresReceipts
from exchange.stores.postgres_registry import PostgresRegistry
from exchange.stores.postgres_reports import PostgresReports
from exchange.stores.postgres_snapshots import PostgresSnapshots
from exchange.stores.postgres_standings import PostgresFactors
from exchange.stores.postgres_summaries import HURRY_S, TURN_S, PostgresSummaries
from exchange.stores.postgres_suppressions import PostgresSuppressions
from exchange.stores.rebuild import Rebuilt, rebuild
from exchange.stores.receipt_counting import ADOPT_S
from exchange.stores.redis_client import quick_client, waiting_client
from exchange.stores.redis_mirror import RedisFeed, RedisMirror
from exchange.stores.redis_offers import RedisOffers
from exchange.stores.redis_pipe import RedisPipe
from exchange.stores.redis_suppressions import RedisSuppressions
from exchange.stores.suppression_copies import KEEP_S, SuppressionCopies
from exchange.stores.vault import ContactVault
from exchange.wiring.alerts import AlertsParts
from exchange.wiring.buyers import BuyersParts
from exchange.wiring.returns import ReturnsParts
from exchange.wiring.standings import StandingsParts
from exchange.wiring.telling import (
    tell_failed_step,
    tell_incident,
    tell_stranded,
    tell_uncopied_list,
    tell_unfit,
    tell_unwritten_receipts,
)

RETIRE_S: Final = 1.0
"""Longest a stopping worker takes to say so; without it, the others wait for a silence."""

log = structlog.get_logger()


T = TypeVar("T")


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present, in UTC."""
        return datetime.now(UTC)


class Exchange:
    """One worker's exchange: implements `flow.doors.Doors`, knows how to start and stop."""

    def __init__(
        self,
        settings: Settings,
        secrets: Secrets,
        verticals: list[Vertical],
        *,
        postgres_url: str,
        redis_url: str,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        self.owner = str(uuid7())
        self.clock: Clock = clock or SystemClock()
        self.today: Callable[[datetime], date] = Days(ZoneInfo(settings.market.market_timezone))
        self.market = Market(verticals, settings.market, self.today(self.clock.now()))
        self.grading = Grading(verticals, _quality_rules(settings.quality))
        self.draining = False
        self._secrets = secrets
        self._stack = AsyncExitStack()
        self._build_stores(postgres_url, redis_url)
        self._build_flows()

    def _build_stores(self, postgres_url: str, redis_url: str) -> None:
        settings, secrets = self.settings, self._secrets
        self.postgres = Postgres(postgres_url, size=settings.stores.postgres_pool)
        self._redis = quick_client(redis_url)
        self._redis_waiting = waiting_client(redis_url)
        self._redis_pipe = RedisPipe(redis_url)
        self.vault = ContactVault([(key.key_id, key.key) for key in secrets.contact_keys])
        self.offers = RedisOffers(
            self._redis_pipe, repeat_s=settings.ping.duplicate_window_s_pinged
        )
        self.mirror = RedisMirror(self._redis, self._redis_pipe)
        self.feed = RedisFeed(self._redis_waiting)
        self.receipts = PostgresReceipts(
            self.postgres,
            tell_unwritten_receipts,
            self.today,
            self.owner,
        )
        self._late_receipts = LateReceipts(self.receipts, wall_s=time.time)
        self._windows = DuplicateWindows(
            market_days=settings.ping.duplicate_window_days_market,
            seller_days=settings.ping.duplicate_window_days_seller,
            company_days=settings.ping.duplicate_window_days_company,
            repeat_s=settings.ping.duplicate_window_s_pinged,
        )
        self.books = PostgresBooks(self.postgres, self.vault, self._windows)
        copy = RedisSuppressions(self._redis_pipe)
        self.suppressions = PostgresSuppressions(
            self.postgres,
            copy,
            most=settings.suppression.max_contacts,
            behind=tell_uncopied_list,
        )
        self.suppression_copies = SuppressionCopies(self.postgres, copy)
        self.snapshots = PostgresSnapshots(self.postgres)
        self.inbox = PostgresInbox(self.postgres, self.vault)
        self.reports: Reports = PostgresReports(self.postgres)
        self.summaries = PostgresSummaries(self.postgres, settings.market.market_timezone)
        self.announcer = Announcer(self.market, self.mirror, tell_unfit)
        self.contracts = PostgresContracts(self.postgres, self.announcer.tell)
        self.registry = PostgresRegistry(
            self.postgres, settings.market, self.announcer.tell, self.today, time.monotonic
        )

    def _build_flows(self) -> None:
        settings = self.settings
        self._housekeeping = Housekeeping(self.postgres, settings.stores.receipt_days)
        self._build_buyers()
        self._build_standings()
        self._build_ping()
        self._build_post()
        self._build_retelling()
        self._build_returns()
        self._build_alerts()
        self.following = Following(
            owner=self.owner,
            market=self.market,
            snapshots=self.snapshots,
            announcer=self.announcer,
            mirror=self.mirror,
            feed=self.feed,
            books=self.books,
            posting=self.posting,
            clock=self.clock,
            today=self.today,
            rebuild=self._rebuild_mirror,
            tidy=self._tidy,
            adjust=self.dynamics.follow,
            on_error=tell_failed_step,
        )
        self._background = Background(tell_failed_step)

    def _build_buyers(self) -> None:
        parts = self._buyers = BuyersParts(
            self.settings,
            keys=self._secrets.contact_keys,
            secret_of=self.signing_secret,
            market=self.market,
            clock=self.clock,
        )
        self.courier, self.desk, self.bidders = parts.courier, parts.desk, parts.bidders

    def _build_standings(self) -> None:
        parts = StandingsParts(
            self.settings,
            market=self.market,
            postgres=self.postgres,
            registry=self.registry,
            draw_key=self._secrets.draw_key,
            clock=self.clock,
            today=self.today,
        )
        self.dynamics, self.standings = parts.dynamics, parts.standings

    def _build_returns(self) -> None:
        parts = ReturnsParts(
            self.settings,
            market=self.market,
            postgres=self.postgres,
            vault=self.vault,
            registry=self.registry,
            announcer=self.announcer,
            clock=self.clock,
            today=self.today,
        )
        self.rejecting, self.returning = parts.rejecting, parts.returning

    def _build_alerts(self) -> None:
        parts = self._alerts = AlertsParts(
            self.settings,
            owner=self.owner,
            market=self.market,
            postgres=self.postgres,
            snapshots=self.snapshots,
            mirror=self.mirror,
            buyers=self._buyers,
            secret_of=self.signing_secret,
            clock=self.clock,
            today=self.today,
        )
        self.alerts, self.alerting, self.notifying = parts.desk, parts.alerting, parts.notifying
        self.bidder_reporting, self.connections = parts.bidder_reporting, parts.connections

    def signing_secret(self, company_id: CompanyId) -> str:
        """What a company proves our requests with."""
        return signing_secret(self._secrets.hash_key, company_id)

    def _build_ping(self) -> None:
        settings = self.settings
        self._asking = Asking(self.bidders)
        self.pinging = Pinging(
            market=self.market,
            offers=self.offers,
            receipts=self.receipts,
            clock=self.clock,
            terms=PingTerms(
                windows=self._windows,
                draw_key=self._secrets.draw_key,
                grace_s=settings.post.grace_s,
            ),
            today=self.today,
            stopwatch=time.perf_counter_ns,
            asking=self._asking,
            grading=self.grading,
        )

    def _build_retelling(self) -> None:
        self.retelling = Retelling(
            market=self.market,
            receipts=self._late_receipts,
            moments=PostgresMoments(self.postgres),
            factors=PostgresFactors(self.postgres),
            today=self.today,
            draw_key=self._secrets.draw_key,
        )

    def _build_post(self) -> None:
        settings = self.settings
        selling = Selling(
            owner=self.owner,
            market=self.market,
            offers=self.offers,
            books=self.books,
            courier=self.courier,
            terms=SaleTerms(
                owner=self.owner,
                market=self.market,
                contracts=self.contracts,
                announcer=self.announcer,
                clock=self.clock,
            ),
            announcer=self.announcer,
            clock=self.clock,
            backoff_s=settings.delivery.backoff_ms / 1000,
            today=self.today,
            jitter=random.random,
            incident=tell_incident,
            on_error=tell_stranded,
        )
        self.posting = Posting(
            owner=self.owner,
            offers=self.offers,
            receipts=self.receipts,
            books=self.books,
            vault=self.vault,
            selling=selling,
            clock=self.clock,
            limit_s=settings.post.limit_s,
            on_error=tell_stranded,
            grading=self.grading,
        )

    async def open_stores(self) -> None:
        """Connect to the stores, without taking part in the market: for check and rebuild."""
        await self.postgres.start()
        self._stack.push_async_callback(self.postgres.close)
        self._stack.push_async_callback(self._redis.aclose)
        self._stack.push_async_callback(self._redis_waiting.aclose)
        self._stack.push_async_callback(self._redis_pipe.close)

    async def start(self) -> None:
        """Connect, load the market and begin to follow it."""
        await self.open_stores()
        now = self.clock.now()
        if self._secrets.operator_key:
            await self.registry.set_operator_key(self._secrets.operator_key, now)
        await self._buyers.start(self._stack)
        self.receipts.start()
        self._stack.push_async_callback(self.receipts.stop)
        self._stack.push_async_callback(self._retire)
        await self.following.start()
        self._stack.push_async_callback(self.following.stop)
        self._alerts.begin(self._background, self._stack)
        self._background.begin("suppressions", self.suppression_copies.mend, KEEP_S)
        self._background.begin("receipts", self.receipts.adopt, ADOPT_S, hurry_s=HURRY_S)
        self._background.begin("summaries", self.summaries.turn, TURN_S, hurry_s=HURRY_S)
        self._stack.push_async_callback(self._background.stop)

    async def drain(self, drain_s: float | None = None) -> None:
        """Take no more work; let open leads finish, within the settings' drain time or this."""
        self.draining = True
        if not await self.posting.drain(self.settings.http.drain_s if drain_s is None else drain_s):
            log.warning("leads left for another worker", leads=len(self.posting.stranded))

    async def stop(self) -> None:
        """Drain, if that was not done, and close everything."""
        if not self.draining:
            await self.drain()
        await self._stack.aclose()

    async def close(self) -> None:
        """Close what `open_stores` opened."""
        await self._stack.aclose()

    @property
    def asking(self) -> int:
        """How many pings wait for companies' own bidders now."""
        return self._asking.open

    async def ping(self, ping: Ping) -> Receipt:
        """Hold the auction for a ping; gives its receipt as it will be read."""
        return tell_line(await self.pinging.ping(ping), self._secrets.draw_key)

    def ping_groups(self, told: Told[T]) -> PingGroups[T]:
        """A way to hold the auctions of many pings together; ``told`` hears of each."""
        return PingingTogether(self.pinging, told)

    async def post(self, request: PostRequest) -> PostResult:
        """Sell a pinged lead; safe to repeat."""
        return await self.posting.post(request)

    async def reject(
        self,
        company_id: CompanyId,
        lead_id: LeadId,
        *,
        reason_code: str | None,
        text: str | None,
        note: str | None,
        review: bool = False,
    ) -> tuple[Rejected, Standing]:
        """Return a sold lead."""
        return await self.rejecting.reject(
            company_id, lead_id, reason_code=reason_code, text=text, note=note, review=review
        )

    async def receipt(self, ping_id: PingId) -> Receipt | None:
        """The receipt of a ping."""
        receipt = await self._late_receipts.get(ping_id)
        return None if receipt is None else tell_line(receipt, self._secrets.draw_key)

    async def whole_receipt(self, ping_id: PingId) -> RetoldReceipt | None:
        """The receipt of a ping with every campaign."""
        return await self.retelling.tell(ping_id)

    async def standing(self, company_id: CompanyId) -> Standing | None:
        """A company's standing now, from the books."""
        now = self.clock.now()
        window = await self.registry.window(company_id, now)
        return None if window is None else weigh(window, self.today(now), self.market.policy)

    async def bidder_state(self, campaign_id: CampaignId) -> BidderState | None:
        """How a campaign's own bidder is doing, as all workers see it."""
        return await self.bidder_reporting.state(campaign_id)

    def ready(self) -> list[str]:
        """What keeps this worker from being ready."""
        faults = {
            "draining": self.draining,
            "postgres": self.following.books_away,
            "redis": self.following.mirror_away or not self.feed.subscribed,
        }
        return [name for name, is_fault in faults.items() if is_fault]

    async def check(self) -> Checked:
        """Compare the stores to the cent."""
        now = self.clock.now()
        first = window_start(self.today(now), self.settings.market)
        checked = await check(self.postgres, self.snapshots, self.mirror, now=now, first_day=first)
        lists = await self.suppression_copies.check()
        days = await self.summaries.check(self.today(now))
        return msgspec.structs.replace(checked, findings=(*checked.findings, *lists, *days))

    async def check_receipts(self, count: int) -> CheckedReceipts:
        """Recompute the newest receipts, every campaign of them, from what is kept."""
        await self.following.load()
        rows = await self.postgres.rows("newest_receipts", count)
        pings = [PingId(row["ping"]) for row in rows]
        return await check_receipts(self.retelling, self.market, pings)

    async def rebuild(self) -> Rebuilt:
        """Write the fast store anew from the books."""
        rebuilt = await self._rebuild_mirror()
        suppressed = await self.suppression_copies.rebuild()
        return msgspec.structs.replace(rebuilt, suppressed=suppressed)

    async def _rebuild_mirror(self) -> Rebuilt:
        """Write anew what the store lost by a restart; it sees to suppression lists by itself."""
        now = self.clock.now()
        first = window_start(self.today(now), self.settings.market)
        return await rebuild(
            self.postgres, self.snapshots, self.mirror, self.offers, now=now, first_day=first
        )

    async def _tidy(self, now: datetime) -> None:
        """What is due once a minute."""
        await self.returning.decide_due(now)
        await self._housekeeping.tidy(now)

    async def _retire(self) -> None:
        """Let the others take over at once what this worker leaves, not after a silence."""
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(RETIRE_S):
                await self.books.retire(self.owner)


def _quality_rules(settings: QualitySettings) -> QualityRules:
    return QualityRules(
        refuse=frozenset(settings.refuse or ()),
        refuse_score_below=settings.refuse_score_below,
        pings_per_source_minute=settings.pings_per_source_minute,
        pings_per_contact_hour=settings.pings_per_contact_hour,
        phones_per_name_hour=settings.phones_per_name_hour,
        phones_per_address_hour=settings.phones_per_address_hour,
        disposable_domains=frozenset(settings.disposable_domains_file or ()),
    )
