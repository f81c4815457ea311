"""Open offers and seen contacts in the fast store, many pings to a call."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec import Raw, Struct
from redis.asyncio import Redis
from uuid_utils import uuid7

from exchange.core.model import CompanyId, Offer, Ping, PingId, SellerId
from exchange.core.screen import SeenContact
from exchange.embedded import StoreUrls
from exchange.flow.faults import Unavailable
from exchange.stores.batching import Batch
from exchange.stores.redis_offers import RedisOffers, offer_key, seen_key
from exchange.stores.redis_pipe import RedisPipe

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINE, THEIRS = SellerId("seller-1"), SellerId("seller-2")
ROOFS, SOLAR = CompanyId("roofs"), CompanyId("solar")


class Nothing(Struct):
    """No attributes."""


@pytest.fixture
async def offers(redis: Redis, stores: StoreUrls) -> AsyncIterator[RedisOffers]:
    pipe = RedisPipe(stores.redis)
    yield RedisOffers(pipe)
    await pipe.close()


def offer() -> Offer:
    return Offer(
        ping_id=PingId(str(uuid7())),
        seller_id=MINE,
        vertical="solar",
        attributes=Raw(b'{"zip":"94107"}'),
        contact_hashes={"phone": "a" * 64},
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
        expires_at=NOON + timedelta(seconds=300),
    )


def written(one: Offer) -> bytes:
    return msgspec.json.encode(one)


async def put(offers: RedisOffers, one: Offer) -> None:
    await offers.put(one.ping_id, written(one), 60)


async def put_unseen(offers: RedisOffers, of: Ping, body: bytes) -> SeenContact | None:
    """Ask about one ping."""
    (known,) = await offers.put_unseen([(of, body, 60)])
    return known


def ping(of: Offer, *contact_keys: str, at: datetime = NOON, **facts: Any) -> Ping:
    """The ping of an offer."""
    return Ping(
        ping_id=of.ping_id,
        seller_id=facts.pop("seller_id", of.seller_id),
        vertical=of.vertical,
        attributes=Nothing(),
        contact_keys=contact_keys,
        captured_at=at,
        received_at=at,
        **facts,
    )


def contact() -> tuple[str, str]:
    """Two keys of a contact nobody has seen."""
    return secrets.token_hex(32), secrets.token_hex(32)


async def test_an_offer_is_held_as_it_was_put(offers: RedisOffers) -> None:
    one = offer()
    await put(offers, one)
    held = await offers.get(one.ping_id)
    assert held is not None
    assert (held.legs_cents, held.expires_at) == (one.legs_cents, one.expires_at)
    assert bytes(held.attributes) == b'{"zip":"94107"}'


async def test_an_offer_nobody_put_is_none(offers: RedisOffers) -> None:
    assert await offers.get(PingId("nothing")) is None


async def test_an_offer_is_held_no_longer_than_asked(offers: RedisOffers, redis: Redis) -> None:
    one = offer()
    await put(offers, one)
    assert 0 < await redis.pttl(offer_key(one.ping_id)) <= 60_000


async def test_many_offers_put_at_once_are_each_held(offers: RedisOffers) -> None:
    many = [offer() for _ in range(200)]
    await asyncio.gather(*(put(offers, one) for one in many))
    held = await asyncio.gather(*(offers.get(one.ping_id) for one in many))
    assert [one.ping_id for one in held if one is not None] == [one.ping_id for one in many]


async def test_a_contact_seen_by_any_of_its_keys_keeps_the_offer_out(offers: RedisOffers) -> None:
    one, (phone, email) = offer(), contact()
    await offers.saw([email], MINE, [ROOFS], NOON)
    assert await put_unseen(offers, ping(one, phone, email), written(one)) is not None
    assert await offers.get(one.ping_id) is None


@pytest.mark.parametrize("together", [1, 7, 30])
async def test_of_pings_in_one_call_each_is_judged_by_its_own_contact(
    offers: RedisOffers, together: int
) -> None:
    many = [offer() for _ in range(30)]
    contacts = [contact() if place % 3 else () for place in range(len(many))]
    for keys in contacts[1::3]:
        await offers.saw(keys, MINE, [ROOFS], NOON)
    asks = [
        (ping(one, *keys), written(one) if place % 5 else b"", 60)
        for place, (one, keys) in enumerate(zip(many, contacts, strict=True))
    ]
    groups = [asks[first : first + together] for first in range(0, len(asks), together)]
    told = await asyncio.gather(*(offers.put_unseen(group) for group in groups))
    assert [len(known) for known in told] == [len(group) for group in groups]
    unseen = [known for some in told for known in some]
    held = [await offers.get(one.ping_id) is not None for one in many]
    assert [known is None for known in unseen] == [place % 3 != 1 for place in range(len(many))]
    assert held == [place % 3 != 1 and place % 5 != 0 for place in range(len(many))]


async def test_a_seen_contact_is_told_with_the_last_sale_by_seller_and_to_whom(
    offers: RedisOffers,
) -> None:
    phone, email = contact()
    later = NOON + timedelta(days=1)
    await offers.saw([phone], MINE, [ROOFS], NOON)
    await offers.saw([email], THEIRS, [SOLAR], later)
    assert await put_unseen(offers, ping(offer(), phone, email), b"") == SeenContact(
        market_sold_at=later, seller_sold_at=NOON, sold_to={ROOFS: NOON, SOLAR: later}
    )


async def test_nothing_is_known_of_a_contact_nobody_sold(offers: RedisOffers) -> None:
    assert await put_unseen(offers, ping(offer(), *contact()), b"") is None
    assert await put_unseen(offers, ping(offer()), b"") is None


async def test_a_seen_contact_is_remembered_for_a_year(offers: RedisOffers, redis: Redis) -> None:
    phone, _ = contact()
    await offers.saw([phone], MINE, [ROOFS], NOON)
    assert 365 * 86_400 < await redis.ttl(seen_key(phone)) <= 366 * 86_400


async def test_a_store_that_forgot_its_scripts_is_told_them_again(
    offers: RedisOffers, redis: Redis
) -> None:
    await put(offers, offer())
    await redis.script_flush()
    one = offer()
    assert await put_unseen(offers, ping(one), written(one)) is None
    assert await offers.get(one.ping_id) is not None


async def test_a_connection_that_was_cut_is_made_anew(offers: RedisOffers, redis: Redis) -> None:
    one = offer()
    await put(offers, one)
    await redis.client_kill_filter(_type="normal", skipme=True)
    await asyncio.sleep(0.05)
    assert await offers.get(one.ping_id) is not None


async def test_a_store_that_is_away_is_unavailable_to_everybody_who_asked() -> None:
    nowhere = "redis://127.0.0.1:1"
    offers = RedisOffers(RedisPipe(nowhere))
    answers = await asyncio.gather(
        *(put(offers, offer()) for _ in range(3)),
        offers.get(PingId("p")),
        offers.saw(["k"], MINE, [ROOFS], NOON),
        return_exceptions=True,
    )
    assert all(isinstance(answer, Unavailable) for answer in answers)


async def test_a_caller_that_is_cancelled_as_the_answer_comes_is_cancelled(pipe: RedisPipe) -> None:
    await pipe.call("PING")
    asking = asyncio.create_task(pipe.call("PING"))
    line = pipe._line
    assert line is not None
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        while line._waiting:  # noqa: ASYNC110 - the very moment in which the answer is there
            await asyncio.sleep(0)
    asking.cancel()
    done, _ = await asyncio.wait({asking}, timeout=5)
    assert done
    assert asking.cancelled()
    assert await pipe.call("PING") == b"PONG"


# --- asking together ------------------------------------------------------------------------------


class Store:
    """Answers each number with its double, when it is let; counts the calls."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def double(self, asked: Sequence[int]) -> Sequence[int]:
        self.calls.append(list(asked))
        await self.open.wait()
        if 13 in asked:
            raise Unavailable("unlucky")
        return [2 * number for number in asked]


