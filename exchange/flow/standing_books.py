"""What standings need of the books: protocols, and the values that cross them.

Implemented in `exchange.stores.postgres_standings`. Every method that waits raises
`faults.Unavailable` when the books are away.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple, Protocol

from msgspec import Struct

from exchange.core.dynamic import DayFactors, Days, DayTotal
from exchange.core.history import Past
from exchange.core.model import Campaign, CompanyId
from exchange.core.recovery_path import Cause
from exchange.flow.ports import Receipt


class CampaignPast(Struct, frozen=True, kw_only=True):
    """A version of a campaign, in force from ``since`` on and before ``until`` (None: still).

    ``is_known`` is False for a time of which no version is kept; ``campaign`` is then the oldest
    that is.
    """

    campaign: Campaign
    since: datetime
    until: datetime | None
    is_known: bool = True


class Bought(Struct, frozen=True, kw_only=True):
    """Leads a company was sold, and what it was charged for them in cents."""

    leads: int
    spend_cents: int


class KeptFactors(Struct, frozen=True, kw_only=True):
    """A day's factors, and whether they were used or only shown."""

    factors: DayFactors
    applied: bool


class ReceiptPlace(NamedTuple):
    """A place among receipts: behind the batch of this number of this writer, decided by ``at``."""

    at: datetime
    writer: str
    number: int


class ReceiptPage(Struct, frozen=True):
    """Some receipts, and the place behind them."""

    receipts: Sequence[Receipt]
    place: ReceiptPlace


class StandingBooks(Protocol):
    """The past of companies and of auctions; reads only."""

    async def past(self, company_id: CompanyId, first: date, last: date) -> Past | None:
        """A company's buckets from ``first`` to ``last``, what came before, and its resets.

        None for no such company.
        """
        ...

    async def causes(
        self, company_id: CompanyId, first: date, last: date, era: int
    ) -> tuple[Cause, ...]:
        """What a company's rejections of leads assigned on these days are made of, dearest first.

        CRM rejections of an era before are left out: they count for nothing.
        """
        ...

    async def reset_asked_at(self, company_id: CompanyId) -> datetime | None:
        """When the company asked for the CRM reset that is not approved yet, if it did."""
        ...

    async def bought(self, company_id: CompanyId, day: date) -> Bought:
        """What a company was sold on a day."""
        ...

    async def campaigns_between(
        self, company_id: CompanyId, start: datetime, end: datetime, limit: int
    ) -> Sequence[CampaignPast]:
        """The versions of a company's campaigns that were in force between two times."""
        ...

    async def receipts(
        self, first: datetime, end: datetime, after: ReceiptPlace | None, least: int
    ) -> ReceiptPage | None:
        """Receipts decided from ``first`` on and before ``end``, about in the order of time.

        ``least`` or more, beyond ``after``; None where there are no more.
        """
        ...


class FactorBooks(Protocol):
    """The factors of days, kept once for all workers."""

    async def kept(self, first: date, last: date) -> Sequence[KeptFactors]:
        """What is kept of these days, in their order."""
        ...

    async def sums(self, wanted: Days) -> Sequence[DayTotal] | None:
        """What the whole market came to on each of these days on which anything was assigned.

        None where another worker is summing it up this moment.
        """
        ...

    async def keep(self, factors: DayFactors, applied: bool, now: datetime) -> KeptFactors:
        """Keep a day's factors, unless they are kept already; gives what stands.

        Whether they are applied is as the last one says.
        """
        ...
