"""What comes too often is counted over a sliding window, in bounded memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from exchange.core.quality.velocity import MOST_VALUES, Pace, Variety


@given(st.lists(st.integers(0, 300), max_size=80).map(sorted))
def test_a_pace_is_never_less_than_this_window_and_never_more_than_two(times: list[int]) -> None:
    pace = Pace(60)
    for i, at in enumerate(times):
        came = pace.count(1, at)
        past = times[: i + 1]
        assert sum(then // 60 == at // 60 for then in past) <= came
        assert came <= sum(then > at - 120 for then in past)


def test_a_pace_within_one_window_is_exact() -> None:
    pace = Pace(60)
    assert [pace.count(1, at) for at in (0, 10, 59)] == [1, 2, 3]
    assert pace.count(2, 59) == 1


def test_the_window_before_counts_by_what_is_left_of_it() -> None:
    pace = Pace(60)
    for _ in range(10):
        pace.count(1, 59)
    assert pace.count(1, 60 + 30, add=False) == 1 + 5
    assert pace.count(1, 120, add=False) == 1


def test_what_is_only_looked_at_is_not_counted() -> None:
    pace, variety = Pace(60), Variety(60)
    assert [pace.count(1, 0, add=False) for _ in range(3)] == [1, 1, 1]
    assert [variety.count(1, value, 0, add=False) for value in range(3)] == [1, 1, 1]
    assert (len(pace), len(variety)) == (0, 0)


def test_different_values_are_counted_once_each_and_forgotten_with_time() -> None:
    variety = Variety(60)
    assert [variety.count(1, value, 0) for value in (7, 7, 8, 7)] == [1, 1, 2, 2]
    assert variety.count(1, 9, 59) == 3
    assert variety.count(1, 9, 60) == 1


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 500)), max_size=300))
def test_memory_is_bounded(things: list[tuple[int, int]]) -> None:
    pace, variety = Pace(60, most=10), Variety(60, most=10)
    for key, value in things:
        assert pace.count(key, 0) >= 1
        assert 1 <= variety.count(key, value, 0) <= MOST_VALUES + 1
        assert len(pace) <= 10 and len(variety) <= 10