async def test_who_asks_in_the_same_moment_is_answered_by_one_call() -> None:
    store = Store()
    batch = Batch(store.double, most=64, waiting=100)
    assert await asyncio.gather(*(batch.ask(number) for number in range(5))) == [0, 2, 4, 6, 8]
    assert store.calls == [[0, 1, 2, 3, 4]]


async def test_no_call_carries_more_than_the_most() -> None:
    store = Store()
    batch = Batch(store.double, most=4, waiting=100)
    answers = await asyncio.gather(*(batch.ask(number) for number in range(10)))
    assert answers == [2 * number for number in range(10)]
    assert [len(call) for call in store.calls] == [4, 4, 2]


async def test_an_ask_of_many_counts_as_many_and_is_carried_whole() -> None:
    store = Store()
    batch = Batch(store.double, most=4, waiting=11)
    asked = [batch.ask(number, weight) for number, weight in ((1, 3), (2, 1), (3, 2), (4, 5))]
    with pytest.raises(Unavailable):
        batch.ask(5)
    assert await asyncio.gather(*asked) == [2, 4, 6, 8]
    assert store.calls == [[1, 2], [3], [4]]
    assert await batch.ask(5) == 10


async def test_while_calls_are_under_way_others_gather() -> None:
    store = Store()
    store.open.clear()
    batch = Batch(store.double, most=64, waiting=100, calls=1)
    first = batch.ask(1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [batch.ask(number) for number in (2, 3)]
    await asyncio.sleep(0.01)
    assert store.calls == [[1]]
    store.open.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6]
    assert store.calls == [[1], [2, 3]]


async def test_a_call_that_fails_fails_only_those_it_carried() -> None:
    store = Store()
    batch = Batch(store.double, most=2, waiting=100)
    answers = await asyncio.gather(
        *(batch.ask(number) for number in (1, 13, 3, 4)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [Unavailable, Unavailable, int, int]


async def test_more_than_may_wait_are_turned_away_at_once() -> None:
    store = Store()
    batch = Batch(store.double, most=64, waiting=3)
    waiting = [batch.ask(number) for number in range(3)]
    with pytest.raises(Unavailable):
        batch.ask(4)
    assert await asyncio.gather(*waiting) == [0, 2, 4]


async def test_who_no_longer_waits_harms_nobody_who_does() -> None:
    store = Store()
    batch = Batch(store.double, most=64, waiting=3)
    gone, stays = batch.ask(1), batch.ask(2)
    gone.cancel()
    assert await stays == 4
    assert await batch.ask(3) == 6


async def test_a_batch_answered_short_fails_its_asks_and_hangs_nobody() -> None:
    async def send(asks: Sequence[int]) -> Sequence[int]:
        return list(asks[:-1])

    batch: Batch[int, int] = Batch(send, most=4, waiting=4)
    asked = [batch.ask(1), batch.ask(2)]
    async with asyncio.timeout(5):
        for answer in asked:
            with pytest.raises(RuntimeError):
                await answer
