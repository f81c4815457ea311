"""What the workers say of companies' bidders. Implements `flow.alert_ports.BidderReports`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from exchange.core.alert_systems import BidderCounts
from exchange.core.model import CampaignId
from exchange.flow.alert_ports import BidderReport
from exchange.stores.postgres import QUERIES, Postgres

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(BidderReport).decode


class PostgresBidders:
    """One row a worker and campaign; those older than ``fresh_s`` are not believed."""

    def __init__(self, postgres: Postgres, fresh_s: float) -> None:
        self._postgres = postgres
        self._fresh_s = fresh_s

    async def put(self, owner: str, reports: Sequence[BidderReport]) -> None:
        """Write what this worker sees now; what it said of other bidders goes."""
        campaigns = [report.campaign_id for report in reports]
        async with self._postgres.connection() as connection, connection.transaction():
            await connection.execute(QUERIES["drop_bidder_reports"], owner, campaigns)
            await connection.execute(
                QUERIES["put_bidder_reports"],
                owner,
                campaigns,
                [report.company_id for report in reports],
                [report.state.state for report in reports],
                [report.asked for report in reports],
                [report.failed for report in reports],
                [_encode(report).decode() for report in reports],
            )

    async def of(self, campaign_id: CampaignId) -> list[tuple[str, BidderReport]]:
        """What the workers say of one campaign's bidder."""
        rows = await self._postgres.rows("bidder_reports", campaign_id, self._fresh_s)
        return [(row["worker_id"], _decode(row["body"])) for row in rows]

    async def counts(self, watched: Sequence[CampaignId]) -> list[BidderCounts]:
        """Bidders that rest or fail, and those of these campaigns, over all workers."""
        rows = await self._postgres.rows("bidder_counts", list(watched), self._fresh_s)
        return [BidderCounts(**dict(row)) for row in rows]
