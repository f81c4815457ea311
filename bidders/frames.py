"""WebSocket frames without a socket: bytes in, messages out, for servers that must be lean or bad.

Only what a server needs: clients' frames are masked, its own are not; no extension is agreed to.
Source: RFC 6455 §5 (frames), §1.3 and §4.2.2 (handshake).
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final, NamedTuple

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

MAX_MESSAGE_BYTES: Final = 4 << 20  # a tick of pings is a few hundred KiB at most

_FINAL: Final = 0x80
_MASKED: Final = 0x80
_LENGTH_16: Final = 126  # the length follows in 16 bits
_LENGTH_64: Final = 127  # and here in 64
_HANDSHAKE_ID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3


class FrameFault(Exception):
    """The peer does not speak the protocol, or says too much at once."""


class Message(NamedTuple):
    """A whole message, or a control frame."""

    opcode: int
    payload: bytes


class FrameReader:
    """Cuts a client's bytes into messages, putting fragments together."""

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_message_bytes = max_message_bytes
        self._unread = bytearray()
        self._opcode = CONTINUATION  # of the message whose fragments are being gathered
        self._fragments = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Take bytes as they came; return the messages they complete. Raises FrameFault."""
        self._unread += data
        messages: list[Message] = []
        start = 0
        while (cut := self._cut(start)) is not None:
            first, payload, start = cut
            message = self._gather(first, payload)
            if message is not None:
                messages.append(message)
        del self._unread[:start]
        return messages

    def _cut(self, start: int) -> tuple[int, bytes, int] | None:
        """Read one frame: its first byte, its payload unmasked, and where the next one begins."""
        unread = self._unread
        at = start + 2
        if len(unread) < at:
            return None
        length = unread[start + 1]
        if not length & _MASKED:
            raise FrameFault("a client's frame must be masked")  # RFC 6455 §5.1
        length &= ~_MASKED
        if length >= _LENGTH_16:
            size = 2 if length == _LENGTH_16 else 8
            if len(unread) < at + size:
                return None
            length = int.from_bytes(unread[at : at + size])
            at += size
        if length + len(self._fragments) > self._max_message_bytes:
            raise FrameFault(f"a message is over {self._max_message_bytes} bytes")
        end = at + 4 + length
        if len(unread) < end:
            return None
        return unread[start], _mask(unread[at : at + 4], unread[at + 4 : end]), end

    def _gather(self, first: int, payload: bytes) -> Message | None:
        if first & 0x70:
            raise FrameFault("a frame uses an extension nobody agreed to")
        opcode = first & 0x0F
        if opcode >= CLOSE:
            if not first & _FINAL or len(payload) > 125:
                raise FrameFault("a control frame is in pieces or too long")  # RFC 6455 §5.5
            return Message(opcode, payload)
        if (opcode == CONTINUATION) == (self._opcode == CONTINUATION):
            raise FrameFault("fragments of messages are mixed up")
        self._opcode = opcode or self._opcode
        if not first & _FINAL:
            self._fragments += payload
            return None
        message = Message(self._opcode, bytes(self._fragments) + payload)
        self._opcode = CONTINUATION
        self._fragments.clear()
        return message


def frame_head(opcode: int, length: int) -> bytes:
    """Write what comes before the payload of an unfragmented frame to a client."""
    if length < _LENGTH_16:
        return bytes((_FINAL | opcode, length))
    if length < 1 << 16:
        return bytes((_FINAL | opcode, _LENGTH_16)) + length.to_bytes(2)
    return bytes((_FINAL | opcode, _LENGTH_64)) + length.to_bytes(8)


def write_frame(opcode: int, payload: bytes) -> bytes:
    """Write one unfragmented frame to a client."""
    return frame_head(opcode, len(payload)) + payload


def switch_protocols(key: bytes) -> bytes:
    """Write the answer to a handshake; ``key`` is the client's Sec-WebSocket-Key."""
    accept = base64.b64encode(hashlib.sha1(key + _HANDSHAKE_ID, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
    )


def _mask(key: bytearray, payload: bytearray) -> bytes:
    """Undo (or do) a frame's masking: one wide XOR instead of a loop over bytes."""
    length = len(payload)
    wide = (bytes(key) * (length // 4 + 1))[:length]
    return (int.from_bytes(payload) ^ int.from_bytes(wide)).to_bytes(length)
