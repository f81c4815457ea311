"""Campaigns shelved by the highest price they can bid, so that an auction can stop early.

A slot is a bit of the index's masks. Slots stand in blocks of `BLOCK`; each block holds campaigns
of neighbouring prices, and the blocks are read in the order of their highest price. Putting a
campaign in moves at most half a block. Knows nothing of campaigns but a key and a price.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

K = TypeVar("K")

BLOCK: Final = 64
"""Slots of a block: small enough to stop close to the winner, one machine word of a mask."""


class Block(Generic[K]):
    """Up to a block's size of campaigns, and the highest and lowest of their prices."""

    __slots__ = ("bound_cents", "least_cents", "prices", "shift", "size")

    def __init__(self, shift: int, size: int) -> None:
        self.shift = shift
        self.size = size
        self.bound_cents = 0
        self.least_cents = 0
        self.prices: dict[int, tuple[int, K]] = {}

    def measure(self) -> None:
        """Reckon the highest and lowest price anew."""
        prices = [price for price, _ in self.prices.values()]
        self.bound_cents, self.least_cents = max(prices, default=0), min(prices, default=0)

    def free_slot(self) -> int:
        """A slot of this block that nobody has."""
        return next(s for s in range(self.shift, self.shift + self.size) if s not in self.prices)


class Shelf(Generic[K]):
    """Keys by price, each with its slot. ``moved`` is told when a key gets another slot."""

    def __init__(self, moved: Callable[[K, int, int], None], size: int = BLOCK) -> None:
        self._moved = moved
        self._size = size
        self._full = (1 << size) - 1
        self._blocks: list[Block[K]] = []
        self._order: list[Block[K]] = []
        self._slots: dict[K, int] = {}
        self.at: list[K | None] = []

    def __len__(self) -> int:
        return len(self._slots)

    def slot(self, key: K) -> int:
        """The slot of a key. Raises KeyError."""
        return self._slots[key]

    def put(self, key: K, price_cents: int) -> int:
        """Give a new key its slot."""
        block = self._block_for(price_cents)
        if len(block.prices) == self._size:
            block = self._split(block, price_cents)
        slot = block.free_slot()
        self._place(block, slot, key, price_cents)
        self._sort()
        return slot

    def take(self, key: K) -> int:
        """Free a key's slot; gives which it was."""
        slot = self._slots.pop(key)
        block = self._blocks[slot // self._size]
        del block.prices[slot]
        self.at[slot] = None
        block.measure()
        self._sort()
        return slot

    def walk(self, mask: int) -> Iterator[tuple[int, list[int]]]:
        """The slots of a mask by block, dearest first, each with the block's highest price."""
        for block in self._order:
            bits = (mask >> block.shift) & self._full
            if bits:
                slots = []
                base = block.shift - 1
                while bits:
                    lowest = bits & -bits
                    slots.append(base + lowest.bit_length())
                    bits ^= lowest
                yield block.bound_cents, slots

    def _block_for(self, price_cents: int) -> Block[K]:
        """The first block, dearest first, whose cheapest is at most this price; else the last."""
        for block in self._order:
            if not block.prices or block.least_cents <= price_cents:
                return block
        return self._order[-1] if self._order else self._new_block()

    def _split(self, block: Block[K], price_cents: int) -> Block[K]:
        """Move the cheaper half of a full block to a new one; gives the half a price belongs to."""
        by_price = sorted(block.prices.items(), key=lambda item: -item[1][0])
        cheaper = self._new_block()
        for old, (price, key) in by_price[self._size // 2 :]:
            del block.prices[old]
            self.at[old] = None
            new = cheaper.free_slot()
            self._place(cheaper, new, key, price)
            self._moved(key, old, new)
        block.measure()
        return block if price_cents > cheaper.bound_cents else cheaper

    def _new_block(self) -> Block[K]:
        block: Block[K] = next((b for b in self._blocks if not b.prices), Block(-1, self._size))
        if block.shift < 0:
            block = Block(len(self._blocks) * self._size, self._size)
            self._blocks.append(block)
            self.at.extend([None] * self._size)
            self._order.append(block)
        return block

    def _place(self, block: Block[K], slot: int, key: K, price_cents: int) -> None:
        alone = not block.prices
        block.prices[slot] = (price_cents, key)
        block.bound_cents = price_cents if alone else max(block.bound_cents, price_cents)
        block.least_cents = price_cents if alone else min(block.least_cents, price_cents)
        self._slots[key] = slot
        self.at[slot] = key

    def _sort(self) -> None:
        self._order.sort(key=lambda block: -block.bound_cents)
