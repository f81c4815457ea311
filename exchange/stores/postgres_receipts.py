"""Receipts, written in batches behind the ping. Implements `flow.ports.Receipts`.

The queue is bounded: when it is full the oldest receipt loses its candidates, counted, and never
its offer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Final, NamedTuple

import asyncpg
from msgspec.structs import replace

from exchange.core.model import PingId
from exchange.flow.faults import Unavailable
from exchange.flow.ports import Receipt
from exchange.stores.ping_tally import columns_of, tally
from exchange.stores.postgres import Postgres
from exchange.stores.receipt_bodies import encode, read_receipt, write_receipt

QUEUE_BOUND: Final = 20_000
"""Receipts waiting at most; a few seconds of pings, about a hundred megabytes."""

BATCH: Final = 384
"""Few enough that adding them up keeps no ping waiting for more than a millisecond or two."""

STAND_ALREADY: Final = "XR001"
"""What put_receipts raises where it finds a receipt written: by a batch whose answer was lost."""

PAUSE_S: Final = 0.03
"""Between batches: long enough to gather, short enough that a receipt is there when asked for."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class _Kept(NamedTuple):
    """A receipt in the queue, and as it is written."""

    receipt: Receipt
    body: bytes


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
        self._waiting: OrderedDict[PingId, _Kept] = OrderedDict()
        self._writing: dict[PingId, _Kept] = {}
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

    def keep(self, receipt: Receipt, body: bytes = b"") -> None:
        """Queue a receipt for writing; ``body`` is its offer as JSON."""
        self._waiting[receipt.ping_id] = _Kept(receipt, write_receipt(receipt, body))
        if len(self._waiting) > QUEUE_BOUND:
            self._shed()
        self._wake.set()

    def _shed(self) -> None:
        """Strip the oldest receipt of its candidates; past twice the bound, drop it whole.

        The offer itself is not lost: it stands in the fast store.
        """
        ping_id, kept = self._waiting.popitem(last=False)
        self.dropped_details += 1
        if kept.receipt.candidates and len(self._waiting) < 2 * QUEUE_BOUND:
            stripped = replace(kept.receipt, candidates=())
            offer = b"" if stripped.offer is None else encode(stripped.offer)
            self._waiting[ping_id] = _Kept(stripped, write_receipt(stripped, offer))

    async def get(self, ping_id: PingId) -> Receipt | None:
        """A receipt, queued or written."""
        queued = self._waiting.get(ping_id) or self._writing.get(ping_id)
        if queued is not None:
            return queued.receipt
        body = await self._postgres.value("receipt", ping_id)
        return None if body is None else read_receipt(body)

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

    def _take(self) -> list[_Kept]:
        """The oldest of those waiting, a batch at most."""
        if len(self._waiting) <= BATCH:
            batch = list(self._waiting.values())
            self._waiting.clear()
            return batch
        return [self._waiting.popitem(last=False)[1] for _ in range(BATCH)]

    async def _write(self, batch: list[_Kept]) -> None:
        self._writing = {kept.receipt.ping_id: kept for kept in batch}
        try:
            await self._put(batch)
        except Exception as error:
            self.failed_batches += 1
            if not isinstance(error, Unavailable):
                # What PostgreSQL will not take now it will not take later; the offers stand.
                self.dropped_details += len(batch)
                self._on_error(error)
                return
            for kept in reversed(batch):
                self._waiting[kept.receipt.ping_id] = kept
                self._waiting.move_to_end(kept.receipt.ping_id, last=False)
            self._wake.set()
            await asyncio.sleep(0.5)
        finally:
            self._writing = {}

    async def _put(self, batch: list[_Kept]) -> None:
        """Write receipts with what they add up to; those that stand already are not counted."""
        receipts, sizes = [kept.receipt for kept in batch], [len(kept.body) for kept in batch]
        starts = accumulate(sizes[:-1], initial=1)
        try:
            await self._postgres.run(
                "put_receipts",
                ",".join([receipt.ping_id for receipt in receipts]),
                ",".join([receipt.seller_id for receipt in receipts]),
                ",".join([str((r.decided_at - _EPOCH) // _MICROSECOND) for r in receipts]),
                ",".join(map(str, starts)),
                ",".join(map(str, sizes)),
                b"".join([kept.body for kept in batch]),
                columns_of(tally(receipts, self._today)),
            )
        except asyncpg.PostgresError as error:
            if error.sqlstate != STAND_ALREADY:
                raise
            rows = await self._postgres.rows("known_receipts", [r.ping_id for r in receipts])
            known = {row["ping_id"] for row in rows}
            if left := [kept for kept in batch if kept.receipt.ping_id not in known]:
                await self._put(left)
