"""The month's own stores: made anew, and gone afterwards; what was there is not touched."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from redis.asyncio import from_url

from exchange.demo.faults import DemoFailed
from exchange.demo.stage import MovedClock, open_exchange, url_of_database
from exchange.embedded import StoreUrls
from exchange.stores.redis_mirror import channel_of

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


async def databases(stores: StoreUrls) -> set[str]:
    server = await asyncpg.connect(stores.postgres)
    try:
        return {row["datname"] for row in await server.fetch("select datname from pg_database")}
    finally:
        await server.close()


async def test_it_makes_a_database_of_its_own_and_drops_it(stores: StoreUrls) -> None:
    async with from_url(stores.redis) as redis:
        await redis.flushall()
        before = await databases(stores)
        with pytest.raises(RuntimeError, match="stop here"):
            async with open_exchange(stores, MovedClock(NOON)) as exchange:
                (made,) = await databases(stores) - before
                assert made.startswith("exchange_demo_")
                await exchange.registry.create_account("seller", "S", prepaid=False, now=NOON)
                await redis.set("left", "over")
                raise RuntimeError("stop here")
        assert await databases(stores) == before
        assert await redis.dbsize() == 0


async def test_a_redis_in_use_is_not_disturbed(stores: StoreUrls) -> None:
    async with from_url(stores.redis) as redis:
        await redis.flushall()
        await redis.set("somebody's", "key")
        with pytest.raises(DemoFailed, match="is in use"):
            async with open_exchange(stores, MovedClock(NOON)):
                pass
        assert await redis.get("somebody's") == b"key"
        await redis.flushall()
        async with redis.pubsub() as listening:
            await listening.subscribe(channel_of(redis))
            await listening.get_message(timeout=2)
            with pytest.raises(DemoFailed, match="is in use"):
                async with open_exchange(stores, MovedClock(NOON)):
                    pass


async def test_stores_that_are_away_are_told(stores: StoreUrls) -> None:
    async with from_url(stores.redis) as redis:
        await redis.flushall()
    nowhere = "127.0.0.1:1"
    for urls, told in (
        (StoreUrls(postgres=f"postgresql://{nowhere}/x", redis=stores.redis), "PostgreSQL"),
        (StoreUrls(postgres=stores.postgres, redis=f"redis://{nowhere}"), "Redis"),
    ):
        with pytest.raises(DemoFailed, match=f"{told} does not answer"):
            async with open_exchange(urls, MovedClock(NOON)):
                pass


@pytest.mark.parametrize(
    ("server", "made"),
    [
        ("postgresql://me:pw@db:5432/mine?sslmode=require", "//me:pw@db:5432/new?sslmode=require"),
        ("postgresql:///mine?host=/run/x", "///new?host=/run/x"),
        ("postgres://db", "//db/new"),
    ],
)
def test_another_database_is_on_the_same_server(server: str, made: str) -> None:
    assert url_of_database(server, "new").partition(":")[2] == made


def test_the_clock_never_goes_back() -> None:
    clock = MovedClock(NOON)
    clock.forward(90)
    clock.move_to(NOON)
    assert clock.now() == NOON + timedelta(seconds=90)
