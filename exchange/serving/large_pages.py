"""Asks Linux to keep this process's memory in large pages.

A market of ten thousand campaigns is some hundred megabytes of small objects, of which every ping
touches others. In pages of 4 KB much of its time goes into finding where they are: with large ones
a ping took 7 to 8 percent less (1,000 and 10,000 campaigns). Nothing is asked for elsewhere, and
where the system does not want to, nothing changes. Source: madvise(2).
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LARGE_BYTES: Final = 2 * 1024 * 1024
"""A large page where there are any: on x86-64, and on arm64 with small pages of 4 KB."""

_MAPS: Final = Path("/proc/self/maps")
_HUGEPAGE: Final = 14
_COLLAPSE: Final = 25
"""Since Linux 6.1: at once, rather than by and by in the background."""


def ask_for_large_pages() -> int:
    """Ask for all memory this process has by now; gives how many bytes that was asked for.

    Takes a tenth of a second for a hundred megabytes.
    """
    if not sys.platform.startswith("linux"):
        return 0
    advise = ctypes.CDLL(None).madvise
    asked = 0
    for first, end in _whole_pages(_MAPS.read_text()):
        place, size = ctypes.c_void_p(first), ctypes.c_size_t(end - first)
        # It is a wish: a system that knows no large pages says so, and all stays as it is.
        if advise(place, size, _HUGEPAGE) == 0:
            advise(place, size, _COLLAPSE)
            asked += end - first
    return asked


def _whole_pages(maps: str) -> Iterator[tuple[int, int]]:
    """Where a process's own memory holds whole large pages: first byte, and the one behind."""
    for line in maps.splitlines():
        span, access, _, _, _, *name = line.split(maxsplit=5)
        if not access.startswith("rw-p") or (name and name[0].strip() != "[heap]"):
            continue
        first, end = (int(part, 16) for part in span.split("-"))
        first = -(-first // LARGE_BYTES) * LARGE_BYTES
        end = end // LARGE_BYTES * LARGE_BYTES
        if first < end:
            yield first, end
