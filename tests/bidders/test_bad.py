"""The bad bidders over real sockets: each is bad in the way it says, byte for byte."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import statistics
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidders.bad import MANNERS, BadBidders, Delay, bad_bidders, sending
from bidders.bad.delays import delay_ms
from tests.bidders.wire import Json, a_client_frame, a_lead, a_ping, a_request, exchange_bytes

GOOD: Json = {"price": 42.5, "currency": "USD", "token": "bad-1"}


@pytest.fixture
async def bad() -> AsyncIterator[BadBidders]:
    async with bad_bidders(seed=7) as server:
        yield server


def port_of(bad: BadBidders) -> int:
    return int(bad.base_url.rpartition(":")[2])


async def ask(
    bad: BadBidders, name: str, door: str = "ping", *, query: str = "", wait_s: float = 0.3
) -> tuple[bytes, str]:
    """Ask with a raw request; gives the bytes that came, and how it ended."""
    body = a_lead() if door == "leads" else a_ping()
    request = a_request(f"/bad/{name}/{door}{query}", body)
    return await exchange_bytes(port_of(bad), request, wait_s=wait_s)


def parts(answer: bytes) -> tuple[bytes, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


def announced(answer: bytes) -> int:
    return int(answer.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])


# --- pings over HTTP ------------------------------------------------------------------------------


def is_bid(**expected: Any) -> Callable[[bytes, str], bool]:
    def check(answer: bytes, end: str) -> bool:
        head, body = parts(answer)
        told = json.loads(body, parse_float=str, parse_constant=str)
        return (
            head.startswith(b"HTTP/1.1 200 ")
            and end == "silence"
            and expected.items() <= told.items()
        )

    return check


def is_broken_off(by: str) -> Callable[[bytes, str], bool]:
    return lambda answer, end: (
        end == by
        and answer.startswith(b"HTTP/1.1 200 ")
        and 0 < len(parts(answer)[1]) < announced(answer)
    )


CHECKS: dict[str, Callable[[bytes, str], bool]] = {
    "good": is_bid(price="42.50", currency="USD"),
    "hanging": lambda answer, end: (answer, end) == (b"", "silence"),
    "slow": lambda answer, end: (answer, end) == (b"", "silence"),  # its delays: below
    "dripping": lambda answer, end: 1 <= len(answer) < 10 and b"HTTP/1.1 ".startswith(answer),
    "erring": lambda answer, end: answer.startswith(b"HTTP/1.1 500 ") and end == "silence",
    "resetting": is_broken_off("reset"),
    "cutting": is_broken_off("end"),
    "closing": lambda answer, end: (answer, end) == (b"", "end"),
    "leaving": lambda answer, end: (
        json.loads(parts(answer)[1]) == GOOD and end == "end" and b"onnection" not in answer
    ),
    "garbage": lambda answer, end: b"HTTP" not in answer and len(answer) > 100,
    "huge": lambda answer, end: (
        announced(answer) == len(parts(answer)[1]) == 5_000_000
        and json.loads(parts(answer)[1]) == GOOD
    ),
    "headless": lambda answer, end: len(answer) > 5_000_000 and b"\r\n\r\n" not in answer,
    "bomb": lambda answer, end: (
        b"Content-Encoding: gzip" in answer
        and len(parts(answer)[1]) < 64_000
        and len(gzip.decompress(parts(answer)[1])) > 32_000_000
        and json.loads(gzip.decompress(parts(answer)[1])) == GOOD
    ),
    "overstating": lambda answer, end: (
        end == "silence" and announced(answer) == len(parts(answer)[1]) + 100
    ),
    "doubling": lambda answer, end: (
        answer.count(b"HTTP/1.1 200 OK") == 2 and answer.index(b"42.50") < answer.index(b"999.99")
    ),
    "redirecting": lambda answer, end: (
        answer.startswith(b"HTTP/1.1 307 ") and b"\r\nLocation: /bad/trap/ping\r\n" in answer
    ),
    "trap": is_bid(price="999.99"),
    "mistyped": lambda answer, end: (
        b"Content-Type: image/png\r\n" in answer and json.loads(parts(answer)[1]) == GOOD
    ),
    "page": lambda answer, end: b"application/json" in answer and b"<html>" in answer,
    "truncated": lambda answer, end: (
        announced(answer) == len(parts(answer)[1]) and not answer.endswith(b"}")
    ),
    "euro": is_bid(currency="EUR"),
    "negative": is_bid(price="-42.50"),
    "free": is_bid(price="0.00"),
    "nan": is_bid(price="NaN"),
    "infinite": is_bid(price="1e999"),
    "enormous": is_bid(price="99999999999999999999.99"),
    "finer": is_bid(price="42.505"),
    "wordy": is_bid(price="a lot"),
    "empty": is_bid(currency="USD"),
    "mistaken": is_bid(ping_id="another-ping", price="999.99"),
    "regretting": is_bid(price="42.50"),
}


@pytest.mark.parametrize("name", list(MANNERS))
async def test_each_answers_a_ping_in_its_own_bad_way(
    bad: BadBidders, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "HUGE_BYTES", 5_000_000)
    query = "?median_ms=30000" if name == "slow" else ""
    wait_s = 2.0 if name in ("huge", "headless", "bomb") else 0.15
    answer, end = await ask(bad, name, query=query, wait_s=wait_s)
    assert CHECKS[name](answer, end), (end, answer[:500])
    assert bad.seen(name).pings == 1


async def test_a_request_after_a_good_answer_is_served_on_the_same_connection(
    bad: BadBidders,
) -> None:
    request = a_request("/bad/good/ping", a_ping())
    answer, _ = await exchange_bytes(port_of(bad), request * 3, wait_s=0.15)
    assert answer.count(b"HTTP/1.1 200 OK") == 3


# --- leads ----------------------------------------------------------------------------------------


async def test_one_that_regrets_takes_the_lead_for_another_price(bad: BadBidders) -> None:
    answer, _ = await ask(bad, "regretting", "leads", wait_s=0.15)
    assert json.loads(parts(answer)[1]) == {
        "status": "accepted",
        "reference": "bad-1",
        "price": 1.00,
    }
    assert (bad.seen("regretting").leads, bad.seen("regretting").pings) == (1, 0)


@pytest.mark.parametrize("name", ["hanging", "erring", "resetting", "cutting", "closing"])
async def test_leads_are_treated_as_badly_as_pings(bad: BadBidders, name: str) -> None:
    answer, end = await ask(bad, name, "leads", wait_s=0.15)
    assert CHECKS[name](answer, end)


async def test_a_redirected_lead_is_led_into_the_trap_for_leads(bad: BadBidders) -> None:
    async with aiohttp.ClientSession() as http:
        answer = await http.post(bad.leads_url("redirecting"), json=a_lead())
        assert (await answer.json())["status"] == "accepted"  # a client that follows
    assert bad.seen("trap").leads == 1


# --- the bid stream -------------------------------------------------------------------------------


async def stream_bids(bad: BadBidders, name: str, *, count: int = 1) -> list[Any]:
    """Send two pings over a stream; gives the messages that come back."""
    frame = f"1.{'0' * 64}\n" + json.dumps([a_ping("p-1"), a_ping("p-2", shares=2)])
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(bad.stream_url(name), max_msg_size=0) as stream,
    ):
        await stream.send_str(frame)
        return [await stream.receive(timeout=2) for _ in range(count)]


async def test_a_good_stream_names_every_ping_it_bids_on(bad: BadBidders) -> None:
    [message] = await stream_bids(bad, "good")
    assert json.loads(message.data) == [
        {"ping_id": "p-1", "campaign_id": "c-1", "shares": 1, **GOOD},
        {"ping_id": "p-2", "campaign_id": "c-1", "shares": 2, **GOOD},
    ]
    assert (bad.seen("good").streams, bad.seen("good").pings) == (1, 2)


async def test_a_doubling_stream_bids_again_at_another_price(bad: BadBidders) -> None:
    first, second = await stream_bids(bad, "doubling", count=2)
    assert [json.loads(each.data)[0]["price"] for each in (first, second)] == [42.5, 999.99]


async def test_a_mistaken_stream_bids_on_a_ping_it_was_not_asked_about(bad: BadBidders) -> None:
    [message] = await stream_bids(bad, "mistaken")
    assert {bid["ping_id"] for bid in json.loads(message.data)} == {"another-ping"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param("mistyped", aiohttp.WSMsgType.BINARY, id="binary for text"),
        pytest.param("garbage", aiohttp.WSMsgType.ERROR, id="no frames"),
    ],
)
async def test_a_stream_is_as_bad_as_its_bidder(
    bad: BadBidders, name: str, kind: aiohttp.WSMsgType
) -> None:
    [message] = await stream_bids(bad, name)
    assert message.type is kind


@pytest.mark.parametrize(
    ("name", "said", "ended"),
    [
        pytest.param("closing", "nothing", "end", id="hangs up"),
        pytest.param("cutting", "half", "end", id="ends in a frame"),
        pytest.param("resetting", "half", "reset", id="resets in a frame"),
        pytest.param("overstating", "half", "silence", id="waits in a frame"),
    ],
)
async def test_a_stream_breaks_off_as_its_bidder_does(
    bad: BadBidders, name: str, said: str, ended: str
) -> None:
    handshake = (
        f"GET /bad/{name}/stream HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    frame = a_client_frame(1, b"1.0\n" + json.dumps([a_ping("p-1"), a_ping("p-2")]).encode())
    answer, end = await exchange_bytes(port_of(bad), handshake.encode() + frame)
    head, bids = parts(answer)
    assert head.startswith(b"HTTP/1.1 101 ") and end == ended
    if said == "nothing":
        assert not bids
    else:  # one frame of text, with a length in 16 bits that is more than came
        assert bids[:2] == b"\x81\x7e"
        assert 0 < len(bids) - 4 < int.from_bytes(bids[2:4])


async def test_a_hanging_stream_still_answers_that_it_is_there(bad: BadBidders) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(bad.stream_url("hanging"), autoping=False) as stream,
    ):
        await stream.send_str(json.dumps([a_ping()]))
        await stream.ping(b"there?")
        assert (await stream.receive(timeout=5)).type is aiohttp.WSMsgType.PONG
        with pytest.raises(asyncio.TimeoutError):
            await stream.receive(timeout=0.1)


@pytest.mark.parametrize(("name", "status"), [("erring", 500), ("redirecting", 307)])
async def test_some_take_no_stream(bad: BadBidders, name: str, status: int) -> None:
    async with aiohttp.ClientSession() as http:
        answer = await http.get(
            bad.stream_url(name).replace("ws", "http", 1), allow_redirects=False
        )
        assert answer.status == status


# --- how slow slow is -----------------------------------------------------------------------------

delays = st.one_of(
    st.builds(
        Delay,
        distribution=st.sampled_from(["lognormal", "pareto", "exponential"]),
        median_ms=st.floats(0.1, 1_000),
        spread=st.floats(0, 2),
    ),
    st.builds(
        Delay,
        distribution=st.just("uniform"),
        median_ms=st.floats(0.1, 1_000),
        spread=st.floats(0, 1),
    ),
)


@given(delays, st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_a_delay_grows_with_its_draw_around_its_median(
    delay: Delay, one: float, other: float
) -> None:
    low, high = sorted((delay_ms(delay, one), delay_ms(delay, other)))
    assert (low, high) == (delay_ms(delay, min(one, other)), delay_ms(delay, max(one, other)))
    assert 0 <= low <= high <= 60_000
    assert math.isclose(delay_ms(delay, 0.5), delay.median_ms, rel_tol=1e-9)


def test_a_lognormal_delay_has_the_deviation_it_was_given() -> None:
    delay = Delay(median_ms=100, spread=0.5)
    logs = [math.log(delay_ms(delay, (n + 0.5) / 5_000)) for n in range(5_000)]
    assert math.isclose(statistics.stdev(logs), 0.5, rel_tol=0.01)


async def test_a_slow_bidder_takes_the_same_time_for_the_same_ping(bad: BadBidders) -> None:
    url = bad.ping_url("slow") + "?distribution=uniform&median_ms=100&spread=0"
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as http:
        began = loop.time()
        answer = await http.post(url, json=a_ping())
        assert await answer.json() == GOOD
    assert loop.time() - began >= 0.099


@pytest.mark.parametrize(
    "query", ["?median_ms=0", "?median_ms=x", "?distribution=none", "?pace=1", "?spread=6"]
)
async def test_a_delay_out_of_range_is_refused(bad: BadBidders, query: str) -> None:
    answer, end = await ask(bad, "slow", query=query)
    assert answer.startswith(b"HTTP/1.1 400 ") and end == "end"


# --- the server itself ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(b"POST /bad/nobody/ping HTTP/1.1\r\n\r\n", b"404", id="no such bidder"),
        pytest.param(b"POST /bad/good/lead HTTP/1.1\r\n\r\n", b"404", id="no such door"),
        pytest.param(b"GET /bad/good/stream HTTP/1.1\r\n\r\n", b"400", id="no handshake"),
        pytest.param(b"HELLO\r\n\r\n", b"400", id="no HTTP"),
        pytest.param(b"x" * 70_000 + b"\r\n\r\n", b"400", id="a head too long"),
        pytest.param(
            b"POST /bad/good/ping HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n",
            b"400",
            id="a body too long",
        ),
    ],
)
async def test_what_it_cannot_serve_is_refused(
    bad: BadBidders, request_bytes: bytes, status: bytes
) -> None:
    answer, _ = await exchange_bytes(port_of(bad), request_bytes)
    assert answer.startswith(b"HTTP/1.1 " + status) or not answer  # or was reset over unread bytes


async def test_what_each_has_seen_is_told_over_http(bad: BadBidders) -> None:
    await ask(bad, "euro", wait_s=0.05)
    async with aiohttp.ClientSession() as http:
        seen = await (await http.get(f"{bad.base_url}/bad")).json()
    assert seen["euro"] == {"pings": 1, "leads": 0, "streams": 0}
    assert seen.keys() == MANNERS.keys()


async def test_connections_whose_other_side_left_are_let_go(bad: BadBidders) -> None:
    for name in ("hanging", "overstating", "dripping", "huge", "headless"):
        await ask(bad, name, wait_s=0.05)
    async with asyncio.timeout(5):
        while bad.connections:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.02)


async def test_a_server_with_hanging_callers_stops_at_once() -> None:
    before = asyncio.all_tasks()
    async with bad_bidders() as bad, asyncio.timeout(5):
        waiting = asyncio.ensure_future(ask(bad, "hanging", wait_s=30))
        while not bad.seen("hanging").pings:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.01)
    assert (await waiting)[1] in ("end", "reset")
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before
