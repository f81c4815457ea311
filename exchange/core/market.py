"""The market a worker decides from: campaigns, standings and usage, held in memory.

State without I/O: changes come in as values, newest wins field by field, so that changes may
arrive in any order and twice. Source: rules §3–§5; the stores send the changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from msgspec import Struct
from msgspec.structs import replace

from exchange.core.filters import Predicate, compile_filter
from exchange.core.model import Campaign, CampaignId, CompanyId, Period, Policy
from exchange.core.standing import Bucket, Standing, Window, weigh, window_start
from exchange.core.verticals import Vertical


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


class PricedModifier(Struct, frozen=True):
    """A modifier ready to apply: add cents, then take ``multiply_bp`` basis points of the sum."""

    applies: Predicate
    add_cents: int
    multiply_bp: int


class Runner(Struct, frozen=True, eq=False):
    """A campaign compiled against its vertical, ready to be matched."""

    campaign: Campaign
    matches: Predicate
    modifiers: tuple[PricedModifier, ...]


class Company:
    """What this worker knows of one company, with the version of each part."""

    __slots__ = (
        "active",
        "available_cents",
        "bucket_versions",
        "usage",
        "usage_versions",
        "version",
        "whole_version",
        "window",
    )

    def __init__(self, company_id: CompanyId) -> None:
        self.version = -1
        # A part that the newest whole change left out is known to be gone as of its version.
        self.whole_version = -1
        self.active = False
        self.available_cents: int | None = None
        self.window = Window(company_id=company_id)
        self.bucket_versions: dict[tuple[date, int], int] = {}
        self.usage: dict[tuple[CampaignId, Period], UsageChange] = {}
        self.usage_versions: dict[tuple[CampaignId, Period], int] = {}

    def apply(self, change: CompanyChange) -> None:
        """Take in a change; every part only if it is newer than what is held."""
        version = change.version
        buckets = dict(self.window.buckets)
        for row in change.buckets:
            key = (row.day, row.era)
            if version > max(self.whole_version, self.bucket_versions.get(key, -1)):
                self.bucket_versions[key] = version
                buckets[key] = Bucket(assigned=row.assigned, manual=row.manual, crm=row.crm)
        for entry in change.usage:
            name = (entry.campaign_id, entry.period)
            if version > max(self.whole_version, self.usage_versions.get(name, -1)):
                self.usage_versions[name] = version
                self.usage[name] = entry
        if change.whole and version > self.whole_version:
            self._forget_unnamed(change, buckets)
            self.whole_version = version
        head = self.window
        if version > self.version:
            self.version = version
            self.active = change.active
            self.available_cents = change.available_cents
            head = replace(
                head, era=change.era, era_assigned=change.era_assigned, reset_at=change.reset_at
            )
        self.window = replace(head, buckets=buckets)

    def _forget_unnamed(
        self, change: CompanyChange, buckets: dict[tuple[date, int], Bucket]
    ) -> None:
        named_days = {(row.day, row.era) for row in change.buckets}
        for key in [k for k in buckets if k not in named_days]:
            if self.bucket_versions.get(key, -1) <= change.version:
                del buckets[key]
                self.bucket_versions.pop(key, None)
        named = {(row.campaign_id, row.period) for row in change.usage}
        for name in [n for n in self.usage if n not in named]:
            if self.usage_versions.get(name, -1) <= change.version:
                del self.usage[name]
                self.usage_versions.pop(name, None)

    def forget_before(self, first: date) -> None:
        """Drop buckets that have left the window for good."""
        gone = [key for key in self.window.buckets if key[0] < first]
        if gone:
            kept = {k: v for k, v in self.window.buckets.items() if k[0] >= first}
            self.window = replace(self.window, buckets=kept)
            for key in gone:
                self.bucket_versions.pop(key, None)


class Market:
    """Every campaign and company this worker trades, as of the changes applied so far."""

    def __init__(self, verticals: Iterable[Vertical], policy: Policy, today: date) -> None:
        self.policy = policy
        self.today = today
        self.verticals = {vertical.name: vertical for vertical in verticals}
        self.premium: dict[str, Predicate] = {
            vertical.name: compile_filter(vertical.premium, vertical, "premium")
            for vertical in self.verticals.values()
            if vertical.premium is not None
        }
        self.companies: dict[CompanyId, Company] = {}
        self.standings: dict[CompanyId, Standing] = {}
        self.runners: dict[str, dict[CampaignId, Runner]] = {name: {} for name in self.verticals}
        self.campaign_versions: dict[CampaignId, int] = {}

    def apply_company(self, change: CompanyChange) -> None:
        """Take in a company's change; its standing is weighed anew at once."""
        company = self.companies.get(change.company_id)
        if company is None:
            company = self.companies[change.company_id] = Company(change.company_id)
        company.apply(change)
        self.standings[change.company_id] = weigh(company.window, self.today, self.policy)

    def apply_campaign(self, change: CampaignChange) -> None:
        """Take in a campaign's change. Raises FilterError if it does not fit its vertical."""
        if change.version <= self.campaign_versions.get(change.campaign_id, -1):
            return
        runner = None if change.campaign is None else self.compile(change.campaign)
        self.campaign_versions[change.campaign_id] = change.version
        for runners in self.runners.values():
            runners.pop(change.campaign_id, None)
        if runner is not None:
            self.runners[runner.campaign.vertical][change.campaign_id] = runner

    def compile(self, campaign: Campaign) -> Runner:
        """Compile a campaign against its vertical. Raises FilterError, KeyError if unknown."""
        vertical = self.verticals[campaign.vertical]
        return Runner(
            campaign,
            compile_filter(campaign.filter, vertical),
            tuple(
                PricedModifier(
                    compile_filter(modifier.when, vertical, f"bid.modifiers[{i}].when"),
                    modifier.add_cents,
                    modifier.multiply_bp,
                )
                for i, modifier in enumerate(campaign.bid.modifiers)
            ),
        )

    def move_to(self, today: date) -> None:
        """Move every window to a new day (at midnight); nothing happens on the same day."""
        if today == self.today:
            return
        self.today = today
        first = window_start(today, self.policy)
        for company_id, company in self.companies.items():
            company.forget_before(first)
            self.standings[company_id] = weigh(company.window, today, self.policy)

    def campaign(self, campaign_id: CampaignId) -> Campaign | None:
        """The campaign of that id, whatever its vertical."""
        for runners in self.runners.values():
            if runner := runners.get(campaign_id):
                return runner.campaign
        return None
