"""Receipts that are written together, with what they add up to.

What a write needs of a receipt is taken from it at once, while it is at hand: to come back to some
hundred of them later costs twice as much.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Final

from msgspec.structs import replace

from exchange.core.model import PingId
from exchange.flow.ports import Receipt
from exchange.stores.ping_tally import Tally, columns_of
from exchange.stores.receipt_bodies import encode, write_receipt

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class ReceiptBatch:
    """Some receipts in the order they came; ``today`` is the market's day of a time.

    ``stripped`` is how many of them lost their candidates.
    """

    __slots__ = ("_at_us", "_bodies", "_sellers", "_tally", "_today", "receipts", "stripped")

    def __init__(self, today: Callable[[datetime], date]) -> None:
        self._today = today
        self._tally = Tally(today)
        self._sellers: list[str] = []
        self._at_us: list[int] = []
        self._bodies: list[bytes] = []
        self.receipts: dict[PingId, Receipt] = {}
        self.stripped = 0

    def __len__(self) -> int:
        return len(self.receipts)

    def add(self, receipt: Receipt, body: bytes) -> None:
        """Put a receipt in, given also as it is stored."""
        self.receipts[receipt.ping_id] = receipt
        self._sellers.append(receipt.seller_id)
        self._at_us.append((receipt.decided_at - _EPOCH) // _MICROSECOND)
        self._bodies.append(body)
        self._tally.add(receipt)

    def arguments(self) -> tuple[str, str, str, str, str, bytes, list[str]]:
        """The arguments of put_receipts."""
        sizes = [len(body) for body in self._bodies]
        return (
            ",".join(self.receipts),
            ",".join(self._sellers),
            ",".join(map(str, self._at_us)),
            ",".join(map(str, accumulate(sizes[:-1], initial=1))),
            ",".join(map(str, sizes)),
            b"".join(self._bodies),
            columns_of(self._tally.lines()),
        )

    def strip(self) -> None:
        """Take every receipt's candidates away; what they added up to stays."""
        for place, (ping_id, receipt) in enumerate(self.receipts.items()):
            if receipt.candidates:
                bare = self.receipts[ping_id] = replace(receipt, candidates=())
                offer = b"" if bare.offer is None else encode(bare.offer)
                self._bodies[place] = write_receipt(bare, offer)
                self.stripped += 1

    def without(self, known: Container[PingId]) -> ReceiptBatch:
        """Those that are not known, as a batch of their own."""
        left = ReceiptBatch(self._today)
        for receipt, body in zip(self.receipts.values(), self._bodies, strict=True):
            if receipt.ping_id not in known:
                left.add(receipt, body)
        return left
