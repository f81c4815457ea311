"""Ending connections the hard way."""

from __future__ import annotations

import asyncio
import socket
import struct


def reset(transport: asyncio.WriteTransport) -> None:
    """End a connection with a reset; what was sent and not yet taken is lost with it."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        # Lingering for no time at all makes the close a reset instead of an orderly end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
