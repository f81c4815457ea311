"""The kit's bid stream over real sockets: signed frames of pings in, frames of bids out."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from bidders.kit import Bid, Bidder, Ping, sign_frame, stream_door
from tests.bidders.wire import Json, a_ping

SECRET = "xs_demo"


def a_frame(*pings: Json, secret: str = SECRET, late_s: int = 0) -> str:
    return sign_frame(secret, int(time.time()) - late_s, json.dumps(pings).encode())


@asynccontextmanager
async def streaming(bidder: Bidder) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        bidder.serving() as base,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{base.replace('http', 'ws')}/stream") as stream,
    ):
        yield stream


async def hear(stream: aiohttp.ClientWebSocketResponse, count: int) -> list[Any]:
    """Read frames until so many answers came."""
    answers: list[Any] = []
    while len(answers) < count:
        answers += json.loads(await stream.receive_str(timeout=5))
    return answers


def bidding() -> Bidder:
    """Bids a plain price, waits, passes or fails, as the ping's attributes say."""
    bidder = Bidder(secret=SECRET)

    @bidder.price
    async def price(ping: Ping) -> Bid | None:
        if "fail" in ping.attributes:
            raise LookupError("no price")
        await asyncio.sleep(ping.attributes.get("wait_s", 0))
        return None if "pass" in ping.attributes else Bid("42.50", token="t-1")

    return bidder


async def test_every_ping_of_a_frame_is_answered_once_by_its_ids() -> None:
    async with streaming(bidding()) as stream:
        await stream.send_str(
            a_frame(
                a_ping("p-1"),
                a_ping("p-1", campaign_id="c-2", mode="shared", shares=3),
                a_ping("p-2", attributes={"pass": 1}),
                a_ping("p-3", attributes={"fail": 1}),
            )
        )
        answers = await hear(stream, 4)
    bid = {"price": 42.5, "currency": "USD", "token": "t-1"}
    assert sorted(answers, key=lambda each: (each["ping_id"], each["campaign_id"])) == [
        {"ping_id": "p-1", "campaign_id": "c-1", "shares": 1, **bid},
        {"ping_id": "p-1", "campaign_id": "c-2", "shares": 3, **bid},
        {"ping_id": "p-2", "campaign_id": "c-1", "shares": 1, "price": None},
        {"ping_id": "p-3", "campaign_id": "c-1", "shares": 1, "price": None},
    ]


async def test_what_is_decided_together_is_answered_in_one_frame() -> None:
    bidder = Bidder(secret=SECRET)
    bidder.price(lambda ping: Bid("42.50"))
    async with streaming(bidder) as stream:
        await stream.send_str(a_frame(*(a_ping(f"p-{n}") for n in range(50))))
        assert len(json.loads(await stream.receive_str(timeout=5))) == 50


async def test_a_slow_ping_holds_up_no_other_and_becomes_no_bid_in_time() -> None:
    async with streaming(bidding()) as stream:
        slow = a_ping("slow", attributes={"wait_s": 30}, timeout_ms=150)
        await stream.send_str(a_frame(slow, a_ping("quick")))
        answers = await hear(stream, 2)
    assert [(each["ping_id"], each["price"]) for each in answers] == [
        ("quick", 42.5),
        ("slow", None),
    ]


@pytest.mark.parametrize(
    ("make_frame", "code"),
    [
        pytest.param(lambda: a_frame(a_ping(), secret="xs_other"), 1008, id="another's signature"),
        pytest.param(lambda: a_frame(a_ping(), late_s=400), 1008, id="an old signature"),
        pytest.param(lambda: json.dumps([a_ping()]), 1008, id="no signature"),
        pytest.param(lambda: sign_frame(SECRET, int(time.time()), b"{"), 1007, id="no JSON"),
        pytest.param(lambda: a_frame({"ping_id": "p-1"}), 1007, id="no pings"),
        pytest.param(lambda: "x" * 2_001, 1009, id="too large"),
    ],
)
async def test_a_frame_that_cannot_be_trusted_or_read_ends_the_stream(
    make_frame: Callable[[], str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_door, "MAX_FRAME_BYTES", 2_000)
    bidder = bidding()
    async with streaming(bidder) as stream:
        await stream.send_str(make_frame())
        message = await stream.receive(timeout=5)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, code)
    assert bidder.counts.pings == 0
    assert bidder.counts.unproven == (code == 1008)


async def test_pings_waiting_for_an_answer_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_door, "MAX_UNANSWERED", 2)
    async with streaming(bidding()) as stream:
        await stream.send_str(a_frame(*(a_ping(f"p-{n}") for n in range(3))))
        assert (await stream.receive(timeout=5)).data == aiohttp.WSCloseCode.TRY_AGAIN_LATER


async def test_a_stream_that_ends_leaves_no_work_behind() -> None:
    bidder = bidding()
    async with bidder.serving() as base, aiohttp.ClientSession() as http:
        stream = await http.ws_connect(f"{base.replace('http', 'ws')}/stream")
        await stream.send_str(a_frame(a_ping(attributes={"wait_s": 30}, timeout_ms=60_000)))
        async with asyncio.timeout(5):
            while not bidder._pricing:  # noqa: ASYNC110 - no event to wait for
                await asyncio.sleep(0.01)
            await stream.close()
            while bidder._pricing:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_bidder_that_stops_says_goodbye_to_its_streams() -> None:
    async with aiohttp.ClientSession() as http:
        async with bidding().serving() as base:
            stream = await http.ws_connect(f"{base.replace('http', 'ws')}/stream")
            heard = asyncio.ensure_future(stream.receive(timeout=5))
            await asyncio.sleep(0)
        assert (await heard).data == aiohttp.WSCloseCode.GOING_AWAY
        await stream.close()
