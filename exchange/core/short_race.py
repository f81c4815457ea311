"""The auction over few campaigns of a lead under no contract, which is nearly every lead's.

Every campaign is priced, and the lead comes to the same award and the same reasons as by
`auction.decide`. Told are only those the offer does not keep, and draws only where one was needed:
`auction.tell_whole` adds the rest. Source: rules §7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from exchange.core.auction import Award, Candidate, Decision, ask_heard, is_premium, lost_at, no_bid
from exchange.core.index import Gated
from exchange.core.market import Market
from exchange.core.masks import slots_of
from exchange.core.matching import why_no_room, why_not
from exchange.core.model import CompanyId, Ping, Ranked
from exchange.core.quote import Price, Quote, price_at, price_of, ranked_for, ranked_of
from exchange.core.reasons import Reason
from exchange.core.remote import Hearing
from exchange.core.standing import Verdict
from exchange.core.ties import settle

_OUTBID: Final = Reason.OUTBID.code

Entrant = tuple[int, int, Price, Quote, str | None]
"""A price at one share count: minus its rectified cents, its slot, all of it, whose it is, and the
token of the company's own bidder."""


def is_under_contract(market: Market, ping: Ping, now: datetime) -> bool:
    """Whether any company has a contract with a ping's seller: then the plain scan decides."""
    contracts = market.contracts
    return bool(contracts.sellers) and contracts.deals(ping.seller_id, now) is not None


def short_race(
    market: Market, ping: Ping, now: datetime, draw_key: bytes, heard: Hearing, gated: Gated
) -> Decision:
    """Hold the auction for a lead under no contract; ``heard`` is what companies' bidders said.

    ``draw_key`` (16 to 64 bytes) seeds fair ties, ``gated`` says who may bid.
    """
    return _ShortRace(market, ping, now, draw_key, heard).run(gated.mask)


