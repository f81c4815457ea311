"""Fixtures for the stores alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from exchange.embedded import StoreUrls
from exchange.stores.postgres import Postgres
from exchange.stores.redis_client import quick_client
from exchange.stores.redis_pipe import RedisPipe
from tests.databases import bare_database, fresh_database


@pytest.fixture
async def bare(stores: StoreUrls) -> AsyncIterator[Postgres]:
    """A database without a table."""
    async with bare_database(stores) as url:
        postgres = Postgres(url, size=4)
        await postgres.start()
        yield postgres
        await postgres.close()


@pytest.fixture
async def postgres(stores: StoreUrls) -> AsyncIterator[Postgres]:
    """An empty migrated database."""
    async with fresh_database(stores) as url:
        postgres = Postgres(url, size=4)
        await postgres.start()
        yield postgres
        await postgres.close()


@pytest.fixture(scope="module")
async def redis(stores: StoreUrls) -> AsyncIterator[Redis]:
    """An empty Valkey."""
    redis = quick_client(stores.redis)
    await redis.flushall()
    yield redis
    await redis.flushall()
    await redis.aclose()


@pytest.fixture(scope="module")
async def pipe(stores: StoreUrls) -> AsyncIterator[RedisPipe]:
    """The quick way to the same Valkey."""
    pipe = RedisPipe(stores.redis)
    yield pipe
    await pipe.close()
