"""Suppression lists in PostgreSQL, which is the truth of them, each change copied as it is made.

Implements `flow.suppressions.SuppressionLists`. A change is made under the list's row lock, in the
books and then in the fast store, so that both see changes in one order. A copy that misses one
shows it by its version, and `suppression_copies` makes it anew. Source: rules §3.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

from exchange.core.model import CompanyId
from exchange.flow.faults import Conflict, NotFound, Unavailable
from exchange.flow.suppressions import Keys, ListNumber, Suppressed
from exchange.stores.postgres import QUERIES, Postgres, Record
from exchange.stores.redis_suppressions import RedisSuppressions

CHANGES_AT_ONCE: Final = 2
"""Changes of a worker under way: uploads leave most of its connections to what sells."""


class PostgresSuppressions:
    """The lists, of ``most`` contacts at most; ``behind`` hears of a copy that failed.

    A failed copy is no failure of the change: what decides at a post are the books.
    """

    def __init__(
        self,
        postgres: Postgres,
        copy: RedisSuppressions,
        *,
        most: int,
        behind: Callable[[int, Unavailable], None],
    ) -> None:
        self._postgres = postgres
        self._copy = copy
        self._most = most
        self._behind = behind
        self._changing = asyncio.Semaphore(CHANGES_AT_ONCE)

    async def show(self, company_id: CompanyId) -> Suppressed:
        """A company's list."""
        row = await self._postgres.row("suppression_list_of", company_id)
        if row is None:
            await self._check_known(company_id)
            return Suppressed(company_id=company_id, contacts=0, changed_at=None)
        return Suppressed(
            company_id=company_id, contacts=row["contacts"], changed_at=row["changed_at"]
        )

    async def open(self, company_id: CompanyId, now: datetime) -> ListNumber:
        """The company's list, made where there is none."""
        number = await self._postgres.value("suppression_list_of", company_id)
        if number is not None:
            return ListNumber(number)
        await self._check_known(company_id)
        async with self._settling(company_id) as connection:
            number = await connection.fetchval(QUERIES["suppression_list_of"], company_id)
            if number is not None:
                return ListNumber(number)
            number = await connection.fetchval(
                QUERIES["add_suppression_list"], company_id, "current", now
            )
        await self._tell_copy(number, self._copy.open(number))
        await self._tell_copy(number, self._copy.name(number, company_id, instead_of=None))
        return ListNumber(number)

    async def open_new(self, company_id: CompanyId, now: datetime) -> ListNumber:
        """A list that holds for nobody until it replaces the company's."""
        await self._check_known(company_id)
        number = await self._postgres.value("add_suppression_list", company_id, "loading", now)
        await self._tell_copy(number, self._copy.open(number))
        return ListNumber(number)

    async def put(self, number: ListNumber, contacts: Sequence[Keys], now: datetime) -> int:
        """Put contacts on a list; gives how many were not on it."""
        keys = [key for contact in contacts for key in contact]
        async with self._change(number) as (connection, held):
            rows = await connection.fetch(QUERIES["put_suppressions"], number, keys)
            new = {row["key"] for row in rows}
            accepted = _count_whole(contacts, set(new))
            if held["contacts"] + accepted > self._most:
                raise Conflict(
                    f"A suppression list holds at most {self._most} contacts.",
                    code="suppression_list_full",
                    details={"most": self._most},
                )
            await self._move(connection, number, (accepted, len(new)), now)
            if new:
                await self._tell_copy(number, self._copied(number, held, new, put=True))
        return accepted

    async def take(self, number: ListNumber, contacts: Sequence[Keys], now: datetime) -> int:
        """Take contacts off a list; gives how many were on it."""
        keys = [key for contact in contacts for key in contact]
        async with self._change(number) as (connection, held):
            rows = await connection.fetch(QUERIES["take_suppressions"], number, keys)
            old = {row["key"] for row in rows}
            taken = _count_any(contacts, set(old))
            await self._move(connection, number, (-taken, -len(old)), now)
            if old:
                await self._tell_copy(number, self._copied(number, held, old, put=False))
        return taken

    async def replace(self, number: ListNumber, now: datetime) -> Suppressed:
        """Let a new list hold in place of the company's, whole and at once."""
        async with self._change(number) as (connection, held):
            company_id = CompanyId(held["company_id"])
            await connection.execute(QUERIES["lock_suppressions_of"], company_id)
            before = await connection.fetchval(QUERIES["end_suppression_list"], company_id)
            await connection.execute(QUERIES["set_suppression_list_current"], number, now)
            await self._tell_copy(number, self._copy.name(number, company_id, instead_of=before))
        return Suppressed(company_id=company_id, contacts=held["contacts"], changed_at=now)

    async def give_up(self, number: ListNumber) -> None:
        """Forget a list that will not replace any."""
        await self._postgres.run("give_up_suppression_list", number)

    async def drop(self, company_id: CompanyId, now: datetime) -> int:
        """End a company's list; gives how many contacts were on it."""
        async with self._settling(company_id) as connection:
            row = await connection.fetchrow(QUERIES["end_suppression_list"], company_id)
        if row is None:
            await self._check_known(company_id)
            return 0
        await self._tell_copy(row["number"], self._copy.unname(row["number"]))
        return int(row["contacts"])

    @asynccontextmanager
    async def _settling(self, company_id: CompanyId) -> AsyncIterator[Any]:
        """A transaction in which no other says which list is the company's."""
        async with (
            self._changing,
            self._postgres.connection() as connection,
            connection.transaction(),
        ):
            await connection.execute(QUERIES["lock_suppressions_of"], company_id)
            yield connection

    @asynccontextmanager
    async def _change(self, number: ListNumber) -> AsyncIterator[tuple[Any, Record]]:
        """A transaction under a list's lock, and the list as it is before. Raises Conflict."""
        async with (
            self._changing,
            self._postgres.connection() as connection,
            connection.transaction(),
        ):
            held: Record | None = await connection.fetchrow(
                QUERIES["lock_suppression_list"], number
            )
            if held is None or held["state"] == "gone":
                raise Conflict(
                    "The suppression list was replaced or deleted meanwhile; send it again.",
                    code="suppression_list_gone",
                )
            yield connection, held

    async def _move(
        self,
        connection: Any,
        number: ListNumber,
        by: tuple[int, int],
        now: datetime,
    ) -> None:
        """Count the contacts and keys put or taken; a list that stays as it is is only touched."""
        if by[1]:
            await connection.execute(QUERIES["move_suppression_list"], number, *by, now)
        else:
            await connection.execute(QUERIES["touch_suppression_list"], number)

    def _copied(
        self, number: ListNumber, held: Record, keys: set[bytes], *, put: bool
    ) -> Awaitable[None]:
        version = held["version"]
        return self._copy.change(number, list(keys), put=put, moves=(version, version + 1))

    async def _tell_copy(self, number: int, telling: Awaitable[None]) -> None:
        try:
            await telling
        except Unavailable as error:
            self._behind(number, error)

    async def _check_known(self, company_id: CompanyId) -> None:
        if not await self._postgres.value("company_exists", company_id):
            raise NotFound("There is no such company.")


def _count_whole(contacts: Sequence[Keys], new: set[bytes]) -> int:
    """How many contacts have none but new keys; one that comes twice is new once."""
    count = 0
    for contact in contacts:
        if new.issuperset(contact):
            new.difference_update(contact)
            count += 1
    return count


def _count_any(contacts: Sequence[Keys], old: set[bytes]) -> int:
    """How many contacts have any of the old keys; one that comes twice is counted once."""
    count = 0
    for contact in contacts:
        if not old.isdisjoint(contact):
            old.difference_update(contact)
            count += 1
    return count
