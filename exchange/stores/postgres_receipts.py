"""Receipts, written in batches behind the ping. Implements `flow.ports.Receipts`.

The queue is bounded: when it is full the oldest receipts lose their candidates, counted, and never
their offers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Final

from uuid_utils import uuid7

from exchange.core.model import PingId
from exchange.flow.faults import Unavailable
from exchange.flow.late_receipts import made_at_s
from exchange.flow.ports import Receipt
from exchange.stores.postgres import Postgres
from exchange.stores.receipt_batch import ReceiptBatch
from exchange.stores.receipt_bodies import read_receipt, write_receipt
from exchange.stores.receipt_counting import ReceiptCounting

QUEUE_BOUND: Final = 20_000
"""Receipts waiting at most; a few seconds of pings, about a hundred megabytes."""

BATCH: Final = 192
"""Receipts written together: more keep others on PostgreSQL's core waiting for a millisecond."""

PAUSE_S: Final = 0.015
"""Between batches: long enough to gather, short enough that a receipt is there when asked for."""

BATCH_LIFE: Final = timedelta(seconds=1)
"""No batch has receipts decided further apart, so that a day's are read about in their order."""

LOOKED_FOR_MS: Final = 300_000
"""How much younger than a ping the last of its batch may be, by their ids; see `_is_far`."""

AGAIN_S: Final = 0.5
"""Pause before a write that failed is tried again."""

_COARSE: Final = 8  # first digits of an id, which tell its time in steps of 65.5 s (RFC 9562, v7)


def utc_day(at: datetime) -> date:
    """The day of an aware UTC time."""
    return at.date()


class PostgresReceipts:
    """Queues receipts and writes them from one task.

    ``today`` is the market's day of a time; ``writer`` is whom the batches are by, a name no other
    has. What they add up to is noted under it every few seconds.
    """

    def __init__(
        self,
        postgres: Postgres,
        on_error: Callable[[Exception], None],
        today: Callable[[datetime], date] = utc_day,
        writer: str | None = None,
    ) -> None:
        self._postgres = postgres
        self._on_error = on_error
        self._today = today
        self._batches: deque[ReceiptBatch] = deque()
        self._stripped: deque[ReceiptBatch] = deque()
        self._writing: ReceiptBatch | None = None
        self._waiting = 0
        self._number = 0
        self._counting = ReceiptCounting(postgres, today, writer or str(uuid7()), on_error)
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = self._flushing = False
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
        if (
            batch is None
            or len(batch) >= BATCH
            or receipt.decided_at - batch.first_at > BATCH_LIFE
            or receipt.ping_id in batch.receipts
            or _is_far(receipt.ping_id, batch.first_ping)
        ):
            self._number += 1
            batch = ReceiptBatch(self._today, self._number)
            self._batches.append(batch)
        batch.add(receipt, write_receipt(receipt, body))
        self._waiting += 1
        if self._waiting == 1:
            self._wake.set()
        elif self._waiting > QUEUE_BOUND:
            self._shed()

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
        until = _latest_beside(ping_id)
        if until is None:
            return None
        body = await self._postgres.value("receipt", ping_id, until)
        return None if body is None else read_receipt(body)

    async def flush(self) -> None:
        """Wait until everything queued so far is written and counted."""
        self._flushing = True
        while self.waiting or self._counting.due_s is not None:
            self._wake.set()
            await asyncio.sleep(PAUSE_S)
        self._flushing = False

    async def adopt(self) -> bool:
        """Count what a dead worker wrote and did not count; True where there may be more."""
        return await self._counting.adopt()

    async def _write_on(self) -> None:
        loop = asyncio.get_running_loop()
        while not (self._stopping and not self._waiting):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._counting.due_s):
                    await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._write((self._stripped or self._batches).popleft())
                if self._waiting < BATCH and not self._stopping:
                    await asyncio.sleep(PAUSE_S)
                await self._count(loop.time())
            await self._count(loop.time())

    async def _count(self, now_s: float) -> None:
        """Note what was written, where that is due."""
        due_s = self._counting.due_s
        if due_s is None or not (due_s <= now_s or self._stopping or self._flushing):
            return
        try:
            await self._counting.count()
        except Exception as error:
            if not isinstance(error, Unavailable):
                self._on_error(error)
            await asyncio.sleep(AGAIN_S)

    async def _write(self, batch: ReceiptBatch) -> None:
        self._writing = batch
        self._waiting -= len(batch)
        try:
            await self._postgres.run("put_receipts", *batch.row(self._counting.writer))
            self._counting.add(batch, asyncio.get_running_loop().time())
        except Exception as error:
            self.failed_batches += 1
            if not isinstance(error, Unavailable):
                # What PostgreSQL will not take now it will not take later; the offers stand.
                self.dropped_details += len(batch) - batch.stripped
                self._on_error(error)
                return
            # In the order they came: what is counted is told by the number of the last.
            (self._stripped if batch.stripped or self._stripped else self._batches).appendleft(
                batch
            )
            self._waiting += len(batch)
            self._writing = None
            self._wake.set()
            await asyncio.sleep(AGAIN_S)
        finally:
            self._writing = None


def _is_far(ping_id: PingId, other: PingId) -> bool:
    """Whether two ids are too far apart in time for one batch: some two minutes or more.

    A machine that slept wakes with pings of before; a clock may have been put back.
    """
    if ping_id[:_COARSE] == other[:_COARSE]:
        return False
    try:
        return abs(int(ping_id[:_COARSE], 16) - int(other[:_COARSE], 16)) > 1
    except ValueError:
        return False


def _latest_beside(ping_id: PingId) -> str | None:
    """The greatest id that a ping written together with this one can have; None if this is none.

    Only as we write ids: any other text would be looked for among all there are.
    """
    made_s = made_at_s(ping_id)
    if made_s is None:
        return None
    digits = f"{round(made_s * 1_000) + LOOKED_FOR_MS:012x}"
    return f"{digits[:8]}-{digits[8:]}~"
