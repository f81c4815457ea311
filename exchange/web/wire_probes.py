"""What presets and the trying out of dialects look like on the wire."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from exchange.core.dialect import Dialect
from exchange.core.model import AttributeValue
from exchange.flow.dialects import Result
from exchange.web.wire import Answer, Body, ContactBody, ReasonAnswer

TrialKind = Literal["bidder", "http", "email", "inbox", "webhook"]


class ProbeLead(Body, frozen=True, kw_only=True):
    """A lead to try with; what is left out is made up.

    ``shares`` is the number of buyers a ping asks for, ``price`` and ``token`` are a post's.
    """

    attributes: Annotated[dict[str, AttributeValue], Meta(max_length=100)] | None = None
    contact: ContactBody | None = None
    shares: Annotated[int, Meta(ge=1, le=20)] = 1
    price: Decimal | None = None
    token: Annotated[str, Meta(max_length=1_024)] | None = None


class ProbeReply(Body, frozen=True, kw_only=True):
    """An answer of the company's system, to see how it is understood."""

    status: Annotated[int, Meta(ge=100, le=599)] = 200
    headers: Annotated[dict[str, str], Meta(max_length=50)] = field(default_factory=dict)
    body: str = ""


class ProbeBody(Body, frozen=True, kw_only=True):
    """What to try: the bidder's ping, or the delivery with this index, or else both.

    ``send`` really sends the request, marked as a test, and reads the real answer.
    """

    side: Literal["ping", "post"] | None = None
    delivery: Annotated[int, Meta(ge=0, le=4)] = 0
    lead: ProbeLead = ProbeLead()
    answer: ProbeReply | None = None
    send: bool = False


class RequestAnswer(Struct, frozen=True, kw_only=True):
    """A request as it goes out, secrets masked; a mail's method is MAIL."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: str


class ReplyAnswer(Struct, frozen=True, kw_only=True):
    """An answer as it was given, or came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str


class UnderstoodAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an answer comes to: a bid or none, or a lead accepted, refused, failed or unclear."""

    result: Result
    price: Decimal | None = None
    token: str | None = None
    reason: ReasonAnswer | None = None
    reference: str | None = None
    redirect_url: str | None = None
    detail: str | None = None


class TrialAnswer(Struct, frozen=True, kw_only=True):
    """One side tried out. ``dialect`` is the whole of it, with its preset filled in."""

    kind: TrialKind
    dialect: Dialect | None
    request: RequestAnswer | None
    answer: ReplyAnswer | None
    understood: UnderstoodAnswer | None


class ProbeAnswer(Answer, frozen=True, kw_only=True):
    """What was tried out of a campaign."""

    campaign_id: str
    ping: TrialAnswer | None
    post: TrialAnswer | None


class PresetParameterAnswer(Struct, frozen=True, kw_only=True):
    """What a preset has to know; without a default it must be given."""

    name: str
    description: str
    default: str | None


class PresetAnswer(Struct, frozen=True, kw_only=True):
    """A preset, with the dialect it stands for: ``${name}`` are its places."""

    name: str
    title: str
    description: str
    used_for: tuple[str, ...]
    params: tuple[PresetParameterAnswer, ...]
    secrets: tuple[PresetParameterAnswer, ...]
    dialect: dict[str, Any]


class PresetList(Answer, frozen=True, kw_only=True):
    """Every preset there is."""

    items: tuple[PresetAnswer, ...]
