"""The HTTP server: two ways in, one dispatcher behind them, and how it starts and stops.

Pings and posts as sellers' programs send them take the quick way of `lane`; everything else is
read and written by aiohttp's low-level server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Final

from aiohttp.web import BaseRequest, Response, StreamResponse

from exchange.flow.doors import Doors
from exchange.web.bodies import read_bytes, read_chunks
from exchange.web.calls import Log, Site, WebLimits
from exchange.web.connection import QuietServer
from exchange.web.dispatch import Dispatcher, Said
from exchange.web.lane import Lanes
from exchange.web.metrics import Metrics
from exchange.web.openapi import build_document
from exchange.web.routes import ROUTES
from exchange.web.streams import write_stream

_NO_QUERY: Final[Mapping[str, str]] = {}
_BACKLOG: Final = 1_024
_LINGER_S: Final = 1.0
"""How long a refused body is read on, so that its sender sees the answer."""

_KEEPALIVE_S: Final = 75.0
_READER_S: Final = 30.0
"""How long a part of a streamed answer waits for a caller who does not read."""


class WebServer:
    """One worker's HTTP server."""

    def __init__(self, doors: Doors, limits: WebLimits, metrics: Metrics, log: Log) -> None:
        self._site = Site(
            doors,
            limits,
            metrics,
            calls=tuple(route.label for route in ROUTES),
            build_document=lambda: build_document(ROUTES, doors.market.verticals),
        )
        self._dispatcher = Dispatcher(self._site, metrics, log)
        self._metrics = metrics
        self._log = log
        self._lanes: Lanes | None = None
        self._server: QuietServer | None = None
        self._listener: asyncio.Server | None = None

    async def start(self, host: str, port: int, reuse_port: bool) -> int:
        """Listen, and say on which port (of interest where ``port`` is 0)."""
        self._server = QuietServer(
            self._handle,
            failed=self._note_broken,
            access_log=None,
            keepalive_timeout=_KEEPALIVE_S,
            lingering_time=_LINGER_S,
            auto_decompress=False,
        )
        self._lanes = Lanes(self._dispatcher, others=self._server, keepalive_s=_KEEPALIVE_S)
        self._listener = await asyncio.get_running_loop().create_server(
            self._lanes.open, host, port, reuse_port=reuse_port or None, backlog=_BACKLOG
        )
        bound: int = self._listener.sockets[0].getsockname()[1]
        return bound

    def drain(self) -> None:
        """Take no more pings and posts; what is open goes on."""
        self._site.draining = True

    async def stop(self, deadline_s: float) -> None:
        """Stop listening, give open requests until the deadline, then close every connection."""
        self.drain()
        loop = asyncio.get_running_loop()
        ends = loop.time() + deadline_s
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        with suppress(TimeoutError):
            async with asyncio.timeout_at(ends):
                await self._dispatcher.idle.wait()
        if self._dispatcher.open:
            self._log.warning("stopped with open requests", requests=self._dispatcher.open)
        if self._lanes is not None:
            self._lanes.close()
            self._lanes = None
        if self._server is not None:
            self._server.pre_shutdown()
            await self._server.shutdown(max(ends - loop.time(), 0.05))
            self._server = None

    async def _handle(self, request: BaseRequest) -> StreamResponse:
        said = await self._dispatcher.answer(_Request(request))
        if said.stream is not None:
            with self._dispatcher.streaming():
                return await write_stream(
                    request,
                    said,
                    said.stream,
                    closes=self._site.draining,
                    failed=lambda error: self._dispatcher.fail(error, "stream"),
                    broken=self._note_broken,
                )
        response = _write(said)
        if self._site.draining:
            response.force_close()
        return response

    def _note_broken(self, kind: str) -> None:
        """Count and tell a connection's failure that no call was about."""
        self._metrics.count_broken()
        self._log.warning("connection broken", error=kind)


class _Request:
    """A request as aiohttp has it."""

    __slots__ = ("_request", "headers", "method", "path")

    def __init__(self, request: BaseRequest) -> None:
        self._request = request
        self.method = request.method
        self.headers: Mapping[str, str] = request.headers
        # The path as it was sent needs no parsing where nothing in it is encoded.
        path = request.raw_path
        if "?" in path or "%" in path or path[:1] != "/":
            path = request.path
        self.path = path

    @property
    def query(self) -> Mapping[str, str]:
        # Most calls have none, and need not have it read.
        return self._request.query if "?" in self._request.raw_path else _NO_QUERY

    async def read(self, max_bytes: int, timeout_s: float) -> bytes:
        return await read_bytes(self._request, max_bytes, timeout_s)

    def chunks(self, max_bytes: int, pause_s: float, timeout_s: float) -> AsyncIterator[bytes]:
        return read_chunks(self._request, max_bytes, pause_s, timeout_s)


def _write(said: Said) -> Response:
    headers = dict(said.headers)
    if said.content_type is not None:
        headers["Content-Type"] = said.content_type
    response = Response(body=said.body or None, status=said.status, headers=headers)
    if said.closes:
        response.force_close()
    return response
