"""Hands leads to companies' systems: one request, one answer, nothing decided here.

What an answer means is `outcome`'s, where a request may go is `addresses`'. Rules: §8.
"""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace, TracebackType
from typing import Final, Self

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver
from msgspec import Raw, Struct
from yarl import URL

from exchange import __version__
from exchange.buyers.addresses import AddressNotAllowed, guarded_socket, read_url
from exchange.buyers.outcome import (
    answer_unreadable,
    judge_answer,
    judge_status,
    never_answered,
    never_sent,
)
from exchange.core.model import CampaignId, DeliveryId, DeliveryTarget, LeadId
from exchange.core.money import format_cents
from exchange.flow.ports import Answer, Contact, Courier, Parcel

MAX_ANSWER_BYTES: Final = 64 * 1024  # the wire's bound on every body
MAX_CONNECTIONS: Final = 512  # in a worker, to all companies
MAX_CONNECTIONS_PER_HOST: Final = 32  # so that one slow company cannot hold them all
KEEP_ALIVE_S: Final = 4.0  # shorter than the 5 s after which common servers hang up
_READ_BYTES: Final = 16 * 1024

_HEADERS: Final = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    # Nothing is unpacked, so that a small answer cannot become a large one.
    "Accept-Encoding": "identity",
    "User-Agent": f"exchange/{__version__}",
}


class _Lead(Struct, frozen=True, kw_only=True):
    """A lead as a company's system reads it; the order is the design's."""

    delivery_id: DeliveryId
    lead_id: LeadId
    campaign_id: CampaignId
    vertical: str
    price: Raw
    attributes: Raw
    contact: Contact
    test: bool


class _Journey:
    """How far a request came."""

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent = False


_write = msgspec.json.Encoder().encode


class Couriers:
    """Every way of handing a parcel over, chosen by the kind of the target.

    Use it as a context, or call `start` and `close`; close it after the deliveries have ended, as
    those under way become unclear.
    """

    def __init__(
        self,
        *,
        allow_private_addresses: bool = False,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        max_connections: int = MAX_CONNECTIONS,
        max_connections_per_host: int = MAX_CONNECTIONS_PER_HOST,
    ) -> None:
        self._http = HttpCourier(
            allow_private_addresses=allow_private_addresses,
            max_answer_bytes=max_answer_bytes,
            max_connections=max_connections,
            max_connections_per_host=max_connections_per_host,
        )
        self._by_kind: dict[str, Courier] = {"http": self._http, "inbox": InboxCourier()}

    async def start(self) -> None:
        """Open what the couriers need; must run in the loop that will use them."""
        await self._http.start()

    async def close(self) -> None:
        """Close every connection. Safe to repeat."""
        await self._http.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def hand_over(self, target: DeliveryTarget, parcel: Parcel, timeout_s: float) -> Answer:
        """Try once; never raises for what a company's system does."""
        return await self._by_kind[target.kind].hand_over(target, parcel, timeout_s)


class InboxCourier:
    """Leaves the lead where it is: standing in the books, it stands in the company's inbox."""

    async def hand_over(self, target: DeliveryTarget, parcel: Parcel, timeout_s: float) -> Answer:
        """Take every parcel at once."""
        return Answer(result="accepted")


