"""Alerts in the books. Implements `flow.alert_ports.AlertBooks` and what the wire reads of it.

What a look found is written in one transaction with the notices that tell of it, under a lease: a
worker that lost it writes nothing. Rules: §12.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import Raw

from exchange.core.alert_kinds import AlertKind
from exchange.core.alert_systems import Incidents, Streak
from exchange.core.alert_terms import AlertSettings
from exchange.core.alerts import Watch, key_of
from exchange.core.model import CampaignId, CompanyId
from exchange.core.reasons import Reason
from exchange.flow.alert_ports import AlertRecord, AlertState, Memory, Outcome
from exchange.flow.deliver import SAVED
from exchange.stores.postgres import QUERIES, Postgres, Record

LEASE_S: Final = 60.0
"""How long a look may take before another worker may begin one; it takes well below a second."""

NOTICE_DAYS: Final = 14
"""How long notices are kept once they were sent or given up."""

_encode = msgspec.json.Encoder().encode
_decode_settings = msgspec.json.Decoder(AlertSettings).decode


class PostgresAlerts:
    """Alerts, what is remembered between looks, and everybody's settings."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    # --- a look -----------------------------------------------------------------------------------

    async def begin_look(self, owner: str, every_s: float) -> bool:
        """Whether this worker is to look now: one at a time, ``every_s`` after the last."""
        return await self._postgres.value("begin_look", owner, every_s, LEASE_S) is not None

    async def memory(self) -> Memory:
        """What is remembered, open alerts by id, settings by receiver."""
        watches = await self._postgres.rows("alert_watches")
        alerts = [_alert(row) for row in await self._postgres.rows("open_alerts")]
        settings = await self._postgres.rows("all_alert_settings")
        # An open alert is watched even where nothing else is remembered of it.
        open_ones = {_key(alert): _watch(alert) for alert in alerts}
        return Memory(
            watches=open_ones | {row["key"]: Watch(**dict(row)) for row in watches},
            alerts={alert.alert_id: alert for alert in alerts},
            settings={row["receiver"]: _decode_settings(row["body"]) for row in settings},
        )

    async def end_look(self, owner: str, outcome: Outcome) -> bool:
        """Write what came of a look, all or nothing; False where the lease is lost."""
        async with self._postgres.connection() as connection, connection.transaction():
            if await connection.fetchval(QUERIES["end_look"], owner) is None:
                return False
            if outcome.forget:
                await connection.execute(QUERIES["forget_alert_watches"], list(outcome.forget))
            await connection.executemany(
                QUERIES["put_alert"], [_alert_values(alert) for alert in outcome.alerts]
            )
            await connection.executemany(
                QUERIES["put_alert_watch"],
                [(w.key, w.streak, w.alert_id, w.events, w.told_at, w.mark) for w in outcome.keep],
            )
            await connection.executemany(
                QUERIES["put_notice"],
                [(n.notice_id, n.receiver, n.channel, n.address, n.body) for n in outcome.notices],
            )
        return True

    async def incidents(self, since: datetime) -> tuple[list[Incidents], list[Incidents]]:
        """Deliveries since then, by campaign: those that failed for good, those a backup saved."""
        failed = await self._postgres.rows("crm_incidents", since)
        saved = await self._postgres.rows("saved_incidents", since, SAVED, len(SAVED) + 1)
        return (
            _gather([(row, Reason(row["reason"]).code) for row in failed]),
            _gather([(row, row["code"]) for row in saved]),
        )

    async def streaks(self, watched: Sequence[CampaignId]) -> list[Streak]:
        """Connections whose last test failed, and all of these campaigns."""
        rows = await self._postgres.rows("connection_streaks", list(watched))
        return [Streak(**dict(row)) for row in rows]

    async def prune(self, now: datetime, keep_days: int) -> None:
        """Drop one turn's worth of what is over."""
        await self._postgres.run("drop_alerts", now - timedelta(days=keep_days))
        # Notices are dated by the database's clock, as whoever sends them is.
        await self._postgres.run("drop_notices", now - timedelta(days=NOTICE_DAYS))

    # --- the wire ---------------------------------------------------------------------------------

    async def alerts(
        self, company_id: CompanyId | None, state: AlertState | None, before: str, limit: int
    ) -> Sequence[AlertRecord]:
        """Alerts of a company, or all; the newest first, those older than ``before``."""
        rows = await self._postgres.rows("alerts", company_id, state, before, limit)
        return [_alert(row) for row in rows]

    async def alert(self, alert_id: str) -> AlertRecord | None:
        """One alert."""
        row = await self._postgres.row("alert", alert_id)
        return None if row is None else _alert(row)

    async def acknowledge(self, alert_id: str, by: str, now: datetime) -> AlertRecord | None:
        """Silence a raised alert's reminders; None if there is none."""
        row = await self._postgres.row("acknowledge_alert", alert_id, now, by)
        return None if row is None else _alert(row)

    async def settings(self, receiver: str) -> AlertSettings | None:
        """What a receiver has set."""
        body = await self._postgres.value("alert_settings", receiver)
        return None if body is None else _decode_settings(body)

    async def save_settings(self, receiver: str, settings: AlertSettings, now: datetime) -> None:
        """Set it, whole."""
        body = _encode(settings).decode()
        await self._postgres.run("put_alert_settings", receiver, body, now)


def _key(alert: AlertRecord) -> str:
    return key_of(alert.kind, alert.company_id, alert.campaign_id, alert.detail)


def _watch(alert: AlertRecord) -> Watch:
    return Watch(
        key=_key(alert),
        alert_id=alert.alert_id,
        events=alert.events,
        told_at=alert.renewed_at or alert.raised_at,
        acknowledged=alert.acknowledged_at is not None,
    )


def _gather(rows: list[tuple[Record, str]]) -> list[Incidents]:
    """Rows of one campaign and reason each, as one entry a campaign."""
    found: dict[tuple[CompanyId, CampaignId], Incidents] = {}
    for row, code in rows:
        subject = row["company_id"], row["campaign_id"]
        before = found.get(subject) or Incidents(
            company_id=subject[0], campaign_id=subject[1], count=0, cents=0
        )
        found[subject] = Incidents(
            company_id=subject[0],
            campaign_id=subject[1],
            count=before.count + row["count"],
            cents=before.cents + row["cents"],
            reasons={**before.reasons, code: before.reasons.get(code, 0) + row["count"]},
            kinds=(*before.kinds, row["kind"]) if "kind" in row else before.kinds,
        )
    return list(found.values())


def _alert(row: Record) -> AlertRecord:
    kind = AlertKind(row["kind"])
    return AlertRecord(
        alert_id=row["id"],
        kind=kind,
        severity=row["severity"],
        company_id=row["company_id"],
        campaign_id=row["campaign_id"],
        detail=row["detail"],
        state=row["state"],
        text=row["said"],
        arithmetic=row["arithmetic"],
        values=Raw(row["figures"].encode()),
        events=row["events"],
        raised_at=row["raised_at"],
        renewed_at=row["renewed_at"],
        recovered_at=row["recovered_at"],
        acknowledged_at=row["acknowledged_at"],
        acknowledged_by=row["acknowledged_by"],
    )


def _alert_values(alert: AlertRecord) -> tuple[object, ...]:
    return (
        alert.alert_id,
        alert.kind.value,
        alert.severity,
        alert.company_id,
        alert.campaign_id,
        alert.detail,
        alert.state,
        alert.text,
        alert.arithmetic,
        bytes(alert.values).decode(),
        alert.events,
        alert.raised_at,
        alert.renewed_at,
        alert.recovered_at,
    )
