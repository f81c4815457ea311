"""Steps made over and over beside the market: one task each, whose failures stop nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from zlib import crc32

Step = Callable[[], Awaitable[object]]


class Background:
    """Tasks that repeat a step; ``on_error`` is told the name of a step that failed, and why."""

    def __init__(self, on_error: Callable[[str, BaseException], None]) -> None:
        self._on_error = on_error
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, name: str, step: Step, pause_s: float, *, hurry_s: float | None = None) -> None:
        """Repeat a step for ever, with a pause after each; the first begins at once.

        The pause is ``hurry_s``, where that is given, after a step that says True: more waits. The
        first is shorter, by a part that the name decides: steps begun together that went on
        together would keep all else waiting for all of them.
        """
        repeated = self._forever(name, step, pause_s, pause_s if hurry_s is None else hurry_s)
        self._tasks.append(asyncio.create_task(repeated, name=name))

    async def stop(self) -> None:
        """End all. Safe to repeat."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _forever(self, name: str, step: Step, pause_s: float, hurry_s: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        next_s = pause_s * crc32(name.encode()) / 2**32
        while True:
            more: object = False
            try:
                more = await step()
            except Exception as error:
                self._on_error(name, error)
            if task.cancelling():
                return  # a step may swallow that it was cancelled, as `wait_for` does at times
            await asyncio.sleep(min(next_s, hurry_s) if more is True else next_s)
            next_s = pause_s
