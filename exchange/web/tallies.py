"""Counters and histograms cheap enough for every ping: plain dictionaries, read at a scrape.

One event loop writes them, so that they need no lock; prometheus-client's own take one each time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)


class Tally:
    """Counts by labels."""

    __slots__ = ("_counts", "_help", "_labels", "_name")

    def __init__(self, name: str, help: str, *labels: str) -> None:
        self._name, self._help, self._labels = name, help, labels
        self._counts: dict[tuple[str, ...], int] = {}

    def add(self, *labels: str, count: int = 1) -> None:
        """Count something."""
        self._counts[labels] = self._counts.get(labels, 0) + count

    def collect(self) -> Metric:
        """What was counted so far."""
        family = CounterMetricFamily(self._name, self._help, labels=self._labels)
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        return family


class Timing:
    """How long things took, by labels, in seconds, in buckets."""

    __slots__ = ("_bounds", "_help", "_labels", "_name", "_seen")

    def __init__(self, name: str, help: str, bounds: tuple[float, ...], *labels: str) -> None:
        self._name, self._help, self._labels = name, help, labels
        self._bounds = bounds
        self._seen: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}

    def observe(self, seconds: float, *labels: str) -> None:
        """Record one."""
        seen = self._seen.get(labels)
        if seen is None:
            seen = self._seen[labels] = ([0] * (len(self._bounds) + 1), [0.0])
        seen[0][bisect_left(self._bounds, seconds)] += 1
        seen[1][0] += seconds

    def collect(self) -> Metric:
        """What was recorded so far."""
        family = HistogramMetricFamily(self._name, self._help, labels=self._labels)
        for labels, (counts, total) in self._seen.items():
            so_far = 0
            buckets: list[tuple[str, float]] = []
            for bound, count in zip((*map(str, self._bounds), "+Inf"), counts, strict=True):
                so_far += count
                buckets.append((bound, so_far))
            family.add_metric(labels, buckets=buckets, sum_value=total[0])
        return family


class Figures:
    """Figures others keep, read at a scrape: gauges by name, with their help."""

    def __init__(self, read: Callable[[], Mapping[str, tuple[str, float]]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """The figures as they are now."""
        for name, (help, value) in self._read().items():
            yield GaugeMetricFamily(name, help, value=value)
