"""What is asked of PostgreSQL at one moment goes together, and a fault hits only whose it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from exchange.flow.faults import Unavailable
from exchange.stores.together import Together


class Store:
    """Doubles numbers, all of a call or none; a negative one cannot be doubled."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.is_away = False

    async def double(self, asked: Sequence[int]) -> list[int]:
        self.calls.append(list(asked))
        await asyncio.sleep(0)
        if self.is_away:
            raise Unavailable("away")
        if min(asked) < 0:
            raise ValueError(min(asked))
        return [2 * number for number in asked]


async def ask_all(store: Store, numbers: list[int]) -> list[int | BaseException]:
    together: Together[int, int] = Together(store.double)
    return await asyncio.gather(*map(together.ask, numbers), return_exceptions=True)


async def test_what_is_asked_at_one_moment_is_one_call_in_the_order_it_was_asked() -> None:
    store = Store()
    assert await ask_all(store, [3, 1, 2]) == [6, 2, 4]
    assert store.calls == [[3, 1, 2]]


async def test_one_that_cannot_be_done_fails_alone_and_the_others_are_done_in_order() -> None:
    store = Store()
    three, bad, two = await ask_all(store, [3, -1, 2])
    assert (three, two) == (6, 4)
    assert isinstance(bad, ValueError)
    assert store.calls == [[3, -1, 2], [3], [-1], [2]]


async def test_one_alone_that_cannot_be_done_is_not_tried_again() -> None:
    store = Store()
    (bad,) = await ask_all(store, [-1])
    assert isinstance(bad, ValueError)
    assert store.calls == [[-1]]


async def test_a_store_that_is_away_is_so_for_all_and_is_not_asked_again() -> None:
    store = Store()
    store.is_away = True
    faults = await ask_all(store, [1, 2])
    assert [type(fault) for fault in faults] == [Unavailable, Unavailable]
    assert store.calls == [[1, 2]]


async def test_a_store_that_goes_away_amid_the_single_tries_keeps_what_was_done() -> None:
    store = Store()

    async def double_and_leave(asked: Sequence[int]) -> list[int]:
        done = await store.double(asked)
        store.is_away = True
        return done

    together: Together[int, int] = Together(double_and_leave)
    answers = await asyncio.gather(*map(together.ask, [1, -1, 2]), return_exceptions=True)
    assert answers[0] == 2
    assert [type(answer) for answer in answers[1:]] == [Unavailable, Unavailable]


@pytest.mark.parametrize("count", [64, 65, 200])
async def test_a_call_carries_64_at_most(count: int) -> None:
    store = Store()
    assert await ask_all(store, list(range(count))) == [2 * n for n in range(count)]
    assert max(map(len, store.calls)) == 64
