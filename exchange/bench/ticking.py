"""A clock that ticks more finely than an event loop's timers, where the system has one.

Event loops wait in whole milliseconds; a rate of thousands a second would go out in bursts, and
the bursts be measured as the server's latency. Linux' timer descriptors tick as finely as asked.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

COARSE_S: Final = 0.001
"""The tick where the system has no timer descriptors: an event loop's own grain."""

_CLOCK_MONOTONIC: Final = 1


class _Spec(ctypes.Structure):
    """`struct itimerspec`: interval and first expiry, in seconds and nanoseconds."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("first_s", ctypes.c_long),
        ("first_ns", ctypes.c_long),
    )


@contextmanager
def ticking(every_s: float, tick: Callable[[], None]) -> Iterator[None]:
    """Call ``tick`` every so often until the end of the block."""
    loop = asyncio.get_running_loop()
    descriptor = _open_timer(every_s)
    if descriptor is not None:

        def read() -> None:
            os.read(descriptor, 8)
            tick()

        loop.add_reader(descriptor, read)
        try:
            yield
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        return
    ticker = loop.create_task(_tick_coarsely(max(every_s, COARSE_S), tick))
    try:
        yield
    finally:
        ticker.cancel()


async def _tick_coarsely(every_s: float, tick: Callable[[], None]) -> None:
    while True:
        tick()
        await asyncio.sleep(every_s)


def _open_timer(every_s: float) -> int | None:
    """A periodic timer descriptor (timerfd_create(2)); None where there is no such thing."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None, use_errno=True)
    descriptor: int = library.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        return None
    every_ns = int(every_s * 1_000_000_000)
    spec = _Spec(0, every_ns, 0, every_ns)
    if library.timerfd_settime(descriptor, 0, ctypes.byref(spec), None) != 0:
        os.close(descriptor)
        return None
    return descriptor
