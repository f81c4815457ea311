"""Makes connections to companies' bidders, off the ping's way: names looked up, addresses checked.

A name's addresses are remembered for a while; where one of them is not public the name is refused,
and each is looked at again when its socket is made. Knows nothing of what is said on a connection.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, TypeVar

from msgspec import Struct

from exchange.buyers.addresses import (
    AddressNotAllowed,
    Resolve,
    guarded_socket,
    is_public,
    read_url,
    resolve_host,
)

P = TypeVar("P", bound=asyncio.Protocol)

MAX_NAMES: Final = 4_096  # remembered at once; a company has one or two
MAX_ADDRESSES: Final = 4  # of a name, tried one after the other
FAILED_LOOKUP_S: Final = 2.0  # so that a name that fails is not looked up for every ping

_WEB_SCHEMES: Final = {"ws": "http", "wss": "https"}


class DialFailed(Exception):
    """No connection; says why, without names or addresses."""


class Place(Struct, frozen=True, kw_only=True):
    """Where a URL points. ``target`` is path and query, ``authority`` as in the Host header."""

    host: str
    port: int
    is_tls: bool
    authority: str
    target: str


def read_place(url: str) -> Place:
    """Read a URL, http, https, ws or wss. Raises ValueError with a sentence to show."""
    scheme, separator, rest = url.partition("://")
    parsed = read_url(f"{_WEB_SCHEMES.get(scheme.lower(), scheme)}{separator}{rest}")
    default = 443 if parsed.scheme == "https" else 80
    host, port = parsed.raw_host or "", parsed.port or default
    named = f"[{host}]" if ":" in host else host
    return Place(
        host=host,
        port=port,
        is_tls=parsed.scheme == "https",
        authority=named if port == default else f"{named}:{port}",
        target=parsed.raw_path_qs or "/",
    )


class Dialler:
    """Dials. ``resolve`` replaces the machine's lookup, ``tls`` its trusted certificates."""

    def __init__(
        self,
        *,
        allow_private_addresses: bool,
        remember_s: float,
        resolve: Resolve = resolve_host,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.allows_private = allow_private_addresses
        self._remember_s = remember_s
        self._resolve = resolve
        self.tls = tls or _machines_trust()
        self._known: dict[str, tuple[float, Sequence[str]]] = {}
        self._asking: dict[str, asyncio.Task[Sequence[str]]] = {}

    async def dial(self, place: Place, make: Callable[[], P], within_s: float) -> P:
        """Connect, TLS included, within the time. Raises DialFailed, and nothing else."""
        try:
            async with asyncio.timeout(within_s):
                addresses = await self._addresses(place)
                for tried, address in enumerate(addresses, start=1):
                    # Each but the last leaves time for those behind it.
                    share = None if tried == len(addresses) else within_s / len(addresses)
                    try:
                        async with asyncio.timeout(share):
                            return await self._connect(place, address, make)
                    except OSError:  # a timeout is one too
                        if tried == len(addresses):
                            raise
        except TimeoutError:
            raise DialFailed("no connection in time") from None
        except AddressNotAllowed as fault:
            raise DialFailed(str(fault)) from None
        # Names too long to look up are ValueErrors; uvloop has RuntimeErrors for failed connects.
        except (OSError, ValueError, RuntimeError) as fault:
            raise DialFailed(_name_obstacle(fault)) from None
        raise DialFailed("name not resolved")

    async def close(self) -> None:
        """End the lookups under way."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def look_up(self, host: str, port: int) -> Sequence[str]:
        """Give a name's addresses, remembered or new. Raises OSError: none, or one not allowed."""
        now = asyncio.get_running_loop().time()
        until, addresses = self._known.get(host, (now, ()))
        if until <= now:
            asking = self._asking.get(host)
            if asking is None:
                asking = asyncio.create_task(self._ask(host, port))
                self._asking[host] = asking
            # Of many dials one asks; the one that asked may be gone before the answer.
            addresses = await asyncio.shield(asking)
        if not addresses:
            raise socket.gaierror("no addresses")
        if not self.allows_private and not all(map(is_public, addresses)):
            raise AddressNotAllowed
        return addresses

    async def _addresses(self, place: Place) -> Sequence[str]:
        if _is_address(place.host):
            return (place.host,)
        return await self.look_up(place.host, place.port)

    async def _ask(self, host: str, port: int) -> Sequence[str]:
        """Look a name up, and remember what came of it; no addresses if that failed."""
        loop = asyncio.get_running_loop()
        try:
            found = await self._resolve(host, port)
            addresses = list(dict.fromkeys(found))[:MAX_ADDRESSES]
        except (OSError, UnicodeError):
            addresses = []
        finally:
            self._asking.pop(host, None)
        if len(self._known) >= MAX_NAMES:
            self._known.clear()
        remember_s = self._remember_s if addresses else FAILED_LOOKUP_S
        self._known[host] = (loop.time() + remember_s, addresses)
        return addresses

    async def _connect(self, place: Place, address: str, make: Callable[[], P]) -> P:
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        peer = (address, place.port)
        if self.allows_private:
            made = socket.socket(family, socket.SOCK_STREAM)
        else:
            made = guarded_socket((family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", peer))
        try:
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(made, peer)
        except BaseException:
            made.close()
            raise
        # From here the socket is the transport's, which closes it if TLS fails.
        _, protocol = await loop.create_connection(
            make,
            sock=made,
            ssl=self.tls if place.is_tls else None,
            server_hostname=place.host if place.is_tls else None,
        )
        return protocol


@lru_cache(maxsize=1)
def _machines_trust() -> ssl.SSLContext:
    """The certificates the machine trusts; reading them takes a while, so they are read once."""
    return ssl.create_default_context()


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _name_obstacle(fault: Exception) -> str:
    """Name what was in the way; never the fault's own text, which holds addresses."""
    if isinstance(fault, socket.gaierror):
        return "name not resolved"
    if isinstance(fault, ssl.SSLCertVerificationError):
        return "TLS certificate not accepted"
    if isinstance(fault, ssl.SSLError):
        return "TLS failed"
    if isinstance(fault, ConnectionRefusedError):
        return "connection refused"
    return "no connection"
