"""Months of leads made up as rows, and what reports must say of them, reckoned from the rows alone.

The reckoning is plain Python over sales, rejections, deliveries and the ledger, on purpose nothing
like the SQL it is held against.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from exchange.stores.postgres import Postgres

SELLERS = ("seller-1", "seller-2", "seller-3")
COMPANIES = tuple(f"company-{n}" for n in range(1, 8))
VERTICALS = ("solar", "roofing")
RETURNED_FOR = (501, 502, 504, 521)
FAILED_FOR = (511, 513, 514)
REFUSED_FOR = (411, 502)
UNSOLD_FOR = (410, 412, 414)

_TABLES = {
    "lead": "id, ping_id, seller_id, vertical, test, idempotency_key, body_hash, offer, contact,"
    " contact_key_id, contact_keys, owner, state, received_at, deadline_at, finished_at, answer",
    "delivery": "id, lead_id, leg, place, company_id, campaign_id, state, test, charged,"
    " seller_cents, day, era, reserved_at, done_at, reason",
    "sale": "delivery_id, lead_id, leg, company_id, campaign_id, seller_id, charged,"
    " seller_cents, margin, day, era, sold_at, window_closes_at",
    "rejection": "id, delivery_id, lead_id, company_id, kind, reason, value, day, era, rejected_at",
    "ledger_entry": "key, account, cents, at",
}


Line = tuple[str, tuple[Any, ...]]
"""A table's name, and the values of one row."""

Deed = list[Line]
"""Rows that come to be in one transaction."""


async def open_accounts(postgres: Postgres) -> None:
    """The sellers and companies of every month."""
    async with postgres.connection() as connection:
        for seller in SELLERS:
            await connection.execute("insert into seller values ($1, $1, true, now())", seller)
        for company in COMPANIES:
            await connection.execute(
                "insert into company (id, name, created_at) values ($1, $1, now())", company
            )


