"""How often something came lately: counts over a sliding window, in bounded memory.

Time is passed in, as whole seconds. A worker counts what it answers itself: with several workers
each sees its part, and none remembers across a restart. So what is found here is a sign, never a
proof that something did not happen. Keys are integers made of what is counted, never contact data.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MOST_KEYS: Final = 50_000
"""What is counted at most; beyond, what was seen longest ago is forgotten. Some ten megabytes."""

MOST_VALUES: Final = 64
"""Different values kept of one key; more are no more telling."""


class Pace:
    """Counts of each key in the last ``window_s`` seconds.

    The window before the present one counts by the part of it that is still inside: exact where
    things come evenly, and never more than all of both.
    """

    __slots__ = ("_counts", "_most", "_window_s")

    def __init__(self, window_s: int, most: int = MOST_KEYS) -> None:
        self._window_s = window_s
        self._most = most
        self._counts: OrderedDict[int, tuple[int, int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def count(self, key: int, at_s: int, *, add: bool = True) -> int:
        """How often a key came, this time included; counted only with ``add``."""
        window, into_s = divmod(at_s, self._window_s)
        known = self._counts.get(key)
        if known is None:
            if add:
                self._counts[key] = (window, 1, 0)
                if len(self._counts) > self._most:
                    self._counts.popitem(last=False)
            return 1
        then, current, before = known
        if window == then + 1:
            current, before = 0, current
        elif window > then:
            current = before = 0
        else:
            window = then
        current += 1
        if add:
            self._counts[key] = (window, current, before)
            self._counts.move_to_end(key)
        return current + before * (self._window_s - into_s) // self._window_s


class Variety:
    """How many different values each key came with in the last ``window_s`` seconds."""

    __slots__ = ("_most", "_values", "_window_s")

    def __init__(self, window_s: int, most: int = MOST_KEYS) -> None:
        self._window_s = window_s
        self._most = most
        self._values: OrderedDict[int, dict[int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def count(self, key: int, value: int, at_s: int, *, add: bool = True) -> int:
        """How many different values a key has, this one included; kept only with ``add``."""
        since = at_s - self._window_s
        values = {v: at for v, at in self._values.get(key, {}).items() if at > since}
        values.pop(value, None)
        values[value] = at_s
        if add:
            if len(values) > MOST_VALUES:
                del values[next(iter(values))]
            self._values[key] = values
            self._values.move_to_end(key)
            if len(self._values) > self._most:
                self._values.popitem(last=False)
        return len(values)
