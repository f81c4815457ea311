"""What campaigns look like on the wire."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, field

from exchange.core.dialect import Dialect, PresetUse
from exchange.core.model import Condition, Period
from exchange.web.wire import Answer, Body, Id, Moment, Name
from exchange.web.wire_quality import RequiresBody

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
CampaignStatus = Literal["active", "paused"]


class ModifierBody(Body, frozen=True, kw_only=True, omit_defaults=True):
    """Changes the prices where ``when`` holds: adds dollars, then multiplies."""

    when: Condition
    add: Decimal | None = None
    multiply: Decimal | None = None


class RemoteBody(Body, frozen=True, kw_only=True, omit_defaults=True):
    """A bidder of the company's own, asked for a price at each ping.

    ``shares`` are the numbers of buyers it is asked for, 1 being exclusive. With ``stream`` it bids
    over a stream; with ``simulate`` it is asked, and its bids do not count. At most one of
    ``dialect`` and ``preset`` says how it is spoken to. Left out, ``timeout_ms`` is 300 and
    ``max_price`` 1,000.00.
    """

    url: Annotated[str, Meta(max_length=2_000)] | None = None
    timeout_ms: Annotated[int, Meta(ge=20, le=10_000)] | None = None
    max_price: Decimal | None = None
    max_per_s: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    shares: Annotated[tuple[int, ...], Meta(min_length=1, max_length=20)] | None = None
    stream: bool = False
    simulate: bool = False
    dialect: Dialect | None = None
    preset: PresetUse | str | None = None


class BidBody(Body, frozen=True, kw_only=True, omit_defaults=True):
    """A price list: for an exclusive lead, and for each number of buyers sharing one.

    Or ``remote`` instead: a bidder of the company's own.
    """

    exclusive: Decimal | None = None
    shared: Annotated[dict[int, Decimal], Meta(max_length=20)] = field(default_factory=dict)
    modifiers: Annotated[tuple[ModifierBody, ...], Meta(max_length=50)] = ()
    remote: RemoteBody | None = None


class CapBody(Body, frozen=True, kw_only=True, omit_defaults=True):
    """At most so many leads or dollars in each period of the campaign's timezone."""

    period: Period
    leads: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    spend: Decimal | None = None


class OpenHoursBody(Body, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Open on these days; an end at or before the start runs past midnight."""

    days: Annotated[tuple[Day, ...], Meta(min_length=1, max_length=7)]
    from_: Annotated[str, Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5)]
    to: Annotated[str, Meta(pattern="^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", max_length=5)]


class ScheduleBody(Body, frozen=True, kw_only=True):
    """When a campaign buys; no windows means always."""

    timezone: Annotated[str, Meta(max_length=64)] = "UTC"
    windows: Annotated[tuple[OpenHoursBody, ...], Meta(max_length=50)] = ()


class DeliveryBody(Body, frozen=True, kw_only=True, omit_defaults=True):
    """One way to hand a lead over: to a URL, by mail, or into the company's inbox here.

    At most one of ``dialect`` and ``preset`` says how the company's system is spoken to.
    Left out, ``timeout_ms`` is 5,000 and ``attempts`` 2; so they are when not shown.
    """

    kind: Literal["http", "email", "inbox", "webhook"]
    url: Annotated[str, Meta(max_length=2_000)] | None = None
    to: Annotated[tuple[Annotated[str, Meta(max_length=254)], ...], Meta(max_length=10)] = ()
    dialect: Dialect | None = None
    preset: PresetUse | str | None = None
    timeout_ms: Annotated[int, Meta(ge=100, le=30_000)] | None = None
    attempts: Annotated[int, Meta(ge=1, le=5)] | None = None


class CampaignBody(Body, frozen=True, kw_only=True):
    """What a company wants, at what price, and how it takes delivery."""

    company_id: Id | None = None
    name: Name
    vertical: Annotated[str, Meta(max_length=40)]
    status: CampaignStatus | None = None
    active: bool | None = None
    filter: Condition | None = None
    bid: BidBody
    caps: Annotated[tuple[CapBody, ...], Meta(max_length=10)] = ()
    schedule: ScheduleBody = ScheduleBody()
    max_age_hours: Annotated[int, Meta(ge=1, le=8_760)] | None = None
    requires: RequiresBody | None = None
    delivery: Annotated[tuple[DeliveryBody, ...], Meta(min_length=1, max_length=5)]


class CampaignReplacement(CampaignBody, frozen=True, kw_only=True):
    """A campaign as it is to be; what a GET gave besides may be sent back and changes nothing."""

    campaign_id: Id | None = None
    version: int | None = None
    created_at: Moment | None = None
    updated_at: Moment | None = None


class CampaignAnswer(Answer, frozen=True, kw_only=True):
    """A campaign in the form it was given, with its id and dates."""

    campaign_id: str
    company_id: str
    name: str
    vertical: str
    status: CampaignStatus
    active: bool
    filter: Condition | None
    bid: BidBody
    caps: tuple[CapBody, ...]
    schedule: ScheduleBody
    max_age_hours: int | None
    requires: RequiresBody | None
    delivery: tuple[DeliveryBody, ...]
    version: int
    created_at: datetime
    updated_at: datetime


class SimulatedBidsAnswer(Answer, frozen=True, kw_only=True):
    """What a bidder bid under ``simulate``: how often, the mean to the cent, and the last."""

    bids: int
    average: Decimal
    last: Decimal
    last_at: datetime


class BidderAnswer(Answer, frozen=True, kw_only=True):
    """How a campaign's own bidder is doing, as the workers that asked it lately see it.

    ``probability`` is how often it is asked, on the mean; ``reasons`` counts why it made no bid;
    times are the longest of all workers, in milliseconds, connecting included; ``state`` is the
    worst, ``away`` a stream that is not up. ``simulated`` is what it bid under ``simulate``, which
    ``bids`` counts too; null where it did not.
    """

    campaign_id: str
    state: Literal["well", "faltering", "resting", "away", "not_asked"]
    probability: float
    bids: int
    reasons: dict[str, int]
    p50_ms: float | None
    p99_ms: float | None
    connections: int
    waiting: int
    workers: int
    simulated: SimulatedBidsAnswer | None


class CampaignList(Answer, frozen=True, kw_only=True):
    """A page of campaigns; ``next`` is the ``after`` of the page behind it."""

    items: tuple[CampaignAnswer, ...]
    next: str | None
