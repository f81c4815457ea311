"""A round of questions: who is told, when, and what is left of it (rules: §7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial

import pytest

from exchange.buyers.bid_outbox import Outbox
from exchange.buyers.bid_round import Round
from exchange.buyers.fan_out import AllBidders
from exchange.core.reasons import Reason
from exchange.flow.bidding import Asked, Said
from tests.buyers.asking import Bidder, a_question, asking, bidders, hang, outcome, until
from tests.buyers.systems import system


@pytest.fixture
async def among() -> AsyncIterator[AllBidders]:
    async with bidders() as among:
        yield among


def begin(among: AllBidders, *asked: Asked, within_s: float) -> tuple[list[Sequence[Said]], Round]:
    """Ask, and go on; what comes of it is put in the list."""
    came: list[Sequence[Said]] = []
    deadline = asyncio.get_running_loop().time() + within_s
    return came, among.begin(a_question(), asked, deadline, came.append)


async def test_where_nobody_has_to_be_waited_for_it_is_told_at_once(among: AllBidders) -> None:
    assert begin(among, within_s=1.0)[0] == [[]]
    (said,) = begin(among, asking("http://127.0.0.1:1/"), within_s=0.01)[0]
    assert [outcome(one) for one in said] == [Reason.BIDDER_NO_TIME]


async def test_each_round_is_told_once_of_all_it_asked(among: AllBidders) -> None:
    async with system(Bidder()) as good, system(hang) as hanging:
        asked = asking(good, "c-1"), asking(hanging, "c-2")
        rounds = [begin(among, *asked, within_s=0.2)[0] for _ in range(5)]
        await until(lambda: all(rounds))
        await asyncio.sleep(0.05)
        assert [[outcome(one) for (said,) in rounds for one in said]] == [
            [4_250, Reason.BIDDER_TIMEOUT] * 5
        ]


async def test_rounds_that_end_at_one_moment_end_there_and_others_later(
    among: AllBidders,
) -> None:
    loop = asyncio.get_running_loop()

    def note(told: list[float], said: Sequence[Said]) -> None:
        told.append(loop.time())

    ended: dict[float, list[float]] = {}
    async with system(hang) as url:
        deadline = loop.time() + 0.1
        for due in (deadline, deadline, deadline + 0.1):
            told = ended.setdefault(due, [])
            among.begin(a_question(), [asking(url)], due, partial(note, told))
        await until(lambda: sum(map(len, ended.values())) == 3)
    for due, moments in ended.items():
        assert all(due - 0.02 < moment < due + 0.05 for moment in moments)


async def test_a_round_that_was_abandoned_tells_nobody(among: AllBidders) -> None:
    async with system(hang) as url:
        came, auction = begin(among, asking(url), within_s=0.1)
        kept, _ = begin(among, asking(url), within_s=0.1)
        auction.abandon()
        await until(lambda: bool(kept))
        assert not came
        assert among.figures().waiting == 0


class Writer:
    """Notes its turn, and may put another in."""

    def __init__(self, written: list[str], name: str, then: tuple[Outbox, Writer] | None = None):
        self.written, self.name, self.then = written, name, then

    def write_out(self) -> None:
        self.written.append(self.name)
        if self.then is not None:
            self.then[0].put(self.then[1])


async def test_what_is_put_in_in_one_turn_is_written_in_the_next_in_order() -> None:
    outbox, written = Outbox(asyncio.get_running_loop()), list[str]()
    late = Writer(written, "late")
    for writer in (Writer(written, "a", (outbox, late)), Writer(written, "b")):
        outbox.put(writer)
    assert not written
    await asyncio.sleep(0)
    assert written == ["a", "b"]
    await asyncio.sleep(0)
    assert written == ["a", "b", "late"]
