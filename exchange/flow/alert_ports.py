"""What alerting needs of the world: protocols, and the values that cross them.

Implemented in `exchange.stores` (the books of alerts) and `exchange.buyers` (sending). Every method
that waits raises `faults.Unavailable` when its store is away. Source: rules §12.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol

from msgspec import Raw, Struct

from exchange.core.alert_kinds import AlertKind, Severity
from exchange.core.alert_systems import BidderCounts, Incidents, Streak
from exchange.core.alert_terms import AlertSettings, Terms
from exchange.core.alerts import Happening, Watch
from exchange.core.model import CampaignId, CompanyId
from exchange.flow.bidding import BidderState

AlertState = Literal["raised", "recovered", "told"]
Channel = Literal["webhook", "email"]


class AlertRecord(Struct, frozen=True, kw_only=True):
    """One alert as it is kept. ``values`` is a JSON object, as of the last notice.

    ``told`` is the state of what was over as it was told. ``detail`` tells apart what has the
    same company and campaign.
    """

    alert_id: str
    kind: AlertKind
    severity: Severity
    company_id: CompanyId | None
    campaign_id: CampaignId | None
    detail: str
    state: AlertState
    text: str
    arithmetic: str
    values: Raw
    events: int
    raised_at: datetime
    renewed_at: datetime | None = None
    recovered_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None


class Notice(Struct, frozen=True, kw_only=True):
    """One thing to tell one receiver, a company or the operator, one way.

    ``address`` is a mail's; a webhook goes where the receiver wants it by then. ``notice_id`` is
    the same however often, and to however many, it is sent.
    """

    notice_id: str
    receiver: str
    channel: Channel
    address: str = ""
    body: bytes


class DueNotice(Struct, frozen=True, kw_only=True):
    """A notice to be sent now, its try included in ``attempts``; with its receiver's settings."""

    notice: Notice
    attempts: int
    settings: AlertSettings | None


class Memory(Struct, frozen=True, kw_only=True):
    """What a look begins with: what is remembered, open alerts by id, everybody's settings."""

    watches: Mapping[str, Watch]
    alerts: Mapping[str, AlertRecord]
    settings: Mapping[str, AlertSettings]


class Outcome(Struct, frozen=True, kw_only=True):
    """What a look leaves: watches to keep and keys to forget, alerts, notices to be sent."""

    keep: Sequence[Watch]
    forget: Sequence[str]
    alerts: Sequence[AlertRecord]
    notices: Sequence[Notice]


class AlertBooks(Protocol):
    """Alerts in PostgreSQL, so that a restart or another worker tells nothing twice."""

    async def begin_look(self, owner: str, every_s: float) -> bool:
        """Whether this worker is to look now: ``every_s`` after the last look, one at a time."""
        ...

    async def memory(self) -> Memory:
        """What is remembered."""
        ...

    async def end_look(self, owner: str, outcome: Outcome) -> bool:
        """Write what came of it, all or nothing; False where another worker has begun since."""
        ...

    async def incidents(self, since: datetime) -> tuple[list[Incidents], list[Incidents]]:
        """Deliveries since then, by campaign: those that failed for good, those a backup saved."""
        ...

    async def streaks(self, watched: Sequence[CampaignId]) -> list[Streak]:
        """Connections whose last test failed, and all of these campaigns."""
        ...

    async def prune(self, now: datetime, keep_days: int) -> None:
        """Drop one turn's worth of what is over, sent or given up for so many days."""
        ...


class Notices(Protocol):
    """The outbox: notices wait in the books until somebody was told, or nobody could be."""

    async def take(self, limit: int, lease_s: float) -> list[DueNotice]:
        """Take notices that are due, one of each receiver and channel; nobody else gets them.

        Whoever has not `end`-ed one after ``lease_s`` has died: it is due again.
        """
        ...

    async def end(
        self,
        notice: Notice,
        state: Literal["waiting", "sent", "failed", "dropped"],
        *,
        problem: str | None = None,
        again_in_s: float = 0.0,
    ) -> None:
        """Note what came of a try; a notice that waits is due again after so many seconds."""
        ...


class Notifier(Protocol):
    """Sends one notice, once."""

    async def send(self, notice: Notice, url: str | None) -> str | None:
        """Send to a mail's address, or to the URL; None if it was taken, else what went wrong.

        Never raises for what a receiver's system does; what is told holds no URL.
        """
        ...


class DriftLook(Struct, frozen=True, kw_only=True):
    """What the comparison of the stores found at this look, and over several in a row."""

    compared: int
    lasting: Sequence[str]


class Drift(Protocol):
    """Compares some companies of the fast store with the books, other ones at each look."""

    async def look(self, now: datetime) -> DriftLook:
        """Compare those that changed lately, those that differed before, and the next few."""
        ...


class BidderReport(Struct, frozen=True, kw_only=True):
    """A campaign's bidder as one worker sees it; ``asked`` and ``failed`` of the last minutes."""

    campaign_id: CampaignId
    company_id: CompanyId
    state: BidderState
    asked: int
    failed: int


class BidderReports(Protocol):
    """What each worker says of the bidders it asks; what is stale is not given."""

    async def put(self, owner: str, reports: Sequence[BidderReport]) -> None:
        """Write what this worker sees now; of bidders not named it has nothing to say."""
        ...

    async def of(self, campaign_id: CampaignId) -> list[tuple[str, BidderReport]]:
        """What the workers say of one campaign's bidder, with their ids."""
        ...

    async def counts(self, watched: Sequence[CampaignId]) -> list[BidderCounts]:
        """Bidders that rest or fail, and those of these campaigns, over all workers."""
        ...


class AlertDesk(Protocol):
    """Alerts as the wire asks for them."""

    async def alerts(
        self,
        company_id: CompanyId | None,
        state: AlertState | None,
        before: str,
        limit: int,
    ) -> Sequence[AlertRecord]:
        """Alerts of a company, or all; the newest first, those older than ``before``."""
        ...

    async def alert(self, alert_id: str) -> AlertRecord | None:
        """One alert."""
        ...

    async def acknowledge(self, alert_id: str, by: str, now: datetime) -> AlertRecord | None:
        """Silence an alert's reminders, once; None if there is none."""
        ...

    async def settings(self, receiver: str) -> AlertSettings | None:
        """What a receiver has set."""
        ...

    async def save_settings(self, receiver: str, settings: AlertSettings, now: datetime) -> None:
        """Set it, whole."""
        ...

    async def terms(self, company_id: CompanyId | None) -> Terms:
        """The thresholds that hold for a company, or the operator's."""
        ...

    def secret(self, receiver: str) -> str:
        """The key of the signatures on a receiver's webhooks."""
        ...

    async def try_out(self, receiver: str, now: datetime) -> int:
        """Queue a trial notice to every channel of a receiver; gives how many."""
        ...


class Told(Struct, frozen=True, kw_only=True):
    """A notice as it is sent. ``event`` is raised, renewed, recovered, or test."""

    notice_id: str
    event: Happening | Literal["test"]
    at: datetime
    alert: AlertTold


class AlertTold(Struct, frozen=True, kw_only=True):
    """An alert in a notice; as `GET /v1/alerts/{alert_id}` shows it."""

    alert_id: str
    kind: str
    severity: str
    title: str
    text: str
    arithmetic: str
    values: Raw
    company_id: str | None
    campaign_id: str | None
    detail: str
    state: str
    raised_at: datetime
    renewed_at: datetime | None
    recovered_at: datetime | None
