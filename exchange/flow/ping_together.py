"""Pings of one moment, taken through each stage together, without a task for each.

Code and data of a stage stay in the processor's caches while it is done for one ping after the
other; a ping that goes through all of them alone costs nearly twice as much. Each comes to what
it would have come to alone, and a failure is only its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from exchange.core.auction import NOTHING_HEARD, Decision
from exchange.core.model import Ping
from exchange.core.remote import Hearing
from exchange.core.screen import SeenContact
from exchange.flow.faults import Unavailable
from exchange.flow.ping import Decided, Opened, Pinging
from exchange.flow.ports import Receipt

T = TypeVar("T")
R = TypeVar("R")
T_contra = TypeVar("T_contra", contravariant=True)

Told = Callable[[Sequence[tuple[T, Receipt | Exception]]], None]
"""Told pings by their callers' tokens: the receipt of each, or the fault that kept it from one."""


Asks = Sequence[tuple[T, Decided]]
"""Pings the fast store is asked about, by their callers' tokens."""


KEPT_TOGETHER: Final = 32
"""Pings in one ask of the fast store at most: it answers them all before any other's."""


MANY: Final = 4
"""Pings on the way, or waiting for their bidders, from which those that can go on gather first."""

GATHER_S: Final = 0.001
"""How long they gather, at most. One that goes through all stages alone costs three to four times
what it costs in a group: at half load a worker has a fifth less to do, and its slowest answers are
quicker. Where few come, none waits.
"""


class PingGroups(Protocol[T_contra]):
    """Takes groups of pings, each under a token of its caller's."""

    def begin(self, asks: Iterable[tuple[T_contra, Ping]]) -> None:
        """Begin pings. Who was to be told of them hears of every one, in this turn or a later."""
        ...


