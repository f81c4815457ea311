"""Alerts as the wire asks for them: read, acknowledged, set, and tried out.

Implements `alert_ports.AlertDesk`. Source: rules §12.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec
from msgspec import Raw

from exchange.core.alert_terms import OPERATOR, AlertSettings, Terms, terms_under
from exchange.core.model import CompanyId
from exchange.flow.alert_ports import AlertRecord, AlertState, AlertTold, Notice, Told
from exchange.flow.alerting import notices_to


class KeptAlerts(Protocol):
    """What is kept of alerts."""

    async def alerts(
        self, company_id: CompanyId | None, state: AlertState | None, before: str, limit: int
    ) -> Sequence[AlertRecord]:
        """Alerts of a company, or all; the newest first, those older than ``before``."""
        ...

    async def alert(self, alert_id: str) -> AlertRecord | None:
        """One alert."""
        ...

    async def acknowledge(self, alert_id: str, by: str, now: datetime) -> AlertRecord | None:
        """Silence a raised alert's reminders; None if there is none."""
        ...

    async def settings(self, receiver: str) -> AlertSettings | None:
        """What a receiver has set."""
        ...

    async def save_settings(self, receiver: str, settings: AlertSettings, now: datetime) -> None:
        """Set it, whole."""
        ...


class Outbox(Protocol):
    """Where notices wait."""

    async def put(self, notice: Notice) -> None:
        """Queue a notice."""
        ...


class AlertCounter:
    """The wire's way to alerts. ``secret_of`` gives a receiver's signing secret."""

    def __init__(
        self,
        *,
        kept: KeptAlerts,
        outbox: Outbox,
        defaults: Terms,
        secret_of: Callable[[str], str],
        fresh_id: Callable[[], str],
    ) -> None:
        self._kept = kept
        self._outbox = outbox
        self._defaults = defaults
        self._secret_of = secret_of
        self._fresh_id = fresh_id

    async def alerts(
        self, company_id: CompanyId | None, state: AlertState | None, before: str, limit: int
    ) -> Sequence[AlertRecord]:
        """Alerts of a company, or all; the newest first, those older than ``before``."""
        return await self._kept.alerts(company_id, state, before, limit)

    async def alert(self, alert_id: str) -> AlertRecord | None:
        """One alert."""
        return await self._kept.alert(alert_id)

    async def acknowledge(self, alert_id: str, by: str, now: datetime) -> AlertRecord | None:
        """Silence an alert's reminders, once; None if it is not raised."""
        return await self._kept.acknowledge(alert_id, by, now)

    async def settings(self, receiver: str) -> AlertSettings | None:
        """What a receiver has set."""
        return await self._kept.settings(receiver)

    async def save_settings(self, receiver: str, settings: AlertSettings, now: datetime) -> None:
        """Set it, whole."""
        await self._kept.save_settings(receiver, settings, now)

    async def terms(self, company_id: CompanyId | None) -> Terms:
        """The thresholds that hold for a company, or the operator's."""
        own = None if company_id is None else await self._kept.settings(company_id)
        return terms_under(self._defaults, own, await self._kept.settings(OPERATOR))

    def secret(self, receiver: str) -> str:
        """The key of the signatures on a receiver's webhooks."""
        return self._secret_of(receiver)

    async def try_out(self, receiver: str, now: datetime) -> int:
        """Queue a trial notice to every channel of a receiver; gives how many."""
        settings = await self._kept.settings(receiver)
        if settings is None:
            return 0
        alert_id = self._fresh_id()
        told = Told(
            notice_id=f"{alert_id}.1",
            event="test",
            at=now,
            alert=AlertTold(
                alert_id=alert_id,
                kind="test",
                severity="info",
                title="Trial notice",
                text="This is a trial: nothing has happened, and notices come this way.",
                arithmetic="",
                values=Raw(b"{}"),
                company_id=None if receiver == OPERATOR else receiver,
                campaign_id=None,
                detail="",
                state="told",
                raised_at=now,
                renewed_at=None,
                recovered_at=None,
            ),
        )
        notices = notices_to(receiver, settings, told.notice_id, msgspec.json.encode(told))
        for notice in notices:
            await self._outbox.put(notice)
        return len(notices)
