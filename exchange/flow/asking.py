"""Asking companies' own bidders about a ping: whom, what, and by when. Source: rules §7.

Who may bid was decided before; what the answers are worth is decided after.
"""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec import Raw

from exchange.core.index import Gated, VerticalIndex
from exchange.core.masks import slots_of
from exchange.core.model import Ping
from exchange.core.remote import Heard, Hearing
from exchange.flow.bidding import Asked, Bidders, Question

MOST_ASKED: Final = 200
"""Bidders asked about one ping at most, the dearest first; the others have no time."""


class Asking:
    """Asks every bidder that may bid. ``open`` is how many pings wait for theirs."""

    def __init__(self, bidders: Bidders) -> None:
        self._bidders = bidders
        self.open = 0

    async def ask(self, ping: Ping, attributes: Raw, index: VerticalIndex, gated: Gated) -> Hearing:
        """What they said, by campaign and share count; bids that came are there whatever else."""
        asked = _whom(ping, index, gated)
        deadline = asyncio.get_running_loop().time() + ping.timeout_ms / 1000
        question = Question(
            ping_id=ping.ping_id,
            vertical=ping.vertical,
            attributes=attributes,
            max_buyers=ping.max_buyers,
            test=ping.test,
            quality_score=ping.quality_score,
        )
        self.open += 1
        try:
            said = await self._bidders.ask(question, asked, deadline)
        finally:
            self.open -= 1
        return {
            (one.campaign_id, one.share): Heard(one.cents, one.token, one.reason) for one in said
        }


def _whom(ping: Ping, index: VerticalIndex, gated: Gated) -> list[Asked]:
    slots = list(slots_of(gated.mask & index.remote))
    if len(slots) > MOST_ASKED:
        slots.sort(key=index.tops.__getitem__, reverse=True)
    asked = []
    for slot in slots[:MOST_ASKED]:
        campaign = index.runner_at(slot).campaign
        remote = campaign.bid.remote
        assert remote is not None
        for share in remote.shares:
            if share <= ping.max_buyers and not index.is_barred(ping.seller_id, slot, share):
                asked.append(
                    Asked(
                        campaign_id=campaign.campaign_id,
                        company_id=campaign.company_id,
                        remote=remote,
                        share=share,
                    )
                )
    return asked
