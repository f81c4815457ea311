"""One auction's questions under way: a slot for each, one to be told, one deadline.

A `Call` is settled once, by whichever comes first: an answer, a fault, or its time. Whatever comes
after finds it closed. Knows no sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol, cast

from msgspec import Struct

from exchange.buyers.speech import BidRead
from exchange.core.reasons import Reason
from exchange.flow.bidding import Asked, Question, Said

if TYPE_CHECKING:
    from exchange.buyers.bid_seat import Seat

_TICK_S: Final = 0.002
"""How early a timer may come: loops count in milliseconds."""

_TIMED_OUT: Final = BidRead(reason=Reason.BIDDER_TIMEOUT)


class Holder(Protocol):
    """Where a call is: a connection, a queue. Told when the call is given up."""

    def give_up(self, call: Call) -> BidRead | None:
        """Let go of a call whose time has passed; gives what was heard that may be its answer."""
        ...


class Call(Struct, eq=False):
    """A question to one campaign. ``time_ms`` is its time, ``due`` when that ends here.

    ``is_second`` says that its first try was lost on a connection that had died unnoticed.
    """

    round: Round
    question: Question
    index: int
    asked: Asked
    seat: Seat
    time_ms: int
    due: float
    holder: Holder | None = None
    is_open: bool = True
    is_second: bool = False

    def settle(self, read: BidRead) -> None:
        """Note what came of it; the first word counts."""
        if not self.is_open:
            return
        self.is_open = False
        self.holder = None
        asked, auction = self.asked, self.round
        took_us = int((monotonic() - auction.began) * 1_000_000)
        cents, reason = self.seat.note(read, took_us)
        auction.fill(
            self.index,
            Said(
                cents=cents,
                token=read.token,
                reason=reason,
                campaign_id=asked.campaign_id,
                share=asked.share,
                took_us=took_us,
            ),
        )

    def expire(self) -> None:
        """Give it up: its time has passed."""
        holder, self.holder = self.holder, None
        heard = None if holder is None else holder.give_up(self)
        self.settle(heard or _TIMED_OUT)

    def abandon(self) -> None:
        """Give it up because nobody wants to know any more, which is nobody's fault."""
        holder, self.holder = self.holder, None
        self.is_open = False
        if holder is not None:
            holder.give_up(self)


class Round:
    """The slots of one auction, in the order of what was asked; ``told`` hears of all, once.

    It hears when every slot is filled and `close` has said that no call is to come. ``calls`` are
    those under way, none of a round that is over.
    """

    __slots__ = ("_left", "_moment", "_said", "_told", "began", "calls")

    def __init__(self, slots: int, told: Callable[[Sequence[Said]], None]) -> None:
        self.began = monotonic()
        self._said: list[Said | None] = [None] * slots
        self._left = slots + 1
        self._moment: set[Round] | None = None
        self.calls: list[Call] = []
        self._told: Callable[[Sequence[Said]], None] | None = told

    def fill(self, index: int, said: Said) -> None:
        """Fill a slot."""
        self._said[index] = said
        self._left -= 1
        if not self._left:
            self._tell()

    def close(self, deadlines: Deadlines) -> None:
        """All calls are under way: wait for what is open, which their times bound."""
        self._left -= 1
        if self._left:
            self._wait(deadlines)
        else:
            self._tell()

    def expire(self, due: float, deadlines: Deadlines) -> None:
        """Give up the calls whose time ends at ``due``, and wait for the others."""
        for call in list(self.calls):
            if call.is_open and call.due <= due + _TICK_S:
                call.expire()
        if self.calls:
            self._wait(deadlines)

    def abandon(self) -> None:
        """Leave nothing behind; nobody is told."""
        calls = self.calls
        self._end()
        for call in calls:
            if call.is_open:
                call.abandon()

    def _wait(self, deadlines: Deadlines) -> None:
        due = min([call.due for call in self.calls if call.is_open])
        self._moment = deadlines.add(due, self)

    def _tell(self) -> None:
        told = self._told
        self._end()
        if told is not None:
            told(cast("list[Said]", self._said))  # every slot is filled

    def _end(self) -> None:
        # Calls and round name each other: taken apart, they need no collector.
        self.calls = []
        self._told = None
        if self._moment is not None:
            self._moment.discard(self)
            self._moment = None


class Deadlines:
    """The moments by which rounds end: one timer for all that end at the same.

    Most are over earlier and take themselves out, and the timer finds nobody: that is cheaper than
    one for each, which would have to be set and cancelled.
    """

    __slots__ = ("_loop", "_rounds", "_timers")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._rounds: dict[float, set[Round]] = {}
        self._timers: dict[float, asyncio.TimerHandle] = {}

    def add(self, due: float, auction: Round) -> set[Round]:
        """Have a round expire what is due at a moment of the loop's clock, unless it leaves.

        Gives those of that moment.
        """
        rounds = self._rounds.get(due)
        if rounds is None:
            rounds = self._rounds[due] = set()
            self._timers[due] = self._loop.call_at(due, self._expire, due)
        rounds.add(auction)
        return rounds

    def close(self) -> None:
        """Let every moment go."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._rounds.clear()

    def _expire(self, due: float) -> None:
        del self._timers[due]
        for auction in tuple(self._rounds.pop(due)):
            auction.expire(due, self)
