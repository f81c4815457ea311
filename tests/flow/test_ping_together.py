"""Pings that go through their stages together come to what each would have come to alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from exchange.core.model import Bid, Ping, SellerId
from exchange.core.reasons import Reason
from exchange.core.remote import Remote
from exchange.core.screen import SeenContact
from exchange.flow.asking import Asking
from exchange.flow.bidding import Asked, Question, Said
from exchange.flow.faults import Unavailable
from exchange.flow.ping_together import MANY
from exchange.flow.ports import Receipt
from tests.flow.market import Desk, key_of

Came = Receipt | Exception

ADA = key_of("ada")


async def together(desk: Desk, pings: Sequence[Ping]) -> list[Came]:
    """What a group of pings came to, in their order."""
    loop = asyncio.get_running_loop()
    answers: list[asyncio.Future[Came]] = [loop.create_future() for _ in pings]

    def told(done: Sequence[tuple[int, Came]]) -> None:
        for number, came in done:
            answers[number].set_result(came)

    desk.exchange.ping_groups(told).begin(enumerate(pings))
    async with asyncio.timeout(10):
        return list(await asyncio.gather(*answers))


def receipts(came: list[Came]) -> list[Receipt]:
    assert all(isinstance(one, Receipt) for one in came), came
    return [one for one in came if isinstance(one, Receipt)]


async def test_each_ping_of_a_group_gets_the_offer_it_would_get_alone(desk: Desk) -> None:
    seller = await desk.seller()
    for cents in (60_00, 45_00, 30_00):
        await desk.campaign(await desk.company(), cents, shared={2: cents * 2 // 3})
    options: list[dict[str, Any]] = [
        {"max_buyers": 1 + number % 3, "min_price": 1_000 * (number % 5), "zip": f"94{number:03d}"}
        for number in range(80)
    ]
    alone = [await desk.ping(seller, **option) for option in options]
    found = receipts(await together(desk, [desk.lead(seller, **option) for option in options]))
    assert [one.legs_cents for one in found] == [one.legs_cents for one in alone]
    assert [one.reasons for one in found] == [one.reasons for one in alone]
    offer = found[0].offer
    assert offer is not None
    assert (await desk.exchange.offers.get(offer.ping_id)) is not None


async def test_a_sold_contact_is_refused_in_a_group_and_the_others_are_not(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 60_00)
    sold = await desk.ping(seller, contact_keys=(ADA,))
    await desk.exchange.post(desk.post_request(sold, contact_keys=(ADA,)))
    pings = [
        desk.lead(seller, contact_keys=(ADA,) if number == 3 else (key_of(f"contact {number}"),))
        for number in range(6)
    ]
    found = receipts(await together(desk, pings))
    assert [one.status for one in found] == ["offer"] * 3 + ["refused"] + ["offer"] * 2
    assert found[3].reason is Reason.DUPLICATE


async def test_what_goes_wrong_with_one_ping_of_a_group_is_only_its_own(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    seller = await desk.seller()
    await desk.campaign(await desk.company(), 60_00)
    pings = [desk.lead(seller) for _ in range(5)]
    hold = desk.exchange.pinging.hold

    def fail_on_the_third(opened, *more):  # type: ignore[no-untyped-def]
        if opened.ping is pings[2]:
            raise RuntimeError("the third")
        return hold(opened, *more)

    monkeypatch.setattr(desk.exchange.pinging, "hold", fail_on_the_third)
    came = await together(desk, pings)
    assert isinstance(came[2], RuntimeError)
    assert [one.status for one in receipts(came[:2] + came[3:])] == ["offer"] * 4


async def test_pings_of_a_group_are_unavailable_when_the_fast_store_is_away(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    seller = await desk.seller()
    await desk.campaign(await desk.company(), 60_00)

    def away(*_: object) -> asyncio.Future[Sequence[SeenContact | None]]:
        future: asyncio.Future[Sequence[SeenContact | None]]
        future = asyncio.get_running_loop().create_future()
        future.set_exception(Unavailable("the fast store is away"))
        return future

    monkeypatch.setattr(desk.exchange.offers, "put_unseen", away)
    came = await together(desk, [desk.lead(seller) for _ in range(3)])
    assert [type(one) for one in came] == [Unavailable] * 3


async def seller_to_a_bidder(desk: Desk) -> SellerId:
    """A seller, in a market of one campaign whose company has a bidder of its own."""
    campaign_id = await desk.campaign(await desk.company(), 60_00)
    campaign = desk.exchange.market.indexes["solar"].runners[campaign_id].campaign
    asking = replace(campaign, bid=Bid(remote=Remote(url="https://bids.test/")))
    await desk.exchange.registry.save_campaign(asking, create=False, now=desk.clock.now())
    return await desk.seller()


class NeverWaitedFor:
    """What bidders of a group have in common."""

    async def ask(
        self, question: Question, asked: Sequence[Asked], deadline: float
    ) -> Sequence[Said]:
        raise AssertionError("a group is not waited for")


class Slow(NeverWaitedFor):
    """Bidders that are told of later: one for each ping, in turns of their own."""

    def __init__(self) -> None:
        self.asked = 0

    def begin(
        self,
        question: Question,
        asked: Sequence[Asked],
        deadline: float,
        told: Callable[[Sequence[Said]], None],
    ) -> None:
        self.asked += 1
        if self.asked == 3:
            raise RuntimeError("the third")
        said = [
            Said(campaign_id=one.campaign_id, share=one.share, cents=100 * self.asked)
            for one in asked
        ]
        asyncio.get_running_loop().call_later(0.001 * (10 - self.asked), told, said)


async def test_pings_of_a_group_wait_for_their_own_bidders_only(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    seller = await seller_to_a_bidder(desk)
    asked = Asking(Slow())
    monkeypatch.setattr(desk.exchange.pinging, "_asking", asked)
    came = await together(desk, [desk.lead(seller) for _ in range(5)])
    assert isinstance(came.pop(2), RuntimeError)
    offers = [one.offer for one in receipts(came)]
    assert [offer and offer.ranks[0].base_cents for offer in offers] == [100, 200, 400, 500]
    assert asked.open == 0


class Held(NeverWaitedFor):
    """Bidders that are told of when the test says so, each with one bid."""

    def __init__(self) -> None:
        self._tell: list[Callable[[], None]] = []

    def begin(
        self,
        question: Question,
        asked: Sequence[Asked],
        deadline: float,
        told: Callable[[Sequence[Said]], None],
    ) -> None:
        said = [Said(campaign_id=o.campaign_id, share=o.share, cents=1_000) for o in asked]
        self._tell.append(lambda: told(said))

    def answer(self) -> None:
        """The bidders of the ping that came first have all answered."""
        self._tell.pop(0)()


async def test_pings_whose_bidders_answered_gather_where_many_wait_and_never_where_few_do(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    seller = await seller_to_a_bidder(desk)
    held, asks, kept = Held(), list[int](), asyncio.Event()
    monkeypatch.setattr(desk.exchange.pinging, "_asking", Asking(held))
    monkeypatch.setattr("exchange.flow.ping_together.GATHER_S", 0.3)
    put = desk.exchange.offers.put_unseen

    def counted(asked: Sequence[Any]) -> Any:
        asks.append(len(asked))
        kept.set()
        return put(asked)

    monkeypatch.setattr(desk.exchange.offers, "put_unseen", counted)
    pings = [desk.lead(seller) for _ in range(MANY + 3)]
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        came = group.create_task(together(desk, pings))
        await asyncio.sleep(0)
        for _ in range(3):
            held.answer()
            await asyncio.sleep(0)
        assert asks == []  # as many as gather still wait for their bidders
        await kept.wait()
        assert asks == [3]
        for number in range(MANY):
            held.answer()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert asks[1:] == [1] * (number + 1)
    assert [one.status for one in receipts(came.result())] == ["offer"] * (MANY + 3)
