"""Pings of one moment, taken through each stage together, without a task for each.

Code and data of a stage stay in the processor's caches while it is done for one ping after the
other; a ping that goes through all of them alone costs nearly twice as much. Each comes to what
it would have come to alone, and a failure is only its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Generic, Protocol, TypeVar

from exchange.core.model import Ping
from exchange.flow.faults import Unavailable
from exchange.flow.ping import Decided, Opened, Pinging
from exchange.flow.ports import Receipt

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

Told = Callable[[Sequence[tuple[T, Receipt | Exception]]], None]
"""Told pings by their callers' tokens: the receipt of each, or the fault that kept it from one."""


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
        self._done: list[tuple[T, Receipt | Exception]] = []
        self._answered: list[tuple[T, Decided, asyncio.Future[bool]]] = []
        self._scheduled = False
        self._tasks: set[asyncio.Task[Receipt]] = set()

    def begin(self, asks: Iterable[tuple[T, Ping]]) -> None:
        """Begin pings, each under a token of its caller's; ``told`` hears of every one."""
        opened = self._open(asks)
        decided: list[tuple[T, Decided]] = []
        pinging = self._pinging
        for token, one in opened:
            try:
                decided.append((token, pinging.decide(one)))
            except Exception as error:
                self._end(token, error)
        for token, made in decided:
            try:
                asked = pinging.keep(made)
                if asked is None:
                    self._end(token, pinging.close(made))
                else:
                    asked.add_done_callback(partial(self._kept, token, made))
            except Exception as error:
                self._end(token, error)

    def _open(self, asks: Iterable[tuple[T, Ping]]) -> list[tuple[T, Opened]]:
        """Screen pings; those refused are done, those for bidders go on by themselves."""
        pinging = self._pinging
        taken: list[tuple[T, Opened]] = []
        for token, ping in asks:
            try:
                opened = pinging.open(ping)
            except Exception as error:
                self._end(token, error)
                continue
            if isinstance(opened, Receipt):
                self._end(token, opened)
            elif pinging.must_ask(opened):
                self._run(token, pinging.go_on(opened))
            else:
                taken.append((token, opened))
        return taken

    def _kept(self, token: T, decided: Decided, asked: asyncio.Future[bool]) -> None:
        """The fast store has answered; others of its call are told of in this turn too."""
        self._answered.append((token, decided, asked))
        self._schedule()

    def _end(self, token: T, came: Receipt | Exception) -> None:
        self._done.append((token, came))
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._scheduled = False
        answered, self._answered = self._answered, []
        pinging = self._pinging
        for token, decided, asked in answered:
            try:
                if asked.result():
                    self._done.append((token, pinging.close(decided)))
                else:
                    self._run(token, pinging.decide_again(decided))
            except asyncio.CancelledError:
                self._done.append((token, Unavailable("the fast store was closed")))
            except Exception as error:
                self._done.append((token, error))
        done, self._done = self._done, []
        if done:
            self._told(done)

    def _run(self, token: T, going_on: Coroutine[None, None, Receipt]) -> None:
        """What has to wait for more than the fast store has a task."""
        task = asyncio.get_running_loop().create_task(going_on)
        self._tasks.add(task)
        task.add_done_callback(partial(self._ran, token))

    def _ran(self, token: T, task: asyncio.Task[Receipt]) -> None:
        self._tasks.discard(task)
        try:
            came: Receipt | Exception = task.result()
        except asyncio.CancelledError:
            came = Unavailable("this worker is stopping; try again")
        except Exception as error:
            came = error
        self._end(token, came)
