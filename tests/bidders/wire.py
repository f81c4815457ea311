"""What the tests of the bidders say on the wire: pings, leads, and raw bytes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

Json = dict[str, Any]


def a_ping(ping_id: str = "p-1", **changes: Any) -> Json:
    """A ping as the exchange sends it."""
    ping: Json = {
        "ping_id": ping_id,
        "campaign_id": "c-1",
        "vertical": "solar",
        "attributes": {"zip": "94107", "state": "CA", "credit_score": 710},
        "mode": "exclusive",
        "shares": 1,
        "timeout_ms": 310,
        "test": False,
    }
    return ping | changes


def a_lead(delivery_id: str = "d-1", **changes: Any) -> Json:
    """A lead delivery as the exchange sends it."""
    lead: Json = {
        "delivery_id": delivery_id,
        "lead_id": "l-1",
        "campaign_id": "c-1",
        "vertical": "solar",
        "price": 45.75,
        "attributes": {"zip": "94107", "state": "CA", "credit_score": 710},
        "contact": {"first_name": "Ann", "phone": "+14155550100"},
        "test": False,
    }
    return lead | changes


def a_request(path: str, body: Json) -> bytes:
    """A POST, byte for byte."""
    sent = json.dumps(body).encode()
    return b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (
        path.encode(),
        len(sent),
        sent,
    )


def a_client_frame(
    opcode: int, payload: bytes, *, final: bool = True, masked: bool = True
) -> bytes:
    """A client's WebSocket frame, made byte by byte and apart from the code under test."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 65_536:
        length = bytes([126]) + size.to_bytes(2, "big")
    else:
        length = bytes([127]) + size.to_bytes(8, "big")
    first = bytes([opcode | (0x80 if final else 0)])
    if not masked:
        return first + length + payload
    key = b"\x01\x02\x03\x04"
    hidden = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    return first + bytes([length[0] | 0x80]) + length[1:] + key + hidden


async def exchange_bytes(
    port: int, sent: bytes, *, wait_s: float = 5.0, quiet_s: float = 0.05
) -> tuple[bytes, str]:
    """Send bytes and read what comes, until the other side ends it or falls silent.

    It may take ``wait_s`` to begin, and pause for ``quiet_s``. Gives the bytes, and how they
    ended: "end", "reset", or "silence".
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    read = bytearray()
    try:
        writer.write(sent)
        while data := await asyncio.wait_for(reader.read(65_536), quiet_s if read else wait_s):
            read += data
        return bytes(read), "end"
    except ConnectionResetError:
        return bytes(read), "reset"
    except TimeoutError:
        return bytes(read), "silence"
    finally:
        writer.transport.abort()
