"""Bid streams: pings and bids in batches over one WebSocket, which is kept up (design)."""

import asyncio
import base64
import hashlib
import hmac
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvloop

from exchange.buyers import bid_stream
from exchange.buyers.bid_limits import BidLimits
from exchange.buyers.fan_out import AllBidders
from exchange.core.model import CompanyId
from exchange.core.reasons import Reason
from exchange.flow.bidding import Asked
from tests.buyers.asking import (
    NOW,
    PATIENCE_S,
    SHORT_S,
    Bidder,
    a_question,
    ask,
    ask_one,
    asking,
    bidders,
    outcome,
    secret_of,
    until,
    until_connections,
)
from tests.buyers.streams import Ping, Stream, all_bid, bid, streaming
from tests.buyers.systems import Handler, answering, closed_port, system


@pytest.fixture
async def among() -> AsyncIterator[AllBidders]:
    async with bidders() as among:
        yield among


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bid_stream, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(bid_stream, "LONGEST_PAUSE_S", 0.1)


def on(url: str, campaign_id: str = "c-1", share: int = 1, timeout_ms: int = 60_000) -> Asked:
    return asking(url, campaign_id, share, stream=True, timeout_ms=timeout_ms)


# --- pings out, bids in ---------------------------------------------------------------------------


async def test_pings_of_one_turn_go_out_in_one_signed_frame(among: AllBidders) -> None:
    stream = Stream()
    async with streaming(stream) as url:
        asked = [on(url, timeout_ms=300), on(url, "c-2", 3)]
        await ask(among, *asked)
        stream.frames.clear()
        said = await asyncio.gather(
            *(ask(among, *asked, question=a_question(f"p-{n}")) for n in range(5))
        )
    assert [[outcome(one) for one in each] for each in said] == [[4_250, 4_250]] * 5
    (frame,) = stream.frames
    head, _, body = frame.partition("\n")
    secret = secret_of(CompanyId("co-1")).encode()
    expected = hmac.new(secret, f"{NOW}.{body}".encode(), hashlib.sha256).hexdigest()
    assert head == f"{NOW}.{expected}"
    assert len(stream.pings) == 10
    assert body.startswith(
        '[{"ping_id":"p-0","campaign_id":"c-1","vertical":"solar",'
        '"attributes":{"zip":"94107","state":"CA"},'
        '"mode":"exclusive","shares":1,"timeout_ms":300,"test":false},'
        '{"ping_id":"p-0","campaign_id":"c-2",'
    )
    assert len(stream.sockets) == 1


async def test_the_handshake_is_signed_too(among: AllBidders) -> None:
    stream = Stream()
    async with streaming(stream) as url:
        await ask(among, on(url))
    headers = stream.requests[0].headers
    secret = secret_of(CompanyId("co-1")).encode()
    expected = hmac.new(secret, f"{NOW}.".encode(), hashlib.sha256).hexdigest()
    assert headers["X-Exchange-Timestamp"] == str(NOW)
    assert headers["X-Exchange-Signature"] == f"v1={expected}"


@pytest.mark.parametrize("group", [1, 2, 100])
async def test_bids_may_come_back_in_any_grouping_and_order(among: AllBidders, group: int) -> None:
    def shuffled(pings: list[Ping]) -> list[Any]:
        bids = [bid(p, int(p["campaign_id"][2:]) + 1, token=p["campaign_id"]) for p in pings][::-1]
        return [bids[at : at + group] for at in range(0, len(bids), group)]

    async with streaming(Stream(shuffled)) as url:
        said = await ask(among, *(on(url, f"c-{n}") for n in range(7)))
    assert [(s.cents, s.token) for s in said] == [(100 * (n + 1), f"c-{n}") for n in range(7)]


