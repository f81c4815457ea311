"""The auction: bids into ranks, ranks into an offer, and a word on every campaign that lost.

Source: rules §7 (ranking, floors, share counts, first look). Must not know stores or the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from fractions import Fraction
from hashlib import blake2b
from operator import attrgetter
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from exchange.core.contract import Deal, apply_terms
from exchange.core.index import Gated
from exchange.core.market import Market
from exchange.core.matching import why_no_room, why_not
from exchange.core.model import Campaign, CampaignId, CompanyId, Offer, Ping, PingId, Ranked
from exchange.core.quote import Price, Quote, price_at, reckon
from exchange.core.reasons import Reason
from exchange.core.remote import Hearing
from exchange.core.runner import Runner, base_price
from exchange.core.standing import Standing, Verdict
from exchange.core.terms import Applied
from exchange.core.trial_room import TrialRoom, why_full

NOTHING_HEARD: Final[Hearing] = {}
_RECTIFIED: Final = attrgetter("rectified_cents")

Outcome = Literal["won", "lost", "no_bid"]


class BidEntry(Ranked, frozen=True, kw_only=True, gc=False):
    """A price that stands in the auction: one campaign, one share count.

    ``overall_rate`` and ``draw`` settle equal prices, in this order.
    """

    share: int
    overall_rate: Fraction
    draw: int


class Candidate(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What became of one campaign, as the receipt keeps it; money in cents.

    ``rejected`` over ``assigned`` is the exact overall rate the price was rectified by, ``terms``
    what a contract made of the list price before, if it changed it.
    """

    campaign_id: CampaignId
    company_id: CompanyId
    outcome: Outcome
    reason: Reason | None = None
    share: int | None = None
    base_cents: int | None = None
    rejected: int = 0
    assigned: int = 0
    rectified_cents: int | None = None
    charged_cents: int | None = None
    rank: int | None = None
    draw: int | None = None
    first_look: bool = False
    terms: Applied | None = None


class Award(Struct, frozen=True, kw_only=True, gc=False):
    """What the auction came to: who won at which share count, and who stands behind them.

    ``ranks`` are the companies in line, winners first; ``winners`` is how many of them won, 0 when
    nobody bid.
    """

    share: int
    winners: int
    ranks: tuple[Ranked, ...]


class Decision(Struct, frozen=True, kw_only=True, gc=False):
    """An auction's whole result: the award, every candidate, and how often each reason came up."""

    award: Award
    candidates: tuple[Candidate, ...]
    reasons: dict[str, int]
    premium: bool


def decide(
    market: Market,
    ping: Ping,
    now: datetime,
    draw_key: bytes,
    heard: Hearing = NOTHING_HEARD,
    gated: Gated | None = None,
) -> Decision:
    """Hold the auction for a ping over a market. ``draw_key`` (16–64 bytes) seeds fair ties.

    ``heard`` is what companies' own bidders said, ``gated`` who may bid where that is known: they
    are not looked at again.
    """
    index = market.indexes[ping.vertical]
    may_bid = dict[CampaignId, Quote]() if gated is None else index.quotes_in(gated.mask)
    premium = is_premium(market, ping)
    drawer = Drawer(draw_key, ping.ping_id)
    bids: list[BidEntry] = []
    refused: list[Candidate] = []
    deals = market.contracts.deals(ping.seller_id, now) if market.contracts.sellers else None
    for campaign_id, runner in index.runners.items():
        company_id = runner.campaign.company_id
        deal = None if deals is None else deals.by_company.get(company_id)
        room = None if deal is None else market.contracts.room(deal)
        quote = may_bid.get(campaign_id)
        if quote is None:
            company, standing = market.companies.get(company_id), market.standings.get(company_id)
            reason = why_not(runner, company, standing, ping, now, deal, room)
            if reason is not None:
                refused.append(no_bid(runner, reason))
                continue
            quote = index.quote_of(campaign_id)
        entries, lost = price(runner, market, ping, now, drawer, premium, heard, deal, room, quote)
        bids.extend(entries)
        if not entries and lost is not None:
            refused.append(lost)
    award = hold(bids, ping.max_buyers)
    candidates = (*explain(bids, award), *refused)
    counts: dict[str, int] = {}
    for candidate in candidates:
        if candidate.reason is not None:
            code = candidate.reason.code
            counts[code] = counts.get(code, 0) + 1
    return Decision(award=award, candidates=candidates, reasons=counts, premium=premium)


