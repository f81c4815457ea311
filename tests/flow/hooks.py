"""A receiver of webhooks, a mail server, and short words for looks and notices."""

from __future__ import annotations

import asyncio
import hmac
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import msgspec
from aiosmtpd.controller import Controller

from exchange.core.alert_terms import AlertSettings
from exchange.core.model import CompanyId
from exchange.flow.alerting import Looked
from tests.buyers.systems import answer, closed_port, read_request, system
from tests.flow.market import Desk

PATIENCE_S = 30.0
"""Longest that sending may take in a test; it takes milliseconds."""


class Hook:
    """Receives webhooks; answers with ``status``, or hangs up where that is None."""

    def __init__(self) -> None:
        self.url = ""
        self.status: int | None = 200
        self.location = ""
        self.requests: list[tuple[dict[str, str], bytes]] = []

    async def handle(self, reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            self.requests.append(await read_request(reader))
            if self.status is None:
                return
            extra = f"Location: {self.location}\r\n" if self.location else ""
            writer.write(answer(status=self.status, extra=extra))
            await writer.drain()

    @property
    def bodies(self) -> list[Any]:
        return [msgspec.json.decode(body) for _, body in self.requests]

    @property
    def told(self) -> list[tuple[str, str]]:
        """Event and kind of everything that came, in order."""
        return [(body["event"], body["alert"]["kind"]) for body in self.bodies]

    def is_signed_with(self, secret: str) -> bool:
        headers, body = self.requests[-1]
        stamp = headers["x-exchange-timestamp"]
        expected = hmac.digest(secret.encode(), f"{stamp}.".encode() + body, "sha256").hex()
        return headers["x-exchange-signature"] == f"v1={expected}"


@asynccontextmanager
async def hook() -> AsyncIterator[Hook]:
    made = Hook()
    async with system(made.handle) as url:
        made.url = url
        yield made


class Postbox:
    """A mail server that takes everything but the recipients it is told not to know."""

    def __init__(self) -> None:
        self.unknown: set[str] = set()
        self.asked: list[str] = []
        self.mails: list[tuple[list[str], bytes]] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str,
                          options: list[str]) -> str:  # fmt: skip
        self.asked.append(address)
        if address in self.unknown:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append((envelope.rcpt_tos, envelope.content))
        return "250 taken"


@contextmanager
def postbox() -> Iterator[tuple[Postbox, int]]:
    box = Postbox()
    controller = Controller(box, hostname="127.0.0.1", port=closed_port())
    controller.start()
    try:
        yield box, controller.port
    finally:
        controller.stop()


async def low(desk: Desk, cents: int = 60_00) -> CompanyId:
    """A prepaid company with a low balance; the only thing there is to tell of it."""
    company = await desk.company(prepaid=cents)
    await desk.campaign(company, 45_75)
    return company


async def tell(desk: Desk, receiver: str, **settings: Any) -> None:
    """Set how a receiver is alerted."""
    await desk.exchange.alerts.save_settings(receiver, AlertSettings(**settings), desk.clock.now())


async def look(desk: Desk, times: int = 1) -> Looked:
    """Look so many times, a minute apart; gives what the last look came to."""
    for _ in range(times - 1):
        await look(desk)
    looked = await desk.exchange.alerting.look()
    assert looked is not None
    desk.clock.forward(minutes=1)
    return looked


async def send(desk: Desk) -> None:
    """Send what is due, until nothing is."""
    async with asyncio.timeout(PATIENCE_S):
        while await desk.exchange.notifying.send_due():
            await desk.exchange.notifying.idle()


async def kinds(desk: Desk, state: str = "raised") -> list[str]:
    """The kinds of the alerts in a state, in alphabetical order."""
    rows = await desk.rows("select kind from alert where state = $1 order by kind", state)
    return [row["kind"] for row in rows]


async def notices(desk: Desk) -> Sequence[tuple[str, int]]:
    """State and tries of every notice, in order."""
    rows = await desk.rows("select state, attempts from alert_notice order by created_at, id")
    return [(row["state"], row["attempts"]) for row in rows]


async def make_due(desk: Desk) -> None:
    """Let the pause of every waiting notice be over."""
    await desk.value("update alert_notice set due_at = now() where state = 'waiting'")


async def gathered(*coroutines: Any) -> list[Any]:
    return list(await asyncio.gather(*coroutines))
