"""What is counted, and how it is told to Prometheus. Labels are bounded: never an id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from exchange.core.reasons import Reason
from exchange.flow.ports import Receipt
from exchange.web.tallies import Figures, Tally, Timing

_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_STAGE_SECONDS: Final = (0.00005, 0.0002, 0.001, 0.005, 0.02, 0.1, 0.5)
SAMPLED: Final = 8
"""Of so many pings one has its stages timed: timing all would cost more than some stages do."""

_DID_NOT_BID: Final = frozenset(r.code for r in Reason if r.category == "no_bid")


class Metrics(Collector):
    """Every metric of one worker. ``figures`` gives gauges others keep: name to help and value."""

    content_type: Final = CONTENT_TYPE_LATEST

    def __init__(
        self, figures: Callable[[], Mapping[str, tuple[str, float]]] | None = None
    ) -> None:
        self._pings = Tally("exchange_pings", "Pings", "outcome", "vertical")
        self._bids = Tally("exchange_bids", "Campaigns by outcome", "outcome")
        self._posts = Tally("exchange_posts", "Posts", "status")
        self._rejections = Tally("exchange_rejections", "Accepted rejections", "category")
        self._requests = Tally("exchange_http_requests", "Requests answered", "route", "status")
        self._incidents = Tally("exchange_http_incidents", "Unexpected failures", "route")
        self._broken = Tally("exchange_http_broken", "Connections that broke outside a call")
        self._stages = Timing(
            "exchange_stage_seconds",
            "Time of each stage of a call",
            _STAGE_SECONDS,
            "call",
            "stage",
        )
        self._request_seconds = Timing(
            "exchange_http_request_seconds", "Time to answer a request", _SECONDS, "route"
        )
        self._figures = None if figures is None else Figures(figures)
        self.in_flight = 0
        self._sampled = 0
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Everything there is to tell, for the registry."""
        for kept in (
            self._pings,
            self._bids,
            self._posts,
            self._rejections,
            self._stages,
            self._requests,
            self._request_seconds,
            self._incidents,
            self._broken,
        ):
            yield kept.collect()
        yield GaugeMetricFamily(
            "exchange_http_in_flight", "Requests being answered", value=self.in_flight
        )
        if self._figures is not None:
            yield from self._figures.collect()

    def samples(self) -> bool:
        """Whether this ping's stages are to be timed: one of `SAMPLED`, the first of them."""
        self._sampled = (self._sampled + 1) % SAMPLED
        return self._sampled == 1

    def time_stage(self, stage: str, seconds: float) -> None:
        """Record how long one stage of a ping took."""
        self._stages.observe(seconds, "ping", stage)

    def count_pings(self, receipts: Iterable[Receipt]) -> None:
        """Count decided pings, and what their campaigns did."""
        decided: dict[tuple[str, str], int] = {}
        no_bids = lost = won = 0
        for receipt in receipts:
            outcome = (receipt.status, receipt.vertical)
            decided[outcome] = decided.get(outcome, 0) + 1
            won += len(receipt.legs_cents)
            for code, count in receipt.reasons.items():
                if code in _DID_NOT_BID:
                    no_bids += count
                else:
                    lost += count
        for (status, vertical), count in decided.items():
            self._pings.add(status, vertical, count=count)
        self._bids.add("no_bid", count=no_bids)
        self._bids.add("lost", count=lost)
        self._bids.add("won", count=won)

    def time_stages(self, receipt: Receipt) -> None:
        """Record how long each stage of a ping took, as its receipt says."""
        for stage, took_us in receipt.timings_us.items():
            self.time_stage(stage, took_us / 1_000_000)

    def count_post(self, status: str) -> None:
        """Count a post by its status: sold, unsold, refused, expired."""
        self._posts.add(status)

    def count_rejection(self, category: str) -> None:
        """Count an accepted rejection by its category."""
        self._rejections.add(category)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request by its route's template."""
        self._requests.add(route, str(status))
        self._request_seconds.observe(seconds, route)

    def count_incident(self, route: str) -> None:
        """Count an unexpected failure."""
        self._incidents.add(route)

    def count_broken(self) -> None:
        """Count a connection that broke outside a call."""
        self._broken.add()

    def write(self) -> bytes:
        """Write all metrics in Prometheus' text format."""
        return generate_latest(self._registry)
