"""What the load sends and counts, against a server whose every answer is known."""

from __future__ import annotations

import asyncio

import pytest

from exchange.bench.bounds import BenchError, Target
from exchange.bench.closed import closed_loop
from exchange.bench.connection import encode_request
from exchange.bench.open import open_loop
from tests.benchmarks.tiny import Asked, answer_of, tiny_server

REQUESTS = [encode_request("POST", "/", b"%d" % number) for number in range(40)]


async def test_a_closed_loop_sends_each_request_once_and_hears_each_answer() -> None:
    heard: dict[int, bytes] = {}

    async def repeat_it(asked: Asked) -> bytes:
        return answer_of(200, asked.body)

    with tiny_server(repeat_it) as tiny:
        measured = await closed_loop(
            tiny.target,
            REQUESTS,
            connections=4,
            seconds=30,
            repeat=False,
            heard=lambda index, status, body: heard.update({index: body}),
        )
    assert sorted(tiny.bodies) == sorted(b"%d" % number for number in range(40))
    assert heard == {number: b"%d" % number for number in range(40)}
    assert measured.statuses == {"200": 40}
    assert (measured.answered, measured.unanswered, measured.broken) == (40, 0, 0)
    assert measured.latency.count == 40


async def test_answers_are_counted_by_status() -> None:
    async def shed_every_fourth(asked: Asked) -> bytes:
        return answer_of(503 if asked.number % 4 == 3 else 200)

    with tiny_server(shed_every_fourth) as tiny:
        measured = await closed_loop(tiny.target, REQUESTS, connections=2, seconds=30, repeat=False)
    assert measured.statuses == {"200": 30, "503": 10}
    assert measured.latency.count == 30
    assert measured.refused_latency.count == 10


async def test_a_closed_loop_repeats_until_its_time_is_over() -> None:
    with tiny_server() as tiny:
        measured = await closed_loop(tiny.target, REQUESTS[:2], connections=2, seconds=0.3)
    assert measured.answered_in_all + measured.unanswered == len(tiny.bodies)
    assert len(tiny.bodies) > 2


async def test_the_warm_up_is_not_measured() -> None:
    with tiny_server() as tiny:
        measured = await closed_loop(
            tiny.target, REQUESTS, connections=1, seconds=0.2, warmup_s=0.2
        )
    assert 0 < measured.answered < measured.answered_in_all


async def test_an_answer_in_pieces_is_one_answer() -> None:
    async def dribble(asked: Asked) -> bytes:
        whole = answer_of(200, b"x" * 50)
        for piece in (whole[:9], whole[9:40]):
            asked.writer.write(piece)
            await asked.writer.drain()
            await asyncio.sleep(0.01)
        return whole[40:]

    with tiny_server(dribble) as tiny:
        measured = await closed_loop(
            tiny.target, REQUESTS[:5], connections=1, seconds=30, repeat=False
        )
    assert measured.statuses == {"200": 5}


async def test_a_lost_connection_is_counted_and_replaced() -> None:
    async def hang_up_once(asked: Asked) -> bytes | None:
        return None if asked.number == 3 else answer_of(200)

    with tiny_server(hang_up_once) as tiny:
        measured = await closed_loop(
            tiny.target, REQUESTS[:10], connections=1, seconds=30, repeat=False
        )
    assert measured.broken == 1
    assert measured.statuses == {"200": 9}


async def test_an_answer_without_a_length_breaks_the_connection() -> None:
    async def chunked(_asked: Asked) -> bytes:
        return b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"

    with tiny_server(chunked) as tiny:
        measured = await closed_loop(tiny.target, REQUESTS, connections=1, seconds=0.3)
    assert measured.answered == 0
    assert measured.broken > 0


async def test_an_open_loop_accounts_for_every_request_it_was_to_send() -> None:
    with tiny_server() as tiny:
        measured = await open_loop(tiny.target, REQUESTS, rate=200, connections=4, seconds=0.5)
    assert measured.answered + measured.unanswered == 100
    assert measured.offered_rate == 200


async def test_a_latency_counts_from_the_intended_time() -> None:
    """One stall of 250 ms on one connection: all that was meant to go out meanwhile was late."""

    async def stall_first(asked: Asked) -> bytes:
        if asked.number == 0:
            await asyncio.sleep(0.25)
        return answer_of(200)

    with tiny_server(stall_first) as tiny:
        measured = await open_loop(tiny.target, REQUESTS, rate=100, connections=1, seconds=0.5)
    # Of 50, those meant at 0, 10 … 40 ms took at least 210 ms; once sent, only the first did.
    assert measured.latency.p90_us >= 200_000
    assert measured.service_latency.mean_us < measured.latency.mean_us


async def test_what_is_never_answered_is_counted() -> None:
    async def never(_asked: Asked) -> bytes:
        await asyncio.sleep(60)
        return b""

    with tiny_server(never) as tiny:
        measured = await open_loop(tiny.target, REQUESTS, rate=100, connections=2, seconds=0.3)
    assert measured.answered == 0
    assert measured.unanswered == 30


async def test_a_server_that_is_not_there_is_told() -> None:
    with tiny_server() as tiny:
        gone = Target(host=tiny.target.host, port=tiny.target.port)
    with pytest.raises(BenchError, match="cannot be reached"):
        await closed_loop(gone, REQUESTS, connections=1, seconds=1)
