"""What accounts, campaigns, leads, standings and receipts look like on the wire."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta, Raw, Struct

from exchange.core.model import Condition, Period
from exchange.flow.ports import Contact
from exchange.web.wire import Id, LegPrice, Moment, Name, ReasonAnswer

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
CampaignStatus = Literal["active", "paused"]


class _In(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body: what it does not know it refuses."""


class _Out(Struct, frozen=True, kw_only=True):
    """An answer."""


# --- campaigns ------------------------------------------------------------------------------------


class ModifierBody(_In, frozen=True, kw_only=True, omit_defaults=True):
    """Changes the prices where ``when`` holds: adds dollars, then multiplies."""

    when: Condition
    add: Decimal | None = None
    multiply: Decimal | None = None


class BidBody(_In, frozen=True, kw_only=True, omit_defaults=True):
    """A price list: for an exclusive lead, and for each number of buyers sharing one."""

    exclusive: Decimal | None = None
    shared: Annotated[dict[int, Decimal], Meta(max_length=20)] = {}
    modifiers: Annotated[tuple[ModifierBody, ...], Meta(max_length=50)] = ()


class CapBody(_In, frozen=True, kw_only=True, omit_defaults=True):
    """At most so many leads or dollars in each period of the campaign's timezone."""

    period: Period
    leads: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    spend: Decimal | None = None


