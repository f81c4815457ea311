"""A web server on a real socket over doors in memory, and a client that speaks to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from msgspec import Struct

from exchange.buyers.desk import Desk
from exchange.buyers.dialects import Dialects
from exchange.web import Metrics, WebLimits, WebServer
from tests.web.doubles import NOW, MemoryDoors, RecordingLog

HASH_KEY = b"k" * 32


class Answer(Struct):
    """An answer as it came in."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Wire:
    """The server under test, what stands behind it, and calls to it."""

    def __init__(
        self,
        doors: MemoryDoors,
        log: RecordingLog,
        metrics: Metrics,
        server: WebServer,
        port: int,
        session: aiohttp.ClientSession,
    ) -> None:
        self.doors = doors
        self.log = log
        self.metrics = metrics
        self.server = server
        self.port = port
        self.session = session

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = "seller",
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Call with the key of a role, or none; a body is sent as JSON unless it is ``raw``."""
        sent = {"Authorization": f"Bearer key-of-{key}"} if key is not None else {}
        data = raw
        if raw is None and body is not None:
            data = msgspec.json.encode(body)
            sent["Content-Type"] = "application/json"
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.session.request(
            method,
            url,
            data=data,
            headers=sent | (headers or {}),
            skip_auto_headers=["Content-Type"],
        ) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def form(self, path: str, body: str, **more: Any) -> Answer:
        """Send a form."""
        return await self.call(
            "POST",
            path,
            raw=body.encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            **more,
        )


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """Give a server and its client."""
    doors, log, metrics = MemoryDoors(), RecordingLog(), Metrics()
    dialects = Dialects(
        keys=[(1, HASH_KEY)],
        secret_of=lambda company_id: f"secret-of-{company_id}",
        company_of=lambda campaign_id: doors.accounts.records[campaign_id].campaign.company_id,
        clock=lambda: NOW,
    )
    desk = Desk(dialects, allow_private_addresses=True)
    limits = WebLimits(hash_key=HASH_KEY, body_timeout_s=0.5, check_url=_refuse_ten, desk=desk)
    server = WebServer(doors, limits, metrics, log)
    port = await server.start("127.0.0.1", 0, False)
    async with aiohttp.ClientSession() as session:
        yield Wire(doors, log, metrics, server, port, session)
        await server.stop(1)


async def _refuse_ten(url: str) -> str | None:
    return "a private address" if "//10." in url else None
