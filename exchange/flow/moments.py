"""What telling an auction again needs of the books: protocols, and the values that cross them.

Implemented in `exchange.stores.postgres_moments`. Every method that waits raises
`faults.Unavailable` when the books are away.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Protocol

from msgspec import Struct

from exchange.core.changes import UsageChange
from exchange.core.contract_book import ContractChange
from exchange.core.model import Campaign, CampaignId, CompanyId, Period, SellerId
from exchange.core.standing import Window
from exchange.core.trial_room import TrialUse


class CampaignVersion(Struct, frozen=True, kw_only=True):
    """The version of a campaign that was in force at a moment.

    ``is_known`` is False where that version is not kept; ``version`` is then the oldest that is.
    """

    campaign_id: CampaignId
    company_id: CompanyId
    version: int
    is_known: bool = True


class CompanyHead(Struct, frozen=True, kw_only=True):
    """A company at a moment; ``era`` counts its CRM resets up to then."""

    company_id: CompanyId
    active: bool
    prepaid: bool
    era: int
    reset_at: datetime | None


class CapPeriod(Struct, frozen=True, kw_only=True):
    """A period of one of a campaign's caps, its end exclusive."""

    campaign_id: CampaignId
    period: Period
    starts_at: datetime
    ends_at: datetime


class Moments(Protocol):
    """The market as it was; reads only. Moments are inclusive: what was booked at one counts."""

    async def campaigns(self, version: int, at: datetime) -> Sequence[CampaignVersion]:
        """Every campaign there was: the newest versions up to ``version``, or if 0 up to ``at``."""
        ...

    async def bodies(self, wanted: Sequence[CampaignVersion]) -> dict[CampaignId, Campaign]:
        """The campaigns of these versions."""
        ...

    async def heads(self, ids: Sequence[CompanyId], at: datetime) -> dict[CompanyId, CompanyHead]:
        """Companies at a moment."""
        ...

    async def used(self, periods: Sequence[CapPeriod], at: datetime) -> Sequence[UsageChange]:
        """What campaigns had used of these periods by a moment."""
        ...

    async def available(
        self, ids: Sequence[CompanyId], at: datetime, first: date
    ) -> dict[CompanyId, int]:
        """What prepaid companies could spend at a moment, in cents.

        Of what was reserved, only deliveries since the day ``first`` are looked at.
        """
        ...

    async def windows(
        self, heads: Sequence[CompanyHead], at: datetime, first: date, last: date
    ) -> dict[CompanyId, Window]:
        """Companies' windows from ``first`` to ``last``, as they were at a moment."""
        ...

    async def changes(
        self,
        ids: Sequence[CompanyId],
        prepaid: Sequence[CompanyId],
        after: datetime,
        by: datetime,
        first: date,
    ) -> Sequence[tuple[CompanyId, datetime]]:
        """When something of a company was booked after one moment and by another.

        Only deliveries since the day ``first`` are looked at, and the ledger of those ``prepaid``.
        """
        ...

    async def contracts(self, seller_id: SellerId, at: datetime) -> Sequence[ContractChange]:
        """The versions of a seller's contracts recorded by a moment."""
        ...

    async def trial_uses(self, seller_id: SellerId, at: datetime) -> Sequence[TrialUse]:
        """What every bounded trial of a seller's contracts had used by a moment."""
        ...
