"""Percentiles by the nearest rank."""

from __future__ import annotations

from array import array

import pytest

from exchange.bench.latency import Latency, percentile, sum_up


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50), (0.9, 90), (0.99, 99), (0.999, 100), (1.0, 100), (0.0, 1)]
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    share: float, expected: int
) -> None:
    assert percentile(range(1, 101), share) == expected


def test_latencies_are_summed_up_in_microseconds() -> None:
    assert sum_up(array("q", [3_000, 1_000, 2_000])) == Latency(
        count=3, mean_us=2.0, p50_us=2.0, p90_us=3.0, p99_us=3.0, p999_us=3.0, max_us=3.0
    )


def test_no_latencies_are_all_zero() -> None:
    assert sum_up(array("q")) == Latency()
