"""Receipts, written in batches behind the ping. Implements `flow.ports.Receipts`.

The queue is bounded: when it is full the oldest receipt loses its candidates, counted, and never
its offer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from exchange.core.auction import Candidate
from exchange.core.model import PingId, SellerId
from exchange.core.reasons import Reason
from exchange.flow.faults import Unavailable
from exchange.flow.ports import Receipt
from exchange.stores.offer_bodies import read_offer
from exchange.stores.postgres import Postgres

QUEUE_BOUND: Final = 20_000
"""Receipts waiting at most; a few seconds of pings, some tens of megabytes."""

BATCH: Final = 128
"""Few enough that encoding them keeps no ping waiting."""

PAUSE_S: Final = 0.01
"""Between batches: long enough to gather, short enough that a receipt is there when asked for."""


class _Beside(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a receipt with an offer says beside it: the rest stands in the offer already."""

    max_buyers: int = 1
    reason: Reason | None = None
    reasons: dict[str, int] = {}
    premium: bool = False
    candidates: tuple[Candidate, ...] = ()
    timings_us: dict[str, int] = {}
    offer: Raw = Raw()


class _Kept(NamedTuple):
    """A receipt in the queue, written already: what it was made of can be forgotten."""

    ping_id: PingId
    seller_id: SellerId
    decided_at: datetime
    body: bytes


class PostgresReceipts:
    """Queues receipts and writes them from one task."""

    def __init__(self, postgres: Postgres, on_error: Callable[[Exception], None]) -> None:
        self._postgres = postgres
        self._on_error = on_error
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
        written = write_receipt(receipt, body)
        self._waiting[receipt.ping_id] = _Kept(
            receipt.ping_id, receipt.seller_id, receipt.decided_at, written
        )
        if len(self._waiting) > QUEUE_BOUND:
            self._shed()
        self._wake.set()

    def _shed(self) -> None:
        """Strip the oldest receipt of its candidates; past twice the bound, drop it whole.

        The offer itself is not lost: it stands in the fast store.
        """
        ping_id, kept = self._waiting.popitem(last=False)
        self.dropped_details += 1
        receipt = read_receipt(kept.body)
        if receipt.candidates and len(self._waiting) < 2 * QUEUE_BOUND:
            stripped = replace(receipt, candidates=())
            body = b"" if receipt.offer is None else _encode(receipt.offer)
            self._waiting[ping_id] = kept._replace(body=write_receipt(stripped, body))

    async def get(self, ping_id: PingId) -> Receipt | None:
        """A receipt, queued or written."""
        queued = self._waiting.get(ping_id) or self._writing.get(ping_id)
        if queued is not None:
            return read_receipt(queued.body)
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
        self._writing = {kept.ping_id: kept for kept in batch}
        try:
            await self._postgres.run(
                "put_receipts",
                [kept.ping_id for kept in batch],
                [kept.seller_id for kept in batch],
                [kept.decided_at for kept in batch],
                [kept.body for kept in batch],
            )
        except Exception as error:
            self.failed_batches += 1
            if not isinstance(error, Unavailable):
                # What PostgreSQL will not take now it will not take later; the offers stand.
                self.dropped_details += len(batch)
                self._on_error(error)
                return
            for kept in reversed(batch):
                self._waiting[kept.ping_id] = kept
                self._waiting.move_to_end(kept.ping_id, last=False)
            self._wake.set()
            await asyncio.sleep(0.5)
        finally:
            self._writing = {}


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Receipt).decode
_decode_beside: Final = msgspec.json.Decoder(_Beside).decode


def write_receipt(receipt: Receipt, offer: bytes) -> bytes:
    """A receipt as it is stored. With an offer, given as JSON, nothing is written twice."""
    if not offer:
        return _encode(receipt)
    return _encode(
        _Beside(
            max_buyers=receipt.max_buyers,
            reason=receipt.reason,
            reasons=receipt.reasons,
            premium=receipt.premium,
            candidates=receipt.candidates,
            timings_us=receipt.timings_us,
            offer=Raw(offer),
        )
    )


def read_receipt(body: bytes) -> Receipt:
    """A stored receipt, whole; also one that was written with its offer's facts beside it."""
    beside = _decode_beside(body)
    if not bytes(beside.offer):
        return _decode(body)
    offer = read_offer(beside.offer)
    return Receipt(
        ping_id=offer.ping_id,
        seller_id=offer.seller_id,
        vertical=offer.vertical,
        attributes=offer.attributes,
        status="offer",
        decided_at=offer.decided_at,
        max_buyers=beside.max_buyers,
        min_price_cents=offer.min_price_cents,
        share=offer.share,
        legs_cents=offer.legs_cents,
        expires_at=offer.expires_at,
        reason=beside.reason,
        reasons=beside.reasons,
        premium=beside.premium,
        candidates=beside.candidates,
        timings_us=beside.timings_us,
        offer=offer,
        test=offer.test,
        quality_score=offer.quality_score,
        flaws=offer.flaws,
    )
