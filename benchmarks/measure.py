"""The measurements of a run, in order: rounds that take turns, so that a bad moment hits all."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

from benchmarks.findings import Findings, Machine, OpenRounds, Overload, Plan, Posts, Rounds
from benchmarks.load import Order, Posted
from benchmarks.pauses import Pauses, watch_cores
from benchmarks.processes import Loader, Served
from benchmarks.running import Bench
from benchmarks.seeding import COMPANY_KEY, SELLER_KEY
from exchange.bench.measured import Measured

SHARES: Final = (0.5, 0.8)
OVERLOAD: Final = 2.0
MAIN: Final = 1_000
"""The market's size at which latency, posts and returns are measured."""

Told = Callable[[str], None]
"""Hears what is being measured now; called once for each of `steps_of`."""

_STAGE: Final = re.compile(
    r'^exchange_stage_seconds_(sum|count)\{call="ping",stage="([^"]+)"\} ([0-9.e+-]+)$', re.M
)
_STORE: Final = re.compile(r"^exchange_offers_put(|_seconds) ([0-9.e+-]+)$", re.M)


def steps_of(plan: Plan) -> int:
    """How many steps a plan has."""
    steps = len(plan.sizes) + 1 + plan.rounds
    if plan.open_rounds:
        steps += plan.open_rounds + 2
    if plan.post_rounds:
        steps += plan.post_rounds + 1
    return steps + (1 if plan.returns else 0)


