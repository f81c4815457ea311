"""The heads of requests that are plain enough to be read straight from a connection's bytes.

A head is plain if every line of it is well formed, its path is known, it says once how long the
body is, and nothing in it changes how the message is read. Source: RFC 9112.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from multidict import CIMultiDict

from exchange.web.auth import read_key
from exchange.web.routes import ROUTES, Route

FIRST_LINES: Final = {
    f"{route.method} {route.path} HTTP/1.1".encode(): route for route in ROUTES if route.sells
}
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\t]*)")
_LENGTH: Final = re.compile(r"[0-9]{1,8}")

_CHANGING: Final = frozenset(
    {"transfer-encoding", "content-encoding", "expect", "upgrade", "trailer", "te"}
)
"""Headers that change how a message is read or answered."""


class Head(Struct, frozen=True):
    """What is known of a request from its head; shared by all requests with the same bytes.

    ``key`` is the caller's API key; ``is_json``: the body says plainly that it is JSON.
    """

    route: Route
    headers: Mapping[str, str]
    length: int
    key: str | None = None
    is_json: bool = False


def read_head(head: bytes) -> Head | None:
    """Read a head, its empty line left out; None for one that is not as plain as it must be."""
    start, *lines = head.split(b"\r\n")
    route = FIRST_LINES.get(start)
    if route is None:
        return None
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None:
            return None
        name, text = match.group(1).decode(), match.group(2).decode().rstrip(" \t")
        if name in headers or name.lower() in _CHANGING:
            return None
        headers[name] = text
    length = headers.get("Content-Length", "")
    if "Host" not in headers or not _LENGTH.fullmatch(length):
        return None
    if headers.get("Connection", "keep-alive").lower() != "keep-alive":
        return None
    return Head(
        route,
        headers,
        int(length),
        read_key(headers.get("Authorization", "")),
        headers.get("Content-Type", "application/json") == "application/json",
    )
