"""Dialects as people meet them: checked when a campaign is saved, and tried out with a test lead.

A dialect is written once for a whole sample lead and once for one with only what its vertical
requires before it is let through. What is shown has every secret masked: it is compiled anew from
a dialect that holds none. Rules: §3.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

import msgspec
from msgspec import Raw
from msgspec.structs import replace
from uuid_utils import uuid7

from exchange.buyers.courier import read_answer, write_own, write_post
from exchange.buyers.dialect_speech import read_bid, write_ping
from exchange.buyers.dialects import WEBHOOK, Dialects, Spoken
from exchange.buyers.lead_fields import SAMPLE_CONTACT, post_values, sample_attributes
from exchange.buyers.mapping import MappingFault
from exchange.buyers.outcome import answer_unreadable, never_answered, never_sent
from exchange.buyers.post_office import EmailCourier, Relay
from exchange.buyers.presets import Parameter, presets
from exchange.buyers.requests import Signing, base_of
from exchange.buyers.sender import MAX_ANSWER_BYTES, HttpSender, Lost
from exchange.buyers.speech import BidRead, Incoming, Outgoing
from exchange.buyers.templates import Unwritable
from exchange.core.dialect import MASK, Dialect, Mail, PresetUse, Speech, change_secrets
from exchange.core.model import (
    Campaign,
    CampaignId,
    CompanyId,
    DeliveryId,
    DeliveryTarget,
    LeadId,
    PingId,
)
from exchange.core.reasons import Reason
from exchange.core.remote import Remote
from exchange.core.verticals import Vertical
from exchange.flow.bidding import Asked, Question
from exchange.flow.dialects import (
    DialectFault,
    PresetParameter,
    PresetShown,
    SeenAnswer,
    SeenRequest,
    Trial,
    TrialLead,
    Understood,
)
from exchange.flow.ports import Answer, Contact, Parcel

SAMPLE_CENTS: Final = 45_75
_SAMPLE_SENDER: Final = "exchange@mail.example"
_NOBODY: Final = CompanyId("sample")
_SPARSE_CONTACT: Final = Contact(first_name="Jordan", last_name="Sample")

_encode = msgspec.json.Encoder().encode
Place = TypeVar("Place", Remote, DeliveryTarget)


class Desk:
    """A `DialectDesk`. ``relay`` is the mail relay, if there is one."""

    def __init__(
        self,
        dialects: Dialects,
        *,
        allow_private_addresses: bool = False,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        relay: Relay | None = None,
    ) -> None:
        self._dialects = dialects
        self._allow_private_addresses = allow_private_addresses
        self._max_answer_bytes = max_answer_bytes
        self._relay = relay

    @property
    def has_mail(self) -> bool:
        """Whether leads can be delivered by mail here."""
        return self._relay is not None

    def presets(self) -> Sequence[PresetShown]:
        """Every preset."""
        return [
            PresetShown(
                name=preset.name,
                title=preset.title,
                description=preset.description,
                used_for=preset.used_for,
                params=_parameters(preset.params),
                secrets=_parameters(preset.secrets),
                dialect=Raw(_encode(preset.dialect)),
            )
            for preset in presets().values()
        ]

    def seal(self, secret: str) -> str:
        """Encrypt a secret for keeping."""
        return self._dialects.seal(secret)

    def sample(self, vertical: Vertical) -> TrialLead:
        """A made-up lead of a vertical."""
        return _lead_of(vertical, whole=True)

    # --- checking ---------------------------------------------------------------------------------

    def check_bidder(self, remote: Remote, vertical: Vertical) -> str:
        """Check how a bidder is spoken to; gives a URL with the host it is asked at."""
        spoken = self._dialects.compile_ping(remote, vertical)
        asked = _asked(CampaignId("sample"), _NOBODY, remote, 1)
        for lead in _samples(vertical):
            question = _question(vertical.name, lead)
            with _writing(_place(remote, "ping")):
                write_ping(self._dialects, spoken, question, asked, remote.timeout_ms)
        _same_host(remote.url, spoken)
        return spoken.request.checkable

    def check_target(self, target: DeliveryTarget, vertical: Vertical) -> str | None:
        """Check how a target is spoken to; gives a URL with its host, if it has one."""
        if target.kind == "inbox":
            return None
        if target.kind == "email":
            letter, secrets = self._dialects.compile_mail(target, vertical)
            for lead in _samples(vertical):
                parcel = _parcel(CampaignId("sample"), vertical.name, lead)
                now = self._dialects.clock()
                with _writing(_place(target, "mail")):
                    letter.write(
                        post_values(parcel, secrets, now),
                        sender=_SAMPLE_SENDER,
                        to=target.to,
                        message_id=parcel.delivery_id,
                        date=now,
                    )
            return None
        spoken = self._dialects.compile_post(target, vertical)
        if spoken is None:
            return target.url
        for lead in _samples(vertical):
            parcel = _parcel(CampaignId("sample"), vertical.name, lead)
            values = post_values(parcel, spoken.secrets, self._dialects.clock())
            with _writing(_place(target, "post")):
                spoken.request.write(values, 0, lambda: b"{}")
        _same_host(target.url, spoken)
        return spoken.request.checkable

    # --- trying out -------------------------------------------------------------------------------

    async def try_bidder(
        self,
        campaign: Campaign,
        remote: Remote,
        lead: TrialLead,
        answer: SeenAnswer | None,
        *,
        send: bool,
    ) -> Trial:
        """Show how a bidder would be asked, and what an answer comes to."""
        question = _question(campaign.vertical, lead)
        asked = _asked(campaign.campaign_id, campaign.company_id, remote, lead.share)
        masked = self._masked(remote)

        def write(spoken: Spoken) -> Outgoing:
            written = write_ping(self._dialects, spoken, question, asked, remote.timeout_ms)
            # Every ping is signed, whatever else its dialect does to identify itself.
            return self._sign(written, campaign.company_id)

        with _writing(""):
            shown = write(self._dialects.compile_ping(masked, None))
        real = self._dialects.compile_ping(remote, None)
        understood = None
        if send:
            with _writing(""):
                outgoing = write(real)
            came = await self._send(outgoing, remote.timeout_ms)
            if isinstance(came, Lost):
                understood = _no_bid(came)
            else:
                answer = SeenAnswer(status=came.status, headers=came.headers, body=came.body)
        if answer is not None and understood is None:
            understood = _bid(read_bid(real, question, asked, _incoming(answer)))
        return Trial(
            dialect=self._shown_dialect(masked) or Dialect(ping=Speech(url=remote.url)),
            request=_seen(shown),
            answer=answer,
            understood=understood,
        )

    async def try_target(
        self,
        campaign: Campaign,
        target: DeliveryTarget,
        lead: TrialLead,
        answer: SeenAnswer | None,
        *,
        send: bool,
    ) -> Trial:
        """Show how a lead would be handed over, and what an answer comes to."""
        parcel = _parcel(campaign.campaign_id, campaign.vertical, lead)
        masked = self._masked(target)
        if target.kind == "inbox":
            return Trial(
                dialect=None,
                request=None,
                answer=None,
                understood=_outcome(Answer(result="accepted")),
            )
        if target.kind == "email":
            return await self._try_mail(target, masked, parcel, send=send)
        with _writing(""):
            shown = self._write_post(self._dialects.compile_post(masked, None), target, parcel)
        real = self._dialects.compile_post(target, None)
        told = None
        if send:
            with _writing(""):
                outgoing = self._write_post(real, target, parcel)
            came = await self._send(outgoing, target.timeout_ms)
            if isinstance(came, Lost):
                told = _lost(came)
            else:
                answer = SeenAnswer(status=came.status, headers=came.headers, body=came.body)
        if answer is not None and told is None:
            told = read_answer(real, _incoming(answer), parcel)
        own = WEBHOOK if target.kind == "webhook" else Dialect(post=Speech(url=target.url))
        return Trial(
            dialect=self._shown_dialect(masked) or own,
            request=_seen(shown),
            answer=answer,
            understood=None if told is None else _outcome(told),
        )

    async def _try_mail(
        self, target: DeliveryTarget, masked: DeliveryTarget, parcel: Parcel, *, send: bool
    ) -> Trial:
        letter, secrets = self._dialects.compile_mail(masked, None)
        now = self._dialects.clock()
        with _writing(""):
            message = letter.write(
                post_values(parcel, secrets, now),
                sender=_SAMPLE_SENDER if self._relay is None else self._relay.sender,
                to=target.to,
                message_id=parcel.delivery_id,
                date=now,
            )
        told = None
        if send and self._relay is not None:
            courier = EmailCourier(self._dialects, self._relay)
            told = await courier.hand_over(target, parcel, target.timeout_ms / 1_000)
        return Trial(
            dialect=self._shown_dialect(masked) or Dialect(mail=Mail()),
            request=SeenRequest(
                method="MAIL", url=f"mailto:{','.join(target.to)}", headers=(), body=message
            ),
            answer=None,
            understood=None if told is None else _outcome(told),
        )

    def _write_post(
        self, spoken: Spoken | None, target: DeliveryTarget, parcel: Parcel
    ) -> Outgoing:
        if spoken is None:
            return write_own(target.url or "", parcel)
        return write_post(self._dialects, spoken, parcel)

    def _sign(self, written: Outgoing, company_id: CompanyId) -> Outgoing:
        secret = self._dialects.secret_of(company_id)
        timestamp = int(self._dialects.clock().timestamp())
        signed = Signing(secret, timestamp).headers(written.body)
        return Outgoing(written.method, written.url, (*written.headers, *signed), written.body)

    async def _send(self, outgoing: Outgoing, timeout_ms: int) -> Incoming | Lost:
        # Now and then, by hand: connections of its own cost nothing and leave nothing open.
        async with HttpSender(
            allow_private_addresses=self._allow_private_addresses,
            max_answer_bytes=self._max_answer_bytes,
        ) as sender:
            return await sender.send(outgoing, timeout_ms / 1_000)

    def _masked(self, place: Place) -> Place:
        def mask(path: str, secret: str) -> str:
            return MASK

        if place.dialect is not None:
            return replace(place, dialect=change_secrets(place.dialect, mask))
        if place.preset is not None:
            return replace(place, preset=change_secrets(place.preset, mask))
        return place

    def _shown_dialect(self, masked: Remote | DeliveryTarget) -> Dialect | None:
        spoken: Dialect | PresetUse | None = masked.dialect or masked.preset
        return None if spoken is None else self._dialects.written(spoken)


def _parameters(known: Mapping[str, Parameter]) -> tuple[PresetParameter, ...]:
    return tuple(
        PresetParameter(name=name, description=parameter.description, default=parameter.default)
        for name, parameter in known.items()
    )


def _samples(vertical: Vertical) -> tuple[TrialLead, TrialLead]:
    return _lead_of(vertical, whole=True), _lead_of(vertical, whole=False)


def _lead_of(vertical: Vertical, *, whole: bool) -> TrialLead:
    return TrialLead(
        attributes=Raw(_encode(sample_attributes(vertical, whole=whole))),
        contact=SAMPLE_CONTACT if whole else _SPARSE_CONTACT,
        price_cents=SAMPLE_CENTS,
        token="sample-token" if whole else None,
    )


def _question(vertical: str, lead: TrialLead) -> Question:
    return Question(
        ping_id=PingId(str(uuid7())),
        vertical=vertical,
        attributes=lead.attributes,
        max_buyers=max(1, lead.share),
        test=True,
    )


def _asked(campaign_id: CampaignId, company_id: CompanyId, remote: Remote, share: int) -> Asked:
    return Asked(campaign_id=campaign_id, company_id=company_id, remote=remote, share=share)


def _parcel(campaign_id: CampaignId, vertical: str, lead: TrialLead) -> Parcel:
    return Parcel(
        delivery_id=DeliveryId(str(uuid7())),
        lead_id=LeadId(str(uuid7())),
        campaign_id=campaign_id,
        vertical=vertical,
        price_cents=lead.price_cents,
        attributes=lead.attributes,
        contact=lead.contact,
        test=True,
        token=lead.token,
    )


def _place(place: Remote | DeliveryTarget, part: str) -> str:
    if place.dialect is not None:
        return f"dialect.{part}"
    return "preset" if place.preset is not None else ""


@contextmanager
def _writing(path: str) -> Iterator[None]:
    """Make a fault of the dialect's of what cannot be written."""
    try:
        yield
    except Unwritable as fault:
        raise DialectFault(path, f"cannot be written for a sample lead: {fault}") from None