class Drawer:
    """The keyed draw of one ping, made ready once for all its campaigns."""

    __slots__ = ("_begun",)

    def __init__(self, draw_key: bytes, ping_id: PingId) -> None:
        self._begun = blake2b(f"{ping_id}|".encode(), digest_size=6, key=draw_key)

    def draw(self, campaign_id: CampaignId) -> int:
        """48 bits that settle equal bids; the lower wins."""
        drawing = self._begun.copy()
        drawing.update(campaign_id.encode())
        return int.from_bytes(drawing.digest(), "big")


def draw(draw_key: bytes, ping_id: PingId, campaign_id: CampaignId) -> int:
    """The keyed draw of a campaign in a ping's auction, for whoever recomputes a tie."""
    return Drawer(draw_key, ping_id).draw(campaign_id)


def rank(bids: Iterable[BidEntry]) -> list[BidEntry]:
    """Order bids of one share count: rectified price, then lower rate, then the draw.

    One per company, its best. Should even the draw be equal, the id decides, never arrival.
    """
    ordered = sorted(bids, key=_RECTIFIED, reverse=True)
    if len(set(map(_RECTIFIED, ordered))) != len(ordered):
        ordered.sort(key=lambda b: (-b.rectified_cents, b.overall_rate, b.draw, b.campaign_id))
    best: dict[CompanyId, BidEntry] = {}
    for bid in ordered:
        best.setdefault(bid.company_id, bid)
    return list(best.values())


def hold(bids: Sequence[BidEntry], max_buyers: int) -> Award:
    """Award a lead among bids, in two rounds where some are first look.

    Bids of the second round stand in line behind those of the first.
    """
    first = [bid for bid in bids if bid.first_look]
    rest = [bid for bid in bids if not bid.first_look] if first else bids
    share, ranked = _best_share(first or rest, max_buyers)
    if not ranked and first:
        first = []
        share, ranked = _best_share(rest, max_buyers)
    winners = min(share, len(ranked))
    if first:
        in_line = {bid.company_id for bid in ranked}
        behind = [bid for bid in rest if bid.share == share and bid.company_id not in in_line]
        ranked += rank(behind)
    return Award(share=share, winners=winners, ranks=tuple(ranked))


def _best_share(bids: Sequence[BidEntry], max_buyers: int) -> tuple[int, list[BidEntry]]:
    """The share count whose best prices sum highest (the smaller on ties), and its ranks.

    Fewer companies than the share count may take it: a lead shared by less is worth no less.
    """
    best_share, best_total, best_ranks = 1, -1, list[BidEntry]()
    for share in range(1, max_buyers + 1):
        ranked = rank([bid for bid in bids if bid.share == share])
        total = sum([bid.rectified_cents for bid in ranked[:share]])
        if ranked and total > best_total:
            best_share, best_total, best_ranks = share, total, ranked
    return best_share, best_ranks


def is_premium(market: Market, ping: Ping) -> bool:
    """Whether the vertical's rule marks this lead as premium."""
    predicate = market.premium.get(ping.vertical)
    return predicate is not None and predicate(ping.attributes)


def is_first(standing: Standing, premium: bool, deal: Deal | None) -> bool:
    """Whether a company's bids are in the first round: qualified, and the lead premium to it.

    To all it is by the vertical's rule, to a company with a contract for a first look always.
    """
    is_due = premium or (deal is not None and deal.first_look)
    return is_due and standing.verdict is Verdict.QUALIFIED


