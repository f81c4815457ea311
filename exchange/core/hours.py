"""Schedules and cap periods in a campaign's own timezone.

Source: rules §3.2; "no schedule" means always open. Must not know prices or stores.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from exchange.core.model import Period, Schedule


def is_open(schedule: Schedule, now: datetime) -> bool:
    """Whether a schedule is open at a moment."""
    if not schedule.windows:
        return True
    local = now.astimezone(ZoneInfo(schedule.timezone))
    minute = local.hour * 60 + local.minute
    today = local.weekday()
    yesterday = (today - 1) % 7
    for window in schedule.windows:
        if window.to_minute > window.from_minute:
            if today in window.days and window.from_minute <= minute < window.to_minute:
                return True
        elif (today in window.days and minute >= window.from_minute) or (
            yesterday in window.days and minute < window.to_minute
        ):
            return True
    return False


def period_bounds(period: Period, timezone: str, now: datetime) -> tuple[datetime, datetime]:
    """The start (inclusive) and end (exclusive) of the period a moment lies in, in UTC.

    Days, weeks (from Monday) and months begin at local midnight, whatever the clocks did that day.
    """
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return _bounds(period, timezone, hour, now.minute // 15)


@lru_cache(maxsize=8192)
def _bounds(
    period: Period, timezone: str, hour: datetime, quarter: int
) -> tuple[datetime, datetime]:
    # Timezones are offset by quarters of an hour at the finest, so a quarter decides.
    zone = ZoneInfo(timezone)
    local = (hour + timedelta(minutes=15 * quarter)).astimezone(zone)
    if period == "hour":
        into = timedelta(minutes=local.minute, seconds=local.second)
        start = local.astimezone(UTC) - into
        return start, start + timedelta(hours=1)
    midnight = datetime(local.year, local.month, local.day, tzinfo=zone)
    if period == "day":
        first, last = midnight, midnight + timedelta(days=1)
    elif period == "week":
        first = midnight - timedelta(days=local.weekday())
        last = first + timedelta(days=7)
    else:
        first = midnight.replace(day=1)
        last = (first + timedelta(days=32)).replace(day=1)
    return first.astimezone(UTC), last.astimezone(UTC)


def end_of_day(day: date, zone: ZoneInfo) -> datetime:
    """When a day of a timezone ends, in UTC: at the next one's midnight."""
    return datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)


class Days:
    """Which day it is in a timezone; remembers the last answer, as most questions are of today."""

    __slots__ = ("_day", "_from", "_to", "_zone")

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._day = date.min
        self._from = self._to = datetime.min.replace(tzinfo=UTC)

    def __call__(self, at: datetime) -> date:
        """The day of an aware time."""
        if not self._from <= at < self._to:
            self._day = at.astimezone(self._zone).date()
            # Days begin on a quarter of an hour, as timezones are offset by quarters at the finest.
            moment = at.astimezone(UTC).replace(second=0, microsecond=0)
            self._from = moment.replace(minute=moment.minute - moment.minute % 15)
            self._to = self._from + timedelta(minutes=15)
        return self._day
