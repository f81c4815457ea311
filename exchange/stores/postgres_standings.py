"""The past of companies and auctions, and the days' factors, in PostgreSQL.

Implements `flow.standing_books`. Judges nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final

import msgspec

from exchange.core.changes import BucketChange
from exchange.core.dynamic import DayFactors, Days, DayTotal
from exchange.core.history import Past
from exchange.core.model import Campaign, CompanyId
from exchange.core.reasons import Reason
from exchange.core.recovery_path import Cause
from exchange.flow.standing_books import (
    Bought,
    CampaignPast,
    KeptFactors,
    ReceiptPage,
    ReceiptPlace,
)
from exchange.stores.postgres import QUERIES, Postgres, Record
from exchange.stores.receipt_batch import bodies_of
from exchange.stores.receipt_bodies import read_receipt

_SUMMING: Final = 7_260_413
"""The advisory lock that keeps workers from summing up the market all at once."""

SLICE_DAYS: Final = 31
"""Days summed up by one statement; of ten thousand companies that is a part of a second."""

_encode = msgspec.json.Encoder().encode


class PostgresStandings:
    """Reads what a company's standing came from, and what an auction was decided by."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._decode_campaign = msgspec.json.Decoder(Campaign).decode

    async def past(self, company_id: CompanyId, first: date, last: date) -> Past | None:
        """A company's buckets from ``first`` to ``last``, what came before, and its resets."""
        async with (
            self._postgres.connection() as connection,
            # All as of one moment, so that the days add up.
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            if await connection.fetchval(QUERIES["company"], company_id) is None:
                return None
            buckets = await connection.fetch(QUERIES["buckets"], company_id, first, last)
            earlier = await connection.fetch(QUERIES["assigned_before"], company_id, first)
            resets = await connection.fetch(QUERIES["approved_resets"], company_id)
        return Past(
            company_id=company_id,
            buckets=[
                BucketChange(row["day"], row["era"], row["assigned"], row["manual"], row["crm"])
                for row in buckets
            ],
            earlier={row["era"]: row["assigned"] for row in earlier},
            resets=[row["approved_at"] for row in resets],
        )

    async def causes(
        self, company_id: CompanyId, first: date, last: date, era: int
    ) -> tuple[Cause, ...]:
        """What a company's rejections of leads assigned on these days are made of."""
        rows = await self._postgres.rows("rejection_causes", company_id, first, last, era)
        return tuple(
            Cause(
                kind=row["kind"],
                reason=Reason(row["reason"]),
                leads=row["leads"],
                value_cents=row["value"],
            )
            for row in rows
        )

    async def reset_asked_at(self, company_id: CompanyId) -> datetime | None:
        """When the company asked for the CRM reset that is not approved yet, if it did."""
        row = await self._postgres.row("open_reset", company_id)
        return None if row is None else row["asked_at"]

    async def bought(self, company_id: CompanyId, day: date) -> Bought:
        """What a company was sold on a day."""
        row = await self._postgres.row("bought_on", company_id, day)
        if row is None:
            raise RuntimeError("a sum gave no row")
        return Bought(leads=row["leads"], spend_cents=row["spend"])

    async def campaigns_between(
        self, company_id: CompanyId, start: datetime, end: datetime, limit: int
    ) -> Sequence[CampaignPast]:
        """The versions of a company's campaigns that were in force between two times."""
        rows = await self._postgres.rows("campaigns_between", company_id, start, end, limit)
        found: list[CampaignPast] = []
        known_until: dict[str, datetime] = {}
        for row in rows:
            campaign = self._decode_campaign(row["body"])
            # What was before the first version there is, back to the campaign's beginning.
            before = known_until.get(row["id"], row["created_at"])
            if before < row["since"]:
                found.append(
                    CampaignPast(
                        campaign=campaign, since=before, until=row["since"], is_known=False
                    )
                )
            found.append(CampaignPast(campaign=campaign, since=row["since"], until=row["until"]))
            known_until[row["id"]] = row["until"] or row["since"]
        return found

    async def receipts(
        self, first: datetime, end: datetime, after: ReceiptPlace | None, least: int
    ) -> ReceiptPage | None:
        """Receipts decided from ``first`` on and before ``end``, batches of them; None at the end.

        As many batches as have ``least`` receipts, in the order of their last ones.
        """
        place = after or ReceiptPlace(first, "", 0)
        rows = await self._postgres.rows("receipts_between", first, end, *place, least)
        if not rows:
            return None
        told = [
            receipt
            for row in rows
            for body in bodies_of(row["sizes"], row["bodies"])
            if first <= (receipt := read_receipt(body)).decided_at < end
        ]
        last = rows[-1]
        return ReceiptPage(told, ReceiptPlace(last["last_at"], last["writer"], last["number"]))


class PostgresFactors:
    """The factors of days, one row each."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._decode = msgspec.json.Decoder(DayFactors).decode

    async def kept(self, first: date, last: date) -> Sequence[KeptFactors]:
        """What is kept of these days, in their order."""
        return [self._kept(row) for row in await self._postgres.rows("dynamic_days", first, last)]

    async def sums(self, wanted: Days) -> Sequence[DayTotal] | None:
        """What the market came to on each day; None where another worker is summing it up.

        A slice of days at a time, so that no statement takes long.
        """
        totals: list[DayTotal] = []
        async with self._postgres.connection() as connection, connection.transaction():
            if not await connection.fetchval("select pg_try_advisory_xact_lock($1)", _SUMMING):
                return None
            first = wanted.first
            while first <= wanted.last:
                last = min(first + timedelta(days=SLICE_DAYS - 1), wanted.last)
                rows = await connection.fetch(QUERIES["market_days"], first, last)
                totals += [DayTotal(row["day"], row["assigned"], row["rejected"]) for row in rows]
                first = last + timedelta(days=1)
        return totals

    async def keep(self, factors: DayFactors, applied: bool, now: datetime) -> KeptFactors:
        """Keep a day's factors, unless they are kept already; gives what stands."""
        body = _encode(factors).decode()
        row = await self._postgres.row("put_dynamic_day", factors.day, applied, body, now)
        if row is None:
            raise RuntimeError("a day was kept and then not found")
        return self._kept(row)

    def _kept(self, row: Record) -> KeptFactors:
        return KeptFactors(factors=self._decode(row["body"]), applied=row["applied"])
