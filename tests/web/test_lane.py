"""The quick way in for pings and posts answers as the library's does, however requests are cut."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchange.web.heads import read_head
from tests.web.bodies import PING
from tests.web.conftest import Wire

BODY = msgspec.json.encode(PING)
LINES = (
    "Host: x",
    "Authorization: Bearer key-of-seller",
    "Content-Type: application/json",
    f"Content-Length: {len(BODY)}",
)


def request(*more: str, start: str = "POST /v1/ping HTTP/1.1", body: bytes = BODY) -> bytes:
    return ("\r\n".join([start, *LINES, *more]) + "\r\n\r\n").encode() + body


async def talk(wire: Wire, *parts: bytes, answers: int, pause_s: float = 0.0) -> list[bytes]:
    """Send parts and read so many whole answers, each as its head and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
        found = []
        async with asyncio.timeout(10):
            for _ in range(answers):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                found.append(head + await reader.readexactly(length))
        return found
    finally:
        writer.close()


def statuses(answers: list[bytes]) -> list[bytes]:
    return [answer.split(b" ", 2)[1] for answer in answers]


@pytest.mark.parametrize(
    "line",
    [
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
        "Connection: close",
        "Connection: upgrade",
        "Upgrade: websocket",
        "Content-Encoding: gzip",
        "Content-Length: 5",
        "Host: other",
        " folded: line",
        "no colon",
        "Space : before",
        "Nul: \x00",
        "Latin: é",
    ],
)
def test_a_head_that_is_not_plain_is_left_to_the_library(line: str) -> None:
    raw = "\r\n".join(["POST /v1/ping HTTP/1.1", *LINES, line]).encode()
    assert read_head(raw) is None


@pytest.mark.parametrize(
    "start",
    [
        "POST /v1/ping HTTP/1.0",
        "POST /v1/ping?x=1 HTTP/1.1",
        "post /v1/ping HTTP/1.1",
        "GET /v1/ping HTTP/1.1",
        "POST /v1/pings HTTP/1.1",
        "POST  /v1/ping HTTP/1.1",
        "POST http://x/v1/ping HTTP/1.1",
    ],
)
def test_another_first_line_is_left_to_the_library(start: str) -> None:
    assert read_head("\r\n".join([start, *LINES]).encode()) is None


@pytest.mark.parametrize("lacking", range(len(LINES)))
def test_a_head_needs_its_host_and_its_length(lacking: int) -> None:
    kept = [line for number, line in enumerate(LINES) if number != lacking]
    head = read_head("\r\n".join(["POST /v1/ping HTTP/1.1", *kept]).encode())
    assert (head is None) == (LINES[lacking].split(":")[0] in ("Host", "Content-Length"))


async def test_pipelined_pings_are_answered_in_order(wire: Wire) -> None:
    bad = request(body=b"x" * len(BODY))
    answers = await talk(wire, request() + bad + request(), answers=3)
    assert statuses(answers) == [b"200", b"400", b"200"]


async def test_a_thousand_pipelined_pings_are_all_answered(wire: Wire) -> None:
    count = 1_000
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)

    async def send() -> None:
        for _ in range(count):
            writer.write(request())
            await writer.drain()

    sending = asyncio.create_task(send())
    async with asyncio.timeout(30):
        for _ in range(count):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
    await sending
    writer.close()


async def test_a_connection_goes_over_to_the_library_and_goes_on(wire: Wire) -> None:
    index = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    answers = await talk(wire, request(), index, request(), answers=3, pause_s=0.02)
    assert statuses(answers) == [b"200"] * 3
    together = await talk(wire, request() + index + request(), answers=3)
    assert statuses(together) == [b"200"] * 3


async def test_who_wants_the_connection_closed_has_it_closed(wire: Wire) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    writer.write(request("Connection: close"))
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200") and b"onnection: close" in answer


async def test_who_leaves_before_the_answer_harms_nobody(wire: Wire) -> None:
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        writer.write(request())
        writer.transport.abort()
    assert statuses(await talk(wire, request(), answers=1)) == [b"200"]
    assert wire.log.lines == []


async def test_a_ping_beyond_the_room_is_shed_with_retry_after(wire: Wire) -> None:
    wire.doors.asking = 10**9
    [answer] = await talk(wire, request(), answers=1)
    assert answer.startswith(b"HTTP/1.1 503") and b"Retry-After: " in answer
    wire.doors.asking = 0
    assert statuses(await talk(wire, request(), answers=1)) == [b"200"]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cuts=st.lists(st.integers(1, 2 * len(request()) - 1), max_size=6, unique=True))
async def test_however_requests_are_cut_they_are_answered_the_same(
    wire: Wire, cuts: list[int]
) -> None:
    whole = request() + request()
    edges = [0, *sorted(cuts), len(whole)]
    parts = [whole[a:b] for a, b in pairwise(edges)]
    assert statuses(await talk(wire, *parts, answers=2)) == [b"200", b"200"]


async def test_who_reads_no_answers_is_hung_up_on_in_the_end(wire: Wire) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    writer.write(request())
    async with asyncio.timeout(5):
        await reader.readuntil(b"\r\n\r\n")
        lanes = wire.server._lanes
        assert lanes is not None
        for lane in lanes.lanes:
            lane.pause_writing()
        writer.write(request())
        await asyncio.sleep(0.05)
        for lane in lanes.lanes:
            lane.active_at = float("-inf")
        lanes._sweep()
        rest = await reader.read()
    writer.close()
    assert b"HTTP/1.1" not in rest
