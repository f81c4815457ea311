"""Sending what alerts have to tell: taken from the outbox, tried, tried again later, given up.

At least once: a notice is noted as sent after it was, so a worker that dies in between leaves it to
be sent again under the same id. Pauses grow and are drawn whole at random, so that many notices
that failed together do not come back together. Source: rules §12.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from exchange.core.alert_terms import AlertSettings
from exchange.flow.alert_ports import DueNotice, Notices, Notifier
from exchange.flow.faults import Unavailable

AT_ONCE: Final = 8
"""Notices a worker sends at once; of each receiver one at a time."""

TRY_S: Final = 15.0
"""The longest a try may take."""

LEASE_S: Final = 60.0
"""After which a notice is due again whose worker has died: several times what a try takes."""

BACKOFF_S: Final = 5.0
MOST_BACKOFF_S: Final = 3_600.0


class Notifying:
    """Empties the outbox. ``draw`` is uniform from 0 to 1; ``attempts`` is how often one is tried.

    ``on_failed`` is told, with the receiver and the problem, of each notice that is given up;
    ``on_error`` of what nobody foresaw.
    """

    def __init__(
        self,
        *,
        notices: Notices,
        notifier: Notifier,
        attempts: int,
        draw: Callable[[], float],
        on_failed: Callable[[str, str], None],
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self._notices = notices
        self._notifier = notifier
        self._attempts = attempts
        self._draw = draw
        self._on_failed = on_failed
        self._on_error = on_error
        self._sending: set[asyncio.Task[None]] = set()
        self.sent = 0
        self.retried = 0
        self.failed = 0

    async def send_due(self) -> int:
        """Begin to send what is due, as far as there is room; gives how many it began."""
        room = AT_ONCE - len(self._sending)
        if room <= 0:
            return 0
        due = await self._notices.take(room, LEASE_S)
        for one in due:
            task = asyncio.create_task(self._send(one))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return len(due)

    async def idle(self) -> None:
        """Wait until everything that was begun has ended."""
        while self._sending:
            await asyncio.gather(*self._sending)

    async def close(self) -> None:
        """End what is being sent; it is due again when its lease ends."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    async def _send(self, due: DueNotice) -> None:
        try:
            await self._try(due)
        except Unavailable:
            # The books are away: the notice is due again when its lease has ended.
            self.retried += 1
        except Exception as error:
            # Nothing is noted of the try: it is due again so too, until its attempts are used up.
            self.retried += 1
            self._on_error("notice", error)

    async def _try(self, due: DueNotice) -> None:
        notice, settings = due.notice, due.settings or AlertSettings()
        gone = (
            settings.webhook_url is None
            if notice.channel == "webhook"
            else notice.address not in settings.emails
        )
        if gone:
            await self._notices.end(notice, "dropped", problem="no longer wanted there")
            return
        if due.attempts > self._attempts:
            await self._give_up(due, "its last try came to no end")
            return
        try:
            async with asyncio.timeout(TRY_S):
                problem = await self._notifier.send(notice, settings.webhook_url)
        except TimeoutError:
            problem = "no answer in time"
        if problem is None:
            self.sent += 1
            await self._notices.end(notice, "sent")
        elif due.attempts >= self._attempts:
            await self._give_up(due, problem)
        else:
            self.retried += 1
            most_s = min(MOST_BACKOFF_S, BACKOFF_S * 2 ** (due.attempts - 1))
            await self._notices.end(
                notice, "waiting", problem=problem, again_in_s=most_s * self._draw()
            )

    async def _give_up(self, due: DueNotice, problem: str) -> None:
        self.failed += 1
        self._on_failed(due.notice.receiver, problem)
        await self._notices.end(due.notice, "failed", problem=problem)
