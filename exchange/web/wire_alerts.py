"""What alerts, and the settings of who is told of them, look like on the wire."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Raw

from exchange.core.alert_kinds import AlertKind, Severity
from exchange.web.wire import Answer, Body

AlertStateName = Literal["raised", "recovered", "told"]
Url = Annotated[str, Meta(max_length=2_000)]
Email = Annotated[str, Meta(max_length=254)]


class AlertAnswer(Answer, frozen=True, kw_only=True):
    """Something to be looked at. ``arithmetic`` shows how the figures in ``values`` come about.

    It is raised until it has recovered; what was over as it happened is told. Text and values are
    those of the last notice. An acknowledged alert sends no more reminders.
    """

    alert_id: str
    kind: AlertKind
    severity: Severity
    title: str
    text: str
    arithmetic: str
    values: Raw
    company_id: str | None
    campaign_id: str | None
    detail: str
    state: AlertStateName
    raised_at: datetime
    renewed_at: datetime | None
    recovered_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None


class AlertList(Answer, frozen=True, kw_only=True):
    """A page of alerts, the newest first; ``next`` is the ``after`` of the older ones behind it."""

    items: tuple[AlertAnswer, ...]
    next: str | None


class AlertSettingsBody(Body, frozen=True, kw_only=True):
    """Who is told of what, and from which figures on; what is left out goes by the exchange's.

    ``near_pct`` is the part of a rate's threshold from which it is near, ``cap_pct`` that of a
    cap. Without ``kinds`` a company hears of every kind, the operator of the critical ones.
    """

    webhook_url: Url | None = None
    emails: Annotated[tuple[Email, ...], Meta(max_length=5)] = ()
    kinds: Annotated[tuple[AlertKind, ...], Meta(max_length=50)] | None = None
    recoveries: bool = True
    near_pct: Annotated[int, Meta(ge=50, le=99)] | None = None
    cap_pct: Annotated[int, Meta(ge=50, le=99)] | None = None
    balance_low: Decimal | None = None
    crm_rejections: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    bidder_error_pct: Annotated[int, Meta(ge=1, le=100)] | None = None
    reminder_hours: Annotated[int, Meta(ge=1, le=720)] | None = None


class AlertTerms(Answer, frozen=True, kw_only=True):
    """The thresholds that hold."""

    near_pct: int
    cap_pct: int
    balance_low: Decimal
    crm_rejections: int
    bidder_error_pct: int
    reminder_hours: int


class AlertSettingsAnswer(Answer, frozen=True, kw_only=True):
    """The settings as they were given, and in ``terms`` the thresholds that come of them.

    Webhooks are signed with ``signing_secret``, as bid requests are.
    """

    receiver: str
    webhook_url: str | None
    emails: tuple[str, ...]
    kinds: tuple[AlertKind, ...] | None
    recoveries: bool
    near_pct: int | None
    cap_pct: int | None
    balance_low: Decimal | None
    crm_rejections: int | None
    bidder_error_pct: int | None
    reminder_hours: int | None
    terms: AlertTerms
    signing_secret: str


class TrialNotices(Answer, frozen=True, kw_only=True):
    """How many trial notices are on their way: one for each email, and the webhook."""

    notices: int


class AlertKindAnswer(Answer, frozen=True, kw_only=True):
    """A kind of alert; a ``momentary`` one is over as it is told, others are until they recover."""

    code: AlertKind
    severity: Severity
    title: str
    meaning: str
    momentary: bool


class AlertKindList(Answer, frozen=True, kw_only=True):
    """Every kind the caller may be told of."""

    items: tuple[AlertKindAnswer, ...]
