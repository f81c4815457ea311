"""Connection tests: where a campaign's leads and pings go, and what its tests add up to.

Pure: knows neither requests nor stores. Source: rules §8 (what monitoring sees), §12.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

from msgspec import Struct

from exchange.core.model import Campaign

BIDDER: Final = "bidder"
"""The target that is a campaign's own bidder."""

Untested = Literal["inbox", "stream"]


class Place(Struct, frozen=True, kw_only=True):
    """Where something goes: ``target`` is ``bidder`` or ``delivery[0]`` and so on.

    ``untested`` says of what kind it is where there is nothing to test: an inbox is here, and a
    bid stream tests itself as long as it is up.
    """

    target: str
    kind: str
    untested: Untested | None = None


def places_of(campaign: Campaign) -> list[Place]:
    """Every place of a campaign, its bidder first."""
    places = []
    if (remote := campaign.bid.remote) is not None:
        untested: Untested | None = "stream" if remote.stream else None
        places.append(Place(target=BIDDER, kind=BIDDER, untested=untested))
    for i, target in enumerate(campaign.delivery):
        inbox: Untested | None = "inbox" if target.kind == "inbox" else None
        places.append(Place(target=f"delivery[{i}]", kind=target.kind, untested=inbox))
    return places


class Hour(Struct, frozen=True, kw_only=True):
    """The tests of one target that began within an hour; times of those that passed, in ms."""

    hour: datetime
    tests: int
    passed: int
    took_ms: Sequence[int] = ()


class Uptime(Struct, frozen=True, kw_only=True):
    """Tests of a span of time; the ratio is ``passed`` over ``tests``. No test, no times."""

    tests: int
    passed: int
    p50_ms: int | None
    p95_ms: int | None
    p99_ms: int | None


def uptime(hours: Iterable[Hour], now: datetime, span: timedelta) -> Uptime:
    """Add up the hours that lie in the span before ``now``, the one it began in left out."""
    within = [hour for hour in hours if now - span < hour.hour <= now]
    times = sorted(ms for hour in within for ms in hour.took_ms)
    return Uptime(
        tests=sum(hour.tests for hour in within),
        passed=sum(hour.passed for hour in within),
        p50_ms=_percentile(times, 50),
        p95_ms=_percentile(times, 95),
        p99_ms=_percentile(times, 99),
    )


def _percentile(ordered: Sequence[int], percent: int) -> int | None:
    """The least value that so many percent of all are not above (nearest rank)."""
    if not ordered:
        return None
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
