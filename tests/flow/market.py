"""A whole exchange on real stores for a test, with a clock that stands still until it is moved."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace
from uuid_utils import uuid7

from exchange.app import Exchange
from exchange.core.dynamic import DynamicPolicy
from exchange.core.model import (
    Bid,
    Campaign,
    CampaignId,
    Cap,
    Cascade,
    CompanyId,
    Condition,
    DeliveryTarget,
    LeadId,
    Ping,
    PingId,
    Policy,
    SellerId,
)
from exchange.core.quality.requires import Requires
from exchange.core.standing import Standing
from exchange.embedded import StoreUrls
from exchange.flow.ports import Contact, PostRequest, PostResult, Receipt, Rejected
from exchange.settings import ContactKey, QualitySettings, Secrets, Settings, read_settings
from exchange.stores.postgres import Record
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
INBOX = DeliveryTarget(kind="inbox")
PATIENCE_S = 5.0
"""Longest a test waits for what must come; what is awaited takes milliseconds."""


class StillClock:
    """A clock that only moves when told."""

    def __init__(self, now: datetime = NOON) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    def forward(self, **delta: float) -> None:
        self.time += timedelta(**delta)


def key_of(name: str) -> str:
    """A keyed hash as contacts have it, of whoever is called so."""
    return hashlib.sha256(name.encode()).hexdigest()


def http(url: str, *, timeout_ms: int = 2_000, attempts: int = 1) -> DeliveryTarget:
    """A company's system."""
    return DeliveryTarget(kind="http", url=url, timeout_ms=timeout_ms, attempts=attempts)


class Desk:
    """An exchange with short words for what tests do all the time."""

    def __init__(self, exchange: Exchange, clock: StillClock) -> None:
        self.exchange = exchange
        self.clock = clock

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
        delivery: tuple[DeliveryTarget, ...] = (INBOX,),
        filter: Condition | None = None,
        active: bool = True,
        requires: Requires | None = None,
        campaign_id: CampaignId | None = None,
    ) -> CampaignId:
        """Create a campaign, or save that of ``campaign_id`` again."""
        campaign = Campaign(
            campaign_id=campaign_id or CampaignId(str(uuid7())),
            company_id=company_id,
            name="test",
            vertical="solar",
            active=active,
            filter=filter,
            bid=Bid(exclusive_cents=cents, shared_cents=shared or {}),
            caps=caps,
            requires=requires,
            delivery=delivery,
        )
        saved = await self.exchange.registry.save_campaign(
            campaign, create=campaign_id is None, now=self.clock.now()
        )
        assert saved is not None
        return campaign.campaign_id

    async def ping(self, seller_id: SellerId, **options: Any) -> Receipt:
        """Ping a lead; ``options`` are those of `lead`."""
        return await self.exchange.ping(self.lead(seller_id, **options))

    def lead(
        self,
        seller_id: SellerId,
        *,
        max_buyers: int = 1,
        min_price: int = 0,
        cascade: Cascade = "promised",
        test: bool = False,
        contact_keys: tuple[str, ...] = (),
        contact_hashes: dict[str, str] | None = None,
        source: dict[str, str] | None = None,
        consent: dict[str, str] | None = None,
        **attributes: Any,
    ) -> Ping:
        vertical = self.exchange.market.verticals["solar"]
        return Ping(
            ping_id=PingId(str(uuid7())),
            seller_id=seller_id,
            vertical="solar",
            attributes=msgspec.convert(ATTRIBUTES | attributes, vertical.attributes_type),
            contact_keys=contact_keys,
            contact_hashes=contact_hashes or {},
            captured_at=self.clock.now(),
            received_at=self.clock.now(),
            max_buyers=max_buyers,
            min_price_cents=min_price,
            cascade=cascade,
            source=source or {},
            consent=consent or {},
            test=test,
        )

    def post_request(
        self,
        receipt: Receipt,
        *,
        key: str | None = None,
        name: str = "Ada",
        contact: Contact | None = None,
        attributes: dict[str, object] | None = None,
        contact_hashes: dict[str, str] | None = None,
        contact_keys: tuple[str, ...] | None = None,
    ) -> PostRequest:
        """A post of a ping; ``name`` makes another body of it."""
        contact = contact or Contact(first_name=name, last_name="Lovelace", phone="+14155550123")
        body = f"{receipt.ping_id}{name}".encode()
        return PostRequest(
            ping_id=receipt.ping_id,
            seller_id=receipt.seller_id,
            idempotency_key=key or receipt.ping_id,
            body_hash=hashlib.sha256(body).digest(),
            contact=contact,
            contact_hashes=contact_hashes or {},
            contact_keys=(key_of(receipt.ping_id),) if contact_keys is None else contact_keys,
            attributes=attributes or {},
            received_at=self.clock.now(),
        )

    async def post(self, receipt: Receipt) -> PostResult:
        return await self.exchange.post(self.post_request(receipt))

    async def sell(self, seller_id: SellerId, **options: Any) -> PostResult:
        """Ping and post one lead; it must be sold."""
        receipt = await self.ping(seller_id, **options)
        assert receipt.status == "offer", receipt
        result = await self.post(receipt)
        assert result.status == "sold", result
        return result

    async def price(self, seller_id: SellerId, **options: Any) -> int:
        """What the winner of a ping now would be charged, in cents."""
        receipt = await self.ping(seller_id, **options)
        assert receipt.offer is not None, receipt
        return receipt.offer.ranks[0].charged_cents

    async def reject(
        self, company_id: CompanyId, lead_id: LeadId, reason: str = "invalid_contact"
    ) -> tuple[Rejected, Standing]:
        return await self.exchange.reject(
            company_id, lead_id, reason_code=reason, text=None, note=None
        )

    async def standing(self, company_id: CompanyId) -> Standing:
        """A company's standing from the books."""
        standing = await self.exchange.standing(company_id)
        assert standing is not None
        return standing

    async def rows(self, statement: str, *arguments: object) -> Sequence[Record]:
        """Look into the books."""
        async with self.exchange.postgres.connection() as connection:
            found: Sequence[Record] = await connection.fetch(statement, *arguments)
            return found

    async def value(self, statement: str, *arguments: object) -> Any:
        """Look up one value in the books, or change them behind everybody's back."""
        async with self.exchange.postgres.connection() as connection:
            return await connection.fetchval(statement, *arguments)

    async def awaited(self, statement: str, *arguments: object) -> Any:
        """Look until a value is there that is neither null nor false."""
        async with asyncio.timeout(PATIENCE_S):
            while not (found := await self.value(statement, *arguments)):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        return found

    async def assert_clean(self) -> None:
        """The stores agree to the cent, the ledger is zero, and reports tell what is in it."""
        await self.exchange.summaries.catch_up()
        checked = await self.exchange.check()
        assert checked.findings == ()
        assert checked.ledger_cents == 0