def make_month(seed: int, first: datetime, days: int, leads: int, zone: str) -> list[Deed]:
    """Leads over some days from ``first``; returns come up to two days later."""
    chance = random.Random(seed)
    month: list[Deed] = []
    late: list[tuple[datetime, Deed]] = []
    at = first
    for number in range(leads):
        at += timedelta(seconds=chance.randrange(2 * days * 86_400 // leads))
        while late and late[0][0] <= at:
            month.append(late.pop(0)[1])
        sold, returns = _lead(chance, f"{seed}-{number}", at, ZoneInfo(zone))
        month.append(sold)
        late = sorted(late + returns, key=lambda one: one[0])
    return month + [deed for _, deed in late]


def _lead(
    chance: random.Random, name: str, at: datetime, zone: ZoneInfo
) -> tuple[Deed, list[tuple[datetime, Deed]]]:
    """One lead and its deliveries; gives the returns that come of it, with their times."""
    test, unfinished = chance.random() < 0.05, chance.random() < 0.05
    seller = chance.choice(SELLERS)
    vertical = chance.choice(VERTICALS)
    offer: dict[str, Any] = {"attributes": {"zip": "94107"}, "source": {}}
    if chance.random() < 0.9:
        offer["attributes"]["state"] = chance.choice(("CA", "NV", "TX"))
    if chance.random() < 0.8:
        offer["source"]["sub_id"] = chance.choice(("fb-1", "fb-2", "x" * 80))
    # Some are assigned on the day after they were posted.
    assigned_at = at + timedelta(seconds=chance.choice((0, 1, 20)))
    day = assigned_at.astimezone(zone).date()
    deliveries, sales, rejections, entries = [], [], [], []
    returns: list[tuple[datetime, Deed]] = []
    sold = False
    for place, company in enumerate(chance.sample(COMPANIES, chance.choice((0, 1, 1, 2, 3)))):
        charged = chance.randrange(1, 200_00)
        pay = charged - charged * 15 // 100
        delivery = f"d-{name}-{place}"
        state = (
            "open"
            if unfinished
            else chance.choice(("accepted", "accepted", "accepted", "refused", "failed", "unclear"))
        )
        reason = {
            "refused": chance.choice(REFUSED_FOR),
            "failed": chance.choice(FAILED_FOR),
            "unclear": 511,
        }.get(state)
        deliveries.append(
            (delivery, f"l-{name}", place, place, company, "campaign", state, test, charged, pay,
             day, 0, assigned_at, assigned_at, reason)
        )  # fmt: skip
        if test:
            continue
        if state in ("failed", "unclear"):
            rejections.append(
                (delivery, delivery, f"l-{name}", company, "crm", reason, charged, day, 0,
                 assigned_at)
            )  # fmt: skip
        if state != "accepted":
            continue
        sold = True
        sales.append(
            (delivery, f"l-{name}", place, company, "campaign", seller, charged, pay,
             charged - pay, day, 0, assigned_at, assigned_at + timedelta(hours=48))
        )  # fmt: skip
        entries += _entries(f"sale:{delivery}", company, seller, charged, pay, assigned_at)
        if chance.random() < 0.25:
            later = assigned_at + timedelta(seconds=chance.randrange(48 * 3_600))
            rejection = (
                f"r-{delivery}", delivery, f"l-{name}", company, "manual",
                chance.choice(RETURNED_FOR), charged, day, 0, later,
            )  # fmt: skip
            back = _entries(f"rejection:r-{delivery}", company, seller, -charged, -pay, later)
            rows: Deed = [("rejection", rejection)]
            returns.append((later, rows + [("ledger_entry", entry) for entry in back]))
    answer: dict[str, Any] = {"status": "sold"}
    if not sold:
        answer = {"status": "unsold", "reason": chance.choice(UNSOLD_FOR)}
    lead: tuple[Any, ...] = (
        f"l-{name}", f"p-{name}", seller, vertical, test, f"k-{name}", b"",
        msgspec.json.encode(offer), b"", 1, [], "worker", "sold" if sold else "unsold", at, at,
        None if unfinished else assigned_at, None if unfinished else msgspec.json.encode(answer),
    )  # fmt: skip
    made = ("lead", [lead]), ("delivery", deliveries), ("sale", sales), ("rejection", rejections)
    deed: Deed = [(table, row) for table, rows in made for row in rows]
    return deed + [("ledger_entry", entry) for entry in entries], returns


def _entries(
    key: str, company: str, seller: str, charged: int, pay: int, at: datetime
) -> list[tuple[Any, ...]]:
    return [
        (key, f"company:{company}", -charged, at),
        (key, f"seller:{seller}", pay, at),
        (key, "operator", charged - pay, at),
    ]


async def insert(postgres: Postgres, *deeds: Deed) -> None:
    """Write what was done, all in one transaction."""
    async with postgres.connection() as connection, connection.transaction():
        for table, columns in _TABLES.items():
            rows = [values for deed in deeds for name, values in deed if name == table]
            if rows:
                holes = ", ".join(f"${n}" for n in range(1, len(rows[0]) + 1))
                await connection.executemany(
                    f"insert into {table} ({columns}) values ({holes})", rows
                )


class Books(Struct):
    """Every fact there is, as it stands in the tables."""

    leads: dict[str, dict[str, Any]]
    deliveries: list[dict[str, Any]]
    sales: dict[str, dict[str, Any]]
    rejections: list[dict[str, Any]]
    entries: dict[tuple[str, str], int]


async def read_books(postgres: Postgres) -> Books:
    """Read them all."""
    async with postgres.connection() as connection:

        async def table(name: str) -> list[dict[str, Any]]:
            return [dict(row) for row in await connection.fetch(f"select * from {name}")]

        entries = {(e["key"], e["account"]): e["cents"] for e in await table("ledger_entry")}
        leads = {lead["id"]: lead for lead in await table("lead")}
        for lead in leads.values():
            lead["offer"] = msgspec.json.decode(lead["offer"])
            lead["answer"] = msgspec.json.decode(lead["answer"]) if lead["answer"] else {}
        return Books(
            leads=leads,
            deliveries=await table("delivery"),
            sales={sale["delivery_id"]: sale for sale in await table("sale")},
            rejections=await table("rejection"),
            entries=entries,
        )


class Fact(Struct):
    """One thing that happened, with all it may be counted by; ``what`` is a sum of a summary."""

    day: date
    seller: str
    company: str | None
    vertical: str
    area: str
    source: str
    reason: int | None
    what: str
    count: int = 1
    charged: int = 0
    pay: int = 0


def facts_of(books: Books, zone: str) -> list[Fact]:
    """Everything reports tell of, from the books: money by the ledger's entries."""
    facts: list[Fact] = []

    def add(lead: dict[str, Any], day: date, what: str, **more: Any) -> None:
        offer = lead["offer"]
        facts.append(
            Fact(
                day=day,
                seller=lead["seller_id"],
                vertical=lead["vertical"],
                area=offer["attributes"].get("state", ""),
                source=offer["source"].get("sub_id", "")[:64],
                what=what,
                company=more.pop("company", None),
                reason=more.pop("reason", None),
                **more,
            )
        )

    for lead in books.leads.values():
        if lead["test"] or lead["finished_at"] is None:
            continue
        posted = lead["received_at"].astimezone(ZoneInfo(zone)).date()
        is_sold = lead["answer"]["status"] == "sold"
        add(lead, posted, "post", reason=lead["answer"].get("reason"))
        if is_sold:
            add(lead, posted, "sold")
    for delivery in books.deliveries:
        lead = books.leads[delivery["lead_id"]]
        if delivery["test"] or lead["finished_at"] is None:
            continue
        if delivery["state"] == "refused":
            add(
                lead, delivery["day"], "refused", company=delivery["company_id"],
                reason=delivery["reason"], charged=delivery["charged"],
            )  # fmt: skip
        elif delivery["state"] == "accepted":
            key = f"sale:{delivery['id']}"
            add(
                lead, delivery["day"], "sale", company=delivery["company_id"],
                charged=-books.entries[key, f"company:{delivery['company_id']}"],
                pay=books.entries[key, f"seller:{lead['seller_id']}"],
            )  # fmt: skip
    for rejection in books.rejections:
        lead, company = books.leads[rejection["lead_id"]], rejection["company_id"]
        if rejection["kind"] == "crm":
            add(
                lead, rejection["day"], "crm", company=company, reason=rejection["reason"],
                charged=rejection["value"],
            )  # fmt: skip
            continue
        key = f"rejection:{rejection['id']}"
        add(
            lead, rejection["day"], "manual", company=company, reason=rejection["reason"],
            charged=books.entries[key, f"company:{company}"],
            pay=-books.entries[key, f"seller:{lead['seller_id']}"],
        )  # fmt: skip
    return facts


def start_of(day: date, spell: str) -> date:
    """The first day of a day's week or month."""
    if spell == "month":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if spell == "week" else day


def added_up(facts: Iterable[Fact], key: Callable[[Fact], Any]) -> dict[Any, dict[str, int]]:
    """Counts and cents by key: what, what_cents, what_pay."""
    sums: dict[Any, dict[str, int]] = {}
    for fact in facts:
        found = sums.setdefault(key(fact), {})
        for name, amount in (
            (fact.what, fact.count),
            (f"{fact.what}_cents", fact.charged),
            (f"{fact.what}_pay", fact.pay),
        ):
            found[name] = found.get(name, 0) + amount
    return sums
