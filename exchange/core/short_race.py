"""The auction over few campaigns, for a lead with one round and no contract: the ordinary one.

Every campaign is priced, and the lead comes to the same award and the same reasons as by
`auction.decide`. Told are only those the offer does not keep, and their draws only where one was
needed: `auction.tell_whole` adds the rest. Source: rules §7.
"""

from __future__ import annotations

from datetime import datetime
from operator import itemgetter
from typing import Final

from exchange.core.auction import Award, Candidate, Decision, Drawer, ask_heard, is_premium, no_bid
from exchange.core.index import Gated
from exchange.core.market import Market
from exchange.core.masks import slots_of
from exchange.core.matching import why_no_room, why_not
from exchange.core.model import CompanyId, Ping, Ranked
from exchange.core.quote import Price, Quote, price_at, price_of, ranked_of
from exchange.core.reasons import Reason
from exchange.core.remote import Hearing

_BY_PRICE: Final = itemgetter(0)
_OUTBID: Final = Reason.OUTBID.code

Entrant = tuple[int, int, Price, Quote, str | None]
"""A price at one share count: minus its rectified cents, its slot, all of it, whose it is, and the
token of the company's own bidder."""


def is_ordinary(market: Market, ping: Ping, now: datetime) -> bool:
    """Whether a lead has one round, and none of its prices is under a contract."""
    if market.contracts.sellers and market.contracts.deals(ping.seller_id, now) is not None:
        return False
    return ping.vertical not in market.premium or not is_premium(market, ping)


def short_race(
    market: Market, ping: Ping, now: datetime, draw_key: bytes, heard: Hearing, gated: Gated
) -> Decision:
    """Hold the auction for an ordinary lead; ``heard`` is what companies' own bidders said.

    ``draw_key`` (16 to 64 bytes) seeds fair ties, ``gated`` says who may bid.
    """
    by_share, told = _enter(market, ping, now, heard, gated.mask)
    most, share, best = -1, 1, _Line([], ping, draw_key)
    for taken in sorted(by_share):
        line = _Line(by_share[taken], ping, draw_key)
        worth = -sum([entrant[0] for entrant in line.placed[:taken]])
        if worth > most:
            most, share, best = worth, taken, line
    winners = min(share, len(best.placed))
    kept = winners + market.policy.max_ranks
    ranks = tuple([best.place(entrant) for entrant in best.placed[:kept]])
    for rank, entrant in enumerate(best.placed[kept:], kept + 1):
        told.append(best.tell(entrant, share, Reason.OUTBID, rank))
    for entrant in best.again:
        told.append(best.tell(entrant, share, Reason.SAME_COMPANY))
    for taken, entrants in by_share.items():
        if taken != share:
            told += [best.tell(entrant, taken, Reason.SHARE_COUNT) for entrant in entrants]
    counts = {_OUTBID: len(ranks) - winners} if len(ranks) > winners else {}
    for candidate in told:
        if candidate.reason is not None:
            code = candidate.reason.code
            counts[code] = counts.get(code, 0) + 1
    return Decision(
        award=Award(share=share, winners=winners, ranks=ranks),
        candidates=tuple(told),
        reasons=counts,
        premium=False,
    )


