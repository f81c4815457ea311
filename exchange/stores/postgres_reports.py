"""Reports read from the day summaries. Implements `flow.reports.Reports`.

Few at once, each over one cursor in a read-only transaction: all its rows are of one moment.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import date, timedelta
from typing import Any, Final

from exchange.core.report_rows import SAVING_REASONS, Row, row_of
from exchange.core.reports import MAX_ROWS, ReportAsk, Spell
from exchange.core.weekly import weekly_rows
from exchange.flow.faults import Invalid, Unavailable
from exchange.stores.postgres import Postgres, Record, read_queries

AT_ONCE: Final = 2
"""Reports one worker reads at once; the other connections are for what sells."""

BATCH: Final = 500
"""Rows fetched and written at once: some tens of kilobytes."""

_QUERIES: Final = read_queries("reports.sql")

_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(days=7)


class PostgresReports:
    """Reads reports from one database."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._open = 0

    async def rows(self, ask: ReportAsk) -> AsyncGenerator[list[Row], None]:
        """The rows of a report, in batches."""
        if self._open >= AT_ONCE:
            raise Unavailable("too many reports are being read; try again", retry_after_s=2)
        self._open += 1
        try:
            async with self._postgres.connection() as connection, _reading(connection):
                await connection.execute(_QUERIES["settings"])
                if ask.spec.name == "weekly-summary":
                    yield await self._weeks(connection, ask)
                    return
                cursor = await connection.cursor(_QUERIES[ask.spec.name], *_arguments(ask))
                while found := await cursor.fetch(BATCH):
                    _bound(found[0])
                    yield [row_of(_builder(ask), dict(record), ask.reader) for record in found]
        finally:
            self._open -= 1

    async def _weeks(self, connection: Any, ask: ReportAsk) -> list[Row]:
        first, behind = ask.first - _WEEK, ask.last + _DAY
        arguments = (
            ask.party, first, ask.last, "week", ask.vertical, first, behind, ask.level,
        )  # fmt: skip
        found = await connection.fetch(_QUERIES[ask.spec.name], *arguments)
        sums = {record["period"]: {k: v or 0 for k, v in record.items()} for record in found}
        return weekly_rows(sums.get(ask.first, {}), sums.get(ask.first - _WEEK, {}), ask.reader)


def _reading(connection: Any) -> Any:
    return connection.transaction(isolation="repeatable_read", readonly=True)


def whole_spells(first: date, last: date, spell: Spell) -> tuple[date, date] | None:
    """Where the whole weeks or months of some days begin, and the day behind them."""
    if spell == "day":
        return None
    begin = _start(first, spell)
    if begin < first:
        begin = _start(begin + (_WEEK if spell == "week" else timedelta(days=31)), spell)
    behind = _start(last + _DAY, spell)
    return (begin, behind) if begin < behind else None


def _start(day: date, spell: Spell) -> date:
    """The first day of a day's week or month."""
    return day.replace(day=1) if spell == "month" else day - timedelta(days=day.weekday())


def _bound(first: Record) -> None:
    if first["rows"] > MAX_ROWS:
        raise Invalid(
            f"This report would have {first['rows']:,} rows; {MAX_ROWS:,} are the most. Ask for "
            "fewer days or a longer period.",
            field="from",
            code="too_many_rows",
        )


def _builder(ask: ReportAsk) -> str:
    """The name of what makes the rows."""
    return f"{ask.spec.name} by reason" if ask.by == "reason" else ask.spec.name


def _arguments(ask: ReportAsk) -> tuple[object, ...]:
    days = (ask.party, ask.first, ask.last, ask.spell, ask.vertical)
    with_pings = (*days, *(whole_spells(ask.first, ask.last, ask.spell) or (None, None)))
    match ask.spec.name:
        case "market-comparison":
            return days
        case "contracts":
            return (*days, ask.level)
        case "monthly-impact":
            return (*with_pings, ask.level)
        case "savings":
            return (*with_pings, [str(int(reason)) for reason in SAVING_REASONS])
        case "refusals-and-returns":
            level = "seller" if ask.by == "source" else ask.level
            return (*with_pings, level, ask.by, ask.level != "company")
    return with_pings
