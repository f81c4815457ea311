"""Which core is for what, so that the load and what is loaded do not disturb each other."""

from __future__ import annotations

import os

from msgspec import Struct


class Cores(Struct, frozen=True, kw_only=True):
    """Which cores are for what; the same for all where there is but one."""

    server: frozenset[int]
    load: frozenset[int]
    stores: frozenset[int]

    @property
    def apart(self) -> bool:
        """Whether servers and load have cores of their own."""
        return self.server != self.load


def choose_cores() -> Cores:
    """Share out the cores this process may use."""
    cores = sorted(affinity())
    if len(cores) < 2:
        return Cores(server=frozenset(cores), load=frozenset(cores), stores=frozenset(cores))
    rest = cores[2:] or cores[1:2]
    return Cores(server=frozenset(cores[:1]), load=frozenset(cores[1:2]), stores=frozenset(rest))


def pin(pid: int, cores: frozenset[int]) -> None:
    """Keep a process on its cores, where the system can."""
    if hasattr(os, "sched_setaffinity") and cores:
        os.sched_setaffinity(pid, cores)


def affinity() -> set[int]:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))
