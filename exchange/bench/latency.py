"""Latencies: remembered one by one, told as percentiles. Nanoseconds in, microseconds out."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from msgspec import Struct


class Latency(Struct, frozen=True, kw_only=True):
    """How long answers took, in microseconds; all 0 where there were none."""

    count: int = 0
    mean_us: float = 0.0
    p50_us: float = 0.0
    p90_us: float = 0.0
    p99_us: float = 0.0
    p999_us: float = 0.0
    max_us: float = 0.0


def percentile(ordered: Sequence[int], share: float) -> int:
    """The smallest value that at least ``share`` (0 to 1) of the ordered values do not exceed."""
    rank = -int(-(len(ordered) * share) // 1)
    return ordered[min(max(rank, 1), len(ordered)) - 1]


def sum_up(took_ns: array[int]) -> Latency:
    """Sum up latencies in nanoseconds, in any order."""
    if not took_ns:
        return Latency()
    ordered = sorted(took_ns)
    return Latency(
        count=len(ordered),
        mean_us=round(sum(ordered) / len(ordered) / 1_000, 1),
        p50_us=percentile(ordered, 0.5) / 1_000,
        p90_us=percentile(ordered, 0.9) / 1_000,
        p99_us=percentile(ordered, 0.99) / 1_000,
        p999_us=percentile(ordered, 0.999) / 1_000,
        max_us=ordered[-1] / 1_000,
    )
