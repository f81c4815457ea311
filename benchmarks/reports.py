"""`make bench-reports`: every report over a year of ten million leads, each to be under a second.

Every lead is drawn. The first days' go into the books as rows and are counted by the exchange's own
summariser; what it comes to is held against the sums of the same leads made directly, which is how
the other days' summaries are made. Summaries are at full cardinality; only the rows behind them,
which no report reads, are left out.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import date, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from exchange.core.report_rows import Row
from exchange.core.reports import REPORTS, Level, Reader, ReportAsk, Spell
from exchange.embedded import EmbeddedStores, StoreFailed
from exchange.flow.faults import Invalid
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_migrations import migrate
from exchange.stores.postgres_reports import PostgresReports
from exchange.stores.postgres_summaries import PostgresSummaries
from exchange.web.report_codec import write_csv, write_json

LAST_DAY: Final = date(2026, 11, 30)
TARGET_S: Final = 1.0
ROUNDS: Final = 3
STATEMENT_S: Final = 300.0
RAW_DAYS: Final = 2

Say = Callable[[str], None]


class Plan(Struct, frozen=True, kw_only=True):
    """How much is made: the whole, or a small share of it for the test."""

    days: int = 365
    leads: int = 10_000_000
    raw_days: int = RAW_DAYS
    rounds: int = ROUNDS


class Timed(Struct, frozen=True, kw_only=True):
    """One report as it was read: ``first_s`` the first time, ``best_s`` the best of the rounds.

    ``rows`` is None where the report was refused for too many of them.
    """

    report: str
    reader: Reader
    spell: str
    by: str | None
    rows: int | None
    kilobytes: int
    first_s: float
    best_s: float


class Found(Struct, frozen=True, kw_only=True):
    """What was measured. ``counted_per_s`` are raw leads the summariser took in a second."""

    leads: int
    raw_leads: int
    summary_rows: int
    ping_rows: int
    megabytes: int
    made_s: float
    counted_per_s: float
    timed: tuple[Timed, ...]


class CountedWrong(Exception):
    """The summariser and the direct sums of the same leads differ."""


async def measure(postgres: Postgres, plan: Plan, say: Say) -> Found:
    """Make the year in an empty migrated database, and read every report over it."""
    queries = _queries()
    began = perf_counter()
    async with postgres.connection() as connection:
        await connection.execute("set synchronous_commit = off; select setseed(0.42)")
        await connection.execute(queries["accounts"])
        counted = await _make(postgres, connection, queries, plan, say)
        say("reckoning statistics")
        await connection.execute("vacuum analyze day_summary, day_ping", timeout=STATEMENT_S)
        made_s = perf_counter() - began
        raw_leads = await connection.fetchval("select count(*) from lead")
        leads = await connection.fetchval(
            "select sum(posts)::bigint from day_summary where level = 'market' and axis = ''"
        )
        sizes = await connection.fetchrow(
            "select (select count(*) from day_summary) as summaries,"
            " (select count(*) from day_ping) as pings,"
            " (pg_total_relation_size('day_summary') + pg_total_relation_size('day_ping'))"
            " / 1048576 as megabytes"
        )
        seller = await connection.fetchval("select id from bench_seller where n = 0")
        company = await connection.fetchval("select id from bench_company where n = 0")
    timed = []
    for ask in asks(plan, seller, company):
        say(f"reading {ask.spec.name} by {ask.spell} for the {ask.reader}")
        timed.append(await _time(postgres, ask, plan.rounds))
    return Found(
        leads=leads,
        raw_leads=raw_leads,
        summary_rows=sizes["summaries"],
        ping_rows=sizes["pings"],
        megabytes=sizes["megabytes"],
        made_s=made_s,
        counted_per_s=counted,
        timed=tuple(timed),
    )


async def _make(
    postgres: Postgres, connection: Any, queries: dict[str, str], plan: Plan, say: Say
) -> float:
    """Every day's leads; gives how many raw ones the summariser counted in a second."""
    summaries = PostgresSummaries(postgres, "UTC")
    counted, counted_s = 0, 0.0
    for number in range(plan.days):
        day = LAST_DAY - timedelta(days=plan.days - 1 - number)
        # The last day takes what the division leaves.
        leads = plan.leads // plan.days + (plan.leads % plan.days if number == plan.days - 1 else 0)
        await connection.execute("truncate bench_drawn")
        await connection.execute(queries["draw"], day, leads, timeout=STATEMENT_S)
        if number < plan.raw_days:
            for rows in ("raw_leads", "raw_deliveries", "raw_sales", "raw_rejections"):
                await connection.execute(queries[rows], timeout=STATEMENT_S)
            began = perf_counter()
            while await summaries.turn():
                pass
            counted_s += perf_counter() - began
            counted += leads
            await _compare(connection, queries, day)
        else:
            await connection.execute(queries["keep"], timeout=STATEMENT_S)
        await connection.execute(queries["pings"], day, timeout=STATEMENT_S)
        if day.day == 1:
            say(f"made the days before {day}")
    await connection.execute(queries["longer"], timeout=STATEMENT_S)
    return counted / counted_s if counted_s else 0.0


