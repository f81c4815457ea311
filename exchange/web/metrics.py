"""What is counted, and how it is told to Prometheus. Labels are bounded: never an id."""

from __future__ import annotations

from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from exchange.core.reasons import Reason
from exchange.flow.ports import Receipt

C = TypeVar("C", Counter, Histogram)

_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_STAGE_SECONDS: Final = (0.00005, 0.0002, 0.001, 0.005, 0.02, 0.1, 0.5)
_DID_NOT_BID: Final = frozenset(r.code for r in Reason if r.category == "no_bid")


class Metrics:
    """Every metric of one worker, in a registry of its own.

    A label's child is looked up once and kept: prometheus-client's own look-up takes a lock.
    """

    content_type: Final = CONTENT_TYPE_LATEST

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        r = self.registry
        self._pings = Counter("exchange_pings", "Pings", ("outcome", "vertical"), registry=r)
        self._bids = Counter("exchange_bids", "Campaigns by outcome", ("outcome",), registry=r)
        self._posts = Counter("exchange_posts", "Posts", ("status",), registry=r)
        self._rejections = Counter(
            "exchange_rejections", "Accepted rejections", ("category",), registry=r
        )
        self._stages = Histogram(
            "exchange_stage_seconds",
            "Time of each stage of a call",
            ("call", "stage"),
            registry=r,
            buckets=_STAGE_SECONDS,
        )
        self._requests = Counter(
            "exchange_http_requests", "Requests answered", ("route", "status"), registry=r
        )
        self._request_seconds = Histogram(
            "exchange_http_request_seconds",
            "Time to answer a request",
            ("route",),
            registry=r,
            buckets=_SECONDS,
        )
        self._incidents = Counter(
            "exchange_http_incidents", "Unexpected failures", ("route",), registry=r
        )
        self._broken = Counter(
            "exchange_http_broken", "Connections that broke outside a call", registry=r
        )
        self.in_flight = Gauge("exchange_http_in_flight", "Requests being answered", registry=r)
        self._children: dict[tuple[object, ...], Counter | Histogram] = {}

    def count_ping(self, receipt: Receipt) -> None:
        """Count a decided ping, what its campaigns did, and how long each stage took."""
        self._child(self._pings, receipt.status, receipt.vertical).inc()
        for code, count in receipt.reasons.items():
            outcome = "no_bid" if code in _DID_NOT_BID else "lost"
            self._child(self._bids, outcome).inc(count)
        if receipt.legs_cents:
            self._child(self._bids, "won").inc(len(receipt.legs_cents))
        for stage, took_us in receipt.timings_us.items():
            self._child(self._stages, "ping", stage).observe(took_us / 1_000_000)

    def count_post(self, status: str) -> None:
        """Count a post by its status: sold, unsold, refused, expired."""
        self._child(self._posts, status).inc()

    def count_rejection(self, category: str) -> None:
        """Count an accepted rejection by its category."""
        self._child(self._rejections, category).inc()

    def observe_stage(self, call: str, stage: str, seconds: float) -> None:
        """Record how long a stage of a call other than a ping took."""
        self._child(self._stages, call, stage).observe(seconds)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request by its route's template."""
        self._child(self._requests, route, status).inc()
        self._child(self._request_seconds, route).observe(seconds)

    def count_incident(self, route: str) -> None:
        """Count an unexpected failure."""
        self._child(self._incidents, route).inc()

    def count_broken(self) -> None:
        """Count a connection that broke outside a call."""
        self._broken.inc()

    def write(self) -> bytes:
        """Write all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _child(self, metric: C, *labels: object) -> C:
        key = (metric, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child  # type: ignore[return-value]
