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

from exchange.buyers.bid_limits import BidLimits
from exchange.buyers.bid_wire import PlainSpeech
from exchange.buyers.connection_tester import ConnectionTester
from exchange.buyers.courier import Couriers
from exchange.buyers.desk import Desk
from exchange.buyers.dialect_speech import DialectSpeech
from exchange.buyers.dialects import Dialects
from exchange.buyers.fan_out import AllBidders
from exchange.buyers.notifier import AlertNotifier
from exchange.buyers.post_office import relay_of
from exchange.buyers.signing import signing_secret
from exchange.core.alert_terms import Terms
from exchange.core.hours import Days, end_of_day
from exchange.core.market import Market
from exchange.core.model import CampaignId, CompanyId, LeadId, Ping, PingId
from exchange.core.quality.grading import Grading, QualityRules
from exchange.core.screen import DuplicateWindows
from exchange.core.standing import Standing, weigh, window_start
from exchange.core.verticals import Vertical
from exchange.flow.alert_desk import AlertCounter
from exchange.flow.alerting import Alerting
from exchange.flow.announce import Announcer
from exchange.flow.asking import Asking
from exchange.flow.background import Background
from exchange.flow.bidder_reporting import BidderReporting
from exchange.flow.bidding import BidderState
from exchange.flow.connection_testing import ConnectionTesting
from exchange.flow.dynamics import Dynamics
from exchange.flow.faults import Unavailable
from exchange.flow.follow import Following
from exchange.flow.notifying import Notifying
from exchange.flow.ping import Pinging, PingTerms, tell_line
from exchange.flow.ping_together import PingGroups, PingingTogether, Told
from exchange.flow.ports import Answer, Clock, Parcel, PostRequest, PostResult, Receipt, Rejected
from exchange.flow.post import Posting
from exchange.flow.reject import Rejecting
from exchange.flow.reports import Reports
from exchange.flow.returns import Returning
from exchange.flow.sale_terms import SaleTerms
from exchange.flow.sell import Selling
from exchange.flow.standings import Standings
from exchange.flow.what_if import WhatIf
from exchange.settings import QualitySettings, Secrets, Settings
from exchange.stores.check import Checked, check
from exchange.stores.drift import StoresDrift
from exchange.stores.housekeeping import Housekeeping
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_alerts import PostgresAlerts
from exchange.stores.postgres_bidders import PostgresBidders
from exchange.stores.postgres_books import PostgresBooks
from exchange.stores.postgres_connections import PostgresConnections
from exchange.stores.postgres_contracts import PostgresContracts
from exchange.stores.postgres_inbox import PostgresInbox
from exchange.stores.postgres_notices import PostgresNotices
from exchange.stores.postgres_receipts import PostgresReceipts
from exchange.stores.postgres_registry import PostgresRegistry
from exchange.stores.postgres_reports import PostgresReports
from exchange.stores.postgres_returns import PostgresReturns
from exchange.stores.postgres_reviews import PostgresReviews
from exchange.stores.postgres_snapshots import PostgresSnapshots
from exchange.stores.postgres_standings import PostgresFactors, PostgresStandings
from exchange.stores.postgres_summaries import HURRY_S, TURN_S, PostgresSummaries
from exchange.stores.postgres_suppressions import PostgresSuppressions
from exchange.stores.rebuild import Rebuilt, rebuild
from exchange.stores.redis_client import quick_client, waiting_client
from exchange.stores.redis_mirror import RedisFeed, RedisMirror
from exchange.stores.redis_offers import RedisOffers
from exchange.stores.redis_pipe import RedisPipe
from exchange.stores.redis_suppressions import RedisSuppressions
from exchange.stores.suppression_copies import KEEP_S, SuppressionCopies
from exchange.stores.vault import ContactVault

RETIRE_S: Final = 1.0
"""Longest a stopping worker takes to say so; without it, the others wait for a silence."""

SEND_PAUSE_S: Final = 1.0
"""Between two looks into the outbox, and at connection tests that are due."""

LEAST_LOOK_PAUSE_S: Final = 1.0
STALE_REPORTS: Final = 3
"""Reports a worker may miss before what it said of bidders is not believed."""

log = structlog.get_logger()


