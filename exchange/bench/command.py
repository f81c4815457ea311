"""`exchange bench`: the load of the bench, pointed at an exchange that runs already."""

from __future__ import annotations

from typing import Any, Final

import uvloop
from msgspec import Struct

from exchange.bench.bounds import BenchError, Target, check_bounds, target_of
from exchange.bench.closed import closed_loop
from exchange.bench.connection import Caller, encode_request
from exchange.bench.latency import Latency
from exchange.bench.made_up import ping_bodies
from exchange.bench.measured import Measured
from exchange.bench.open import open_loop

PINGS: Final = 5_000
"""Different pings before they repeat."""

OPEN_CONNECTIONS: Final = 512
"""Connections of an open loop that names none: enough to keep a rate through a slow moment."""

CLOSED_CONNECTIONS: Final = 64
WARMUP_S: Final = 1.0


class Asked(Struct, frozen=True, kw_only=True):
    """What the command line asks for; a rate makes it an open loop."""

    url: str
    seller_key: str
    vertical: str = "solar"
    rate: float | None = None
    connections: int | None = None
    seconds: float = 10.0
    allow_remote: bool = False


def run_load(asked: Asked) -> Measured:
    """Load a running exchange with pings. Raises BenchError."""
    connections = asked.connections or (OPEN_CONNECTIONS if asked.rate else CLOSED_CONNECTIONS)
    check_bounds(seconds=asked.seconds, connections=connections, rate=asked.rate)
    target = target_of(asked.url, allow_remote=asked.allow_remote)
    try:
        return uvloop.run(_load(asked, target, connections))
    except TimeoutError:
        raise BenchError(f"{asked.url} does not answer in time") from None
    except OSError as error:
        raise BenchError(f"{asked.url} cannot be reached: {error}") from None


def rows_of(measured: Measured) -> list[tuple[str, str]]:
    """The result as rows of a table: what, and how much."""
    calm, refused = measured.latency, measured.refused_latency
    statuses = ", ".join(f"{status}: {n:,}" for status, n in measured.statuses.items())
    rows = [
        ("pings a second, answered 200", f"{measured.ok_rate:,.0f}"),
        ("answers by status", statuses or "none"),
        ("latency of 200, ms", _percentiles(calm)),
    ]
    if measured.offered_rate is not None:
        rows.insert(0, ("pings a second, sent", f"{measured.offered_rate:,.0f}"))
        rows.append(("the same, once sent, ms", _percentiles(measured.service_latency)))
    if refused.count:
        rows.append(("latency of others, ms", _percentiles(refused)))
    rows += [
        ("without an answer", f"{measured.unanswered:,}"),
        ("connections lost", f"{measured.broken:,}"),
        ("the load's own CPU, of a core", f"{measured.sender_cpu_share:.0%}"),
    ]
    return rows


async def _load(asked: Asked, target: Target, connections: int) -> Measured:
    vertical = await _vertical(asked, target)
    requests = [
        encode_request("POST", "/v1/ping", body, key=asked.seller_key, host=target.host)
        for body in ping_bodies(vertical, PINGS)
    ]
    if asked.rate is None:
        return await closed_loop(
            target,
            requests,
            connections=connections,
            seconds=asked.seconds,
            warmup_s=WARMUP_S,
        )
    return await open_loop(
        target,
        requests,
        rate=asked.rate,
        connections=connections,
        seconds=asked.seconds,
        warmup_s=WARMUP_S,
    )


async def _vertical(asked: Asked, target: Target) -> dict[str, Any]:
    caller = Caller(target.host, target.port)
    try:
        answer = await caller.ask(
            encode_request("GET", "/v1/verticals", key=asked.seller_key, host=target.host)
        )
    except ConnectionError as error:
        raise BenchError(f"{asked.url} does not tell its verticals: {error}") from None
    finally:
        caller.close()
    verticals: dict[str, dict[str, Any]] = {item["name"]: item for item in answer["items"]}
    if asked.vertical not in verticals:
        raise BenchError(f"there is no vertical {asked.vertical}; there is {', '.join(verticals)}")
    return verticals[asked.vertical]


def _percentiles(latency: Latency) -> str:
    named = (
        ("p50", latency.p50_us),
        ("p99", latency.p99_us),
        ("p99.9", latency.p999_us),
        ("most", latency.max_us),
    )
    return ", ".join(f"{name} {us / 1_000:.2f}" for name, us in named)