class _Line:
    """The entrants of one share count: ``placed`` in their order, of each company its best;
    ``again`` those of companies that stand there already.
    """

    __slots__ = ("_drawer", "again", "placed")

    def __init__(self, entrants: list[Entrant], ping: Ping, draw_key: bytes) -> None:
        self._drawer: Drawer | None = None
        if len(entrants) > 1:
            entrants.sort(key=_BY_PRICE)
            if len(set(map(_BY_PRICE, entrants))) != len(entrants):
                self._drawer = drawer = Drawer(draw_key, ping.ping_id)
                entrants.sort(
                    key=lambda entrant: (
                        entrant[0],
                        entrant[3].standing.overall_rate,
                        drawer.draw(entrant[3].campaign_id),
                        entrant[3].campaign_id,
                    )
                )
        best: dict[CompanyId, Entrant] = {}
        self.again: list[Entrant] = []
        for entrant in entrants:
            if best.setdefault(entrant[3].company_id, entrant) is not entrant:
                self.again.append(entrant)
        self.placed = list(best.values())

    def place(self, entrant: Entrant) -> Ranked:
        """An entrant as the offer keeps it."""
        _, _, price, quote, token = entrant
        if token is None and self._drawer is None:
            return quote.in_line.get(price.base_cents) or ranked_of(quote, price)
        return Ranked(
            campaign_id=quote.campaign_id,
            company_id=quote.company_id,
            base_cents=price.base_cents,
            rectified_cents=price.rectified_cents,
            charged_cents=price.charged_cents,
            rejected=quote.standing.rejected,
            assigned=quote.standing.assigned,
            token=token,
            drawn=None if self._drawer is None else self._drawer.draw(quote.campaign_id),
        )

    def tell(
        self, entrant: Entrant, share: int, reason: Reason, rank: int | None = None
    ) -> Candidate:
        """An entrant as the receipt keeps it."""
        quote = entrant[3]
        drawn = None if self._drawer is None else self._drawer.draw(quote.campaign_id)
        return _lost(quote, entrant[2], share, reason, rank, drawn)


def _enter(
    market: Market, ping: Ping, now: datetime, heard: Hearing, mask: int
) -> tuple[dict[int, list[Entrant]], list[Candidate]]:
    """The prices that stand, by share count; and why the other campaigns have none."""
    index, policy, attributes = market.indexes[ping.vertical], market.policy, ping.attributes
    fallen: list[Candidate] = []
    if mask != index.everyone:
        mask = _tell_kept_away(market, ping, now, mask, fallen)
    floor, least = max(market.verticals[ping.vertical].floor_cents, 1), ping.min_price_cents
    quotes, tight, shares = index.quotes, index.tight, range(1, ping.max_buyers + 1)
    by_share: dict[int, list[Entrant]] = {}
    for slot in slots_of(mask):
        quote = quotes[slot] or index.quote(slot)
        lost: Candidate | None = None
        no_room: Reason | None = None
        silent: Reason | None = None
        stands = False
        token: str | None = None
        for share in shares:
            if quote.is_remote:
                base, token, reason = ask_heard(quote.runner.campaign, share, heard)
                silent = silent or reason
                price = None if base is None else price_at(quote, base, policy)
            else:
                price = price_of(quote, attributes, share, policy)
            if price is None:
                continue
            if tight >> slot & 1:
                campaign, company = quote.runner.campaign, market.companies[quote.company_id]
                reason = why_no_room(campaign, company, now, price.charged_cents)
                if reason is not None:
                    no_room = no_room or reason
                    continue
            rectified = price.rectified_cents
            if rectified < floor:
                lost = lost or _lost(quote, price, share, Reason.BELOW_FLOOR)
            elif price.seller_cents < least:
                lost = lost or _lost(quote, price, share, Reason.BELOW_MIN_PRICE)
            else:
                stands = True
                by_share.setdefault(share, []).append((-rectified, slot, price, quote, token))
        if not stands:
            kept_away = no_room or silent
            if lost is None and kept_away is not None:
                lost = no_bid(quote.runner, kept_away)
            if lost is not None:
                fallen.append(lost)
    return by_share, fallen


def _tell_kept_away(
    market: Market, ping: Ping, now: datetime, mask: int, fallen: list[Candidate]
) -> int:
    """Tell why campaigns outside a mask do not bid; gives the mask, with any that may after all."""
    index = market.indexes[ping.vertical]
    for slot in slots_of(index.everyone ^ mask):
        runner = index.runner_at(slot)
        company_id = runner.campaign.company_id
        company, standing = market.companies.get(company_id), market.standings.get(company_id)
        reason = why_not(runner, company, standing, ping, now)
        if reason is None:
            mask |= 1 << slot
        else:
            fallen.append(no_bid(runner, reason))
    return mask


def _lost(
    quote: Quote,
    price: Price,
    share: int,
    reason: Reason,
    rank: int | None = None,
    drawn: int | None = None,
) -> Candidate:
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
        rank=rank,
        draw=drawn,
    )
