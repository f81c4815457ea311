"""Callers and companies that mean no good, on real sockets. Source: design, Wire."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal

import aiohttp
import pytest

from bidders.crm import Behaviour, CrmServer
from tests.e2e.running import OPERATOR_KEY, Running, exchange_running, until
from tests.e2e.wire import ATTRIBUTES, Wire, hashes_of, paid_to_seller, person

pytestmark = pytest.mark.e2e

POST_LIMIT_S = 3
BODY_LIMIT_S = 10.0
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Running]:
    """An exchange that gives a post three seconds."""
    given = {"EXCHANGE_POST_LIMIT_S": str(POST_LIMIT_S)}
    async with exchange_running(workers=1, given=given) as running:
        yield running
        assert "request failed" not in running.said()
        await running.check()


@asynccontextmanager
async def raw(running: Running) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def head(method: str, path: str, key: str, **headers: str | int) -> bytes:
    """A request's head."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: exchange",
        f"Authorization: Bearer {key}",
        "Content-Type: application/json",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """One answer off a bare connection."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    headers = dict(line.lower().split(": ", 1) for line in lines if line)
    return int(first.split()[1]), await reader.readexactly(int(headers["content-length"]))


async def test_a_hundred_callers_that_dribble_their_requests_keep_nobody_waiting(
    wire: Wire, running: Running
) -> None:
    seller, company = await wire.seller(), await wire.company()
    await wire.campaign(company, "20.00")
    started = head("POST", "/v1/ping", seller.key, Content_Length=400)
    async with raw(running) as (reader, writer):
        begun = time.monotonic()
        writer.write(started + b'{"vertical"')

        async def dribble() -> None:
            while True:
                writer.write(b" ")
                await asyncio.sleep(0.2)

        dribbling = asyncio.create_task(dribble())
        others = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(100)]
        for number, (_, other) in enumerate(others):
            other.write(started[:-2] if number % 2 else started + b"{")
        for _ in range(20):
            answered = time.monotonic()
            await wire.offer(seller)
            assert time.monotonic() - answered < 1.0
        status, body = await asyncio.wait_for(read_answer(reader), BODY_LIMIT_S + 3)
        dribbling.cancel()
        assert (status, json.loads(body)["code"]) == (408, "body_too_slow")
        assert time.monotonic() - begun > BODY_LIMIT_S - 1
        for _, other in others:
            other.close()


async def test_a_burst_of_400_pings_at_one_worker_gets_400_offers(
    wire: Wire, running: Running
) -> None:
    seller, company = await wire.seller(), await wire.company()
    await wire.campaign(company, "20.00")
    [worker] = running.worker_pids()
    hashes = [hashes_of(person(5_000 + number)) for number in range(400)]
    for _ in range(2):  # The second time over connections and with a key that are known already.
        async with running.frozen(worker):
            pings = [asyncio.create_task(wire.ping(seller, contact_hashes=h)) for h in hashes]
            await until(lambda: running.requests_unread() >= len(hashes), 10, "all to be sent")
        answers = await asyncio.gather(*pings)
        assert Counter(answer.status for answer in answers) == {200: len(hashes)}
        assert {answer.json["status"] for answer in answers} == {"offer"}


@pytest.mark.parametrize("is_declared", [True, False], ids=["declared", "chunked"])
async def test_a_body_of_a_megabyte_is_refused(
    wire: Wire, running: Running, is_declared: bool
) -> None:
    seller = await wire.seller()
    framing: dict[str, str | int] = (
        {"Content_Length": MEGABYTE} if is_declared else {"Transfer_Encoding": "chunked"}
    )
    chunk = b"a" * 16_384 if is_declared else b"4000\r\n" + b"a" * 16_384 + b"\r\n"
    async with raw(running) as (reader, writer):

        async def send() -> None:
            writer.write(head("POST", "/v1/ping", seller.key, **framing))
            with suppress(ConnectionError):
                for _ in range(MEGABYTE // 16_384):
                    writer.write(chunk)
                    await writer.drain()

        sending = asyncio.create_task(send())
        status, body = await asyncio.wait_for(read_answer(reader), 5)
        assert (status, json.loads(body)["code"]) == (413, "body_too_large")
        await asyncio.wait_for(sending, 5)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 30_000, 400),
        (b'{"vertical":"solar","attributes":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001, 400),
        (b'{"vertical":"solar","attributes":{"zip":"94107","state":"CA","monthly_bill":NaN}}', 400),
        (b'{"vertical":"solar","min_price":-1,"attributes":{"zip":"94107","state":"CA"}}', 422),
        (b'{"vertical":"solar","min_price":1e400,"attributes":{"zip":"94107","state":"CA"}}', 422),
        (b'{"vertical":"solar\xff","attributes":{}}', 400),
        (b"\x00" * 1_000, 400),
        (b"", 400),
    ],
    ids=["deep", "deep_objects", "nan", "negative", "huge", "not_utf8", "zeros", "empty"],
)
async def test_a_body_that_is_no_ping_is_the_callers_fault(
    wire: Wire, body: bytes, status: int
) -> None:
    seller = await wire.seller()
    answer = await wire.call("POST", "/v1/ping", seller.key, body)
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_requests_in_one_packet_are_each_answered_in_their_order(
    wire: Wire, running: Running
) -> None:
    seller, company = await wire.seller(), await wire.company()
    await wire.campaign(company, "20.00")
    ping = json.dumps({"vertical": "solar", "attributes": ATTRIBUTES}).encode()
    asked = [
        *(head("GET", "/healthz", OPERATOR_KEY), head("GET", "/v1/nothing", OPERATOR_KEY)),
        head("POST", "/v1/ping", seller.key, Content_Length=len(ping)) + ping,
        head("POST", "/v1/ping", seller.key, Content_Length=2) + b"{}",
        head("POST", "/v1/ping", seller.key, Content_Length=len(ping)) + ping,
    ]
    async with raw(running) as (reader, writer):
        writer.write(b"".join(asked))
        answers = [await asyncio.wait_for(read_answer(reader), 5) for _ in asked]
    assert [status for status, _ in answers] == [200, 404, 200, 422, 200]
    pings = [json.loads(answers[number][1]) for number in (2, 4)]
    assert {offer["status"] for offer in pings} == {"offer"}
    assert pings[0]["ping_id"] != pings[1]["ping_id"]


async def test_a_lead_whose_seller_hung_up_is_sold_and_asking_again_tells_so(
    wire: Wire, running: Running, crm: CrmServer
) -> None:
    seller, company = await wire.seller(), await wire.company()
    url = crm.set_behaviour("patient", Behaviour(delay_ms=600))
    await wire.campaign(company, "91.00", url=url)
    [ping_id] = await wire.offers(seller, 1)
    async with Wire(running) as impatient:
        post = asyncio.create_task(impatient.post(seller, ping_id))
        await until(lambda: crm.counts("patient").seen == 1, 5, "the lead at the CRM")
        post.cancel()
        with suppress(asyncio.CancelledError):
            await post
    result = (await wire.post(seller, ping_id)).ok()
    assert result["status"] == "sold"
    assert [seen.attempts for seen in crm.leads("patient")] == [1]
    assert [lead["lead_id"] for lead in await wire.leads(company)] == [result["lead_id"]]


async def test_a_company_that_never_answers_costs_a_post_no_more_than_its_limit(
    wire: Wire, crm: CrmServer
) -> None:
    seller, company, rival = await wire.seller(), await wire.company(), await wire.company()
    url = crm.set_behaviour("mute", Behaviour(fail_rate=1.0, failure="hang"))
    target = {"kind": "http", "url": url, "timeout_ms": 30_000, "attempts": 5}
    await wire.campaign(company, "95.00", delivery=[target])
    await wire.campaign(rival, "94.00")
    [ping_id] = await wire.offers(seller, 1)
    asked = time.monotonic()
    answer = (await wire.post(seller, ping_id, person(9))).ok()
    assert POST_LIMIT_S - 0.5 < time.monotonic() - asked < POST_LIMIT_S + 1.5
    # It may have the lead, so nobody else gets it (policy `unclear`: hold).
    assert (answer["status"], answer["reason"]["code"]) == ("unsold", "delivery_unclear")
    assert await wire.leads(rival) == []
    standing = await wire.standing(company)
    assert standing["rejected_crm"] == Decimal("95.00")
    assert (standing["protected"], standing["crm_pct"]) == (True, Decimal("0.00"))
    assert (await wire.post(seller, ping_id, person(9))).ok() == answer


async def test_a_company_whose_answers_never_end_is_a_failure_and_the_next_rank_buys(
    wire: Wire, running: Running
) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
            while True:
                writer.write(b'{"status":"accepted"}' * 1_000)
                await writer.drain()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        seller, company, rival = await wire.seller(), await wire.company(), await wire.company()
        await wire.campaign(company, "97.00", url=f"http://127.0.0.1:{port}/")
        await wire.campaign(rival, "96.00", delivery=[{"kind": "inbox"}])
        result = await wire.sell(seller, person(10))
        assert result["price"] == paid_to_seller(Decimal("97.00"))  # the margin gives way
        assert len(await wire.leads(rival)) == 1
        assert (await wire.standing(company))["rejected_crm"] == Decimal("97.00")


async def test_a_connection_that_is_dropped_amid_its_request_harms_nobody(
    wire: Wire, running: Running
) -> None:
    seller = await wire.seller()
    for _ in range(50):
        async with raw(running) as (_, writer):
            writer.write(head("POST", "/v1/ping", seller.key, Content_Length=400) + b"{")
            transport = writer.transport
            assert isinstance(transport, asyncio.Transport)
            transport.abort()
    assert (await wire.call("GET", "/healthz", None)).status == 200


async def test_a_head_of_megabytes_is_refused(wire: Wire) -> None:
    with suppress(aiohttp.ClientConnectionError):  # Refused while it is still being sent.
        answer = await wire.call("GET", "/healthz", None, headers={"X-Long": "a" * 4 * MEGABYTE})
        assert answer.status in (400, 431)
    assert (await wire.call("GET", "/healthz", None)).status == 200