class _ShortRace:
    """One ping's way through few campaigns."""

    __slots__ = ("_draw_key", "_drawn", "_heard", "_market", "_now", "_ping", "_premium", "_told")

    def __init__(
        self, market: Market, ping: Ping, now: datetime, draw_key: bytes, heard: Hearing
    ) -> None:
        self._market = market
        self._ping = ping
        self._now = now
        self._draw_key = draw_key
        self._heard = heard
        self._premium = ping.vertical in market.premium and is_premium(market, ping)
        self._drawn: dict[int, int] = {}
        self._told: list[Candidate] = []

    def run(self, mask: int) -> Decision:
        entered = self._enter(mask)
        first = self._first_round(entered) if self._premium else {}
        share, placed, again = self._best(first or entered)
        winners = min(share, len(placed))
        if first:
            # Those of the second round stand in line behind those of the first.
            late = [one for one in entered[share] if not self._is_first(one[3])]
            placed_late, again_late = self._line(late)
            placed, again = placed + placed_late, again + again_late
        kept = winners + self._market.policy.max_ranks
        counts: dict[str, int] = {}
        if first:
            for entrant in placed[winners:kept]:
                code = self._why_behind(entrant).code
                counts[code] = counts.get(code, 0) + 1
        elif len(placed) > winners:
            counts[_OUTBID] = min(len(placed), kept) - winners
        told = self._told
        for rank, entrant in enumerate(placed[kept:], kept + 1):
            reason = self._why_behind(entrant) if first else Reason.OUTBID
            told.append(self._lost(entrant, share, reason, rank))
        for entrant in again:
            is_late = first and not self._is_first(entrant[3])
            reason = Reason.FIRST_LOOK if is_late else Reason.SAME_COMPANY
            told.append(self._lost(entrant, share, reason))
        for other, entrants in entered.items():
            if other != share:
                told += [self._lost(one, other, Reason.SHARE_COUNT) for one in entrants]
        for candidate in told:
            if candidate.reason is not None:
                code = candidate.reason.code
                counts[code] = counts.get(code, 0) + 1
        return Decision(
            award=Award(share=share, winners=winners, ranks=self._ranks(placed[:kept])),
            candidates=tuple(told),
            reasons=counts,
            premium=self._premium,
        )

    # --- who stands where -------------------------------------------------------------------------

    def _first_round(self, entered: Mapping[int, Sequence[Entrant]]) -> dict[int, list[Entrant]]:
        """Of those that entered who is in the first round, where a lead is premium."""
        return {
            share: first
            for share, entrants in entered.items()
            if (first := [entrant for entrant in entrants if self._is_first(entrant[3])])
        }

    def _best(
        self, entered: Mapping[int, list[Entrant]]
    ) -> tuple[int, list[Entrant], list[Entrant]]:
        """The share count whose best prices sum highest (the smaller on ties), and its line."""
        if len(entered) == 1:
            [(share, entrants)] = entered.items()
            return (share, *self._line(entrants))
        most, best = -1, (1, list[Entrant](), list[Entrant]())
        for share in sorted(entered):
            placed, again = self._line(entered[share])
            worth = -sum([entrant[0] for entrant in placed[:share]])
            if worth > most:
                most, best = worth, (share, placed, again)
        return best

    def _line(self, entrants: list[Entrant]) -> tuple[list[Entrant], list[Entrant]]:
        """Entrants of one share count in their order, of each company its best; and the others."""
        self._drawn.update(settle(entrants, self._draw_key, self._ping.ping_id))
        best: dict[CompanyId, Entrant] = {}
        again: list[Entrant] = []
        for entrant in entrants:
            if best.setdefault(entrant[3].company_id, entrant) is not entrant:
                again.append(entrant)
        return list(best.values()), again

    def _is_first(self, quote: Quote) -> bool:
        return self._premium and quote.standing.verdict is Verdict.QUALIFIED

    def _why_behind(self, entrant: Entrant) -> Reason:
        """Why an entrant in line did not win a lead that had a first round."""
        return Reason.OUTBID if self._is_first(entrant[3]) else Reason.FIRST_LOOK

    # --- what is kept of whom ---------------------------------------------------------------------

    def _ranks(self, line: Sequence[Entrant]) -> tuple[Ranked, ...]:
        """Entrants as the offer keeps them."""
        if self._drawn or self._premium:
            return tuple([self._rank(entrant) for entrant in line])
        return tuple(
            [
                (quote.in_line.get(price.base_cents) or ranked_of(quote, price))
                if token is None
                else self._rank((worth, slot, price, quote, token))
                for worth, slot, price, quote, token in line
            ]
        )

    def _rank(self, entrant: Entrant) -> Ranked:
        """An entrant with what only this lead has: a token, a first look, a draw."""
        _, slot, price, quote, token = entrant
        first_look, drawn = self._is_first(quote), self._drawn.get(slot)
        return ranked_for(quote, price, first_look=first_look, token=token, drawn=drawn)

    def _lost(
        self, entrant: Entrant, share: int, reason: Reason, rank: int | None = None
    ) -> Candidate:
        """An entrant as the receipt tells it."""
        _, slot, price, quote, _ = entrant
        first_look, drawn = self._is_first(quote), self._drawn.get(slot)
        return lost_at(quote, price, share, reason, first_look=first_look, drawn=drawn, rank=rank)

    # --- who enters -------------------------------------------------------------------------------

    def _enter(self, mask: int) -> dict[int, list[Entrant]]:
        """The prices that stand, by share count; why other campaigns have none is told."""
        market, ping, heard = self._market, self._ping, self._heard
        index, policy = market.indexes[ping.vertical], market.policy
        if mask != index.everyone:
            mask |= self._tell_kept_away(index.everyone ^ mask)
        floor, least = max(market.verticals[ping.vertical].floor_cents, 1), ping.min_price_cents
        quotes, tight, shares = index.quotes, index.tight, range(1, ping.max_buyers + 1)
        entered: dict[int, list[Entrant]] = {}
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
                    price = price_of(quote, ping.attributes, share, policy)
                if price is None:
                    continue
                if tight >> slot & 1 and (reason := self._no_room(quote, price)) is not None:
                    no_room = no_room or reason
                    continue
                entrant = (-price.rectified_cents, slot, price, quote, token)
                if price.rectified_cents < floor:
                    lost = lost or self._lost(entrant, share, Reason.BELOW_FLOOR)
                elif price.seller_cents < least:
                    lost = lost or self._lost(entrant, share, Reason.BELOW_MIN_PRICE)
                else:
                    stands = True
                    entered.setdefault(share, []).append(entrant)
            if stands:
                continue
            if lost is not None:
                self._told.append(lost)
            elif (kept_away := no_room or silent) is not None:
                self._told.append(no_bid(quote.runner, kept_away))
        return entered

    def _no_room(self, quote: Quote, price: Price) -> Reason | None:
        company = self._market.companies[quote.company_id]
        return why_no_room(quote.runner.campaign, company, self._now, price.charged_cents)

    def _tell_kept_away(self, mask: int) -> int:
        """Tell why the campaigns of a mask do not bid; gives those that may after all."""
        market, ping = self._market, self._ping
        index, may_bid = market.indexes[ping.vertical], 0
        for slot in slots_of(mask):
            runner = index.runner_at(slot)
            company_id = runner.campaign.company_id
            company, standing = market.companies.get(company_id), market.standings.get(company_id)
            reason = why_not(runner, company, standing, ping, self._now)
            if reason is None:
                may_bid |= 1 << slot
            else:
                self._told.append(no_bid(runner, reason))
        return may_bid
