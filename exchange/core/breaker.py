"""How often a company's bidder may be asked: less the more it fails, and never above its limit.

Pure: time and the random draw are passed in. Knows neither what a failure was nor how bidders are
reached. Source: rules §7 (a failing bidder costs only its own bid).
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

FLOOR: Final = 0.02
"""The least probability of being asked: a trickle of probes, by which recovery is noticed."""

PROBE_S: Final = 5.0
"""Longest rest between two probes, where a floor of few pings would be too few."""

WELL: Final = 0.99
"""The probability from which a bidder counts as well."""

# Together they let a bidder that fails one in three be asked still, and one in two hardly ever:
# x of failures is in balance where 0.8^x · 1.15^(1-x) = 1, at 39 %.
_LOWERED_BY: Final = 0.8
_RAISED_BY: Final = 1.15

BreakerState = Literal["well", "faltering", "resting"]


class Breaker(Struct, kw_only=True):
    """A bidder's probability of being asked, from `FLOOR` to 1.

    ``admitted_at`` is when it was last let through, in seconds of any steady clock.
    """

    probability: float = 1.0
    admitted_at: float = float("-inf")

    def admits(self, now: float, draw: float) -> bool:
        """Decide whether it is asked now; ``draw`` is uniform, from 0 up to and without 1."""
        if draw < self.probability or now - self.admitted_at >= PROBE_S:
            self.admitted_at = now
            return True
        return False

    def answered(self) -> None:
        """Note an answer in time, whatever it said."""
        if self.probability < 1.0:
            self.probability = min(1.0, self.probability * _RAISED_BY)

    def failed(self) -> None:
        """Note an answer that was late, broken or never came."""
        self.probability = max(FLOOR, self.probability * _LOWERED_BY)

    @property
    def state(self) -> BreakerState:
        """What a person is told."""
        if self.probability >= WELL:
            return "well"
        return "resting" if self.probability <= FLOOR else "faltering"


class TokenBucket(Struct, kw_only=True):
    """A limit of ``per_s`` a second, with room for the burst of one second.

    ``tokens`` are what is left at ``filled_at``, in seconds of any steady clock.
    """

    per_s: int
    tokens: float
    filled_at: float

    def take(self, now: float) -> bool:
        """Take one token, if there is one; a clock that steps back gives none."""
        gained = max(0.0, now - self.filled_at) * self.per_s
        self.tokens = min(float(self.per_s), self.tokens + gained)
        self.filled_at = max(self.filled_at, now)
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


def full_bucket(per_s: int, now: float) -> TokenBucket:
    """Make a bucket that is full now; ``per_s`` is at least 1."""
    return TokenBucket(per_s=per_s, tokens=float(per_s), filled_at=now)
