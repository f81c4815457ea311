"""What cannot be beaten by much: bare servers that do the least a ping or a post could do.

`python -m benchmarks.floors echo|insert PORT [POSTGRES_URL]`. ``echo``: aiohttp as an application,
which reads the body and answers with an offer. ``insert``: one durable row per request, of a
contact's and an offer's size, over a pool of asyncpg into the same PostgreSQL.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Final

import asyncpg
import uvloop
from aiohttp import web

OFFER: Final = (
    b'{"ping_id":"019a9d3c-7c1e-7b52-9c63-0f6a5d1f2b11","status":"offer","price":38.89,'
    b'"currency":"USD","mode":"exclusive","legs":[{"leg_id":'
    b'"019a9d3c-7c1e-7b52-9c63-0f6a5d1f2b11-1","price":38.89}],'
    b'"expires_at":"2026-11-21T22:40:08.123456Z"}'
)
SOLD: Final = (
    b'{"ping_id":"019a9d3c-7c1e-7b52-9c63-0f6a5d1f2b11","status":"sold",'
    b'"lead_id":"019a9d3c-8a44-7f00-8f10-6b1de0a1c9d2","price":38.89,"legs":[{"leg_id":'
    b'"019a9d3c-7c1e-7b52-9c63-0f6a5d1f2b11-1","status":"sold","price":38.89}]}'
)
CONTACT_BYTES: Final = 220
"""About what a sealed contact takes: nonce, names, phone, email, address, tag."""

OFFER_BYTES: Final = 1_600
"""About what a kept offer takes: attributes, hashes, and some companies in line."""

POOL: Final = 8
"""Connections, as many as a worker of the exchange has."""

TABLE: Final = """
create table if not exists floor (
    id text primary key, contact bytea not null, offer bytea not null,
    at timestamptz not null default clock_timestamp()
)
"""
_INSERT: Final = "insert into floor (id, contact, offer) values ($1, $2, $3)"
_JSON: Final = {"Content-Type": "application/json"}


async def echo(request: web.Request) -> web.Response:
    """Read the body and answer with an offer."""
    await request.read()
    return web.Response(body=OFFER, headers=_JSON)


class Inserter:
    """Inserts one row per request."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool
        self._contact = os.urandom(CONTACT_BYTES)
        self._offer = os.urandom(OFFER_BYTES)

    async def insert(self, request: web.Request) -> web.Response:
        """Read the body, insert a row, answer that it was sold."""
        await request.read()
        row_id = os.urandom(16).hex()
        async with self._pool.acquire() as connection:
            await connection.execute(_INSERT, row_id, self._contact, self._offer)
        return web.Response(body=SOLD, headers=_JSON)


async def build(kind: str, postgres_url: str) -> web.Application:
    """The floor's application."""
    application = web.Application()
    if kind == "echo":
        application.router.add_post("/v1/ping", echo)
        return application
    pool = await asyncpg.create_pool(postgres_url, min_size=POOL, max_size=POOL)
    async with pool.acquire() as connection:
        await connection.execute(TABLE)
    application.router.add_post("/v1/post", Inserter(pool).insert)
    return application


async def serve(kind: str, port: int, postgres_url: str, ready: int) -> None:
    """Serve until killed, or until whoever started this is gone."""
    runner = web.AppRunner(await build(kind, postgres_url), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1_024).start()
    os.write(ready, b".")
    os.close(ready)
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - nothing tells of a parent's death
        await asyncio.sleep(1)


def main() -> None:
    """Read the arguments and serve."""
    kind, port = sys.argv[1], int(sys.argv[2])
    postgres_url = sys.argv[3] if len(sys.argv) > 3 else ""
    uvloop.run(serve(kind, port, postgres_url, int(os.environ["EXCHANGE_READY_FD"])))


if __name__ == "__main__":
    main()
