"""One auction's questions under way: a slot for each, one waiter for all, one deadline.

A `Call` is settled once, by whichever comes first: an answer, a fault, or its time. Whatever comes
after finds it closed. Knows no sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

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


class Call:
    """A question to one campaign. ``time_ms`` is its time, ``due`` when that ends here.

    ``is_second`` says that its first try was lost on a connection that had died unnoticed.
    """

    __slots__ = (
        "asked",
        "due",
        "holder",
        "index",
        "is_open",
        "is_second",
        "question",
        "round",
        "seat",
        "time_ms",
    )

    def __init__(
        self, round_: Round, index: int, asked: Asked, seat: Seat, time_ms: int, due: float
    ) -> None:
        self.round = round_
        self.question = round_.question
        self.index = index
        self.asked = asked
        self.seat = seat
        self.time_ms = time_ms
        self.due = due
        self.holder: Holder | None = None
        self.is_open = True
        self.is_second = False

    def settle(self, read: BidRead) -> None:
        """Note what came of it; the first word counts."""
        if not self.is_open:
            return
        self.is_open = False
        self.holder = None
        took_us = int((monotonic() - self.round.began) * 1_000_000)
        cents, reason = self.seat.note(read, took_us)
        self.round.fill(
            self.index,
            Said(
                campaign_id=self.asked.campaign_id,
                share=self.asked.share,
                cents=cents,
                token=read.token,
                reason=reason,
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
    """The slots of one auction, in the order of what was asked."""

    __slots__ = ("_calls", "_left", "_loop", "_said", "_timer", "_waiter", "began", "question")

    def __init__(self, question: Question, slots: int, loop: asyncio.AbstractEventLoop) -> None:
        self.question = question
        self.began = monotonic()
        self._loop = loop
        self._said: list[Said | None] = [None] * slots
        self._left = slots
        self._calls: list[Call] = []
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def add(self, call: Call) -> None:
        """Take a call in, before it goes anywhere."""
        self._calls.append(call)

    def fill(self, index: int, said: Said) -> None:
        """Fill a slot."""
        self._said[index] = said
        self._left -= 1
        if not self._left and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> Sequence[Said]:
        """Wait until every slot is filled, which the calls' times see to."""
        if self._left:
            self._waiter = self._loop.create_future()
            self._set_timer()
            await self._waiter
        return [said for said in self._said if said is not None]

    def end(self) -> None:
        """Leave nothing behind, also where the asker was cancelled."""
        if self._timer is not None:
            self._timer.cancel()
        if self._left:
            for call in self._calls:
                if call.is_open:
                    call.abandon()
        # Calls and round name each other: taken apart, they need no collector.
        self._calls.clear()

    def _set_timer(self) -> None:
        due = min(call.due for call in self._calls if call.is_open)
        self._timer = self._loop.call_at(due, self._expire, due)

    def _expire(self, due: float) -> None:
        for call in self._calls:
            if call.is_open and call.due <= due + _TICK_S:
                call.expire()
        if self._left:
            self._set_timer()
