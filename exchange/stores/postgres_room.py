"""What both ways of holding a company's room say and hear: caps as columns, changes by company."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from exchange.core.changes import CompanyChange
from exchange.core.hours import period_bounds
from exchange.core.model import Campaign, CompanyId

decode_change: Final = msgspec.json.Decoder(CompanyChange).decode


class CapColumns(Struct, frozen=True):
    """Caps of several asks, a column a part; ``whose`` counts the asks from 1."""

    whose: list[int]
    periods: list[str]
    starts: list[datetime]
    ends: list[datetime]
    leads: list[int | None]
    spend: list[int | None]


def caps_of(asked: Sequence[tuple[Campaign, datetime]]) -> CapColumns:
    """The caps of campaigns, each in the period its moment lies in."""
    columns = CapColumns([], [], [], [], [], [])
    for nth, (campaign, now) in enumerate(asked, 1):
        for cap in campaign.caps:
            start, end = period_bounds(cap.period, campaign.schedule.timezone, now)
            columns.whose.append(nth)
            columns.periods.append(cap.period)
            columns.starts.append(start)
            columns.ends.append(end)
            columns.leads.append(cap.leads)
            columns.spend.append(cap.spend_cents)
    return columns


def read_changes(texts: Sequence[str] | None) -> dict[CompanyId, CompanyChange]:
    """The changes of one transaction by their company."""
    changes = map(decode_change, texts or ())
    return {change.company_id: change for change in changes}
