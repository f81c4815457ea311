"""From a request to its answer: the route, the caller, the body, the handler, and every fault.

Knows requests only as `Incoming`: which of the two ways in they came (see `lane`) is the server's.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Final, Protocol

from msgspec import Struct
from uuid_utils import uuid7

from exchange.flow.faults import Fault, NotFound, Unavailable
from exchange.web.auth import authenticate, authorise
from exchange.web.bodies import is_csv, is_form
from exchange.web.calls import Call, Log, Reply, Site, Streamed
from exchange.web.metrics import Metrics
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
from exchange.web.queries import check_names
from exchange.web.routes import ROUTES, Route, Table
from exchange.web.wire import JSON

JSON_TYPE: Final = "application/json"
UPLOAD_S: Final = 1_800.0
"""Longest an upload may take: 256 MiB at a little over a megabit a second."""

_NONE: Final[Mapping[str, str]] = {}
_UNKNOWN: Final = "unknown"


class Said(Struct, frozen=True, gc=False):
    """An answer before it is bytes. ``closes``: nothing more can be read on its connection.

    A ``stream`` comes behind the body, part by part, and is to be closed.
    """

    status: int
    body: bytes = b""
    content_type: str | None = JSON_TYPE
    headers: Mapping[str, str] = _NONE
    closes: bool = False
    stream: Streamed | None = None


class Incoming(Protocol):
    """A request, its body not yet read."""

    @property
    def method(self) -> str:
        """The method, in capitals."""
        ...

    @property
    def path(self) -> str:
        """The path, decoded, without its query."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, whatever their case."""
        ...

    @property
    def query(self) -> Mapping[str, str]:
        """The query's parameters."""
        ...

    async def read(self, max_bytes: int, timeout_s: float) -> bytes:
        """The whole body. Raises TooLarge, TooSlow or Malformed."""
        ...

    def chunks(self, max_bytes: int, pause_s: float, timeout_s: float) -> AsyncIterator[bytes]:
        """The body piece by piece, for a route that takes it so. Raises like `read`."""
        ...


class Dispatcher:
    """Answers requests, and knows how many are open."""

    def __init__(self, site: Site, metrics: Metrics, log: Log) -> None:
        self.site = site
        self.open = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self._table = Table(ROUTES)
        self._metrics = metrics
        self._log = log
        self._selling: dict[str, int] = {}

    async def answer(self, request: Incoming, route: Route | None = None) -> Said:
        """Answer one request, whatever happens: the boundary of its task.

        ``route`` is the request's, where it is known already and its path has no parameters.
        """
        started = perf_counter()
        self._enter()
        label = _UNKNOWN if route is None else route.label
        try:
            params = _NONE
            if route is None:
                methods, params = self._find(request)
                route = _choose(methods, request.method)
                label = route.label
            said = await self._answer(request, route, params)
        except Fault as fault:
            said = refuse(fault)
        except Exception as error:
            said = self.fail(error, label)
        finally:
            self._leave()
        self._metrics.count_request(label, said.status, perf_counter() - started)
        return said

    def begin(self, label: str) -> None:
        """A ping is open that is answered elsewhere; `end` or `leave` must follow."""
        self._enter()
        self._selling[label] = self._selling.get(label, 0) + 1

    def leave(self, label: str) -> None:
        """It is not answered elsewhere after all."""
        self._leave()
        self._selling[label] -= 1

    def end(self, label: str, status: int, started: float) -> None:
        """It is answered; ``started`` is when it came, by `perf_counter`."""
        self.leave(label)
        self._metrics.count_request(label, status, perf_counter() - started)

    def _enter(self) -> None:
        if not self.open:
            self.idle.clear()
        self.open += 1
        self._metrics.in_flight += 1

    def _leave(self) -> None:
        self.open -= 1
        if not self.open:
            self.idle.set()
        self._metrics.in_flight -= 1

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """Count an answer as open while it is still being written."""
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def room(self, route: Route) -> Unavailable | None:
        """Why a ping or post is not taken now, if it is not."""
        if self.site.draining:
            return Unavailable("This worker is stopping; try again.")
        limits, begun = self.site.limits, self._selling.get(route.label, 0)
        if route.keyed:
            is_full = begun >= limits.max_posts
        else:
            # Those that wait for bidders cost nothing meanwhile; the others wait for this worker.
            asking = self.site.doors.asking
            is_full = begun - asking >= limits.max_pings or asking >= limits.max_asking
        return Unavailable("Too many pings and posts are open; try again.") if is_full else None

    def shed(self, route: Route, full: Unavailable) -> Said:
        """Refuse a ping or post for want of room."""
        said = refuse(full)
        self._metrics.count_request(route.label, said.status, 0.0)
        return said

    def _find(self, request: Incoming) -> tuple[dict[str, Route], dict[str, str]]:
        found = self._table.find(request.path)
        if found is None:
            raise NotFound("There is nothing at this path.")
        return found

    async def _answer(self, request: Incoming, route: Route, params: Mapping[str, str]) -> Said:
        site, headers, caller, query = self.site, request.headers, None, _NONE
        if route.roles:
            caller = await authenticate(headers, site.doors.registry)
            authorise(caller, route.roles, sells=route.sells)
            # Calls without a key are for probes and scrapers, which add parameters of their own.
            if query := request.query:
                check_names(query, route.query_names)
        if route.sells and (full := self.room(route)) is not None:
            raise full
        body, form = b"", False
        if route.body is not None:
            limits = site.limits
            most = limits.max_bulk_bytes if route.bulk else limits.max_body_bytes
            body = await request.read(most, limits.body_timeout_s)
            form = not (route.bulk and is_csv(headers)) and is_form(headers, body)
            if form and not route.forms:
                raise WrongMedia("This call takes application/json only.")
        call = Call(site, caller, params, headers, query, body, form)
        if route.streamed:
            call.stream = partial(
                request.chunks, site.limits.max_upload_bytes, site.limits.body_timeout_s, UPLOAD_S
            )
        if not route.sells:
            return _respond(await route.handler(call), route.status)
        label = route.label
        self._selling[label] = self._selling.get(label, 0) + 1
        try:
            return _respond(await route.handler(call), route.status)
        finally:
            self._selling[label] -= 1

    def fail(self, error: Exception, label: str) -> Said:
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
        return Said(500, describe_incident(incident), PROBLEM_TYPE)


def refuse(fault: Fault) -> Said:
    """The answer that tells a fault."""
    status = status_of(fault)
    # What is left of such a body on its connection is not the next request.
    closes = isinstance(fault, WireFault) and status in (408, 413)
    return Said(status, describe(fault), PROBLEM_TYPE, headers_of(fault), closes)


def _choose(methods: Mapping[str, Route], method: str) -> Route:
    route = methods.get("GET" if method == "HEAD" else method)
    if route is None:
        allowed = sorted(methods) + (["HEAD"] if "GET" in methods else [])
        message = f"This path takes {', '.join(allowed)}."
        raise WrongMethod(message, allow=", ".join(allowed))
    return route


def _respond(answer: object, status: int) -> Said:
    if isinstance(answer, Reply):
        return Said(answer.status, answer.body, answer.content_type)
    if isinstance(answer, Streamed):
        return Said(status, answer.first, answer.content_type, answer.headers, stream=answer)
    if answer is None:
        return Said(204, content_type=None)
    return Said(status, JSON.encode(answer))
