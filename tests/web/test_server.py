"""The server on real sockets: bounds on bodies, lying headers, draining and stopping."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import msgspec
import pytest

from exchange.core.model import Ping
from exchange.flow.faults import Conflict
from exchange.flow.ports import Receipt
from exchange.web.problems import describe
from tests.web.bodies import PING
from tests.web.conftest import Wire
from tests.web.doubles import NOW

TEXT = msgspec.json.encode(PING)
LIMIT = 65_536


async def _raw(wire: Wire, request: bytes, *more: bytes) -> bytes:
    """What comes back for raw bytes, until the server closes or is silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    try:
        for part in (request, *more):
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"HTTP/1.1 100"):
                head = await reader.readuntil(b"\r\n\r\n")
            return head
    finally:
        writer.close()


def _head(*headers: str, path: str = "/v1/ping") -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: x",
        "Authorization: Bearer key-of-seller",
        "Content-Type: application/json",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"", 400, "malformed"),
        (b"   ", 400, "malformed"),
        (b"{", 400, "malformed"),
        (TEXT + b"}", 400, "malformed"),
        (b"nonsense", 400, "malformed"),
        (b'{"vertical":NaN}', 400, "malformed"),
        (b'{"min_price":NaN,"vertical":"solar","attributes":{}}', 400, "malformed"),
        (b"\xff\xfe", 400, "malformed"),
        (b'{"vertical":"solar","attributes":{"zip":"\xff","state":"CA"}}', 400, "malformed"),
        (b'{"vertical":"\\ud800","attributes":{}}', 400, "malformed"),
        (b'{"vertical":"solar","attributes":' + b"[" * 33 + b"]" * 33 + b"}", 400, "malformed"),
        (b'{"vertical":"solar","attributes":' + b"[" * 30_000, 400, "malformed"),
        (b'{"a":' * 12_000 + b"1" + b"}" * 12_000, 413, "body_too_large"),
        (b"null", 422, "invalid"),
        (b"[]", 422, "invalid"),
        (b'"solar"', 422, "invalid"),
        (b'{"vertical":"\\u0000","attributes":{}}', 422, "invalid"),
        (TEXT + b" " * LIMIT, 413, "body_too_large"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_body_that_is_no_ping_is_a_problem(
    wire: Wire, raw: bytes, status: int, code: str
) -> None:
    answer = await wire.call(
        "POST", "/v1/ping", raw=raw, headers={"Content-Type": "application/json"}
    )
    assert (answer.status, answer.json["code"]) == (status, code)


async def test_brackets_in_texts_are_not_depth(wire: Wire) -> None:
    body = {**PING, "source": {"a": "[{" * 40, "b": '\\"[[[[' + "[" * 40}}
    assert (await wire.call("POST", "/v1/ping", body)).status == 200


async def test_an_escaped_backslash_before_u0000_is_no_nul(wire: Wire) -> None:
    body = {**PING, "source": {"a": "\\u0000"}}
    assert (await wire.call("POST", "/v1/ping", body)).status == 200
    body = {**PING, "source": {"a": "\\\0"}}
    assert (await wire.call("POST", "/v1/ping", body)).status == 422


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON;charset=UTF-8", 200),
        ("application/vnd.lead+json", 200),
        (None, 200),
        ("application/json; charset=utf-16", 415),
        ("text/plain", 415),
        ("application/xml", 415),
        ("multipart/form-data; boundary=x", 415),
        ("", 415),
    ],
)
async def test_bodies_are_json_or_forms(wire: Wire, content_type: str | None, status: int) -> None:
    headers = {"Content-Type": content_type} if content_type is not None else {}
    answer = await wire.call("POST", "/v1/ping", raw=TEXT, headers=headers)
    assert answer.status == status


async def test_only_ping_and_post_take_forms(wire: Wire) -> None:
    assert (await wire.form("/v1/sellers", "name=x", key="operator")).status == 415


async def test_compressed_bodies_are_refused(wire: Wire) -> None:
    answer = await wire.call(
        "POST",
        "/v1/ping",
        raw=TEXT,
        headers={"Content-Encoding": "gzip", "Content-Type": "application/json"},
    )
    assert answer.status == 415


async def test_a_body_of_exactly_the_limit_is_read(wire: Wire) -> None:
    raw = TEXT + b" " * (LIMIT - len(TEXT))
    headers = {"Content-Type": "application/json"}
    assert (await wire.call("POST", "/v1/ping", raw=raw, headers=headers)).status == 200
    assert (await wire.call("POST", "/v1/ping", raw=raw + b" ", headers=headers)).status == 413


async def test_a_chunked_body_is_bounded_too(wire: Wire) -> None:
    head = _head("Transfer-Encoding: chunked")
    chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    assert (await _raw(wire, head, *[chunk] * 5)).startswith(b"HTTP/1.1 413")
    small = f"{len(TEXT):x}\r\n".encode() + TEXT + b"\r\n0\r\n\r\n"
    assert (await _raw(wire, head, small)).startswith(b"HTTP/1.1 200")