async def _compare(connection: Any, queries: dict[str, str], day: date) -> None:
    """Hold what the summariser made of a day's raw rows against the sums made directly."""
    async with connection.transaction():
        await connection.execute(
            "create temp table counted on commit drop as select * from day_summary where false"
        )
        await connection.execute(
            "with gone as (delete from day_summary where day = $1 returning *)"
            " insert into counted select * from gone",
            day,
        )
        await connection.execute(queries["keep"], timeout=STATEMENT_S)
        wrong = await connection.fetchval(
            "select count(*) from ((table counted except select * from day_summary where day = $1)"
            " union all (select * from day_summary where day = $1 except table counted)) x",
            day,
        )
    if wrong:
        raise CountedWrong(f"{wrong} rows of {day} are not what its leads come to")


def asks(plan: Plan, seller: str, company: str) -> list[ReportAsk]:
    """Every report, for everyone who may read it, over the year and in every length of time."""
    year = (LAST_DAY - timedelta(days=plan.days - 1), LAST_DAY)
    monday = LAST_DAY - timedelta(days=LAST_DAY.weekday() + 7)
    week = (monday, monday + timedelta(days=6))
    readers: tuple[tuple[Reader, Level, str | None], ...] = (
        ("operator", "market", None),
        ("seller", "seller", seller),
        ("company", "company", company),
    )
    fixed: tuple[Spell, ...] = ("week",)
    return [
        ReportAsk(
            spec=spec,
            reader=reader,
            level=level,
            party=party,
            first=(year if spec.spells else week)[0],
            last=(year if spec.spells else week)[1],
            spell=spell,
            by=by,
        )
        for spec in REPORTS.values()
        for reader, level, party in readers
        if reader in spec.readers
        for by in spec.cuts_for(reader) or (None,)
        for spell in spec.spells or fixed
    ]


class _Counted:
    """A report's batches, counted as they pass."""

    def __init__(self) -> None:
        self.rows = 0

    async def pass_on(
        self, batches: AsyncGenerator[list[Row], None]
    ) -> AsyncGenerator[list[Row], None]:
        async with aclosing(batches):
            async for rows in batches:
                self.rows += len(rows)
                yield rows


async def _time(postgres: Postgres, ask: ReportAsk, rounds: int) -> Timed:
    """Read a report as it goes out, encoded; by turns as JSON and as CSV."""
    reports, times = PostgresReports(postgres), []
    rows: int | None = 0
    size = 0
    for number in range(rounds):
        write, counted = (write_csv if number % 2 else write_json), _Counted()
        began = perf_counter()
        try:
            chunks = write(ask, counted.pass_on(reports.rows(ask)))
            size = sum([len(chunk) async for chunk in chunks])
            rows = counted.rows
        except Invalid:
            rows = None
        times.append(perf_counter() - began)
    return Timed(
        report=ask.spec.name, reader=ask.reader, spell=ask.spell, by=ask.by, rows=rows,
        kilobytes=size // 1024, first_s=times[0], best_s=min(times),
    )  # fmt: skip


def _queries() -> dict[str, str]:
    text = Path(__file__).with_suffix(".sql").read_text()
    parts = (part.partition("\n") for part in text.split("-- name: ")[1:])
    return {name.strip(): statement for name, _, statement in parts}


def tell(found: Found, console: Console) -> bool:
    """Print what was found; gives whether every report met the target."""
    console.print(
        f"{found.leads:,} leads, {found.raw_leads:,} of them as rows, counted at "
        f"{found.counted_per_s:,.0f} a second and found equal to their sums; "
        f"{found.summary_rows:,} + {found.ping_rows:,} summary rows, {found.megabytes:,} MB, "
        f"made in {found.made_s:,.0f} s"
    )
    table = Table(
        "report", "for", "by", "rows", "KB", "first ms", "best ms", f"< {TARGET_S:.0f} s",
        title="every report over the year",
    )  # fmt: skip
    slow = 0
    for one in found.timed:
        holds = one.first_s < TARGET_S
        # One refused for its rows is no answer, and counts neither way.
        slow += not holds and one.rows is not None
        table.add_row(
            one.report,
            one.reader,
            one.spell + (f", {one.by}" if one.by else ""),
            "too many" if one.rows is None else f"{one.rows:,}",
            f"{one.kilobytes:,}",
            f"{one.first_s * 1_000:,.0f}",
            f"{one.best_s * 1_000:,.0f}",
            "refused" if one.rows is None else "yes" if holds else "no",
        )
    console.print(table)
    answered = [one for one in found.timed if one.rows is not None]
    slowest = max(answered, key=lambda one: one.first_s)
    console.print(
        f"slowest: {slowest.report} for the {slowest.reader} by {slowest.spell}, "
        f"{slowest.first_s * 1_000:,.0f} ms; {slow} of {len(answered)} missed the target"
    )
    return not slow


async def _run(url: str, plan: Plan, say: Say) -> Found:
    postgres = Postgres(url, size=3)
    await postgres.start()
    try:
        await migrate(postgres)
        return await measure(postgres, plan, say)
    finally:
        await postgres.close()


def main() -> int:
    """Run the bench; 0 when every report met the target."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reports", description=__doc__)
    parser.add_argument("--leads", type=int, default=10_000_000, help="leads in the year")
    plan = Plan(leads=parser.parse_args().leads)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    with tempfile.TemporaryDirectory(prefix="exchange-reports-") as folder:
        try:
            with EmbeddedStores(Path(folder) / "home") as stores:
                found = asyncio.run(
                    _run(stores.urls.postgres, plan, lambda what: console.print(f"… {what}"))
                )
        except (StoreFailed, CountedWrong) as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    return 0 if tell(found, console) else 1


if __name__ == "__main__":
    sys.exit(main())
