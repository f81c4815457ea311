"""Changes of the market: into this worker's own at once, then to the mirror and the others."""

from __future__ import annotations

from collections.abc import Callable

from exchange.core.changes import CampaignChange, CompanyChange
from exchange.core.filters import FilterError
from exchange.core.market import Market
from exchange.flow.ports import Mirror

Change = CompanyChange | CampaignChange


class Announcer:
    """Applies changes to the market and passes them on."""

    def __init__(
        self, market: Market, mirror: Mirror, on_unfit: Callable[[str, str], None]
    ) -> None:
        self._market = market
        self._mirror = mirror
        self._on_unfit = on_unfit

    def apply(self, change: Change) -> None:
        """Take a change into this worker's market.

        A campaign that no longer fits its vertical (the operator changed it) does not bid; it is
        reported and does not keep the worker from starting.
        """
        if isinstance(change, CompanyChange):
            self._market.apply_company(change)
            return
        try:
            self._market.apply_campaign(change)
        except (FilterError, KeyError) as error:
            self._on_unfit(change.campaign_id, str(error))

    async def tell(self, change: Change) -> None:
        """Take a change in, then tell everyone else."""
        self.apply(change)
        await self._mirror.publish(change)
