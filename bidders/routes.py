"""Puts the CRMs on HTTP: the lead delivery, the control endpoints, faults as problem+json.

Decides nothing about a lead; that is `behaviour` and `sink`. Where it comes from: design, Wire.
"""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from decimal import Decimal

import msgspec
from aiohttp import web

from bidders.behaviour import Answer, Behaviour
from bidders.kit.wire import read_lead
from bidders.sink import (
    Counts,
    Crms,
    DeliveryConflict,
    SeenLead,
    Sink,
    TooManyCrms,
    UnknownCrm,
)
from bidders.tcp import reset

MAX_BODY_BYTES = 64 * 1024  # the wire's bound
MAX_LISTED_LEADS = 1_000  # in one answer
DEFAULT_LISTED_LEADS = 100
HANG_SECONDS = 60  # longer than any sender waits; then the connection is reset

CRMS: web.AppKey[Crms] = web.AppKey("crms", Crms)
CLOSING: web.AppKey[asyncio.Event] = web.AppKey("closing", asyncio.Event)

_read_behaviour = msgspec.json.Decoder(Behaviour).decode
_write = msgspec.json.Encoder(decimal_format="number").encode
# Where a decoder's message names the field: at a path, as a missing or unknown field, or first.
_FIELD = re.compile(r"at `\$\.([^`]+)`|field `([^`]+)`|^`([^`]+)`")


class CrmView(msgspec.Struct, frozen=True, kw_only=True):
    """A CRM as the control endpoints show it."""

    name: str
    leads_url: str
    behaviour: Behaviour
    counts: Counts


class IndexView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything this server has."""

    seed: int
    crms: list[CrmView]


class LeadView(msgspec.Struct, frozen=True, kw_only=True):
    """A seen lead as the control endpoints show it; `price` in USD, two decimals."""

    delivery_id: str
    lead_id: str
    campaign_id: str
    price: Decimal
    outcome: str
    attempts: int
    payload: msgspec.Raw


class LeadsView(msgspec.Struct, frozen=True, kw_only=True):
    """The newest seen leads, in order of arrival."""

    crm: str
    leads: list[LeadView]


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A fault of the caller (RFC 9457)."""

    title: str
    status: int
    code: str
    detail: str
    field: str | None = None


def build_app(crms: Crms) -> web.Application:
    """Make the application that serves these CRMs."""
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_answer_faults])
    app[CRMS] = crms
    app[CLOSING] = asyncio.Event()
    app.on_shutdown.append(_let_go)
    app.router.add_get("/", _show_index)
    app.router.add_put("/crm/{name}", _put_crm)
    app.router.add_get("/crm/{name}", _show_crm)
    app.router.add_post("/crm/{name}/leads", _take_lead)
    app.router.add_get("/crm/{name}/leads", _show_leads)
    app.router.add_delete("/crm/{name}/leads", _forget_leads)
    return app


async def _take_lead(request: web.Request) -> web.StreamResponse:
    sink = _find(request)
    try:
        body = await request.read()
        lead = read_lead(body)
        body.decode()  # the decoder passes over what it does not read; the record shows it all
    except (web.HTTPException, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        sink.note_unreadable()
        raise
    answer = sink.receive(lead, body)
    # Decided and recorded before any waiting: a caller that leaves early changes nothing.
    if answer.delay_ms:
        await asyncio.sleep(answer.delay_ms / 1000)
    return await _give(request, answer)


async def _show_index(request: web.Request) -> web.Response:
    crms = request.app[CRMS]
    return _json(IndexView(seed=crms.seed, crms=[_view(request, sink) for sink in crms]))


async def _put_crm(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    behaviour = _read_behaviour(await request.read())
    created = request.app[CRMS].set_behaviour(name, behaviour)
    return _json(_view(request, request.app[CRMS].find(name)), 201 if created else 200)


async def _show_crm(request: web.Request) -> web.Response:
    return _json(_view(request, _find(request)))


async def _show_leads(request: web.Request) -> web.Response:
    sink = _find(request)
    text = request.query.get("limit", str(DEFAULT_LISTED_LEADS))
    if not re.fullmatch(r"[0-9]{1,6}", text) or not 1 <= int(text) <= MAX_LISTED_LEADS:
        raise ValueError(f"`limit` must be a whole number from 1 to {MAX_LISTED_LEADS}")
    leads = [_view_lead(seen) for seen in sink.leads(int(text))]
    return _json(LeadsView(crm=sink.name, leads=leads))


async def _forget_leads(request: web.Request) -> web.Response:
    return _json({"forgotten": _find(request).forget()})


def _find(request: web.Request) -> Sink:
    return request.app[CRMS].find(request.match_info["name"])


async def _give(request: web.Request, answer: Answer) -> web.Response:
    if answer.ending == "hang":
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(request.app[CLOSING].wait(), HANG_SECONDS)
    if answer.ending != "answer":
        if request.transport is not None:
            reset(request.transport)
        return web.Response()  # goes nowhere: the connection is gone
    headers = {"Content-Type": answer.content_type}
    if answer.retry_after_seconds is not None:
        headers["Retry-After"] = str(answer.retry_after_seconds)
    return web.Response(status=answer.status, body=answer.body, headers=headers)


async def _let_go(app: web.Application) -> None:
    app[CLOSING].set()


def _view(request: web.Request, sink: Sink) -> CrmView:
    url = f"{request.scheme}://{request.host}/crm/{sink.name}/leads"
    return CrmView(name=sink.name, leads_url=url, behaviour=sink.behaviour, counts=sink.counts)


def _view_lead(seen: SeenLead) -> LeadView:
    return LeadView(
        delivery_id=seen.delivery_id,
        lead_id=seen.lead_id,
        campaign_id=seen.campaign_id,
        price=Decimal(seen.price_cents).scaleb(-2),
        outcome=seen.outcome,
        attempts=seen.attempts,
        payload=msgspec.Raw(seen.payload),
    )


@web.middleware
async def _answer_faults(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except UnknownCrm as fault:
        return _problem(404, "unknown_crm", f"no CRM is named {fault}", "name")
    except TooManyCrms as fault:
        return _problem(409, "too_many_crms", str(fault))
    except DeliveryConflict as fault:
        detail = f"delivery {fault} came before with another body"
        return _problem(409, "delivery_conflict", detail, "delivery_id")
    except web.HTTPException as fault:
        code = fault.reason.lower().replace(" ", "_")
        answer = _problem(fault.status, code, fault.reason)
        if "Allow" in fault.headers:
            answer.headers["Allow"] = fault.headers["Allow"]
        return answer
    except (UnicodeDecodeError, RecursionError):
        return _problem(422, "unreadable_body", "the body is not JSON in UTF-8, or nested too deep")
    except ValueError as fault:  # msgspec's faults among them
        named = _FIELD.search(str(fault))
        field = next(filter(None, named.groups()), None) if named else None
        return _problem(422, "invalid_field" if field else "unreadable_body", str(fault), field)


def _problem(status: int, code: str, detail: str, field: str | None = None) -> web.Response:
    title = code.replace("_", " ")
    problem = Problem(title=title, status=status, code=code, detail=detail, field=field)
    return _json(problem, status, "application/problem+json")


def _json(
    body: msgspec.Struct | dict[str, int], status: int = 200, kind: str = "application/json"
) -> web.Response:
    return web.Response(status=status, body=_write(body), content_type=kind)
