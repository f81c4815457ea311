"""An auction's campaigns judged one by one, as they stood at its moment.

The same functions decide as at the auction; what they are given is what is kept of then. Source:
rules §3, §6 and §7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from exchange.core.auction import BidEntry, Candidate, Drawer, no_bid, price
from exchange.core.company import Company
from exchange.core.contract import Deal
from exchange.core.market import Market
from exchange.core.matching import why_not
from exchange.core.model import CompanyId, Offer, Ping, Ranked
from exchange.core.reasons import Reason
from exchange.core.remote import Heard, Hearing
from exchange.core.runner import Runner
from exchange.core.standing import Standing
from exchange.core.trial_room import TrialRoom

EARLY: Final = frozenset({Reason.INACTIVE, Reason.FILTER, Reason.SCHEDULE})
"""Reasons that come before a company's room and standing are looked at."""


class State(Struct, frozen=True, kw_only=True):
    """How a company may have stood at the moment; ``deal`` is its contract with the seller.

    ``room`` is what was left of its trial under that, None where none bounds what is bought.
    """

    company: Company
    standing: Standing | None
    deal: Deal | None
    room: TrialRoom | None = None


class Judged(Struct, frozen=True, kw_only=True):
    """What a campaign came to by itself: prices that stand, or why there is none."""

    runner: Runner
    entries: tuple[BidEntry, ...] = ()
    fallen: Candidate | None = None

    @property
    def reason(self) -> Reason | None:
        """Why it has no price that stands, if it has none."""
        return None if self.fallen is None else self.fallen.reason


class Told(Struct, frozen=True, kw_only=True):
    """What a receipt says: its counts by reason, whom it names out of line, and its offer."""

    reasons: Mapping[str, int]
    named: Sequence[Candidate]
    offer: Offer | None
    premium: bool

    @property
    def winners(self) -> int:
        """How many companies won."""
        return 0 if self.offer is None else len(self.offer.legs_cents)

    @property
    def line(self) -> tuple[Ranked, ...]:
        """The companies in line."""
        return () if self.offer is None else self.offer.ranks

    def heard(self) -> Hearing:
        """What companies' own bidders named, as far as it put them in line."""
        return {} if self.offer is None else _named_in_line(self.offer)


class Scan:
    """Judges the campaigns of one auction, one by one."""

    def __init__(
        self, market: Market, ping: Ping, now: datetime, draw_key: bytes, told: Told
    ) -> None:
        """``market`` lends verticals and policy; its companies are set as they are asked for."""
        self._market = market
        self._ping = ping
        self._now = now
        self._drawer = Drawer(draw_key, ping.ping_id)
        self._premium = told.premium
        self._heard = told.heard()
        self._named = {candidate.campaign_id: candidate for candidate in told.named}
        self._spoken = {campaign_id for campaign_id, _ in self._heard}

    def look(self, runner: Runner, company: Company) -> Reason | None:
        """The first reason against a campaign, its company taken to have room and no contract.

        `CRM_GATE` where nothing but its room, its contract and its standing may be against it.
        """
        return why_not(runner, company, None, self._ping, self._now)

    def judge(self, runner: Runner, state: State) -> Judged:
        """What a campaign comes to, its company standing so."""
        company_id = runner.campaign.company_id
        reason = why_not(
            runner,
            state.company,
            state.standing,
            self._ping,
            self._now,
            state.deal,
            state.room,
        )
        if reason is not None or state.standing is None:
            return Judged(runner=runner, fallen=no_bid(runner, reason or Reason.CRM_GATE))
        if runner.campaign.bid.remote is not None and not self._is_in_line(runner):
            # What its bidder said is on the receipt, or it came to nothing that mattered.
            named = self._named.get(runner.campaign.campaign_id)
            return Judged(runner=runner, fallen=named or _unheard(runner))
        self._market.companies[company_id] = state.company
        self._market.standings[company_id] = state.standing
        entries, lost = price(
            runner,
            self._market,
            self._ping,
            self._now,
            self._drawer,
            self._premium,
            self._heard,
            state.deal,
            state.room,
        )
        return Judged(runner=runner, entries=tuple(entries), fallen=None if entries else lost)

    def _is_in_line(self, runner: Runner) -> bool:
        return runner.campaign.campaign_id in self._spoken


def ways_told(states: Sequence[State], told: Told, company_id: CompanyId) -> Sequence[State]:
    """Of the ways a company may have stood, those whose rate the receipt does not rule out."""
    bids: list[Ranked | Candidate] = [*told.line, *told.named]
    rates = {
        (bid.rejected, bid.assigned)
        for bid in bids
        if bid.company_id == company_id and bid.base_cents is not None
    }
    fitting = [
        state
        for state in states
        if state.standing is not None
        and rates <= {(state.standing.rejected, state.standing.assigned)}
    ]
    return fitting if rates and fitting else states


def _unheard(runner: Runner) -> Candidate:
    """A campaign whose bidder named a price that nobody kept, as it came to nothing."""
    return replace(no_bid(runner, Reason.OUTBID), outcome="lost")


def _named_in_line(offer: Offer) -> dict[tuple[str, int], Heard]:
    """The bids of those in line, as their bidders would have named them."""
    return {
        (ranked.campaign_id, offer.share): Heard(
            cents=ranked.base_cents if ranked.terms is None else ranked.terms.listed_cents,
            token=ranked.token,
        )
        for ranked in offer.ranks
    }
