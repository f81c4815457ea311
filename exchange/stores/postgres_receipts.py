"""Receipts, written in batches behind the ping. Implements `flow.ports.Receipts`.

The queue is bounded: when it is full the oldest receipts lose their candidates, counted, and never
their offers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from datetime import date, datetime
from typing import Final

import asyncpg

from exchange.core.model import PingId
from exchange.flow.faults import Unavailable
from exchange.flow.ports import Receipt
from exchange.stores.postgres import Postgres
from exchange.stores.receipt_batch import ReceiptBatch
from exchange.stores.receipt_bodies import read_receipt, write_receipt

QUEUE_BOUND: Final = 20_000
"""Receipts waiting at most; a few seconds of pings, about a hundred megabytes."""

BATCH: Final = 384
"""Few enough that putting them together keeps no ping waiting for more than a millisecond."""

STAND_ALREADY: Final = "XR001"
"""What put_receipts raises where it finds a receipt written: by a batch whose answer was lost."""

PAUSE_S: Final = 0.03
"""Between batches: long enough to gather, short enough that a receipt is there when asked for. Half
of it halves what a batch keeps others on PostgreSQL's core waiting, and costs posts a fifth."""


def utc_day(at: datetime) -> date:
    """The day of an aware UTC time."""
    return at.date()


class PostgresReceipts:
    """Queues receipts and writes them from one task. ``today`` is the market's day of a time."""

    def __init__(
        self,
        postgres: Postgres,
        on_error: Callable[[Exception], None],
        today: Callable[[datetime], date] = utc_day,
    ) -> None:
        self._postgres = postgres
        self._on_error = on_error
        self._today = today
        self._batches: deque[ReceiptBatch] = deque()
        self._stripped: deque[ReceiptBatch] = deque()
        self._writing: ReceiptBatch | None = None
        self._waiting = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self.dropped_details = 0
        self.failed_batches = 0

    def start(self) -> None:
        """Begin writing in the background."""
        self._task = asyncio.create_task(self._write_on(), name="receipts")

    async def stop(self) -> None:
        """Write what is waiting, for a few seconds at most, and end."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._task, 3)

    @property
    def waiting(self) -> int:
        """How many receipts wait to be written."""
        return self._waiting + (0 if self._writing is None else len(self._writing))

    def keep(self, receipt: Receipt, body: bytes = b"") -> None:
        """Queue a receipt for writing; ``body`` is its offer as JSON."""
        batch = self._batches[-1] if self._batches else None
        if batch is None or len(batch) >= BATCH or receipt.ping_id in batch.receipts:
            batch = ReceiptBatch(self._today)
            self._batches.append(batch)
        batch.add(receipt, write_receipt(receipt, body))
        self._waiting += 1
        if self._waiting > QUEUE_BOUND:
            self._shed()
        self._wake.set()

    def _shed(self) -> None:
        """Strip the oldest receipts of their candidates; past twice the bound, drop them whole.

        The offers themselves are not lost: they stand in the fast store.
        """
        if self._waiting - sum(map(len, self._stripped)) > QUEUE_BOUND:
            batch = self._batches.popleft()
            batch.strip()
            self.dropped_details += batch.stripped
            self._stripped.append(batch)
        while self._waiting > 2 * QUEUE_BOUND and self._stripped:
            batch = self._stripped.popleft()
            self._waiting -= len(batch)
            self.dropped_details += len(batch) - batch.stripped

    async def get(self, ping_id: PingId) -> Receipt | None:
        """A receipt, queued or written."""
        queued = [*self._batches, *self._stripped]
        if self._writing is not None:
            queued.append(self._writing)
        for batch in queued:
            if (receipt := batch.receipts.get(ping_id)) is not None:
                return receipt
        body = await self._postgres.value("receipt", ping_id)
        return None if body is None else read_receipt(body)

    async def flush(self) -> None:
        """Wait until everything queued so far is written."""
        while self.waiting:  # noqa: ASYNC110 - for tests and the demo alone
            await asyncio.sleep(PAUSE_S)

    async def _write_on(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._write((self._stripped or self._batches).popleft())
                if self._waiting < BATCH and not self._stopping:
                    await asyncio.sleep(PAUSE_S)
            if self._stopping:
                return

    async def _write(self, batch: ReceiptBatch) -> None:
        self._writing = batch
        self._waiting -= len(batch)
        try:
            await self._put(batch)
        except Exception as error:
            self.failed_batches += 1
            if not isinstance(error, Unavailable):
                # What PostgreSQL will not take now it will not take later; the offers stand.
                self.dropped_details += len(batch) - batch.stripped
                self._on_error(error)
                return
            (self._stripped if batch.stripped else self._batches).appendleft(batch)
            self._waiting += len(batch)
            self._writing = None
            self._wake.set()
            await asyncio.sleep(0.5)
        finally:
            self._writing = None

    async def _put(self, batch: ReceiptBatch) -> None:
        """Write receipts with what they add up to; those that stand already are not counted."""
        try:
            await self._postgres.run("put_receipts", *batch.arguments())
        except asyncpg.PostgresError as error:
            if error.sqlstate != STAND_ALREADY:
                raise
            rows = await self._postgres.rows("known_receipts", list(batch.receipts))
            if left := batch.without({row["ping_id"] for row in rows}):
                await self._put(left)
