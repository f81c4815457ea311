"""The bidder's HTTP: pings and leads in, answers out, and the way to the bid stream.

Decides nothing. Faults of a caller are problem+json (RFC 9457). Source: the wire
(bidders/README.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from bidders.kit import stream_door
from bidders.kit.deliveries import DeliveryConflict, TooManyLeads
from bidders.kit.faults import OutOfTime, OwnFault
from bidders.kit.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, SignatureFault, verify
from bidders.kit.wire import (
    MAX_BODY_BYTES,
    read_lead,
    read_ping,
    write_bid,
    write_taken,
)

if TYPE_CHECKING:
    from bidders.kit.bidder import Bidder

BODY_TIMEOUT_S: Final = 5.0  # for a body to arrive

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Problem(Exception):
    """A fault of the caller, or of ours, as it is answered."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code


def add_routes(app: web.Application, prefix: str, bidder: Bidder) -> None:
    """Serve the bidder under this prefix."""
    door = _Door(bidder)
    if bidder.prices:
        app.router.add_post(f"{prefix}/ping", _answer_problems(door.take_ping))
        stream_door.add_route(app, f"{prefix}/stream", bidder)
    if bidder.takes_leads:
        app.router.add_post(f"{prefix}/leads", _answer_problems(door.take_lead))


class _Door:
    def __init__(self, bidder: Bidder) -> None:
        self._bidder = bidder

    async def take_ping(self, request: web.Request) -> web.Response:
        arrived = asyncio.get_running_loop().time()
        body = await self._read(request)
        try:
            ping = read_ping(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise _Problem(422, "unreadable_ping", str(fault)) from None
        bid = await self._bidder.decide(ping, arrived)
        return web.Response(status=204) if bid is None else _write_answer(write_bid(bid))

    async def take_lead(self, request: web.Request) -> web.Response:
        body = await self._read(request, unsigned=self._bidder.allow_unsigned_leads)
        try:
            lead = read_lead(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise _Problem(422, "unreadable_lead", str(fault)) from None
        try:
            return _write_answer(write_taken(await self._bidder.take(lead)))
        except DeliveryConflict as fault:
            detail = f"delivery {fault} came before with another lead"
            raise _Problem(409, "delivery_conflict", detail) from None
        except TooManyLeads:
            raise _Problem(503, "too_many_leads", "as many leads as may are being taken") from None
        except OutOfTime:
            raise _Problem(504, "lead_timeout", "taking the lead took too long") from None

    async def _read(self, request: web.Request, *, unsigned: bool = False) -> bytes:
        """Read the body, and have it proven."""
        if (request.content_length or 0) > MAX_BODY_BYTES:
            raise _Problem(413, "body_too_large", f"a body is at most {MAX_BODY_BYTES} bytes")
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                # One byte more than may be shows that there is more.
                body = await request.content.read(MAX_BODY_BYTES + 1)
                while not request.content.at_eof() and len(body) <= MAX_BODY_BYTES:
                    body += await request.content.read(MAX_BODY_BYTES + 1 - len(body))
        except TimeoutError:
            raise _Problem(408, "body_timeout", "the body did not arrive in time") from None
        if len(body) > MAX_BODY_BYTES:
            raise _Problem(413, "body_too_large", f"a body is at most {MAX_BODY_BYTES} bytes")
        self._prove(request, body, unsigned)
        return body

    def _prove(self, request: web.Request, body: bytes, unsigned: bool) -> None:
        secret = self._bidder.secret
        timestamp = request.headers.get(TIMESTAMP_HEADER)
        signature = request.headers.get(SIGNATURE_HEADER)
        if secret is None or (unsigned and timestamp is None and signature is None):
            return
        try:
            verify(secret, timestamp, signature, body, self._bidder.now())
        except SignatureFault as fault:
            self._bidder.counts.unproven += 1
            raise _Problem(401, fault.code, str(fault)) from None


def _answer_problems(handler: Callable[[web.Request], Awaitable[web.Response]]) -> Handler:
    """Map faults to HTTP, here and nowhere else."""

    async def answer(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except _Problem as fault:
            return _write_problem(fault.status, fault.code, str(fault))
        except OwnFault:
            return _write_problem(500, "bidder_failed", "the bidder failed at its own work")

    return answer


def _write_problem(status: int, code: str, detail: str) -> web.Response:
    problem = {"title": code.replace("_", " "), "status": status, "code": code, "detail": detail}
    return web.Response(
        status=status,
        body=msgspec.json.encode(problem),
        content_type="application/problem+json",
    )


def _write_answer(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
