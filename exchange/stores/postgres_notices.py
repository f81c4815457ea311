"""The outbox of alerts. Implements `flow.alert_ports.Notices`.

A notice that was taken is nobody else's until its lease ends; a worker that dies with it leaves it
to the next one, so each is sent at least once.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from exchange.core.alert_terms import AlertSettings
from exchange.flow.alert_ports import DueNotice, Notice
from exchange.stores.postgres import Postgres

_decode_settings = msgspec.json.Decoder(AlertSettings).decode


class PostgresNotices:
    """Notices waiting to be sent."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def put(self, notice: Notice) -> None:
        """Queue a notice that no look has made."""
        await self._postgres.run(
            "put_notice",
            notice.notice_id,
            notice.receiver,
            notice.channel,
            notice.address,
            notice.body,
        )

    async def take(self, limit: int, lease_s: float) -> list[DueNotice]:
        """Take notices that are due, one of each receiver and channel."""
        return [
            DueNotice(
                notice=Notice(
                    notice_id=row["id"],
                    receiver=row["receiver"],
                    channel=row["channel"],
                    address=row["address"],
                    body=row["body"],
                ),
                attempts=row["attempts"],
                settings=None if row["settings"] is None else _decode_settings(row["settings"]),
            )
            for row in await self._postgres.rows("take_notices", limit, lease_s)
        ]

    async def end(
        self,
        notice: Notice,
        state: Literal["waiting", "sent", "failed", "dropped"],
        *,
        problem: str | None = None,
        again_in_s: float = 0.0,
    ) -> None:
        """Note what came of a try."""
        await self._postgres.run(
            "end_notice",
            notice.notice_id,
            notice.receiver,
            notice.channel,
            notice.address,
            state,
            problem,
            again_in_s,
        )
