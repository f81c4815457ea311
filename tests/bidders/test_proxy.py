"""The fault proxy between real sockets: each fault as both sides feel it, while it runs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from bidders.proxy import FaultProxy, Faults, fault_proxy
from bidders.proxy import proxy as proxy_module
from bidders.proxy.control import control_app

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that gives back what it gets, and notes how its connections ended."""

    def __init__(self) -> None:
        self.ends: asyncio.Queue[str] = asyncio.Queue()
        self.port = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        end = "end"
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            end = "reset"
        finally:
            self.ends.put_nowait(end)
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    echo = Echo()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    echo.port = server.sockets[0].getsockname()[1]
    yield echo
    server.close()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[FaultProxy]:
    async with fault_proxy("127.0.0.1", echo.port) as proxy:
        yield proxy


@asynccontextmanager
async def connected(proxy: FaultProxy) -> AsyncIterator[Pair]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def say(pair: Pair, data: bytes) -> bytes:
    """Send, and read as much as was sent."""
    pair[1].write(data)
    return await asyncio.wait_for(pair[0].readexactly(len(data)), 5)


async def none_open(proxy: FaultProxy) -> None:
    async with asyncio.timeout(5):
        while proxy.connections:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.01)


async def test_without_faults_every_byte_passes_both_ways(proxy: FaultProxy, echo: Echo) -> None:
    data = bytes(range(256)) * 4_000
    async with connected(proxy) as pair:
        assert await say(pair, data) == data
        pair[1].write_eof()
        assert await asyncio.wait_for(pair[0].read(), 5) == b""
    assert await asyncio.wait_for(echo.ends.get(), 5) == "end"
    await none_open(proxy)
    assert (proxy.counts.to_server_bytes, proxy.counts.to_client_bytes) == (len(data), len(data))


async def test_one_side_may_end_and_still_be_answered(proxy: FaultProxy) -> None:
    async with connected(proxy) as (reader, writer):
        writer.write(b"question")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b"question"


async def test_a_reset_by_one_side_is_a_reset_for_the_other(proxy: FaultProxy, echo: Echo) -> None:
    async with connected(proxy) as pair:
        await say(pair, b"x")
        connection = pair[1].get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert await asyncio.wait_for(echo.ends.get(), 5) == "reset"
    await none_open(proxy)


@pytest.mark.parametrize(
    ("faults", "least_s"),
    [
        pytest.param(Faults(latency_ms=60), 0.12, id="both ways"),
        pytest.param(Faults(latency_ms=60, direction="to_client"), 0.06, id="one way"),
    ],
)
async def test_latency_makes_bytes_late(proxy: FaultProxy, faults: Faults, least_s: float) -> None:
    await proxy.set_faults(faults)
    now = asyncio.get_running_loop().time
    async with connected(proxy) as pair:
        began = now()
        await say(pair, b"x")
        assert now() - began >= least_s - 0.002


async def test_late_is_not_slow_and_keeps_the_order(proxy: FaultProxy) -> None:
    await proxy.set_faults(Faults(latency_ms=50, jitter_ms=20, direction="to_server"))
    async with connected(proxy) as (reader, writer):
        began = asyncio.get_running_loop().time()
        for number in range(20):
            writer.write(b"%02d" % number)
            await asyncio.sleep(0.001)
        said = await asyncio.wait_for(reader.readexactly(40), 5)
        took_s = asyncio.get_running_loop().time() - began
    assert said == b"".join(b"%02d" % number for number in range(20))
    assert took_s < 20 * 0.05  # twenty chunks were late together, not one after the other


async def test_throttling_lets_so_many_bytes_through_in_a_second(proxy: FaultProxy) -> None:
    await proxy.set_faults(Faults(bytes_per_second=10_000, direction="to_client"))
    now = asyncio.get_running_loop().time
    async with connected(proxy) as pair:
        began = now()
        await say(pair, b"x" * 2_000)
        assert now() - began >= 0.17  # the last piece does not wait for its own time


@pytest.mark.parametrize("after", [0, 1, 1_000, 50_000])
async def test_a_cut_ends_both_sides_after_exactly_so_many_bytes(
    proxy: FaultProxy, echo: Echo, after: int
) -> None:
    await proxy.set_faults(Faults(cut_after_bytes=after, direction="to_client"))
    async with connected(proxy) as (reader, writer):
        writer.write(b"x" * 60_000)
        assert len(await asyncio.wait_for(reader.read(-1), 5)) == after
    await asyncio.wait_for(echo.ends.get(), 5)
    await none_open(proxy)
    assert proxy.counts.cut == 1


async def test_a_cut_may_be_a_reset(proxy: FaultProxy, echo: Echo) -> None:
    await proxy.set_faults(Faults(cut_after_bytes=3, cut_with="reset", direction="to_server"))
    async with connected(proxy) as (reader, writer):
        writer.write(b"abcdef")
        with pytest.raises(ConnectionResetError):
            while await asyncio.wait_for(reader.read(10), 5):
                pass
    assert await asyncio.wait_for(echo.ends.get(), 5) == "reset"
    assert proxy.counts.to_server_bytes == 3


async def test_a_black_hole_takes_connections_and_moves_nothing_until_it_is_over(
    proxy: FaultProxy,
) -> None:
    async with connected(proxy) as before:
        await say(before, b"x")
        await proxy.set_faults(Faults(mode="black_hole"))
        async with connected(proxy) as during:
            for pair in (before, during):
                pair[1].write(b"hello")
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(pair[0].read(5), 0.05)
            await proxy.set_faults(Faults())
            for pair in (before, during):
                assert await asyncio.wait_for(pair[0].readexactly(5), 5) == b"hello"


