"""Keeping day summaries: a background loop that counts what posts and returns noted.

Never on the way of a ping or a post; one worker at a time, by the store's lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

TURN_S: Final = 2.0
"""Pause between turns where little waits: how far reports may lag behind."""

HURRY_S: Final = 0.5
"""Pause where more waits: at 1,000 leads a turn, above 100 million a year."""

BUSY_S: Final = 0.01
"""Pause of one who waits for the end, where another worker is at it."""


class Summaries(Protocol):
    """The summaries as they are kept."""

    async def turn(self) -> bool:
        """Count some of what is noted; True where more may wait. Raises Unavailable."""
        ...


class Summarising:
    """Counts on, until it is stopped."""

    def __init__(
        self, summaries: Summaries, on_error: Callable[[str, BaseException], None]
    ) -> None:
        self._summaries = summaries
        self._on_error = on_error
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._forever(), name="summarise")

    async def stop(self) -> None:
        """End; what is under way is undone by the store, and counted by the next worker."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def catch_up(self) -> None:
        """Count until nothing waits."""
        while await self._summaries.turn():  # noqa: ASYNC110 - for tests, the demo and checks
            await asyncio.sleep(BUSY_S)

    async def _forever(self) -> None:
        while True:
            more = False
            try:
                more = await self._summaries.turn()
            except Exception as error:
                self._on_error("summarise", error)
            await asyncio.sleep(HURRY_S if more else TURN_S)