class OpenHoursBody(_In, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Open on these days; an end at or before the start runs past midnight."""

    days: Annotated[tuple[Day, ...], Meta(min_length=1, max_length=7)]
    from_: Annotated[str, Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5)]
    to: Annotated[str, Meta(pattern="^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", max_length=5)]


class ScheduleBody(_In, frozen=True, kw_only=True):
    """When a campaign buys; no windows means always."""

    timezone: Annotated[str, Meta(max_length=64)] = "UTC"
    windows: Annotated[tuple[OpenHoursBody, ...], Meta(max_length=50)] = ()


class DeliveryBody(_In, frozen=True, kw_only=True, omit_defaults=True):
    """One way to hand a lead over: to a URL, or into the company's inbox here."""

    kind: Literal["http", "inbox"]
    url: Annotated[str, Meta(max_length=2_000)] | None = None
    timeout_ms: Annotated[int, Meta(ge=100, le=30_000)] = 5_000
    attempts: Annotated[int, Meta(ge=1, le=5)] = 2


class CampaignBody(_In, frozen=True, kw_only=True):
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
    delivery: Annotated[tuple[DeliveryBody, ...], Meta(min_length=1, max_length=5)]


class CampaignReplacement(CampaignBody, frozen=True, kw_only=True):
    """A campaign as it is to be; what a GET gave besides may be sent back and changes nothing."""

    campaign_id: Id | None = None
    version: int | None = None
    created_at: Moment | None = None
    updated_at: Moment | None = None


class CampaignAnswer(_Out, frozen=True, kw_only=True):
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
    delivery: tuple[DeliveryBody, ...]
    version: int
    created_at: datetime
    updated_at: datetime


class CampaignList(_Out, frozen=True, kw_only=True):
    """A page of campaigns; ``next`` is the ``after`` of the page behind it."""

    items: tuple[CampaignAnswer, ...]
    next: str | None


# --- leads and rejections -------------------------------------------------------------------------


class LeadAnswer(_Out, frozen=True, kw_only=True):
    """A lead as the company that took it sees it."""

    lead_id: str
    delivery_id: str
    campaign_id: str
    vertical: str
    status: str
    price: Decimal
    attributes: Raw
    contact: Contact
    delivered_at: datetime
    rejectable_until: datetime | None
    rejection: ReasonAnswer | None
    test: bool


class LeadList(_Out, frozen=True, kw_only=True):
    """A page of leads."""

    items: tuple[LeadAnswer, ...]
    next: str | None


class RejectionBody(_In, frozen=True, kw_only=True):
    """Why a lead is returned: a reason's code, or free text."""

    reason: Annotated[str, Meta(max_length=40)] | None = None
    text: Annotated[str, Meta(min_length=1, max_length=1_000)] | None = None
    note: Annotated[str, Meta(max_length=1_000)] | None = None


class StandingWindow(_Out, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The days the rates are over, both inclusive."""

    from_: date
    to: date
    days: int


class CrmAnswer(_Out, frozen=True, kw_only=True):
    """The CRM gate's sums since the last reset inside the window."""

    since: datetime | None
    assigned: Decimal
    rejected: Decimal
    threshold_pct: Decimal


class StandingSummary(_Out, frozen=True, kw_only=True):
    """A company's rates: sums in plain dollars, percentages and ``price_of_100`` as they count."""

    company_id: str
    verdict: Literal["qualified", "conditional", "excluded"]
    protected: bool
    protection_left: Decimal
    window: StandingWindow
    assigned: Decimal
    rejected_manual: Decimal
    rejected_crm: Decimal
    overall_pct: Decimal
    crm_pct: Decimal
    crm: CrmAnswer
    price_of_100: Decimal


class DayAnswer(_Out, frozen=True, kw_only=True):
    """What one day's leads came to; rejections sit on the day the lead was assigned."""

    day: date
    assigned: Decimal
    manual: Decimal
    crm: Decimal


class StandingAnswer(StandingSummary, frozen=True, kw_only=True):
    """A company's standing with its days."""

    days: tuple[DayAnswer, ...]


class RejectionAnswer(_Out, frozen=True, kw_only=True):
    """An accepted rejection, and the standing right after it."""

    rejection_id: str
    lead_id: str
    kind: Literal["manual"] = "manual"
    category: str
    reason: str
    value: Decimal
    rejected_at: datetime
    standing: StandingSummary


class ResetAnswer(_Out, frozen=True, kw_only=True):
    """A CRM reset, asked for and perhaps approved."""

    reset_id: str
    company_id: str
    status: str
    asked_at: datetime
    approved_at: datetime | None


class ResetList(_Out, frozen=True, kw_only=True):
    """A page of resets."""

    items: tuple[ResetAnswer, ...]
    next: str | None


# --- accounts -------------------------------------------------------------------------------------


class SellerBody(_In, frozen=True, kw_only=True):
    """A new seller."""

    name: Name


class CompanyBody(_In, frozen=True, kw_only=True):
    """A new company; a prepaid one buys only what its deposits cover."""

    name: Name
    prepaid: bool = False


class AccountChange(_In, frozen=True, kw_only=True):
    """Block or unblock an account."""

    active: bool


class DepositBody(_In, frozen=True, kw_only=True):
    """Money for a prepaid balance; booked once per ``key`` (or ``Idempotency-Key``)."""

    amount: Decimal
    key: Annotated[str, Meta(max_length=200)] | None = None


class SellerAnswer(_Out, frozen=True, kw_only=True):
    """A seller."""

    id: str
    name: str
    active: bool
    created_at: datetime


class CompanyAnswer(SellerAnswer, frozen=True, kw_only=True):
    """A company; ``available`` is what it can still spend, null where it is on account."""

    prepaid: bool
    balance: Decimal
    available: Decimal | None


class NewSeller(SellerAnswer, frozen=True, kw_only=True):
    """A new seller with its first key, shown this once."""

    api_key: str


class NewCompany(CompanyAnswer, frozen=True, kw_only=True):
    """A new company with its first key, shown this once."""

    api_key: str


class SellerList(_Out, frozen=True, kw_only=True):
    """A page of sellers."""

    items: tuple[SellerAnswer, ...]
    next: str | None


class CompanyList(_Out, frozen=True, kw_only=True):
    """A page of companies."""

    items: tuple[CompanyAnswer, ...]
    next: str | None


# --- receipts and verticals -----------------------------------------------------------------------


class SellerReceipt(_Out, frozen=True, kw_only=True):
    """What decided a ping, as far as its seller may see: no company and no bid."""

    ping_id: str
    status: Literal["offer", "no_offer", "refused"]
    decided_at: datetime
    price: Decimal | None
    mode: Literal["exclusive", "shared"] | None
    legs: tuple[LegPrice, ...]
    expires_at: datetime | None
    reason: ReasonAnswer | None
    reasons: dict[str, int]
    timings_us: dict[str, int]


class CandidateAnswer(_Out, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one campaign. ``overall_ratio`` is the exact rate, ``draw`` settled ties."""

    campaign_id: str
    company_id: str
    outcome: Literal["won", "lost", "no_bid"]
    reason: str | None = None
    base: Decimal | None = None
    overall_pct: Decimal | None = None
    overall_ratio: str | None = None
    rectified: Decimal | None = None
    charged: Decimal | None = None
    rank: int | None = None
    share: int | None = None
    draw: int | None = None
    first_look: bool = False


class WholeReceipt(SellerReceipt, frozen=True, kw_only=True):
    """Everything that decided a ping: from it and the rules the winner can be recomputed."""

    seller_id: str
    vertical: str
    attributes: Raw
    max_buyers: int
    min_price: Decimal
    share: int | None
    premium: bool
    candidates: tuple[CandidateAnswer, ...]


class AttributeAnswer(_Out, frozen=True, kw_only=True, omit_defaults=True):
    """One attribute of a vertical; bounds are inclusive."""

    kind: str
    required: bool
    min: int | float | None = None
    max: int | float | None = None
    allowed: tuple[str, ...] = ()
    max_length: int | None = None
    description: str = ""


class VerticalAnswer(_Out, frozen=True, kw_only=True):
    """A kind of lead traded here, with what a ping of it may say."""

    name: str
    title: str
    floor: Decimal
    offer_life_s: int
    max_age_s: int
    consent_required: bool
    attributes: dict[str, AttributeAnswer]


class VerticalList(_Out, frozen=True, kw_only=True):
    """Every vertical."""

    items: tuple[VerticalAnswer, ...]
    next: str | None = None


class Health(_Out, frozen=True, kw_only=True, omit_defaults=True):
    """Whether this worker lives, or what it waits for."""

    status: Literal["ok", "ready", "not_ready"]
    waiting_for: tuple[str, ...] = ()


class Index(_Out, frozen=True, kw_only=True):
    """Where to begin."""

    name: str
    version: str
    document: str
    calls: tuple[str, ...]


Document = dict[str, Any]
