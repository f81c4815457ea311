"""Many returns in one call: each line on its own, told as soon as it is done.

A line that is refused, or cannot be read, stops no other. Every line is as idempotent as a return
by itself, so what was cut off is simply sent again. Source: rules §8.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Final

from exchange.core.model import CompanyId, LeadId
from exchange.core.standing import Standing, Window, book
from exchange.flow.faults import Fault, Unavailable
from exchange.flow.reject import Rejecting
from exchange.flow.returning import Foreseen, Line, LineResult

MOST_UNAVAILABLE: Final = 3
"""Lines in a row that find the books away, after which the rest are not tried: each waits for
seconds, and the file is to be sent again anyway."""

Foresee = Callable[[CompanyId, LeadId, str | None, str | None, bool], Awaitable[Foreseen]]


class BulkReturns:
    """Goes through the lines of one call; a ``dry_run`` tells what they would do, and does not.

    Each line of a dry run is foreseen after all those before it.
    """

    def __init__(
        self,
        *,
        rejecting: Rejecting,
        foresee: Foresee,
        window_of: Callable[[CompanyId], Awaitable[Window]],
        weigh: Callable[[Window], Standing],
        dry_run: bool,
    ) -> None:
        self._rejecting = rejecting
        self._foresee = foresee
        self._window_of = window_of
        self._weigh = weigh
        self._do = self._foresee_line if dry_run else self._reject
        self._unavailable = 0
        self._window: Window | None = None
        self._seen: set[str] = set()

    async def go(
        self, company_id: CompanyId, lines: Iterable[Line]
    ) -> AsyncGenerator[LineResult, None]:
        """Take the lines in their order, and tell of each."""
        for line in lines:
            # Lines that cannot be read wait for nothing: pings must come in between all the same.
            await asyncio.sleep(0)
            yield await self._take(company_id, line)

    async def _take(self, company_id: CompanyId, line: Line) -> LineResult:
        if self._unavailable >= MOST_UNAVAILABLE:
            return _not_tried(line)
        try:
            if line.fault is not None:
                raise line.fault
            result = await self._do(company_id, line)
        except Unavailable:
            self._unavailable += 1
            return _not_tried(line)
        except Fault as fault:
            self._unavailable = 0
            return LineResult(
                number=line.number, lead_id=line.lead_id, status="refused", fault=fault
            )
        self._unavailable = 0
        return result

    async def _reject(self, company_id: CompanyId, line: Line) -> LineResult:
        rejected, standing = await self._rejecting.reject(
            company_id,
            LeadId(line.lead_id),
            reason_code=line.reason_code,
            text=line.text,
            note=line.note,
            review=line.review,
        )
        if rejected.is_repeat:
            # A repeat alone answers as the first did; among others it tells of what holds now.
            standing = self._weigh(await self._window_of(company_id))
        return LineResult(
            number=line.number,
            lead_id=line.lead_id,
            status="returned_before" if rejected.is_repeat else rejected.status,
            rejection_id=rejected.rejection_id,
            reason=rejected.reason,
            value_cents=0 if rejected.is_repeat else rejected.value_cents,
            standing=standing,
        )

    async def _foresee_line(self, company_id: CompanyId, line: Line) -> LineResult:
        foreseen = await self._foresee(
            company_id, LeadId(line.lead_id), line.reason_code, line.text, line.review
        )
        if self._window is None:
            self._window = await self._window_of(company_id)
        is_repeat = foreseen.outcome == "returned_before" or line.lead_id in self._seen
        if not is_repeat:
            self._seen.add(line.lead_id)
            self._window = book(
                self._window, foreseen.day, foreseen.era, manual=foreseen.value_cents
            )
        return LineResult(
            number=line.number,
            lead_id=line.lead_id,
            status="returned_before" if is_repeat else foreseen.outcome,
            reason=foreseen.reason,
            value_cents=0 if is_repeat else foreseen.value_cents,
            standing=self._weigh(self._window),
        )


def _not_tried(line: Line) -> LineResult:
    """A line that nothing was said of. Should it have been booked as the books went away, it is
    told so when it is sent again.
    """
    return LineResult(
        number=line.number,
        lead_id=line.lead_id,
        status="not_tried",
        fault=Unavailable("The database is away; send this line again: none is booked twice."),
    )
