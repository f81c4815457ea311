"""Bidders that cost as little as can be, for measuring whoever asks them.

Many bidders in one process, a port each, with answers made beforehand: nothing is verified and a
ping's body is not even read over HTTP. Over the bid stream only its ids are. Prices differ, so
that the winner of every auction is known: the last bidder.

    python -m bidders fast --count 10 --port 9100
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from typing import Final, cast

import msgspec

from bidders import frames

MAX_BIDDERS: Final = 1_000
MAX_REQUEST_BYTES: Final = 1 << 20  # head and body; the wire's bound on a body is 64 KiB
BACKLOG: Final = 1_024  # connections: a load test opens its own all at once

_LENGTH: Final = re.compile(rb"\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*(?:\r|$)")
_KEY: Final = re.compile(rb"\nsec-websocket-key:[ \t]*([0-9a-z+/=]{24})[ \t]*(?:\r|$)", re.I)
_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class _Ids(msgspec.Struct, frozen=True, kw_only=True):
    """Of a ping in a stream, only what its answer must name, as it was written."""

    ping_id: msgspec.Raw
    campaign_id: msgspec.Raw
    shares: msgspec.Raw = msgspec.Raw(b"1")


_read_pings = msgspec.json.Decoder(list[_Ids]).decode


class FastBidder(asyncio.Protocol):
    """One connection: HTTP with keep-alive and pipelining, or a bid stream at ``/stream``."""

    __slots__ = ("_answer", "_bid", "_open", "_reader", "_transport", "_unread")

    def __init__(self, open_now: set[asyncio.Transport], bid: bytes, answer: bytes) -> None:
        self._open = open_now
        self._bid = bid
        self._answer = answer
        self._unread = b""
        self._reader: frames.FrameReader | None = None  # once it is a stream
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._open.discard(self._transport)

    def pause_writing(self) -> None:
        """Answer no more than is taken."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Answer every whole request or frame in what came, with one write."""
        if self._reader is not None:
            self._take_frames(self._reader, data)
        else:
            self._take_requests(self._unread + data if self._unread else data)

    def _take_requests(self, data: bytes) -> None:
        answers = start = 0
        while (head_end := data.find(b"\r\n\r\n", start)) >= 0:
            head = data[start:head_end].lower()
            length = _LENGTH.search(head)
            end = head_end + 4 + (int(length[1]) if length else 0)
            if length is None and not head.startswith(b"post /"):
                self._transport.write(self._answer * answers)
                self._switch(data[start:head_end], data[end:])
                return
            if length is None or end - start > MAX_REQUEST_BYTES:
                self._refuse(answers)
                return
            if end > len(data):
                break
            answers += 1
            start = end
        if answers:
            self._transport.write(self._answer if answers == 1 else self._answer * answers)
        self._unread = data[start:]
        if len(self._unread) > MAX_REQUEST_BYTES:
            self._refuse(0)

    def _refuse(self, answers: int) -> None:
        self._transport.write(self._answer * answers + _BAD_REQUEST)
        self._transport.close()

    def _switch(self, head: bytes, rest: bytes) -> None:
        """Become a bid stream."""
        key = _KEY.search(head)
        if key is None or not head.startswith(b"GET /stream"):
            self._refuse(0)
            return
        self._unread = b""
        self._reader = frames.FrameReader()
        self._transport.write(frames.switch_protocols(key[1]))
        if rest:
            self._take_frames(self._reader, rest)

    def _take_frames(self, reader: frames.FrameReader, data: bytes) -> None:
        out = []
        try:
            for opcode, payload in reader.feed(data):
                if opcode == frames.TEXT:
                    out.append(frames.write_frame(frames.TEXT, self._answer_pings(payload)))
                elif opcode == frames.PING:
                    out.append(frames.write_frame(frames.PONG, payload))
                elif opcode == frames.CLOSE:
                    out.append(frames.write_frame(frames.CLOSE, payload[:2]))
                    self._transport.write(b"".join(out))
                    self._transport.close()
                    return
        except (frames.FrameFault, msgspec.DecodeError):
            self._transport.close()
            return
        if out:
            self._transport.write(b"".join(out))

    def _answer_pings(self, payload: bytes) -> bytes:
        _, _, pings = payload.partition(b"\n")  # the first line is the signature
        bids = [
            b'{"ping_id":%b,"campaign_id":%b,"shares":%b,%b'
            % (bytes(ping.ping_id), bytes(ping.campaign_id), bytes(ping.shares), self._bid)
            for ping in _read_pings(pings)
        ]
        return b"[%b]" % b",".join(bids)


class HangingBidder(FastBidder):
    """One connection that is taken, and never answered."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Let it be."""


@asynccontextmanager
async def fast_bidders(
    *,
    count: int,
    port: int = 0,
    host: str = "127.0.0.1",
    price: Decimal = Decimal("20.00"),
    hanging: Collection[int] = (),
) -> AsyncIterator[list[int]]:
    """Serve ``count`` bidders while the context lasts; gives their ports.

    Bidder i, from 0, listens on ``port`` + i (with port 0 on any free one) and bids ``price`` + i
    dollars; those in ``hanging`` never answer. Raises OSError if a port cannot be had, ValueError
    for what is out of range.
    """
    if not 1 <= count <= MAX_BIDDERS:
        raise ValueError(f"the count must be from 1 to {MAX_BIDDERS}")
    if port and port + count > 65_536:
        raise ValueError("the last bidder's port would be above 65535")
    if not set(hanging) <= set(range(count)):
        raise ValueError(f"only bidders 0 to {count - 1} can hang")
    if not (price.is_finite() and price >= 0 and price == round(price, 2)):
        raise ValueError("the price must be an amount of dollars and cents")
    servers: list[asyncio.Server] = []
    open_now: set[asyncio.Transport] = set()
    loop = asyncio.get_running_loop()
    try:
        for number in range(count):
            kind = HangingBidder if number in hanging else FastBidder
            server = await loop.create_server(
                partial(kind, open_now, *_write_answers(price + number)),
                host,
                port + number if port else 0,
                backlog=BACKLOG,
            )
            servers.append(server)
        yield [server.sockets[0].getsockname()[1] for server in servers]
    finally:
        for server in servers:
            server.close()
        for transport in list(open_now):
            transport.abort()


def _write_answers(price: Decimal) -> tuple[bytes, bytes]:
    """Write a price as the end of a stream's bid, and as a whole HTTP answer."""
    bid = f'"price":{price:.2f},"currency":"USD"}}'.encode()
    body = b"{" + bid
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body), body)
    )
    return bid, answer