T = TypeVar("T")


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present, in UTC."""
        return datetime.now(UTC)


class _SeenBidders:
    """What this worker sees of companies' bidders: `flow.bidder_reporting.Seen`."""

    def __init__(self, bidders: AllBidders) -> None:
        self._bidders = bidders

    def campaigns(self) -> list[CampaignId]:
        """The campaigns whose bidders it asked lately."""
        return self._bidders.campaigns()

    def state(self, campaign_id: CampaignId) -> tuple[CompanyId, BidderState] | None:
        """How one of them is doing, and whose it is."""
        found = self._bidders.health_of(campaign_id)
        if found is None:
            return None
        state = BidderState(
            state=found.state,
            probability=found.probability,
            bids=found.bids,
            reasons=dict(found.reasons),
            p50_ms=found.p50_ms,
            p99_ms=found.p99_ms,
            connections=found.connections,
            waiting=found.waiting,
        )
        return found.company_id, state


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
            lambda error: log.error("receipts refused", error=type(error).__name__),
            self.today,
        )
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
            behind=lambda number, error: log.warning(
                "suppression list not copied", list=number, error=str(error)
            ),
        )
        self.suppression_copies = SuppressionCopies(self.postgres, copy)
        self.snapshots = PostgresSnapshots(self.postgres)
        self.inbox = PostgresInbox(self.postgres, self.vault)
        self.reports: Reports = PostgresReports(self.postgres)
        self.summaries = PostgresSummaries(self.postgres, settings.market.market_timezone)
        self.announcer = Announcer(self.market, self.mirror, self._tell_unfit)
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
            on_error=self._tell_failed_step,
        )
        self._background = Background(self._tell_failed_step)

    def _build_returns(self) -> None:
        settings, policy = self.settings, self.settings.returns.policy
        books = PostgresReturns(self.postgres, settings.market, self.vault)
        self.rejecting = Rejecting(
            market=self.market,
            returns=books,
            announcer=self.announcer,
            clock=self.clock,
            today=self.today,
            policy=policy,
        )
        self.returning = Returning(
            market=self.market,
            rejecting=self.rejecting,
            foreseeing=books,
            reviews=PostgresReviews(self.postgres, settings.market, policy, self.vault),
            registry=self.registry,
            announcer=self.announcer,
            clock=self.clock,
            today=self.today,
            policy=policy,
        )

    def _build_buyers(self) -> None:
        settings, secrets = self.settings, self._secrets
        allow_private = settings.delivery.allow_private_addresses
        dialects = Dialects(
            keys=[(key.key_id, key.key) for key in secrets.contact_keys],
            secret_of=self.signing_secret,
            company_of=self._company_of,
            clock=self.clock.now,
        )
        email = settings.email
        relay = None
        if email.relay_url is not None and email.from_address is not None:
            relay = relay_of(email.relay_url, email.from_address, email.security)
        self.notifier = AlertNotifier(
            secret_of=lambda receiver: self.signing_secret(CompanyId(receiver)),
            clock=lambda: datetime.now(UTC),
            allow_private_addresses=allow_private,
            relay=relay,
        )
        self.courier = Couriers(
            max_answer_bytes=settings.delivery.max_answer_bytes,
            allow_private_addresses=allow_private,
            dialects=dialects,
            relay=relay,
        )
        self.desk = Desk(
            dialects,
            allow_private_addresses=allow_private,
            max_answer_bytes=settings.delivery.max_answer_bytes,
            relay=relay,
        )
        self._tester = ConnectionTester(
            self.desk, dialects, self.market.verticals, clock=self.clock.now, relay=relay
        )
        plain, spoken = PlainSpeech(), DialectSpeech(dialects)
        self.bidders = AllBidders(
            secret_of=self.signing_secret,
            speech_for=lambda remote: spoken if remote.dialect or remote.preset else plain,
            limits=BidLimits(**msgspec.structs.asdict(settings.bidding)),
            allow_private_addresses=allow_private,
        )

    def signing_secret(self, company_id: CompanyId) -> str:
        """What a company proves our requests with."""
        return signing_secret(self._secrets.hash_key, company_id)

    def _company_of(self, campaign_id: CampaignId) -> CompanyId | None:
        campaign = self.market.campaign(campaign_id)
        return None if campaign is None else campaign.company_id

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

    def _build_standings(self) -> None:
        settings, books = self.settings, PostgresStandings(self.postgres)
        zone = ZoneInfo(settings.market.market_timezone)

        def end_of(day: date) -> datetime:
            return end_of_day(day, zone)

        self.dynamics = Dynamics(
            self.market, PostgresFactors(self.postgres), settings.dynamic, self.today
        )
        self.standings = Standings(
            market=self.market,
            registry=self.registry,
            books=books,
            dynamics=self.dynamics,
            what_if=WhatIf(
                market=self.market,
                registry=self.registry,
                books=books,
                clock=self.clock,
                today=self.today,
                end_of=end_of,
                draw_key=self._secrets.draw_key,
                kept_days=settings.stores.receipt_days,
            ),
            clock=self.clock,
            today=self.today,
            end_of=end_of,
        )

    def _build_post(self) -> None:
        settings = self.settings
        selling = Selling(
            owner=self.owner,
            market=self.market,
            offers=self.offers,
            books=self.books,
            courier=self.courier,
            terms=SaleTerms(self.market, self.contracts, self.clock),
            announcer=self.announcer,
            clock=self.clock,
            backoff_s=settings.delivery.backoff_ms / 1000,
            today=self.today,
            jitter=random.random,
            incident=self._tell_incident,
            on_error=self._tell_stranded,
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
            on_error=self._tell_stranded,
            grading=self.grading,
        )

    def _build_alerts(self) -> None:
        alerts, tests = self.settings.alerts, self.settings.connection_tests
        defaults = Terms(
            near_pct=alerts.near_pct,
            cap_pct=alerts.cap_pct,
            balance_low_cents=int(alerts.balance_low * 100),
            crm_rejections=alerts.crm_rejections,
            bidder_error_pct=alerts.bidder_error_pct,
            reminder_hours=alerts.reminder_hours,
        )
        kept, outbox = PostgresAlerts(self.postgres), PostgresNotices(self.postgres)
        reports = PostgresBidders(self.postgres, STALE_REPORTS * alerts.report_s)
        self.bidder_reporting = BidderReporting(
            owner=self.owner,
            reports=reports,
            seen=_SeenBidders(self.bidders),
            monotonic=time.monotonic,
        )
        self.alerting = Alerting(
            owner=self.owner,
            market=self.market,
            books=kept,
            reports=reports,
            drift=StoresDrift(
                self.postgres,
                self.snapshots,
                self.mirror,
                lambda now: window_start(self.today(now), self.market.policy),
            ),
            clock=self.clock,
            defaults=defaults,
            failures=tests.failures,
            recoveries=tests.recoveries,
            keep_days=alerts.keep_days,
            fresh_id=lambda: str(uuid7()),
        )
        self.notifying = Notifying(
            notices=outbox,
            notifier=self.notifier,
            attempts=alerts.attempts,
            draw=random.random,
            on_failed=lambda receiver, problem: log.error(
                "notice given up", receiver=receiver, problem=problem
            ),
            on_error=self._tell_failed_step,
        )
        self.alerts = AlertCounter(
            kept=kept,
            outbox=outbox,
            defaults=defaults,
            secret_of=lambda receiver: self.signing_secret(CompanyId(receiver)),
            fresh_id=lambda: str(uuid7()),
        )
        self.connections = ConnectionTesting(
            market=self.market,
            books=PostgresConnections(self.postgres),
            tester=self._tester,
            clock=self.clock,
            every_s=tests.every_min * 60.0,
            at_once=tests.at_once,
            keep_days=tests.keep_days,
            monotonic=time.monotonic,
            on_error=self._tell_failed_step,
        )

    async def _start_alerts(self) -> None:
        """Begin what goes on beside the market, as far as the settings want it."""
        await self.notifier.start()
        self._stack.push_async_callback(self.notifier.close)
        self._stack.push_async_callback(self.notifying.close)
        self._stack.push_async_callback(self.connections.close)
        begin, alerts = self._background.begin, self.settings.alerts
        if alerts.every_s:
            # Every worker asks so often whether it is its turn; one of them has it.
            pause_s = max(LEAST_LOOK_PAUSE_S, alerts.every_s / 4)
            begin("alerts", lambda: self.alerting.look(alerts.every_s), pause_s)
            begin("notices", self.notifying.send_due, SEND_PAUSE_S)
            begin("bidder reports", self.bidder_reporting.report, alerts.report_s)
        if self.connections.every_s:
            begin("connection tests", self.connections.step, SEND_PAUSE_S)

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
        await self.courier.start()
        self._stack.push_async_callback(self.courier.close)
        await self.bidders.start()
        self._stack.push_async_callback(self.bidders.close)
        self.receipts.start()
        self._stack.push_async_callback(self.receipts.stop)
        self._stack.push_async_callback(self._retire)
        await self.following.start()
        self._stack.push_async_callback(self.following.stop)
        await self._start_alerts()
        self._background.begin("suppressions", self.suppression_copies.mend, KEEP_S)
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
        """Hold the auction for a ping."""
        return await self.pinging.ping(ping)

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
        receipt = await self.receipts.get(ping_id)
        return None if receipt is None else tell_line(receipt, self._secrets.draw_key)

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
        await self.returning.approve_due(now)
        await self._housekeeping.tidy(now)

    async def _retire(self) -> None:
        """Let the others take over at once what this worker leaves, not after a silence."""
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(RETIRE_S):
                await self.books.retire(self.owner)

    def _tell_unfit(self, campaign_id: str, problem: str) -> None:
        log.warning("campaign does not fit its vertical", campaign_id=campaign_id, problem=problem)

    def _tell_incident(self, parcel: Parcel, kind: str, answer: Answer) -> None:
        log.warning(
            "delivery failed",
            delivery_id=parcel.delivery_id,
            campaign_id=parcel.campaign_id,
            kind=kind,
            result=answer.result,
            reason=answer.reason.code if answer.reason else None,
            detail=answer.detail,
        )

    def _tell_failed_step(self, name: str, error: BaseException) -> None:
        log.warning("loop failed", loop=name, error=f"{type(error).__name__}: {error}")

    def _tell_stranded(self, lead_id: LeadId, error: BaseException) -> None:
        log.error("lead stranded", lead_id=lead_id, error=f"{type(error).__name__}: {error}")


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
