"""Kills, drawn by a seed: a worker, Valkey, PostgreSQL, or a server of companies' systems.

As often as the exchange is made for, and no more: what dies oftener ends it, and is meant to.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Final, Literal

from exchange.serving.parent import FAST_DEATHS, FAST_DEATHS_S
from tests.e2e.running import Running, is_alive, until
from tests.soak.market import Host

Victim = Literal["worker", "valkey", "postgres", "crm"]
BACK_S: Final = 40.0
TOGETHER: Final = 0.25
"""The share of kills after which the next does not wait for what died to be back."""

_WEIGHTS: Final[dict[Victim, int]] = {"worker": 35, "valkey": 15, "postgres": 15, "crm": 35}
_SLACK_S: Final = 3.0
"""A death is counted when it is noticed, which may be that much after the kill."""

_STORE_DEATHS: Final = 5
_STORE_DEATHS_S: Final = 60.0
_MOST: Final[dict[Victim, tuple[int, float]]] = {
    "worker": (FAST_DEATHS, FAST_DEATHS_S + _SLACK_S),
    "valkey": (_STORE_DEATHS, _STORE_DEATHS_S + _SLACK_S),
    "postgres": (_STORE_DEATHS, _STORE_DEATHS_S + _SLACK_S),
}
_TURN_S: Final = _STORE_DEATHS_S + BACK_S


class Killer:
    """Kills parts of one exchange, and of its companies."""

    def __init__(self, running: Running, hosts: tuple[Host, ...], seed: int) -> None:
        self.killed: Counter[Victim] = Counter()
        self.valkey_deaths: list[float] = []
        self._running = running
        self._hosts = hosts
        self._draws = random.Random(f"kills:{seed}")
        self._deaths: dict[Victim, deque[float]] = {victim: deque() for victim in _WEIGHTS}
        self._restarts: set[asyncio.Task[None]] = set()

    async def run(
        self, kills: int, posts: int, begun: Callable[[], int], open_to: Callable[[int], None]
    ) -> None:
        """Kill so often, spread over the posts. Raises AssertionError if something stays away."""
        for nth in range(kills):
            first, last = nth * posts // kills, (nth + 1) * posts // kills
            open_to(last)
            at = self._draws.randint(first, max(first, last - 1))
            await until(partial(_has_come_to, begun, at), BACK_S, "posts to begin")
            await asyncio.sleep(self._draws.uniform(0.0, 0.1))
            await self.strike()
            if self._draws.random() >= TOGETHER:
                await self.all_back()
        await self.all_back()

    async def strike(self) -> None:
        """Kill what is drawn, as soon as it lives and may die."""
        drawn = self._draws.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()))[0]
        self.killed[drawn] += 1
        if drawn == "crm":
            host, down_s = self._draws.choice(self._hosts), self._draws.uniform(0.1, 0.6)
            task = asyncio.create_task(host.kill(down_s))
            self._restarts.add(task)
            task.add_done_callback(self._restarts.discard)
            return
        deadline = time.monotonic() + _TURN_S
        while (pid := self._living(drawn)) is None:
            assert self._running.exit_code is None, "exchange serve has ended"
            assert time.monotonic() < deadline, f"there is no {drawn} to kill"
            await asyncio.sleep(0.1)
        self._running.kill(pid)
        self._deaths[drawn].append(time.monotonic())
        if drawn == "valkey":
            self.valkey_deaths.append(time.monotonic())

    def _living(self, victim: Victim) -> int | None:
        """A process of this kind that may be killed now."""
        most, within_s = _MOST[victim]
        deaths = self._deaths[victim]
        while deaths and time.monotonic() - deaths[0] > within_s:
            deaths.popleft()
        if len(deaths) >= most:
            return None
        if victim == "worker":
            pids = self._running.worker_pids()
            return self._draws.choice(pids) if pids else None
        try:
            pid = self._running.valkey_pid if victim == "valkey" else self._running.postgres_pid
        except (OSError, ValueError, IndexError):
            return None  # It is being started just now.
        return pid if is_alive(pid) else None

    async def all_back(self) -> None:
        """Wait until everything is there again."""

        async def is_back() -> bool:
            assert self._running.exit_code is None, "exchange serve has ended"
            if self._restarts or len(self._running.worker_pids()) != self._running.workers:
                return False
            return await self._running.is_ready()

        await until(is_back, BACK_S, "what was killed to be back")


def _has_come_to(count: Callable[[], int], least: int) -> bool:
    return count() >= least
