"""A company's side of its bid stream, for the tests."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

Ping = dict[str, Any]
Decide = Callable[[list[Ping]], list[Any]]


def bid(ping: Ping, price: Any = 42.5, **more: Any) -> dict[str, Any]:
    told = {"ping_id": ping["ping_id"], "campaign_id": ping["campaign_id"]}
    return told | {"shares": ping["shares"], "price": price} | more


def all_bid(pings: list[Ping]) -> list[Any]:
    return [[bid(ping) for ping in pings]]


class Stream:
    """A company's side of its stream: notes frames, and sends what ``decide`` makes of each."""

    def __init__(self, decide: Decide = all_bid) -> None:
        self.decide = decide
        self.frames: list[str] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.requests: list[web.Request] = []

    @property
    def pings(self) -> list[Ping]:
        return [ping for frame in self.frames for ping in json.loads(frame.partition("\n")[2])]

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        self.requests.append(request)
        self.sockets.append(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                self.frames.append(message.data)
                for frame in self.decide(json.loads(message.data.partition("\n")[2])):
                    text = frame if isinstance(frame, str) else json.dumps(frame)
                    await socket.send_str(text)
        return socket


@asynccontextmanager
async def streaming(stream: Stream, port: int = 0) -> AsyncIterator[str]:
    """Serve a stream; gives its URL."""
    app = web.Application()
    app.router.add_get("/bids", stream.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/bids"
    finally:
        await runner.cleanup()
