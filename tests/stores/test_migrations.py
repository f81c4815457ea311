"""The schema is what the numbered migrations make, and what the named queries expect."""

from __future__ import annotations

import asyncio

import asyncpg
import msgspec
import pytest

from exchange.flow.ports import Receipt
from exchange.stores import postgres_migrations
from exchange.stores.postgres import QUERIES, Postgres
from exchange.stores.postgres_migrations import (
    Migration,
    MigrationError,
    migrate,
    read_migrations,
)
from exchange.stores.postgres_receipts import PostgresReceipts
from exchange.stores.receipt_bodies import write_receipt
from tests.stores.test_receipts import receipt, refuse


async def tables(postgres: Postgres) -> set[str]:
    async with postgres.connection() as connection:
        rows = await connection.fetch(
            "select table_name from information_schema.tables where table_schema = 'public'"
        )
        return {row["table_name"] for row in rows}


async def run(postgres: Postgres, statement: str) -> None:
    async with postgres.connection() as connection:
        await connection.execute(statement)


def body_of(one: Receipt) -> bytes:
    return write_receipt(one, msgspec.json.encode(one.offer))


def test_migrations_are_numbered_from_one_without_a_gap() -> None:
    numbers = [migration.number for migration in read_migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_migrations_are_applied_in_their_order(bare: Postgres) -> None:
    expected = [f"{migration.number:04d}_{migration.name}" for migration in read_migrations()]
    assert await migrate(bare) == expected


async def test_migrating_twice_changes_nothing(bare: Postgres) -> None:
    await migrate(bare)
    before = await tables(bare)
    assert await migrate(bare) == []
    assert await tables(bare) == before


async def test_two_workers_may_migrate_at_once(bare: Postgres) -> None:
    applied = await asyncio.gather(*(migrate(bare) for _ in range(3)))
    assert sorted(len(names) for names in applied) == [0, 0, len(read_migrations())]


async def test_a_migration_changed_after_it_was_applied_is_refused(bare: Postgres) -> None:
    await migrate(bare)
    await run(bare, "update migration set checksum = 'another' where number = 1")
    with pytest.raises(MigrationError, match="migration 1 was changed"):
        await migrate(bare)


async def test_a_database_of_a_newer_version_is_refused(bare: Postgres) -> None:
    await migrate(bare)
    await run(bare, "insert into migration (number, name, checksum) values (9999, 'x', 'x')")
    with pytest.raises(MigrationError, match="9999"):
        await migrate(bare)


async def test_a_migration_that_fails_leaves_nothing_behind(
    bare: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = [*read_migrations(), Migration(9000, "broken", "create table x (); select nonsense")]
    monkeypatch.setattr(postgres_migrations, "read_migrations", lambda: broken)
    with pytest.raises(asyncpg.UndefinedColumnError):
        await migrate(bare)
    assert await tables(bare) == set()


async def test_receipts_written_one_by_one_are_found_in_their_batches(
    bare: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = read_migrations()
    with monkeypatch.context() as patch:
        patch.setattr(postgres_migrations, "read_migrations", lambda: every[:15])
        await migrate(bare)
    told = [receipt(number) for number in (0, 3, 1_200, 65_000)] + [
        receipt(2_000 + number) for number in range(250)
    ]
    async with bare.connection() as connection:
        await connection.executemany(
            "insert into receipt values ($1, $2, $3, $4)",
            [(one.ping_id, one.seller_id, one.decided_at, body_of(one)) for one in told],
        )
    await migrate(bare)
    receipts = PostgresReceipts(bare, refuse)
    for one in told:
        found = await receipts.get(one.ping_id)
        assert found is not None and found.ping_id == one.ping_id
    assert not await receipts.adopt()
    async with bare.connection() as connection:
        assert await connection.fetchval("select count(*) from receipt_batch") == 5


async def test_the_tables_of_the_design_are_there(postgres: Postgres) -> None:
    named = {
        *("seller", "company", "campaign", "api_key", "lead", "leg", "delivery", "sale"),
        *("rejection", "ledger_entry", "crm_reset", "receipt_batch", "bucket", "usage", "worker"),
    }
    assert named <= await tables(postgres)


async def test_every_named_query_fits_the_schema(postgres: Postgres) -> None:
    async with postgres.connection() as connection:
        for query, statement in QUERIES.items():
            try:
                await connection.prepare(statement)
            except asyncpg.PostgresError as error:
                pytest.fail(f"{query}: {error}")


async def test_the_schema_itself_refuses_what_must_never_be(postgres: Postgres) -> None:
    company = "insert into company (id, name, created_at, prepaid, balance, held) values "
    impossible = {
        "held below zero": f"{company} ('a', 'a', now(), false, 0, -1)",
        "prepaid beyond its balance": f"{company} ('a', 'a', now(), true, 5, 6)",
        "more rejected than assigned": (
            f"{company} ('a', 'a', now(), false, 0, 0);"
            "insert into bucket values ('a', now(), 0, 100, 60, 41)"
        ),
        "a key of no role": "insert into api_key values ('x', 'guest', 'g', now(), null)",
    }
    for what, statement in impossible.items():
        with pytest.raises(asyncpg.CheckViolationError):
            await run(postgres, statement)
            pytest.fail(what)
