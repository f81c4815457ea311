"""How often the machine itself stops its cores: no server on it can answer meanwhile.

Virtual machines are stopped by their hosts, unseen from within but for the time that is missing: a
program that only looks at the clock finds it. A percentile of latency means little where the
pauses take as large a part of the time as it leaves out.

`python -m benchmarks.pauses CORE SECONDS` watches one core, and prints what it missed as JSON.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from time import perf_counter_ns
from typing import Final

import msgspec
from msgspec import Struct

from benchmarks.cores import Cores, pin

WATCHED_S: Final = 4.0
"""How long the cores are watched before anything else is measured."""

LEAST_MS: Final = 1.0
"""A shorter pause is nothing beside an answer."""

_ANSWER_S: Final = 30.0


class Pauses(Struct, frozen=True, kw_only=True):
    """What a core was stopped for while all cores that are used were busy; ``core`` is its use."""

    core: str
    seconds: float
    count: int
    longest_ms: float
    share: float

    def __str__(self) -> str:
        """In words."""
        if not self.count:
            return f"the {self.core}'s core was never stopped"
        return (
            f"the {self.core}'s core was stopped {self.count / self.seconds:.1f} times a second, "
            f"for {self.longest_ms:.1f} ms at most and {self.share:.1%} of the time"
        )


def watch_cores(cores: Cores, seconds: float = WATCHED_S) -> tuple[Pauses, ...]:
    """Keep the server's and the load's core busy and look for pauses; none where they are one."""
    if not cores.apart:
        return ()
    watched = {"server": cores.server, "load": cores.load}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.pauses", str(min(numbers)), str(seconds)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        for numbers in watched.values()
    ]
    try:
        answers = [process.communicate(timeout=seconds + _ANSWER_S)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return tuple(
        sum_up(name, msgspec.json.decode(answer, type=list[float]), seconds)
        for name, answer in zip(watched, answers, strict=True)
    )


def sum_up(core: str, pauses_ms: Sequence[float], seconds: float) -> Pauses:
    """Sum pauses up, each in milliseconds."""
    return Pauses(
        core=core,
        seconds=seconds,
        count=len(pauses_ms),
        longest_ms=round(max(pauses_ms, default=0.0), 2),
        share=round(sum(pauses_ms) / 1_000 / seconds, 5),
    )


def watch(seconds: float) -> list[float]:
    """Look at the clock all the time; gives the pauses in milliseconds."""
    found = []
    last = perf_counter_ns()
    end = last + int(seconds * 1e9)
    least_ns = int(LEAST_MS * 1e6)
    while last < end:
        now = perf_counter_ns()
        if now - last >= least_ns:
            found.append((now - last) / 1e6)
        last = now
    return found


def main() -> None:
    """Watch one core."""
    pin(0, frozenset({int(sys.argv[1])}))
    print(msgspec.json.encode(watch(float(sys.argv[2]))).decode())


if __name__ == "__main__":
    main()
