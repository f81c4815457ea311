"""Receipts are written behind the ping, from a queue that cannot grow without bound."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from msgspec.structs import fields, replace

from exchange.core.auction import Candidate
from exchange.core.model import CampaignId, CompanyId, Offer, PingId, Ranked, SellerId
from exchange.core.reasons import Reason
from exchange.flow.faults import Unavailable
from exchange.flow.ports import Receipt
from exchange.stores import postgres_receipts
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_receipts import PostgresReceipts
from exchange.stores.receipt_bodies import read_receipt, write_receipt
from tests.flow.market import until

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
BOUND = 10


def refuse(error: Exception) -> None:
    """No test here writes what PostgreSQL refuses."""
    raise error


def ping_of(number: int) -> PingId:
    """A ping's id, as of so many milliseconds after a moment."""
    return PingId(f"01a20364-{number:04x}-7000-8000-000000000000")


def receipt(number: int) -> Receipt:
    """A receipt with one candidate and an offer."""
    ping_id, seller_id = ping_of(number), SellerId("seller")
    return Receipt(
        ping_id=ping_id,
        seller_id=seller_id,
        vertical="solar",
        attributes=Raw(b'{"zip":"94107"}'),
        status="offer",
        decided_at=NOON + timedelta(milliseconds=number),
        candidates=(
            Candidate(
                campaign_id=CampaignId("campaign"),
                company_id=CompanyId("company"),
                outcome="no_bid",
                reason=Reason.FILTER,
            ),
        ),
        offer=Offer(
            ping_id=ping_id,
            seller_id=seller_id,
            vertical="solar",
            attributes=Raw(b'{"zip":"94107"}'),
            contact_hashes={},
            source={},
            share=1,
            legs_cents=(85_00,),
            ranks=(),
            min_price_cents=0,
            cascade="promised",
            take_rate_bp=1_500,
            test=False,
            captured_at=NOON,
            decided_at=NOON,
            expires_at=NOON,
        ),
    )


@pytest.fixture
def bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_receipts, "QUEUE_BOUND", BOUND)
    monkeypatch.setattr(postgres_receipts, "BATCH", 1)


async def written(postgres: Postgres) -> list[str]:
    async with postgres.connection() as connection:
        rows = await connection.fetch("select pings from receipt_batch order by writer, number")
        return [ping for row in rows for ping in row["pings"].split(",")]


async def test_a_receipt_can_be_read_at_once_and_after_it_was_written(postgres: Postgres) -> None:
    receipts = PostgresReceipts(postgres, refuse)
    receipts.keep(in_line(), msgspec.json.encode(in_line().offer))
    queued = await receipts.get(ping_of(0))
    receipts.start()
    await receipts.flush()
    stored = await receipts.get(ping_of(0))
    await receipts.stop()
    assert msgspec.json.encode(queued) == msgspec.json.encode(stored)
    assert stored is not None and stored.offer is not None and stored.offer.legs_cents == (85_00,)
    assert bytes(stored.attributes) == b'{"zip":"94107"}'


def in_line() -> Receipt:
    """A receipt whose offer has a company in line, and says nothing else than its offer does."""
    one = receipt(0)
    assert one.offer is not None
    first = Ranked(
        campaign_id=CampaignId("campaign"),
        company_id=CompanyId("company"),
        base_cents=100_00,
        rectified_cents=97_90,
        charged_cents=97_90,
        rejected=21,
        assigned=1_000,
        token="of the bidder",
    )
    return replace(
        one,
        share=1,
        legs_cents=(85_00,),
        expires_at=NOON,
        offer=replace(one.offer, ranks=(first,)),
    )


def test_a_receipt_is_read_as_it_was_though_nothing_of_its_offer_is_written_twice() -> None:
    one = in_line()
    offer = msgspec.json.encode(one.offer)
    body = write_receipt(one, offer)
    assert body.count(b"94107") == 1
    assert msgspec.json.encode(read_receipt(body)) == msgspec.json.encode(one)


