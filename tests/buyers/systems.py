"""Companies' systems for the tests: any handler of a raw connection, as a server on a free port."""

import socket
import struct
from asyncio import (
    CancelledError,
    StreamReader,
    StreamWriter,
    Task,
    current_task,
    gather,
    start_server,
)
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from ssl import SSLContext

from msgspec import Raw

from exchange.core.model import CampaignId, DeliveryId, DeliveryTarget, LeadId
from exchange.flow.ports import Contact, Parcel

Handler = Callable[[StreamReader, StreamWriter], Awaitable[None]]

ANN = Contact(
    first_name="Ann",
    last_name="Müller",
    phone="+14155550100",
    email="ann.mueller@mail.example",
    address={"street": "1428 Elm Street", "city": "Springwood", "state": "CA"},
)


def a_parcel(delivery_id: str = "d-1", price_cents: int = 4_575) -> Parcel:
    return Parcel(
        delivery_id=DeliveryId(delivery_id),
        lead_id=LeadId("l-1"),
        campaign_id=CampaignId("c-1"),
        vertical="solar",
        price_cents=price_cents,
        attributes=Raw(b'{"zip":"94107","state":"CA","credit_score":710}'),
        contact=ANN,
        test=False,
    )


def to(url: str | None) -> DeliveryTarget:
    return DeliveryTarget(kind="http", url=url)


@asynccontextmanager
async def system(handler: Handler, *, tls: SSLContext | None = None) -> AsyncIterator[str]:
    """Serve a handler while the context lasts; gives the URL leads go to."""

    handling: set[Task[None] | None] = set()

    async def handle(reader: StreamReader, writer: StreamWriter) -> None:
        handling.add(current_task())
        try:
            with suppress(ConnectionError, EOFError, CancelledError):
                await handler(reader, writer)
        finally:
            handling.discard(current_task())
            writer.close()

    server = await start_server(handle, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}/leads"
    finally:
        server.close()
        left = [task for task in handling if task is not None]
        for task in left:
            task.cancel()
        await gather(*left)


async def read_request(reader: StreamReader) -> tuple[dict[str, str], bytes]:
    """Read one request: headers by lower-case name (the request line under ``""``), and body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
    fields = (line.partition(":") for line in head[1:])
    headers = {"": head[0]} | {name.lower(): value.strip() for name, _, value in fields}
    return headers, await reader.readexactly(int(headers.get("content-length", "0")))


def answer(body: bytes = b"", *, status: int = 200, extra: str = "") -> bytes:
    """Write an answer as it goes over the wire; ``extra`` are header lines ending in CRLF."""
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


def answering(wire: bytes) -> Handler:
    """Read one request, write these bytes, and end the connection."""

    async def handler(reader: StreamReader, writer: StreamWriter) -> None:
        await read_request(reader)
        writer.write(wire)
        await writer.drain()

    return handler


def reset(writer: StreamWriter) -> None:
    """End a connection with a reset rather than orderly."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def closed_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
