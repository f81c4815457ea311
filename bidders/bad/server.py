"""Serves the bad bidders from raw sockets, for no HTTP library would do what they do.

Paths are ``/bad/{name}/ping``, ``/leads`` and ``/stream``; ``GET /bad`` tells what each has seen.
Bounded: in connections, in bytes of a request, in frames under way and in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from bidders import frames
from bidders.bad.delays import Delay
from bidders.bad.manners import JSON_TYPE, MANNERS, Manner
from bidders.bad.sending import Line
from bidders.bad.speech import (
    Asked,
    Reply,
    Request,
    frame_head,
    read_all_asked,
    read_asked,
    read_head,
    write_bid,
    write_bids,
    write_head,
)
from bidders.behaviour import draw_fate
from bidders.process import write_address

MAX_CONNECTIONS: Final = 1_000
MAX_HEAD_BYTES: Final = 64 * 1024
MAX_BODY_BYTES: Final = 1 << 20
MAX_FRAMES: Final = 100  # of a stream, being answered at once
IDLE_S: Final = 75.0  # after which a silent connection is ended


class Seen(msgspec.Struct):
    """What a bad bidder was asked so far; of a stream, every ping is counted."""

    pings: int = 0
    leads: int = 0
    streams: int = 0


class BadBidders:
    """The running server, as seen from its own process."""

    def __init__(self, seed: int) -> None:
        self.base_url = ""
        self._seed = seed
        self._seen: dict[str, Seen] = {name: Seen() for name in MANNERS}
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def ping_url(self, name: str) -> str:
        """Return where a bad bidder takes pings; raises KeyError for one there is not."""
        return f"{self.base_url}/bad/{MANNERS[name].name}/ping"

    def leads_url(self, name: str) -> str:
        """Return where it takes leads."""
        return f"{self.base_url}/bad/{MANNERS[name].name}/leads"

    def stream_url(self, name: str) -> str:
        """Return where it takes bid streams."""
        return f"ws{self.base_url.removeprefix('http')}/bad/{MANNERS[name].name}/stream"

    def seen(self, name: str) -> Seen:
        """Return what it was asked so far."""
        return self._seen[name]

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side ends it."""
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._connections.add(task)
        try:
            while await self._serve(reader, writer):
                pass
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the other side left, or is as good as gone
        except asyncio.CancelledError:
            pass  # by `close`; a cancelled connection would be logged as a fault
        finally:
            self._connections.discard(task)
            writer.close()

    async def close(self) -> None:
        """End every connection."""
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        async with asyncio.timeout(IDLE_S):
            try:
                request = read_head(await reader.readuntil(b"\r\n\r\n"))
            except asyncio.LimitOverrunError:
                request = None
            if request is None or request.length > MAX_BODY_BYTES:
                return await _refuse(writer, b"400 Bad Request", "the request cannot be read")
            body = await reader.readexactly(request.length)
        url = urlsplit(request.target)
        if (request.method, url.path) == ("GET", "/bad"):
            await _tell(writer, self._seen)
            return True
        _, _, rest = url.path.partition("/bad/")
        name, _, door = rest.partition("/")
        manner = MANNERS.get(name)
        if manner is None or door not in ("ping", "leads", "stream"):
            return await _refuse(writer, b"404 Not Found", "no bad bidder is there")
        try:
            delay = msgspec.convert(dict(parse_qsl(url.query)), Delay, strict=False)
        except msgspec.ValidationError as fault:
            return await _refuse(writer, b"400 Bad Request", str(fault))
        if door == "stream" and manner.upgrades:
            return await self._stream(manner, delay, request, reader, writer)
        return await self._answer(manner, door, body, delay, reader, writer)

    async def _answer(
        self,
        manner: Manner,
        door: str,
        body: bytes,
        delay: Delay,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Answer a ping or a lead, each in this bidder's manner."""
        asked = Asked()
        if door == "leads":
            self._seen[manner.name].leads += 1
            bodies = [manner.says_of_leads] * len(manner.says)
        else:
            self._seen[manner.name].pings += 1
            asked = _read_asked(body)
            bodies = [write_bid(words, asked) for words in manner.says]
        fields = manner.fields
        if manner.redirects_to is not None:
            fields += (b"Location: /bad/%b/%b" % (manner.redirects_to.encode(), door.encode()),)
        line = Line(reader, writer, self._draw(manner, asked), delay)
        return await manner.send(
            line,
            Reply(
                head=write_head(manner.status, *fields), bodies=[manner.packs(b) for b in bodies]
            ),
        )

    async def _stream(
        self,
        manner: Manner,
        delay: Delay,
        request: Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Take a bid stream, and answer each of its frames in this bidder's manner."""
        if request.key is None:
            return await _refuse(writer, b"400 Bad Request", "this is no WebSocket handshake")
        self._seen[manner.name].streams += 1
        writer.write(frames.switch_protocols(request.key))
        cutter = frames.FrameReader()
        answering: set[asyncio.Task[None]] = set()
        try:
            while data := await reader.read(65_536):
                for opcode, payload in cutter.feed(data):
                    if opcode == frames.PING:
                        writer.write(frames.write_frame(frames.PONG, payload))
                    elif opcode == frames.CLOSE:
                        writer.write(frames.write_frame(frames.CLOSE, payload[:2]))
                        return False
                    elif opcode != frames.PONG and len(answering) < MAX_FRAMES:
                        pings = _read_all_asked(payload)
                        self._seen[manner.name].pings += len(pings)
                        draw = self._draw(manner, pings[0] if pings else Asked())
                        line = Line(reader, writer, draw, delay)
                        task = asyncio.create_task(_answer_frame(manner, pings, line, writer))
                        answering.add(task)
                        task.add_done_callback(answering.discard)
        except frames.FrameFault:
            pass  # what is no WebSocket any more is hung up on
        finally:
            for task in answering:
                task.cancel()
            await asyncio.gather(*answering, return_exceptions=True)
        return False

    def _draw(self, manner: Manner, asked: Asked) -> float:
        return draw_fate(self._seed, manner.name, asked.ping_id)


@asynccontextmanager
async def bad_bidders(
    *, seed: int = 7, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[BadBidders]:
    """Serve every bad bidder while the context lasts. Port 0 takes a free one.

    ``seed`` decides, with a ping's id, how long `slow` takes. Raises OSError.
    """
    bad = BadBidders(seed)
    server = await asyncio.start_server(bad.connect, host, port, limit=MAX_HEAD_BYTES)
    bad.base_url = f"http://{write_address(host, server.sockets[0].getsockname()[1])}"
    try:
        yield bad
    finally:
        server.close()
        await bad.close()


async def _answer_frame(
    manner: Manner, pings: list[Asked], line: Line, writer: asyncio.StreamWriter
) -> None:
    bodies = [manner.packs(write_bids(words, pings)) for words in manner.says]
    try:
        stays = await manner.send(line, Reply(head=frame_head(manner.opcode), bodies=bodies))
    except (ConnectionError, TimeoutError):
        stays = False
    if not stays:
        writer.close()


async def _tell(
    writer: asyncio.StreamWriter, told: object, status: bytes = b"200 OK", *fields: bytes
) -> None:
    body = msgspec.json.encode(told)
    writer.write(write_head(status, JSON_TYPE, *fields)(len(body)) + body)
    await writer.drain()


async def _refuse(writer: asyncio.StreamWriter, status: bytes, detail: str) -> bool:
    await _tell(writer, {"detail": detail}, status, b"Connection: close")
    return False


def _read_asked(body: bytes) -> Asked:
    """Read a ping; one that cannot be read is answered like any other."""
    try:
        return read_asked(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Asked()


def _read_all_asked(payload: bytes) -> list[Asked]:
    """Read the pings of a frame, past its signature."""
    try:
        return read_all_asked(payload if payload.startswith(b"[") else payload.partition(b"\n")[2])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [Asked()]
