"""One keep-alive connection: a request out, its answer in, nothing between. Source: RFC 9112.

Understands answers with a Content-Length only; that is all the exchange and the floors send.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final, cast

MAX_HEAD_BYTES: Final = 16_384
"""The longest head of an answer that is waited for."""

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_LENGTH_AS_WRITTEN: Final = b"Content-Length:"


def encode_request(
    method: str, path: str, body: bytes = b"", *, key: str | None = None, host: str = "localhost"
) -> bytes:
    """A whole HTTP/1.1 request. ``key`` is sent as a bearer's."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    if body:
        lines.append("Content-Type: application/json")
    if body or method != "GET":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection(asyncio.Protocol):
    """Tells ``answered`` (this, status, body) of each answer, and ``lost`` (this) of its end.

    ``index``, ``intended_ns`` and ``sent_ns`` are its user's notes about the open request.
    """

    __slots__ = (
        "_answered",
        "_held",
        "_lost",
        "_transport",
        "index",
        "intended_ns",
        "is_open",
        "sent_ns",
    )

    def __init__(
        self,
        answered: Callable[[Connection, int, bytes], None],
        lost: Callable[[Connection], None],
    ) -> None:
        self._answered = answered
        self._lost = lost
        self._held = b""
        self._transport: asyncio.Transport | None = None
        self.is_open = False
        self.index = 0
        self.intended_ns = 0
        self.sent_ns = 0

    def send(self, request: bytes) -> None:
        """Send a request; the answer to the one before must have come."""
        if self._transport is not None:
            self.is_open = True
            self._transport.write(request)

    def close(self) -> None:
        """Drop the connection; it is not told as lost."""
        self._lost = _ignore
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    @property
    def is_connected(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes of an answer."""
        if self._held:
            data = self._held + data
        end = data.find(_HEAD_END)
        if end < 0:
            if len(data) > MAX_HEAD_BYTES:
                self._break()
                return
            self._held = data
            return
        length = _content_length(data, end)
        if length is None or data[:5] != b"HTTP/":
            self._break()
            return
        start = end + len(_HEAD_END)
        if len(data) < start + length:
            self._held = data
            return
        if len(data) > start + length or not self.is_open:
            self._break()
            return
        self._held = b""
        self.is_open = False
        self._answered(self, int(data[9:12]), data[start:])

    def connection_lost(self, error: BaseException | None) -> None:
        """End."""
        self._transport = None
        self._lost(self)

    def _break(self) -> None:
        """Give up on a server that does not answer in the way understood here."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None


def _content_length(data: bytes, end: int) -> int | None:
    at = data.find(_LENGTH_AS_WRITTEN, 0, end)
    if at < 0:
        at = data[:end].lower().find(_LENGTH)
    if at < 0:
        return None
    stop = data.find(b"\r", at)
    text = data[at + len(_LENGTH) : stop].strip()
    return int(text) if text.isdigit() else None


def _ignore(_line: Connection) -> None:
    """A connection dropped on purpose."""


class Caller:
    """One connection for calls made one after the other, with their answers awaited."""

    def __init__(self, host: str, port: int, *, timeout_s: float = 10.0) -> None:
        self._host, self._port, self._timeout_s = host, port, timeout_s
        self._line: Connection | None = None
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None

    async def call(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; gives status and body. Raises ConnectionError or TimeoutError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._timeout_s):
            if self._line is None or not self._line.is_connected:
                _, self._line = await loop.create_connection(
                    lambda: Connection(self._answered, self._lost), self._host, self._port
                )
            self._waiting = loop.create_future()
            self._line.send(request)
            return await self._waiting

    async def ask(self, request: bytes) -> Any:
        """Send a request; gives the JSON of its answer. Raises ConnectionError for a fault."""
        status, body = await self.call(request)
        if status >= 300:
            raise ConnectionError(f"answered {status}: {body[:300].decode(errors='replace')}")
        return json.loads(body)

    def close(self) -> None:
        """Drop the connection."""
        if self._line is not None:
            self._line.close()

    def _answered(self, _line: Connection, status: int, body: bytes) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result((status, body))

    def _lost(self, _line: Connection) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError("the connection was closed"))
