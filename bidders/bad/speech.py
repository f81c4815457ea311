"""What a bad bidder says: the requests it reads, and replies as bytes, over HTTP or a stream.

Pure. A reply is a head and bodies, so that whoever sends it can announce one length and send
another. Source: the wire (bidders/README.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from bidders import frames

Words = Callable[["Asked"], bytes]
"""The members of a bid's JSON object, for a ping."""

_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r", re.I)
_KEY: Final = re.compile(rb"\r\nsec-websocket-key:[ \t]*([0-9a-z+/=]{24})[ \t]*\r", re.I)
_LINE: Final = re.compile(rb"([A-Z]+) ([^ \r\n]+) HTTP/1\.[01]\r")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The head of a request; ``key`` is a WebSocket handshake's."""

    method: str
    target: str
    length: int
    key: bytes | None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A ping, as far as a bad bidder looks at it."""

    ping_id: str = "unknown"
    campaign_id: str = "unknown"
    shares: int = 1


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer about to be sent: ``head(n)`` announces a body of n bytes."""

    head: Callable[[int], bytes]
    bodies: list[bytes]

    def whole(self, number: int = 0) -> bytes:
        """The answer as it should be."""
        return self.head(len(self.bodies[number])) + self.bodies[number]


read_asked: Final = msgspec.json.Decoder(Asked).decode
read_all_asked: Final = msgspec.json.Decoder(list[Asked]).decode


def read_head(head: bytes) -> Request | None:
    """Read a request's head, up to and with its empty line; None if it is no HTTP."""
    line = _LINE.match(head)
    if line is None:
        return None
    length, key = _LENGTH.search(head), _KEY.search(head)
    return Request(
        method=line[1].decode(),
        target=line[2].decode("ascii", "replace"),
        length=int(length[1]) if length else 0,
        key=key[1] if key else None,
    )


def write_head(status: bytes, *fields: bytes) -> Callable[[int], bytes]:
    """Give what writes an answer's head for a body of so many bytes."""
    start = b"HTTP/1.1 %b\r\n" % status + b"".join(b"%b\r\n" % field for field in fields)
    return lambda length: start + b"Content-Length: %d\r\n\r\n" % length


def write_bid(words: Words, asked: Asked) -> bytes:
    """Write the body of a bid over HTTP."""
    return b"{%b}" % words(asked)


def write_bids(words: Words, pings: list[Asked]) -> bytes:
    """Write the payload of a frame of bids. Ids that words name come last, and so count."""
    return b"[%b]" % b",".join(
        b"%b,%b}" % (msgspec.json.encode(asked)[:-1], words(asked)) for asked in pings
    )


def frame_head(opcode: int) -> Callable[[int], bytes]:
    """Give what writes a frame's head for a payload of so many bytes."""
    return lambda length: frames.frame_head(opcode, length)
