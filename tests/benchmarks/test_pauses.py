"""The machine's own pauses are told beside the latencies they lie in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import msgspec

from benchmarks.cores import Cores
from benchmarks.pauses import sum_up, watch_cores


def test_pauses_are_summed_up_and_told_in_words() -> None:
    found = sum_up("load", [6.0, 2.0, 4.0], 4.0)
    assert (found.count, found.longest_ms, found.share) == (3, 6.0, 0.003)
    assert str(found) == (
        "the load's core was stopped 0.8 times a second, for 6.0 ms at most and 0.3% of the time"
    )
    assert str(sum_up("load", [], 4.0)) == "the load's core was never stopped"


def test_a_program_that_is_stopped_finds_the_time_missing() -> None:
    core = min(os.sched_getaffinity(0))
    command = [sys.executable, "-m", "benchmarks.pauses", str(core), "1.0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as watching:
        until(lambda: os.sched_getaffinity(watching.pid) == {core})
        time.sleep(0.2)
        watching.send_signal(signal.SIGSTOP)
        time.sleep(0.25)
        watching.send_signal(signal.SIGCONT)
        answer, _ = watching.communicate(timeout=10)
    pauses = msgspec.json.decode(answer, type=list[float])
    assert watching.returncode == 0
    assert max(pauses, default=0.0) >= 200


def until(holds: Callable[[], bool]) -> None:
    """Wait for something, ten seconds at most."""
    ends = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_on_one_core_nothing_is_watched() -> None:
    one = frozenset({0})
    assert watch_cores(Cores(server=one, load=one, stores=one)) == ()