ENTRIES: dict[str, tuple[Callable[[Ping], Any], Reason]] = {
    "no entry": (lambda ping: [], Reason.BIDDER_TIMEOUT),
    "null": (lambda ping: [bid(ping, None)], Reason.BIDDER_DECLINED),
    "zero": (lambda ping: [bid(ping, 0)], Reason.BIDDER_DECLINED),
    "negative": (lambda ping: [bid(ping, -1)], Reason.BID_PRICE),
    "a third of a cent": (lambda ping: [bid(ping, 1.003)], Reason.BID_PRICE),
    "true": (lambda ping: [bid(ping, True)], Reason.BID_PRICE),
    "too much": (lambda ping: [bid(ping, 1_000.01)], Reason.BID_PRICE),
    "euros": (lambda ping: [bid(ping, currency="EUR")], Reason.BID_CURRENCY),
    "a token that is none": (lambda ping: [bid(ping, token=[1])], Reason.BID_UNREADABLE),
    "another ping": (lambda ping: [bid(ping | {"ping_id": "p-9"})], Reason.BID_AUCTION),
    "another campaign": (lambda ping: [bid(ping | {"campaign_id": "c-9"})], Reason.BID_AUCTION),
    "another share count": (lambda ping: [bid(ping | {"shares": 2})], Reason.BID_AUCTION),
    "no object": (lambda ping: [7], Reason.BID_UNREADABLE),
    "ids of another type": (lambda ping: [{"ping_id": 7, "price": 5}], Reason.BID_UNREADABLE),
    "an object alone": (lambda ping: bid(ping), Reason.BID_UNREADABLE),
    "junk": (lambda ping: "not JSON", Reason.BID_UNREADABLE),
}
"""What may be said of a ping, and what it comes to where nothing else is said."""

NOBODYS = {Reason.BIDDER_TIMEOUT, Reason.BID_AUCTION, Reason.BID_UNREADABLE}


async def test_each_entry_has_its_outcome() -> None:
    async def outcome_of(name: str) -> int | Reason | None:
        entry, expected = ENTRIES[name]
        stream = Stream(lambda pings: [entry(ping) for ping in pings])
        # What is nobody's bid is waited for to the end of its time.
        within_s = 0.6 if expected in NOBODYS else PATIENCE_S
        async with bidders() as among, streaming(stream) as url:
            return outcome(await ask_one(among, on(url), within_s))

    told = await asyncio.gather(*(outcome_of(name) for name in ENTRIES))
    assert dict(zip(ENTRIES, told, strict=True)) == {
        name: expected for name, (_, expected) in ENTRIES.items()
    }


async def test_an_entry_costs_only_its_own_bid() -> None:
    names = list(ENTRIES)

    def decide(pings: list[Ping]) -> list[Any]:
        told = [(p, ENTRIES[p["campaign_id"]][0](p)) for p in pings if p["campaign_id"] in ENTRIES]
        entries = [entry for _, one in told if isinstance(one, list) for entry in one]
        good = [bid(ping) for ping in pings if ping["campaign_id"] not in ENTRIES]
        return [*(one for _, one in told if not isinstance(one, list)), [*entries, *good]]

    async with bidders(draw=0.0) as among, streaming(Stream(decide)) as url:
        said = await ask(among, *(on(url, n) for n in names), on(url, "good"), within_s=0.3)
    assert outcome(said[-1]) == 4_250
    for name, one in zip(names, said, strict=False):
        # Whose an entry is that cannot be read, nobody can tell.
        expected = ENTRIES[name][1]
        assert outcome(one) in (NOBODYS if expected in NOBODYS else {expected}), name
    assert outcome(said[names.index("another ping")]) is Reason.BID_AUCTION


async def test_one_stray_bid_is_held_against_one_ping_that_was_open_when_it_came() -> None:
    stream = Stream(lambda pings: [])
    async with bidders(draw=0.0) as among, streaming(stream) as url:
        early = asyncio.create_task(ask(among, on(url), on(url, "c-2"), within_s=SHORT_S))
        await until(lambda: bool(stream.frames))
        await stream.sockets[0].send_str(json.dumps([bid(stream.pings[0] | {"ping_id": "p-9"})]))
        said = await early
        assert [outcome(one) for one in said] == [Reason.BID_AUCTION, Reason.BIDDER_TIMEOUT]
        assert outcome(await ask_one(among, on(url), SHORT_S)) is Reason.BIDDER_TIMEOUT


async def test_a_bid_told_twice_or_late_is_no_stray() -> None:
    stream = Stream(lambda pings: [[bid(ping), bid(ping)] for ping in pings])
    async with bidders(draw=0.0) as among, streaming(stream) as url:
        assert outcome(await ask_one(among, on(url))) == 4_250
        stream.decide = lambda pings: []
        question = a_question("p-late")
        (late,) = await ask(among, on(url), question=question, within_s=SHORT_S)
        assert outcome(late) is Reason.BIDDER_TIMEOUT
        next_one = asyncio.create_task(ask_one(among, on(url, "c-2"), SHORT_S))
        await until(lambda: len(stream.frames) == 3)
        old = [bid(ping) for ping in stream.pings[:2]]
        await stream.sockets[0].send_str(json.dumps(old + old))
        assert outcome(await next_one) is Reason.BIDDER_TIMEOUT


