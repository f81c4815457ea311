"""Opens WebSockets to companies' bid streams, under the same guard as any other connection.

Knows nothing of what is said on them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from exchange.buyers.addresses import guarded_socket
from exchange.buyers.bid_dialling import DialFailed, Dialler

BidSocket = aiohttp.ClientWebSocketResponse[bool]

CLOSING_S: Final = 0.5
"""Longest wait for the other side's word when a stream is closed."""


class BidSockets:
    """Opens sockets; names are looked up by the dialler that all bidders' connections have."""

    def __init__(self, dialler: Dialler) -> None:
        self._dialler = dialler
        self._session: aiohttp.ClientSession | None = None

    async def open(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        within_s: float,
        heartbeat_s: float,
        max_bytes: int,
    ) -> BidSocket:
        """Open a socket, handshake included. Raises DialFailed, and nothing else.

        A message of more than ``max_bytes`` ends it, and so does a pong that stays out.
        """
        try:
            async with asyncio.timeout(within_s):
                return await self._session_now().ws_connect(
                    url,
                    headers=headers,
                    heartbeat=heartbeat_s,
                    max_msg_size=max_bytes,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSING_S),
                    decode_text=False,
                )
        except TimeoutError:
            raise DialFailed("no connection in time") from None
        except aiohttp.WSServerHandshakeError as fault:
            raise DialFailed(f"the upgrade was refused: HTTP {fault.status}") from None
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as fault:
            raise DialFailed(f"no connection ({type(fault).__name__})") from None

    async def close(self) -> None:
        """Close every socket. Safe to repeat."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _session_now(self) -> aiohttp.ClientSession:
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_request_redirect.append(_refuse_redirect)
            connector = aiohttp.TCPConnector(
                limit=0,  # the streams count their own
                force_close=True,
                use_dns_cache=False,
                resolver=_Names(self._dialler),
                socket_factory=None if self._dialler.allows_private else guarded_socket,
                ssl=self._dialler.tls,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[trace],
            )
        return self._session


class _Names(AbstractResolver):
    """The dialler's names, in the client's terms."""

    def __init__(self, dialler: Dialler) -> None:
        self._dialler = dialler

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Look a name up. Raises OSError."""
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self._dialler.look_up(host, port)
        ]

    async def close(self) -> None:
        """Nothing is held."""


async def _refuse_redirect(
    session: aiohttp.ClientSession,
    context: SimpleNamespace,
    params: aiohttp.TraceRequestRedirectParams,
) -> None:
    """A stream goes where the company said, nowhere else."""
    params.response.close()
    raise aiohttp.ClientError("redirected")
