"""The composition root: the one file that knows everybody, and the order of start and stop."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, date, datetime
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
import structlog
from uuid_utils import uuid7

from exchange.buyers.bid_limits import BidLimits
from exchange.buyers.bid_wire import PlainSpeech
from exchange.buyers.courier import Couriers
from exchange.buyers.desk import Desk
from exchange.buyers.dialect_speech import DialectSpeech
from exchange.buyers.dialects import Dialects
from exchange.buyers.fan_out import AllBidders
from exchange.buyers.post_office import relay_of
from exchange.buyers.signing import signing_secret
from exchange.core.hours import Days
from exchange.core.market import Market
from exchange.core.model import CampaignId, CompanyId, LeadId, Ping, PingId
from exchange.core.screen import DuplicateWindows
from exchange.core.standing import Standing, weigh, window_start
from exchange.core.verticals import Vertical
from exchange.flow.announce import Announcer
from exchange.flow.asking import Asking
from exchange.flow.bidding import BidderState
from exchange.flow.faults import Unavailable
from exchange.flow.follow import Following
from exchange.flow.ping import Pinging, PingTerms, tell_line
from exchange.flow.ports import Answer, Clock, Parcel, PostRequest, PostResult, Receipt, Rejected
from exchange.flow.post import Posting
from exchange.flow.reject import Rejecting
from exchange.flow.reports import Reports
from exchange.flow.sell import Selling
from exchange.flow.summarising import Summarising
from exchange.settings import Secrets, Settings
from exchange.stores.check import Checked, check
from exchange.stores.housekeeping import Housekeeping
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_books import PostgresBooks
from exchange.stores.postgres_inbox import PostgresInbox
from exchange.stores.postgres_receipts import PostgresReceipts
from exchange.stores.postgres_registry import PostgresRegistry
from exchange.stores.postgres_reports import PostgresReports
from exchange.stores.postgres_returns import PostgresReturns
from exchange.stores.postgres_snapshots import PostgresSnapshots
from exchange.stores.postgres_summaries import PostgresSummaries
from exchange.stores.rebuild import Rebuilt, rebuild
from exchange.stores.redis_client import quick_client, waiting_client
from exchange.stores.redis_mirror import RedisFeed, RedisMirror
from exchange.stores.redis_offers import RedisOffers
from exchange.stores.redis_pipe import RedisPipe
from exchange.stores.vault import ContactVault

RETIRE_S: Final = 1.0
"""Longest a stopping worker takes to say so; without it, the others wait for a silence."""

log = structlog.get_logger()


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
        self.offers = RedisOffers(self._redis, self._redis_pipe)
        self.mirror = RedisMirror(self._redis, self._redis_pipe)
        self.feed = RedisFeed(self._redis_waiting)
        self.receipts = PostgresReceipts(
            self.postgres,
            lambda error: log.error("receipts refused", error=type(error).__name__),
            self.today,
        )
        self.books = PostgresBooks(self.postgres, self.vault)
        self.snapshots = PostgresSnapshots(self.postgres)
        self.inbox = PostgresInbox(self.postgres, self.vault)
        self.reports: Reports = PostgresReports(self.postgres)
        self.summaries = PostgresSummaries(self.postgres, settings.market.market_timezone)
        self.announcer = Announcer(self.market, self.mirror, self._tell_unfit)
        self.registry = PostgresRegistry(
            self.postgres, settings.market, self.announcer.tell, self.today, time.monotonic
        )

    def _build_flows(self) -> None:
        settings = self.settings
        self._build_buyers()
        self._build_ping()
        self._build_post()
        self.rejecting = Rejecting(
            market=self.market,
            returns=PostgresReturns(self.postgres, settings.market, self.vault),
            announcer=self.announcer,
            clock=self.clock,
            today=self.today,
        )
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
            rebuild=self.rebuild,
            tidy=Housekeeping(self.postgres, settings.stores.receipt_days).tidy,
            on_error=self._tell_loop,
        )
        self.summarising = Summarising(self.summaries, self._tell_loop)

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
                windows=DuplicateWindows(
                    market_days=settings.ping.duplicate_window_days_market,
                    seller_days=settings.ping.duplicate_window_days_seller,
                ),
                draw_key=self._secrets.draw_key,
                grace_s=settings.post.grace_s,
            ),
            today=self.today,
            stopwatch=time.perf_counter_ns,
            asking=self._asking,
        )

    def _build_post(self) -> None:
        settings = self.settings
        selling = Selling(
            owner=self.owner,
            market=self.market,
            offers=self.offers,
            books=self.books,
            courier=self.courier,
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
        await self.courier.start()
        self._stack.push_async_callback(self.courier.close)
        await self.bidders.start()
        self._stack.push_async_callback(self.bidders.close)
        self.receipts.start()
        self._stack.push_async_callback(self.receipts.stop)
        self._stack.push_async_callback(self._retire)
        await self.following.start()
        self._stack.push_async_callback(self.following.stop)
        self.summarising.start()
        self._stack.push_async_callback(self.summarising.stop)

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
    ) -> tuple[Rejected, Standing]:
        """Return a sold lead."""
        return await self.rejecting.reject(
            company_id, lead_id, reason_code=reason_code, text=text, note=note
        )

    async def receipt(self, ping_id: PingId) -> Receipt | None:
        """The receipt of a ping."""
        receipt = await self.receipts.get(ping_id)
        return None if receipt is None else tell_line(receipt, self._secrets.draw_key)

    async def standing(self, company_id: CompanyId) -> Standing | None:
        """A company's standing now, from the books."""
        now = self.clock.now()
        window = await self.registry.window(company_id, now)
        return None if window is None else weigh(window, self.today(now), self.settings.market)

    def bidder_state(self, campaign_id: CampaignId) -> BidderState | None:
        """How a campaign's own bidder is doing, as this worker sees it."""
        found = self.bidders.health().get(campaign_id)
        if found is None:
            return None
        return BidderState(
            state=found.state,
            probability=found.probability,
            bids=found.bids,
            reasons=dict(found.reasons),
            p50_ms=found.p50_ms,
            p99_ms=found.p99_ms,
            connections=found.connections,
            waiting=found.waiting,
        )

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
        findings = await self.summaries.check(self.today(now))
        return msgspec.structs.replace(checked, findings=(*checked.findings, *findings))

    async def rebuild(self) -> Rebuilt:
        """Write the fast store anew from the books."""
        now = self.clock.now()
        first = window_start(self.today(now), self.settings.market)
        return await rebuild(
            self.postgres, self.snapshots, self.mirror, self.offers, now=now, first_day=first
        )

    async def _retire(self) -> None:
        """Let the others take over at once what this worker leaves, not after a silence."""
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(RETIRE_S):
                await self.books.retire(self.owner)

    def _tell_loop(self, name: str, error: BaseException) -> None:
        log.warning("loop failed", loop=name, error=str(error))

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

    def _tell_stranded(self, lead_id: LeadId, error: BaseException) -> None:
        log.error("lead stranded", lead_id=lead_id, error=f"{type(error).__name__}: {error}")
