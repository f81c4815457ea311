"""What connection tests look like on the wire."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal

from msgspec import Struct

from exchange.web.wire import Answer, Body


class ConnectionTestsBody(Body, frozen=True, kw_only=True):
    """Whether a campaign's systems are tested unasked, as often as the exchange does."""

    enabled: bool


class ConnectionResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one test came to; ``took_ms`` has connecting in it.

    ``result`` is what the answer was taken for: a lead accepted, refused, failed or unclear, a bid
    or none. A refusal shows a system that works. ``reason`` is what a real lead would have been
    counted by; ``detail`` says why nothing was sent, or what went wrong.
    """

    target: str
    kind: str
    status: Literal["passed", "failed", "skipped"]
    at: datetime
    took_ms: int | None = None
    result: str | None = None
    reason: str | None = None
    detail: str | None = None


class UptimeAnswer(Struct, frozen=True, kw_only=True):
    """Tests of a span of time; ``uptime_pct`` is the part that passed, null without a test.

    Times are of the tests that passed, in milliseconds.
    """

    tests: int
    passed: int
    uptime_pct: Decimal | None
    p50_ms: int | None
    p95_ms: int | None
    p99_ms: int | None


class ConnectionAnswer(Struct, frozen=True, kw_only=True):
    """One target of a campaign: ``bidder``, or ``delivery[0]`` and so on.

    ``failures`` and ``successes`` are in a row; ``last`` are the last results, the newest first.
    """

    target: str
    kind: str
    tested: bool
    failures: int
    successes: int
    last_24_h: UptimeAnswer
    last_30_d: UptimeAnswer
    last: tuple[ConnectionResult, ...]


class ConnectionList(Answer, frozen=True, kw_only=True):
    """A campaign's targets; tested every ``every_s`` seconds if ``enabled``, 0 is on request."""

    campaign_id: str
    enabled: bool
    every_s: int
    connections: tuple[ConnectionAnswer, ...]


class ConnectionTestAnswer(Answer, frozen=True, kw_only=True):
    """What tests on request came to, one result for each target."""

    campaign_id: str
    results: tuple[ConnectionResult, ...]
