"""Makes taking leads idempotent: one delivery id is taken once and answered the same ever after.

In memory and bounded: a company keeps its own unique delivery ids where it keeps its leads, for
what comes again after a restart. Source: the wire (bidders/README.md, Leads).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

from bidders.kit.wire import Accepted, Lead, Refused, write_canonical

Taken = Accepted | Refused

MAX_REMEMBERED: Final = 50_000  # deliveries; the oldest is forgotten, long after any repeat
MAX_UNDER_WAY: Final = 1_000  # leads being taken at once


class DeliveryConflict(Exception):
    """A delivery id came again with another lead in it."""


class TooManyLeads(Exception):
    """As many leads as may are being taken."""


class Deliveries:
    """The deliveries being taken, and the answers given."""

    def __init__(
        self, *, max_remembered: int = MAX_REMEMBERED, max_under_way: int = MAX_UNDER_WAY
    ) -> None:
        self._max_remembered = max_remembered
        self._max_under_way = max_under_way
        self._under_way: dict[str, tuple[bytes, asyncio.Task[Taken]]] = {}
        self._answers: dict[str, tuple[bytes, Taken]] = {}  # in order of being given

    async def take(
        self, lead: Lead, take: Callable[[Lead], Coroutine[Any, Any, Taken]]
    ) -> tuple[Taken, bool]:
        """Answer a delivery, and say whether it is a repeat.

        ``take`` is called once for a delivery; a repeat meanwhile waits for the same end, which
        comes even if the caller leaves. What raises is not remembered: the next try is a first.
        Raises DeliveryConflict, TooManyLeads, and what ``take`` does.
        """
        digest = hashlib.sha256(write_canonical(lead)).digest()
        if (given := self._answers.get(lead.delivery_id)) is not None:
            _check_same(lead, given[0], digest)
            return given[1], True
        if (going := self._under_way.get(lead.delivery_id)) is not None:
            _check_same(lead, going[0], digest)
            return await asyncio.shield(going[1]), True
        if len(self._under_way) >= self._max_under_way:
            raise TooManyLeads
        task = asyncio.ensure_future(self._finish(lead, digest, take))
        self._under_way[lead.delivery_id] = digest, task
        return await asyncio.shield(task), False

    async def close(self) -> None:
        """End what is under way."""
        tasks = [task for _, task in self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _finish(
        self, lead: Lead, digest: bytes, take: Callable[[Lead], Coroutine[Any, Any, Taken]]
    ) -> Taken:
        try:
            answer = await take(lead)
            self._answers[lead.delivery_id] = digest, answer
            if len(self._answers) > self._max_remembered:
                del self._answers[next(iter(self._answers))]
            return answer
        finally:
            del self._under_way[lead.delivery_id]


def _check_same(lead: Lead, first: bytes, again: bytes) -> None:
    if first != again:
        raise DeliveryConflict(lead.delivery_id)