async def test_share_counts_that_are_not_told_are_exclusive(among: AllBidders) -> None:
    def decide(pings: list[Ping]) -> list[Any]:
        return [[{"ping_id": p["ping_id"], "campaign_id": "c-1", "price": "5.00"} for p in pings]]

    async with streaming(Stream(decide)) as url:
        assert outcome(await ask_one(among, on(url))) == 500


async def test_the_first_of_two_bids_for_a_ping_counts(among: AllBidders) -> None:
    async with streaming(Stream(lambda pings: [[bid(pings[0], 5), bid(pings[0], 6)]])) as url:
        assert outcome(await ask_one(among, on(url))) == 500
        assert outcome(await ask_one(among, on(url))) == 500


async def test_late_bids_are_nobodys_and_nothing_is_kept_of_their_pings(
    among: AllBidders,
) -> None:
    stream = Stream(lambda pings: [])
    async with streaming(stream) as url:
        said = await ask(among, on(url), on(url, "c-2"), within_s=SHORT_S)
        assert [outcome(one) for one in said] == [Reason.BIDDER_TIMEOUT] * 2
        assert among.figures().waiting == 0
        await stream.sockets[0].send_str(json.dumps([bid(ping) for ping in stream.pings]))
        stream.decide = all_bid
        assert outcome(await ask_one(among, on(url))) == 4_250


async def test_a_stream_that_does_not_answer_rests_like_any_bidder() -> None:
    async with bidders() as among, streaming(Stream(lambda pings: [])) as url:
        for _ in range(4):
            await ask(among, on(url), within_s=0.05)
        assert outcome(await ask_one(among, on(url), 0.05)) is Reason.BIDDER_RESTING


async def test_only_so_many_pings_are_open_on_a_stream() -> None:
    async with (
        bidders(BidLimits(max_stream_pings=2)) as among,
        streaming(Stream(lambda pings: [])) as url,
    ):
        said = await ask(among, *(on(url, f"c-{n}") for n in range(3)), within_s=SHORT_S)
        assert outcome(said[2]) is Reason.BIDDER_BUSY


async def test_many_large_pings_are_sent_in_frames_of_bounded_size(
    among: AllBidders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bid_stream, "MAX_FRAME_BYTES", 3_000)
    stream = Stream()
    async with streaming(stream) as url:
        said = await ask(among, *(on(url, f"c-{n}") for n in range(50)))
    assert [outcome(one) for one in said] == [4_250] * 50
    assert len(stream.frames) > 3
    assert max(map(len, stream.frames)) < 3_100


