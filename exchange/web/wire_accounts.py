"""What accounts, standings and the exchange itself look like on the wire."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta

from exchange.web.wire import Answer, Body, Name
from exchange.web.wire_quality import ConsentDemands


class SellerBody(Body, frozen=True, kw_only=True):
    """A new seller."""

    name: Name


class CompanyBody(Body, frozen=True, kw_only=True):
    """A new company; a prepaid one buys only what its deposits cover."""

    name: Name
    prepaid: bool = False


class AccountChange(Body, frozen=True, kw_only=True):
    """Block or unblock an account."""

    active: bool


class DepositBody(Body, frozen=True, kw_only=True):
    """Money for a prepaid balance; booked once per ``key`` (or ``Idempotency-Key``)."""

    amount: Decimal
    key: Annotated[str, Meta(max_length=200)] | None = None


class SellerAnswer(Answer, frozen=True, kw_only=True):
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


class SellerList(Answer, frozen=True, kw_only=True):
    """A page of sellers."""

    items: tuple[SellerAnswer, ...]
    next: str | None


class CompanyList(Answer, frozen=True, kw_only=True):
    """A page of companies."""

    items: tuple[CompanyAnswer, ...]
    next: str | None


class StandingWindow(Answer, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The days the rates are over, both inclusive."""

    from_: date
    to: date
    days: int


class CrmAnswer(Answer, frozen=True, kw_only=True):
    """The CRM gate's sums since the last reset inside the window."""

    since: datetime | None
    assigned: Decimal
    rejected: Decimal
    threshold_pct: Decimal


class StandingSummary(Answer, frozen=True, kw_only=True):
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


class SigningSecretAnswer(Answer, frozen=True, kw_only=True):
    """The key of the signatures on what the exchange sends to a company."""

    company_id: str
    secret: str


class ResetAnswer(Answer, frozen=True, kw_only=True):
    """A CRM reset, asked for and perhaps approved."""

    reset_id: str
    company_id: str
    status: str
    asked_at: datetime
    approved_at: datetime | None


class ResetList(Answer, frozen=True, kw_only=True):
    """A page of resets."""

    items: tuple[ResetAnswer, ...]
    next: str | None


class AttributeAnswer(Answer, frozen=True, kw_only=True, omit_defaults=True):
    """One attribute of a vertical; bounds are inclusive."""

    kind: str
    required: bool
    min: int | float | None = None
    max: int | float | None = None
    allowed: tuple[str, ...] = ()
    max_length: int | None = None
    description: str = ""


class VerticalAnswer(Answer, frozen=True, kw_only=True):
    """A kind of lead traded here, with what a ping of it may say."""

    name: str
    title: str
    floor: Decimal
    offer_life_s: int
    max_age_s: int
    consent_required: bool
    consent: ConsentDemands | None
    attributes: dict[str, AttributeAnswer]


class VerticalList(Answer, frozen=True, kw_only=True):
    """Every vertical."""

    items: tuple[VerticalAnswer, ...]
    next: str | None = None


class Health(Answer, frozen=True, kw_only=True, omit_defaults=True):
    """Whether this worker lives, or what it waits for."""

    status: Literal["ok", "ready", "not_ready"]
    waiting_for: tuple[str, ...] = ()


class Index(Answer, frozen=True, kw_only=True):
    """Where to begin."""

    name: str
    version: str
    document: str
    calls: tuple[str, ...]


Document = dict[str, Any]
