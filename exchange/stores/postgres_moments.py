"""The market as it was, from facts and kept versions. Implements `flow.moments.Moments`.

Judges nothing. Usage, balances and windows are counted anew from deliveries, rejections and the
ledger, as `exchange check` does, up to the moment asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Final, TypeVar

import msgspec

from exchange.core.changes import UsageChange
from exchange.core.contract_book import ContractChange
from exchange.core.model import Campaign, CampaignId, CompanyId, SellerId
from exchange.core.standing import Bucket, Window
from exchange.core.trial_room import TrialUse
from exchange.flow.moments import CampaignVersion, CapPeriod, CompanyHead
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_contracts import read_version

T = TypeVar("T")

COMPANIES_AT_ONCE: Final = 50
"""Companies of whose deliveries one statement reads a window's worth."""

_CLOCKS: Final = timedelta(hours=1)
"""How far the clocks of those who save campaigns and those who hold auctions may be apart."""


class PostgresMoments:
    """Reads what an auction was decided by."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._decode_campaign = msgspec.json.Decoder(Campaign).decode

    async def campaigns(self, version: int, at: datetime) -> Sequence[CampaignVersion]:
        """Every campaign there was: the newest versions up to ``version``, or if 0 up to ``at``."""
        rows = await self._postgres.rows("campaigns_at", version, at, at - _CLOCKS)
        return [
            CampaignVersion(
                campaign_id=row["id"],
                company_id=row["company_id"],
                version=row["version"],
                is_known=row["known"],
            )
            for row in rows
        ]

    async def bodies(self, wanted: Sequence[CampaignVersion]) -> dict[CampaignId, Campaign]:
        """The campaigns of these versions."""
        rows = await self._postgres.rows(
            "bodies_of_versions",
            [one.campaign_id for one in wanted],
            [one.version for one in wanted],
        )
        return {row["id"]: self._decode_campaign(row["body"]) for row in rows}

    async def heads(self, ids: Sequence[CompanyId], at: datetime) -> dict[CompanyId, CompanyHead]:
        """Companies at a moment."""
        rows = await self._postgres.rows("companies_at", list(ids), at)
        return {
            row["id"]: CompanyHead(
                company_id=row["id"],
                active=row["active"],
                prepaid=row["prepaid"],
                era=row["era"],
                reset_at=row["reset_at"],
            )
            for row in rows
        }

    async def used(self, periods: Sequence[CapPeriod], at: datetime) -> Sequence[UsageChange]:
        """What campaigns had used of these periods by a moment."""
        rows = await self._postgres.rows(
            "used_at",
            [one.campaign_id for one in periods],
            [one.starts_at for one in periods],
            [one.ends_at for one in periods],
            at,
        )
        return [
            UsageChange(one.campaign_id, one.period, one.starts_at, row["leads"], row["spend"])
            for row in rows
            if (one := periods[row["nth"] - 1])
        ]

    async def available(
        self, ids: Sequence[CompanyId], at: datetime, first: date
    ) -> dict[CompanyId, int]:
        """What prepaid companies could spend at a moment, in cents."""
        found: dict[CompanyId, int] = {}
        for some in _parts(ids):
            rows = await self._postgres.rows("available_at", some, at, first)
            found.update({row["id"]: row["available"] for row in rows})
        return found

    async def windows(
        self, heads: Sequence[CompanyHead], at: datetime, first: date, last: date
    ) -> dict[CompanyId, Window]:
        """Companies' windows from ``first`` to ``last``, as they were at a moment."""
        found: dict[CompanyId, Window] = {}
        for some in _parts(heads):
            found.update(await self._windows(some, at, first, last))
        return found

    async def _windows(
        self, heads: Sequence[CompanyHead], at: datetime, first: date, last: date
    ) -> dict[CompanyId, Window]:
        ids = [head.company_id for head in heads]
        buckets: dict[CompanyId, dict[tuple[date, int], Bucket]] = {one: {} for one in ids}
        assigned: dict[tuple[CompanyId, int], int] = {}
        for row in await self._postgres.rows("buckets_at", ids, at, first, last):
            buckets[row["company_id"]][row["day"], row["era"]] = Bucket(
                assigned=row["assigned"], manual=row["manual"], crm=row["crm"]
            )
            key = (row["company_id"], row["era"])
            assigned[key] = assigned.get(key, 0) + row["assigned"]
        for row in await self._postgres.rows("assigned_before_at", ids, at, first):
            key = (row["company_id"], row["era"])
            assigned[key] = assigned.get(key, 0) + row["assigned"]
        return {
            head.company_id: Window(
                company_id=head.company_id,
                era=head.era,
                era_assigned=assigned.get((head.company_id, head.era), 0),
                reset_at=head.reset_at,
                buckets=buckets[head.company_id],
            )
            for head in heads
        }

    async def changes(
        self,
        ids: Sequence[CompanyId],
        prepaid: Sequence[CompanyId],
        after: datetime,
        by: datetime,
        first: date,
    ) -> Sequence[tuple[CompanyId, datetime]]:
        """When something of a company was booked after one moment and by another."""
        found: list[tuple[CompanyId, datetime]] = []
        for some in _parts(ids):
            its = [one for one in prepaid if one in some]
            rows = await self._postgres.rows("changes_between", some, after, by, first, its)
            found += [(row["company_id"], row["at"]) for row in rows]
        return found

    async def contracts(self, seller_id: SellerId, at: datetime) -> Sequence[ContractChange]:
        """The versions of a seller's contracts recorded by a moment."""
        rows = await self._postgres.rows("contracts_at", seller_id, at)
        return [ContractChange(contract=read_version(row)) for row in rows]

    async def trial_uses(self, seller_id: SellerId, at: datetime) -> Sequence[TrialUse]:
        """What every bounded trial of a seller's contracts had used by a moment."""
        rows = await self._postgres.rows("trial_uses_at", seller_id, at)
        return [
            TrialUse(
                contract_id=row["contract_id"],
                seller_id=seller_id,
                company_id=row["company_id"],
                version=0,
                starts_at=row["starts_at"],
                ends_at=row["ends_at"],
                leads=row["leads"],
                spend_cents=row["spend"],
            )
            for row in rows
        ]


def _parts(items: Sequence[T]) -> Iterator[list[T]]:
    for start in range(0, len(items), COMPANIES_AT_ONCE):
        yield list(items[start : start + COMPANIES_AT_ONCE])
