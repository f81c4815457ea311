"""A company's standing at the end of each day of a span, recomputed from its buckets.

A rejection is booked on the day its lead was assigned, so a past day is shown with all that is
known today of the leads assigned up to it: exact, and the same whoever asks. Source: rules §4, §12.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from msgspec import Struct

from exchange.core.changes import BucketChange
from exchange.core.model import CompanyId, Policy
from exchange.core.standing import Bucket, Standing, Window, weigh, window_start

MOST_DAYS: Final = 366
"""Days of one history at most: a leap year."""


class PastDay(Struct, frozen=True, kw_only=True):
    """What one day's leads came to, in cents, and the standing at its end, with its window."""

    standing: Standing
    window: Window
    bought: Bucket


class Past(Struct, frozen=True, kw_only=True):
    """What a company's history is made of.

    ``buckets`` are all since the window of the first day asked for; ``earlier`` what was assigned
    before them, in cents, by era; ``resets`` when each CRM reset was approved, oldest first.
    """

    company_id: CompanyId
    buckets: Sequence[BucketChange]
    earlier: dict[int, int] = {}
    resets: Sequence[datetime] = ()


def look_back(
    past: Past, first: date, last: date, policy: Policy, end_of: Callable[[date], datetime]
) -> Iterator[PastDay]:
    """The standing at the end of each day from ``first`` to ``last``, both inclusive.

    ``end_of`` says when a day of the market ends. A day belongs to the era of its end.
    """
    by_day: dict[date, list[BucketChange]] = {}
    for row in past.buckets:
        by_day.setdefault(row.day, []).append(row)
    assigned = dict(past.earlier)
    for day in sorted(by_day):
        if day < first:
            _add(assigned, by_day[day])
    day = first
    while day <= last:
        todays = by_day.get(day, [])
        _add(assigned, todays)
        era = bisect_right(past.resets, end_of(day) - timedelta(microseconds=1))
        window = Window(
            company_id=past.company_id,
            era=era,
            era_assigned=assigned.get(era, 0),
            reset_at=past.resets[era - 1] if era else None,
            buckets=_window(by_day, window_start(day, policy), day),
        )
        yield PastDay(
            standing=weigh(window, day, policy),
            window=window,
            bought=Bucket(
                assigned=sum(row.assigned for row in todays),
                manual=sum(row.manual for row in todays),
                crm=sum(row.crm for row in todays),
            ),
        )
        day += timedelta(days=1)


def _add(assigned: dict[int, int], rows: Sequence[BucketChange]) -> None:
    for row in rows:
        assigned[row.era] = assigned.get(row.era, 0) + row.assigned


def _window(
    by_day: dict[date, list[BucketChange]], first: date, last: date
) -> dict[tuple[date, int], Bucket]:
    days = (first + timedelta(days=ahead) for ahead in range((last - first).days + 1))
    return {
        (day, row.era): Bucket(assigned=row.assigned, manual=row.manual, crm=row.crm)
        for day in days
        for row in by_day.get(day, ())
    }