def test_streams_and_bidders_over_http_share_one_auction_and_its_deadline() -> None:
    """On both loops: the standard one, and the one the exchange runs on."""

    async def auctions() -> None:
        silent = Stream(lambda pings: [])
        async with bidders() as among, streaming(Stream()) as good, streaming(silent) as bad:
            async with system(Bidder()) as http:
                asked = [on(good), asking(http, "c-2"), on(bad, "c-3"), asking(http, "c-4")]
                for turn in range(3):
                    question = a_question(f"p-{turn}")
                    said = await ask(among, *asked, within_s=SHORT_S, question=question)
                    assert [outcome(said[n]) for n in (0, 1, 3)] == [4_250] * 3
                    assert said[2].cents is None
            assert among.health()["c-1"].stream
            assert among.health()["c-1"].connections == 1

    for loop_factory in (asyncio.new_event_loop, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(auctions())


# --- the stream is kept up ------------------------------------------------------------------------


async def test_a_lost_stream_loses_its_open_pings_and_is_dialled_again(
    among: AllBidders,
) -> None:
    stream = Stream(lambda pings: [])
    async with streaming(stream) as url:
        asked = asyncio.create_task(ask_one(among, on(url)))
        await until(lambda: bool(stream.frames))
        transport = stream.requests[0].transport
        assert transport is not None
        transport.abort()
        assert outcome(await asked) is Reason.BIDDER_CONNECTION
        stream.decide = all_bid
        await until_connections(among, 1)
        assert outcome(await ask_one(among, on(url))) == 4_250
    assert len(stream.sockets) == 2
    # A stream that was down has not failed as a bidder.
    assert among.health()["c-1"].state == "well"


async def test_a_stream_the_company_closes_is_dialled_again(among: AllBidders) -> None:
    stream = Stream()
    async with streaming(stream) as url:
        await ask(among, on(url))
        await stream.sockets[0].close()
        await until(lambda: len(stream.sockets) == 2)
        await until_connections(among, 1)
        assert outcome(await ask_one(among, on(url))) == 4_250


async def test_a_stream_that_is_not_there_costs_its_own_bid_until_it_is(
    among: AllBidders,
) -> None:
    port = closed_port()
    url = f"ws://127.0.0.1:{port}/bids"
    for _ in range(3):
        assert outcome(await ask_one(among, on(url))) is Reason.BIDDER_CONNECTION
    async with streaming(Stream(), port):
        await until_connections(among, 1)
        assert outcome(await ask_one(among, on(url))) == 4_250


@pytest.mark.parametrize(
    "handler",
    [
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        answering(b"HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n"),
        answering(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
        answering(b"junk\r\n\r\n"),
        answering(b""),
    ],
    ids=["no upgrade", "forbidden", "not our key", "junk", "nothing"],
)
async def test_who_does_not_shake_hands_is_no_stream(among: AllBidders, handler: Handler) -> None:
    async with system(handler) as url:
        said = await ask_one(among, on(url.replace("http", "ws")))
        assert outcome(said) is Reason.BIDDER_CONNECTION


async def test_a_stream_is_not_led_elsewhere(among: AllBidders) -> None:
    stream = Stream()
    async with streaming(stream) as elsewhere:
        place = elsewhere.replace("ws", "http")
        moved = f"HTTP/1.1 302 X\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()
        async with system(answering(moved)) as url:
            said = await ask_one(among, on(url.replace("http", "ws")))
            assert outcome(said) is Reason.BIDDER_CONNECTION
    assert not stream.requests


async def test_a_stream_to_a_private_address_is_not_dialled_unless_allowed() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    stream = Stream()
    async with (
        AllBidders(secret_of=secret_of, resolve=resolve) as among,
        streaming(stream) as url,
    ):
        named = url.replace("127.0.0.1", "inside.example")
        said = await ask(among, on(url), on(named, "c-2"))
        assert [outcome(one) for one in said] == [Reason.BIDDER_CONNECTION] * 2
    assert not stream.requests


async def test_a_frame_of_more_than_is_read_ends_the_stream_and_it_comes_back(
    among: AllBidders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bid_stream, "MAX_FRAME_BYTES", 5_000)
    stream = Stream(lambda pings: ["x" * 6_000])
    async with streaming(stream) as url:
        assert outcome(await ask_one(among, on(url))) is Reason.BIDDER_CONNECTION
        stream.decide = all_bid
        await until_connections(among, 1)
        assert outcome(await ask_one(among, on(url))) == 4_250


async def test_a_silent_stream_is_pinged_and_given_up_if_it_stays_silent(
    among: AllBidders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bid_stream, "HEARTBEAT_S", 0.3)
    stream = Stream()
    async with streaming(stream) as url:
        await ask(among, on(url))
        await asyncio.sleep(0.8)  # it answers our pings
        assert len(stream.sockets) == 1

    async def deaf(reader: StreamReader, writer: StreamWriter) -> None:
        await shake_hands(reader, writer)
        await asyncio.Event().wait()

    async with system(deaf) as url:
        asked = on(url.replace("http", "ws"), "c-2")
        began = asyncio.get_running_loop().time()
        assert outcome(await ask_one(among, asked)) is Reason.BIDDER_CONNECTION
        assert asyncio.get_running_loop().time() - began < 3


async def shake_hands(reader: StreamReader, writer: StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = next(line for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Key"))
    # RFC 6455 §4.2.2.
    joined = key.partition(": ")[2] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(joined.encode()).digest())
    writer.write(
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
    )


async def test_closing_ends_streams_tasks_and_auctions() -> None:
    before = asyncio.all_tasks()
    stream = Stream(lambda pings: [])
    async with streaming(stream) as url:
        serving = asyncio.all_tasks()
        among = bidders()
        await among.start()
        asked = asyncio.create_task(ask_one(among, on(url)))
        await until(lambda: bool(stream.frames))
        await among.close()
        assert outcome(await asked) is Reason.BIDDER_CONNECTION
    await until(lambda: asyncio.all_tasks() <= before | serving)
