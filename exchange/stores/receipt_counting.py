"""What written receipts add up to, noted for the day summaries once, whatever dies when.

A worker adds its receipts up as they are written and notes the sum every few seconds, together with
the number of the batch up to which it goes. What a worker did not live to note is added up by
another, from the receipts themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date, datetime
from typing import Final

import msgspec

from exchange.stores.ping_tally import Tally, columns_of
from exchange.stores.postgres import Postgres
from exchange.stores.receipt_batch import ReceiptBatch, bodies_of
from exchange.stores.receipt_bodies import read_receipt

COUNT_S: Final = 5.0
"""Between two notes of what was written, which reports then lag behind."""

SILENT_S: Final = 30.0
"""A worker not heard of for so long notes nothing any more."""

ADOPT_S: Final = 10.0
"""Pause between two looks for what dead workers left."""

_PAUSE_S: Final = 0.01
"""Left to others between two batches that are read and added up: a millisecond or two each."""


class ReceiptCounting:
    """What one writer's receipts add up to. ``today`` is the market's day of a time.

    ``due_s`` is the moment of the loop's clock when the next note is due; None where there is
    nothing to note.
    """

    def __init__(
        self,
        postgres: Postgres,
        today: Callable[[datetime], date],
        writer: str,
        on_error: Callable[[Exception], None],
    ) -> None:
        self._postgres = postgres
        self._today = today
        self.writer = writer
        self._on_error = on_error
        self.due_s: float | None = None
        self._counted = self._written = 0
        self._tally = Tally(today)

    def add(self, batch: ReceiptBatch, now_s: float) -> None:
        """Count a batch in, now that it is written; numbers only grow."""
        self._written = batch.number
        self._tally.merge(batch.tally)
        if self.due_s is None:
            self.due_s = now_s + COUNT_S

    async def count(self) -> None:
        """Note what was added. Raises Unavailable, and it is still to be noted."""
        tallies = columns_of(self._tally.lines())
        counted = await self._postgres.value(
            "count_receipts", self.writer, self._counted, self._written, tallies
        )
        if counted != self._written:
            # Some of it was noted by another, who took this worker for dead: the rest alone counts.
            counted = await self._count_anew(self.writer)
        self._counted, self._tally, self.due_s = counted, Tally(self._today), None

    async def adopt(self) -> bool:
        """Note what one dead worker left, if there is one; True where there may be more."""
        writer = await self._postgres.value("uncounted_writer", SILENT_S)
        if writer is None:
            return False
        await self._count_anew(writer)
        return True

    async def _count_anew(self, writer: str) -> int:
        """Note what a writer has not, from its receipts; gives the number of the last."""
        while True:
            counted: int = await self._postgres.value("counted_receipts", writer)
            batch = await self._postgres.row("uncounted_batch", writer, counted)
            if batch is None:
                return counted
            tally = Tally(self._today)
            for body in bodies_of(batch["sizes"], batch["bodies"]):
                try:
                    tally.add(read_receipt(body))
                except msgspec.MsgspecError as error:
                    self._on_error(error)  # one that cannot be read keeps no other from counting
            tallies = columns_of(tally.lines())
            await self._postgres.value("count_receipts", writer, counted, batch["number"], tallies)
            await asyncio.sleep(_PAUSE_S)
