"""A whole exchange on real stores for a test, with a clock that stands still until it is moved."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from msgspec.structs import replace
from redis.asyncio import from_url
from uuid_utils import uuid7

from exchange.app import Exchange
from exchange.core.model import (
    Bid,
    Campaign,
    CampaignId,
    Cascade,
    CompanyId,
    Cap,
    Condition,
    DeliveryTarget,
    Ping,
    PingId,
    Policy,
    SellerId,
)
from exchange.embedded import StoreUrls
from exchange.flow.ports import Contact, PostRequest, PostResult, Receipt
from exchange.settings import ContactKey, Secrets, Settings, read_settings
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_migrations import migrate
from exchange.verticals_file import read_verticals

CONFIG = Path(__file__).parents[2] / "config"
SECRETS = Secrets(
    operator_key="ok_test_operator_key_of_some_length",
    contact_keys=(ContactKey(key_id=1, key=b"k" * 32),),
    hash_key=b"h" * 32,
    draw_key=b"d" * 32,
)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ATTRIBUTES = {
    "zip": "94107",
    "state": "CA",
    "credit_score": 710,
    "owns_home": True,
    "monthly_bill": 150,
}


class StillClock:
    """A clock that only moves when told."""

    def __init__(self, now: datetime = NOON) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    def forward(self, **delta: float) -> None:
        self.time += timedelta(**delta)


class Desk:
    """An exchange with short words for what tests do all the time."""

    def __init__(self, exchange: Exchange, clock: StillClock) -> None:
        self.exchange = exchange
        self.clock = clock
        self._count = 0

    async def seller(self, name: str = "Lead Source") -> SellerId:
        account, _ = await self.exchange.registry.create_account(
            "seller", name, prepaid=False, now=self.clock.now()
        )
        return SellerId(account.id)

    async def company(self, name: str = "Sunny Roofs", *, prepaid: int | None = None) -> CompanyId:
        account, _ = await self.exchange.registry.create_account(
            "company", name, prepaid=prepaid is not None, now=self.clock.now()
        )
        if prepaid:
            await self.exchange.registry.deposit(
                CompanyId(account.id), prepaid, "first", self.clock.now()
            )
        return CompanyId(account.id)

    async def campaign(
        self,
        company_id: CompanyId,
        cents: int | None = None,
        *,
        shared: dict[int, int] | None = None,
        caps: tuple[Cap, ...] = (),
        delivery: tuple[DeliveryTarget, ...] = (DeliveryTarget(kind="inbox"),),
        filter: Condition | None = None,
        campaign_id: CampaignId | None = None,
    ) -> CampaignId:
        campaign = Campaign(
            campaign_id=campaign_id or CampaignId(str(uuid7())),
            company_id=company_id,
            name="test",
            vertical="solar",
            filter=filter,
            bid=Bid(exclusive_cents=cents, shared_cents=shared or {}),
            caps=caps,
            delivery=delivery,
        )
        saved = await self.exchange.registry.save_campaign(
            campaign, create=campaign_id is None, now=self.clock.now()
        )
        assert saved is not None
        return campaign.campaign_id

    async def ping(
        self,
        seller_id: SellerId,
        *,
        max_buyers: int = 1,
        min_price: int = 0,
        cascade: Cascade = "promised",
        test: bool = False,
        **attributes: Any,
    ) -> Receipt:
        vertical = self.exchange.market.verticals["solar"]
        return await self.exchange.ping(
            Ping(
                ping_id=PingId(str(uuid7())),
                seller_id=seller_id,
                vertical="solar",
                attributes=msgspec.convert(ATTRIBUTES | attributes, vertical.attributes_type),
                captured_at=self.clock.now(),
                received_at=self.clock.now(),
                max_buyers=max_buyers,
                min_price_cents=min_price,
                cascade=cascade,
                test=test,
            )
        )

    def post_request(
        self, receipt: Receipt, *, key: str | None = None, name: str = "Ada"
    ) -> PostRequest:
        self._count += 1
        contact = Contact(first_name=name, last_name="Lovelace", phone="+14155550123")
        body = f"{receipt.ping_id}{name}".encode()
        return PostRequest(
            ping_id=receipt.ping_id,
            seller_id=receipt.seller_id,
            idempotency_key=key or receipt.ping_id,
            body_hash=hashlib.sha256(body).digest(),
            contact=contact,
            contact_hashes={},
            contact_keys=(f"key-{self._count}",),
            attributes={},
            received_at=self.clock.now(),
        )

    async def post(self, receipt: Receipt) -> PostResult:
        return await self.exchange.post(self.post_request(receipt))

    async def sell(self, seller_id: SellerId, **options: Any) -> PostResult:
        """Ping and post one lead; it must be sold."""
        result = await self.post(await self.ping(seller_id, **options))
        assert result.status == "sold", result
        return result

    async def price(self, seller_id: SellerId, **options: Any) -> int:
        """What the winner of a ping now would be charged, in cents."""
        receipt = await self.ping(seller_id, **options)
        assert receipt.offer is not None, receipt
        return receipt.offer.ranks[0].charged_cents


def settings_for_tests(policy: Policy | None = None) -> Settings:
    settings = read_settings(CONFIG / "exchange.toml", environ={})
    delivery = replace(settings.delivery, allow_private_addresses=True, backoff_ms=1)
    return replace(settings, delivery=delivery, market=policy or settings.market)


@asynccontextmanager
async def fresh_database(stores: StoreUrls) -> AsyncIterator[str]:
    """An empty migrated database on the test server, dropped at the end; and an empty Valkey."""
    name = f"test_{uuid7().hex}"
    server = await asyncpg.connect(stores.postgres)
    await server.execute(f"create database {name}")
    url = stores.postgres.replace("/exchange?", f"/{name}?")
    redis = from_url(stores.redis)
    try:
        await redis.flushall()
        postgres = Postgres(url, size=1)
        await postgres.start()
        await migrate(postgres)
        await postgres.close()
        yield url
    finally:
        await redis.aclose()
        await server.execute(f"drop database {name} with (force)")
        await server.close()


@asynccontextmanager
async def open_desk(
    stores: StoreUrls, postgres_url: str, *, policy: Policy | None = None, clock: StillClock | None = None
) -> AsyncIterator[Desk]:
    """A started worker on a database."""
    clock = clock or StillClock()
    exchange = Exchange(
        settings_for_tests(policy),
        SECRETS,
        read_verticals(CONFIG / "verticals"),
        postgres_url=postgres_url,
        redis_url=stores.redis,
        clock=clock,
    )
    await exchange.start()
    try:
        yield Desk(exchange, clock)
    finally:
        await exchange.stop()
