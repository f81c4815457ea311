"""Schedules and cap periods in the campaign's own timezone (rules: §3.2)."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.hours import Days, is_open, period_bounds
from exchange.core.model import OpenHours, Period, Schedule

LOS_ANGELES = "America/Los_Angeles"
PERIODS: list[Period] = ["hour", "day", "week", "month"]
ZONES = [
    "UTC",
    LOS_ANGELES,
    "America/New_York",
    "America/Phoenix",
    "America/St_Johns",
    "America/Havana",
    "America/Santiago",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Pacific/Chatham",
    "Australia/Adelaide",
]
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)


def local(text: str, zone: str = LOS_ANGELES, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


def hours(days: tuple[int, ...], opens: str, closes: str) -> OpenHours:
    (h1, m1), (h2, m2) = (map(int, text.split(":")) for text in (opens, closes))
    return OpenHours(days=days, from_minute=60 * h1 + m1, to_minute=60 * h2 + m2)


WORKING = Schedule(timezone=LOS_ANGELES, windows=(hours((0, 1, 2, 3, 4), "09:00", "18:00"),))
NIGHT = Schedule(timezone=LOS_ANGELES, windows=(hours((4,), "22:00", "02:00"),))  # Friday night


@given(MOMENTS, st.sampled_from(ZONES))
def test_no_schedule_means_always(now: datetime, zone: str) -> None:
    assert is_open(Schedule(timezone=zone), now)


@pytest.mark.parametrize(
    ("moment", "opened"),
    [
        pytest.param("2026-11-20T09:00", True, id="the first minute"),
        pytest.param("2026-11-20T08:59:59", False, id="a second before"),
        pytest.param("2026-11-20T17:59:59", True, id="the last second"),
        pytest.param("2026-11-20T18:00", False, id="the end is outside"),
        pytest.param("2026-11-21T12:00", False, id="a Saturday"),
    ],
)
def test_a_schedule_is_read_in_the_campaigns_timezone(moment: str, opened: bool) -> None:
    assert is_open(WORKING, local(moment)) is opened


@pytest.mark.parametrize(
    ("moment", "opened"),
    [
        pytest.param("2026-11-20T21:59", False, id="before"),
        pytest.param("2026-11-20T22:00", True, id="Friday evening"),
        pytest.param("2026-11-21T00:00", True, id="midnight"),
        pytest.param("2026-11-21T01:59", True, id="Saturday morning"),
        pytest.param("2026-11-21T02:00", False, id="the end"),
        pytest.param("2026-11-21T22:30", False, id="Saturday evening"),
        pytest.param("2026-11-20T01:00", False, id="Friday morning belongs to Thursday"),
    ],
)
def test_a_window_past_midnight_belongs_to_the_day_it_began(moment: str, opened: bool) -> None:
    assert is_open(NIGHT, local(moment)) is opened


def test_a_window_past_midnight_on_sunday_runs_into_monday() -> None:
    sunday = Schedule(timezone=LOS_ANGELES, windows=(hours((6,), "22:00", "02:00"),))
    assert is_open(sunday, local("2026-11-23T01:00"))


def test_a_window_that_ends_where_it_began_is_open_round_the_clock() -> None:
    friday = Schedule(timezone=LOS_ANGELES, windows=(hours((4,), "09:00", "09:00"),))
    assert is_open(friday, local("2026-11-21T08:59"))
    assert not is_open(friday, local("2026-11-21T09:00"))


def test_a_window_to_24_00_ends_at_midnight() -> None:
    friday = Schedule(timezone=LOS_ANGELES, windows=(hours((4,), "00:00", "24:00"),))
    assert is_open(friday, local("2026-11-20T23:59"))
    assert not is_open(friday, local("2026-11-21T00:00"))


EARLY = Schedule(timezone=LOS_ANGELES, windows=(hours((6,), "01:00", "03:00"),))


def test_on_the_day_clocks_go_forward_a_window_is_an_hour_shorter() -> None:
    first = local("2026-03-08T01:00")  # 02:00 does not exist
    assert [is_open(EARLY, first + timedelta(minutes=m)) for m in (0, 59, 60)] == [
        True,
        True,
        False,
    ]


def test_on_the_day_clocks_go_back_a_window_is_an_hour_longer() -> None:
    first = local("2026-11-01T01:00")  # 01:00 comes twice
    assert [is_open(EARLY, first + timedelta(minutes=m)) for m in (0, 119, 179, 180)] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("period", "zone", "moment", "start", "end"),
    [
        pytest.param(
            "hour", "UTC", "2026-11-20T10:59:59", "2026-11-20T10:00", "2026-11-20T11:00", id="hour"
        ),
        pytest.param(
            "hour",
            "Asia/Kathmandu",
            "2026-11-20T10:59",
            "2026-11-20T10:00",
            "2026-11-20T11:00",
            id="an hour 5 h 45 min east",
        ),
        pytest.param(
            "day",
            "Asia/Kathmandu",
            "2026-11-20T00:10",
            "2026-11-20T00:00",
            "2026-11-21T00:00",
            id="a day 5 h 45 min east",
        ),
        pytest.param(
            "week", LOS_ANGELES, "2026-11-22T23:59", "2026-11-16", "2026-11-23", id="from Monday"
        ),
        pytest.param("month", LOS_ANGELES, "2026-12-31T23:59", "2026-12-01", "2027-01-01", id="m"),
        pytest.param(
            "day", LOS_ANGELES, "2026-03-08T12:00", "2026-03-08", "2026-03-09", id="23 hours"
        ),
        pytest.param(
            "day", LOS_ANGELES, "2026-11-01T12:00", "2026-11-01", "2026-11-02", id="25 hours"
        ),
    ],
)
def test_a_period_begins_and_ends_on_the_local_clock(
    period: Period, zone: str, moment: str, start: str, end: str
) -> None:
    bounds = period_bounds(period, zone, local(moment, zone))
    assert bounds == (local(start, zone), local(end, zone))


def test_the_hour_that_comes_twice_is_two_periods() -> None:
    first = period_bounds("hour", LOS_ANGELES, local("2026-11-01T01:30"))
    again = period_bounds("hour", LOS_ANGELES, local("2026-11-01T01:30", fold=1))
    assert first[1] == again[0]


@given(st.sampled_from(PERIODS), st.sampled_from(ZONES), MOMENTS)
def test_a_moment_lies_in_its_period(period: Period, zone: str, now: datetime) -> None:
    start, end = period_bounds(period, zone, now)
    assert start <= now < end


@given(st.sampled_from(PERIODS), st.sampled_from(ZONES), MOMENTS)
def test_periods_follow_each_other_without_gap_or_overlap(
    period: Period, zone: str, now: datetime
) -> None:
    start, end = period_bounds(period, zone, now)
    tick = timedelta(microseconds=1)
    assert period_bounds(period, zone, start) == (start, end)
    assert period_bounds(period, zone, end - tick) == (start, end)
    assert period_bounds(period, zone, end)[0] == end
    assert period_bounds(period, zone, start - tick)[1] == start


@given(st.lists(MOMENTS, max_size=6), st.sampled_from(ZONES))
def test_a_day_remembered_is_the_day_it_is(moments: list[datetime], name: str) -> None:
    zone = ZoneInfo(name)
    days = Days(zone)
    for at in moments:
        for near in (at, at + timedelta(minutes=7), at + timedelta(minutes=15)):
            assert days(near) == near.astimezone(zone).date()
