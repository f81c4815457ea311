"""An open loop: requests go out by the clock.

A latency counts from the moment its request was meant to go out, whether or not the server's
slowness let it: what coordinated omission would hide is in the percentiles. Requests never answered
have no latency; they are counted, and a percentile is worth no more than that count.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from time import perf_counter_ns
from typing import Final

from exchange.bench.bounds import MAX_ANSWERS, Target, check_bounds
from exchange.bench.connection import Connection
from exchange.bench.load import SECOND_NS, Heard, Load
from exchange.bench.measured import Measured
from exchange.bench.ticking import ticking

TICK_S: Final = 0.000_25
"""How often is looked whether requests are due; the most one is sent late by us."""


async def open_loop(
    target: Target,
    requests: Sequence[bytes],
    *,
    rate: float,
    connections: int,
    seconds: float,
    warmup_s: float = 0.0,
    heard: Heard | None = None,
) -> Measured:
    """Send ``rate`` requests a second whatever the answers do, as far as connections are free."""
    check_bounds(seconds=seconds, connections=connections, rate=rate)
    load = _Open(target, requests, connections, seconds, warmup_s, rate, heard)
    return await load.run()


class _Open(Load):
    _kind = "open"

    def __init__(
        self,
        target: Target,
        requests: Sequence[bytes],
        connections: int,
        seconds: float,
        warmup_s: float,
        rate: float,
        heard: Heard | None,
    ) -> None:
        super().__init__(target, requests, connections, seconds, warmup_s, heard)
        self._rate = rate
        self._started_ns = 0
        self._sent = 0
        self._due: deque[int] = deque()
        self._idle: list[Connection] = []
        self._total = min(int(rate * (seconds + warmup_s)), MAX_ANSWERS)
        self._finished = asyncio.Event()

    async def _drive(self) -> None:
        self._idle = list(self._lines)
        self._started_ns = perf_counter_ns()
        with ticking(TICK_S, self._tick):
            await self._finished.wait()
        self._settle()

    def _tick(self) -> None:
        """Send what is due; what finds no free connection waits, and its waiting counts."""
        now_ns = perf_counter_ns()
        is_over = now_ns >= self._end_ns
        due = int((now_ns - self._started_ns) * self._rate / SECOND_NS) + 1
        due = self._total if is_over else min(due, self._total)
        while self._sent < due:
            self._due.append(self._started_ns + int(self._sent * SECOND_NS / self._rate))
            self._sent += 1
        while self._due and self._idle:
            self._send(self._idle.pop(), self._due.popleft())
        if is_over:
            self._finished.set()

    def _send(self, line: Connection, intended_ns: int) -> None:
        index = self._next
        self._next = (index + 1) % len(self._requests)
        line.index = index
        line.intended_ns = intended_ns
        line.sent_ns = perf_counter_ns()
        line.send(self._requests[index])

    def _answered(self, line: Connection, status: int, body: bytes) -> None:
        now_ns = perf_counter_ns()
        self._note(line, now_ns, status, body)
        if self._due and now_ns < self._end_ns:
            self._send(line, self._due.popleft())
        else:
            self._idle.append(line)
            self._settle()

    def _lost(self, line: Connection) -> None:
        if line in self._idle:
            self._idle.remove(line)
        super()._lost(line)
        self._settle()

    def _ready(self, line: Connection) -> None:
        self._idle.append(line)

    def _settle(self) -> None:
        if self._finished.is_set() and not any(line.is_open for line in self._lines):
            self._done.set()

    def _offered(self) -> float | None:
        return self._rate

    def _counts(self, intended_ns: int, now_ns: int) -> bool:
        # By when it was meant: a slow answer to the last request must not be left out.
        return intended_ns >= self._measure_ns

    def _unanswered(self) -> int:
        return super()._unanswered() + len(self._due)
