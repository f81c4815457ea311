"""Pings answered together and without a task for each: those of one moment are read, decided and
told stage by stage (why: `flow.ping_together`).

Only what is ordinary about a ping is done here. One with anything about it that has to be looked
up, explained or refused goes the ordinary way (`dispatch`), which begins anew and says what is
wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final

from msgspec import MsgspecError

from exchange.core.model import Ping
from exchange.flow.faults import Fault, Invalid
from exchange.flow.ping_together import GATHER_S, MANY
from exchange.flow.ports import Receipt
from exchange.web.dispatch import Dispatcher, Said, refuse
from exchange.web.heads import Head
from exchange.web.leads import write_timed
from exchange.web.ping_codec import write_ping_answer
from exchange.web.ping_reading import PingReader
from exchange.web.problems import WireFault

GROUP: Final = 32
"""Pings taken through the stages together at most: more gain nothing, and take more memory."""


class Quick:
    """One ping on its way. ``tell`` takes its answer, ``leave`` sends it the ordinary way."""

    __slots__ = ("body", "label", "leave", "seller_id", "started", "tell", "timed")

    def __init__(
        self,
        label: str,
        seller_id: str,
        body: bytes,
        tell: Callable[[Said], None],
        leave: Callable[[], None],
    ) -> None:
        self.label = label
        self.seller_id = seller_id
        self.body = body
        self.tell = tell
        self.leave = leave
        self.started = perf_counter()
        self.timed = False


class QuickPings:
    """Gathers the pings of a moment, begins them, and tells of them as they are decided."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._doors = dispatcher.site.doors
        self._metrics = dispatcher.site.metrics
        self._reader = PingReader(self._doors.market.verticals, dispatcher.site.limits)
        self._pings = self._doors.ping_groups(self._told)
        self._waiting: list[Quick] = []
        self._began_at = 0.0
        self._open = 0

    def take(
        self, head: Head, body: bytes, tell: Callable[[Said], None], leave: Callable[[], None]
    ) -> bool:
        """Answer a ping soon; False, and nothing is done, if this is not the way for it.

        The caller has seen to it that there is room. One of ``tell`` and ``leave`` is called, later
        in this turn of the loop or in another.
        """
        if not head.is_json or head.key is None:
            return False
        caller = self._doors.registry.known(head.key)
        if caller is None or caller.role != "seller" or not caller.active:
            return False
        label = head.route.label
        self._dispatcher.begin(label)
        quick = Quick(label, caller.subject_id, body, tell, leave)
        if not self._waiting:
            loop = asyncio.get_running_loop()
            if self._open >= MANY and quick.started - self._began_at < GATHER_S:
                loop.call_later(GATHER_S, self._begin)
            else:
                loop.call_soon(self._begin)
        self._waiting.append(quick)
        self._open += 1
        return True

    def _begin(self) -> None:
        """Begin all that wait, in groups; there are never more than there is room for."""
        # Taken out first: whatever happens to these, who comes next is begun again.
        waiting, self._waiting = self._waiting, []
        self._began_at = perf_counter()
        for first in range(0, len(waiting), GROUP):
            self._begin_group(waiting[first : first + GROUP])

    def _begin_group(self, group: Sequence[Quick]) -> None:
        asks: list[tuple[Quick, Ping]] = []
        now = self._doors.clock.now()
        for quick in group:
            if self._metrics.samples():
                quick.timed = True
                started = perf_counter()
            try:
                asks.append((quick, self._reader.read(quick.body, quick.seller_id, now)))
            except (Invalid, WireFault, MsgspecError, UnicodeDecodeError):
                self._open -= 1
                self._dispatcher.leave(quick.label)
                quick.leave()
            except Exception as error:
                self._tell(quick, self._dispatcher.fail(error, quick.label))
            if quick.timed:
                self._metrics.time_stage("decode", perf_counter() - started)
        self._pings.begin(asks)

    def _told(self, done: Sequence[tuple[Quick, Receipt | Exception]]) -> None:
        """Answer pings that are decided."""
        self._metrics.count_pings([came for _, came in done if not isinstance(came, Exception)])
        answers = [(quick, self._answer(quick, came)) for quick, came in done]
        for quick, said in answers:
            self._tell(quick, said)

    def _answer(self, quick: Quick, came: Receipt | Exception) -> Said:
        try:
            if isinstance(came, Exception):
                raise came
            if quick.timed:
                return Said(200, write_timed(self._metrics, came))
            return Said(200, write_ping_answer(came))
        except Fault as fault:
            return refuse(fault)
        except Exception as error:
            return self._dispatcher.fail(error, quick.label)

    def _tell(self, quick: Quick, said: Said) -> None:
        self._open -= 1
        self._dispatcher.end(quick.label, said.status, quick.started)
        quick.tell(said)
