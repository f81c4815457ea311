"""Receipts, written in batches behind the ping. Implements `flow.ports.Receipts`.

The queue is bounded: when it is full the oldest receipt loses its candidates, counted, and never
its offer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import date, datetime
from typing import Final

import asyncpg
import msgspec
from msgspec.structs import replace

from exchange.core.model import PingId
from exchange.flow.faults import Unavailable
from exchange.flow.ports import Receipt
from exchange.stores.ping_tally import tally
from exchange.stores.postgres import Postgres

QUEUE_BOUND: Final = 20_000
"""Receipts waiting at most; a few seconds of pings, some tens of megabytes."""

BATCH: Final = 128
"""Few enough that encoding them keeps no ping waiting."""

STAND_ALREADY: Final = "XR001"
"""What put_receipts raises where it finds a receipt written: by a batch whose answer was lost."""

PAUSE_S: Final = 0.01
"""Between batches: long enough to gather, short enough that a receipt is there when asked for."""


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
        self._waiting: OrderedDict[PingId, Receipt] = OrderedDict()
        self._writing: dict[PingId, Receipt] = {}
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Receipt).decode
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
        return len(self._waiting) + len(self._writing)

    def keep(self, receipt: Receipt) -> None:
        """Queue a receipt for writing."""
        self._waiting[receipt.ping_id] = receipt
        if len(self._waiting) > QUEUE_BOUND:
            self._shed()
        self._wake.set()

    def _shed(self) -> None:
        """Strip the oldest receipt of its candidates; past twice the bound, drop it whole.

        The offer itself is not lost: it stands in the fast store.
        """
        ping_id, receipt = self._waiting.popitem(last=False)
        self.dropped_details += 1
        if receipt.candidates and len(self._waiting) < 2 * QUEUE_BOUND:
            self._waiting[ping_id] = replace(receipt, candidates=())

    async def get(self, ping_id: PingId) -> Receipt | None:
        """A receipt, queued or written."""
        queued = self._waiting.get(ping_id) or self._writing.get(ping_id)
        if queued is not None:
            return queued
        body = await self._postgres.value("receipt", ping_id)
        return None if body is None else self._decode(body)

    async def flush(self) -> None:
        """Wait until everything queued so far is written."""
        while self._waiting or self._writing:  # noqa: ASYNC110 - for tests and the demo alone
            await asyncio.sleep(PAUSE_S)

    async def _write_on(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._write(self._take())
                if len(self._waiting) < BATCH and not self._stopping:
                    await asyncio.sleep(PAUSE_S)
            if self._stopping:
                return

    def _take(self) -> list[Receipt]:
        """The oldest of those waiting, a batch at most."""
        if len(self._waiting) <= BATCH:
            batch = list(self._waiting.values())
            self._waiting.clear()
            return batch
        return [self._waiting.popitem(last=False)[1] for _ in range(BATCH)]

    async def _write(self, batch: list[Receipt]) -> None:
        self._writing = {receipt.ping_id: receipt for receipt in batch}
        try:
            await self._put(batch)
        except Exception as error:
            self.failed_batches += 1
            if not isinstance(error, Unavailable):
                # What PostgreSQL will not take now it will not take later; the offers stand.
                self.dropped_details += len(batch)
                self._on_error(error)
                return
            for receipt in reversed(batch):
                self._waiting[receipt.ping_id] = receipt
                self._waiting.move_to_end(receipt.ping_id, last=False)
            self._wake.set()
            await asyncio.sleep(0.5)
        finally:
            self._writing = {}

    async def _put(self, batch: list[Receipt]) -> None:
        """Write receipts with what they add up to; those that stand already are not counted."""
        try:
            await self._postgres.run(
                "put_receipts",
                [receipt.ping_id for receipt in batch],
                [receipt.seller_id for receipt in batch],
                [receipt.decided_at for receipt in batch],
                [self._encode(receipt) for receipt in batch],
                *tally(batch, self._today),
            )
        except asyncpg.PostgresError as error:
            if error.sqlstate != STAND_ALREADY:
                raise
            rows = await self._postgres.rows("known_receipts", [r.ping_id for r in batch])
            known = {row["ping_id"] for row in rows}
            if left := [receipt for receipt in batch if receipt.ping_id not in known]:
                await self._put(left)
