"""Bidders that cost next to nothing: every answer is made before the first request comes.

`python -m benchmarks.peers.bidders COUNT PORT [HANG]`: bidder i listens on PORT + i and answers any
POST with the price 20.00 + i; bidder HANG takes requests and never answers. Not a web server: reads
no more of a request than where it ends. Loopback only.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final, cast

import uvloop

from benchmarks.peers.leash import raise_file_limit

BASE_CENTS: Final = 2_000
STEP_CENTS: Final = 100
MAX_REQUEST_BYTES: Final = 65_536

_HEAD_END: Final = b"\r\n\r\n"


def price_cents(index: int) -> int:
    """What a bidder bids, in cents."""
    return BASE_CENTS + STEP_CENTS * index


def answer_of(index: int) -> bytes:
    """A bidder's whole answer."""
    cents = price_cents(index)
    body = b'{"price":%d.%02d,"currency":"USD"}' % divmod(cents, 100)
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )


def request_end(data: bytes) -> int:
    """Where the first request of ``data`` ends; 0 while it has not come whole.

    Raises ValueError for a request without a length, and for one that is too long.
    """
    end = data.find(_HEAD_END)
    if end < 0:
        if len(data) > MAX_REQUEST_BYTES:
            raise ValueError("the request's head is too long")
        return 0
    at = data.find(b"ontent-", 0, end)
    while at >= 0 and data[at + 7 : at + 14].lower() != b"length:":
        at = data.find(b"ontent-", at + 7, end)
    if at < 0:
        raise ValueError("the request has no Content-Length")
    stop = data.find(b"\r", at)
    length = int(data[at + 14 : stop])
    if length > MAX_REQUEST_BYTES:
        raise ValueError("the request is too long")
    whole = end + 4 + length
    return whole if len(data) >= whole else 0


class Bidder(asyncio.Protocol):
    """One connection of a bidder: an answer for every whole request, or none ever."""

    __slots__ = ("_answer", "_held", "_transport")

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self._held = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer what is whole; keep the rest."""
        if self._answer is None or self._transport is None:
            return
        if self._held:
            data = self._held + data
        try:
            while end := request_end(data):
                self._transport.write(self._answer)
                data = data[end:]
                if not data:
                    break
        except ValueError:
            self._transport.abort()
            return
        self._held = data


async def serve(count: int, port: int, hang: int | None) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    for index in range(count):
        answer = None if index == hang else answer_of(index)
        await loop.create_server(
            lambda answer=answer: Bidder(answer),  # type: ignore[misc]
            "127.0.0.1",
            port + index,
            backlog=4_096,
        )
    print("ready", flush=True)
    await loop.create_future()


def main() -> None:
    """Read the arguments and serve."""
    count, port = int(sys.argv[1]), int(sys.argv[2])
    hang = int(sys.argv[3]) if len(sys.argv) > 3 else None
    raise_file_limit()
    uvloop.run(serve(count, port, hang))


if __name__ == "__main__":
    main()
