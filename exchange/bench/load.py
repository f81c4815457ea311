"""A closed loop (each connection sends when it was answered) and an open loop (sends by the clock).

In the open loop a latency counts from the moment its request was meant to go out, whether or not
the server's slowness let it: what coordinated omission would hide is in the percentiles. Requests
never answered have no latency; they are counted, and a percentile is worth no more than that count.
"""

from __future__ import annotations

import asyncio
import gc
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter_ns
from typing import Final, Literal

from msgspec import Struct

from exchange.bench.bounds import MAX_ANSWERS, BenchError, Target, check_bounds
from exchange.bench.connection import Connection
from exchange.bench.latency import Latency, sum_up
from exchange.bench.ticking import ticking

Heard = Callable[[int, int, bytes], None]
"""Hears of an answer: the request's index, the status, the body."""

LINGER_S: Final = 2.0
"""Longest wait for answers that are still open when the time is over."""

CONNECT_S: Final = 10.0
RECONNECTS: Final = 10
"""Times that each connection is made anew, on average, before the load gives up on more."""

TICK_S: Final = 0.000_25
"""How often an open loop looks whether requests are due; the most one is sent late by us."""

_SECOND: Final = 1_000_000_000


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


class _Load:
    """What both loops share: the connections, the time, and the count."""

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
            self._measure_ns = started_ns + int(self._warmup_s * _SECOND)
            self._end_ns = self._measure_ns + int(self._seconds * _SECOND)
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
        seconds = max(min(stopped_ns, self._end_ns) - self._measure_ns, 1) / _SECOND
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
            sender_cpu_share=round(cpu_s / ((stopped_ns - started_ns) / _SECOND), 3),
        )

    async def _drive(self) -> None:
        raise NotImplementedError

    def _answered(self, line: Connection, status: int, body: bytes) -> None:
        raise NotImplementedError

    def _ready(self, line: Connection) -> None:
        """A connection was made anew while the load runs."""
        raise NotImplementedError

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


class _Closed(_Load):
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
        left_s = (self._end_ns - perf_counter_ns()) / _SECOND
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


class _Open(_Load):
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
        due = int((now_ns - self._started_ns) * self._rate / _SECOND) + 1
        due = self._total if is_over else min(due, self._total)
        while self._sent < due:
            self._due.append(self._started_ns + int(self._sent * _SECOND / self._rate))
            self._sent += 1
        if is_over:
            self._finished.set()
            return
        while self._due and self._idle:
            self._send(self._idle.pop(), self._due.popleft())

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
