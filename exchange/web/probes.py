"""Calls to try dialects out: what would be sent, and how an answer is understood."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from exchange.core.verticals import Vertical
from exchange.flow.dialects import (
    DialectDesk,
    PresetParameter,
    SeenAnswer,
    Trial,
    TrialLead,
    Understood,
)
from exchange.flow.faults import Invalid
from exchange.flow.ports import Contact
from exchange.web.calls import Call
from exchange.web.campaigns import find_campaign, naming
from exchange.web.contacts import normalise_email, normalise_phone
from exchange.web.wire import ContactBody, cents, dollars, give_reason
from exchange.web.wire_probes import (
    PresetAnswer,
    PresetList,
    PresetParameterAnswer,
    ProbeAnswer,
    ProbeBody,
    ProbeLead,
    ReplyAnswer,
    RequestAnswer,
    TrialAnswer,
    TrialKind,
    UnderstoodAnswer,
)

MAX_SHOWN_CHARS: Final = 65_536


async def list_presets(call: Call) -> PresetList:
    """List the presets."""
    desk = call.site.limits.desk
    return PresetList(
        items=tuple(
            PresetAnswer(
                name=preset.name,
                title=preset.title,
                description=preset.description,
                used_for=preset.used_for,
                params=tuple(map(_show_parameter, preset.params)),
                secrets=tuple(map(_show_parameter, preset.secrets)),
                dialect=msgspec.json.decode(preset.dialect),
            )
            for preset in ([] if desk is None else desk.presets())
        )
    )


async def probe_campaign(call: Call) -> ProbeAnswer:
    """Try out how a campaign's company is spoken to."""
    campaign = (await find_campaign(call)).campaign
    body = call.read(ProbeBody)
    desk = _desk(call)
    remote = (
        None if campaign.bid.remote is None or campaign.bid.remote.stream else (campaign.bid.remote)
    )
    if body.side == "ping" and remote is None:
        raise Invalid("This campaign asks no bidder over HTTP.", field="side")
    if body.delivery >= len(campaign.delivery):
        raise Invalid("There is no such delivery.", field="delivery")
    if body.answer is not None and body.send:
        raise Invalid("answer does not go with send.", field="answer")
    if body.side is None and remote is not None and body.answer is not None:
        raise Invalid("side says whose answer it is.", field="side", code="missing_field")
    lead = _read_lead(call, desk, body.lead, call.site.reader(campaign.vertical).vertical)
    answer = (
        None
        if body.answer is None
        else SeenAnswer(
            status=body.answer.status,
            headers=tuple(body.answer.headers.items()),
            body=body.answer.body.encode(),
        )
    )
    ping = post = None
    if remote is not None and body.side != "post":
        with naming("bid.remote"):
            trial = await desk.try_bidder(campaign, remote, lead, answer, send=body.send)
        ping = _show(trial, "bidder")
    if body.side != "ping":
        target = campaign.delivery[body.delivery]
        with naming(f"delivery[{body.delivery}]"):
            trial = await desk.try_target(campaign, target, lead, answer, send=body.send)
        post = _show(trial, target.kind)
    return ProbeAnswer(campaign_id=campaign.campaign_id, ping=ping, post=post)


def _desk(call: Call) -> DialectDesk:
    desk = call.site.limits.desk
    if desk is None:
        raise Invalid("Dialects are not set up on this exchange.", code="not_available")
    return desk


def _read_lead(call: Call, desk: DialectDesk, body: ProbeLead, vertical: Vertical) -> TrialLead:
    sample = desk.sample(vertical)
    attributes = sample.attributes
    if body.attributes is not None:
        given = Raw(msgspec.json.encode(body.attributes))
        read = call.site.reader(vertical.name).read(given, is_form=False)
        attributes = Raw(msgspec.json.encode(read))
    return TrialLead(
        attributes=attributes,
        contact=sample.contact if body.contact is None else _read_contact(body.contact),
        share=body.shares,
        price_cents=sample.price_cents if body.price is None else cents(body.price, "lead.price"),
        token=sample.token if body.token is None else body.token,
    )


def _read_contact(body: ContactBody) -> Contact:
    at = "lead.contact"
    return Contact(
        first_name=body.first_name,
        last_name=body.last_name,
        phone=None if body.phone is None else normalise_phone(body.phone, f"{at}.phone"),
        email=None if body.email is None else normalise_email(body.email, f"{at}.email"),
        address=body.address,
    )


def _show_parameter(parameter: PresetParameter) -> PresetParameterAnswer:
    return PresetParameterAnswer(
        name=parameter.name, description=parameter.description, default=parameter.default
    )


def _show(trial: Trial, kind: TrialKind) -> TrialAnswer:
    request, answer, understood = trial.request, trial.answer, trial.understood
    return TrialAnswer(
        kind=kind,
        dialect=trial.dialect,
        request=None
        if request is None
        else RequestAnswer(
            method=request.method,
            url=request.url,
            headers=request.headers,
            body=_text(request.body),
        ),
        answer=None
        if answer is None
        else ReplyAnswer(status=answer.status, headers=answer.headers, body=_text(answer.body)),
        understood=None if understood is None else _show_understood(understood),
    )


def _show_understood(understood: Understood) -> UnderstoodAnswer:
    price, reason = understood.price_cents, understood.reason
    return UnderstoodAnswer(
        result=understood.result,
        price=None if price is None else dollars(price),
        token=understood.token,
        reason=None if reason is None else give_reason(reason, with_category=True),
        reference=understood.reference,
        redirect_url=understood.redirect_url,
        detail=understood.detail,
    )


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")[:MAX_SHOWN_CHARS]