async def test_a_declared_length_over_the_limit_is_refused_unread(wire: Wire) -> None:
    answer = await _raw(wire, _head("Content-Length: 99999999999"))
    assert answer.startswith(b"HTTP/1.1 413")


async def test_a_body_that_never_arrives_is_408(wire: Wire) -> None:
    answer = await _raw(wire, _head(f"Content-Length: {len(TEXT) + 10}"), TEXT)
    assert answer.startswith(b"HTTP/1.1 408")


async def test_bytes_that_are_no_request_are_quoted_nowhere(
    wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    # A body longer than its length is followed by what should be a request, and is none.
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    writer.write(_head("Content-Length: 2") + b'{}{"phone":"4155550100"}\r\n\r\n')
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    assert b" 400 " in answer and b"application/problem+json" in answer
    assert b"415555" not in answer
    assert "415555" not in caplog.text and "415555" not in str(wire.log.lines)
    assert wire.log.lines == [("connection broken", {"error": "BadHttpMethod"})]


async def test_a_wrong_length_is_400(wire: Wire) -> None:
    for header in ("Content-Length: -1", "Content-Length: x", "Transfer-Encoding: gzip, x"):
        assert b" 400 " in await _raw(wire, _head(header), TEXT)


async def test_who_expects_to_be_told_to_go_on_is_told(wire: Wire) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    writer.write(_head(f"Content-Length: {len(TEXT)}", "Expect: 100-continue"))
    async with asyncio.timeout(5):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(TEXT)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_a_body_without_a_key_is_refused_before_it_is_read(wire: Wire) -> None:
    answer = await wire.call("POST", "/v1/ping", raw=b"x" * LIMIT * 2, key=None)
    assert answer.status == 401


async def test_a_worker_that_waits_for_a_store_is_not_ready(wire: Wire) -> None:
    assert (await wire.call("GET", "/readyz", key=None)).json == {"status": "ready"}
    wire.doors.waiting_for = ["postgres"]
    answer = await wire.call("GET", "/readyz", key=None)
    assert answer.status == 503
    assert answer.json == {"status": "not_ready", "waiting_for": ["postgres"]}


async def test_a_draining_worker_takes_no_pings_and_still_answers(wire: Wire) -> None:
    wire.server.drain()
    answer = await wire.call("POST", "/v1/ping", PING)
    assert answer.status == 503 and int(answer.headers["Retry-After"]) >= 1
    assert (await wire.call("POST", "/v1/post", raw=b"{}")).status == 503
    assert (await wire.call("GET", "/readyz", key=None)).json["waiting_for"] == ["draining"]
    assert (await wire.call("GET", "/healthz", key=None)).status == 200
    assert (await wire.call("GET", "/v1/leads", key="company")).status == 200


def _hold(wire: Wire) -> tuple[asyncio.Event, asyncio.Event]:
    """Make pings wait until they are let go; the events are of arrival and of going on."""
    arrived, go_on = asyncio.Event(), asyncio.Event()
    answer: Callable[[Ping], Awaitable[Receipt]] = wire.doors.ping

    async def wait(ping: Ping) -> Receipt:
        arrived.set()
        await go_on.wait()
        return await answer(ping)

    wire.doors.ping = wait  # type: ignore[method-assign]
    return arrived, go_on


async def test_stopping_waits_for_open_requests(wire: Wire) -> None:
    arrived, go_on = _hold(wire)
    ping = asyncio.ensure_future(wire.call("POST", "/v1/ping", PING))
    await arrived.wait()
    stopping = asyncio.ensure_future(wire.server.stop(5))
    await asyncio.sleep(0.05)
    assert not stopping.done()
    with pytest.raises(aiohttp.ClientConnectorError):
        await wire.call("GET", "/healthz", key=None)
    go_on.set()
    assert (await ping).status == 200
    await asyncio.wait_for(stopping, 2)


async def test_stopping_does_not_wait_past_its_deadline(wire: Wire) -> None:
    arrived, _ = _hold(wire)
    ping = asyncio.ensure_future(wire.call("POST", "/v1/ping", PING))
    await arrived.wait()
    async with asyncio.timeout(2):
        await wire.server.stop(0.1)
    with pytest.raises(aiohttp.ClientError):
        await ping
    assert wire.log.lines[0][0] == "stopped with open requests"


async def test_idle_connections_do_not_hold_up_stopping(wire: Wire) -> None:
    await wire.call("GET", "/healthz", key=None)
    async with asyncio.timeout(1):
        await wire.server.stop(10)


def test_a_time_in_a_problems_details_is_written_like_any_other() -> None:
    told = describe(Conflict("too late", details={"decided_at": NOW}))
    assert b'"details":{"decided_at":"2026-11-21T22:40:00Z"}' in told


async def test_another_media_type_is_told_what_is_taken(wire: Wire) -> None:
    answer = await wire.call("POST", "/v1/ping", raw=b"x", headers={"Content-Type": "text/plain"})
    assert (answer.status, "may be forms" in answer.json["detail"]) == (415, True)