class Buyer:
    """A company with one campaign, saved anew before each lead so that it costs what is wanted.

    ``zip`` keeps the leads of its history from the other companies of the market.
    """

    def __init__(self, desk: Desk, seller_id: SellerId, company_id: CompanyId, zip: str) -> None:
        self.desk = desk
        self.seller_id = seller_id
        self.company_id = company_id
        self.campaign_id: CampaignId | None = None
        self._zip = zip

    async def bid(self, cents: int, *delivery: DeliveryTarget, anywhere: bool = False) -> None:
        """Save the campaign at a base price."""
        filter = Condition(field="zip", op="=", value=self._zip)
        self.campaign_id = await self.desk.campaign(
            self.company_id,
            cents,
            delivery=delivery or (INBOX,),
            filter=None if anywhere else filter,
            campaign_id=self.campaign_id,
        )

    async def buy(self, cents: int) -> LeadId:
        """Buy a lead at a base price; charged what comes of it."""
        await self.bid(cents)
        return (await self.desk.sell(self.seller_id, zip=self._zip)).lead_id

    async def buy_and_return(self, cents: int) -> None:
        """Buy a lead at a base price and reject it."""
        await self.desk.reject(self.company_id, await self.buy(cents))

    async def fail(self, cents: int, url: str) -> None:
        """Be assigned a lead at a base price that the company's system, at ``url``, fails."""
        await self.bid(cents, http(url))
        result = await self.desk.post(await self.desk.ping(self.seller_id, zip=self._zip))
        assert result.status == "unsold", result

    async def standing(self) -> Standing:
        return await self.desk.standing(self.company_id)


async def buyer(desk: Desk, seller_id: SellerId, zip: str = "10001") -> Buyer:
    """A new company with nothing assigned."""
    return Buyer(desk, seller_id, await desk.company(f"Company of {zip}"), zip)


async def until(is_so: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    """Wait for what must come."""
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110 - what is waited for is a fact, not an event
            await asyncio.sleep(0.005)


def settings_for_tests(policy: Policy | None = None) -> Settings:
    settings = read_settings(CONFIG / "exchange.toml", environ={})
    delivery = replace(settings.delivery, allow_private_addresses=True, backoff_ms=1)
    return replace(
        settings,
        delivery=delivery,
        market=policy or settings.market,
        alerts=replace(settings.alerts, every_s=0),
        connection_tests=replace(settings.connection_tests, every_min=0),
    )


@asynccontextmanager
async def open_desk(
    stores: StoreUrls,
    postgres_url: str,
    *,
    policy: Policy | None = None,
    clock: StillClock | None = None,
    secrets: Secrets = SECRETS,
    quality: QualitySettings | None = None,
    dynamic: DynamicPolicy | None = None,
    settings: Settings | None = None,
) -> AsyncIterator[Desk]:
    """A started worker on a database."""
    clock = clock or StillClock()
    settings = settings or settings_for_tests(policy)
    exchange = Exchange(
        replace(
            settings,
            quality=quality or settings.quality,
            dynamic=dynamic or settings.dynamic,
        ),
        secrets,
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
