"""The auction over many campaigns: only those that could matter are priced.

Campaigns are walked in the order of the highest price they could be worth. Once enough companies
hold more than that, nobody behind can matter. Comes to the same award as `auction.decide`; what it
leaves out is the story of who was far from winning: they are counted as outbid. Source: rules §7.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from exchange.core.auction import (
    NOTHING_HEARD,
    Award,
    Candidate,
    Decision,
    Drawer,
    ask_heard,
    is_first,
    is_premium,
    lost_at,
)
from exchange.core.contract import Deal
from exchange.core.index import Gated
from exchange.core.market import Market
from exchange.core.masks import slots_of
from exchange.core.matching import why_no_room
from exchange.core.model import CompanyId, Ping, Ranked
from exchange.core.quote import Price, Quote, price_at, price_of, price_under, ranked_for, ranked_of
from exchange.core.reasons import Reason
from exchange.core.remote import Hearing
from exchange.core.runner import base_price
from exchange.core.shelf import WORD
from exchange.core.terms import Raise
from exchange.core.ties import settle
from exchange.core.trial_room import why_full

MOST_FALLEN: Final = 50
"""Campaigns below floor or minimum, or without room, a receipt tells of; the others are counted."""

_OUTBID: Final = Reason.OUTBID.code
_NO_BIDS: Final[list[Ranked]] = []

Entrant = tuple[int, int, Price, Quote]
"""A price that stands at one share count: minus its rectified cents, the slot, all of it, whose."""


def race(
    market: Market,
    ping: Ping,
    now: datetime,
    draw_key: bytes,
    heard: Hearing = NOTHING_HEARD,
    gated: Gated | None = None,
) -> Decision:
    """Hold the auction for a ping; the receipt tells of those in line and counts the rest.

    ``heard`` is what companies' own bidders said, ``gated`` who may bid where that is known.
    """
    if gated is None:
        gated = market.indexes[ping.vertical].gate(ping, now)
    return _Race(market, ping, now, draw_key, heard).run(gated)


def least_top(raised: Raise, least_cents: int) -> int:
    """What a top by the list must be at least for a price under terms to reach ``least_cents``.

    Both are rectified prices: a cent on either side makes up for their roundings.
    """
    return raised.least(least_cents - 1) - 1


class _Race:
    """One ping's way through the index."""

    __slots__ = (
        "_deep", "_draw_key", "_fallen", "_floor", "_has_first_look", "_heard", "_index",
        "_market", "_now", "_pact", "_ping", "_policy", "_premium", "_priced", "_tight", "_told",
    )  # fmt: skip

    def __init__(
        self, market: Market, ping: Ping, now: datetime, draw_key: bytes, heard: Hearing
    ) -> None:
        self._market = market
        self._policy = market.policy
        self._ping = ping
        self._now = now
        self._draw_key = draw_key
        self._heard = heard
        self._index = market.indexes[ping.vertical]
        self._pact = self._index.contracts_of(ping.seller_id, now)
        self._priced = 0 if self._pact is None else self._pact.priced
        self._tight = (
            self._index.tight if self._pact is None else self._index.tight | self._pact.tight
        )
        self._has_first_look = self._pact is not None and self._pact.first_look != 0
        self._floor = max(market.verticals[ping.vertical].floor_cents, 1)
        self._premium = ping.vertical in market.premium and is_premium(market, ping)
        self._deep = ping.max_buyers + market.policy.max_ranks
        self._fallen: dict[int, Reason | None] = {}
        self._told: list[Candidate] = []

    def run(self, gated: Gated) -> Decision:
        mask, counts = gated.mask, gated.counts
        # A campaign short of room may not be able to bid at all, however far from winning it is;
        # and why a bidder that was asked did not bid is always told.
        looked = self._tight | self._index.remote
        for slot in slots_of(mask & looked):
            self._look(slot)
        # To count what the gate took costs less than to count the bits it left.
        outbid = len(self._index.runners) - sum(counts.values())
        award = self._award(mask)
        outbid -= award.winners
        for reason in self._fallen.values():
            if reason is not None:
                counts[reason.code] = counts.get(reason.code, 0) + 1
                outbid -= 1
        if outbid > 0:
            counts[_OUTBID] = outbid
        return Decision(
            award=award,
            candidates=tuple(self._told),
            reasons=counts,
            premium=self._premium,
        )

    def _award(self, mask: int) -> Award:
        """The award; where the lead is premium, qualified companies have a round of their own.

        So have those with a first look by their contracts.
        """
        if not self._premium and self._pact is None:
            return self._best(mask)
        first = mask & self._index.qualified
        if not self._premium and self._pact is not None:
            if not first & self._pact.first_look:
                return self._best(mask)
            first &= self._pact.first_look
        award = self._best(first)
        rest = mask ^ first
        if not award.winners:
            return self._best(rest)
        in_line = {bid.company_id for bid in award.ranks}
        wanted = award.winners + self._policy.max_ranks
        if len(award.ranks) >= wanted:
            return award
        # Those of one company in both rounds take up room here, and are left out below.
        behind = self._bids(self._walk(rest, award.share, wanted + len(in_line)), award.share)
        others = [bid for bid in behind if bid.company_id not in in_line]
        return Award(
            share=award.share,
            winners=award.winners,
            ranks=(*award.ranks, *others[: wanted - len(award.ranks)]),
        )

    def _best(self, mask: int) -> Award:
        """The share count whose best prices sum highest (the smaller on ties), and its ranks."""
        best_total, best_share, best = -1, 1, _NO_BIDS
        for share in range(1, self._ping.max_buyers + 1):
            entrants = self._walk(mask, share, self._deep)
            if not entrants:
                continue
            ranks = self._bids(entrants, share)
            total = sum([bid.rectified_cents for bid in ranks[:share]])
            if total > best_total:
                best_total, best_share, best = total, share, ranks
        winners = min(best_share, len(best))
        line = best[: winners + self._policy.max_ranks]
        return Award(share=best_share, winners=winners, ranks=tuple(line))

    def _walk(self, mask: int, share: int, deep: int) -> list[Entrant]:
        """The prices at one share count that could be among the best ``deep`` companies'.

        ``least`` is what a bid must reach: the last place of those needed. An equal one is still
        looked at, as the rate and the draw may put it before.
        """
        entrants: list[Entrant] = []
        mask &= self._index.taking(share)
        if self._pact is not None:
            mask &= ~self._pact.barred(share)
        if not mask:
            return entrants
        held: dict[CompanyId, int] = {}
        priced = mask & self._priced
        # Those that contracts price go last: by then it is known what a bid must reach.
        least = self._enter(mask ^ priced, share, deep, entrants, held, 0, None)
        if priced and self._pact is not None:
            raised = self._pact.raised(self._ping.quality_score)
            self._enter(priced, share, deep, entrants, held, least, raised)
        return entrants

    def _enter(
        self,
        mask: int,
        share: int,
        deep: int,
        entrants: list[Entrant],
        held: dict[CompanyId, int],
        least: int,
        raised: Raise | None,
    ) -> int:
        """Let those of a mask in that could matter; gives what a bid must reach then.

        ``raised`` bounds what terms add to their prices, None where no terms are asked: a campaign
        whose top by its list is below ``enough`` is below ``least`` under any terms.
        """
        index = self._index
        quotes, top_of = index.quotes, index.tops.__getitem__
        floor, min_price, tight = self._floor, self._ping.min_price_cents, self._tight
        attributes, policy = self._ping.attributes, self._policy
        enough = least if raised is None else least_top(raised, least)
        words = index.shelf.words(mask)
        for block in index.shelf.order:
            if block.bound_cents < enough:
                break
            bits = words[block.number]
            if not bits:
                continue
            slots = []
            before = block.number * WORD - 1
            while bits:
                lowest = bits & -bits
                slots.append(before + lowest.bit_length())
                bits ^= lowest
            # Dearest first, so that few are priced before it is known what a bid must reach.
            slots.sort(key=top_of, reverse=True)
            for slot in slots:
                if top_of(slot) < enough:
                    break
                quote = quotes[slot] or index.quote(slot)
                if raised is not None or quote.is_remote:
                    price = self._price(quote, share)
                else:
                    price = price_of(quote, attributes, share, policy)
                if price is None:
                    continue
                rectified = price.rectified_cents
                if rectified < floor or price.seller_cents < min_price:
                    self._look(slot)
                    continue
                if rectified < least or (tight >> slot & 1 and self._no_room(quote, price)):
                    continue
                entrants.append((-rectified, slot, price, quote))
                if rectified > held.get(quote.company_id, -1):
                    held[quote.company_id] = rectified
                    if len(held) >= deep:
                        least = sorted(held.values())[-deep]
                        enough = least if raised is None else least_top(raised, least)
        return least

    def _bids(self, entrants: list[Entrant], share: int) -> list[Ranked]:
        """Entrants as bids in their order, of each company its best."""
        drawn = settle(entrants, self._draw_key, self._ping.ping_id)
        bids: list[Ranked] = []
        companies: set[CompanyId] = set()
        is_plain = not (self._premium or self._heard or self._has_first_look)
        deep = self._deep
        for _, slot, price, quote in entrants:
            company_id = quote.company_id
            if company_id in companies:
                continue
            companies.add(company_id)
            if is_plain and price.terms is None and slot not in drawn:
                bid = quote.in_line.get(price.base_cents) or ranked_of(quote, price)
            else:
                bid = self._ranked(quote, price, share, drawn.get(slot))
            bids.append(bid)
            if len(bids) == deep:
                break
        return bids

    def _ranked(self, quote: Quote, price: Price, share: int, drawn: int | None) -> Ranked:
        """A place in line with what only this lead has: a draw, a token, a first look, terms."""
        first_look, token = self._is_first(quote), self._token(quote, share)
        return ranked_for(quote, price, first_look=first_look, token=token, drawn=drawn)

    def _price(self, quote: Quote, share: int) -> Price | None:
        deal = self._deal(quote) if self._priced else None
        if quote.is_remote:
            base, _, _ = ask_heard(quote.runner.campaign, share, self._heard)
        elif deal is None:
            return price_of(quote, self._ping.attributes, share, self._policy)
        else:
            base = base_price(quote.runner, self._ping.attributes, share)
        if base is None or deal is None:
            return None if base is None else price_at(quote, base, self._policy)
        score, is_named = self._ping.quality_score, quote.is_remote
        return price_under(quote, base, deal, score, is_named=is_named, policy=self._policy)

    def _deal(self, quote: Quote) -> Deal | None:
        pact = self._pact
        return None if pact is None else pact.deals.by_company.get(quote.company_id)

    def _is_first(self, quote: Quote) -> bool:
        return is_first(quote.standing, self._premium, self._deal(quote))

    def _token(self, quote: Quote, share: int) -> str | None:
        if not quote.is_remote:
            return None
        return ask_heard(quote.runner.campaign, share, self._heard)[1]

    def _no_room(self, quote: Quote, price: Price) -> Reason | None:
        company = self._market.companies[quote.company_id]
        reason = why_no_room(quote.runner.campaign, company, self._now, price.charged_cents)
        if reason is not None or self._pact is None:
            return reason
        return why_full(self._pact.rooms.get(quote.company_id), price.charged_cents)

    def _look(self, slot: int) -> None:
        """Note why a campaign has no price that stands at any share count, if it has none.

        Of several faults the first is told, one of a price that was bid before one of no room.
        """
        if slot in self._fallen:
            return
        quote = self._index.quote(slot)
        lost: tuple[Reason, Price, int] | None = None
        no_room: Reason | None = None
        silent: Reason | None = None
        tight = self._tight >> slot & 1
        deal = self._deal(quote)
        for share in range(1, self._ping.max_buyers + 1):
            if deal is not None and not deal.sells(share):
                continue
            price = self._price(quote, share)
            if price is None:
                if quote.is_remote:
                    reason = ask_heard(quote.runner.campaign, share, self._heard)[2]
                    silent = silent or reason
                continue
            if tight and (reason := self._no_room(quote, price)) is not None:
                no_room = no_room or reason
            elif price.rectified_cents < self._floor:
                lost = lost or (Reason.BELOW_FLOOR, price, share)
            elif price.seller_cents < self._ping.min_price_cents:
                lost = lost or (Reason.BELOW_MIN_PRICE, price, share)
            else:
                self._fallen[slot] = None
                return
        no_bid = no_room or silent
        self._fallen[slot] = no_bid if lost is None else lost[0]
        if len(self._told) < MOST_FALLEN:
            if lost is not None:
                self._told.append(self._lost(quote, *lost))
            elif no_bid is not None:
                self._told.append(_no_bid(quote, no_bid))

    def _lost(self, quote: Quote, reason: Reason, price: Price, share: int) -> Candidate:
        drawn = Drawer(self._draw_key, self._ping.ping_id).draw(quote.campaign_id)
        return lost_at(quote, price, share, reason, first_look=self._is_first(quote), drawn=drawn)


def _no_bid(quote: Quote, reason: Reason) -> Candidate:
    return Candidate(
        campaign_id=quote.campaign_id,
        company_id=quote.company_id,
        outcome="no_bid",
        reason=reason,
    )
