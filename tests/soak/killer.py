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
            victim = self._draws.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()))[0]
            # First, so that the kill does not come when the posts it is meant for are over.
            await until(partial(self._may_die, victim), _TURN_S, f"a {victim} that may be killed")
            first, last = nth * posts // kills, (nth + 1) * posts // kills
            open_to(last)
            at = self._draws.randint(first, max(first, last - 1))
            await until(partial(_has_come_to, begun, at), BACK_S, "posts to begin")
            await asyncio.sleep(self._draws.uniform(0.0, 0.1))
            await self._strike(victim)
            if self._draws.random() >= TOGETHER:
                await self.all_back()
        await self.all_back()

    def _may_die(self, victim: Victim) -> bool:
        assert self._running.exit_code is None, "exchange serve has ended"
        return victim == "crm" or bool(self._living(victim))

    async def _strike(self, victim: Victim) -> None:
        """Kill one of these, as soon as one lives."""
        self.killed[victim] += 1
        if victim == "crm":
            host, down_s = self._draws.choice(self._hosts), self._draws.uniform(0.1, 0.6)
            task = asyncio.create_task(host.kill(down_s))
            self._restarts.add(task)
            task.add_done_callback(self._restarts.discard)
            return
        await until(partial(self._may_die, victim), BACK_S, f"a {victim} to kill")
        self._running.kill(self._draws.choice(self._living(victim)))
        self._deaths[victim].append(time.monotonic())
        if victim == "valkey":
            self.valkey_deaths.append(time.monotonic())

    def _living(self, victim: Victim) -> list[int]:
        """The processes of this kind that may be killed now."""
        most, within_s = _MOST[victim]
        deaths = self._deaths[victim]
        while deaths and time.monotonic() - deaths[0] > within_s:
            deaths.popleft()
        if len(deaths) >= most:
            return []
        if victim == "worker":
            return self._running.worker_pids()
        try:
            pid = self._running.valkey_pid if victim == "valkey" else self._running.postgres_pid
        except (OSError, ValueError, IndexError):
            return []  # It is being started just now.
        return [pid] if is_alive(pid) else []

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
