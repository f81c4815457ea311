"""What a fault proxy does to connections, as plain data.

Pure.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

Direction = Literal["to_server", "to_client"]

MAX_WAIT_MS: Final = 60_000
PIECE_S: Final = 0.02  # a throttled connection gets its bytes in pieces of this time


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens to connections.

    ``mode``: ``pass`` lets them through; ``black_hole`` takes them and moves no byte, though
    nothing is lost when it ends; ``reset`` resets all there are, and new ones at once;
    ``refuse`` lets those be that are there, and refuses new ones.
    What follows happens to bytes in ``direction``. Each chunk arrives ``latency_ms`` late, and up
    to ``jitter_ms`` more, in order. ``bytes_per_second`` is the most that gets through. After
    ``cut_after_bytes`` of a connection's bytes both its sides are ended, as ``cut_with`` says.
    """

    mode: Literal["pass", "black_hole", "reset", "refuse"] = "pass"
    direction: Literal["both", "to_server", "to_client"] = "both"
    latency_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_WAIT_MS)] = 0
    jitter_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_WAIT_MS)] = 0
    bytes_per_second: Annotated[int, msgspec.Meta(ge=1)] | None = None
    cut_after_bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None
    cut_with: Literal["end", "reset"] = "end"

    def concern(self, direction: Direction) -> bool:
        """Tell whether bytes going this way are late, slow or cut."""
        return self.direction in ("both", direction)

    def delay_s(self, direction: Direction, draw: float) -> float:
        """Give how late a chunk arrives, in seconds; ``draw`` in [0, 1) decides its jitter."""
        if not self.concern(direction):
            return 0.0
        return (self.latency_ms + self.jitter_ms * draw) / 1_000

    def piece_bytes(self, direction: Direction) -> int | None:
        """Give how many bytes may go at once, or None for any number."""
        if self.bytes_per_second is None or not self.concern(direction):
            return None
        return max(1, int(self.bytes_per_second * PIECE_S))

    def left_bytes(self, direction: Direction, moved: int) -> int | None:
        """Give how many more bytes get through after so many, or None for any number."""
        if self.cut_after_bytes is None or not self.concern(direction):
            return None
        return max(0, self.cut_after_bytes - moved)
