"""What is kept of connection tests. Implements `flow.connection_ports.ConnectionBooks`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from exchange.core.connections import Hour
from exchange.core.model import Campaign, CampaignId
from exchange.flow.connection_ports import ConnectionOutcome, Kept, Registered
from exchange.stores.postgres import QUERIES, Postgres

_encode = msgspec.json.Encoder().encode
_decode_results = msgspec.json.Decoder(list[ConnectionOutcome]).decode


class PostgresConnections:
    """One row a target, and one an hour in which it was tested."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def register(self, places: Sequence[Registered], within_s: float) -> None:
        """Make these the places that are tested; new ones begin about ``within_s`` from now."""
        campaigns = [one.campaign_id for one in places]
        targets = [one.place.target for one in places]
        async with self._postgres.connection() as connection, connection.transaction():
            await connection.execute(QUERIES["forget_connections"], campaigns, targets)
            await connection.execute(
                QUERIES["register_connections"],
                campaigns,
                targets,
                [one.company_id for one in places],
                [one.place.kind for one in places],
                within_s,
            )

    async def take(self, limit: int, again_in_s: float) -> list[tuple[CampaignId, str]]:
        """Take targets whose test is due."""
        rows = await self._postgres.rows("take_connections", limit, again_in_s)
        return [(row["campaign_id"], row["target"]) for row in rows]

    async def record(
        self, campaign: Campaign, result: ConnectionOutcome, again_in_s: float
    ) -> None:
        """Keep a result; one that was skipped counts neither way."""
        passed = result.status == "passed"
        async with self._postgres.connection() as connection, connection.transaction():
            await connection.execute(
                QUERIES["record_connection"],
                campaign.campaign_id,
                result.target,
                campaign.company_id,
                result.kind,
                again_in_s,
                int(result.status == "failed"),
                int(passed),
                _encode(result).decode(),
            )
            if result.status != "skipped":
                took = [result.took_ms] if passed and result.took_ms is not None else []
                await connection.execute(
                    QUERIES["record_connection_hour"],
                    campaign.campaign_id,
                    result.target,
                    result.at,
                    int(passed),
                    took,
                )

    async def kept(self, campaign_id: CampaignId, since: datetime) -> Sequence[Kept]:
        """What is kept of a campaign's targets."""
        rows = await self._postgres.rows("connections", campaign_id)
        hours: dict[str, list[Hour]] = {}
        for row in await self._postgres.rows("connection_hours", campaign_id, since):
            hours.setdefault(row["target"], []).append(
                Hour(
                    hour=row["hour"],
                    tests=row["tests"],
                    passed=row["passed"],
                    took_ms=row["took_ms"],
                )
            )
        known = {row["target"]: row for row in rows}
        return [
            Kept(
                target=target,
                failures=known[target]["failures"] if target in known else 0,
                successes=known[target]["successes"] if target in known else 0,
                last=_decode_results(known[target]["last"]) if target in known else (),
                hours=hours.get(target, ()),
            )
            for target in sorted({*known, *hours})
        ]

    async def is_out(self, campaign_id: CampaignId) -> bool:
        """Whether a campaign is tested on request only."""
        return bool(await self._postgres.value("is_opted_out", campaign_id))

    async def opt_out(self, campaign_id: CampaignId, out: bool, now: datetime) -> None:
        """Have a campaign tested on request only, or not any longer."""
        if out:
            await self._postgres.run("opt_out", campaign_id, now)
        else:
            await self._postgres.run("opt_in", campaign_id)

    async def prune(self, before: datetime) -> None:
        """Drop one turn's worth of hours from before."""
        await self._postgres.run("drop_connection_hours", before)
