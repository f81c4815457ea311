"""Companies that read what they took and return some of it, while everything dies around them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from decimal import Decimal
from typing import Final

from msgspec import Struct

from tests.e2e.wire import Answer, Json, Wire
from tests.soak.market import Shop, SoakMarket
from tests.soak.sellers import SETBACKS

RETURN_RATE: Final = 0.04
LOOK_S: Final = 0.5
RETRY_S: Final = 0.1
STOP_S: Final = 60.0


class Returned(Struct, frozen=True, kw_only=True):
    """A return, as it was answered."""

    shop: Shop
    lead_id: str
    rejection_id: str
    value: Decimal


class Returns:
    """Returns of a share of what is sold; ``violations`` are answers that should not have come."""

    def __init__(self, market: SoakMarket, seed: int) -> None:
        self.returned: list[Returned] = []
        self.violations: list[str] = []
        self._is_over = False
        self._market = market
        self._draws = random.Random(f"returns:{seed}")
        self._after = {shop.account.id: "" for shop in market.shops}

    async def run(self) -> None:
        """Go on until told to stop; a return that was begun is finished."""
        while not self._is_over:
            for shop in self._market.shops:
                await self._look(shop)
            await asyncio.sleep(LOOK_S)

    async def stop(self, running: asyncio.Task[None]) -> None:
        """Let the return that is under way be answered, within a while, and end."""
        self._is_over = True
        _, late = await asyncio.wait({running}, timeout=STOP_S)
        if late:
            running.cancel()
            self.violations.append(f"a return was not answered within {STOP_S:g} s")
        await asyncio.gather(running, return_exceptions=bool(late))

    async def _look(self, shop: Shop) -> None:
        path = f"/v1/leads?limit=200&after={self._after[shop.account.id]}"
        wire, key = self._market.wire, shop.account.key
        answer = await _try(wire.call("GET", path, key))
        if answer is None:
            return
        for lead in answer.ok()["items"]:
            self._after[shop.account.id] = lead["lead_id"]
            if self._draws.random() < RETURN_RATE:
                await self._give_back(wire, shop, lead["lead_id"])

    async def _give_back(self, wire: Wire, shop: Shop, lead_id: str) -> None:
        # As a seller does: the same again until it is answered.
        answer = None
        while answer is None:
            answer = await _try(wire.reject(shop.account, lead_id))
            await asyncio.sleep(RETRY_S if answer is None else 0)
        if answer.status != 200:
            told = f"{shop.name} could not return {lead_id}: {answer.status} {answer.body!r}"
            self.violations.append(told)
            return
        body = answer.json
        self.returned.append(
            Returned(
                shop=shop,
                lead_id=lead_id,
                rejection_id=body["rejection_id"],
                value=Decimal(body["value"]),
            )
        )

    async def repeat(self) -> None:
        """Return everything again: each gets the rejection it had."""
        for one in self.returned:
            again = await self._market.wire.reject(one.shop.account, one.lead_id)
            body: Json = again.json
            if again.status != 200 or body["rejection_id"] != one.rejection_id:
                told = f"{one.shop.name} returned {one.lead_id} again and got {again.body!r}"
                self.violations.append(told)


async def _try(call: Awaitable[Answer]) -> Answer | None:
    try:
        answer = await call
    except SETBACKS:
        return None
    return None if answer.status == 503 else answer