def test_a_receipt_written_with_its_offer_by_names_is_still_read() -> None:
    one = in_line()
    before = msgspec.json.decode(msgspec.json.encode(one))
    names = [field.name for field in fields(Ranked)]
    ranks = [dict(zip(names, rank, strict=True)) for rank in before["offer"]["ranks"]]
    # Defaults were left out.
    before["offer"]["ranks"] = [{k: v for k, v in rank.items() if v} for rank in ranks]
    body = msgspec.json.encode(before)
    assert b'"base_cents"' in body
    assert msgspec.json.encode(read_receipt(body)) == msgspec.json.encode(one)


async def test_a_receipt_nobody_kept_is_none(postgres: Postgres) -> None:
    assert await PostgresReceipts(postgres, refuse).get(PingId("nothing")) is None


async def test_stopping_writes_what_is_waiting(postgres: Postgres) -> None:
    receipts = PostgresReceipts(postgres, refuse)
    receipts.start()
    for number in range(1_200):
        receipts.keep(receipt(number))
    await receipts.stop()
    assert len(await written(postgres)) == 1_200


@pytest.mark.usefixtures("bounded")
async def test_a_full_queue_takes_the_oldest_receipts_details_and_keeps_its_offer(
    postgres: Postgres,
) -> None:
    receipts = PostgresReceipts(postgres, refuse)
    for number in range(BOUND + 1):
        receipts.keep(receipt(number))
    oldest, next_oldest = [await receipts.get(ping_of(n)) for n in (0, 1)]
    assert oldest is not None and next_oldest is not None
    assert oldest.candidates == () and oldest.offer is not None
    assert next_oldest.candidates != ()
    assert receipts.dropped_details == 1


