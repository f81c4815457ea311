"""What standings need of the books: protocols, and the values that cross them.

Implemented in `exchange.stores.postgres_standings`. Every method that waits raises
`faults.Unavailable` when the books are away.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Protocol

from msgspec import Struct

from exchange.core.dynamic import DayFactors, DaySpans, Span
from exchange.core.history import Past
from exchange.core.model import Campaign, CompanyId
from exchange.core.recovery_path import Cause
from exchange.flow.ports import Receipt


class CampaignPast(Struct, frozen=True, kw_only=True):
    """A campaign as it is now, or was when it was deleted; ``updated_at`` is its last change."""

    campaign: Campaign
    created_at: datetime
    updated_at: datetime
    deleted: bool


class Bought(Struct, frozen=True, kw_only=True):
    """Leads a company was sold, and what it was charged for them in cents."""

    leads: int
    spend_cents: int


class KeptFactors(Struct, frozen=True, kw_only=True):
    """A day's factors, and whether they were used or only shown."""

    factors: DayFactors
    applied: bool


class MarketSpans(Struct, frozen=True, kw_only=True):
    """What the whole market came to in each span, CRM rejections and all."""

    month: Span
    quarter: Span
    season: Span
    year: Span


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

    async def campaigns_past(self, company_id: CompanyId, limit: int) -> Sequence[CampaignPast]:
        """A company's campaigns, deleted ones too, the last changed first."""
        ...

    async def receipts(
        self, first: datetime, end: datetime, after: str, limit: int
    ) -> Sequence[Receipt]:
        """Receipts decided from ``first`` on and before ``end``, in the order of time and id.

        Of those decided at ``first`` itself, the ones with an id beyond ``after``.
        """
        ...


class FactorBooks(Protocol):
    """The factors of days, kept once for all workers."""

    async def kept(self, first: date, last: date) -> Sequence[KeptFactors]:
        """What is kept of these days, in their order."""
        ...

    async def spans(self, wanted: DaySpans) -> MarketSpans | None:
        """What the market came to; None where another worker is summing it up this moment."""
        ...

    async def keep(self, factors: DayFactors, applied: bool, now: datetime) -> KeptFactors:
        """Keep a day's factors, unless they are kept already; gives what stands.

        Whether they are applied is as the last one says.
        """
        ...
