"""Changes of the market: into this worker's own at once, then to the mirror and the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from exchange.core.changes import CompanyChange
from exchange.core.contract_book import ContractChange
from exchange.core.filters import FilterError
from exchange.core.market import Market
from exchange.core.model import CompanyId
from exchange.core.trial_room import TrialUse
from exchange.flow.market_ports import Change, Mirror


class Announcer:
    """Applies changes to the market and passes them on."""

    def __init__(
        self, market: Market, mirror: Mirror, on_unfit: Callable[[str, str], None]
    ) -> None:
        self._market = market
        self._mirror = mirror
        self._on_unfit = on_unfit
        self._telling: dict[CompanyId, tuple[CompanyChange, asyncio.Task[None]]] = {}

    def apply(self, change: Change) -> None:
        """Take a change into this worker's market.

        A campaign that no longer fits its vertical (the operator changed it) does not bid; it is
        reported and does not keep the worker from starting.
        """
        if isinstance(change, CompanyChange):
            held = self._market.companies.get(change.company_id)
            # What this worker told the others it hears too, having taken it in already.
            if held is None or change.whole or change.version != held.version:
                self._market.apply_company(change)
            return
        if isinstance(change, ContractChange):
            self._market.contracts.apply(change)
            return
        if isinstance(change, TrialUse):
            self._market.contracts.apply_use(change)
            return
        try:
            self._market.apply_campaign(change)
        except (FilterError, KeyError) as error:
            self._on_unfit(change.campaign_id, str(error))

    async def tell(self, change: Change) -> None:
        """Take a change in, then tell everyone else.

        A change of many leads that one transaction sold is told once, and all of them wait for it.
        """
        if not isinstance(change, CompanyChange):
            self.apply(change)
            await self._mirror.publish(change)
            return
        told = self._telling.get(change.company_id)
        if told is None or told[0] is not change:
            self.apply(change)
            told = change, asyncio.create_task(self._publish(change))
            self._telling[change.company_id] = told
        await asyncio.shield(told[1])

    async def _publish(self, change: CompanyChange) -> None:
        """Pass a change on. A newer one of the company may be on its way before it has come."""
        try:
            await self._mirror.publish(change)
        finally:
            told = self._telling.get(change.company_id)
            if told is not None and told[0] is change:
                del self._telling[change.company_id]
