"""Steps made over and over beside the market: one task each, whose failures stop nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Step = Callable[[], Awaitable[object]]


class Background:
    """Tasks that repeat a step; ``on_error`` is told the name of a step that failed, and why."""

    def __init__(self, on_error: Callable[[str, BaseException], None]) -> None:
        self._on_error = on_error
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, name: str, step: Step, pause_s: float) -> None:
        """Repeat a step for ever, with a pause after each."""
        self._tasks.append(asyncio.create_task(self._forever(name, step, pause_s), name=name))

    async def stop(self) -> None:
        """End all. Safe to repeat."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _forever(self, name: str, step: Step, pause_s: float) -> None:
        while True:
            try:
                await step()
            except Exception as error:
                self._on_error(name, error)
            await asyncio.sleep(pause_s)
