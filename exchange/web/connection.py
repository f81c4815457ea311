"""Connections of aiohttp's low-level server, made to keep quiet about what they carry.

The library's own answer to bytes that are no HTTP quotes them, to the sender and in its log; here
they may be somebody's contact data (a post under too short a length, say).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp.web import BaseRequest, RequestHandler, Response, Server, StreamResponse

from exchange.web.problems import PROBLEM_TYPE, Malformed, describe


class QuietServer(Server):
    """Makes quiet connections. ``failed`` hears the kind of each failure outside a handler."""

    def __init__(self, *args: Any, failed: Callable[[str], None], **options: Any) -> None:
        super().__init__(*args, **options)
        self.failed = failed
        self._options = options

    def __call__(self) -> RequestHandler:
        return _QuietConnection(self, loop=asyncio.get_running_loop(), **self._options)


class _QuietConnection(RequestHandler):
    """A connection whose failures are problems with no content of the request in them."""

    def __init__(self, server: QuietServer, **options: Any) -> None:
        super().__init__(server, **options)
        self._failed = server.failed

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """Answer what is no HTTP, and close."""
        self._failed(type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        fault = Malformed("The request is not HTTP as it is spoken here.")
        response = Response(
            body=describe(fault), status=400, headers={"Content-Type": PROBLEM_TYPE}
        )
        response.force_close()
        return response

    def log_exception(self, *_args: Any, **facts: Any) -> None:
        """Tell the kind of a failure and nothing else."""
        self._failed(type(facts.get("exc_info")).__name__)
