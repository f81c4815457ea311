"""How long a slow bidder takes: drawn from a distribution, and always the same for a ping.

Pure: the draw is a number in [0, 1) that is passed in, and goes through the distribution's
inverse.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Annotated, Final, Literal

import msgspec

MAX_DELAY_MS: Final = 60_000.0  # longer than anybody waits
_SMALLEST: Final = 1e-12  # where an inverse would be infinite

_Milliseconds = Annotated[float, msgspec.Meta(gt=0, le=MAX_DELAY_MS)]


class Delay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A distribution of delays with this median.

    ``spread`` makes it wider, 0 being always the median: of ``lognormal`` it is the standard
    deviation of the logarithm, of ``pareto`` the inverse of its exponent (from 0.5 its variance
    is infinite), and of ``uniform`` the part of the median it reaches to either side, at most 1.
    ``exponential`` has none.
    """

    distribution: Literal["lognormal", "exponential", "pareto", "uniform"] = "lognormal"
    median_ms: _Milliseconds = 200.0
    spread: Annotated[float, msgspec.Meta(ge=0, le=5)] = 0.5

    def __post_init__(self) -> None:
        if self.distribution == "uniform" and self.spread > 1:
            raise ValueError("the `spread` of a uniform distribution must be at most 1")


def delay_ms(delay: Delay, draw: float) -> float:
    """Give the delay whose share of all delays below it is ``draw``, in [0, 1)."""
    draw = min(max(draw, _SMALLEST), 1 - _SMALLEST)
    if delay.distribution == "lognormal":
        times = math.exp(delay.spread * NormalDist().inv_cdf(draw))
    elif delay.distribution == "exponential":
        times = -math.log1p(-draw) / math.log(2)
    elif delay.distribution == "pareto":
        times = math.exp(delay.spread * (-math.log1p(-draw) - math.log(2)))
    else:
        times = 1 + delay.spread * (2 * draw - 1)
    return min(delay.median_ms * times, MAX_DELAY_MS)
