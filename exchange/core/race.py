"""The auction over many campaigns: only those that could win are priced.

Campaigns are walked in the order of their highest possible price. Rectifying only lowers a price,
so when enough companies hold more than the next campaigns could bid, nobody behind can matter.
Comes to the same award as `auction.decide`; what it leaves out is the story of who was far from
winning: they are counted as outbid. Source: rules §7.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from exchange.core.auction import (
    BidEntry,
    Candidate,
    Decision,
    Drawer,
    explain,
    hold,
    is_premium,
    price,
)
from exchange.core.index import VerticalIndex
from exchange.core.market import Market
from exchange.core.masks import slots_of
from exchange.core.model import CompanyId, Ping
from exchange.core.reasons import Reason

CONTENDERS: Final = 3
"""Companies priced beyond the winners and those in line, for the receipt to show who came close."""


def race(market: Market, ping: Ping, now: datetime, draw_key: bytes) -> Decision:
    """Hold the auction for a ping; the receipt tells of the contenders and counts the rest."""
    return _Race(market, ping, now, draw_key).run()


class _Race:
    """One ping's way through the index."""

    def __init__(self, market: Market, ping: Ping, now: datetime, draw_key: bytes) -> None:
        self._market = market
        self._ping = ping
        self._now = now
        self._index: VerticalIndex = market.indexes[ping.vertical]
        self._drawer = Drawer(draw_key, ping.ping_id)
        self._premium = is_premium(market, ping)
        self._priced: dict[int, tuple[list[BidEntry], Candidate | None]] = {}
        self._deep = ping.max_buyers + market.policy.max_ranks

    def run(self) -> Decision:
        gated = self._index.gate(self._ping, self._now)
        counts = gated.counts
        for slot in slots_of(gated.mask & self._index.tight):
            self._price(slot)
        self._walk(gated.mask)
        bids = [bid for entries, _ in self._priced.values() for bid in entries]
        award = hold(bids, self._ping.max_buyers)
        told = explain(bids, award, self._market)
        fallen = [lost for entries, lost in self._priced.values() if not entries and lost]
        for lost in fallen:
            if lost.reason is not None:
                counts[lost.reason] = counts.get(lost.reason, 0) + 1
        bidding = gated.mask.bit_count() - len(fallen)
        if bidding > award.winners:
            counts[Reason.OUTBID] = counts.get(Reason.OUTBID, 0) + bidding - award.winners
        return Decision(
            award=award,
            candidates=(*told, *fallen),
            reasons={reason.code: count for reason, count in counts.items()},
            premium=self._premium,
        )

    def _walk(self, mask: int) -> None:
        """Price every campaign that could be among the winners or those in line."""
        index = self._index
        rounds = [mask]
        if self._premium:
            # The first look is a round of its own; the others are behind it in any case.
            rounds = [mask & index.qualified, mask & ~index.qualified]
        for entrants in rounds:
            for share in self._shares():
                self._walk_share(entrants & index.taking(share), share)

    def _shares(self) -> Iterator[int]:
        return iter(range(1, self._ping.max_buyers + 1))

    def _walk_share(self, mask: int, share: int) -> None:
        """Walk the campaigns that take a share count until no more of them can matter."""
        if not mask:
            return
        held: dict[CompanyId, int] = {}
        for bound_cents, slots in self._index.shelf.walk(mask):
            if len(held) >= self._deep and self._above(held, bound_cents) >= self._deep:
                return
            for slot in slots:
                for bid in self._price(slot)[0]:
                    if bid.share == share and bid.rectified_cents > held.get(bid.company_id, -1):
                        held[bid.company_id] = bid.rectified_cents

    def _above(self, held: dict[CompanyId, int], bound_cents: int) -> int:
        """How many companies hold more than anything at the bound; an equal bid might still win."""
        return sum(cents > bound_cents for cents in held.values())

    def _price(self, slot: int) -> tuple[list[BidEntry], Candidate | None]:
        known = self._priced.get(slot)
        if known is None:
            known = self._priced[slot] = price(
                self._index.runner_at(slot),
                self._market,
                self._ping,
                self._now,
                self._drawer,
                self._premium,
            )
        return known
