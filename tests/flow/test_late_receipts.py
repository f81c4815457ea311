"""A receipt asked for at once is found, whichever worker is asked (rules: §7)."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils import uuid4, uuid7

from exchange.core.model import PingId
from exchange.flow import late_receipts
from exchange.flow.faults import Unavailable
from exchange.flow.late_receipts import PAUSES_S, YOUNG_S, LateReceipts, made_at_s
from exchange.flow.ports import Receipt
from tests.flow.market import Desk, until


class Nowhere:
    """Receipts of which none is written; counts who looks."""

    def __init__(self) -> None:
        self.looks = 0

    def keep(self, receipt: Receipt, body: bytes = b"") -> None:
        raise AssertionError("nothing is kept here")

    async def get(self, ping_id: PingId) -> Receipt | None:
        self.looks += 1
        return None


def made_at(at_s: float) -> PingId:
    """An id of a ping that came at some time."""
    return PingId(str(UUID(int=int(at_s * 1000) << 80 | 7 << 76 | 2 << 62)))


async def ask(desk: Desk, ping_id: PingId, *, whole: bool) -> PingId | None:
    """Read a receipt, as it is or with every campaign; gives whose it is."""
    if whole:
        told = await desk.exchange.whole_receipt(ping_id)
        return None if told is None else told.receipt.ping_id
    receipt = await desk.exchange.receipt(ping_id)
    return None if receipt is None else receipt.ping_id


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_receipts, "PAUSES_S", (0.0,) * len(PAUSES_S))


@pytest.mark.parametrize("whole", [False, True], ids=["named", "all campaigns"])
async def test_a_receipt_that_another_worker_has_yet_to_write_is_waited_for(
    desk: Desk, other: Desk, whole: bool
) -> None:
    seller = await desk.seller()
    async with desk.exchange.postgres.connection() as connection:
        writing = connection.transaction()
        await writing.start()
        await connection.execute("lock table receipt_batch in exclusive mode")
        ping_id = (await desk.ping(seller)).ping_id
        asked = asyncio.create_task(ask(other, ping_id, whole=whole))
        await until(lambda: other.exchange._late_receipts._waiting == 1)
        await writing.commit()
    assert await asked == ping_id
    assert other.exchange._late_receipts._waiting == 0


async def test_one_that_does_not_come_while_its_ping_is_young_is_to_be_asked_for_again(
    hurried: None,
) -> None:
    nowhere = Nowhere()
    late = LateReceipts(nowhere, wall_s=time.time)
    with pytest.raises(Unavailable) as fault:
        await late.get(PingId(str(uuid7())))
    assert fault.value.retry_after_s == 1
    assert nowhere.looks == 1 + len(PAUSES_S)


@pytest.mark.parametrize(
    "ping_id",
    [
        pytest.param(made_at(time.time() - 60), id="an old ping"),
        pytest.param(made_at(time.time() + 60), id="one of the future"),
        pytest.param(str(uuid4()), id="an id without a time"),
        pytest.param("ping-1", id="no uuid"),
    ],
)
async def test_what_is_not_young_is_not_there_at_once(ping_id: str) -> None:
    nowhere = Nowhere()
    assert await LateReceipts(nowhere, wall_s=time.time).get(PingId(ping_id)) is None
    assert nowhere.looks == 1


async def test_one_that_aged_while_it_was_waited_for_is_not_there(hurried: None) -> None:
    times = iter([0.0, YOUNG_S])
    made_s = time.time()
    late = LateReceipts(Nowhere(), wall_s=lambda: made_s + next(times))
    assert await late.get(made_at(made_s)) is None


async def test_only_so_many_wait_at_a_time(monkeypatch: pytest.MonkeyPatch, hurried: None) -> None:
    monkeypatch.setattr(late_receipts, "MOST_WAITING", 1)
    nowhere = Nowhere()
    late = LateReceipts(nowhere, wall_s=time.time)
    asks = [late.get(PingId(str(uuid7()))) for _ in range(3)]
    answers = await asyncio.gather(*asks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    assert nowhere.looks == 3 + len(PAUSES_S)


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**62 - 1))
def test_an_id_says_when_it_was_made_to_the_millisecond(made_ms: int, rest: int) -> None:
    made = UUID(int=made_ms << 80 | 7 << 76 | 2 << 62 | rest)
    assert made_at_s(str(made)) == made_ms / 1000
