"""The PostgreSQL pool, the named queries, and what a lost connection means.

Must not know what is stored. Every statement has a deadline; a store that is away is `Unavailable`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.resources import files
from typing import Any, Final

import asyncpg

from exchange.flow.faults import Unavailable

STATEMENT_TIMEOUT_S: Final = 10.0
"""Longest any statement may take; a healthy one takes milliseconds."""

ACQUIRE_TIMEOUT_S: Final = 5.0
"""Longest wait for a free connection before the caller is told to come back."""

Record = asyncpg.Record

_AWAY: Final = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # What asyncpg raises when a connection that was lost is given back to the pool.
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
    asyncpg.DiskFullError,
    asyncpg.ConfigurationLimitExceededError,
)


def read_queries(ending: str = "queries.sql") -> dict[str, str]:
    """The statements of the files whose names end so, by their own names."""
    found: dict[str, str] = {}
    for file in files("exchange.stores").iterdir():
        if not file.name.endswith(ending):
            continue
        for part in file.read_text().split("-- name: ")[1:]:
            name, _, statement = part.partition("\n")
            if name.strip() in found:
                raise ValueError(f"{file.name} names {name.strip()} twice")
            found[name.strip()] = statement.strip()
    return found


QUERIES: Final = read_queries()


@contextmanager
def away_as_unavailable() -> Iterator[None]:
    """Turn a lost or overloaded store into `Unavailable`; anything else passes."""
    try:
        yield
    except _AWAY as error:
        raise Unavailable("The database is away; try again.") from error


async def _leave_as_it_is(_connection: Any) -> None:
    """What is done to a connection given back: nothing, as nobody here leaves anything on it.

    The usual clean-up is a round trip after every statement.
    """


class Postgres:
    """A pool of connections, and the named queries run over it."""

    def __init__(self, url: str, *, size: int = 8) -> None:
        self._url = url
        self._size = size
        self._pool: asyncpg.Pool[Record] | None = None

    async def start(self) -> None:
        """Connect. Raises Unavailable when PostgreSQL does not answer."""
        with away_as_unavailable():
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=self._size,
                command_timeout=STATEMENT_TIMEOUT_S,
                timeout=ACQUIRE_TIMEOUT_S,
                reset=_leave_as_it_is,
                server_settings={
                    "timezone": "UTC",
                    "application_name": "exchange",
                    "lock_timeout": "8000",
                    "idle_in_transaction_session_timeout": "15000",
                },
            )

    async def close(self) -> None:
        """Close the pool, within a few seconds."""
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), 3)
            except TimeoutError:
                self._pool.terminate()
            self._pool = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection for statements that belong together."""
        if self._pool is None:
            raise Unavailable("The database is not connected; try again.")
        with away_as_unavailable():
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
                yield connection

    async def row(self, name: str, *arguments: object) -> Record | None:
        """The first row of a named query, or None."""
        async with self.connection() as connection:
            found: Record | None = await connection.fetchrow(QUERIES[name], *arguments)
            return found

    async def rows(self, name: str, *arguments: object) -> Sequence[Record]:
        """Every row of a named query."""
        async with self.connection() as connection:
            found: Sequence[Record] = await connection.fetch(QUERIES[name], *arguments)
            return found

    async def value(self, name: str, *arguments: object) -> Any:
        """The first column of the first row of a named query, or None."""
        async with self.connection() as connection:
            return await connection.fetchval(QUERIES[name], *arguments)

    async def run(self, name: str, *arguments: object) -> None:
        """Run a named query for its effect."""
        async with self.connection() as connection:
            await connection.execute(QUERIES[name], *arguments)
