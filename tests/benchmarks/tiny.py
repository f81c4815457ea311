"""A server of a few lines in a thread of its own, whose every answer a test decides."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

from exchange.bench.bounds import Target

Answer = Callable[["Asked"], Awaitable[bytes | None]]
"""Gives the bytes of a whole answer; None closes the connection."""


class Asked:
    """One request as it came, its number in the order of arrival, and the way back."""

    def __init__(self, number: int, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        self.number, self.head, self.body, self.writer = number, head, body, writer


class Tiny:
    """The running server: where it is, and what it was asked."""

    def __init__(self) -> None:
        self.target = Target(host="127.0.0.1", port=0)
        self.bodies: list[bytes] = []

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://{self.target.host}:{self.target.port}"


def answer_of(status: int, body: bytes = b"{}") -> bytes:
    """A whole answer."""
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


async def fine(_asked: Asked) -> bytes:
    """200 to everything."""
    return answer_of(200)


@contextmanager
def tiny_server(answer: Answer = fine) -> Iterator[Tiny]:
    """Serve until the end of the block."""
    tiny, ready = Tiny(), threading.Event()
    stops: list[Callable[[], object]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length:")[2].partition(b"\r")[0]
                body = await reader.readexactly(int(length or b"0"))
                tiny.bodies.append(body)
                given = await answer(Asked(len(tiny.bodies) - 1, head, body, writer))
                if given is None:
                    break
                writer.write(given)
                await writer.drain()
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        tiny.target = Target(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        stopping = asyncio.Event()
        stops.append(lambda: loop.call_soon_threadsafe(stopping.set))
        ready.set()
        await stopping.wait()
        server.close()

    loop = asyncio.new_event_loop()

    def run() -> None:
        loop.run_until_complete(serve())
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10)
    try:
        yield tiny
    finally:
        stops[0]()
        thread.join(10)
