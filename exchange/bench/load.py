"""What both loops share: the connections, the time, and the count."""

from __future__ import annotations

import asyncio
import gc
import time
from abc import ABC, abstractmethod
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter_ns
from typing import Final, Literal

from exchange.bench.bounds import BenchError, Target
from exchange.bench.connection import Connection
from exchange.bench.latency import sum_up
from exchange.bench.measured import Measured

Heard = Callable[[int, int, bytes], None]
"""Hears of an answer: the request's index, the status, the body."""

LINGER_S: Final = 2.0
"""Longest wait for answers that are still open when the time is over."""

CONNECT_S: Final = 10.0
RECONNECTS: Final = 10
"""Times that each connection is made anew, on average, before the load gives up on more."""

SECOND_NS: Final = 1_000_000_000


class Load(ABC):
    """One load, from its connections to its sum; the loops say when a request goes out."""

    _kind: Literal["closed", "open"]

    def __init__(
        self,
        target: Target,
        requests: Sequence[bytes],
        connections: int,
        seconds: float,
        warmup_s: float,
        heard: Heard | None,
    ) -> None:
        if not requests:
            raise BenchError("there is nothing to send")
        self._target, self._requests = target, requests
        self._count, self._seconds, self._warmup_s = connections, seconds, warmup_s
        self._heard = heard
        self._lines: set[Connection] = set()
        self._done = asyncio.Event()
        self._opening: set[asyncio.Task[None]] = set()
        self._next = 0
        self._measure_ns = self._end_ns = 0
        self._ok, self._refused, self._service = array("q"), array("q"), array("q")
        self._statuses: Counter[int] = Counter()
        self._broken = 0
        self._all = self._in_time = self._ok_in_time = 0

    async def run(self) -> Measured:
        """Connect, load, wait for what is open, and sum up."""
        async with asyncio.timeout(CONNECT_S):
            for _ in range(self._count):
                await self._connect()
        with _undisturbed():
            started_ns = perf_counter_ns()
            self._measure_ns = started_ns + int(self._warmup_s * SECOND_NS)
            self._end_ns = self._measure_ns + int(self._seconds * SECOND_NS)
            cpu_s = time.process_time()
            await self._drive()
            cpu_s = time.process_time() - cpu_s
            stopped_ns = perf_counter_ns()
            try:
                async with asyncio.timeout(LINGER_S):
                    await self._done.wait()
            except TimeoutError:
                pass
        for task in self._opening:
            task.cancel()
        unanswered = self._unanswered()
        for line in self._lines:
            line.close()
        seconds = max(min(stopped_ns, self._end_ns) - self._measure_ns, 1) / SECOND_NS
        return Measured(
            loop=self._kind,
            seconds=round(seconds, 3),
            connections=self._count,
            offered_rate=self._offered(),
            answered=sum(self._statuses.values()),
            answered_in_all=self._all,
            rate=round(self._in_time / seconds, 1),
            ok_rate=round(self._ok_in_time / seconds, 1),
            statuses={str(status): n for status, n in sorted(self._statuses.items())},
            latency=sum_up(self._ok),
            refused_latency=sum_up(self._refused),
            service_latency=sum_up(self._service),
            unanswered=unanswered,
            broken=self._broken,
            sender_cpu_share=round(cpu_s / ((stopped_ns - started_ns) / SECOND_NS), 3),
        )

    @abstractmethod
    async def _drive(self) -> None:
        """Keep the load up until its time is over."""

    @abstractmethod
    def _answered(self, line: Connection, status: int, body: bytes) -> None:
        """An answer came."""

    @abstractmethod
    def _ready(self, line: Connection) -> None:
        """A connection was made anew while the load runs."""

    def _offered(self) -> float | None:
        return None

    def _note(self, line: Connection, now_ns: int, status: int, body: bytes) -> None:
        self._all += 1
        if self._measure_ns <= now_ns <= self._end_ns:
            self._in_time += 1
            self._ok_in_time += status == 200
        if self._counts(line.intended_ns, now_ns):
            self._statuses[status] += 1
            if status == 200:
                self._ok.append(now_ns - line.intended_ns)
                self._service.append(now_ns - line.sent_ns)
            else:
                self._refused.append(now_ns - line.intended_ns)
        if self._heard is not None:
            self._heard(line.index, status, body)

    def _counts(self, intended_ns: int, now_ns: int) -> bool:
        """Whether an answer belongs to the time measured."""
        return self._measure_ns <= now_ns <= self._end_ns

    def _unanswered(self) -> int:
        """Count the requests that have no answer."""
        return sum(line.is_open for line in self._lines)

    async def _connect(self) -> None:
        try:
            _, line = await asyncio.get_running_loop().create_connection(
                lambda: Connection(self._answered, self._lost), self._target.host, self._target.port
            )
        except OSError as error:
            raise BenchError(
                f"{self._target.host}:{self._target.port} cannot be reached: {error.strerror}"
            ) from None
        self._lines.add(line)

    def _lost(self, line: Connection) -> None:
        """Connect anew while there is time: a server may close when it sheds or stops."""
        self._lines.discard(line)
        self._broken += 1
        if perf_counter_ns() < self._end_ns and self._broken < self._count * RECONNECTS:
            task = asyncio.get_running_loop().create_task(self._reconnect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _reconnect(self) -> None:
        while perf_counter_ns() < self._end_ns:
            before = set(self._lines)
            try:
                await self._connect()
            except BenchError:
                await asyncio.sleep(0.05)
                continue
            for line in self._lines - before:
                self._ready(line)
            return


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the garbage collector from stopping the clock's eye."""
    was = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