async def test_refusing_refuses_new_connections_and_keeps_those_there_are(
    proxy: FaultProxy,
) -> None:
    async with connected(proxy) as before:
        await say(before, b"x")
        for _ in range(2):  # said twice, it is the same
            await proxy.set_faults(Faults(mode="refuse"))
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await say(before, b"still here") == b"still here"
        await proxy.set_faults(Faults())
        async with connected(proxy) as after:
            assert await say(after, b"again") == b"again"


async def test_resetting_resets_the_old_and_the_new(proxy: FaultProxy, echo: Echo) -> None:
    async with connected(proxy) as before:
        await say(before, b"x")
        await proxy.set_faults(Faults(mode="reset"))
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(before[0].read(1), 5)
        with pytest.raises(ConnectionResetError):
            async with connected(proxy) as during:
                await say(during, b"x")
    assert await asyncio.wait_for(echo.ends.get(), 5) == "reset"
    await proxy.set_faults(Faults())
    async with connected(proxy) as after:
        assert await say(after, b"x") == b"x"


async def test_faults_change_for_a_connection_that_is_there(proxy: FaultProxy) -> None:
    async with connected(proxy) as pair:
        await say(pair, b"12345")
        await proxy.set_faults(Faults(cut_after_bytes=5))
        pair[1].write(b"6")
        assert await asyncio.wait_for(pair[0].read(), 5) == b""


async def test_a_server_that_is_not_there_is_a_reset() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        async with fault_proxy("127.0.0.1", free.getsockname()[1]) as proxy:
            async with connected(proxy) as (reader, _):
                with pytest.raises(ConnectionResetError):
                    await asyncio.wait_for(reader.read(1), 5)
            assert proxy.counts.lost == 1


async def test_connections_are_bounded(proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_module, "MAX_CONNECTIONS", 1)
    async with connected(proxy) as first:
        await say(first, b"x")
        async with connected(proxy) as second:
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(second[0].read(1), 5)
    await none_open(proxy)


@pytest.mark.parametrize(
    "faults",
    [
        Faults(latency_ms=-1),
        Faults(bytes_per_second=0),
        Faults(cut_after_bytes=-1),
        Faults(mode="vanish"),  # type: ignore[arg-type]
    ],
)
async def test_faults_out_of_range_are_refused(proxy: FaultProxy, faults: Faults) -> None:
    with pytest.raises(ValueError):
        await proxy.set_faults(faults)
    assert proxy.faults == Faults()


@pytest.mark.parametrize(
    "faults",
    [
        Faults(),
        Faults(mode="black_hole"),
        Faults(latency_ms=60_000),
        Faults(bytes_per_second=1),
        Faults(mode="refuse"),
    ],
    ids=lambda faults: f"{faults.mode} {faults.latency_ms} {faults.bytes_per_second}",
)
async def test_a_closed_proxy_leaves_nothing_behind(echo: Echo, faults: Faults) -> None:
    before = asyncio.all_tasks()
    async with fault_proxy("127.0.0.1", echo.port) as proxy:
        pairs = [await asyncio.open_connection("127.0.0.1", proxy.port) for _ in range(3)]
        for _, writer in pairs[:2]:
            writer.write(b"x" * 1_000)
        async with asyncio.timeout(5):
            while proxy.connections < 3:  # noqa: ASYNC110 - no event to wait for
                await asyncio.sleep(0.01)
        await proxy.set_faults(faults)
        for _, writer in pairs[:2]:
            writer.write(b"y" * 1_000)
        await asyncio.sleep(0.02)
    assert proxy.connections == 0
    for reader, writer in pairs:
        with pytest.raises(ConnectionResetError):
            while await asyncio.wait_for(reader.read(65_536), 5):
                pass
        writer.transport.abort()
    for _ in pairs:
        await asyncio.wait_for(echo.ends.get(), 5)
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() <= before
    with socket.socket() as again:
        again.bind(("127.0.0.1", proxy.port))  # the port is free


# --- control over HTTP ----------------------------------------------------------------------------


@asynccontextmanager
async def controlling(
    proxy: FaultProxy,
) -> AsyncIterator[Callable[..., Awaitable[aiohttp.ClientResponse]]]:
    runner = web.AppRunner(control_app(proxy))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession(base) as http:
            yield http.request
    finally:
        await runner.cleanup()


async def test_faults_are_shown_and_changed_over_http(proxy: FaultProxy) -> None:
    async with controlling(proxy) as call, connected(proxy) as pair:
        await say(pair, b"x")
        answer = await call("PUT", "/faults", json={"mode": "black_hole"})
        assert answer.status == 200 and proxy.faults == Faults(mode="black_hole")
        told = await (await call("GET", "/faults")).json()
        assert told["faults"]["mode"] == "black_hole"
        assert (told["connections"], told["counts"]["to_server_bytes"]) == (1, 1)
        told = await (await call("DELETE", "/connections")).json()
        assert (told["connections"], told["counts"]["reset"]) == (0, 1)


@pytest.mark.parametrize("body", [b"{", b'{"mode":"vanish"}', b'{"speed":1}', b'{"latency_ms":-1}'])
async def test_faults_that_cannot_be_read_change_nothing(proxy: FaultProxy, body: bytes) -> None:
    async with controlling(proxy) as call:
        assert (await call("PUT", "/faults", data=body)).status == 422
    assert proxy.faults == Faults()
