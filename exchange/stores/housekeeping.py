"""Dropping what is no longer needed: old receipts and campaigns, past cap periods, dead workers and
the room they held in trials.

Leads, sales and the ledger are kept for ever. Bounded at every turn, so that it never holds up
what sells.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from exchange.stores.postgres import Postgres

BATCHES_AT_ONCE: Final = 5_000
"""Batches of receipts a worker drops in one turn: at a turn a minute, as many as it ever writes."""

CAMPAIGNS_AT_ONCE: Final = 5_000
"""Past versions of campaigns dropped in one turn."""

USAGE_DAYS: Final = 60
"""How long a past cap period is kept; longer than the longest of them."""


class Housekeeping:
    """Drops by age."""

    def __init__(self, postgres: Postgres, receipt_days: int) -> None:
        self._postgres = postgres
        self._receipt_days = receipt_days

    async def tidy(self, now: datetime) -> None:
        """Drop one turn's worth."""
        oldest = now - timedelta(days=self._receipt_days)
        await self._postgres.run("drop_receipts", oldest, BATCHES_AT_ONCE)
        await self._postgres.run("drop_receipt_writers")
        await self._postgres.run("drop_campaign_past", oldest, CAMPAIGNS_AT_ONCE)
        await self._postgres.run("drop_old_usage", now - timedelta(days=USAGE_DAYS))
        await self._postgres.run("drop_unused_trial_room")
        await self._postgres.run("forget_workers")