def _same_host(url: str | None, spoken: Spoken) -> None:
    """Refuse a URL beside the dialect's own that leads elsewhere: which would hold?"""
    if url is None:
        return
    try:
        base = base_of(url)
    except MappingFault as fault:
        raise DialectFault("url", fault.message) from None
    if base.lower() != spoken.request.base.lower():
        raise DialectFault("url", "has another host than the dialect's url")


def _incoming(answer: SeenAnswer) -> Incoming:
    headers = tuple((name.lower(), value) for name, value in answer.headers)
    return Incoming(answer.status, headers, answer.body)


def _seen(outgoing: Outgoing) -> SeenRequest:
    return SeenRequest(
        method=outgoing.method, url=outgoing.url, headers=outgoing.headers, body=outgoing.body
    )


def _bid(read: BidRead) -> Understood:
    return Understood(
        result="no_bid" if read.cents is None else "bid",
        price_cents=read.cents,
        token=read.token,
        reason=read.reason,
        detail=read.detail,
    )


def _no_bid(lost: Lost) -> Understood:
    if lost.garbled:
        reason = Reason.BID_UNREADABLE
    else:
        late = "in time" in lost.detail
        reason = Reason.BIDDER_TIMEOUT if late else Reason.BIDDER_CONNECTION
    return Understood(result="no_bid", reason=reason, detail=lost.detail)


def _lost(lost: Lost) -> Answer:
    if lost.garbled:
        return answer_unreadable(lost.detail)
    return never_answered(lost.detail) if lost.sent else never_sent(lost.detail)


def _outcome(answer: Answer) -> Understood:
    return Understood(
        result=answer.result,
        reason=answer.reason,
        reference=answer.reference,
        redirect_url=answer.redirect_url,
        detail=answer.detail,
    )
