"""A market of any size, written straight into a database: 10,000 campaigns in seconds.

What is written is what the exchange itself would have: windows come from leads that were sold,
returned and failed, with their ledger, so that `exchange check` finds nothing. Deterministic by
seed, but for the dates, which lie in the thirty days before now.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Raw, Struct

from benchmarks.markets import CAMPAIGNS_PER_COMPANY, RETURNER_ZIP, campaign_bodies
from exchange.core.hours import period_bounds
from exchange.core.model import Campaign, CampaignId, CompanyId, Offer, PingId, SellerId
from exchange.core.reasons import Reason
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_migrations import migrate
from exchange.stores.postgres_registry import hash_key
from exchange.stores.postgres_summaries import PostgresSummaries
from exchange.web.campaign_codec import read_campaign
from exchange.web.wire_campaigns import CampaignBody

SELLER_KEY: Final = "sk_bench_0123456789abcdef0123456789abcdef0123456"
COMPANY_KEY: Final = "ck_bench_0123456789abcdef0123456789abcdef0123456"
"""The key of the company that returns leads."""

MAX_BUYERS: Final = 5
MARGIN: Final = 15
"""Percent; as the default policy has it."""

Row = tuple[object, ...]

_COLUMNS: Final = {
    "seller": "id name created_at",
    "company": "id name prepaid balance era_assigned created_at",
    "api_key": "hash role subject_id created_at",
    "campaign": "id company_id version body created_at updated_at",
    "lead": "id ping_id seller_id vertical test idempotency_key body_hash offer contact "
    "contact_key_id contact_keys owner state received_at deadline_at finished_at answer",
    "leg": "lead_id leg state promised seller_cents",
    "delivery": "id lead_id leg place company_id campaign_id state test charged seller_cents day "
    "era reserved_at done_at reason kind attempts",
    "sale": "delivery_id lead_id leg company_id campaign_id seller_id charged seller_cents margin "
    "day era sold_at window_closes_at state",
    "rejection": "id delivery_id lead_id company_id kind reason value day era rejected_at",
    "ledger_entry": "key account cents at",
    "bucket": "company_id day era assigned manual crm",
    "usage": "campaign_id period starts_at ends_at company_id",
}
"""Tables in the order they are written, and the columns given."""


class Fact(Struct, frozen=True):
    """A lead of the past: kept, returned or failed."""

    kind: str
    cents: int
    days_ago: int


async def make_market(server_url: str, name: str, campaigns: int, *, returner: bool) -> str:
    """Create a database with a market in it; gives its URL.

    ``returner`` adds a company that buys alone at `RETURNER_ZIP`.
    """
    url = database_url(server_url, name)
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(f'create database "{name}"')
    finally:
        await connection.close()
    postgres = Postgres(url, size=1)
    await postgres.start()
    try:
        await migrate(postgres)
        rows = _Market(campaigns, returner, datetime.now(UTC)).rows
        async with postgres.connection() as connection, connection.transaction():
            for table, columns in _COLUMNS.items():
                await connection.copy_records_to_table(
                    table, records=rows[table], columns=columns.split()
                )
            await connection.execute(
                "select setval('campaign_version', $1)", max(len(rows["campaign"]), 1)
            )
            await connection.execute("set local statement_timeout = 0")
        # Or its worker would count the leads of a month while others are measured.
        await PostgresSummaries(postgres, "UTC").catch_up()
        async with postgres.connection() as connection:
            await connection.execute("analyze")
    finally:
        await postgres.close()
    return url


def database_url(server_url: str, name: str) -> str:
    """The URL of another database of the same server."""
    before, slash, after = server_url.partition("?")
    return f"{before.rpartition('/')[0]}/{name}{'?' if slash else ''}{after}"


class _Market:
    """Draws a market and gathers its rows by table."""

    def __init__(self, campaigns: int, returner: bool, now: datetime) -> None:
        self.rows: dict[str, list[Row]] = {table: [] for table in _COLUMNS}
        self._draw = random.Random(campaigns)
        self._now = now
        self._then = now - timedelta(days=60)
        self._seller_id = self._id()
        self.rows["seller"].append((self._seller_id, "Bench seller", self._then))
        self._add_key(SELLER_KEY, "seller", self._seller_id)
        company_id = ""
        for number, body in enumerate(campaign_bodies(campaigns)):
            if number % CAMPAIGNS_PER_COMPANY == 0:
                company_id = self._id()
                self._add_company(company_id, f"Company {number}", self._draw_facts())
            self._add_campaign(company_id, body)
        if returner:
            self._add_returner()

    def _id(self) -> str:
        return str(UUID(int=self._draw.getrandbits(128), version=4))

    def _add_key(self, key: str, role: str, subject_id: str) -> None:
        self.rows["api_key"].append((hash_key(key), role, subject_id, self._then))

    def _add_returner(self) -> None:
        company_id = self._id()
        self._add_company(company_id, "Returner", [])
        self._add_key(COMPANY_KEY, "company", company_id)
        body = {
            "name": "all of one ZIP",
            "vertical": "solar",
            "filter": {"all": [{"field": "zip", "op": "=", "value": RETURNER_ZIP}]},
            "bid": {"exclusive": 950.00},
        }
        self._add_campaign(company_id, body)

    def _add_campaign(self, company_id: str, body: dict[str, Any]) -> None:
        whole = {**body, "company_id": company_id, "delivery": [{"kind": "inbox"}]}
        campaign = read_campaign(
            msgspec.json.decode(json.dumps(whole), type=CampaignBody),
            CampaignId(self._id()),
            CompanyId(company_id),
            MAX_BUYERS,
        )
        version = len(self.rows["campaign"]) + 1
        text = msgspec.json.encode(campaign).decode()
        self.rows["campaign"].append(
            (campaign.campaign_id, company_id, version, text, self._then, self._then)
        )
        self._add_usage(campaign)

    def _add_usage(self, campaign: Campaign) -> None:
        for period in dict.fromkeys(cap.period for cap in campaign.caps):
            start, end = period_bounds(period, campaign.schedule.timezone, self._now)
            self.rows["usage"].append(
                (campaign.campaign_id, period, start, end, campaign.company_id)
            )

    def _draw_facts(self) -> list[Fact]:
        """A month of a company: most return a few percent, some many, few are excluded."""
        draw = self._draw
        total = int(10 ** draw.uniform(5.3, 7.3))
        manual = draw.triangular(0, 0.18, 0.03)
        crm = draw.uniform(0.10, 0.15) if draw.random() < 0.03 else draw.uniform(0, 0.06)
        facts = []
        for kind, share, parts in (
            ("kept", 1 - manual - crm, 4),
            ("returned", manual, 2),
            ("failed", crm, 1),
        ):
            for _ in range(parts):
                cents = int(total * share / parts)
                if cents:
                    facts.append(Fact(kind, cents, draw.randint(3, 28)))
        return facts

    def _add_company(self, company_id: str, name: str, facts: list[Fact]) -> None:
        assigned = sum(fact.cents for fact in facts)
        kept = sum(fact.cents for fact in facts if fact.kind == "kept")
        prepaid = self._draw.random() < 0.2
        deposit = kept + 100_000_000_00 if prepaid else 0
        if deposit:
            entry = f"deposit:{company_id}:first"
            self._book(entry, {f"company:{company_id}": deposit, "cash": -deposit}, self._then)
        self.rows["company"].append(
            (company_id, name, prepaid, deposit - kept, assigned, self._then)
        )
        days: dict[object, list[int]] = {}
        for fact in facts:
            at = self._now - timedelta(days=fact.days_ago)
            self._add_fact(company_id, fact, at)
            bucket = days.setdefault(at.date(), [0, 0, 0])
            bucket[0] += fact.cents
            bucket[1] += fact.cents if fact.kind == "returned" else 0
            bucket[2] += fact.cents if fact.kind == "failed" else 0
        self.rows["bucket"].extend((company_id, day, 0, *sums) for day, sums in days.items())

    def _book(self, key: str, entries: dict[str, int], at: datetime) -> None:
        self.rows["ledger_entry"].extend(
            (key, account, cents, at) for account, cents in entries.items()
        )

    def _add_fact(self, company_id: str, fact: Fact, at: datetime) -> None:
        lead_id, delivery_id = self._id(), self._id()
        seller_cents = fact.cents * (100 - MARGIN) // 100
        margin = fact.cents - seller_cents
        # A campaign that is gone: no cap of those there now counts these leads.
        campaign_id = f"gone-{company_id}"[:40]
        leg = {"kept": "final", "returned": "rejected", "failed": "unsold"}[fact.kind]
        sold = fact.kind != "failed"
        self._add_lead(lead_id, leg, at)
        self.rows["leg"].append((lead_id, 0, leg, seller_cents, seller_cents if sold else None))
        reason = None if sold else Reason.CRM_TIMEOUT.value
        self.rows["delivery"].append(
            (delivery_id, lead_id, 0, 0, company_id, campaign_id, "accepted" if sold else "failed",
             False, fact.cents, seller_cents, at.date(), 0, at, at, reason, "inbox", 1)
        )  # fmt: skip
        company, seller = f"company:{company_id}", f"seller:{self._seller_id}"
        if sold:
            self.rows["sale"].append(
                (delivery_id, lead_id, 0, company_id, campaign_id, self._seller_id, fact.cents,
                 seller_cents, margin, at.date(), 0, at, at + timedelta(days=2), leg)
            )  # fmt: skip
            cents = {company: -fact.cents, seller: seller_cents, "operator": margin}
            self._book(f"sale:{delivery_id}", cents, at)
        if fact.kind == "returned":
            cents = {company: fact.cents, seller: -seller_cents, "operator": -margin}
            self._book(f"rejection:{delivery_id}", cents, at)
        if fact.kind != "kept":
            kind = "manual" if sold else "crm"
            given = reason if reason is not None else Reason.INVALID_CONTACT.value
            self.rows["rejection"].append(
                (delivery_id, delivery_id, lead_id, company_id, kind, given, fact.cents, at.date(),
                 0, at)
            )  # fmt: skip

    def _add_lead(self, lead_id: str, state: str, at: datetime) -> None:
        offer = Offer(
            ping_id=PingId(lead_id),
            seller_id=SellerId(self._seller_id),
            vertical="solar",
            attributes=Raw(b"{}"),
            contact_hashes={},
            source={},
            share=1,
            legs_cents=(),
            ranks=(),
            min_price_cents=0,
            cascade="promised",
            take_rate_bp=1_500,
            test=False,
            captured_at=at,
            decided_at=at,
            expires_at=at,
        )
        self.rows["lead"].append(
            (lead_id, lead_id, self._seller_id, "solar", False, lead_id, b"", _encode(offer), b"",
             1, [], "seed", state, at, at, at, b"{}")
        )  # fmt: skip


_encode: Final = msgspec.json.Encoder().encode
