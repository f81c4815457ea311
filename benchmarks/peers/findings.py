"""What a run beside the peers found: one Struct, written as JSON, read by judge and page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from benchmarks.findings import UNDISTURBED, Machine, median, median_latency
from exchange.bench.latency import Latency
from exchange.bench.measured import Measured

LOAD_CORE_FULL: Final = 0.95
"""Share of its core from which the load, and not the contestant, may have been the limit."""

NEARLY_ALL: Final = 0.99
"""The share of right answers below which a contestant misses deadlines by habit."""

OURS: Final = "exchange"
STREAM: Final = "exchange, bid stream"


class PeerPlan(Struct, frozen=True, kw_only=True):
    """How long, how often and with how many bidders is measured.

    ``connections`` are tried for ``trial_s`` each; a contestant's rounds are made with those that
    gave it the highest rate with nearly all answers right. Deadlines in milliseconds, as the pings
    name them.
    """

    name: str
    sizes: tuple[int, ...]
    rounds: int
    seconds: float
    warmup_s: float
    connections: tuple[int, ...] = (8, 64)
    trial_s: float
    timeout_ms: int = 400
    hang_size: int = 10
    hang_rounds: int
    hang_seconds: float
    hang_timeout_ms: int = 200
    hang_connections: int = 1_024


class Round(Struct, frozen=True, kw_only=True):
    """One load at one contestant.

    ``cpu_us`` is the server's CPU for each answer; shares are of one core over the whole round:
    the server's, what other programs had of the server's core, the bidders', and how busy the
    load's core was, whoever had it.
    """

    measured: Measured
    right: int
    wrong: dict[str, int]
    cpu_us: float
    core_share: float
    others_share: float
    bidders_share: float
    load_core_share: float

    @property
    def right_share(self) -> float:
        """The share of all answers that named the right price."""
        answers = self.right + sum(self.wrong.values())
        return self.right / answers if answers else 0.0

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return self.measured.rate * self.right_share

    @property
    def worth(self) -> tuple[bool, float]:
        """What rounds are compared by: first whether nearly all was right, then the rate."""
        return self.right_share >= NEARLY_ALL, self.rate


class Field(Struct, frozen=True, kw_only=True):
    """A contestant with so many bidders: its rounds, and the connections they were made with."""

    name: str
    size: int
    connections: int
    rounds: tuple[Round, ...]
    resident_mb: float

    @property
    def rate(self) -> float:
        """The median rate of right answers, a second."""
        return median([one.rate for one in self.rounds])

    @property
    def latency(self) -> Latency:
        """The medians of the rounds' percentiles."""
        return median_latency([one.measured.latency for one in self.rounds])

    @property
    def cpu_us(self) -> float:
        """The median CPU of the server for one auction, in microseconds."""
        return median([one.cpu_us for one in self.rounds])

    @property
    def core_share(self) -> float:
        """The median share of its core."""
        return median([one.core_share for one in self.rounds])

    @property
    def others_share(self) -> float:
        """The median share of its core that other programs had."""
        return median([one.others_share for one in self.rounds])

    @property
    def load_core_share(self) -> float:
        """The median share of the load's core that was in use."""
        return median([one.load_core_share for one in self.rounds])

    @property
    def right_share(self) -> float:
        """The least share of right answers in any round."""
        return min((one.right_share for one in self.rounds), default=0.0)


class Hanging(Struct, frozen=True, kw_only=True):
    """A contestant at half its rate, its best bidder taking every call and never answering.

    Right is the price of the best of those that do answer: their bids must be kept. Times are
    beyond the deadline, in microseconds; below 0 is before it.
    """

    name: str
    size: int
    timeout_ms: int
    rounds: tuple[Round, ...]

    @property
    def over_p50_us(self) -> float:
        """The median of the rounds' medians."""
        return self._latency.p50_us - self.timeout_ms * 1_000

    @property
    def over_p99_us(self) -> float:
        """The median of the rounds' 99th percentiles."""
        return self._latency.p99_us - self.timeout_ms * 1_000

    @property
    def offered_rate(self) -> float:
        """Pings a second."""
        return median([one.measured.offered_rate or 0.0 for one in self.rounds])

    @property
    def cpu_us(self) -> float:
        """The median CPU of the server for one auction, in microseconds."""
        return median([one.cpu_us for one in self.rounds])

    @property
    def right_share(self) -> float:
        """The median share of right answers: of bids that were kept."""
        return median([one.right_share for one in self.rounds])

    @property
    def others_share(self) -> float:
        """The median share of its core that other programs had."""
        return median([one.others_share for one in self.rounds])

    @property
    def unanswered(self) -> int:
        """Pings without an answer, in all rounds."""
        return sum(one.measured.unanswered + one.measured.broken for one in self.rounds)

    @property
    def wrong(self) -> dict[str, int]:
        """What the other answers said, in all rounds."""
        sums: dict[str, int] = {}
        for one in self.rounds:
            for said, count in one.wrong.items():
                sums[said] = sums.get(said, 0) + count
        return sums

    @property
    def _latency(self) -> Latency:
        return median_latency([one.measured.latency for one in self.rounds])


class PeerFindings(Struct, frozen=True, kw_only=True):
    """Everything of one run. ``out`` says of who did not take part, or not to the end, why."""

    at: str
    seconds: float
    plan: PeerPlan
    machine: Machine
    made_of: dict[str, str]
    fields: tuple[Field, ...]
    hanging: tuple[Hanging, ...]
    out: dict[str, str]

    def field(self, name: str, size: int) -> Field | None:
        """What a contestant did with so many bidders."""
        return next((f for f in self.fields if f.name == name and f.size == size), None)

    def of_size(self, size: int) -> list[Field]:
        """All with so many bidders, the fastest first."""
        found = [field for field in self.fields if field.size == size]
        return sorted(found, key=lambda field: -field.rate)

    def best_peer(self, size: int) -> Field | None:
        """The fastest that is not ours."""
        return next((f for f in self.of_size(size) if not is_ours(f.name)), None)

    @property
    def disturbance(self) -> str:
        """What to say of a run that other programs took cores from; empty if they did not."""
        taken = [(f.others_share, f"{f.name} with {f.size}") for f in self.fields]
        taken += [(one.others_share, f"{one.name} with one hanging") for one in self.hanging]
        share, whose = max(taken, default=(0.0, ""))
        if not self.machine.apart or share <= 1 - UNDISTURBED:
            return ""
        return f"disturbed: other programs had {share:.0%} of the core of {whose}"

    def call_us(self, name: str) -> float | None:
        """CPU of the server for each further outgoing call; None of fewer than two sizes."""
        return slope([(f.size, f.cpu_us) for f in self.fields if f.name == name])


def is_ours(name: str) -> bool:
    """Whether a contestant is the exchange."""
    return name in (OURS, STREAM)


def slope(points: Sequence[tuple[float, float]]) -> float | None:
    """How much y grows with x, by least squares; None of fewer than two different x."""
    if len({x for x, _ in points}) < 2:
        return None
    mid_x = sum(x for x, _ in points) / len(points)
    mid_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mid_x) ** 2 for x, _ in points)
    return sum((x - mid_x) * (y - mid_y) for x, y in points) / spread
