"""Reports equal a plain recomputation from the ledger on generated months (rules §4, §12)."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from exchange.core.reasons import Reason
from exchange.core.report_rows import Row
from exchange.core.reports import REPORTS, Level, Reader, ReportAsk, Spell
from exchange.embedded import StoreUrls
from exchange.flow.faults import Invalid, Unavailable
from exchange.stores import postgres_reports
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_reports import PostgresReports
from exchange.stores.postgres_summaries import PostgresSummaries
from tests.databases import fresh_database
from tests.stores.months import (
    COMPANIES,
    SELLERS,
    Deed,
    Fact,
    added_up,
    facts_of,
    insert,
    make_month,
    open_accounts,
    read_books,
    start_of,
)

FIRST = datetime(2026, 9, 20, 12, tzinfo=UTC)
DAYS = 45
SPAN = (date(2026, 9, 1), date(2026, 11, 30))
ZONES = ("UTC", "America/Los_Angeles", "Pacific/Auckland")
LEAD: tuple[Any, ...] = (
    "l",
    "p",
    SELLERS[0],
    "solar",
    False,
    "k",
    b"",
    b"{}",
    b"",
    1,
    [],
    "worker",
    "sold",
)
"""A lead's row up to its times."""


class Kept:
    """A month that was summarised bit by bit, its facts, and its reports."""

    def __init__(self, postgres: Postgres, zone: str) -> None:
        self.postgres = postgres
        self.zone = zone
        self.summaries = PostgresSummaries(postgres, zone)
        self.facts: list[Fact] = []

    async def count_all(self) -> None:
        while await self.summaries.turn():
            pass

    async def read_facts(self) -> None:
        self.facts = facts_of(await read_books(self.postgres), self.zone)

    async def report(
        self,
        name: str,
        *,
        level: Level = "market",
        party: str | None = None,
        reader: Reader = "operator",
        spell: Spell = "month",
        by: str | None = None,
        vertical: str | None = None,
        span: tuple[date, date] = SPAN,
    ) -> list[Row]:
        return await read(self.postgres, name, level=level, party=party, reader=reader,
                          spell=spell, by=by, vertical=vertical, span=span)  # fmt: skip

    async def assert_agreed(self) -> None:
        first, last = await self.summaries.days() or SPAN
        assert await self.summaries.check(last, (last - first).days + 1) == []


async def read(
    postgres: Postgres, name: str, *, span: tuple[date, date] = SPAN, **asked: Any
) -> list[Row]:
    """All rows of a report."""
    ask = ReportAsk(
        spec=REPORTS[name],
        reader=asked.get("reader", "operator"),
        level=asked.get("level", "market"),
        party=asked.get("party"),
        first=span[0],
        last=span[1],
        spell=asked.get("spell", "month"),
        by=asked.get("by"),
        vertical=asked.get("vertical"),
    )
    return [row async for rows in PostgresReports(postgres).rows(ask) for row in rows]


