"""A company's bidder over HTTP: its connections, and the calls that wait for one.

Decides which connection takes which call, when to dial, and how many of each there may be. Never
waits itself: only dialling is a task.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

from exchange.buyers.bid_client import LOST, HttpConnection
from exchange.buyers.bid_dialling import DialFailed, Dialler, Place
from exchange.buyers.bid_letter import Unsendable
from exchange.buyers.bid_limits import BidLimits
from exchange.buyers.bid_outbox import Outbox
from exchange.buyers.bid_round import Call
from exchange.buyers.speech import BidRead, KnownHead
from exchange.core.breaker import Breaker
from exchange.core.reasons import Reason

BUSY: Final = BidRead(reason=Reason.BIDDER_BUSY)


class Room:
    """How many more connections a worker may have, to all bidders."""

    __slots__ = ("_left",)

    def __init__(self, connections: int) -> None:
        self._left = connections

    def take(self) -> bool:
        """Take room for one, if there is some."""
        if self._left <= 0:
            return False
        self._left -= 1
        return True

    def give(self) -> None:
        """Give back the room of one."""
        self._left += 1


class HttpPool:
    """The line to one bidder over HTTP."""

    held_against = frozenset(
        {
            Reason.BIDDER_TIMEOUT,
            Reason.BIDDER_CONNECTION,
            Reason.BIDDER_ERROR,
            Reason.BID_UNREADABLE,
            Reason.BID_TOO_LARGE,
            Reason.BID_CURRENCY,
            Reason.BID_PRICE,
            Reason.BID_AUCTION,
        }
    )

    def __init__(
        self, place: Place, dialler: Dialler, room: Room, limits: BidLimits, outbox: Outbox
    ) -> None:
        self.breaker = Breaker()
        self._place = place
        self._dialler = dialler
        self._room = room
        self._limits = limits
        self._outbox = outbox
        self._loop = asyncio.get_running_loop()
        self._connections: set[HttpConnection] = set()
        self._idle: list[HttpConnection] = []  # the longest idle first, the last used taken first
        self._waiting: deque[Call] = deque()
        self._dialling: set[asyncio.Task[HttpConnection]] = set()
        self._is_closed = False
        self._heads: dict[bytes, KnownHead] = {}

    @property
    def connections(self) -> int:
        """Connections open or being opened."""
        return len(self._connections) + len(self._dialling)

    @property
    def waiting(self) -> int:
        """Calls that wait for a connection."""
        return len(self._waiting)

    def place(self, call: Call) -> None:
        """Send a call on an idle connection, or let it wait for one."""
        if self._idle:
            connection = self._idle.pop()
            if not self._send(connection, call):
                self._rest(connection)
        elif len(self._waiting) >= self._limits.max_waiting_per_bidder or self._is_closed:
            call.settle(BUSY)
        else:
            call.holder = self
            self._waiting.append(call)
            self._dial_more()
            if not self.connections:
                self._waiting.remove(call)
                call.settle(BUSY)

    def give_up(self, call: Call) -> BidRead | None:
        """Let a call go that waited in vain."""
        with suppress(ValueError):
            self._waiting.remove(call)
        return None

    def sweep(self, now: float) -> None:
        """Hang up what was idle for long, or stayed late for long."""
        limits = self._limits
        too_old = [c for c in self._idle if now - c.idle_since > limits.keep_alive_s]
        too_late = [
            c for c in self._connections if c.late_until is not None and c.late_until <= now
        ]
        for connection in too_old + too_late:
            connection.drop()

    async def close(self) -> None:
        """End every connection and every call."""
        self._is_closed = True
        dialling = list(self._dialling)
        for task in dialling:
            task.cancel()
        await asyncio.gather(*dialling, return_exceptions=True)
        for connection in list(self._connections):
            connection.drop()
        self._fail_waiting(LOST)

    # --- what connections tell --------------------------------------------------------------------

    def freed(self, connection: HttpConnection) -> None:
        """Give the connection to whoever waits longest, or keep it."""
        while self._waiting:
            call = self._waiting.popleft()
            # It has waited, so the bidder has less time; what is over ends by its own timer.
            left_s = call.due - self._loop.time() - self._limits.network_ms / 1_000
            call.time_ms = min(call.time_ms, int(left_s * 1_000))
            call.holder = None
            if call.time_ms > 0 and self._send(connection, call):
                return
        self._rest(connection)

    def ended(self, connection: HttpConnection) -> None:
        """Forget the connection; whoever waits gets another."""
        if connection in self._connections:
            self._connections.discard(connection)
            self._room.give()
            with suppress(ValueError):
                self._idle.remove(connection)
            self._dial_more()
            if not self.connections:
                self._fail_waiting(LOST)

    def try_again(self, call: Call) -> None:
        """Ask once more, on a new connection: those that were idle with it are as old."""
        for connection in list(self._idle):
            connection.drop()
        if call.is_second or self._is_closed:
            call.settle(LOST)
        elif call.is_open:
            call.is_second = True
            self.place(call)

    # --- sending and dialling ---------------------------------------------------------------------

    def _send(self, connection: HttpConnection, call: Call) -> bool:
        """Send a call; False if there is nothing to send, with which the call has ended."""
        letter = call.seat.letter
        assert letter is not None
        try:
            request = letter.write(call)
        except Unsendable as fault:
            call.settle(BidRead(reason=Reason.BIDDER_CONNECTION, detail=str(fault)))
            return False
        connection.send(call, request)
        return True

    def _rest(self, connection: HttpConnection) -> None:
        connection.rest()
        self._idle.append(connection)

    def _dial_more(self) -> None:
        """Dial for those that wait, as far as there is room."""
        while (
            len(self._dialling) < len(self._waiting)
            and self.connections < self._limits.max_connections_per_bidder
            and not self._is_closed
            and self._room.take()
        ):
            task = self._loop.create_task(
                self._dialler.dial(self._place, self._make, self._limits.connect_ms / 1_000)
            )
            self._dialling.add(task)
            task.add_done_callback(self._dialled)

    def _dialled(self, task: asyncio.Task[HttpConnection]) -> None:
        """Take in what came of a dial; called also for one that was cancelled."""
        self._dialling.discard(task)
        fault = None if task.cancelled() else task.exception()
        if not task.cancelled() and fault is None and not task.result().is_ended:
            connection = task.result()
            self._connections.add(connection)
            self.freed(connection)
            return
        self._room.give()
        if not self.connections:
            # Others may still be served by what is open; where nothing is, nobody will be.
            detail = str(fault) if isinstance(fault, DialFailed) else LOST.detail
            self._fail_waiting(BidRead(reason=Reason.BIDDER_CONNECTION, detail=detail))

    def _make(self) -> HttpConnection:
        return HttpConnection(
            self,
            loop=self._loop,
            outbox=self._outbox,
            max_body_bytes=self._limits.max_answer_bytes,
            late_s=self._limits.late_s,
            heads=self._heads,
        )

    def _fail_waiting(self, told: BidRead) -> None:
        while self._waiting:
            self._waiting.popleft().settle(told)
