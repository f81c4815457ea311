"""What a worker knows of one company, newest part by part. State without I/O."""

from __future__ import annotations

from datetime import date
from typing import Final

from msgspec.structs import replace

from exchange.core.changes import CompanyChange, UsageChange
from exchange.core.model import CampaignId, CompanyId, Period
from exchange.core.standing import Bucket, Window

MOST_MISSED: Final = 1_000
"""Versions noted as missed at most; one is enough to have the company fetched whole."""


class Company:
    """What this worker knows of one company, with the version of each part."""

    __slots__ = (
        "active",
        "available_cents",
        "bucket_versions",
        "missed",
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
        # Every transaction tells of one change: a version passed over is one not heard of yet.
        self.missed: set[int] = set()
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
        self._note_missed(change)
        head = self.window
        if version > self.version:
            self.version = version
            self.active = change.active
            self.available_cents = change.available_cents
            head = replace(
                head, era=change.era, era_assigned=change.era_assigned, reset_at=change.reset_at
            )
        self.window = replace(head, buckets=buckets)

    def _note_missed(self, change: CompanyChange) -> None:
        """Keep which versions were passed over; a whole change makes up for all before it."""
        if change.whole:
            self.missed = {version for version in self.missed if version > change.version}
        else:
            self.missed.discard(change.version)
            since = max(self.version, self.whole_version, change.version - MOST_MISSED) + 1
            self.missed.update(range(since, change.version))

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
