"""The fast store's copy of suppression lists, kept true to the books: mended, rebuilt, compared.

A list is copied a page at a time, each under the list's lock, as its changes are: so nothing that
is put or taken meanwhile is missed. Posts are held to the books, whatever the copy has.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from exchange.flow.faults import Unavailable
from exchange.stores.postgres import QUERIES, Postgres, Record
from exchange.stores.redis_suppressions import RedisSuppressions

KEEP_S: Final = 2.0
"""Pause between looks at the copy: a look is one query and two commands."""

PAGE: Final = 2_500
"""Contacts copied or dropped at once: some ten milliseconds in which changes of the list wait."""

PAGES_DROPPED: Final = 20
"""Pages of past lists dropped in one look."""

UNFINISHED_S: Final = 3_600.0
"""A new list nothing was put on for so long will replace none: its upload has ended."""

LOOKS: Final = 10
"""Looks at lists that differ before they are reported: they change between two reads."""

LOOK_PAUSE_S: Final = 0.3

ALONE_S: Final = 120.0
"""Longest a rebuild waits for a copy that is being made."""

_LOCK: Final = 7_260_414
"""The advisory lock that lets one worker at a time make copies; any constant would do."""

_TRY: Final = "select pg_try_advisory_lock($1)"
_UNLOCK: Final = "select pg_advisory_unlock($1)"


class SuppressionCopies:
    """Mends the copy, makes it anew, and compares it."""

    def __init__(self, postgres: Postgres, copy: RedisSuppressions) -> None:
        self._postgres = postgres
        self._copy = copy

    async def mend(self) -> None:
        """Name the lists that hold, copy those that missed something, drop what is past."""
        async with self._alone(wait=False) as is_alone:
            if is_alone:
                await self._mend_names()
                versions = await self._copy.versions()
                for row in await self._postgres.rows("current_suppression_lists"):
                    if versions.get(row["number"]) != row["version"]:
                        await self._mend_list(row["number"])
                await self._drop_past()

    async def rebuild(self) -> int:
        """Copy every list anew; gives how many keyed hashes there are."""
        async with self._alone(wait=True):
            await self._copy.wipe()
            await self._mend_names()
            copied = 0
            for row in await self._postgres.rows("current_suppression_lists"):
                copied += await self._copy_list(row["number"])
        return copied

    async def check(self) -> list[str]:
        """What differs between the lists, what was counted of them, and their copy."""
        for look in range(LOOKS):
            if look:
                await asyncio.sleep(LOOK_PAUSE_S)
            findings = await self._differences()
            if not findings:
                break
        return findings

    @asynccontextmanager
    async def _alone(self, *, wait: bool) -> AsyncIterator[bool]:
        """The lock under which copies are made, waited for or only tried."""
        async with self._postgres.connection() as connection:
            until = asyncio.get_running_loop().time() + (ALONE_S if wait else 0)
            while not (is_alone := await connection.fetchval(_TRY, _LOCK)) and wait:
                if asyncio.get_running_loop().time() > until:
                    raise Unavailable("suppression lists are being copied; try again")
                await asyncio.sleep(LOOK_PAUSE_S)
            try:
                yield is_alone
            finally:
                if is_alone:
                    await connection.execute(_UNLOCK, _LOCK)

    async def _mend_names(self) -> None:
        """Let exactly those lists hold that hold in the books."""
        named = await self._copy.lists()
        rows = await self._postgres.rows("current_suppression_lists")
        current = {row["number"]: row["company_id"] for row in rows}
        for number in named.keys() - current.keys():
            await self._copy.unname(number)
        for number, company_id in current.items():
            if named.get(number) != company_id:
                await self._copy.name(number, company_id, instead_of=None)

    async def _mend_list(self, number: int) -> None:
        """Copy a list anew, unless a change under way was all the difference."""
        async with self._locked(number) as (_, held):
            if held is None:
                return
            versions = await self._copy.versions()
            is_true = versions.get(number) == held["version"]
        if not is_true:
            await self._copy_list(number)

    async def _copy_list(self, number: int) -> int:
        """Copy a list page by page; gives how many keyed hashes were copied."""
        await self._copy.begin(number)
        copied, after = 0, b""
        while True:
            async with self._locked(number) as (connection, held):
                if held is None:
                    return copied
                rows = await connection.fetch(QUERIES["suppressions_after"], number, after, PAGE)
                keys = [row["key"] for row in rows]
                await self._copy.change(number, keys, put=True, moves=None)
                copied += len(keys)
                if len(keys) < PAGE:
                    await self._copy.end(number, held["version"])
                    return copied
                after = keys[-1]

    @asynccontextmanager
    async def _locked(self, number: int) -> AsyncIterator[tuple[Any, Record | None]]:
        """A transaction under a list's lock, and the list, if it still holds."""
        async with self._postgres.connection() as connection, connection.transaction():
            held: Record | None = await connection.fetchrow(
                QUERIES["lock_suppression_list"], number
            )
            is_current = held is not None and held["state"] == "current"
            yield connection, held if is_current else None

    async def _drop_past(self) -> None:
        """Drop lists that hold no more, a bounded piece of them."""
        left = PAGES_DROPPED
        for row in await self._postgres.rows("past_suppression_lists", UNFINISHED_S):
            number = row["number"]
            await self._postgres.run("give_up_suppression_list", number)
            while await self._postgres.value("drop_suppressions", number, PAGE) == PAGE:
                left -= 1
                if not left:
                    return
            await self._copy.forget(number)
            await self._postgres.run("drop_suppression_list", number)

    async def _differences(self) -> list[str]:
        named = await self._copy.lists()
        rows = await self._postgres.rows("check_suppressions")
        if not named and not rows:
            return []
        counts = await self._copy.counts()
        findings = []
        for row in rows:
            number, company_id = row["number"], row["company_id"]
            if row["keys"] != row["counted"]:
                findings.append(
                    f"company {company_id}: {row['keys']} suppressed keys noted, "
                    f"{row['counted']} there"
                )
            held = counts.get(number, 0) if named.get(number) == company_id else 0
            if held != row["counted"]:
                findings.append(
                    f"company {company_id}: {held} suppressed keys in the fast store, "
                    f"{row['counted']} in the books"
                )
        for number in sorted(named.keys() - {row["number"] for row in rows}):
            findings.append(f"suppression list {number} in the fast store is not in the books")
        return findings
