"""Reading a receipt that another worker may not have written yet.

Receipts are written behind the ping, by the worker that answered it; a seller who asks another one
at once is a few milliseconds too early. Only ids young by their own time (RFC 9562, version 7) are
worth a wait, and only so many callers wait at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from uuid import UUID

from exchange.core.model import PingId
from exchange.flow.faults import Unavailable
from exchange.flow.ports import Receipt, Receipts

YOUNG_S: Final = 2.0
"""How long after its ping a receipt may still be on its way."""

PAUSES_S: Final = (0.01, 0.02, 0.04, 0.08, 0.15, 0.2)
"""Between two looks: half a second together; most receipts are there after 20 ms."""

MOST_WAITING: Final = 64
"""Callers waiting in one worker at most: ids can be made up, and each look asks the database."""


class LateReceipts:
    """Reads receipts. ``wall_s`` is the machine's time in seconds since 1970, as ids have it."""

    def __init__(self, receipts: Receipts, *, wall_s: Callable[[], float]) -> None:
        self._receipts = receipts
        self._wall_s = wall_s
        self._waiting = 0

    async def get(self, ping_id: PingId) -> Receipt | None:
        """The receipt of a ping. Raises Unavailable while it may still be on its way."""
        receipt = await self._receipts.get(ping_id)
        if receipt is not None or not self._is_young(ping_id):
            return receipt
        if self._waiting < MOST_WAITING:
            self._waiting += 1
            try:
                receipt = await self._look_again(ping_id)
            finally:
                self._waiting -= 1
        if receipt is None and self._is_young(ping_id):
            raise Unavailable("This ping's receipt may not be written yet; ask again.")
        return receipt

    async def _look_again(self, ping_id: PingId) -> Receipt | None:
        for pause_s in PAUSES_S:
            await asyncio.sleep(pause_s)
            receipt = await self._receipts.get(ping_id)
            if receipt is not None:
                return receipt
        return None

    def _is_young(self, ping_id: PingId) -> bool:
        made_s = made_at_s(ping_id)
        # Clocks of two machines differ a little either way.
        return made_s is not None and abs(self._wall_s() - made_s) < YOUNG_S


def made_at_s(ping_id: str) -> float | None:
    """When an id was made, in seconds since 1970; None if it does not say, or is not ours."""
    try:
        made = UUID(ping_id)
    except ValueError:
        return None
    return (made.int >> 80) / 1000 if made.version == 7 and str(made) == ping_id else None
