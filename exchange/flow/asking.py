"""Asking companies' own bidders about a ping: whom, what, and by when. Source: rules §7.

Who may bid was decided before; what the answers are worth is decided after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from msgspec import Raw

from exchange.core.index import Gated, VerticalIndex
from exchange.core.masks import slots_of
from exchange.core.model import Campaign, CampaignId, Ping
from exchange.core.remote import Hearing
from exchange.flow.bidding import Asked, Bidders, Question, Said

MOST_ASKED: Final = 200
"""Bidders asked about one ping at most, the dearest first; the others have no time."""

MOST_KNOWN: Final = 10_000
"""Campaigns whose ways of being asked are remembered."""

MOST_CIRCLES: Final = 256
"""Sets of campaigns of which it is remembered who is asked."""


Told = Callable[[Hearing], None]
"""Told what bidders said, by campaign and share count."""

_Circle = tuple[VerticalIndex, int, int]
"""A vertical, who may bid in it, and at how many buyers at most."""


class Asking:
    """Asks every bidder that may bid. ``open`` is how many pings wait for theirs."""

    def __init__(self, bidders: Bidders) -> None:
        self._bidders = bidders
        self._known: dict[CampaignId, tuple[Campaign, tuple[Asked, ...]]] = {}
        self._circles: dict[_Circle, tuple[int, Sequence[Asked]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.open = 0

    async def ask(self, ping: Ping, attributes: Raw, index: VerticalIndex, gated: Gated) -> Hearing:
        """What they said; bids that came are there whatever else."""
        asked = self._whom(ping, index, gated)
        self.open += 1
        try:
            said = await self._bidders.ask(_what(ping, attributes), asked, self._by_when(ping))
        finally:
            self.open -= 1
        return _hearing(said)

    def begin(
        self, ping: Ping, attributes: Raw, index: VerticalIndex, gated: Gated, told: Told
    ) -> None:
        """Ask, and go on; ``told`` hears what they said, maybe before this returns."""
        asked = self._whom(ping, index, gated)
        self.open += 1
        try:
            self._bidders.begin(
                _what(ping, attributes), asked, self._by_when(ping), partial(self._heard, told)
            )
        except BaseException:
            self.open -= 1
            raise

    def _heard(self, told: Told, said: Sequence[Said]) -> None:
        self.open -= 1
        told(_hearing(said))

    def _by_when(self, ping: Ping) -> float:
        # One loop asks; to be told which costs a system call each time.
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        return loop.time() + ping.timeout_ms / 1000

    def _whom(self, ping: Ping, index: VerticalIndex, gated: Gated) -> Sequence[Asked]:
        mask = gated.mask & index.remote
        if index.has_terms(ping.seller_id):
            return self._choose(ping, index, mask)
        circle = (index, mask, ping.max_buyers)
        before = self._circles.get(circle)
        if before is not None and before[0] == index.changes:
            return before[1]
        asked = self._choose(ping, index, mask)
        if len(self._circles) >= MOST_CIRCLES:
            self._circles.clear()
        self._circles[circle] = index.changes, asked
        return asked

    def _choose(self, ping: Ping, index: VerticalIndex, mask: int) -> Sequence[Asked]:
        slots = list(slots_of(mask))
        if len(slots) > MOST_ASKED:
            slots.sort(key=index.tops.__getitem__, reverse=True)
        known, most, seller_id = self._known, ping.max_buyers, ping.seller_id
        has_terms = index.has_terms(seller_id)
        asked: list[Asked] = []
        for slot in slots[:MOST_ASKED]:
            campaign = index.runner_at(slot).campaign
            before = known.get(campaign.campaign_id)
            ways = before[1] if before and before[0] is campaign else self._learn(campaign)
            for one in ways:
                if one.share <= most and not (
                    has_terms and index.is_barred(seller_id, slot, one.share)
                ):
                    asked.append(one)
        return asked

    def _learn(self, campaign: Campaign) -> tuple[Asked, ...]:
        """How a campaign is asked, at each share count; made once for each version of it."""
        remote = campaign.bid.remote
        assert remote is not None
        asked = tuple(
            Asked(
                campaign_id=campaign.campaign_id,
                company_id=campaign.company_id,
                remote=remote,
                share=share,
            )
            for share in remote.shares
        )
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[campaign.campaign_id] = campaign, asked
        return asked


def _what(ping: Ping, attributes: Raw) -> Question:
    return Question(
        ping_id=ping.ping_id,
        vertical=ping.vertical,
        attributes=attributes,
        max_buyers=ping.max_buyers,
        test=ping.test,
        quality_score=ping.quality_score,
    )


def _hearing(said: Sequence[Said]) -> Hearing:
    return {(one.campaign_id, one.share): one for one in said}
