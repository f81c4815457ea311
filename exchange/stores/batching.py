"""Many callers, one call: what waits at the same time goes to a store together.

A caller alone is sent at once; while calls are under way others gather. Bounded in size, in calls
under way and in waiting; a call that fails fails only those it carried.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from exchange.flow.faults import Unavailable

A = TypeVar("A")
R = TypeVar("R")

CALLS: Final = 2
"""Calls under way at once: one being answered while the next is made."""


class Batch(Generic[A, R]):
    """Gathers asks of one kind. ``send`` answers a list of asks with as many answers, in order."""

    def __init__(
        self,
        send: Callable[[Sequence[A]], Awaitable[Sequence[R]]],
        *,
        most: int,
        waiting: int,
        calls: int = CALLS,
    ) -> None:
        self._send = send
        self._most = most
        self._most_waiting = waiting
        self._calls = calls
        self._waiting: deque[tuple[A, int, asyncio.Future[R]]] = deque()
        self._weight = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._scheduled = False

    def ask(self, what: A, weight: int = 1) -> asyncio.Future[R]:
        """Ask with the others of this moment. Raises Unavailable when too many wait already.

        ``weight`` is for how many this asks: they count one by one towards a call's size.
        """
        if self._weight >= self._most_waiting:
            raise Unavailable("too many are waiting for the store")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[R] = loop.create_future()
        self._waiting.append((what, weight, answer))
        self._weight += weight
        if not self._scheduled and len(self._under_way) < self._calls:
            # At the end of this turn of the loop: by then everyone who came with it has asked.
            self._scheduled = True
            loop.call_soon(self._start)
        return answer

    def _start(self) -> None:
        self._scheduled = False
        while self._waiting and len(self._under_way) < self._calls:
            task = asyncio.create_task(self._carry(self._take()))
            self._under_way.add(task)
            task.add_done_callback(self._ended)

    def _take(self) -> list[tuple[A, asyncio.Future[R]]]:
        """Those who waited longest, as many as a call carries; one alone may be heavier."""
        batch: list[tuple[A, asyncio.Future[R]]] = []
        room = self._most
        while self._waiting and (self._waiting[0][1] <= room or not batch):
            what, weight, answer = self._waiting.popleft()
            batch.append((what, answer))
            room -= weight
            self._weight -= weight
        return batch

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._start()

    async def _carry(self, batch: list[tuple[A, asyncio.Future[R]]]) -> None:
        try:
            answers = await self._send([what for what, _ in batch])
            if len(answers) != len(batch):
                raise RuntimeError(f"{len(answers)} answers came to {len(batch)} asks")
        except Exception as error:
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
            return
        except asyncio.CancelledError:
            for _, answer in batch:
                answer.cancel()
            raise
        for (_, answer), result in zip(batch, answers, strict=True):
            if not answer.done():
                answer.set_result(result)
