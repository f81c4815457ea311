"""The fast store's copy of suppression lists is what the books have, whatever happens to it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from exchange.core.model import CompanyId
from exchange.embedded import StoreUrls
from exchange.flow.faults import Conflict, NotFound, Unavailable
from exchange.flow.suppressions import ListNumber
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_suppressions import PostgresSuppressions
from exchange.stores.redis_pipe import RedisPipe
from exchange.stores.redis_suppressions import RedisSuppressions
from exchange.stores.suppression_copies import SuppressionCopies
from tests.databases import fresh_database

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ROOFS, SOLAR = CompanyId("roofs"), CompanyId("solar")
MOST = 50_000


def contact(number: int) -> tuple[bytes, ...]:
    """A contact; every third is known by its bare hash, and so has two keys."""
    key = hashlib.sha256(str(number).encode()).digest()
    return (key,) if number % 3 else (key, hashlib.sha256(key).digest())


class Lists:
    """The lists in both stores. Copies fail while ``is_away``."""

    def __init__(self, postgres: Postgres, pipe: RedisPipe) -> None:
        self.behind: list[Unavailable] = []
        self.copy = RedisSuppressions(pipe)
        self.books = PostgresSuppressions(
            postgres, self.copy, most=MOST, behind=lambda _, error: self.behind.append(error)
        )
        self.copies = SuppressionCopies(postgres, self.copy)

    async def put(self, company_id: CompanyId, *numbers: int) -> ListNumber:
        number = await self.books.open(company_id, NOW)
        await self.books.put(number, [contact(n) for n in numbers], NOW)
        return number

    async def take(self, company_id: CompanyId, *numbers: int) -> None:
        number = await self.books.open(company_id, NOW)
        await self.books.take(number, [contact(n) for n in numbers], NOW)

    async def replace(self, company_id: CompanyId, *numbers: int) -> None:
        number = await self.books.open_new(company_id, NOW)
        await self.books.put(number, [contact(n) for n in numbers], NOW)
        await self.books.replace(number, NOW)


async def _open(postgres: Postgres, stores: StoreUrls) -> AsyncIterator[Lists]:
    for company_id in (ROOFS, SOLAR):
        async with postgres.connection() as connection:
            await connection.execute(
                "insert into company (id, name, created_at) values ($1, $1, now())", company_id
            )
    pipe = RedisPipe(stores.redis)
    yield Lists(postgres, pipe)
    await pipe.close()


@pytest.fixture
async def lists(postgres: Postgres, stores: StoreUrls) -> AsyncIterator[Lists]:
    async for opened in _open(postgres, stores):
        yield opened


async def test_tens_of_thousands_are_kept_in_little_room_and_exactly(
    lists: Lists, redis: Redis
) -> None:
    await lists.put(ROOFS)
    before = (await redis.info("memory"))["used_memory"]
    many = [n for n in range(45_000) if n % 3]
    for first in range(0, len(many), 2_500):
        await lists.put(ROOFS, *many[first : first + 2_500])
    assert (await lists.books.show(ROOFS)).contacts == 30_000
    assert await lists.copies.check() == []
    # The buckets themselves are most of it, as long as so few contacts are in each.
    assert (await redis.info("memory"))["used_memory"] - before < 12_000_000
    encodings = {await redis.object("encoding", f"suppressed:{n:04x}") for n in range(0, 99)}
    assert encodings <= {b"listpack", None}


async def test_a_list_put_on_by_several_at_once_has_each_contact_once(lists: Lists) -> None:
    pieces = [range(first, first + 400) for first in (0, 100, 200, 300)]
    await asyncio.gather(*(lists.put(ROOFS, *piece) for piece in pieces))
    assert (await lists.books.show(ROOFS)).contacts == 700
    assert await lists.copies.check() == []


async def test_lists_of_many_companies_share_a_contact(lists: Lists) -> None:
    await lists.put(ROOFS, 1, 2)
    await lists.put(SOLAR, 2, 3)
    await lists.take(ROOFS, 2)
    assert await lists.copies.check() == []
    assert sorted((await lists.copy.counts()).values()) == [1, 3]


async def test_a_digest_given_under_either_field_by_itself_can_be_taken_off_without_its_field(
    lists: Lists,
) -> None:
    number = await lists.books.open(ROOFS, NOW)
    phone, email = contact(0)
    assert await lists.books.put(number, [(phone,), (email,)], NOW) == 2
    assert await lists.books.take(number, [(phone, email)], NOW) == 1
    assert (await lists.books.show(ROOFS)).contacts == 0
    assert await lists.copies.check() == []


async def test_a_company_nobody_knows_has_no_list(lists: Lists) -> None:
    for call in (lists.books.open, lists.books.open_new, lists.books.drop):
        with pytest.raises(NotFound):
            await call(CompanyId("nobody"), NOW)


async def test_a_new_list_that_was_given_up_replaces_nothing(lists: Lists) -> None:
    await lists.put(ROOFS, 1)
    number = await lists.books.open_new(ROOFS, NOW)
    await lists.books.put(number, [contact(2)], NOW)
    await lists.books.give_up(number)
    with pytest.raises(Conflict):
        await lists.books.replace(number, NOW)
    await lists.copies.mend()
    assert (await lists.books.show(ROOFS)).contacts == 1
    assert await lists.copies.check() == []


async def test_of_lists_that_become_the_companys_in_one_moment_one_holds_in_the_end(
    lists: Lists,
) -> None:
    # As many at once as several workers would have under way.
    lists.books._changing = asyncio.Semaphore(8)
    for _ in range(8):
        numbers = [await lists.books.open_new(ROOFS, NOW) for _ in range(4)]
        for number in numbers:
            await lists.books.put(number, [contact(number)], NOW)
        await asyncio.gather(
            *(lists.books.replace(number, NOW) for number in numbers),
            lists.books.open(ROOFS, NOW),
        )
        assert (await lists.books.show(ROOFS)).contacts == 1
        await lists.copies.mend()
        assert await lists.copies.check() == []
        assert await lists.books.drop(ROOFS, NOW) == 1


async def test_changes_while_the_fast_store_is_away_stand_and_are_copied_afterwards(
    lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lists.put(ROOFS, 1)

    async def away(*_: Any) -> Any:
        raise Unavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(lists.copy._pipe, "call", away)
        await lists.put(ROOFS, 2, 3)
        await lists.replace(SOLAR, 4)
    assert lists.behind
    await lists.copies.mend()
    assert await lists.copies.check() == []


async def test_a_damaged_copy_is_told_and_rebuilt(
    lists: Lists, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.stores.suppression_copies.LOOKS", 1)
    await lists.put(ROOFS, *range(100))
    held = sorted([key async for key in redis.scan_iter(match="suppressed:*")])
    await redis.delete(held[0])
    await redis.hset("suppressed:0000", b"x" * 30, "77")
    await redis.hset("suppression:lists", "77", "stranger")
    assert len(await lists.copies.check()) == 2
    assert await lists.copies.rebuild() == 134
    assert await lists.copies.check() == []


Step = tuple[str, CompanyId, list[int]]
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.tuples(
        st.sampled_from(["put", "take", "replace"]),
        st.sampled_from([ROOFS, SOLAR]),
        st.lists(st.integers(0, 12), min_size=1, max_size=6),
    ),
    st.tuples(st.sampled_from(["drop"]), st.sampled_from([ROOFS, SOLAR]), st.just([])),
    st.tuples(st.sampled_from(["mend", "flush"]), st.just(ROOFS), st.just([])),
)


def test_whatever_is_put_and_taken_at_once_the_copy_comes_to_what_the_books_have(
    stores: StoreUrls,
) -> None:
    async def live(lists: Lists, redis: Redis, rounds: list[list[Step]]) -> None:
        model: dict[CompanyId, set[int]] = {ROOFS: set(), SOLAR: set()}
        for company_id in model:
            await lists.books.drop(company_id, NOW)
        for steps in rounds:
            await asyncio.gather(
                *(take(lists, redis, place / 500, *step) for place, step in enumerate(steps))
            )
            if len(steps) == 1:
                learn(model, *steps[0])
                for company_id, numbers in model.items():
                    assert (await lists.books.show(company_id)).contacts == len(numbers)
            else:
                for company_id in model:
                    model[company_id] = await known(lists, company_id)
        await lists.copies.mend()
        assert await lists.copies.check() == []

    async def take(
        lists: Lists,
        redis: Redis,
        pause_s: float,
        word: str,
        company_id: CompanyId,
        numbers: list[int],
    ) -> None:
        # One begins while the one before is under way.
        await asyncio.sleep(pause_s)
        if word == "mend":
            await lists.copies.mend()
        elif word == "flush":
            await redis.flushall()
        elif word == "drop":
            await lists.books.drop(company_id, NOW)
        else:
            try:
                await getattr(lists, word)(company_id, *numbers)
            except Conflict as fault:
                # Replaced or dropped by another in this moment.
                assert fault.code == "suppression_list_gone"

    def learn(
        model: dict[CompanyId, set[int]], word: str, company_id: CompanyId, numbers: list[int]
    ) -> None:
        if word == "put":
            model[company_id] |= set(numbers)
        elif word == "take":
            model[company_id] -= set(numbers)
        elif word in ("replace", "drop"):
            model[company_id] = set(numbers)

    async def known(lists: Lists, company_id: CompanyId) -> set[int]:
        rows = await lists.books._postgres.rows("suppression_list_of", company_id)
        if not rows:
            return set()
        found = await lists.books._postgres.rows(
            "suppressions_after", rows[0]["number"], b"", 1_000
        )
        keys = {row["key"] for row in found}
        return {number for number in range(13) if contact(number)[0] in keys}

    with asyncio.Runner() as runner:
        database = fresh_database(stores)
        postgres = Postgres(runner.run(database.__aenter__()), size=8)
        runner.run(postgres.start())
        opened = _open(postgres, stores)
        lists: Lists = runner.run(anext(opened))  # type: ignore[arg-type]
        redis = Redis.from_url(stores.redis)

        @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(st.lists(st.lists(STEPS, min_size=1, max_size=5), min_size=1, max_size=4))
        def check(rounds: list[list[Step]]) -> None:
            runner.run(live(lists, redis, rounds))

        try:
            check()
        finally:
            runner.run(redis.aclose())
            runner.run(opened.aclose())  # type: ignore[attr-defined]
            runner.run(postgres.close())
            runner.run(database.__aexit__(None, None, None))
