"""The HTTP server: finds the route, checks the caller, reads the body, answers, and stops.

A shell over aiohttp's low-level server; everything about single calls is in `routes` and behind.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping
from contextlib import suppress
from time import perf_counter
from typing import Final

from aiohttp.web import BaseRequest, Response
from msgspec import Struct
from multidict import MultiMapping
from uuid_utils import uuid7

from exchange.flow.doors import Doors
from exchange.flow.faults import Fault, NotFound, Unavailable
from exchange.web.auth import authenticate, authorise
from exchange.web.bodies import is_form, read_bytes
from exchange.web.calls import Call, Log, Reply, Site, WebLimits
from exchange.web.connection import QuietServer
from exchange.web.metrics import Metrics
from exchange.web.openapi import build_document
from exchange.web.problems import (
    PROBLEM_TYPE,
    WireFault,
    WrongMedia,
    WrongMethod,
    describe,
    describe_incident,
    headers_of,
    status_of,
)
from exchange.web.routes import ROUTES, Route, Table
from exchange.web.wire import JSON

_JSON_TYPE: Final = {"Content-Type": "application/json"}
_UNKNOWN: Final = "unknown"
_BACKLOG: Final = 1_024
_LINGER_S: Final = 1.0
"""How long a refused body is read on, so that its sender sees the answer."""

_KEEPALIVE_S: Final = 75.0


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
        self._table = Table(ROUTES)
        self._metrics = metrics
        self._log = log
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._selling: dict[str, int] = {}
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
        self._listener = await asyncio.get_running_loop().create_server(
            self._server, host, port, reuse_port=reuse_port or None, backlog=_BACKLOG
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
                await self._idle.wait()
        if self._open:
            self._log.warning("stopped with open requests", requests=self._open)
        if self._server is not None:
            self._server.pre_shutdown()
            await self._server.shutdown(max(ends - loop.time(), 0.05))
            self._server = None

    async def _handle(self, request: BaseRequest) -> Response:
        """Answer one request, whatever happens: the boundary of its task."""
        started = perf_counter()
        self._open += 1
        self._idle.clear()
        self._metrics.in_flight += 1
        label = _UNKNOWN
        try:
            methods, params = self._find(request)
            route = _choose(methods, request.method)
            label = route.label
            response = await self._answer(request, route, params)
        except Fault as fault:
            response = _refuse(fault)
        except Exception as error:
            response = self._fail(error, label)
        finally:
            self._open -= 1
            if not self._open:
                self._idle.set()
            self._metrics.in_flight -= 1
        if self._site.draining:
            response.force_close()
        self._metrics.count_request(label, response.status, perf_counter() - started)
        return response

    def _find(self, request: BaseRequest) -> tuple[dict[str, Route], dict[str, str]]:
        # The path as it was sent needs no parsing where nothing in it is encoded.
        path = request.raw_path
        if "?" in path or "%" in path or path[:1] != "/":
            path = request.path
        found = self._table.find(path)
        if found is None:
            raise NotFound("There is nothing at this path.")
        return found

    async def _answer(
        self, request: BaseRequest, route: Route, params: Mapping[str, str]
    ) -> Response:
        site, headers, caller = self._site, request.headers, None
        if route.roles:
            caller = await authenticate(headers, site.doors.registry)
            authorise(caller, route.roles, sells=route.sells)
        if route.sells:
            self._check_room(route)
        body, form = b"", False
        if route.body is not None:
            limits = site.limits
            body = await read_bytes(request, limits.max_body_bytes, limits.body_timeout_s)
            form = is_form(headers, body)
            if form and not route.forms:
                raise WrongMedia("This call takes application/json only.")
        query: MultiMapping[str] | Mapping[str, str] = request.query if route.listed else {}
        call = Call(site, caller, params, headers, query, body, form)
        if not route.sells:
            return _respond(await route.handler(call), route.status)
        self._selling[route.label] = self._selling.get(route.label, 0) + 1
        try:
            return _respond(await route.handler(call), route.status)
        finally:
            self._selling[route.label] -= 1

    def _check_room(self, route: Route) -> None:
        if self._site.draining:
            raise Unavailable("This worker is stopping; try again.")
        limits = self._site.limits
        most = limits.max_posts if route.keyed else limits.max_pings
        if self._selling.get(route.label, 0) >= most:
            raise Unavailable("Too many pings and posts are open; try again.")

    def _note_broken(self, kind: str) -> None:
        """Count and tell a connection's failure that no call was about."""
        self._metrics.count_broken()
        self._log.warning("connection broken", error=kind)

    def _fail(self, error: Exception, label: str) -> Response:
        """Answer an unexpected failure. The log has its place, never what it was about."""
        incident = str(uuid7())
        self._metrics.count_incident(label)
        self._log.error(
            "request failed",
            incident=incident,
            route=label,
            error=type(error).__name__,
            where="".join(traceback.format_tb(error.__traceback__)),
        )
        return Response(
            body=describe_incident(incident), status=500, headers={"Content-Type": PROBLEM_TYPE}
        )


def _choose(methods: Mapping[str, Route], method: str) -> Route:
    route = methods.get("GET" if method == "HEAD" else method)
    if route is None:
        allowed = sorted(methods) + (["HEAD"] if "GET" in methods else [])
        message = f"This path takes {', '.join(allowed)}."
        raise WrongMethod(message, allow=", ".join(allowed))
    return route


def _respond(answer: object, status: int) -> Response:
    if isinstance(answer, Struct) and not isinstance(answer, Reply):
        return Response(body=JSON.encode(answer), status=status, headers=_JSON_TYPE)
    if answer is None:
        return Response(status=204)
    assert isinstance(answer, Reply)
    return Response(
        body=answer.body, status=answer.status, headers={"Content-Type": answer.content_type}
    )


def _refuse(fault: Fault) -> Response:
    status = status_of(fault)
    response = Response(
        body=describe(fault),
        status=status,
        headers={"Content-Type": PROBLEM_TYPE, **headers_of(fault)},
    )
    if isinstance(fault, WireFault) and status in (408, 413):
        # What is left of the body on this connection is not the next request.
        response.force_close()
    return response
