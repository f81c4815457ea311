"""The market as the books have it. Implements `flow.market_ports.Snapshots`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import msgspec

from exchange.core.changes import CampaignChange, CompanyChange
from exchange.core.contract_book import ContractChange
from exchange.core.model import Campaign, CompanyId
from exchange.core.trial_room import TrialUse
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_contracts import read_use, read_version
from exchange.stores.postgres_room import decode_change


class PostgresSnapshots:
    """Reads companies whole, and campaigns since a version."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._decode_campaign = msgspec.json.Decoder(Campaign).decode

    async def companies(
        self, first: date, now: datetime, ids: Sequence[CompanyId] | None = None
    ) -> list[CompanyChange]:
        """Every company whole (or those named), with its buckets since ``first``."""
        if ids is None:
            rows = await self._postgres.rows("companies_whole", first, now)
        else:
            rows = await self._postgres.rows("companies_whole_of", first, now, list(ids))
        return [decode_change(row[0]) for row in rows]

    async def campaigns(self, since_version: int) -> list[CampaignChange]:
        """Campaigns changed after a version; 0 gives all."""
        rows = await self._postgres.rows("campaign_changes", since_version)
        return [
            CampaignChange(
                campaign_id=row["id"],
                version=row["version"],
                campaign=None if row["deleted"] else self._decode_campaign(row["body"]),
            )
            for row in rows
        ]

    async def contracts(self, since_number: int) -> list[ContractChange]:
        """Contracts' versions recorded after a number, in their order; 0 gives all."""
        rows = await self._postgres.rows("contract_changes", since_number)
        return [ContractChange(contract=read_version(row)) for row in rows]

    async def trial_uses(self, now: datetime) -> list[TrialUse]:
        """What every trial that has not ended has used."""
        return [read_use(row) for row in await self._postgres.rows("trials_used", now)]

    async def trial_uses_within(self, within_s: float) -> list[TrialUse]:
        """What those trials have used that changed within the last ``within_s`` seconds."""
        return [read_use(row) for row in await self._postgres.rows("trials_used_since", within_s)]

    async def versions(self, within_s: float) -> dict[CompanyId, int]:
        """The versions of companies that changed within the last ``within_s`` seconds."""
        rows = await self._postgres.rows("company_versions_since", within_s)
        return {row["id"]: row["version"] for row in rows}
