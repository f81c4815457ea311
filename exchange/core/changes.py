"""Changes of the market as values: what a transaction left, what workers tell each other.

A change carries its version, so that the newest wins in whatever order changes arrive.
"""

from __future__ import annotations

from datetime import date, datetime

from msgspec import Struct

from exchange.core.model import Campaign, CampaignId, CompanyId, Period
from exchange.core.standing import Bucket, Window


class BucketChange(Struct, frozen=True, array_like=True):
    """The new content of one day and era of a company's window, in cents."""

    day: date
    era: int
    assigned: int
    manual: int
    crm: int


class UsageChange(Struct, frozen=True, array_like=True):
    """What a campaign has used in the period that starts then: leads, and cents."""

    campaign_id: CampaignId
    period: Period
    starts_at: datetime
    leads: int
    spend_cents: int


class CompanyChange(Struct, frozen=True, kw_only=True):
    """A company as one transaction left it; ``version`` grows with every transaction.

    Carries the whole head and only the touched buckets and usage, unless ``whole``: then every
    bucket and usage it does not name is gone. ``available_cents`` is what a prepaid company can
    still spend, None for one on account.
    """

    company_id: CompanyId
    version: int
    active: bool
    era: int
    era_assigned: int
    reset_at: datetime | None = None
    available_cents: int | None = None
    buckets: tuple[BucketChange, ...] = ()
    usage: tuple[UsageChange, ...] = ()
    whole: bool = False


def window_of(change: CompanyChange) -> Window:
    """The window a whole change describes."""
    return Window(
        company_id=change.company_id,
        era=change.era,
        era_assigned=change.era_assigned,
        reset_at=change.reset_at,
        buckets={
            (row.day, row.era): Bucket(assigned=row.assigned, manual=row.manual, crm=row.crm)
            for row in change.buckets
        },
    )


class CampaignChange(Struct, frozen=True, kw_only=True):
    """A campaign as it now is; None when it was deleted."""

    campaign_id: CampaignId
    version: int
    campaign: Campaign | None
