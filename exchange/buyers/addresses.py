"""Decides where requests to companies' systems may go: to the public internet, unless allowed.

A URL is looked at when it is saved (`check_url`, for the person saving it), and every address again
when a socket to it is made (`guarded_socket`, for safety): a name that resolves differently by then
gets nowhere. Knows nothing of leads.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from aiohttp import AddrInfoType
from yarl import URL

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host, for a port; raises OSError if there are none."""

MAX_URL_CHARS: Final = 2_048  # what browsers and proxies commonly take
RESOLVE_TIMEOUT_S: Final = 5.0  # a person waits for the saving

NOT_ALLOWED: Final = "address not allowed"

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_LEGACY_IPV4: Final = re.compile(r"[0-9.]+")

# Written out rather than asked of `ipaddress`, whose idea of private changed between releases.
# Source: the IANA special-purpose address registries, RFC 6890 and its updates.
_NOT_PUBLIC_V4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network, unspecified
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carrier-grade NAT
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local, and clouds' metadata
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
# All else is loopback, link-local, unique local, multicast, IPv4 in disguise, or not given out.
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_NOT_PUBLIC_V6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: any IPv4 address in disguise
            "3fff::/20",  # documentation
        ),
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")  # how an IPv6-only machine reaches IPv4 (RFC 6052)


class AddressNotAllowed(OSError):
    """A socket was asked for to an address that is not public."""

    def __init__(self) -> None:
        # The address stays out: one text for all, so that a race over many fails as one.
        super().__init__(NOT_ALLOWED)


async def check_url(url: str, *, allow_private: bool, resolve: Resolve | None = None) -> str | None:
    """Say what is wrong with a URL that requests are to go to; None if nothing is.

    A name with one address that is not public is refused. A name that does not resolve now is let
    through: it may tomorrow, and is looked at again at every connection.
    """
    try:
        host, port = _place(read_url(url))
    except ValueError as fault:
        return str(fault)
    if allow_private:
        return None
    if _is_address(host):
        return None if is_public(host) else "must not point to a private or reserved address"
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return "must not point to a private or reserved address"
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            addresses = await (resolve or resolve_host)(host, port)
    except (OSError, UnicodeError):  # a timeout is an OSError
        return None
    if not all(map(is_public, addresses)):
        return "must not point to a private or reserved address"
    return None


def read_url(url: str) -> URL:
    """Parse a URL as the client that will follow it does.

    Raises ValueError, with a sentence to show, unless it is http or https with a host, no user
    name, and a port from 1 to 65535.
    """
    if len(url) > MAX_URL_CHARS:
        raise ValueError(f"must be at most {MAX_URL_CHARS} characters")
    if not url.isprintable() or " " in url:
        raise ValueError("must hold no spaces or control characters")
    try:
        parsed = URL(url)
        port = parsed.explicit_port
    except ValueError:
        raise ValueError("must be a URL such as https://crm.example/leads") from None
    if parsed.scheme not in ("http", "https"):
        raise ValueError("must begin with https:// or http://")
    if "@" in url.split("://", 1)[-1].split("/", 1)[0].split("?", 1)[0].split("#", 1)[0]:
        raise ValueError("must hold no user name or password")
    host = parsed.raw_host
    if not host:
        raise ValueError("must name a host")
    if port == 0:
        raise ValueError("must have a port from 1 to 65535")
    if not _is_address(host):
        if _LEGACY_IPV4.fullmatch(host):
            # Forms such as 2130706433 or 127.1, which the socket would take for an address.
            raise ValueError("must write an IPv4 address as four numbers")
        if not _HOST_NAME.fullmatch(host):
            raise ValueError("must name a valid host")
    return parsed


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet; False for what is no address."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return _is_public_v4(parsed)
    if parsed in _NAT64:
        return _is_public_v4(IPv4Address(int(parsed) & 0xFFFF_FFFF))
    return _is_public_v6(parsed)


def guarded_socket(addr_info: AddrInfoType) -> socket.socket:
    """Make a socket for one resolved address. Raises AddressNotAllowed unless it is public.

    The client's only way to a socket, whether the address was resolved, remembered or literal.
    """
    family, kind, protocol, _, address = addr_info
    if not is_public(str(address[0])):
        raise AddressNotAllowed
    return socket.socket(family=family, type=kind, proto=protocol)


async def resolve_host(host: str, port: int) -> Sequence[str]:
    """Resolve as the machine does. Raises OSError if there are no addresses."""
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in infos]


def _place(url: URL) -> tuple[str, int]:
    return url.raw_host or "", url.port or 0


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_public_v4(address: IPv4Address) -> bool:
    return not any(address in network for network in _NOT_PUBLIC_V4)


def _is_public_v6(address: IPv6Address) -> bool:
    return address in _GLOBAL_V6 and not any(address in network for network in _NOT_PUBLIC_V6)
