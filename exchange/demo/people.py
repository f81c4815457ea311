"""The seller and the companies of the demo's month: they ping, post and return leads through the
exchange's own flows, in process.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from uuid_utils import uuid7

from exchange.app import Exchange
from exchange.core.model import CampaignId, CompanyId, Ping, PingId, SellerId
from exchange.core.standing import Standing
from exchange.demo.consumers import Consumer
from exchange.demo.faults import DemoFailed
from exchange.demo.market_file import DemoCompanyFile, decode_campaign, with_crm_urls
from exchange.demo.stage import SECRETS
from exchange.flow.ports import PostRequest, PostResult, Receipt
from exchange.flow.registry import DeliveredLead
from exchange.web.campaign_codec import read_campaign
from exchange.web.contacts import key_hashes

POSTS_AT_ONCE: Final = 8
"""As many as the exchange's own connections to the database, so that none waits for long."""

_MOST_LEADS: Final = 1_000
"""Leads a company looks at once; more than it takes in a day."""

_REASONS: Final[Sequence[dict[str, str]]] = (
    {"reason_code": "invalid_contact"},
    {"text": "The number is disconnected"},
    {"reason_code": "outside_service_area"},
    {"text": "We already have this person as a customer"},
    {"reason_code": "budget_below_minimum"},
    {"reason_code": "incomplete_details"},
)
"""How companies say why they return a lead: by code or in their own words."""


class Offered(Struct, frozen=True, kw_only=True, eq=False):
    """A consumer's lead and the offer for it; ``line`` is who would get it, in order."""

    consumer: Consumer
    receipt: Receipt
    line: tuple[CompanyId, ...]
    charged_cents: int


class DemoCompany:
    """A company: what it bought of late, and what it returns."""

    def __init__(self, exchange: Exchange, company_id: CompanyId, file: DemoCompanyFile) -> None:
        self._exchange = exchange
        self.company_id = company_id
        self.name = file.name
        self.crm = file.crm
        self._bought: list[DeliveredLead] = []
        self._seen = ""
        self._returned = 0

    @property
    def standing(self) -> Standing:
        """Its standing as the market has it now."""
        return self._exchange.market.standings[self.company_id]

    async def returnable(self) -> list[DeliveredLead]:
        """Look at the leads it took; gives those it may still return."""
        new = await self._exchange.inbox.leads(self.company_id, self._seen, _MOST_LEADS)
        self._seen = new[-1].lead_id if new else self._seen
        now = self._exchange.clock.now()
        known = [*self._bought, *new]
        self._bought = [b for b in known if b.rejectable_until and now < b.rejectable_until]
        return self._bought

    async def give_back(self, leads: Sequence[DeliveredLead]) -> None:
        """Return leads, each for the next of the reasons."""
        for lead in tuple(leads):
            said = _REASONS[self._returned % len(_REASONS)]
            await self._exchange.reject(
                self.company_id,
                lead.lead_id,
                reason_code=said.get("reason_code"),
                text=said.get("text"),
                note=None,
            )
            self._returned += 1
            self._bought.remove(lead)


async def enrol(
    exchange: Exchange, files: Sequence[DemoCompanyFile], crm_urls: dict[str, str]
) -> list[DemoCompany]:
    """Register companies with their campaigns."""
    companies = []
    now = exchange.clock.now()
    for file in files:
        account, _ = await exchange.registry.create_account(
            "company", file.name, prepaid=False, now=now
        )
        company = DemoCompany(exchange, CompanyId(account.id), file)
        for body in file.campaigns:
            campaign = read_campaign(
                decode_campaign(with_crm_urls(body, crm_urls)),
                CampaignId(str(uuid7())),
                company.company_id,
                exchange.settings.ping.max_buyers,
            )
            await exchange.registry.save_campaign(campaign, create=True, now=now)
        companies.append(company)
    return companies


class DemoSeller:
    """The seller: pings and posts, and keeps count."""

    def __init__(self, exchange: Exchange, seller_id: SellerId) -> None:
        self._exchange = exchange
        self._seller_id = seller_id
        self._gate = asyncio.Semaphore(POSTS_AT_ONCE)
        self.pings: list[PingId] = []
        self.sold = self.unsold = 0

    async def ping(self, attributes: dict[str, Any], consumer: Consumer | None = None) -> Receipt:
        """Ping a lead; gives the receipt, whatever came of it."""
        now = self._exchange.clock.now()
        kind = self._exchange.market.verticals["solar"].attributes_type
        hashes = consumer.contact_hashes if consumer is not None else {}
        receipt = await self._exchange.ping(
            Ping(
                ping_id=PingId(str(uuid7())),
                seller_id=self._seller_id,
                vertical="solar",
                attributes=msgspec.convert(attributes, kind),
                contact_hashes=(keyed := key_hashes(hashes, SECRETS.hash_key)),
                contact_keys=tuple(keyed.values()),
                captured_at=now,
                received_at=now,
            )
        )
        self.pings.append(receipt.ping_id)
        return receipt

    async def offer(self, consumer: Consumer) -> Offered:
        """Ping a person's lead, which somebody must want."""
        receipt = await self.ping(consumer.attributes, consumer)
        if receipt.offer is None:
            raise DemoFailed(f"nobody wants a lead of {consumer.attributes['state']}")
        ranks = receipt.offer.ranks
        return Offered(
            consumer=consumer,
            receipt=receipt,
            line=tuple(ranked.company_id for ranked in ranks),
            charged_cents=ranks[0].charged_cents,
        )

    async def post(self, offered: Offered) -> PostResult:
        """Post an offered lead."""
        consumer, ping_id = offered.consumer, offered.receipt.ping_id
        async with self._gate:
            result = await self._exchange.post(
                PostRequest(
                    ping_id=ping_id,
                    seller_id=self._seller_id,
                    idempotency_key=ping_id,
                    body_hash=hashlib.sha256(ping_id.encode()).digest(),
                    contact=consumer.contact,
                    contact_hashes=(keyed := key_hashes(consumer.contact_hashes, SECRETS.hash_key)),
                    contact_keys=tuple(keyed.values()),
                    attributes={},
                    received_at=self._exchange.clock.now(),
                )
            )
        self.sold += result.status == "sold"
        self.unsold += result.status != "sold"
        return result

    async def post_all(self, offers: Sequence[Offered]) -> None:
        """Post several offered leads at once."""
        await asyncio.gather(*(self.post(offered) for offered in offers))
