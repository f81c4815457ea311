"""Campaigns shelved by the highest price they can bid, so that an auction can stop early.

A slot is a bit of the index's masks. Slots stand in blocks, a machine word each; a block holds
campaigns of neighbouring prices, and blocks are read in the order of their highest price. Putting a
campaign in moves at most half a block. Knows nothing of campaigns but a key and a price.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

K = TypeVar("K")

WORD: Final = 64
"""Slots from one block's first to the next's: one machine word of a mask."""

_DRIFT: Final = 64
"""A key whose price moved by more than this part of it since it was put is better put anew."""


class Block:
    """Some slots of neighbouring prices. ``bound_cents`` is at or above every price in it."""

    __slots__ = ("bound_cents", "least_cents", "number", "prices")

    def __init__(self, number: int) -> None:
        self.number = number
        self.bound_cents = 0
        self.least_cents = 0
        self.prices: dict[int, int] = {}

    def measure(self) -> None:
        """Reckon the highest and lowest price anew."""
        self.bound_cents = max(self.prices.values(), default=0)
        self.least_cents = min(self.prices.values(), default=0)

    def free_slot(self) -> int:
        """A slot of this block that nobody has."""
        first = self.number * WORD
        return next(slot for slot in range(first, first + WORD) if slot not in self.prices)


class Shelf(Generic[K]):
    """Keys by price, each with its slot. ``moved`` is told when a key gets another slot.

    ``at`` has each slot's key, ``order`` the blocks, dearest first; both are only to be read.
    """

    def __init__(self, moved: Callable[[K, int, int], None], size: int = WORD) -> None:
        self._moved = moved
        self._size = size
        self._blocks: list[Block] = []
        self._slots: dict[K, int] = {}
        self._placed: dict[K, int] = {}
        self.order: list[Block] = []
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
        del self._placed[key]
        block = self._blocks[slot // WORD]
        del block.prices[slot]
        self.at[slot] = None
        block.measure()
        self._sort()
        return slot

    def reprice(self, key: K, price_cents: int) -> bool:
        """Note a key's new price; False where it moved so far that it had better be put anew.

        A dearer key raises its block's bound; after a cheaper one the bound is merely not tight.
        """
        slot = self._slots[key]
        block = self._blocks[slot // WORD]
        block.prices[slot] = price_cents
        if price_cents < block.least_cents:
            block.least_cents = price_cents
        if price_cents > block.bound_cents:
            block.bound_cents = price_cents
            self._sort()
        placed = self._placed[key]
        return abs(price_cents - placed) * _DRIFT <= placed

    def words(self, mask: int) -> memoryview:
        """A mask's words by number of block."""
        return memoryview(mask.to_bytes(len(self._blocks) * (WORD // 8), "little")).cast("Q")

    def _block_for(self, price_cents: int) -> Block:
        """The first block, dearest first, whose cheapest is at most this price; else the last."""
        for block in self.order:
            if not block.prices or block.least_cents <= price_cents:
                return block
        return self.order[-1] if self.order else self._new_block()

    def _split(self, block: Block, price_cents: int) -> Block:
        """Move the cheaper half of a full block to a new one; gives the half a price belongs to."""
        by_price = sorted(block.prices.items(), key=lambda item: -item[1])
        cheaper = self._new_block()
        for old, price in by_price[self._size // 2 :]:
            key = self.at[old]
            assert key is not None
            del block.prices[old]
            self.at[old] = None
            new = cheaper.free_slot()
            self._place(cheaper, new, key, price)
            self._moved(key, old, new)
        block.measure()
        return block if price_cents > cheaper.bound_cents else cheaper

    def _new_block(self) -> Block:
        block = next((block for block in self._blocks if not block.prices), None)
        if block is None:
            block = Block(len(self._blocks))
            self._blocks.append(block)
            self.at.extend([None] * WORD)
            self.order.append(block)
        return block

    def _place(self, block: Block, slot: int, key: K, price_cents: int) -> None:
        alone = not block.prices
        block.prices[slot] = price_cents
        block.bound_cents = price_cents if alone else max(block.bound_cents, price_cents)
        block.least_cents = price_cents if alone else min(block.least_cents, price_cents)
        self._slots[key] = slot
        self._placed[key] = price_cents
        self.at[slot] = key

    def _sort(self) -> None:
        self.order.sort(key=lambda block: -block.bound_cents)
