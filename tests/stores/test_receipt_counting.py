"""What receipts add up to is counted once, whoever dies when (rules §12)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from exchange.core.reasons import Reason
from exchange.flow.ports import Receipt
from exchange.stores import postgres_receipts, receipt_counting
from exchange.stores.ping_tally import LINES_AT_ONCE
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_receipts import PostgresReceipts
from exchange.stores.postgres_summaries import PostgresSummaries
from tests.stores.test_ping_tally import NOON, candidate, day_pings, told
from tests.stores.test_receipts import losing_answers, refuse

SELLER = ("seller", "", "seller", "")
COMPANY = ("company", "reason", "c", "220")


def one(number: int) -> Receipt:
    """A receipt that names a company."""
    at = NOON + timedelta(seconds=number)
    return told(number, candidate("c", Reason.CRM_GATE), decided_at=at)


async def write(postgres: Postgres, numbers: range, writer: str | None = None) -> PostgresReceipts:
    """Write receipts, each in a batch of its own, and count none of them."""
    receipts = PostgresReceipts(postgres, refuse, writer=writer)
    receipts.start()
    for number in numbers:
        receipts.keep(one(number))
    while receipts.waiting:
        await receipts._postgres.value("counted_receipts", "nobody")
    assert receipts._task is not None
    receipts._task.cancel()
    return receipts


async def test_a_note_whose_answer_was_lost_is_made_once(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    losing_answers(postgres, monkeypatch, "count_receipts")
    monkeypatch.setattr(postgres_receipts, "AGAIN_S", 0.01)
    receipts = PostgresReceipts(postgres, refuse)
    receipts.start()
    receipts.keep(told(1))
    await receipts.flush()
    await receipts.stop()
    assert (await day_pings(postgres))[SELLER] == (1, 0)


async def test_a_batch_is_counted_once_though_the_answer_to_its_write_was_lost(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    losing_answers(postgres, monkeypatch, "put_receipts", times=2)
    monkeypatch.setattr(postgres_receipts, "AGAIN_S", 0.01)
    receipts = PostgresReceipts(postgres, refuse)
    receipts.start()
    receipts.keep(told(1))
    await receipts.flush()
    await receipts.stop()
    assert receipts.failed_batches == 2
    assert (await day_pings(postgres))[SELLER] == (1, 0)


async def test_what_a_dead_worker_wrote_and_did_not_count_another_counts(
    postgres: Postgres,
) -> None:
    await write(postgres, range(5))
    assert SELLER not in await day_pings(postgres)
    living = PostgresReceipts(postgres, refuse)
    assert await living.adopt()
    assert not await living.adopt()
    found = await day_pings(postgres)
    assert found[SELLER] == (5, 0)
    assert found[COMPANY] == (5, 0)


async def test_what_a_living_worker_has_not_counted_yet_is_left_to_it(postgres: Postgres) -> None:
    await write(postgres, range(2), writer="living")
    async with postgres.connection() as connection:
        await connection.execute("insert into worker values ('living', clock_timestamp())")
    other = PostgresReceipts(postgres, refuse)
    assert not await other.adopt()
    async with postgres.connection() as connection:
        await connection.execute(
            "update worker set seen_at = clock_timestamp() - $1 * interval '1 second'",
            receipt_counting.SILENT_S + 1,
        )
    assert await other.adopt()
    assert (await day_pings(postgres))[SELLER] == (2, 0)


async def test_a_worker_taken_for_dead_counts_only_what_was_not_counted_for_it(
    postgres: Postgres,
) -> None:
    slow = await write(postgres, range(3))
    assert await PostgresReceipts(postgres, refuse).adopt()
    slow.start()
    slow.keep(one(3))
    slow.keep(told(4))
    await slow.flush()
    await slow.stop()
    assert (await day_pings(postgres))[SELLER] == (5, 0)
    assert not await PostgresReceipts(postgres, refuse).adopt()


async def test_a_receipt_nobody_can_read_keeps_no_other_from_being_counted(
    postgres: Postgres,
) -> None:
    await write(postgres, range(2), writer="0bad")
    await write(postgres, range(5, 8), writer="good")
    async with postgres.connection() as connection:
        await connection.execute(
            "update receipt_batch set bodies = overlay(bodies placing 'x' from 1 for 1)"
            " where writer = '0bad'"
        )
    told: list[Exception] = []
    other = PostgresReceipts(postgres, told.append)
    while await other.adopt():
        pass
    assert len(told) == 1
    assert (await day_pings(postgres))[SELLER] == (4, 0)


async def test_batches_whose_writer_was_forgotten_are_counted(postgres: Postgres) -> None:
    slow = await write(postgres, range(3))
    async with postgres.connection() as connection:
        await connection.execute("delete from receipt_writer")
    slow.start()
    async with asyncio.timeout(5):
        await slow.flush()
    await slow.stop()
    assert (await day_pings(postgres))[SELLER] == (3, 0)


async def test_writers_are_forgotten_with_their_last_receipt(postgres: Postgres) -> None:
    await write(postgres, range(2))
    async with postgres.connection() as connection:
        await postgres.run("drop_receipt_writers")
        assert await connection.fetchval("select count(*) from receipt_writer") == 1
        await postgres.run("drop_receipts", NOON + timedelta(days=1), 100)
        await postgres.run("drop_receipt_writers")
        assert await connection.fetchval("select count(*) from receipt_writer") == 0
    assert not await PostgresSummaries(postgres, "UTC").turn()


async def test_receipts_that_add_up_to_nothing_are_counted_too(postgres: Postgres) -> None:
    receipts = PostgresReceipts(postgres, refuse, writer="writer")
    receipts.start()
    receipts.keep(told(1, test=True))
    async with asyncio.timeout(5):
        await receipts.flush()
    await receipts.stop()
    assert await postgres.value("counted_receipts", "writer") == 1
    assert await day_pings(postgres) == {}


async def test_many_lines_are_noted_in_small_rows_and_all_counted(postgres: Postgres) -> None:
    receipts = PostgresReceipts(postgres, refuse)
    receipts.start()
    for number in range(LINES_AT_ONCE):
        receipts.keep(told(number, candidate(f"company {number}", Reason.CRM_GATE)))
    await receipts.flush()
    await receipts.stop()
    async with postgres.connection() as connection:
        sizes = await connection.fetch(
            "select cardinality(string_to_array(lines[1], E'\\x1f')) as size from ping_tally"
        )
    assert len(sizes) == 3 and all(row["size"] <= LINES_AT_ONCE for row in sizes)
    found = await day_pings(postgres)
    companies = [key for key in found if key[:2] == ("company", "reason")]
    assert len(companies) == LINES_AT_ONCE
