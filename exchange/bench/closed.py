"""A closed loop: each connection sends its next request when it was answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter_ns

from exchange.bench.bounds import MAX_ANSWERS, Target, check_bounds
from exchange.bench.connection import Connection
from exchange.bench.load import SECOND_NS, Heard, Load
from exchange.bench.measured import Measured


async def closed_loop(
    target: Target,
    requests: Sequence[bytes],
    *,
    connections: int,
    seconds: float,
    warmup_s: float = 0.0,
    repeat: bool = True,
    heard: Heard | None = None,
) -> Measured:
    """Keep every connection busy. Without ``repeat`` it ends when every request was sent once."""
    check_bounds(seconds=seconds, connections=connections)
    load = _Closed(target, requests, connections, seconds, warmup_s, repeat, heard)
    return await load.run()


class _Closed(Load):
    _kind = "closed"

    def __init__(
        self,
        target: Target,
        requests: Sequence[bytes],
        connections: int,
        seconds: float,
        warmup_s: float,
        repeat: bool,
        heard: Heard | None,
    ) -> None:
        super().__init__(target, requests, connections, seconds, warmup_s, heard)
        self._repeat = repeat
        self._busy = 0
        self._over = asyncio.Event()

    async def _drive(self) -> None:
        now_ns = perf_counter_ns()
        for line in list(self._lines):
            self._send(line, now_ns)
        left_s = (self._end_ns - perf_counter_ns()) / SECOND_NS
        try:
            async with asyncio.timeout(left_s):
                await self._over.wait()
        except TimeoutError:
            pass
        if not self._busy:
            self._done.set()

    def _send(self, line: Connection, now_ns: int) -> None:
        index = self._next
        if index == len(self._requests):
            if not self._repeat:
                if not self._busy:
                    self._over.set()
                    self._done.set()
                return
            index = 0
        self._next = index + 1
        self._busy += 1
        line.index = index
        line.intended_ns = line.sent_ns = now_ns
        line.send(self._requests[index])

    def _answered(self, line: Connection, status: int, body: bytes) -> None:
        now_ns = perf_counter_ns()
        self._busy -= 1
        self._note(line, now_ns, status, body)
        if now_ns < self._end_ns and len(self._ok) < MAX_ANSWERS:
            self._send(line, now_ns)
        elif not self._busy:
            self._done.set()

    def _lost(self, line: Connection) -> None:
        if line.is_open:
            self._busy -= 1
        super()._lost(line)

    def _ready(self, line: Connection) -> None:
        self._send(line, perf_counter_ns())