@pytest.fixture(scope="module", params=range(len(ZONES)), ids=ZONES)
async def kept(stores: StoreUrls, request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    """A month and a half in a market of one of three timezones, counted as it went."""
    seed, zone = request.param, ZONES[request.param]
    async with fresh_database(stores) as url:
        postgres = Postgres(url, size=4)
        await postgres.start()
        kept = Kept(postgres, zone)
        await open_accounts(postgres)
        month = make_month(seed, FIRST, DAYS, 250, zone)
        chance = random.Random(seed)
        while month:
            some = chance.randrange(1, 40)
            await insert(postgres, *month[:some])
            del month[:some]
            await kept.summaries.turn()
        await kept.count_all()
        await kept.read_facts()
        yield kept
        await postgres.close()


async def test_summaries_are_what_the_facts_come_to(kept: Kept) -> None:
    await kept.assert_agreed()


def part(rows: list[Row], *names: str) -> dict[Any, dict[str, Any]]:
    """Rows by the columns named first, without those that are zero throughout."""
    return {
        tuple(row[name] for name in names): row
        for row in rows
        if any(isinstance(cell, int) and cell for cell in row.values())
    }


def percent(part: int, whole: int) -> int | None:
    """Hundredths of a percent, half to even, by exact decimals."""
    return None if whole <= 0 else round_half_even(part * 10_000, whole)


def round_half_even(a: int, b: int) -> int:
    return round(Fraction(a, b))


@pytest.mark.parametrize("spell", ["day", "week", "month"])
async def test_the_monthly_impact_is_what_the_ledger_says(kept: Kept, spell: Spell) -> None:
    sums = added_up(kept.facts, lambda fact: start_of(fact.day, spell))
    rows = part(await kept.report("monthly-impact", spell=spell), "period")
    expected = {
        (day,): found
        for day, found in sums.items()
        if any(name in found for name in ("sale", "manual", "crm"))
    }
    assert rows.keys() == expected.keys() and len(rows) > 1
    for key, found in expected.items():
        row, charged = rows[key], found.get("sale_cents", 0)
        credited, lost = found.get("manual_cents", 0), found.get("crm_cents", 0)
        assert (row["leads"], row["revenue"]) == (found.get("sale", 0), charged)
        assert (row["returned"], row["credited"]) == (found.get("manual", 0), credited)
        assert (row["failed"], row["lost"]) == (found.get("crm", 0), lost)
        assert row["rejections_cost"] == credited + lost
        assert row["rejection_pct"] == percent(credited + lost, charged + lost)
        assert row["margin"] == charged - credited - found.get("sale_pay", 0) + found.get(
            "manual_pay", 0
        )


async def test_what_the_market_was_charged_is_what_the_ledger_moved(kept: Kept) -> None:
    books = await read_books(kept.postgres)
    rows = await kept.report("monthly-impact")
    unfinished = {
        f"sale:{d['id']}"
        for d in books.deliveries
        if books.leads[d["lead_id"]]["finished_at"] is None
    }
    operator = sum(
        cents
        for (key, account), cents in books.entries.items()
        if account == "operator" and key not in unfinished
    )
    assert sum(int(str(row["margin"])) for row in rows) == operator


async def test_a_company_reads_its_own_leads_and_no_others(kept: Kept) -> None:
    for company in COMPANIES:
        own = added_up(
            (fact for fact in kept.facts if fact.company == company),
            lambda fact: start_of(fact.day, "month"),
        )
        rows = part(
            await kept.report("monthly-impact", level="company", party=company, reader="company"),
            "period",
        )
        told = {
            key[0]: (row["leads"], row["revenue"], row["credited"]) for key, row in rows.items()
        }
        assert told == {
            day: (f.get("sale", 0), f.get("sale_cents", 0), f.get("manual_cents", 0))
            for day, f in own.items()
            if f.keys() & {"sale", "manual", "crm"}
        }


async def test_sell_through_is_what_sellers_were_paid(kept: Kept) -> None:
    sums = added_up(kept.facts, lambda fact: (start_of(fact.day, "week"), fact.seller))
    rows = part(await kept.report("sell-through", spell="week"), "period", "seller_id")
    assert {(key[0], key[1]) for key in rows} <= sums.keys()
    for key, found in sums.items():
        row: dict[str, Any] = rows.get(key, {})
        assert row.get("posts", 0) == found.get("post", 0)
        assert row.get("sold", 0) == found.get("sold", 0)
        assert row.get("legs", 0) == found.get("sale", 0)
        assert row.get("revenue", 0) == found.get("sale_pay", 0)
        assert row.get("returned", 0) == found.get("manual", 0)
        assert row.get("taken_back", 0) == found.get("manual_pay", 0)


@pytest.mark.parametrize("by", ["reason", "area", "source"])
@pytest.mark.parametrize("seller", [None, SELLERS[0]])
async def test_refusals_and_returns_are_told_by(kept: Kept, by: str, seller: str | None) -> None:
    def value(fact: Fact) -> str:
        if by == "reason":
            return Reason(fact.reason).code if fact.reason else ""
        return fact.area if by == "area" else fact.source

    facts = [
        fact
        for fact in kept.facts
        if seller in (None, fact.seller) and (by != "reason" or fact.reason is not None)
    ]
    sums = added_up(
        facts,
        lambda fact: (
            start_of(fact.day, "month"),
            fact.seller if by == "source" else "",
            value(fact),
        ),
    )
    rows = await kept.report(
        "refusals-and-returns", by=by, level="seller" if seller else "market", party=seller
    )
    # Reasons of one code (the company's duplicate, and the market's) are rows of their own.
    told: dict[Any, list[int]] = {}
    for row in rows:
        found = told.setdefault((row["period"], row["party_id"], row["value"]), [0] * 6)
        for place, name in enumerate(
            ("posts", "legs", "amount", "refused_at_post", "failed", "returned")
        ):
            cell = row[name]
            assert isinstance(cell, int)
            found[place] += cell
    assert told == {
        key: [
            found.get(name, 0)
            for name in ("post", "sale", "sale_cents", "refused", "crm", "manual")
        ]
        for key, found in sums.items()
    }


async def test_savings_at_the_post_are_the_prices_refused(kept: Kept) -> None:
    refused = [fact for fact in kept.facts if fact.what == "refused"]
    sums = added_up(refused, lambda f: (start_of(f.day, "month"), f.company, f.reason))
    rows = part(await kept.report("savings"), "period", "company_id", "reason")
    told = {
        (key[0], key[1], key[2]): (row["refused"], row["value"], row["basis"])
        for key, row in rows.items()
    }
    assert told == {
        (day, company, Reason(reason).code): (f["refused"], f["refused_cents"], "exact")
        for (day, company, reason), f in sums.items()
    }


async def test_contracts_tell_every_sale_under_one_kind(kept: Kept) -> None:
    rows = await kept.report("contracts")
    assert {row["kind"] for row in rows} == {"none"}
    sales = [fact for fact in kept.facts if fact.what == "sale"]
    assert sum(int(str(row["leads"])) for row in rows) == len(sales)
    assert sum(int(str(row["amount"])) for row in rows) == sum(fact.charged for fact in sales)


async def test_the_market_is_shown_only_beside_five_others(kept: Kept) -> None:
    rows = await kept.report("market-comparison", spell="week")
    buyers: dict[Any, set[str]] = {}
    for fact in kept.facts:
        if fact.what == "sale" and fact.company is not None:
            key = (start_of(fact.day, "week"), fact.vertical)
            buyers.setdefault(key, set()).add(fact.company)
    shown = set()
    for row in rows:
        others = buyers.get((row["period"], row["vertical"]), set()) - {row["company_id"]}
        assert (row["market"] == "shown") == (len(others) >= 5)
        assert (row["market_average_price"] is not None) == (row["market"] == "shown")
        shown.add(row["market"])
    assert shown == {"shown", "too_few"}


async def test_weekly_figures_are_those_of_the_week_and_the_one_before(kept: Kept) -> None:
    monday = date(2026, 10, 12)
    sums = added_up(kept.facts, lambda fact: start_of(fact.day, "week"))
    rows = await kept.report("weekly-summary", span=(monday, monday + timedelta(days=6)))
    told = {row["figure"]: (row["week"], row["week_before"]) for row in rows}
    now, then = sums[monday], sums[monday - timedelta(days=7)]
    assert told["legs"] == (now["sale"], then["sale"])
    assert told["posts"] == (now["post"], then["post"])
    charged = [str(cell) for cell in told["charged"]]
    assert charged == [f"{f['sale_cents'] // 100}.{f['sale_cents'] % 100:02}" for f in (now, then)]


async def test_one_vertical_alone_is_part_of_all(kept: Kept) -> None:
    rows = {
        vertical: await kept.report("monthly-impact", vertical=vertical, spell="month")
        for vertical in (None, "solar", "roofing")
    }
    sales = {v: sum(int(str(row["leads"])) for row in found) for v, found in rows.items()}
    assert sales[None] == sales["solar"] + sales["roofing"] and sales["solar"]


async def small_month(postgres: Postgres, zone: str = "UTC", leads: int = 60) -> Kept:
    """A few leads over three days, not counted yet."""
    await open_accounts(postgres)
    await insert(postgres, *make_month(11, FIRST, 3, leads, zone))
    return Kept(postgres, zone)


async def test_a_summariser_that_dies_has_counted_nothing_and_forgotten_nothing(
    postgres: Postgres,
) -> None:
    kept = await small_month(postgres)
    dying = await asyncpg.connect(postgres._url)
    await dying.execute("begin")
    assert await dying.fetchval("select summarise('UTC', 20)") == 20
    dying.terminate()
    assert await count(postgres, "day_summary") == 0
    await kept.assert_agreed()
    await kept.count_all()
    await kept.assert_agreed()
    assert await count(postgres, "summary_todo") == 0


async def count(postgres: Postgres, table: str) -> int:
    async with postgres.connection() as connection:
        return int(await connection.fetchval(f"select count(*) from {table}"))


async def test_two_summarisers_never_count_at_once(postgres: Postgres) -> None:
    kept = await small_month(postgres)
    async with postgres.connection() as other, other.transaction():
        assert await other.fetchval("select summarise('UTC', 20)") == 20
        assert await kept.summaries.turn()
        assert await count(postgres, "day_summary") == 0
    await kept.count_all()
    await kept.assert_agreed()


async def test_what_is_not_counted_yet_is_no_fault(postgres: Postgres) -> None:
    kept = await small_month(postgres)
    await kept.assert_agreed()
    async with postgres.connection() as connection:
        await connection.execute("select summarise('UTC', 37)")
    await kept.assert_agreed()


async def test_a_wrong_summary_is_found_and_made_anew(postgres: Postgres) -> None:
    kept = await small_month(postgres)
    await kept.count_all()
    async with postgres.connection() as connection:
        await connection.execute(
            "update day_summary set charged = charged + 1 where level = 'market' and axis = ''"
        )
        await connection.execute("delete from day_summary where level = 'seller'")
    first, last = await kept.summaries.days() or SPAN
    findings = await kept.summaries.check(last, 10)
    assert any("charged" in finding for finding in findings)
    made = [day async for day, _ in kept.summaries.rebuild(first, last)]
    assert made == [first + timedelta(days=n) for n in range((last - first).days + 1)]
    await kept.assert_agreed()


async def test_a_rebuild_leaves_what_is_noted_for_the_summariser(postgres: Postgres) -> None:
    kept = await small_month(postgres)
    async with postgres.connection() as connection:
        await connection.execute("select summarise('UTC', 37)")
    first, last = await kept.summaries.days() or SPAN
    async for _ in kept.summaries.rebuild(first, last):
        pass
    await kept.assert_agreed()
    await kept.count_all()
    await kept.assert_agreed()


async def test_section_4_a_late_rejection_is_told_on_the_day_its_lead_was_assigned(
    postgres: Postgres,
) -> None:
    await open_accounts(postgres)
    kept = Kept(postgres, "UTC")
    at = datetime(2026, 10, 30, 23, 30, tzinfo=UTC)
    later = at + timedelta(hours=47)
    sold: Deed = [
        ("lead", (*LEAD[:13], at, at, at, b'{"status":"sold"}')),
        ("delivery", ("d", LEAD[0], 0, 0, COMPANIES[0], "c", "accepted", False, 50_00, 42_50,
                      at.date(), 0, at, at, None)),
        ("sale", ("d", LEAD[0], 0, COMPANIES[0], "c", LEAD[2], 50_00, 42_50, 7_50, at.date(), 0,
                  at, at)),
    ]  # fmt: skip
    await insert(postgres, sold)
    await kept.count_all()
    assert [row["returned"] for row in await kept.report("monthly-impact")] == [0]
    rejection = ("r", "d", LEAD[0], COMPANIES[0], "manual", 501, 50_00, at.date(), 0, later)
    await insert(postgres, [("rejection", rejection)])
    await kept.count_all()
    rows = await kept.report("monthly-impact", spell="day")
    assert [(row["period"], row["returned"], row["credited"]) for row in rows] == [
        (date(2026, 10, 30), 1, 50_00)
    ]
    await kept.assert_agreed()


async def test_a_rejection_that_is_taken_back_counts_as_none(postgres: Postgres) -> None:
    kept = await small_month(postgres)
    await kept.count_all()
    (before,) = await kept.report("monthly-impact")
    async with postgres.connection() as connection:
        value = await connection.fetchval(
            "update rejection set status = 'reversed' where id = "
            "(select min(id) from rejection where kind = 'manual') returning value"
        )
    await kept.assert_agreed()
    await kept.count_all()
    await kept.assert_agreed()
    (after,) = await kept.report("monthly-impact")
    for name, less in (("returned", 1), ("credited", value)):
        assert int(str(after[name])) == int(str(before[name])) - less
    assert after["revenue"] == before["revenue"]


@pytest.mark.parametrize("zone", ZONES)
async def test_a_month_begins_at_the_markets_midnight(postgres: Postgres, zone: str) -> None:
    await open_accounts(postgres)
    kept = Kept(postgres, zone)
    midnight = datetime(2026, 11, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    for number, at in enumerate((midnight - timedelta(microseconds=1), midnight)):
        named = (f"l{number}", f"p{number}", *LEAD[2:5], f"k{number}", *LEAD[6:13])
        answer = b'{"status":"unsold","reason":410}'
        await insert(postgres, [("lead", (*named, at, at, at, answer))])
    await kept.count_all()
    rows = await kept.report("sell-through", spell="month")
    assert [(row["period"], row["posts"]) for row in rows] == [
        (date(2026, 10, 1), 1),
        (date(2026, 11, 1), 1),
    ]
    await kept.assert_agreed()


async def test_a_lead_that_cannot_be_read_is_counted_without_its_place(postgres: Postgres) -> None:
    await open_accounts(postgres)
    kept = Kept(postgres, "UTC")
    lead = (*LEAD[:7], b"\xff no JSON", *LEAD[8:13], FIRST, FIRST, FIRST, b'{"status":"sold"}')
    await insert(postgres, [("lead", lead)])
    await kept.count_all()
    rows = await kept.report("refusals-and-returns", by="area")
    assert [(row["value"], row["posts"]) for row in rows] == [("", 1)]
    await kept.assert_agreed()


async def test_a_report_of_too_many_rows_is_refused_before_its_first(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await small_month(postgres)
    await kept.count_all()
    monkeypatch.setattr(postgres_reports, "MAX_ROWS", 2)
    with pytest.raises(Invalid) as told:
        await kept.report("sell-through", spell="day")
    assert (told.value.code, told.value.field) == ("too_many_rows", "from")


async def test_a_worker_reads_few_reports_at_once(postgres: Postgres) -> None:
    kept = await small_month(postgres)
    await kept.count_all()
    reports = PostgresReports(postgres)
    ask = ReportAsk(
        spec=REPORTS["monthly-impact"], reader="operator", level="market", party=None,
        first=SPAN[0], last=SPAN[1], spell="day",
    )  # fmt: skip
    open_ones = [reports.rows(ask) for _ in range(postgres_reports.AT_ONCE)]
    for one in open_ones:
        await anext(one)
    with pytest.raises(Unavailable):
        await anext(reports.rows(ask))
    for one in open_ones:
        await one.aclose()
    again = reports.rows(ask)
    assert await anext(again)
    await again.aclose()
