"""Sends one request to a company's system and gives its answer, or how far the request came.

Off the auction's path: aiohttp's client, over sockets that only go where they may. Follows no
redirect, keeps no cookie, unpacks nothing, tries once.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from types import SimpleNamespace
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver
from msgspec import Struct
from yarl import URL

from exchange.buyers.addresses import AddressNotAllowed, guarded_socket, read_url
from exchange.buyers.opened import Opened
from exchange.buyers.speech import Incoming, Outgoing

MAX_ANSWER_BYTES: Final = 64 * 1024  # the wire's bound on every body
MAX_CONNECTIONS: Final = 512  # in a worker, to all companies
MAX_CONNECTIONS_PER_HOST: Final = 32  # so that one slow company cannot hold them all
KEEP_ALIVE_S: Final = 4.0  # shorter than the 5 s after which common servers hang up
CLOSE_S: Final = 2.0  # what connections get to end; none is of use to anybody by then
FAULT_BODY_S: Final = 0.5  # how long the text of a fault is waited for
_READ_BYTES: Final = 16 * 1024


class Lost(Struct, frozen=True, kw_only=True):
    """A request without an answer. ``sent``: it may have arrived. ``garbled``: it was answered,
    in a form that is no HTTP or too large to be read.
    """

    detail: str
    sent: bool = False
    garbled: bool = False


class _Journey:
    """How far a request came."""

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent = False


class HttpSender(Opened):
    """A pool of connections to companies' systems.

    ``resolver`` replaces the machine's name lookup; what it gives is checked like anything else.
    """

    def __init__(
        self,
        *,
        allow_private_addresses: bool = False,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        max_connections: int = MAX_CONNECTIONS,
        max_connections_per_host: int = MAX_CONNECTIONS_PER_HOST,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._allow_private_addresses = allow_private_addresses
        self._max_answer_bytes = max_answer_bytes
        self._max_connections = max_connections
        self._max_connections_per_host = max_connections_per_host
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the connection pool; must run in the loop that will use it."""
        if self._session is not None:
            return
        connector = aiohttp.TCPConnector(
            limit=self._max_connections,
            limit_per_host=self._max_connections_per_host,
            keepalive_timeout=KEEP_ALIVE_S,
            resolver=self._resolver,
            socket_factory=None if self._allow_private_addresses else guarded_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            # Nothing is unpacked, so that a small answer cannot become a large one.
            headers={"Accept-Encoding": "identity"},
            skip_auto_headers=("Content-Type", "User-Agent", "Accept"),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            # One deadline holds for everything, from the lookup to the last byte: `send`'s.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            trace_configs=[_watch_sending()],
        )

    async def close(self) -> None:
        """Close every connection. Safe to repeat."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await session.close()

    async def send(self, outgoing: Outgoing, timeout_s: float) -> Incoming | Lost:
        """Try once, for at most ``timeout_s``; never raises for what a company's system does.

        Raises RuntimeError when the sender is not started.
        """
        if self._session is None:
            raise RuntimeError("the courier is not started")
        try:
            url = read_url(outgoing.url)
        except ValueError as fault:
            return Lost(detail=f"the delivery URL {fault}")
        journey = _Journey()
        try:
            async with asyncio.timeout(timeout_s):
                return await self._request(self._session, url, outgoing, journey)
        except TimeoutError:
            if journey.sent:
                return Lost(detail="no answer in time", sent=True)
            return Lost(detail="no connection in time")
        except aiohttp.ClientResponseError:
            return Lost(detail="the answer is not HTTP", sent=True, garbled=True)
        # Names too long to look up are ValueErrors; uvloop has RuntimeErrors for failed connects.
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as fault:
            if journey.sent:
                return Lost(detail=_name_loss(fault), sent=True)
            return Lost(detail=_name_obstacle(fault))

    async def _request(
        self, session: aiohttp.ClientSession, url: URL, outgoing: Outgoing, journey: _Journey
    ) -> Incoming | Lost:
        response = await session.request(
            outgoing.method,
            url,
            data=outgoing.body if outgoing.method != "GET" else None,
            headers=outgoing.headers,
            allow_redirects=False,
            trace_request_ctx=journey,
        )
        try:
            headers = tuple((name.lower(), value) for name, value in response.headers.items())
            if response.status >= 300:
                return Incoming(response.status, headers, await self._read_fault(response))
            body = await self._read_bounded(response)
            if body is None:
                detail = f"the answer is over {self._max_answer_bytes} bytes"
                return Lost(detail=detail, sent=True, garbled=True)
            return Incoming(response.status, headers, body)
        finally:
            # Goes back to the pool if the answer was read to its end, else it is closed.
            response.release()

    async def _read_fault(self, response: aiohttp.ClientResponse) -> bytes:
        """Read what comes with a status that says enough by itself, if it comes soon and whole."""
        try:
            async with asyncio.timeout(FAULT_BODY_S):
                return await self._read_bounded(response) or b""
        except (TimeoutError, aiohttp.ClientError):
            return b""

    async def _read_bounded(self, response: aiohttp.ClientResponse) -> bytes | None:
        """Read the whole body; None as soon as it is known to be too large."""
        if (response.content_length or 0) > self._max_answer_bytes:
            return None
        body = bytearray()
        async for chunk in response.content.iter_chunked(_READ_BYTES):
            body += chunk
            if len(body) > self._max_answer_bytes:
                return None
        return bytes(body)


def _watch_sending() -> aiohttp.TraceConfig:
    """Note on the journey when the first byte is about to go out, and so may have."""

    async def note(
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestHeadersSentParams,
    ) -> None:
        context.trace_request_ctx.sent = True

    watch = aiohttp.TraceConfig()
    watch.on_request_headers_sent.append(note)
    return watch


def _name_obstacle(fault: Exception) -> str:
    """Name what kept a request from going out; never the fault's own text, which holds URLs."""
    cause = fault.os_error if isinstance(fault, aiohttp.ClientConnectorError) else fault
    if isinstance(cause, AddressNotAllowed):
        return str(cause)
    if isinstance(fault, aiohttp.ClientConnectorDNSError) or isinstance(cause, socket.gaierror):
        return "name not resolved"
    if isinstance(fault, aiohttp.ClientConnectorCertificateError):
        return "TLS certificate not accepted"
    if isinstance(fault, aiohttp.ClientSSLError):
        return "TLS failed"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    return "no connection"


def _name_loss(fault: Exception) -> str:
    """Name how the answer to a request that may have arrived was lost."""
    if isinstance(fault, aiohttp.ClientPayloadError):
        return "the answer was cut off"
    return "connection lost before an answer"
