"""Databases for tests: each test finds a new one, or one emptied so that nothing tells it from new.

Making and dropping a database costs more than most tests that use one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
from redis.asyncio import from_url
from uuid_utils import uuid7

from exchange.embedded import StoreUrls
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_migrations import migrate

PATIENCE_S: Final = 10.0
"""Longest wait for a test's connections to end, and for one statement."""

MOST_BYTES: Final = 24 * 1024 * 1024
"""A database larger than this is not used again: what was deleted still takes its room."""

SEEDED: Final = ("migration", "alert_look")
"""The tables in which migrations leave rows."""

_spares: dict[str, list[str]] = {}
"""Emptied databases by server, for the tests that come."""

_TABLES: Final = """
select oid::regclass::text from pg_class
where relnamespace = 'public'::regnamespace and relkind = 'r' and pg_relation_size(oid) > 0
"""
_RESTART: Final = """
select setval(seqrelid, seqstart, false) from pg_sequence
"""
_END_CONNECTIONS: Final = """
select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = $1
"""


@asynccontextmanager
async def fresh_database(stores: StoreUrls) -> AsyncIterator[str]:
    """The URL of an empty migrated database on the test server; and an empty Valkey.

    Its name is never used again, so that what a test leaves running finds no later test's rows.
    """
    spares = _spares.setdefault(stores.postgres, [])
    async with _server(stores) as server:
        name = _new_name()
        url = _url_of(stores, name)
        if spares:
            await server.execute(f"alter database {spares.pop()} rename to {name}")
        else:
            await _create(server, name)
            postgres = Postgres(url, size=1)
            await postgres.start()
            await migrate(postgres)
            await postgres.close()
        try:
            yield url
            await _end_connections(server, name)
            await empty(url)
            await _end_connections(server, name)
            size = await server.fetchval("select pg_database_size($1)", name)
        except BaseException:
            await _drop(server, name)
            raise
        if size > MOST_BYTES:
            await _drop(server, name)
        else:
            spares.append(name)


@asynccontextmanager
async def bare_database(stores: StoreUrls) -> AsyncIterator[str]:
    """A database without a table on the test server, dropped at the end; and an empty Valkey."""
    async with _server(stores) as server:
        name = _new_name()
        await _create(server, name)
        try:
            yield _url_of(stores, name)
        finally:
            await _drop(server, name)


async def empty(url: str) -> None:
    """Take out of a migrated database all that was put in since."""
    connection = await asyncpg.connect(url, command_timeout=PATIENCE_S)
    try:
        tables = [table for (table,) in await connection.fetch(_TABLES) if table not in SEEDED]
        # As a replica: no trigger fires and no reference is looked after, as all goes.
        await connection.execute(
            "set session_replication_role = replica;"
            + "".join(f"delete from {table};" for table in tables)
            + "delete from alert_look; insert into alert_look default values"
        )
        await connection.execute(_RESTART)
    finally:
        await connection.close()


async def drop_spares(postgres_url: str) -> None:
    """Leave no database behind, on a server that goes on after the tests."""
    server = await asyncpg.connect(postgres_url)
    try:
        for name in _spares.pop(postgres_url, []):
            await _drop(server, name)
    finally:
        await server.close()


@asynccontextmanager
async def _server(stores: StoreUrls) -> AsyncIterator[Any]:
    """A connection to the test server, beside an empty Valkey."""
    server = await asyncpg.connect(stores.postgres)
    redis = from_url(stores.redis)
    try:
        await redis.flushall()
        yield server
    finally:
        await redis.aclose()
        await server.close()


async def _create(server: Any, name: str) -> None:
    await server.execute(f"create database {name}")
    # No test pulls the plug, so none needs to wait for the disk.
    await server.execute(f"alter database {name} set synchronous_commit = off")


async def _drop(server: Any, name: str) -> None:
    await server.execute(f"drop database {name} with (force)")


async def _end_connections(server: Any, name: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await server.fetchval(_END_CONNECTIONS, name):  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def _new_name() -> str:
    return f"test_{uuid7().hex}"


def _url_of(stores: StoreUrls, name: str) -> str:
    return stores.postgres.replace("/exchange?", f"/{name}?")
