"""Day summaries: kept behind the posts, made anew from the facts, and held against them.

What is counted is noted by the transaction that made it (migration 0012), so nothing is counted
twice and nothing forgotten, whatever dies when. Never on the way of a ping or a post; one worker at
a time, by the database's lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Final

from exchange.stores.postgres import QUERIES, Postgres, Record

TURN_S: Final = 2.0
"""Pause between turns where little waits: how far reports may lag behind."""

HURRY_S: Final = 0.5
"""Pause where more waits: at 1,000 leads a turn, above 100 million a year."""

BUSY_S: Final = 0.01
"""Pause of one who waits for the end, where another worker is at it."""

LEADS_AT_ONCE: Final = 1_000
"""Leads and rejections counted in one transaction: about a tenth of a second of the database."""

TALLIES_AT_ONCE: Final = 500
"""Tallies of pings folded in one transaction where many wait."""

FEW_TALLIES: Final = 64
"""So many are folded one by one: what waits for the database's core waits for no more than one."""

_FOLD_PAUSE_S: Final = 0.01

DAY_S: Final = 600.0
"""Longest a day may take to be made anew or checked: of millions of leads, minutes."""

SHOWN_DAYS: Final = 3
"""Days `exchange check` looks at: today and those before it."""

_BUSY: Final = -1
"""What the functions say where another worker holds the lock."""

_LOCK: Final = 7_260_413
"""The advisory lock of the one who changes summaries; the same number is in the migration."""


class PostgresSummaries:
    """The summaries of one database; ``zone`` is the market's timezone."""

    def __init__(self, postgres: Postgres, zone: str) -> None:
        self._postgres = postgres
        self._zone = zone

    async def turn(self) -> bool:
        """Count some of what is noted; True where more may wait, or another worker is at it."""
        leads = await self._postgres.value("summarise", self._zone, LEADS_AT_ONCE)
        tallies = await self._fold()
        return leads in (LEADS_AT_ONCE, _BUSY) or tallies in (TALLIES_AT_ONCE, _BUSY)

    async def _fold(self) -> int:
        """Fold what pings add up to; gives how many tallies in the last transaction."""
        waiting: int = await self._postgres.value("waiting_tallies", FEW_TALLIES + 1)
        if waiting > FEW_TALLIES:
            folded: int = await self._postgres.value("fold_pings", TALLIES_AT_ONCE)
            return folded
        for _ in range(waiting):
            if (folded := await self._postgres.value("fold_pings", 1)) < 1:
                return folded
            await asyncio.sleep(_FOLD_PAUSE_S)
        return 0

    async def catch_up(self) -> None:
        """Count until nothing waits: for rebuilds, checks and tests."""
        while await self.turn():  # noqa: ASYNC110 - it counts as it waits
            await asyncio.sleep(BUSY_S)

    async def days(self) -> tuple[date, date] | None:
        """The first and last day there is anything of; None in an empty market."""
        row = await self._postgres.row("summary_days", self._zone)
        if row is None or row["first"] is None or row["last"] is None:
            return None
        return row["first"], row["last"]

    async def rebuild(self, first: date, last: date) -> AsyncIterator[tuple[date, int]]:
        """Make the sales' summaries of these days anew, a transaction each; gives day and rows.

        Leads noted and not yet counted stay so. Pings are not made anew: receipts are dropped.
        """
        for day in _days(first, last):
            async with self._postgres.connection() as connection:
                # Held by the session and taken first: the transaction sees what the last one left.
                await connection.execute("select pg_advisory_lock($1)", _LOCK)
                try:
                    async with connection.transaction(isolation="repeatable_read"):
                        rows = await connection.fetchval(
                            QUERIES["rebuild_day"], day, self._zone, timeout=DAY_S
                        )
                finally:
                    await connection.execute("select pg_advisory_unlock($1)", _LOCK)
            yield day, rows

    async def check(self, last: date, days: int = SHOWN_DAYS) -> list[str]:
        """Compare summaries with the facts, for so many days up to one; a sentence a fault."""
        findings: list[str] = []
        for day in _days(last - timedelta(days=days - 1), last):
            async with self._postgres.connection() as connection:
                rows = await connection.fetch(
                    QUERIES["check_summary"], day, self._zone, timeout=DAY_S
                )
            findings.extend(_tell(day, row) for row in rows)
        return findings


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _tell(day: date, row: Record) -> str:
    whose = " ".join(filter(None, (row["level"], row["party"])))
    of = f", {row['axis']} {row['value'] or 'unknown'}" if row["axis"] else ""
    return (
        f"summary of {day}, {whose}, {row['vertical']}{of}: {row['name']} {row['kept'] or 0} "
        f"should be {row['due'] or 0}; exchange rebuild --summaries makes it anew"
    )