class HttpCourier:
    """POSTs a parcel to a company's URL. Follows no redirect, keeps no cookie, tries once.

    ``resolver`` replaces the machine's name lookup; what it gives is checked like anything else.
    """

    def __init__(
        self,
        *,
        allow_private_addresses: bool = False,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        max_connections: int = MAX_CONNECTIONS,
        max_connections_per_host: int = MAX_CONNECTIONS_PER_HOST,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._allow_private_addresses = allow_private_addresses
        self._max_answer_bytes = max_answer_bytes
        self._max_connections = max_connections
        self._max_connections_per_host = max_connections_per_host
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the connection pool; must run in the loop that will use it."""
        if self._session is not None:
            return
        connector = aiohttp.TCPConnector(
            limit=self._max_connections,
            limit_per_host=self._max_connections_per_host,
            keepalive_timeout=KEEP_ALIVE_S,
            resolver=self._resolver,
            socket_factory=None if self._allow_private_addresses else guarded_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            # One deadline holds for everything, from the lookup to the last byte: `hand_over`'s.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            trace_configs=[_watch_sending()],
        )

    async def close(self) -> None:
        """Close every connection. Safe to repeat."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def hand_over(self, target: DeliveryTarget, parcel: Parcel, timeout_s: float) -> Answer:
        """Try once, for at most ``timeout_s``; never raises for what a company's system does.

        Raises RuntimeError when the courier is not started.
        """
        if self._session is None:
            raise RuntimeError("the courier is not started")
        try:
            url = read_url(target.url or "")
        except ValueError as fault:
            return never_sent(f"the delivery URL {fault}")
        journey = _Journey()
        try:
            async with asyncio.timeout(timeout_s):
                return await self._post(self._session, url, parcel, journey)
        except TimeoutError:
            if journey.sent:
                return never_answered("no answer in time")
            return never_sent("no connection in time")
        except aiohttp.ClientResponseError:
            return answer_unreadable("the answer is not HTTP")
        # Names too long to look up are ValueErrors; uvloop has RuntimeErrors for failed connects.
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as fault:
            if journey.sent:
                return never_answered(_name_loss(fault))
            return never_sent(_name_obstacle(fault))

    async def _post(
        self, session: aiohttp.ClientSession, url: URL, parcel: Parcel, journey: _Journey
    ) -> Answer:
        response = await session.post(
            url,
            data=encode_parcel(parcel),
            headers={"Idempotency-Key": parcel.delivery_id},
            allow_redirects=False,
            trace_request_ctx=journey,
        )
        try:
            by_status = judge_status(response.status)
            if by_status is not None:
                return by_status
            body = await self._read_bounded(response)
            if body is None:
                return answer_unreadable(f"the answer is over {self._max_answer_bytes} bytes")
            return judge_answer(response.status, body, parcel.contact)
        finally:
            # Goes back to the pool if the answer was read to its end, else it is closed.
            response.release()

    async def _read_bounded(self, response: aiohttp.ClientResponse) -> bytes | None:
        """Read the whole body; None as soon as it is known to be too large."""
        if (response.content_length or 0) > self._max_answer_bytes:
            return None
        body = bytearray()
        async for chunk in response.content.iter_chunked(_READ_BYTES):
            body += chunk
            if len(body) > self._max_answer_bytes:
                return None
        return bytes(body)


def encode_parcel(parcel: Parcel) -> bytes:
    """Write the body a company's system is sent (design, Wire)."""
    return _write(
        _Lead(
            delivery_id=parcel.delivery_id,
            lead_id=parcel.lead_id,
            campaign_id=parcel.campaign_id,
            vertical=parcel.vertical,
            price=Raw(format_cents(parcel.price_cents).encode()),
            attributes=parcel.attributes,
            contact=parcel.contact,
            test=parcel.test,
        )
    )


def _watch_sending() -> aiohttp.TraceConfig:
    """Note on the journey when the first byte is about to go out, and so may have."""

    async def note(
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestHeadersSentParams,
    ) -> None:
        context.trace_request_ctx.sent = True

    watch = aiohttp.TraceConfig()
    watch.on_request_headers_sent.append(note)
    return watch


def _name_obstacle(fault: Exception) -> str:
    """Name what kept a request from going out; never the fault's own text, which holds URLs."""
    cause = fault.os_error if isinstance(fault, aiohttp.ClientConnectorError) else fault
    if isinstance(cause, AddressNotAllowed):
        return str(cause)
    if isinstance(fault, aiohttp.ClientConnectorDNSError) or isinstance(cause, socket.gaierror):
        return "name not resolved"
    if isinstance(fault, aiohttp.ClientConnectorCertificateError):
        return "TLS certificate not accepted"
    if isinstance(fault, aiohttp.ClientSSLError):
        return "TLS failed"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    return "no connection"


def _name_loss(fault: Exception) -> str:
    """Name how the answer to a request that may have arrived was lost."""
    if isinstance(fault, aiohttp.ClientPayloadError):
        return "the answer was cut off"
    return "connection lost before an answer"