class PingingTogether(Generic[T]):
    """Begins groups of pings and tells of them in groups, as the fast store answers."""

    def __init__(self, pinging: Pinging, told: Told[T]) -> None:
        self._pinging = pinging
        self._told = told
        self._heard: list[tuple[T, Opened, Hearing]] = []
        self._ready: list[tuple[T, Opened, Hearing]] = []
        self._answered: list[tuple[Asks[T], asyncio.Future[Sequence[SeenContact | None]]]] = []
        self._done: list[tuple[T, Receipt | Exception]] = []
        self._scheduled = self._gathering = False
        self._asking = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[object]] = set()

    def begin(self, asks: Iterable[tuple[T, Ping]]) -> None:
        """Begin pings, each under a token of its caller's; ``told`` hears of every one."""
        pinging = self._pinging
        now = pinging.now()
        for token, ping in asks:
            try:
                opened = pinging.open(ping, now)
            except Exception as error:
                self._end(token, error)
                continue
            if isinstance(opened, Receipt):
                self._end(token, opened)
            elif pinging.must_ask(opened):
                self._ask(token, opened)
            else:
                self._ready.append((token, opened, NOTHING_HEARD))
        self._decide()

    def _decide(self) -> None:
        """Hold the auctions of all that are ready, and then ask the fast store for all of them."""
        ready, self._ready = self._ready, []
        pinging = self._pinging
        held: list[tuple[T, Opened, Hearing, Decision]] = []
        for token, opened, heard in ready:
            try:
                held.append((token, opened, heard, pinging.hold(opened, heard)))
            except Exception as error:
                self._end(token, error)
        decided: list[tuple[T, Decided]] = []
        for token, opened, heard, decision in held:
            try:
                decided.append((token, pinging.write(opened, heard, decision)))
            except Exception as error:
                self._end(token, error)
        self._keep(decided)

    def _keep(self, decided: Sequence[tuple[T, Decided]]) -> None:
        """Ask the fast store for all that have to; the others are over."""
        pinging = self._pinging
        asks: list[tuple[T, Decided]] = []
        for token, one in decided:
            if pinging.must_keep(one):
                asks.append((token, one))
            else:
                self._close(token, one)
                self._schedule()
        for first in range(0, len(asks), KEPT_TOGETHER):
            some = asks[first : first + KEPT_TOGETHER]
            try:
                asked = pinging.keep([one for _, one in some])
            except Exception as error:
                for token, _ in some:
                    self._end(token, error)
            else:
                asked.add_done_callback(partial(self._kept, some))

    def _ask(self, token: T, opened: Opened) -> None:
        """Ask a ping's bidders."""
        self._asking += 1
        try:
            self._pinging.begin_asking(opened, partial(self._told_bids, token, opened))
        except Exception as error:
            self._asking -= 1
            self._end(token, error)

    def _told_bids(self, token: T, opened: Opened, heard: Hearing) -> None:
        """A ping's bidders have answered; others' whose have too are decided with it."""
        self._asking -= 1
        self._heard.append((token, opened, heard))
        if self._gathering:
            return
        self._gathering = True
        if self._asking < MANY:
            self._at_hand().call_soon(self._decide_heard)
        else:
            self._at_hand().call_later(GATHER_S, self._decide_heard)

    def _decide_heard(self) -> None:
        """Decide the pings whose bidders have answered."""
        self._gathering = False
        self._open_again()
        self._decide()

    def _open_again(self) -> None:
        """See who may bid by now on the pings whose bidders have answered."""
        heard, self._heard = self._heard, []
        pinging = self._pinging
        now = pinging.now()
        for token, opened, hearing in heard:
            try:
                self._ready.append((token, pinging.open_again(opened, now), hearing))
            except Exception as error:
                self._end(token, error)

    def _kept(self, asks: Asks[T], asked: asyncio.Future[Sequence[SeenContact | None]]) -> None:
        """The fast store has answered; others of its call are told of in this turn too."""
        self._answered.append((asks, asked))
        self._schedule()

    def _end(self, token: T, came: Receipt | Exception) -> None:
        self._done.append((token, came))
        self._schedule()

    def _schedule(self) -> None:
        if self._scheduled:
            return
        self._scheduled = True
        self._at_hand().call_soon(self._turn)

    def _at_hand(self) -> asyncio.AbstractEventLoop:
        """The loop: to be told which is running costs a system call each time."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def _turn(self) -> None:
        """Go on with all that can: receipts, answers."""
        self._scheduled = False
        answered, self._answered = self._answered, []
        for asks, asked in answered:
            try:
                known = asked.result()
            except (Exception, asyncio.CancelledError) as error:
                self._done.extend([(token, _fault_of(error)) for token, _ in asks])
                continue
            for (token, decided), seen in zip(asks, known, strict=True):
                if seen is None:
                    self._close(token, decided)
                else:
                    again = self._pinging.decide_again(decided, seen)
                    self._run(again, partial(self._decided, token))
        done, self._done = self._done, []
        if done:
            self._told(done)

    def _close(self, token: T, decided: Decided) -> None:
        try:
            self._done.append((token, self._pinging.close(decided)))
        except Exception as error:
            self._done.append((token, error))

    def _decided(self, token: T, task: asyncio.Task[Receipt]) -> None:
        """A ping whose contact was known is decided for good."""
        self._tasks.discard(task)
        try:
            self._end(token, task.result())
        except (Exception, asyncio.CancelledError) as error:
            self._end(token, _fault_of(error))

    def _run(
        self, going_on: Coroutine[None, None, R], ended: Callable[[asyncio.Task[R]], None]
    ) -> None:
        """What has to wait for the fast store once more has a task."""
        task = asyncio.get_running_loop().create_task(going_on)
        self._tasks.add(task)
        task.add_done_callback(ended)


def _fault_of(error: BaseException) -> Exception:
    """What a ping's caller is told; work that is cancelled is cancelled because we stop."""
    return error if isinstance(error, Exception) else Unavailable("this worker is stopping")