class Run:
    """One run: the servers, and what was found so far."""

    def __init__(self, bench: Bench, plan: Plan, told: Told) -> None:
        self._bench, self._plan, self._told = bench, plan, told
        self._markets: dict[int, dict[str, str]] = {}
        self._workers: dict[int, Served] = {}
        self._second: Served | None = None
        self._began = time.monotonic()
        self._load_before = _load_now()
        self._pauses: tuple[Pauses, ...] = ()

    def measure(self) -> Findings:
        """Start everything, measure everything."""
        plan = self._plan
        if plan.open_rounds:
            self._told("watching the machine itself")
            self._pauses = watch_cores(self._bench.cores)
        self._start()
        loader = self._bench.start_loader()
        echo, pings = self._pings(loader)
        open_rounds: tuple[OpenRounds, ...] = ()
        overload = posts = returns = None
        if plan.returns and self._second is not None:
            self._told("returning leads")
            returns = loader.returns(
                Order(
                    kind="return",
                    url=self._workers[MAIN].url,
                    others=(self._second.url,),
                    key=SELLER_KEY,
                    company_key=COMPANY_KEY,
                    leads=plan.returns,
                    seed=50,
                )
            )
        self._leave_alone(MAIN)
        if plan.post_rounds:
            posts = self._posts(loader)
        if plan.open_rounds:
            open_rounds = self._open(loader, echo, pings[str(MAIN)])
            overload = self._overload(loader, pings[str(MAIN)].rate)
        clean, said = None, ""
        if plan.post_rounds:
            self._told("checking the books")
            clean, said = self._bench.check(self._markets[MAIN])
        return Findings(
            at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            seconds=round(time.monotonic() - self._began, 1),
            plan=plan,
            machine=self._machine(),
            echo=echo,
            pings=pings,
            open=open_rounds,
            overload=overload,
            posts=posts,
            returns=returns,
            books_clean=clean,
            books_said=said,
        )

    # --- start -----------------------------------------------------------------------------------

    def _start(self) -> None:
        """Seed the next market while the worker of the last one starts: they differ in core."""
        self._echo = self._bench.start_floor("echo")
        for size in sorted(self._plan.sizes):
            self._told(f"opening a market of {size:,} campaigns")
            needs_returner = size == MAIN and self._plan.returns > 0
            self._markets[size] = self._bench.market(size, returner=needs_returner)
            self._workers[size] = self._bench.start_worker(self._markets[size])
            if needs_returner:
                # After the first, which writes the mirror; they would both do so.
                self._workers[size].await_ready()
                self._second = self._bench.start_worker(self._markets[size])
        self._told("waiting for the workers")
        for served in (self._echo, *self._workers.values(), *filter(None, [self._second])):
            served.await_ready()

    def _leave_alone(self, size: int) -> None:
        """Stop the other workers: they share the core, and what they do at rest is in the tails."""
        others = [worker for of, worker in self._workers.items() if of != size]
        for worker in (*others, *filter(None, [self._second])):
            worker.stop()

    # --- pings -----------------------------------------------------------------------------------

    def _pings(self, loader: Loader) -> tuple[Rounds, dict[str, Rounds]]:
        plan = self._plan
        servers = {"echo": self._echo, **{str(n): w for n, w in self._workers.items()}}
        measured: dict[str, list[Measured]] = {name: [] for name in servers}
        cpu_us: dict[str, list[float]] = {name: [] for name in servers}
        shares: dict[str, list[float]] = {name: [] for name in servers}
        before = {str(n): stage_sums(w) for n, w in self._workers.items()}
        for number in range(plan.rounds):
            self._told(f"pings, round {number + 1} of {plan.rounds}")
            for name, served in servers.items():
                before_s = served.cpu_s()
                found = loader.ping(self._order(served))
                cpu_s = served.cpu_s() - before_s
                measured[name].append(found)
                shares[name].append(round(cpu_s / (found.seconds + plan.warmup_s), 3))
                if found.answered_in_all:
                    cpu_us[name].append(round(cpu_s / found.answered_in_all * 1_000_000, 2))
        rounds = {
            name: Rounds(
                name=name,
                measured=tuple(measured[name]),
                cpu_us=tuple(cpu_us[name]),
                core_shares=tuple(shares[name]),
                stages_us=stage_means(before[name], stage_sums(served)) if name in before else {},
                resident_mb=round(served.resident_mb(), 1),
            )
            for name, served in servers.items()
        }
        return rounds.pop("echo"), rounds

    def _order(self, served: Served) -> Order:
        plan = self._plan
        return Order(
            kind="ping",
            url=served.url,
            key=SELLER_KEY,
            connections=plan.connections,
            seconds=plan.seconds,
            warmup_s=plan.warmup_s,
        )

    # --- open loop -------------------------------------------------------------------------------

    def _open(self, loader: Loader, echo: Rounds, pings: Rounds) -> tuple[OpenRounds, ...]:
        plan = self._plan
        subjects = [("echo", self._echo, echo.rate), (str(MAIN), self._workers[MAIN], pings.rate)]
        found: dict[tuple[str, float], list[Measured]] = {}
        for number in range(plan.open_rounds):
            self._told(f"latency, round {number + 1} of {plan.open_rounds}")
            for share in SHARES:
                for name, served, rate in subjects:
                    order = Order(
                        kind="ping",
                        url=served.url,
                        key=SELLER_KEY,
                        rate=max(rate * share, 1.0),
                        connections=plan.open_connections,
                        seconds=plan.open_seconds,
                        warmup_s=plan.warmup_s,
                    )
                    found.setdefault((name, share), []).append(loader.ping(order))
        return tuple(
            OpenRounds(name=name, share=share, measured=tuple(measured))
            for (name, share), measured in found.items()
        )

    def _overload(self, loader: Loader, rate: float) -> Overload:
        plan, served = self._plan, self._workers[MAIN]
        self._told("twice the possible load")
        measured = loader.ping(
            Order(
                kind="ping",
                url=served.url,
                key=SELLER_KEY,
                rate=max(rate * OVERLOAD, 1.0),
                connections=plan.overload_connections,
                seconds=plan.overload_seconds,
                warmup_s=plan.warmup_s,
            )
        )
        alive = served.is_alive
        after = loader.ping(self._order(served)).ok_rate if alive else 0.0
        return Overload(measured=measured, alive=alive, rate_after=after)

    # --- posts -----------------------------------------------------------------------------------

    def _posts(self, loader: Loader) -> Posts:
        plan, worker = self._plan, self._workers[MAIN]
        floor = self._bench.start_floor("insert", self._bench.floor_database())
        floor.await_ready()
        posted: list[Posted] = []
        floors: list[Posted] = []
        cpu_us: list[float] = []
        for number in range(plan.post_rounds):
            self._told(f"posts, round {number + 1} of {plan.post_rounds}")
            for kind, served, kept in (("echo_post", floor, floors), ("post", worker, posted)):
                order = Order(
                    kind=kind,
                    url=served.url,
                    key=SELLER_KEY,
                    connections=plan.post_connections,
                    seconds=plan.post_seconds,
                    warmup_s=plan.warmup_s,
                    leads=plan.post_leads,
                    seed=100 + number,
                )
                if kind == "post":
                    loader.post(msgspec.structs.replace(order, kind="offer"))
                before_s = served.cpu_s()
                found = loader.post(order)
                kept.append(found)
                if kind == "post" and found.measured.answered_in_all:
                    cpu_s = served.cpu_s() - before_s
                    cpu_us.append(round(cpu_s / found.measured.answered_in_all * 1_000_000, 2))
        floor.stop()
        return Posts(posted=tuple(posted), floor=tuple(floors), cpu_us=tuple(cpu_us))

    def _machine(self) -> Machine:
        return Machine(
            python=platform.python_version(),
            system=f"{platform.system()} {platform.machine()}",
            cores=os.cpu_count() or 1,
            apart=self._bench.cores.apart,
            load_before=self._load_before,
            load_after=_load_now(),
            pauses=self._pauses,
        )


def stage_sums(served: Served) -> dict[str, tuple[float, float]]:
    """Seconds and count of each stage of a ping, as the worker counts them itself."""
    with urllib.request.urlopen(f"{served.url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, dict[str, float]] = {}
    for what, stage, value in _STAGE.findall(text):
        # What a ping itself sees of the store is waiting for it, shared by all that wait.
        name = "wait" if stage == "store" else stage
        found.setdefault(name, {})[what] = float(value)
    store = {what: float(value) for what, value in _STORE.findall(text)}
    if store:
        found["store"] = {"sum": store["_seconds"], "count": store[""]}
    return {stage: (both["sum"], both["count"]) for stage, both in found.items()}


def stage_means(
    before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]]
) -> dict[str, float]:
    """Microseconds per ping of each stage, between two looks."""
    means = {}
    for stage, (seconds, count) in after.items():
        was_s, was = before.get(stage, (0.0, 0.0))
        if count > was:
            means[stage] = round((seconds - was_s) / (count - was) * 1_000_000, 2)
    return means


def _load_now() -> float:
    return round(os.getloadavg()[0], 2) if sys.platform != "win32" else 0.0
