"""The bidder's end of the bid stream: the exchange dials, and pings and bids go as frames.

Each ping is answered by itself as soon as it is decided, and what is decided together goes out
together; a ping that fails or runs out of time is answered with no bid. Source: the wire
(bidders/README.md, The bid stream).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from bidders.kit.faults import OwnFault
from bidders.kit.signature import SignatureFault, open_frame
from bidders.kit.wire import Bid, Ping, join_streamed, read_pings, write_streamed

if TYPE_CHECKING:
    from bidders.kit.bidder import Bidder

MAX_FRAME_BYTES: Final = 4 << 20  # a tick of pings is a few hundred KiB at most
MAX_UNANSWERED: Final = 10_000  # pings of one stream; the exchange has given up on the oldest
HEARTBEAT_S: Final = 20.0  # after which a silent exchange is asked whether it is there
SEND_TIMEOUT_S: Final = 5.0  # for the exchange to take a frame

_log = logging.getLogger("bidders.kit")


def add_route(app: web.Application, path: str, bidder: Bidder) -> None:
    """Take bid streams at this path."""
    streams: set[web.WebSocketResponse] = set()

    async def hold(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, compress=False, max_msg_size=MAX_FRAME_BYTES
        )
        await socket.prepare(request)
        streams.add(socket)
        try:
            await _Stream(bidder, socket).serve()
        finally:
            streams.discard(socket)
        return socket

    async def close_all(app: web.Application) -> None:
        for socket in list(streams):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    app.router.add_get(path, hold)
    app.on_shutdown.append(close_all)


class _Stream:
    """One connection of one of the exchange's workers."""

    def __init__(self, bidder: Bidder, socket: web.WebSocketResponse) -> None:
        self._bidder = bidder
        self._socket = socket
        self._deciding: set[asyncio.Task[None]] = set()
        self._answers: list[bytes] = []
        self._answered = asyncio.Event()

    async def serve(self) -> None:
        """Answer until either side ends it."""
        sender = asyncio.create_task(self._send())
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    await self._take(message.data.encode())
                elif message.type is WSMsgType.BINARY:
                    await self._take(message.data)
        finally:
            sender.cancel()
            for task in self._deciding:
                task.cancel()
            await asyncio.gather(sender, *self._deciding, return_exceptions=True)

    async def _take(self, frame: bytes) -> None:
        arrived = asyncio.get_running_loop().time()
        try:
            pings = read_pings(open_frame(self._bidder.secret, frame, self._bidder.now()))
        except SignatureFault as fault:
            self._bidder.counts.unproven += 1
            await self._end(WSCloseCode.POLICY_VIOLATION, fault.code)
            return
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            await self._end(WSCloseCode.INVALID_TEXT, "unreadable_frame")
            return
        if len(self._deciding) + len(self._answers) + len(pings) > MAX_UNANSWERED:
            await self._end(WSCloseCode.TRY_AGAIN_LATER, "too_many_pings")
            return
        for ping in pings:
            task = asyncio.create_task(self._answer(ping, arrived))
            self._deciding.add(task)
            task.add_done_callback(self._deciding.discard)

    async def _answer(self, ping: Ping, arrived: float) -> None:
        bid: Bid | None = None
        with contextlib.suppress(OwnFault):  # logged and counted; on the wire it is no bid
            bid = await self._bidder.decide(ping, arrived)
        self._answers.append(write_streamed(ping, bid))
        self._answered.set()

    async def _send(self) -> None:
        while True:
            await self._answered.wait()
            await asyncio.sleep(0)  # lets what is ready at this moment into the same frame
            self._answered.clear()
            answers, self._answers = self._answers, []
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self._socket.send_str(join_streamed(answers))
            except (TimeoutError, ConnectionError):
                await self._end(WSCloseCode.TRY_AGAIN_LATER, "too_slow")
                return

    async def _end(self, code: WSCloseCode, reason: str) -> None:
        _log.warning("a bid stream was ended: %s", reason)
        await self._socket.close(code=code, message=reason.encode())
