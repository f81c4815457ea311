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


async def exchange_bytes(port: int, sent: bytes, *, wait_s: float = 5.0) -> tuple[bytes, str]:
    """Send bytes and read until the other side ends it: with "end", "reset", or "silence"."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    read = bytearray()
    try:
        async with asyncio.timeout(wait_s):
            writer.write(sent)
            while data := await reader.read(65_536):
                read += data
        return bytes(read), "end"
    except ConnectionResetError:
        return bytes(read), "reset"
    except TimeoutError:
        return bytes(read), "silence"
    finally:
        writer.transport.abort()
