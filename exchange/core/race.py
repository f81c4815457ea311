"""The auction over many campaigns: only those that could matter are priced.

Campaigns are walked in the order of their highest possible price. Rectifying only lowers a price,
so once enough companies hold more than the next campaigns could bid, nobody behind can matter.
Comes to the same award as `auction.decide`; what it leaves out is the story of who was far from
winning: they are counted as outbid. Source: rules §7.
"""

from __future__ import annotations

from datetime import datetime

from exchange.core.auction import BidEntry, Candidate, Decision, Drawer, explain, hold, is_premium
from exchange.core.market import Market
from exchange.core.masks import slots_of
from exchange.core.matching import why_no_room
from exchange.core.model import CompanyId, Ping
from exchange.core.quote import Price, Quote, price_of
from exchange.core.reasons import Reason
from exchange.core.standing import Verdict


def race(market: Market, ping: Ping, now: datetime, draw_key: bytes) -> Decision:
    """Hold the auction for a ping; the receipt tells of the contenders and counts the rest."""
    return _Race(market, ping, now, draw_key).run()


def _highest(quoted: tuple[Quote, int]) -> int:
    return quoted[0].highest_cents


class _Race:
    """One ping's way through the index."""

    __slots__ = (
        "_bids", "_deep", "_drawer", "_fallen", "_floor", "_index", "_market", "_now", "_ping",
        "_policy", "_premium", "_seen",
    )  # fmt: skip

    def __init__(self, market: Market, ping: Ping, now: datetime, draw_key: bytes) -> None:
        self._market = market
        self._policy = market.policy
        self._ping = ping
        self._now = now
        self._index = market.indexes[ping.vertical]
        self._floor = market.verticals[ping.vertical].floor_cents
        self._drawer = Drawer(draw_key, ping.ping_id)
        self._premium = is_premium(market, ping)
        self._deep = ping.max_buyers + market.policy.max_ranks
        self._bids: list[BidEntry] = []
        self._fallen: list[Candidate] = []
        self._seen: dict[int, list[BidEntry]] = {}

    def run(self) -> Decision:
        index = self._index
        gated = index.gate(self._ping, self._now)
        counts = gated.counts
        # A campaign short of room may not be able to bid at all, however far from winning it is.
        for slot in slots_of(gated.mask & index.tight):
            self._enter(slot, index.quote(slot))
        # The first look is a round of its own; the others only stand behind it.
        first = gated.mask & index.qualified if self._premium else gated.mask
        self._walk(first)
        award = hold(self._bids, self._ping.max_buyers)
        filled = award.winners and len(award.ranks) >= award.winners + self._policy.max_ranks
        if first != gated.mask and not filled:
            self._walk(gated.mask ^ first)
            award = hold(self._bids, self._ping.max_buyers)
        for lost in self._fallen:
            if lost.reason is not None:
                counts[lost.reason] = counts.get(lost.reason, 0) + 1
        outbid = gated.mask.bit_count() - len(self._fallen) - award.winners
        if outbid > 0:
            counts[Reason.OUTBID] = counts.get(Reason.OUTBID, 0) + outbid
        return Decision(
            award=award,
            candidates=(*explain(self._bids, award, self._market), *self._fallen),
            reasons={reason.code: count for reason, count in counts.items()},
            premium=self._premium,
        )

    def _walk(self, mask: int) -> None:
        """Price every campaign of a round that could be among the winners or those in line."""
        for share in range(1, self._ping.max_buyers + 1):
            if entrants := mask & self._index.taking(share):
                self._walk_share(entrants, share)

    def _walk_share(self, mask: int, share: int) -> None:
        """Walk the campaigns that take a share count until no more of them can matter.

        ``least`` is what a bid must reach: the last place of those needed. An equal one is still
        looked at, as the rate and the draw may put it before.
        """
        held: dict[CompanyId, int] = {}
        least = 0
        quote_at, seen = self._index.quote, self._seen
        for bound_cents, slots in self._index.shelf.walk(mask):
            if bound_cents < least:
                return
            # Dearest first, so that few are priced before it is known what a bid must reach.
            quotes = [(quote_at(slot), slot) for slot in slots]
            if len(quotes) > 1:
                quotes.sort(key=_highest, reverse=True)
            for quote, slot in quotes:
                if quote.highest_cents < least:
                    break
                bids = seen.get(slot)
                if bids is None:
                    bids = self._enter(slot, quote)
                for bid in bids:
                    if bid.share == share and bid.rectified_cents > held.get(bid.company_id, -1):
                        held[bid.company_id] = bid.rectified_cents
                        if len(held) >= self._deep:
                            least = sorted(held.values())[-self._deep]

    def _enter(self, slot: int, quote: Quote) -> list[BidEntry]:
        """Price a campaign at every share count: its bids, or one word on why it has none."""
        known = self._seen.get(slot)
        if known is not None:
            return known
        bids: list[BidEntry] = []
        lost: Candidate | None = None
        no_room: Candidate | None = None
        tight = self._index.tight >> slot & 1
        for share in range(1, self._ping.max_buyers + 1):
            price = price_of(quote, self._ping.attributes, share, self._policy)
            if price is None:
                continue
            if tight and (reason := self._why_no_room(quote, price)) is not None:
                no_room = no_room or Candidate(
                    campaign_id=quote.campaign_id,
                    company_id=quote.company_id,
                    outcome="no_bid",
                    reason=reason,
                )
            elif price.rectified_cents < self._floor or price.rectified_cents == 0:
                lost = lost or self._lost(quote, price, share, Reason.BELOW_FLOOR)
            elif price.seller_cents < self._ping.min_price_cents:
                lost = lost or self._lost(quote, price, share, Reason.BELOW_MIN_PRICE)
            else:
                bids.append(self._bid(quote, price, share))
        self._seen[slot] = bids
        self._bids.extend(bids)
        if not bids and (fallen := lost or no_room):
            self._fallen.append(fallen)
        return bids

    def _why_no_room(self, quote: Quote, price: Price) -> Reason | None:
        company = self._market.companies[quote.company_id]
        return why_no_room(quote.runner.campaign, company, self._now, price.charged_cents)

    def _bid(self, quote: Quote, price: Price, share: int) -> BidEntry:
        standing = quote.standing
        return BidEntry(
            campaign_id=quote.campaign_id,
            company_id=quote.company_id,
            share=share,
            base_cents=price.base_cents,
            rectified_cents=price.rectified_cents,
            charged_cents=price.charged_cents,
            overall_rate=standing.overall_rate,
            draw=self._drawer.draw(quote.campaign_id),
            first_look=self._premium and standing.verdict is Verdict.QUALIFIED,
        )

    def _lost(self, quote: Quote, price: Price, share: int, reason: Reason) -> Candidate:
        standing = quote.standing
        return Candidate(
            campaign_id=quote.campaign_id,
            company_id=quote.company_id,
            outcome="lost",
            reason=reason,
            share=share,
            base_cents=price.base_cents,
            rejected=standing.rejected,
            assigned=standing.assigned,
            rectified_cents=price.rectified_cents,
            charged_cents=price.charged_cents,
            draw=self._drawer.draw(quote.campaign_id),
            first_look=self._premium and standing.verdict is Verdict.QUALIFIED,
        )
