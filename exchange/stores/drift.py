"""The comparison of the stores, cheap enough to be made all the time: a few companies a look.

Implements `flow.alert_ports.Drift`. `exchange check` compares everything, once; this goes round.
How often a company has differed in a row is kept in the books, as every look may be another
worker's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Final

import msgspec

from exchange.core.alert_systems import DRIFT_LOOKS
from exchange.core.model import CompanyId
from exchange.flow.alert_ports import DriftLook
from exchange.flow.market_ports import Snapshots
from exchange.stores.check import difference
from exchange.stores.postgres import Postgres
from exchange.stores.redis_mirror import RedisMirror, figures_of

AT_ONCE: Final = 100
"""Companies compared in one look besides those that changed or differed: a millisecond each."""

LATELY_S: Final = 60.0
TRIES: Final = 5
PAUSE_S: Final = 0.1
"""Between two tries at a company that differs, as a market moves between two reads."""


class StoresDrift:
    """Goes round all companies. ``first_day`` gives a moment's first day of the window."""

    def __init__(
        self,
        postgres: Postgres,
        snapshots: Snapshots,
        mirror: RedisMirror,
        first_day: Callable[[datetime], date],
    ) -> None:
        self._postgres = postgres
        self._snapshots = snapshots
        self._mirror = mirror
        self._first_day = first_day

    async def look(self, now: datetime) -> DriftLook:
        """Compare those that changed lately, those that differed before, and the next few."""
        chosen = await self._choose()
        found = await self._compare(chosen, now)
        await self._postgres.run("clear_drift", [c for c in chosen if c not in found])
        await self._postgres.run("note_drift", list(found), list(found.values()))
        suspects = await self._postgres.rows("drift_suspects")
        lasting = [row["finding"] for row in suspects if row["looks"] >= DRIFT_LOOKS]
        return DriftLook(compared=len(chosen), lasting=lasting)

    async def _choose(self) -> list[CompanyId]:
        after = await self._postgres.value("compared_after")
        rows = await self._postgres.rows("company_ids_after", after, AT_ONCE)
        ids = [row["id"] for row in rows]
        # The next look begins behind these, or from the front.
        await self._postgres.run("set_compared_after", ids[-1] if len(ids) == AT_ONCE else "")
        lately = list(await self._snapshots.versions(LATELY_S))[:AT_ONCE]
        before = [row["company_id"] for row in await self._postgres.rows("drift_suspects")]
        return list(dict.fromkeys([*before[:AT_ONCE], *lately, *ids]))

    async def _compare(self, chosen: Sequence[CompanyId], now: datetime) -> dict[CompanyId, str]:
        """Those that differ at each of several tries, with what differs."""
        found: dict[CompanyId, str] = {}
        suspects = list(chosen)
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(PAUSE_S)
            first = self._first_day(now)
            wholes = await self._snapshots.companies(first, now, suspects)
            found = {}
            for whole in wholes:
                expected = figures_of(whole, msgspec.json.encode)
                held = await self._mirror.read(whole.company_id)
                if (said := difference(whole.company_id, held, expected, first, now)) is not None:
                    found[whole.company_id] = said
            suspects = list(found)
            if not suspects:
                break
        return found
