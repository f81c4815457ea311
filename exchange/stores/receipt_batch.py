"""Receipts that are written together, with what they add up to.

What a write needs of a receipt is taken from it at once, while it is at hand: to come back to some
hundred of them later costs twice as much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Final

from msgspec.structs import replace

from exchange.core.model import PingId
from exchange.flow.ports import Receipt
from exchange.stores.ping_tally import Tally
from exchange.stores.receipt_bodies import encode, write_receipt

_NEVER: Final = datetime.max.replace(tzinfo=UTC)

Row = tuple[str, int, str, str, datetime, datetime, int, str, str, bytes]
"""A row of receipt_batch."""


class ReceiptBatch:
    """Some receipts in the order they came; ``today`` is the market's day of a time.

    ``number`` is its place among its writer's, ``tally`` what its receipts add up to; ``stripped``
    is how many of them lost their candidates. ``first_at`` is when the earliest of them was
    decided, ``first_ping`` the one that came first.
    """

    __slots__ = (
        "_bodies", "_last_at", "first_at", "first_ping", "number", "receipts", "stripped", "tally",
    )  # fmt: skip

    def __init__(self, today: Callable[[datetime], date], number: int) -> None:
        self.number = number
        self.tally = Tally(today)
        self.receipts: dict[PingId, Receipt] = {}
        self.stripped = 0
        self.first_at = self._last_at = _NEVER
        self.first_ping = PingId("")
        self._bodies: list[bytes] = []

    def __len__(self) -> int:
        return len(self.receipts)

    def add(self, receipt: Receipt, body: bytes) -> None:
        """Put a receipt in, given also as it is stored."""
        at = receipt.decided_at
        if not self.receipts:
            self.first_at = self._last_at = at
            self.first_ping = receipt.ping_id
        elif at > self._last_at:
            self._last_at = at
        elif at < self.first_at:
            self.first_at = at
        self.receipts[receipt.ping_id] = receipt
        self._bodies.append(body)
        self.tally.add(receipt)

    def row(self, writer: str) -> Row:
        """The batch as it is stored; there must be something in it."""
        pings = self.receipts
        return (
            writer,
            self.number,
            min(pings),
            max(pings),
            self.first_at,
            self._last_at,
            len(pings),
            ",".join(pings),
            ",".join(map(str, map(len, self._bodies))),
            b"".join(self._bodies),
        )

    def strip(self) -> None:
        """Take every receipt's candidates away; what they added up to stays."""
        for place, (ping_id, receipt) in enumerate(self.receipts.items()):
            if receipt.candidates:
                bare = self.receipts[ping_id] = replace(receipt, candidates=())
                offer = b"" if bare.offer is None else encode(bare.offer)
                self._bodies[place] = write_receipt(bare, offer)
                self.stripped += 1


def bodies_of(sizes: str, bodies: bytes) -> Iterator[bytes]:
    """The bodies of a stored batch, each receipt's own."""
    start = 0
    for size in map(int, sizes.split(",")):
        yield bodies[start : start + size]
        start += size
