"""The client's side of a WebSocket, as little as a bid stream needs. Source: RFC 6455.

Frames out and in, and one connection with its opening handshake. No extensions, no subprotocols.
Knows nothing of what the messages say.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import Callable
from typing import Final

import httptools

TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

MAX_HEAD_BYTES: Final = 16 * 1024
MAX_UNSENT_BYTES: Final = 1024 * 1024
"""What may wait in our buffer for a peer that does not read; beyond, the connection is full."""

_CONTINUATION: Final = 0x0
_FIN: Final = 0x80
_OPCODE: Final = 0x0F
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_LENGTH: Final = 0x7F
_MAX_CONTROL_BYTES: Final = 125
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEYS_AT_ONCE: Final = 1_024
_XOR: Final = [bytes(byte ^ key for byte in range(256)) for key in range(256)]


class WebSocketBroken(Exception):
    """The other side does not speak WebSocket, or says more than is read."""


class FrameWriter:
    """Writes frames, each masked with four bytes of the machine's randomness."""

    __slots__ = ("_at", "_keys")

    def __init__(self) -> None:
        self._keys = b""
        self._at = 0

    def write(self, opcode: int, payload: bytes) -> bytes:
        """Write one whole frame."""
        size = len(payload)
        if size <= _MAX_CONTROL_BYTES:
            head = bytes((_FIN | opcode, _MASKED | size))
        elif size < 1 << 16:
            head = bytes((_FIN | opcode, _MASKED | 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((_FIN | opcode, _MASKED | 127)) + size.to_bytes(8, "big")
        key = self._key()
        return b"".join((head, key, mask(payload, key)))

    def _key(self) -> bytes:
        if self._at >= len(self._keys):
            self._keys, self._at = os.urandom(4 * _KEYS_AT_ONCE), 0
        self._at += 4
        return self._keys[self._at - 4 : self._at]


def mask(payload: bytes, key: bytes) -> bytes:
    """Mask or unmask a payload (RFC 6455 §5.3): every fourth byte by one table, four times."""
    masked = bytearray(payload)
    for at in range(4):
        masked[at::4] = masked[at::4].translate(_XOR[key[at]])
    return bytes(masked)


class FrameReader:
    """Puts a server's bytes together to messages of at most ``max_bytes``."""

    __slots__ = ("_held", "_max_bytes", "_opcode", "_parts", "_parts_bytes")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held = bytearray()
        self._opcode = 0
        self._parts: list[bytes] = []
        self._parts_bytes = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take bytes; gives the messages that are whole now. Raises WebSocketBroken."""
        buffer: bytes | bytearray = data
        if self._held:
            self._held += data
            buffer = self._held
        messages: list[tuple[int, bytes]] = []
        at = 0
        while (found := self._frame(buffer, at)) is not None:
            first, start, at = found
            self._take(first, bytes(buffer[start:at]), messages)
        if buffer is self._held:
            del self._held[:at]
        else:
            self._held += data[at:]
        return messages

    def _frame(self, buffer: bytes | bytearray, at: int) -> tuple[int, int, int] | None:
        """Find a whole frame: its first byte, where its payload starts and where it ends."""
        if len(buffer) < at + 2:
            return None
        first, size = buffer[at], buffer[at + 1]
        if first & _RESERVED or size & _MASKED:
            raise WebSocketBroken("a frame no server sends")
        start = at + 2
        if size >= 126:
            more = 2 if size == 126 else 8
            if len(buffer) < start + more:
                return None
            size = int.from_bytes(buffer[start : start + more], "big")
            start += more
        if size > self._max_bytes:
            raise WebSocketBroken("a frame of more than is read")
        return (first, start, start + size) if len(buffer) >= start + size else None

    def _take(self, first: int, payload: bytes, messages: list[tuple[int, bytes]]) -> None:
        opcode, is_last = first & _OPCODE, bool(first & _FIN)
        if opcode >= CLOSE:
            if not is_last or len(payload) > _MAX_CONTROL_BYTES:
                raise WebSocketBroken("a control frame that is none")
            messages.append((opcode, payload))
            return
        if (opcode == _CONTINUATION) != bool(self._opcode):
            raise WebSocketBroken("a message within a message")
        if is_last and not self._opcode:
            messages.append((opcode, payload))
            return
        self._opcode = self._opcode or opcode
        self._parts.append(payload)
        # A part may be empty, so each counts as one byte more.
        self._parts_bytes += len(payload) + 1
        if self._parts_bytes > self._max_bytes:
            raise WebSocketBroken("a message of more than is read")
        if is_last:
            messages.append((self._opcode, b"".join(self._parts)))
            self._opcode, self._parts, self._parts_bytes = 0, [], 0


class WebSocket(asyncio.Protocol):
    """A connection. ``opened`` ends when messages may be sent, or with WebSocketBroken; ``gone``
    when it has ended. ``heard`` is given each message; ``heard_at`` is when the last bytes came.
    """

    def __init__(
        self,
        *,
        target: str,
        headers: tuple[tuple[str, str], ...],
        heard: Callable[[bytes], None],
        max_bytes: int,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._target = target
        self._request_headers = headers
        self._heard = heard
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader(max_bytes)
        self._writer = FrameWriter()
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._key = base64.b64encode(os.urandom(16))
        self._answer_headers: dict[bytes, bytes] = {}
        self._head_bytes = 0
        self.opened: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self.is_full = False
        self.heard_at = loop.time()

    def send(self, payload: bytes, opcode: int = TEXT) -> None:
        """Send one message; not before ``opened``."""
        if self._transport is not None and not self.gone.done():
            self._transport.write(self._writer.write(opcode, payload))

    def drop(self) -> None:
        """End the connection now."""
        if self._transport is not None:
            self._transport.abort()
        self._end()

    # --- what the loop tells ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's are no subclasses
        assert self._transport is not None
        self._transport.set_write_buffer_limits(high=MAX_UNSENT_BYTES)
        lines = [
            f"GET {self._target} HTTP/1.1",
            *(f"{name}: {value}" for name, value in self._request_headers),
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {self._key.decode()}",
        ]
        self._transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def data_received(self, data: bytes) -> None:
        """Take bytes of the handshake, then of frames."""
        if self.gone.done():
            return
        self.heard_at = self._loop.time()
        try:
            if self._parser is not None:
                data = self._shake(self._parser, data)
            for opcode, payload in self._reader.feed(data) if data else ():
                if opcode == CLOSE:
                    self.send(payload, CLOSE)
                    self._close()
                    return
                if opcode == PING:
                    self.send(payload, PONG)
                elif opcode in (TEXT, BINARY):
                    self._heard(payload)
        except WebSocketBroken as fault:
            if not self.opened.done():
                self.opened.set_exception(fault)
            self.drop()

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        self._end()

    def pause_writing(self) -> None:
        """See that the other side does not read."""
        self.is_full = True

    def resume_writing(self) -> None:
        """See that it reads again."""
        self.is_full = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header of the handshake's answer."""
        self._answer_headers[name.lower()] = value

    # --- what follows -----------------------------------------------------------------------------

    def _shake(self, parser: httptools.HttpResponseParser, data: bytes) -> bytes:
        """Read the handshake's answer; gives the bytes behind it."""
        self._head_bytes += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
        except httptools.HttpParserError:
            raise WebSocketBroken("the answer is not HTTP") from None
        else:
            status = parser.get_status_code()
            if status not in (0, 101) or self._head_bytes > MAX_HEAD_BYTES:
                raise WebSocketBroken("the upgrade was refused")
            return b""
        # Named by the RFC, not a safeguard.
        digest = hashlib.sha1(self._key + _GUID, usedforsecurity=False).digest()
        accepted = self._answer_headers.get(b"sec-websocket-accept", b"")
        if parser.get_status_code() != 101 or accepted != base64.b64encode(digest):
            raise WebSocketBroken("the upgrade was refused")
        self._parser = None
        self.opened.set_result(None)
        return rest

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        self._end()

    def _end(self) -> None:
        self._parser = None
        if not self.opened.done():
            self.opened.set_exception(WebSocketBroken("hung up during the handshake"))
        # Whoever dialled may have been cancelled and not look any more.
        self.opened.exception()
        if not self.gone.done():
            self.gone.set_result(None)
