"""A worker's memory is kept in large pages where Linux has them, and nowhere else is it touched."""

from __future__ import annotations

import mmap
import re
import sys
from pathlib import Path

import pytest

from exchange.serving import large_pages
from exchange.serving.large_pages import LARGE_BYTES, ask_for_large_pages

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone has them")
MODES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def smaps() -> dict[int, str]:
    """What the system says of each part of this process's memory, by where it begins."""
    parts = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
    return {int(part.split("-", 1)[0], 16): part for part in parts if part}


@linux
@pytest.mark.skipif(
    not MODES.exists() or "[never]" in MODES.read_text(), reason="they are turned off"
)
def test_memory_in_use_is_asked_to_be_in_large_pages() -> None:
    with mmap.mmap(-1, 8 * LARGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.write(b"market" * (8 * LARGE_BYTES // 6))
        before = smaps()
        assert ask_for_large_pages() >= 7 * LARGE_BYTES
        asked = [begin for begin, part in smaps().items() if " hg" in part and begin in before]
        assert asked
        memory.seek(0)
        assert memory.read(6) == b"market"


def test_only_whole_pages_of_own_memory_are_asked_for() -> None:
    page = LARGE_BYTES
    maps = "\n".join(
        [
            f"{page + 1:x}-{4 * page - 1:x} rw-p 00000000 00:00 0 ",
            f"{5 * page:x}-{6 * page:x} rw-p 00000000 00:00 0                          [heap]",
            f"{7 * page:x}-{9 * page:x} rw-p 00000000 08:01 17   /usr/lib/a library.so",
            f"{10 * page:x}-{12 * page:x} r--p 00000000 00:00 0 ",
            f"{13 * page:x}-{15 * page:x} rw-s 00000000 00:01 5   /dev/zero (deleted)",
            f"{16 * page + 1:x}-{17 * page:x} rw-p 00000000 00:00 0 ",
            f"{20 * page:x}-{22 * page:x} rw-p 00000000 00:00 0   [stack]",
        ]
    )
    assert list(large_pages._whole_pages(maps)) == [(2 * page, 3 * page), (5 * page, 6 * page)]


def test_nothing_is_asked_of_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert ask_for_large_pages() == 0
