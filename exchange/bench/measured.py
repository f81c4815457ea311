"""What a load came to."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from exchange.bench.latency import Latency


class Measured(Struct, frozen=True, kw_only=True):
    """What a load came to. Rates are per second, within the time measured (after the warm-up).

    ``statuses`` and latencies are of the requests meant for that time, ``answered_in_all`` of the
    warm-up too. ``latency`` is of the answers with status 200, ``refused_latency`` of the others;
    both from the intended time in an open loop, ``service_latency`` from when the request really
    went out. ``unanswered`` are requests without an answer when it was over, ``broken``
    connections that were lost. ``sender_cpu_share`` near 1 means that this process was the limit.
    """

    loop: Literal["closed", "open"]
    seconds: float
    connections: int
    offered_rate: float | None
    answered: int
    answered_in_all: int
    rate: float
    ok_rate: float
    statuses: dict[str, int]
    latency: Latency
    refused_latency: Latency
    service_latency: Latency
    unanswered: int
    broken: int
    sender_cpu_share: float
