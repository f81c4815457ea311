"""What is dropped with age, and what never is (design: Stores)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from exchange.stores import housekeeping
from exchange.stores.housekeeping import USAGE_DAYS, Housekeeping
from exchange.stores.postgres import QUERIES, Postgres

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SOLD = """
insert into seller values ('s', 'Lead Source', true, now());
insert into company (id, name, created_at) values ('c', 'Sunny Roofs', now());
"""


async def run(postgres: Postgres, statement: str, *arguments: object) -> None:
    async with postgres.connection() as connection:
        await connection.execute(statement, *arguments)


async def column(postgres: Postgres, statement: str) -> list[str]:
    async with postgres.connection() as connection:
        return [row[0] for row in await connection.fetch(statement)]


async def add_receipt(postgres: Postgres, name: str, decided_at: datetime) -> None:
    await run(
        postgres,
        "insert into receipt_batch values ('w', (select count(*) from receipt_batch) + 1, $1, $1,"
        " $2, $2, 1, $1, '0', '')",
        name,
        decided_at,
    )


async def test_receipts_are_kept_for_their_days(postgres: Postgres) -> None:
    await add_receipt(postgres, "old", NOON - timedelta(days=30, microseconds=1))
    await add_receipt(postgres, "young", NOON - timedelta(days=30))
    await Housekeeping(postgres, 30).tidy(NOON)
    assert await column(postgres, "select pings from receipt_batch") == ["young"]


async def test_only_so_many_receipts_are_dropped_in_one_turn_the_oldest_first(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "BATCHES_AT_ONCE", 2)
    for age in range(3):
        await add_receipt(postgres, f"{age} days over", NOON - timedelta(days=31 + age))
    await Housekeeping(postgres, 30).tidy(NOON)
    assert await column(postgres, "select pings from receipt_batch") == ["0 days over"]


async def test_workers_drop_other_receipts_than_one_another(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "BATCHES_AT_ONCE", 2)
    for age in range(4):
        await add_receipt(postgres, f"{age} days over", NOON - timedelta(days=31 + age))
    async with postgres.connection() as connection, connection.transaction():
        await connection.execute(QUERIES["drop_receipts"], NOON - timedelta(days=30), 2)
        async with asyncio.timeout(5):
            await Housekeeping(postgres, 30).tidy(NOON)
    assert await column(postgres, "select pings from receipt_batch") == []


async def test_versions_of_campaigns_are_kept_as_long_as_receipts(postgres: Postgres) -> None:
    await run(postgres, SOLD)
    saved = [NOON - timedelta(days=days) for days in (40, 31, 30, 1)]
    await run(postgres, "insert into campaign values ('k', 'c', 1, '{}', false, $1, $1)", saved[0])
    for version, at in enumerate(saved[1:], start=2):
        await run(postgres, "update campaign set version = $1, updated_at = $2", version, at)
    kept = "select version::text from campaign_past order by version"
    assert await column(postgres, kept) == ["1", "2", "3"]
    await Housekeeping(postgres, 30).tidy(NOON)
    assert await column(postgres, kept) == ["2", "3"]


async def test_past_cap_periods_are_dropped_and_current_ones_stay(postgres: Postgres) -> None:
    await run(postgres, SOLD)
    for name, ends_at in (
        ("past", NOON - timedelta(days=USAGE_DAYS, microseconds=1)),
        ("kept", NOON - timedelta(days=USAGE_DAYS)),
    ):
        starts_at = ends_at - timedelta(hours=1)
        await run(
            postgres,
            "insert into usage values ($1, 'hour', $2, $3, 'c', 1, 1)",
            name,
            starts_at,
            ends_at,
        )
    await Housekeeping(postgres, 30).tidy(NOON)
    assert await column(postgres, "select campaign_id from usage") == ["kept"]


async def test_a_worker_long_gone_is_forgotten_unless_it_left_a_lead(postgres: Postgres) -> None:
    await run(postgres, SOLD)
    for name in ("gone", "left a lead"):
        await run(postgres, "insert into worker values ($1, now() - interval '2 hours')", name)
    await run(postgres, "insert into worker values ('alive', now())")
    await run(
        postgres,
        "insert into lead (id, ping_id, seller_id, vertical, test, idempotency_key, body_hash,"
        " offer, contact, contact_key_id, contact_keys, owner, received_at, deadline_at)"
        " values ('l', 'p', 's', 'solar', false, 'k', '', '', '', 1, '{}', 'left a lead',"
        " now(), now())",
    )
    await Housekeeping(postgres, 30).tidy(NOON)
    assert await column(postgres, "select id from worker order by id") == ["alive", "left a lead"]
