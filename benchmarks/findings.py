"""What a run of the bench found: one Struct, written as JSON and read by the page and the judge."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from benchmarks.load import Posted
from benchmarks.pauses import Pauses
from benchmarks.returns import Returns
from exchange.bench.latency import Latency
from exchange.bench.measured import Measured

UNDISTURBED: Final = 0.85
"""The least share of its core a floor has on a machine that does nothing else."""


class Plan(Struct, frozen=True, kw_only=True):
    """How long and how often is measured.

    ``connections`` are as many as keep a server busy while some of them wait for its stores.
    """

    name: str
    sizes: tuple[int, ...]
    rounds: int
    seconds: float
    warmup_s: float
    connections: int = 128
    post_rounds: int
    post_seconds: float
    post_leads: int
    post_connections: int = 32
    open_rounds: int
    open_seconds: float
    open_connections: int = 512
    overload_seconds: float
    overload_connections: int = 2_000
    returns: int


class Machine(Struct, frozen=True, kw_only=True):
    """What it was measured on, as far as it matters; ``pauses`` are the machine's own."""

    python: str
    system: str
    cores: int
    apart: bool
    load_before: float
    load_after: float
    pauses: tuple[Pauses, ...] = ()


class Rounds(Struct, frozen=True, kw_only=True):
    """A closed loop at one server: each round, and the server's CPU per answer in each.

    ``core_shares`` is how much of its core the server had in each. A closed loop keeps a server
    busy: what is missing to 1 it spent waiting for its stores, or other programs took.
    """

    name: str
    measured: tuple[Measured, ...]
    cpu_us: tuple[float, ...]
    core_shares: tuple[float, ...] = ()
    stages_us: dict[str, float] = {}
    resident_mb: float = 0.0

    @property
    def rate(self) -> float:
        """The median rate of good answers, per second."""
        return median([m.ok_rate for m in self.measured])

    @property
    def core_share(self) -> float:
        """The median share of its core."""
        return median(self.core_shares)

    @property
    def cpu(self) -> float:
        """The median CPU per answer, in microseconds."""
        return median(self.cpu_us)


class OpenRounds(Struct, frozen=True, kw_only=True):
    """An open loop at a share of the rate measured before."""

    name: str
    share: float
    measured: tuple[Measured, ...]

    @property
    def latency(self) -> Latency:
        """The medians of the rounds' percentiles."""
        return median_latency([m.latency for m in self.measured])


class Posts(Struct, frozen=True, kw_only=True):
    """Posts beside the floor that inserts one row."""

    posted: tuple[Posted, ...]
    floor: tuple[Posted, ...]
    cpu_us: tuple[float, ...]

    @property
    def rate(self) -> float:
        """The median rate of posts answered with sold, per second."""
        return median([p.measured.ok_rate for p in self.posted])

    @property
    def floor_rate(self) -> float:
        """The median rate of the floor."""
        return median([p.measured.ok_rate for p in self.floor])


class Overload(Struct, frozen=True, kw_only=True):
    """Twice the possible load, and what the worker could do right after."""

    measured: Measured
    alive: bool
    rate_after: float


class Findings(Struct, frozen=True, kw_only=True):
    """Everything of one run; what was not measured is None."""

    at: str
    seconds: float
    plan: Plan
    machine: Machine
    echo: Rounds
    pings: dict[str, Rounds]
    open: tuple[OpenRounds, ...] = ()
    overload: Overload | None = None
    posts: Posts | None = None
    returns: Returns | None = None
    books_clean: bool | None = None
    books_said: str = ""

    @property
    def disturbance(self) -> str:
        """What to say of a run whose floor was slowed by other programs; empty if it was not."""
        share = self.echo.core_share
        if not self.echo.core_shares or share >= UNDISTURBED:
            return ""
        return f"disturbed: the echo had {share:.0%} of its core"


class Verdict(Struct, frozen=True, kw_only=True):
    """One requirement: what was asked, what was found, whether it holds (None: not measured)."""

    asked: str
    found: str
    holds: bool | None


def median(values: Sequence[float]) -> float:
    """The median; 0 of nothing."""
    return statistics.median(values) if values else 0.0


def median_latency(found: Sequence[Latency]) -> Latency:
    """The median of each percentile."""
    return Latency(
        count=sum(one.count for one in found),
        mean_us=median([one.mean_us for one in found]),
        p50_us=median([one.p50_us for one in found]),
        p90_us=median([one.p90_us for one in found]),
        p99_us=median([one.p99_us for one in found]),
        p999_us=median([one.p999_us for one in found]),
        max_us=max((one.max_us for one in found), default=0.0),
    )
