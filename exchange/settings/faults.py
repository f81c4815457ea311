"""Faults of settings: what a fault says, and the error that carries all of them.

Decides how a fault reads. Must not know which settings there are.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from msgspec import Struct


class Fault(Struct, frozen=True, kw_only=True):
    """One thing wrong: the key or variable, what is wrong with it, and what is allowed."""

    key: str
    problem: str
    allowed: str = ""

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}" + (
            f"; allowed: {self.allowed}" if self.allowed else ""
        )


class SettingsError(Exception):
    """Settings that cannot be used; ``faults`` has all of them. No fault tells a secret."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


def unknown(key: str, known: Iterable[str]) -> Fault:
    """Make the fault of a key or variable nobody knows, naming the nearest of the known."""
    near = difflib.get_close_matches(key, sorted(known), n=1)
    return Fault(key=key, problem="is not known" + (f"; did you mean {near[0]}?" if near else ""))
