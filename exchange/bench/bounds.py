"""What a load may be at most, and where it may be pointed."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

MAX_SECONDS: Final = 600.0
MAX_CONNECTIONS: Final = 8_192
MAX_RATE: Final = 200_000.0
"""Requests a second; far above what one process can send."""

MAX_ANSWERS: Final = 20_000_000
"""Answers of one load; each is remembered with 8 bytes until the load is summed up."""


class BenchError(Exception):
    """A load that is not begun, or cannot go on; says why."""


class Target(Struct, frozen=True, kw_only=True):
    """Where requests are sent: an address, not a name, so that nothing is looked up on the way."""

    host: str
    port: int


def target_of(url: str, *, allow_remote: bool = False) -> Target:
    """Read a base URL. Raises BenchError for anything but HTTP, or for another machine's address.

    ``allow_remote`` is the caller's word that the machine is theirs to load.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        raise BenchError(f"{url} is not a URL") from None
    if parts.scheme != "http" or not host or parts.path not in ("", "/") or parts.query:
        raise BenchError("the URL must look like http://127.0.0.1:8080")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise BenchError(f"{host} is not found: {error.strerror}") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not allow_remote and not all(_is_loopback(address) for address in addresses):
        raise BenchError(f"{host} is another machine; only this one is loaded unless you allow it")
    return Target(host=addresses[0], port=port)


def check_bounds(*, seconds: float, connections: int, rate: float | None = None) -> None:
    """Raise BenchError for a load beyond the bounds."""
    for name, value, most in (
        ("seconds", seconds, MAX_SECONDS),
        ("connections", connections, MAX_CONNECTIONS),
        ("rate", rate, MAX_RATE),
    ):
        if value is not None and not 0 < value <= most:
            raise BenchError(f"{name} must be more than 0 and at most {most:g}")


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback
