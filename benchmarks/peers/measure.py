"""The measurements beside the peers: rounds that take turns, one number of bidders after another.

A contestant that fails is put out with what it said, and the others go on.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from benchmarks.findings import Machine
from benchmarks.peers.arena import Arena, Bidders, CheckingLoader, core_busy_s, last_words
from benchmarks.peers.bidders import price_cents
from benchmarks.peers.contestants import Contestant
from benchmarks.peers.findings import Field, Hanging, PeerFindings, PeerPlan, Round
from benchmarks.peers.load import Order
from benchmarks.peers.toolchains import Unavailable
from benchmarks.processes import BenchFailed, Served
from exchange.embedded import StoreFailed

SELLER_PERCENT: Final = 85
HALF: Final = 0.5
HANG_FILLED: Final = 0.75
"""The share of the connections that may wait for the deadline at once, with one bidder hanging."""

HANG_WARMUP: Final = 0.25
"""The share of that rate that a server is warmed up with."""

TRIAL_WARMUP_S: Final = 0.15

Told = Callable[[str], None]
"""Hears what is being done now; called once for each of `steps_of`."""


class Entered(Struct, frozen=True, kw_only=True):
    """A contestant whose server can be loaded, with so many bidders behind it."""

    contestant: Contestant
    served: Served
    bidders: Bidders
    key: str
    size: int

    @property
    def name(self) -> str:
        """The contestant's."""
        return self.contestant.name


def steps_of(plan: PeerPlan, contestants: int) -> int:
    """How many steps a run has."""
    return (
        contestants
        + len(plan.sizes) * (plan.rounds + 2)
        + (plan.hang_rounds + 2 if plan.hang_rounds else 0)
    )


def expected_cents(best_bidder: int) -> int:
    """What the seller is offered when this bidder wins."""
    return price_cents(best_bidder) * SELLER_PERCENT // 100


class Run:
    """One run: who is still in it, and what was found so far."""

    def __init__(
        self, arena: Arena, plan: PeerPlan, contestants: Sequence[Contestant], told: Told
    ) -> None:
        self._arena, self._plan, self._told = arena, plan, told
        self._left = list(contestants)
        self._out: dict[str, str] = {}
        self._began = time.monotonic()
        self._load_before = os.getloadavg()[0]

    def measure(self) -> PeerFindings:
        """Prepare, start and measure everyone."""
        plan = self._plan
        made_of = self._prepare()
        loader = self._arena.start_loader()
        fields: list[Field] = []
        for size in plan.sizes:
            fields += self._measure_size(loader, size)
        hanging: list[Hanging] = []
        if plan.hang_rounds:
            rates = {f.name: f.rate for f in fields if f.size == plan.hang_size}
            hanging = self._measure_hanging(loader, rates)
        return PeerFindings(
            at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            seconds=round(time.monotonic() - self._began, 1),
            plan=plan,
            machine=Machine(
                python=platform.python_version(),
                system=f"{platform.system()} {platform.machine()}",
                cores=os.cpu_count() or 1,
                apart=self._arena.cores.apart,
                load_before=round(self._load_before, 2),
                load_after=round(os.getloadavg()[0], 2),
            ),
            made_of=made_of,
            fields=tuple(fields),
            hanging=tuple(hanging),
            out=self._out,
        )

    # --- who takes part ---------------------------------------------------------------------------

    def _prepare(self) -> dict[str, str]:
        made_of = {}
        for contestant in list(self._left):
            self._told(f"preparing {contestant.name}")
            try:
                made_of[contestant.name] = contestant.prepare()
            except Unavailable as error:
                self._put_out(contestant, f"skipped: {error}")
        return made_of

    def _put_out(self, contestant: Contestant, why: str) -> None:
        self._out[contestant.name] = why
        self._left.remove(contestant)

    def _enter(self, size: int, *, hang: int | None = None) -> list[Entered]:
        """Start everyone still in, all at once, then wait for each."""
        starting: list[tuple[Contestant, Bidders, Served]] = []
        bidders: dict[bool, Bidders] = {}
        for contestant in list(self._left):
            try:
                stream = contestant.speaks_stream
                if stream not in bidders:
                    start = (
                        self._arena.start_stream_bidders if stream else self._arena.start_bidders
                    )
                    bidders[stream] = start(size, hang=hang)
                served = contestant.start(self._arena, bidders[stream], size)
                starting.append((contestant, bidders[stream], served))
            except (BenchFailed, StoreFailed) as error:
                self._put_out(contestant, str(error))
        entered = []
        for contestant, asked, served in starting:
            try:
                key = contestant.enter(served, asked, size)
            except BenchFailed as error:
                served.stop()
                self._put_out(contestant, str(error))
                continue
            entered.append(
                Entered(contestant=contestant, served=served, bidders=asked, key=key, size=size)
            )
        return entered

    # --- rounds -----------------------------------------------------------------------------------

    def _measure_size(self, loader: CheckingLoader, size: int) -> list[Field]:
        plan, many = self._plan, f"{size} bidder{'s' if size > 1 else ''}"
        self._told(f"{many}: starting everyone")
        entered = self._enter(size)
        self._told(f"{many}: trying numbers of connections")
        orders = {one.name: self._try(loader, one) for one in entered}
        rounds: dict[str, list[Round]] = {one.name: [] for one in entered}
        for number in range(plan.rounds):
            self._told(f"{many}: round {number + 1} of {plan.rounds}")
            for one in entered:
                done = self._attempt(loader, one, orders[one.name])
                if done is not None:
                    rounds[one.name].append(done)
        fields = [
            Field(
                name=one.name,
                size=size,
                connections=orders[one.name].connections,
                rounds=tuple(rounds[one.name]),
                resident_mb=round(one.served.resident_mb(), 1),
            )
            for one in entered
            if one.contestant in self._left
        ]
        for one in entered:
            one.served.stop()
        return fields

    def _try(self, loader: CheckingLoader, one: Entered) -> Order:
        """The order of a round, with the connections at which a trial was worth most."""
        plan = self._plan
        order = Order(
            url=one.served.url,
            key=one.key,
            price_cents=expected_cents(one.size - 1),
            timeout_ms=plan.timeout_ms,
            connections=plan.connections[0],
            seconds=plan.seconds,
            warmup_s=plan.warmup_s,
        )
        trial = replace(order, seconds=plan.trial_s, warmup_s=TRIAL_WARMUP_S)
        # Not kept: compiling, connecting and importing are over before anything is compared.
        self._attempt(loader, one, replace(trial, connections=plan.connections[0]))
        best = (False, -1.0)
        for connections in plan.connections:
            done = self._attempt(loader, one, replace(trial, connections=connections))
            if done is not None and done.worth > best:
                best, order = done.worth, replace(order, connections=connections)
        return order

    def _measure_hanging(self, loader: CheckingLoader, rates: dict[str, float]) -> list[Hanging]:
        plan, best = self._plan, self._plan.hang_size - 1
        self._told("one bidder hanging: starting everyone")
        entered = self._enter(plan.hang_size, hang=best)
        self._told("one bidder hanging: warming up")
        orders = {}
        most_rate = HANG_FILLED * plan.hang_connections / (plan.hang_timeout_ms / 1_000)
        for one in entered:
            rate = min(max(rates.get(one.name, 0.0) * HALF, 1.0), most_rate)
            orders[one.name] = order = Order(
                url=one.served.url,
                key=one.key,
                price_cents=expected_cents(best - 1),
                timeout_ms=plan.hang_timeout_ms,
                connections=plan.hang_connections,
                seconds=plan.hang_seconds,
                warmup_s=plan.warmup_s + plan.hang_timeout_ms / 1_000,
                rate=rate,
            )
            # Not kept: a server that has just begun is no server at half load.
            self._attempt(loader, one, replace(order, rate=rate * HANG_WARMUP))
        rounds: dict[str, list[Round]] = {one.name: [] for one in entered}
        for number in range(plan.hang_rounds):
            self._told(f"one bidder hanging: round {number + 1} of {plan.hang_rounds}")
            for one in entered:
                done = self._attempt(loader, one, orders[one.name])
                if done is not None:
                    rounds[one.name].append(done)
        for one in entered:
            one.served.stop()
        return [
            Hanging(
                name=one.name,
                size=plan.hang_size,
                timeout_ms=plan.hang_timeout_ms,
                rounds=tuple(rounds[one.name]),
            )
            for one in entered
            if one.contestant in self._left
        ]

    def _attempt(self, loader: CheckingLoader, one: Entered, order: Order) -> Round | None:
        """Make one load; a contestant that cannot take it is put out."""
        if one.contestant not in self._left:
            return None
        cores = self._arena.cores
        began_s, bidders_s = time.monotonic(), one.bidders.cpu_s()
        load_s, core_s = core_busy_s(cores.load), core_busy_s(cores.server)
        try:
            before_s = one.served.cpu_s()
            checked = loader.measure(order)
            cpu_s = one.served.cpu_s() - before_s
        except (BenchFailed, OSError) as error:
            said = "" if one.served.is_alive else f"; it died: {last_words(one.served.log_path)}"
            self._put_out(one.contestant, f"failed: {error}{said}")
            return None
        took_s = time.monotonic() - began_s
        answers = checked.measured.answered_in_all
        return Round(
            measured=checked.measured,
            right=checked.right,
            wrong=checked.wrong,
            cpu_us=round(cpu_s / answers * 1_000_000, 1) if answers else 0.0,
            core_share=round(cpu_s / took_s, 3),
            others_share=round(max(core_busy_s(cores.server) - core_s - cpu_s, 0.0) / took_s, 3),
            bidders_share=round((one.bidders.cpu_s() - bidders_s) / took_s, 3),
            load_core_share=round((core_busy_s(cores.load) - load_s) / took_s, 3),
        )