def price(
    runner: Runner,
    market: Market,
    ping: Ping,
    now: datetime,
    drawer: Drawer,
    premium: bool,
    heard: Hearing,
    deal: Deal | None = None,
    room: TrialRoom | None = None,
    quote: Quote | None = None,
) -> tuple[list[BidEntry], Candidate | None]:
    """A campaign's bids at every share count it may take, or why none of its prices stands.

    ``quote`` remembers what its prices come to, where it is in the market's index.

    Of several faults the first is told, one of a price that was bid before one of no room, and
    last why the company's own bidder named no price.
    """
    campaign, policy = runner.campaign, market.policy
    standing = market.standings[campaign.company_id]
    company = market.companies[campaign.company_id]
    floor_cents = market.verticals[ping.vertical].floor_cents
    drawn = drawer.draw(campaign.campaign_id)
    first_look = is_first(standing, premium, deal)
    # Most have neither: then there is nothing to look up at any price.
    is_bounded = bool(campaign.caps) or company.available_cents is not None or room is not None
    entries: list[BidEntry] = []
    lost: Candidate | None = None
    no_room: Candidate | None = None
    silent: Candidate | None = None
    for share in range(1, ping.max_buyers + 1):
        if deal is not None and not deal.sells(share):
            continue
        token, terms = None, None
        if campaign.bid.remote is None:
            base = base_price(runner, ping.attributes, share)
        else:
            base, token, reason = ask_heard(campaign, share, heard)
            if reason is not None:
                silent = silent or no_bid(runner, reason)
        if base is None:
            continue
        if deal is not None:
            is_named = campaign.bid.remote is not None
            base, terms = apply_terms(deal, base, ping.quality_score, is_named=is_named)
        if quote is None:
            reckoned = reckon(base, standing, policy)
        else:
            reckoned = price_at(quote, base, policy)
        rectified, charged = reckoned.rectified_cents, reckoned.charged_cents
        entry = BidEntry(
            campaign_id=campaign.campaign_id,
            company_id=campaign.company_id,
            share=share,
            base_cents=base,
            rectified_cents=rectified,
            charged_cents=charged,
            rejected=standing.rejected,
            assigned=standing.assigned,
            overall_rate=standing.overall_rate,
            draw=drawn,
            first_look=first_look,
            token=token,
            terms=terms,
        )
        reason = None
        if is_bounded:
            reason = why_no_room(campaign, company, now, charged) or why_full(room, charged)
        if reason is not None:
            no_room = no_room or no_bid(runner, reason)
        elif rectified < floor_cents or rectified == 0:
            lost = lost or _lost(entry, Reason.BELOW_FLOOR)
        elif reckoned.seller_cents < ping.min_price_cents:
            lost = lost or _lost(entry, Reason.BELOW_MIN_PRICE)
        else:
            entries.append(entry)
    return entries, lost or no_room or silent


def ask_heard(
    campaign: Campaign, share: int, heard: Hearing
) -> tuple[int | None, str | None, Reason | None]:
    """What a campaign's own bidder named at a share count: price in cents and token, or why not.

    One that was not asked (it came to the market meanwhile, say) had no time to answer.
    """
    remote = campaign.bid.remote
    if remote is None or share not in remote.shares:
        return None, None, None
    said = heard.get((campaign.campaign_id, share))
    if said is None:
        return None, None, Reason.BIDDER_NO_TIME
    if said.reason is not None or said.cents is None:
        return None, None, said.reason or Reason.BIDDER_DECLINED
    if said.cents > remote.max_price_cents:
        # The bound was lowered since it was asked; room and ranks are reckoned with the present.
        return None, None, Reason.BID_PRICE
    return said.cents, said.token, None


def no_bid(runner: Runner, reason: Reason) -> Candidate:
    """A campaign that did not bid."""
    campaign = runner.campaign
    return Candidate(
        campaign_id=campaign.campaign_id,
        company_id=campaign.company_id,
        outcome="no_bid",
        reason=reason,
    )


def _lost(bid: BidEntry, reason: Reason | None, rank_no: int | None = None) -> Candidate:
    return Candidate(
        campaign_id=bid.campaign_id,
        company_id=bid.company_id,
        outcome="won" if reason is None else "lost",
        reason=reason,
        share=bid.share,
        base_cents=bid.base_cents,
        rejected=bid.rejected,
        assigned=bid.assigned,
        rectified_cents=bid.rectified_cents,
        charged_cents=bid.charged_cents,
        rank=rank_no,
        draw=bid.draw,
        first_look=bid.first_look,
        terms=bid.terms,
    )


