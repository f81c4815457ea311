"""Hands leads to companies: one request or mail, one answer, nothing decided here.

What an answer means is `outcome`'s or a dialect's, where a request may go is `addresses`'.
Rules: §8.
"""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp.abc import AbstractResolver
from msgspec import Raw, Struct

from exchange.buyers.dialects import Dialects, Spoken
from exchange.buyers.hearing import answer_of
from exchange.buyers.lead_fields import post_values
from exchange.buyers.opened import Opened
from exchange.buyers.outcome import (
    answer_unreadable,
    judge_answer,
    judge_status,
    never_answered,
    never_sent,
)
from exchange.buyers.post_office import EmailCourier, Relay
from exchange.buyers.requests import USER_AGENT, Headers, Signing
from exchange.buyers.sender import (
    MAX_ANSWER_BYTES,
    MAX_CONNECTIONS,
    MAX_CONNECTIONS_PER_HOST,
    HttpSender,
    Lost,
)
from exchange.buyers.speech import Incoming, Outgoing
from exchange.buyers.templates import Unwritable
from exchange.core.model import CampaignId, DeliveryId, DeliveryTarget, LeadId
from exchange.core.money import format_cents
from exchange.core.quality.flaws import BEST_SCORE
from exchange.flow.dialects import DialectFault
from exchange.flow.ports import Answer, Contact, Courier, Parcel

_OWN_HEADERS: Final[Headers] = (
    ("Content-Type", "application/json"),
    ("Accept", "application/json"),
    ("User-Agent", USER_AGENT),
)


class _Lead(Struct, frozen=True, kw_only=True):
    """A lead as a company's system reads it; the order is the design's.

    A score is there where it is not the best, a consent where one was given.
    """

    delivery_id: DeliveryId
    lead_id: LeadId
    campaign_id: CampaignId
    vertical: str
    price: Raw
    attributes: Raw
    contact: Contact
    test: bool
    token: str | msgspec.UnsetType = msgspec.UNSET
    quality_score: int | msgspec.UnsetType = msgspec.UNSET
    consent: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


_write = msgspec.json.Encoder().encode


class Couriers(Opened):
    """Every way of handing a parcel over, chosen by the kind of the target.

    Use it as a context, or call `start` and `close`; close it after the deliveries have ended, as
    those under way become unclear. Without ``dialects`` there are no webhooks and no dialects,
    without a ``relay`` no mail: such a target then fails.
    """

    def __init__(
        self,
        *,
        allow_private_addresses: bool = False,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        max_connections: int = MAX_CONNECTIONS,
        max_connections_per_host: int = MAX_CONNECTIONS_PER_HOST,
        dialects: Dialects | None = None,
        relay: Relay | None = None,
    ) -> None:
        self._http = HttpCourier(
            allow_private_addresses=allow_private_addresses,
            max_answer_bytes=max_answer_bytes,
            max_connections=max_connections,
            max_connections_per_host=max_connections_per_host,
            dialects=dialects,
        )
        self._by_kind: dict[str, Courier] = {
            "http": self._http,
            "webhook": self._http,
            "inbox": InboxCourier(),
        }
        if dialects is not None and relay is not None:
            self._by_kind["email"] = EmailCourier(dialects, relay)

    async def start(self) -> None:
        """Open what the couriers need; must run in the loop that will use them."""
        await self._http.start()

    async def close(self) -> None:
        """Close every connection. Safe to repeat."""
        await self._http.close()

    async def hand_over(self, target: DeliveryTarget, parcel: Parcel, timeout_s: float) -> Answer:
        """Try once; never raises for what a company's system does."""
        courier = self._by_kind.get(target.kind)
        if courier is None:
            return never_sent("the exchange has no mail relay")
        return await courier.hand_over(target, parcel, timeout_s)


class InboxCourier:
    """Leaves the lead where it is: standing in the books, it stands in the company's inbox."""

    async def hand_over(self, target: DeliveryTarget, parcel: Parcel, timeout_s: float) -> Answer:
        """Take every parcel at once."""
        return Answer(result="accepted")


class HttpCourier(Opened):
    """Sends a parcel to a company's URL, in its dialect if it has one; tries once.

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
        dialects: Dialects | None = None,
    ) -> None:
        self._sender = HttpSender(
            allow_private_addresses=allow_private_addresses,
            max_answer_bytes=max_answer_bytes,
            max_connections=max_connections,
            max_connections_per_host=max_connections_per_host,
            resolver=resolver,
        )
        self._dialects = dialects

    async def start(self) -> None:
        """Open the connection pool; must run in the loop that will use it."""
        await self._sender.start()

    async def close(self) -> None:
        """Close every connection. Safe to repeat."""
        await self._sender.close()

    async def hand_over(self, target: DeliveryTarget, parcel: Parcel, timeout_s: float) -> Answer:
        """Try once, for at most ``timeout_s``; never raises for what a company's system does.

        Raises RuntimeError when the courier is not started.
        """
        spoken = None
        try:
            if self._dialects is not None:
                spoken = self._dialects.post(target)
            elif target.kind != "http" or target.dialect or target.preset:
                raise RuntimeError("the courier was given no dialects")
            outgoing = (
                write_own(target.url or "", parcel)
                if spoken is None or self._dialects is None
                else write_post(self._dialects, spoken, parcel)
            )
        except (DialectFault, Unwritable) as fault:
            return answer_unreadable(f"the request could not be written: {fault}"[:200])
        heard = await self._sender.send(outgoing, timeout_s)
        if isinstance(heard, Lost):
            if heard.garbled:
                return answer_unreadable(heard.detail)
            return never_answered(heard.detail) if heard.sent else never_sent(heard.detail)
        return read_answer(spoken, heard, parcel)


def write_own(url: str, parcel: Parcel) -> Outgoing:
    """The exchange's own request (design, Wire)."""
    headers = (*_OWN_HEADERS, ("Idempotency-Key", parcel.delivery_id))
    return Outgoing("POST", url, headers, encode_parcel(parcel))


def write_post(dialects: Dialects, spoken: Spoken, parcel: Parcel) -> Outgoing:
    """Write a lead as a compiled dialect has it. Raises Unwritable."""
    now = dialects.clock()
    timestamp = int(now.timestamp())
    values = post_values(parcel, spoken.secrets, now)
    outgoing = spoken.request.write(values, timestamp, lambda: encode_parcel(parcel))
    headers = (*outgoing.headers, ("Idempotency-Key", parcel.delivery_id))
    if spoken.request.is_signed:
        company_id = dialects.company_of(parcel.campaign_id)
        if company_id is None:
            raise Unwritable("the campaign's company is not known")
        secret = dialects.secret_of(company_id)
        headers += Signing(secret, timestamp).headers(outgoing.body)
    return Outgoing(outgoing.method, outgoing.url, headers, outgoing.body)


def read_answer(spoken: Spoken | None, answer: Incoming, parcel: Parcel) -> Answer:
    """Judge an answer: by the dialect's rules, or as the exchange's own wire has it."""
    if spoken is None or spoken.listener is None:
        by_status = judge_status(answer.status)
        return by_status or judge_answer(answer.status, answer.body, parcel.contact)
    return answer_of(spoken.listener.hear(answer), answer.status, parcel.contact)


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
            token=msgspec.UNSET if parcel.token is None else parcel.token,
            quality_score=parcel.quality_score
            if parcel.quality_score < BEST_SCORE
            else msgspec.UNSET,
            consent=parcel.consent or msgspec.UNSET,
        )
    )
