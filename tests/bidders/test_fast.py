"""The lean bidders over real sockets: known prices, keep-alive, pipelining, the bid stream."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from decimal import Decimal

import aiohttp
import pytest

from bidders.__main__ import main
from bidders.fast import fast_bidders
from tests.bidders.wire import a_ping, a_request, exchange_bytes


async def test_each_bidder_answers_its_own_price_over_one_connection() -> None:
    async with fast_bidders(count=3) as ports, aiohttp.ClientSession() as http:
        for number, port in enumerate(ports):
            for _ in range(2):
                async with http.post(f"http://127.0.0.1:{port}/ping", json=a_ping()) as answer:
                    assert answer.status == 200
                    assert await answer.json() == {"price": 20 + number, "currency": "USD"}


async def test_pipelined_requests_get_an_answer_each_however_they_are_cut() -> None:
    requests = b"".join(a_request("/ping", a_ping(f"p-{n}")) for n in range(20))
    async with fast_bidders(count=1) as ports:
        whole = (await exchange_bytes(ports[0], requests, wait_s=0.2))[0]
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[0])
        for at in range(0, len(requests), 97):
            writer.write(requests[at : at + 97])
            await asyncio.sleep(0)
        pieces = await asyncio.wait_for(reader.readexactly(len(whole)), 5)
        writer.close()
    assert whole.count(b"HTTP/1.1 200 OK") == 20
    assert pieces == whole


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n", id="not a ping"),
        pytest.param(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", id="a body of no length"
        ),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", id="a body too long"),
        pytest.param(b"x" * (1 << 20) + b"x", id="no head at all"),
    ],
)
async def test_what_it_cannot_answer_is_refused_and_the_connection_ended(
    request_bytes: bytes,
) -> None:
    async with fast_bidders(count=1) as ports:
        said, end = await exchange_bytes(ports[0], request_bytes)
    assert said.startswith(b"HTTP/1.1 400") or not said
    assert end in ("end", "reset")


async def test_a_hanging_bidder_takes_the_ping_and_says_nothing() -> None:
    async with fast_bidders(count=2, hanging=[1]) as ports:
        request = a_request("/ping", a_ping())
        assert await exchange_bytes(ports[1], request, wait_s=0.2) == (b"", "silence")
        assert (await exchange_bytes(ports[0], request, wait_s=0.2))[0]


async def test_the_bid_stream_answers_every_ping_of_a_frame_by_its_ids() -> None:
    pings = [a_ping("p-1"), a_ping("p-\u00e4", campaign_id="c-2", shares=3)]
    frame = f"1700000000.{'0' * 64}\n" + json.dumps(pings)
    async with (
        fast_bidders(count=1, price=Decimal("7.5")) as ports,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"ws://127.0.0.1:{ports[0]}/stream") as stream,
    ):
        await stream.send_str(frame)
        bids = json.loads(await stream.receive_str(timeout=5))
        await stream.ping(b"there?")
        await stream.send_str(frame)
        assert json.loads(await stream.receive_str(timeout=5)) == bids
        assert await stream.close() and stream.close_code == 1000
    assert bids == [
        {"ping_id": "p-1", "campaign_id": "c-1", "shares": 1, "price": 7.5, "currency": "USD"},
        {"ping_id": "p-ä", "campaign_id": "c-2", "shares": 3, "price": 7.5, "currency": "USD"},
    ]


async def test_a_frame_that_is_no_list_of_pings_ends_the_stream() -> None:
    async with fast_bidders(count=1) as ports, aiohttp.ClientSession() as http:
        stream = await http.ws_connect(f"ws://127.0.0.1:{ports[0]}/stream")
        await stream.send_str("1.0\nnonsense")
        assert (await stream.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSED


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"count": 0}, "count", id="none"),
        pytest.param({"count": 2, "port": 65_535}, "65535", id="past the last port"),
        pytest.param({"count": 2, "hanging": [2]}, "hang", id="hanging is not there"),
        pytest.param({"count": 1, "price": Decimal("1.005")}, "price", id="finer than a cent"),
        pytest.param({"count": 1, "price": Decimal("NaN")}, "price", id="no price"),
    ],
)
async def test_what_is_out_of_range_is_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        async with fast_bidders(**options):  # type: ignore[arg-type]
            pass


def _free_ports(count: int) -> int:
    """Find ports in a row that are free at this moment; the first of them."""
    for base in range(20_000, 30_000, count):
        held: list[socket.socket] = []
        try:
            for port in range(base, base + count):
                held.append(socket.socket())
                held[-1].bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
        finally:
            for each in held:
                each.close()
    raise AssertionError("no ports in a row are free")


async def test_the_command_serves_ports_in_a_row_says_ready_and_ends_on_a_signal() -> None:
    base = _free_ports(3)
    command = [sys.executable, "-m", "bidders", "fast", "--count", "3", "--port", str(base)]
    process = await asyncio.create_subprocess_exec(
        *command, "--hang", "1", "--price", "5.00", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert await asyncio.wait_for(process.stdout.readline(), 10) == b"ready\n"
        async with aiohttp.ClientSession() as http:
            answer = await http.post(f"http://127.0.0.1:{base + 2}/", json=a_ping())
            assert (await answer.json())["price"] == 7
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 5) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("option", ["--port=65536", "--price=much", "--parent-pid=0", "--hang=x"])
def test_the_command_refuses_an_option_it_cannot_read(option: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["fast", "--port", "9100", option])


async def test_the_command_says_what_is_out_of_range() -> None:
    command = [sys.executable, "-m", "bidders", "fast", "--port", "9100", "--hang", "10"]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 2
    assert said == b"bidders: only bidders 0 to 9 can hang\n"