def lost_at(
    quote: Quote,
    price: Price,
    share: int,
    reason: Reason,
    *,
    first_look: bool,
    drawn: int | None,
    rank: int | None = None,
) -> Candidate:
    """A campaign's price that did not win, or did not stand; ``drawn`` where a draw was made."""
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
        first_look=first_look,
        terms=price.terms,
    )


def explain(bids: Sequence[BidEntry], award: Award) -> list[Candidate]:
    """A candidate for every bid: those in line with their rank, the others with why not."""
    places = {id(bid): place for place, bid in enumerate(award.ranks, start=1)}
    first_round = award.ranks[0].first_look if award.ranks else False
    outbid = Reason.OUTBID
    told = []
    for bid in bids:
        place = places.get(id(bid))
        if place is not None and place <= award.winners:
            reason = None
        elif bid.share != award.share:
            reason = Reason.SHARE_COUNT
        elif first_round and not bid.first_look:
            reason = Reason.FIRST_LOOK
        elif place is None:
            reason = Reason.SAME_COMPANY
        else:
            reason = outbid
        told.append(_lost(bid, reason, place))
    return told


def in_line(award: Award, max_ranks: int) -> tuple[Ranked, ...]:
    """The companies an offer remembers, winners first, at most ``max_ranks`` beyond them."""
    line = award.ranks[: award.winners + max_ranks]
    # A bid has more, which only the auction needs.
    return line if line and type(line[0]) is Ranked else tuple(map(_plain, line))


def _plain(bid: Ranked) -> Ranked:
    return Ranked(
        campaign_id=bid.campaign_id,
        company_id=bid.company_id,
        base_cents=bid.base_cents,
        rectified_cents=bid.rectified_cents,
        charged_cents=bid.charged_cents,
        rejected=bid.rejected,
        assigned=bid.assigned,
        first_look=bid.first_look,
        token=bid.token,
        drawn=bid.drawn,
        terms=bid.terms,
    )


def line_of(offer: Offer, draw_key: bytes) -> tuple[Candidate, ...]:
    """A candidate for every company in line for an offer, with its rank and its draw.

    A draw that settled nothing was not made then, and is made now.
    """
    drawer = Drawer(draw_key, offer.ping_id)
    winners = len(offer.legs_cents)
    return tuple(
        Candidate(
            campaign_id=ranked.campaign_id,
            company_id=ranked.company_id,
            outcome="won" if place <= winners else "lost",
            reason=_why_behind(ranked, place, offer),
            share=offer.share,
            base_cents=ranked.base_cents,
            rejected=ranked.rejected,
            assigned=ranked.assigned,
            rectified_cents=ranked.rectified_cents,
            charged_cents=ranked.charged_cents,
            rank=place,
            draw=drawer.draw(ranked.campaign_id) if ranked.drawn is None else ranked.drawn,
            first_look=ranked.first_look,
            terms=ranked.terms,
        )
        for place, ranked in enumerate(offer.ranks, start=1)
    )


def tell_whole(
    candidates: tuple[Candidate, ...], offer: Offer | None, draw_key: bytes, ping_id: PingId
) -> tuple[Candidate, ...]:
    """A receipt's candidates with those its offer keeps, and with every draw.

    Whoever leads the line is among the candidates where the receipt tells the line itself.
    """
    if offer is not None and not any(candidate.rank == 1 for candidate in candidates):
        candidates = (*line_of(offer, draw_key), *candidates)
    if any(_lacks_draw(candidate) for candidate in candidates):
        drawer = Drawer(draw_key, ping_id)
        return tuple(
            replace(candidate, draw=drawer.draw(candidate.campaign_id))
            if _lacks_draw(candidate)
            else candidate
            for candidate in candidates
        )
    return candidates


def _lacks_draw(candidate: Candidate) -> bool:
    """A draw that settled nothing was not made, and is made where somebody reads."""
    return candidate.base_cents is not None and candidate.draw is None


def _why_behind(ranked: Ranked, place: int, offer: Offer) -> Reason | None:
    if place <= len(offer.legs_cents):
        return None
    early = offer.ranks[0].first_look and not ranked.first_look
    return Reason.FIRST_LOOK if early else Reason.OUTBID
