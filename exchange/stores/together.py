"""What many ask of PostgreSQL at one moment, in one transaction; and a fault only to whose it is.

A transaction that fails is as if it had not been: each ask of it is then made alone, in its order.
Must not know what is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from exchange.flow.faults import Unavailable
from exchange.stores.batching import Batch

A = TypeVar("A")
R = TypeVar("R")

MOST_AT_ONCE: Final = 64
"""Asks in one transaction: some milliseconds in which others wait for its rows."""

MOST_WAITING: Final = 4_096
"""Asks waiting at most; beyond, PostgreSQL is overloaded and they are refused."""


class Together(Generic[A, R]):
    """Gathers asks of one kind. ``send`` answers a list of asks in one transaction, in order."""

    def __init__(self, send: Callable[[Sequence[A]], Awaitable[Sequence[R]]]) -> None:
        self._send = send
        self._batch: Batch[A, R | Exception] = Batch(
            self._carry, most=MOST_AT_ONCE, waiting=MOST_WAITING
        )

    async def ask(self, what: A) -> R:
        """Ask with the others of this moment. Raises what ``send`` raises for this ask alone."""
        answer = await self._batch.ask(what)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _carry(self, asks: Sequence[A]) -> Sequence[R | Exception]:
        try:
            return await self._send(asks)
        except Unavailable:
            # Nobody knows whether it was done, and it would fare no better alone.
            raise
        except Exception as error:
            if len(asks) == 1:
                return [error]
        answers: list[R | Exception] = []
        for what in asks:
            answers += await self._alone(what)
        return answers

    async def _alone(self, what: A) -> Sequence[R | Exception]:
        try:
            return await self._send([what])
        except Exception as error:
            return [error]