@pytest.mark.usefixtures("bounded")
async def test_the_queue_never_holds_more_than_twice_its_bound(postgres: Postgres) -> None:
    receipts = PostgresReceipts(postgres, refuse)
    for number in range(20 * BOUND):
        receipts.keep(receipt(number))
        assert receipts.waiting <= 2 * BOUND
        newest = await receipts.get(ping_of(number))
        assert newest is not None and newest.candidates != ()
    assert receipts.dropped_details == 19 * BOUND


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("together", [1, 3, 7])
async def test_receipts_without_details_are_written_with_their_offers_and_counted_as_they_were(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(postgres_receipts, "BATCH", together)
    receipts = PostgresReceipts(postgres, refuse)
    for number in range(2 * BOUND):
        receipts.keep(receipt(number))
    receipts.start()
    await receipts.flush()
    await receipts.stop()
    stored = [await receipts.get(ping_of(n)) for n in range(2 * BOUND)]
    assert all(one is not None and one.offer is not None for one in stored)
    bare = [one is not None and one.candidates == () for one in stored]
    assert bare == sorted(bare, reverse=True)
    assert BOUND <= sum(bare) == receipts.dropped_details < BOUND + together
    async with postgres.connection() as connection:
        lines = await connection.fetch("select lines from ping_tally")
    columns = [[column.split("\x1f") for column in row["lines"]] for row in lines]
    companies = [
        int(pings)
        for level, axis, value, pings in (
            line
            for batch in columns
            for line in zip(*(batch[n] for n in (0, 1, 5, 6)), strict=True)
        )
        if (level, axis, value) == ("company", "reason", str(int(Reason.FILTER)))
    ]
    assert sum(companies) == 2 * BOUND


@pytest.mark.usefixtures("bounded")
async def test_the_queue_keeps_its_bound_while_the_database_is_away() -> None:
    receipts = PostgresReceipts(Postgres("postgresql://127.0.0.1:1/nothing"), refuse)
    receipts.start()
    for number in range(5 * BOUND):
        receipts.keep(receipt(number))
        await asyncio.sleep(0.002)
    assert receipts.failed_batches >= 1
    assert receipts.waiting <= 2 * BOUND
    assert receipts._task is not None and not receipts._task.done()
    receipts._task.cancel()


async def test_what_the_database_could_not_take_is_written_when_it_is_back(
    postgres: Postgres,
) -> None:
    receipts = PostgresReceipts(postgres, refuse)
    pool, postgres._pool = postgres._pool, None
    receipts.start()
    for number in range(3):
        receipts.keep(receipt(number))
    await until(lambda: receipts.failed_batches > 0)
    postgres._pool = pool
    async with asyncio.timeout(5):
        await receipts.flush()
    await receipts.stop()
    assert await written(postgres) == [ping_of(0), ping_of(1), ping_of(2)]


async def test_a_batch_whose_answer_was_lost_is_written_once(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    losing_answers(postgres, monkeypatch, "put_receipts")
    receipts = PostgresReceipts(postgres, refuse)
    receipts.start()
    for number in range(3):
        receipts.keep(receipt(number))
    await receipts.flush()
    await receipts.stop()
    assert receipts.failed_batches == 1
    assert await written(postgres) == [ping_of(0), ping_of(1), ping_of(2)]


async def test_a_receipt_is_found_among_those_of_other_workers_and_batches(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_receipts, "BATCH", 3)
    workers = [PostgresReceipts(postgres, refuse) for _ in range(2)]
    for worker in workers:
        worker.start()
    for number in range(20):
        workers[number % 2].keep(receipt(number))
    for worker in workers:
        await worker.flush()
        await worker.stop()
    asked = PostgresReceipts(postgres, refuse)
    for number in range(20):
        found = await asked.get(ping_of(number))
        assert found is not None and found.ping_id == ping_of(number)
    assert await asked.get(ping_of(20)) is None
    assert await asked.get(PingId(ping_of(7).replace("8000", "8001"))) is None


async def test_a_batch_holds_no_receipts_far_apart_in_time(postgres: Postgres) -> None:
    receipts = PostgresReceipts(postgres, refuse)
    for at in (0, 900, 1_000, 1_001, 3_000):
        receipts.keep(receipt(at))
    assert [len(batch) for batch in receipts._batches] == [3, 1, 1]


async def test_an_id_that_is_not_written_as_ours_is_not_looked_for(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipts = PostgresReceipts(postgres, refuse)
    receipts.start()
    receipts.keep(receipt(10))
    await receipts.flush()
    await receipts.stop()
    monkeypatch.setattr(postgres, "_pool", None)
    known = ping_of(10)
    for odd in (known.upper(), f"-{known}", known.replace("-", ""), f"{{{known}}}", "nothing"):
        assert await receipts.get(PingId(odd)) is None


async def test_pings_of_before_a_long_sleep_are_not_put_with_those_after_it(
    postgres: Postgres,
) -> None:
    receipts = PostgresReceipts(postgres, refuse)
    slept = [PingId(f"01a2{minute:04x}-0000-7000-8000-000000000000") for minute in (7, 8, 11, 3)]
    for ping_id in slept:
        one = receipt(0)
        receipts.keep(replace(one, ping_id=ping_id, offer=None))
    assert [len(batch) for batch in receipts._batches] == [2, 1, 1]
    receipts.start()
    await receipts.flush()
    await receipts.stop()
    for ping_id in slept:
        assert await receipts.get(ping_id) is not None


def losing_answers(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch, name: str, times: int = 1
) -> None:
    """Let a statement be carried out, and its answer be lost, so many times."""
    left = times

    def losing(way: Any) -> Any:
        async def run(statement: str, *arguments: object) -> Any:
            nonlocal left
            answer = await way(statement, *arguments)
            if statement == name and left:
                left -= 1
                raise Unavailable("lost")
            return answer

        return run

    monkeypatch.setattr(postgres, "run", losing(postgres.run))
    monkeypatch.setattr(postgres, "value", losing(postgres.value))
