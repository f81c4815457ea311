"""What a bid stream brought that answers nothing, so that a ping without an answer gets its reason.

Whose a bid with wrong ids was meant to be, or one that cannot be read, nobody knows: it is held
against one ping that was open when it came and got no other, if one can be found of the campaign
that it names. A bid that comes twice, or late, is nobody's and nothing. Knows no sockets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import Final, NamedTuple

from exchange.buyers.bid_reading import unreadable
from exchange.buyers.bid_round import Call
from exchange.buyers.speech import BidRead
from exchange.core.reasons import Reason

Key = tuple[str, str, int]
"""A ping on a stream: its id, the campaign, the share count."""

MOST_STRAYS: Final = 128
"""Strays remembered; before more than that, the oldest are forgotten."""

_OF_ANOTHER: Final = BidRead(reason=Reason.BID_AUCTION, detail="another auction's id")
_UNREAD: Final = unreadable("an entry, or its frame, cannot be read")


class _Stray(NamedTuple):
    came_at: float  # on the clock of `time.monotonic`, as a round's beginning is
    read: BidRead
    campaign_id: str | None = None


class Strays:
    """The strays of one stream; ``most_pings`` that are over are known for certain."""

    __slots__ = ("_just_over", "_long_over", "_most_pings", "_over", "_strays")

    def __init__(self, most_pings: int) -> None:
        self._most_pings = most_pings
        self._over, self._long_over = set[Key](), set[Key]()
        self._just_over: list[Key] = []  # not sorted in yet, as hardly anybody asks
        self._strays: deque[_Stray] = deque(maxlen=MOST_STRAYS)

    def over(self, keys: Sequence[Key]) -> None:
        """Note that pings were answered, or their time passed."""
        self._just_over += keys
        if len(self._just_over) >= self._most_pings:
            self._sort_in()

    def came(self, key: Key) -> None:
        """Note a bid for no ping that is open."""
        self._sort_in()
        if key not in self._over and key not in self._long_over:
            self._strays.append(_Stray(monotonic(), _OF_ANOTHER, key[1]))

    def unread(self) -> None:
        """Note a bid, or a frame, that could not be read."""
        self._strays.append(_Stray(monotonic(), _UNREAD))

    def take(self, call: Call) -> BidRead | None:
        """Give what is held against a ping that got no answer in its time, if anything is."""
        strays = self._strays
        while strays and strays[0].came_at < call.round.began:
            strays.popleft()
        for stray in strays:
            if stray.campaign_id == call.asked.campaign_id:
                strays.remove(stray)
                return stray.read
        return strays.popleft().read if strays else None

    def _sort_in(self) -> None:
        if len(self._over) + len(self._just_over) > self._most_pings:
            self._long_over, self._over = self._over, set()
        self._over.update(self._just_over)
        self._just_over.clear()

    def clear(self) -> None:
        """Forget the strays of a stream that was lost."""
        self._strays.clear()
