"""The campaigns of one vertical, compiled: who may bid on a ping, and why the others do not.

Every reason of rules §3.2 and §3.3 is a mask over the campaigns' slots; a ping's candidates are
what is left after taking each away in the rules' order, and a reason's count is the bits it took.
Masks change when a campaign, a company or the quarter of an hour does, never with a ping.
Agrees with `matching.why_not` on every campaign.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct

from exchange.core.company import Company
from exchange.core.contract_book import ContractBook
from exchange.core.contract_masks import SellerMasks
from exchange.core.demand_index import DemandIndex
from exchange.core.hours import is_open
from exchange.core.masks import Bounds, FilterIndex, slots_of
from exchange.core.matching import why_no_room
from exchange.core.model import CampaignId, CompanyId, Ping, Policy, Schedule, SellerId
from exchange.core.pricing import rectify
from exchange.core.quote import Quote, quote_for
from exchange.core.reasons import Reason
from exchange.core.runner import Runner, highest_price, shares
from exchange.core.shelf import WORD, Shelf
from exchange.core.standing import Standing, Verdict
from exchange.core.terms import raise_by
from exchange.core.trial_room import why_full
from exchange.core.verticals import Vertical

_QUARTER_MINUTES: Final = 15
"""Cap periods begin on a quarter of an hour, as timezones are offset by quarters at the finest."""


class Gated(Struct, frozen=True, gc=False):
    """Who may bid on a ping, and how many campaigns each reason (by its code) keeps from it."""

    mask: int
    counts: dict[str, int]


class VerticalIndex:
    """Masks over the campaigns of one vertical.

    ``changes`` only grows: with every campaign that came, went, moved or is worth another price.
    """

    def __init__(
        self,
        vertical: Vertical,
        companies: Mapping[CompanyId, Company],
        standings: Mapping[CompanyId, Standing],
        policy: Policy,
        block: int = WORD,
        contracts: ContractBook | None = None,
    ) -> None:
        self._policy = policy
        self._contracts = ContractBook() if contracts is None else contracts
        self._by_seller: dict[SellerId, SellerMasks] = {}
        self._companies = companies
        self._standings = standings
        self._filters = FilterIndex(vertical)
        self.shelf: Shelf[CampaignId] = Shelf(self._moved, block)
        self.runners: dict[CampaignId, Runner] = {}
        self.quotes: list[Quote | None] = []
        self.tops: list[int] = []
        self.everyone = 0
        self.changes = 0
        self._of_company: dict[CompanyId, int] = {}
        self._campaigns: dict[CompanyId, dict[CampaignId, None]] = {}
        self._weighed: dict[CompanyId, Standing | None] = {}
        self._inactive = 0
        self.excluded = 0
        self.qualified = 0
        self.remote = 0
        self._schedules: dict[Schedule, int] = {}
        self._closed = 0
        self._closed_is_stale = False
        self._minute = -1
        self._paused = 0
        self._capped = 0
        self._prepaid = 0
        self._stale_room = 0
        self.tight = 0
        self._no_room: dict[Reason, int] = dict.fromkeys(_ROOM, 0)
        self._max_age = Bounds()
        self._demands = DemandIndex()
        self._by_share: dict[int, int] = {}

    def add(self, runner: Runner) -> None:
        """Put a campaign in; one of the same id must have been removed."""
        campaign_id, company_id = runner.campaign.campaign_id, runner.campaign.company_id
        self.runners[campaign_id] = runner
        self._campaigns.setdefault(company_id, {})[campaign_id] = None
        self._put(runner)
        self.judge(company_id)

    def remove(self, campaign_id: CampaignId) -> None:
        """Take a campaign out, if it is there."""
        runner = self.runners.pop(campaign_id, None)
        if runner is not None:
            del self._campaigns[runner.campaign.company_id][campaign_id]
            self._leave(runner, self.shelf.take(campaign_id))

    def judge(self, company_id: CompanyId) -> None:
        """Look again at a company: its standing, whether it is active, what room it has."""
        mask = self._of_company.get(company_id, 0)
        if not mask:
            return
        company, standing = self._companies.get(company_id), self._standings.get(company_id)
        if standing is not self._weighed.get(company_id):
            self._weighed[company_id] = standing
            self._reprice(company_id)
            mask = self._of_company[company_id]
        verdict = None if standing is None else standing.verdict
        self.excluded = _set(self.excluded, mask, verdict is Verdict.EXCLUDED or verdict is None)
        self.qualified = _set(self.qualified, mask, verdict is Verdict.QUALIFIED)
        is_active = company is not None and company.active
        if is_active:
            self._inactive = (self._inactive & ~mask) | (mask & self._paused)
        else:
            self._inactive |= mask
        is_prepaid = company is not None and company.available_cents is not None
        was_prepaid = bool(self._prepaid & mask)
        self._prepaid = _set(self._prepaid, mask, is_prepaid)
        self._stale_room |= mask if is_prepaid or was_prepaid else mask & self._capped

    def gate(self, ping: Ping, now: datetime) -> Gated:
        """Who may bid on a ping now, and how many each reason keeps from it."""
        minute = int(now.timestamp()) // 60
        if minute != self._minute or self._closed_is_stale:
            self._pass_to(minute, now)
        if self._stale_room:
            self._refresh_room(now)
        counts: dict[str, int] = {}
        left = self.everyone
        if self._inactive:
            left = _take(left, self._inactive, _INACTIVE, counts)
        matched = self._filters.match(ping.attributes, left)
        if matched != left:
            counts[_FILTER] = (left ^ matched).bit_count()
            left = matched
        if self._closed:
            left = _take(left, self._closed, _SCHEDULE, counts)
        for reason, mask in self._no_room.items():
            if mask:
                left = _take(left, mask, reason.code, counts)
        if self._max_age.everyone:
            age_s = (now - ping.captured_at).total_seconds()
            left = _take(left, self._max_age.up_to((age_s, 0)), _LEAD_AGE, counts)
        if self._demands.everyone:
            for reason, mask in self._demands.unmet(ping):
                left = _take(left, mask, reason.code, counts)
        for company_id in ping.suppressed_by:
            left = _take(left, self._of_company.get(company_id, 0), _SUPPRESSED, counts)
        for company_id in ping.sold_to:
            left = _take(left, self._of_company.get(company_id, 0), _SOLD_BEFORE, counts)
        taking = self._taking_up_to(ping.max_buyers)
        if taking != self.everyone:
            left = _take(left, self.everyone ^ taking, _SHARE_MODE, counts)
        if self._contracts.sellers:
            left = self._by_contract(ping, now, left, counts)
        if self.excluded:
            left = _take(left, self.excluded, _CRM_GATE, counts)
        return Gated(left, counts)

    def contracts_of(self, seller_id: SellerId, now: datetime) -> SellerMasks | None:
        """A seller's contracts as masks; None where it has none."""
        if not self._contracts.sellers:
            return None
        deals = self._contracts.deals(seller_id, now)
        if deals is None:
            return None
        masks = self._by_seller.get(seller_id)
        if masks is None or masks.deals is not deals:
            masks = self._by_seller[seller_id] = SellerMasks(deals, self._of_company)
            # What a contract raises may need more room than was reckoned with.
            self._stale_room |= masks.priced & (self._capped | self._prepaid)
            self._refresh_room(now)
        if masks.trials:
            used = self._contracts.used.get(seller_id, 0)
            if masks.is_stale or masks.used != used:
                self._refresh_trials(masks)
                masks.used, masks.is_stale = used, False
        return masks

    def has_terms(self, seller_id: SellerId) -> bool:
        """Whether contracts may bar campaigns from a seller's leads, as of its last ping gated."""
        return self._by_seller.get(seller_id) is not None

    def is_barred(self, seller_id: SellerId, slot: int, share: int) -> bool:
        """Whether a contract sells the campaign in a slot no leads at a share count.

        As of the last ping of the seller that was gated.
        """
        masks = self._by_seller.get(seller_id)
        return masks is not None and bool(masks.barred(share) >> slot & 1)

    def _by_contract(self, ping: Ping, now: datetime, left: int, counts: dict[str, int]) -> int:
        """Take away those whose contract with the seller does not sell them this lead."""
        masks = self.contracts_of(ping.seller_id, now)
        if masks is None:
            return left
        for code, mask in masks.closed.items():
            left = _take(left, mask, code, counts)
        if masks.full:
            left = _take(left, masks.full, _TRIAL_FULL, counts)
        if masks.only_exclusive:
            left = _take(left, masks.only_exclusive & ~self.taking(1), _LEAD_TYPE, counts)
        if masks.only_shared:
            taking = 0
            for share in range(2, ping.max_buyers + 1):
                taking |= self.taking(share)
            left = _take(left, masks.only_shared & ~taking, _LEAD_TYPE, counts)
        if masks.scored.everyone:
            reached = masks.scored.up_to(ping.quality_score)
            left = _take(left, masks.scored.everyone ^ reached, _LOW_SCORE, counts)
        return left

    def taking(self, share: int) -> int:
        """The campaigns that have a price for a share count."""
        return self._by_share.get(share, 0)

    def quote(self, slot: int) -> Quote:
        """What the campaign in a slot bids now; reckoned anew when its company's standing moved."""
        quote = self.quotes[slot]
        if quote is None:
            runner = self.runner_at(slot)
            standing = self._standings[runner.campaign.company_id]
            quote = self.quotes[slot] = quote_for(runner, standing, self._policy)
        return quote

    def quote_all(self) -> None:
        """Reckon what every campaign bids, so that it lies together in memory."""
        for slot in slots_of(self.everyone):
            if self.runner_at(slot).campaign.company_id in self._standings:
                self.quote(slot)

    def quote_of(self, campaign_id: CampaignId) -> Quote:
        """What a campaign bids now. Raises KeyError if it is not there."""
        return self.quote(self.shelf.slot(campaign_id))

    def quotes_in(self, mask: int) -> dict[CampaignId, Quote]:
        """What the campaigns of a mask bid now."""
        quotes = self.quotes
        bid = [quotes[slot] or self.quote(slot) for slot in slots_of(mask)]
        return {quote.campaign_id: quote for quote in bid}

    def runner_at(self, slot: int) -> Runner:
        """The campaign in a slot."""
        key = self.shelf.at[slot]
        if key is None:
            raise KeyError(slot)
        return self.runners[key]

    def _top(self, runner: Runner) -> int:
        """A bound on what a campaign's price can be worth now, in cents."""
        standing = self._standings.get(runner.campaign.company_id)
        highest = highest_price(runner)
        return highest if standing is None else rectify(highest, standing)

    def _put(self, runner: Runner) -> None:
        self._enter(runner, self.shelf.put(runner.campaign.campaign_id, self._top(runner)))

    def _reprice(self, company_id: CompanyId) -> None:
        """A company's standing moved: its campaigns' prices, and where need be their places."""
        for campaign_id in list(self._campaigns[company_id]):
            runner = self.runners[campaign_id]
            slot, top = self.shelf.slot(campaign_id), self._top(runner)
            if self.shelf.reprice(campaign_id, top):
                self.tops[slot] = top
                self.quotes[slot] = None
                self.changes += 1
            else:
                self._leave(runner, self.shelf.take(campaign_id))
                self._put(runner)

    def _enter(self, runner: Runner, slot: int) -> None:
        campaign, bit = runner.campaign, 1 << slot
        self.changes += 1
        for masks in self._by_seller.values():
            masks.enter(campaign.company_id, bit)
        while len(self.tops) <= slot:
            self.tops.append(0)
            self.quotes.append(None)
        self.tops[slot] = self._top(runner)
        self.quotes[slot] = None
        self.everyone |= bit
        self._filters.add(slot, campaign.filter)
        self._of_company[campaign.company_id] = self._of_company.get(campaign.company_id, 0) | bit
        if campaign.schedule.windows:
            self._schedules[campaign.schedule] = self._schedules.get(campaign.schedule, 0) | bit
            self._closed_is_stale = True
        if not campaign.active:
            self._paused |= bit
        if campaign.bid.remote is not None:
            self.remote |= bit
        if campaign.caps:
            self._capped |= bit
            self._stale_room |= bit
        if campaign.max_age_s is not None:
            self._max_age.add((campaign.max_age_s, 1), bit)
        if campaign.requires is not None:
            self._demands.add(campaign.requires, bit)
        for share in shares(campaign):
            self._by_share[share] = self._by_share.get(share, 0) | bit

    def _leave(self, runner: Runner, slot: int) -> None:
        campaign, keep = runner.campaign, ~(1 << slot)
        self.changes += 1
        for masks in self._by_seller.values():
            masks.leave(campaign.company_id, 1 << slot)
        self._filters.remove(slot)
        self._of_company[campaign.company_id] &= keep
        if campaign.schedule.windows:
            self._schedules[campaign.schedule] &= keep
            if not self._schedules[campaign.schedule]:
                del self._schedules[campaign.schedule]
            self._closed_is_stale = True
        if campaign.max_age_s is not None:
            self._max_age.remove((campaign.max_age_s, 1), 1 << slot)
        if campaign.requires is not None:
            self._demands.remove(campaign.requires, 1 << slot)
        for share in shares(campaign):
            self._by_share[share] &= keep
        self.quotes[slot] = None
        self.everyone &= keep
        self._inactive &= keep
        self._paused &= keep
        self.tight &= keep
        self.excluded &= keep
        self.qualified &= keep
        self.remote &= keep
        self._capped &= keep
        self._prepaid &= keep
        self._stale_room &= keep
        for reason in _ROOM:
            self._no_room[reason] &= keep

    def _moved(self, campaign_id: CampaignId, old: int, new: int) -> None:
        """A campaign's slot changed: everything it stands in moves with it."""
        runner = self.runners[campaign_id]
        self._leave(runner, old)
        self._enter(runner, new)
        self.judge(runner.campaign.company_id)

    def _pass_to(self, minute: int, now: datetime) -> None:
        """A new minute: look again at every schedule, and each quarter at every campaign's room."""
        self._closed, self._closed_is_stale = 0, False
        for schedule, mask in self._schedules.items():
            if not is_open(schedule, now):
                self._closed |= mask
        if minute // _QUARTER_MINUTES != self._minute // _QUARTER_MINUTES:
            self._stale_room |= self._capped
        self._minute = minute

    def _refresh_room(self, now: datetime) -> None:
        """Look again at campaigns whose usage changed."""
        for slot in slots_of(self._stale_room & self.everyone):
            runner = self.runner_at(slot)
            campaign = runner.campaign
            company = self._companies.get(campaign.company_id)
            found = None if company is None else why_no_room(campaign, company, now, 0)
            for reason in _ROOM:
                self._no_room[reason] = _set(self._no_room[reason], 1 << slot, reason is found)
            self.tight = _set(self.tight, 1 << slot, self._is_tight(runner, company, now))
        self._stale_room = 0

    def _refresh_trials(self, masks: SellerMasks) -> None:
        """Look again at trials of a seller whose use changed, and at whom they have room for."""
        for company_id, deal in masks.trials.items():
            room = self._contracts.room(deal)
            if room is None or room == masks.rooms.get(company_id):
                continue
            bits, tight = self._of_company.get(company_id, 0), 0
            if room.spend_cents is not None:
                raised = raise_by(deal.tiers)
                for slot in slots_of(bits):
                    highest = raised.most(highest_price(self.runner_at(slot)))
                    if why_full(room, highest) is not None:
                        tight |= 1 << slot
            masks.put_room(company_id, room, bits, tight)

    def _is_tight(self, runner: Runner, company: Company | None, now: datetime) -> bool:
        """Whether a campaign's room may depend on what a lead costs, under whatever contract."""
        if company is None:
            return False
        highest = highest_price(runner)
        if (raised := self._contracts.raises.get(runner.campaign.company_id)) is not None:
            highest = raised.most(highest)
        return why_no_room(runner.campaign, company, now, highest) is not None

    def _taking_up_to(self, max_buyers: int) -> int:
        taken = self._by_share.get(1, 0)
        for share in range(2, max_buyers + 1):
            taken |= self._by_share.get(share, 0)
        return taken


_ROOM: Final = (Reason.CAP, Reason.BUDGET, Reason.BALANCE)

_INACTIVE: Final = Reason.INACTIVE.code
_FILTER: Final = Reason.FILTER.code
_SCHEDULE: Final = Reason.SCHEDULE.code
_LEAD_AGE: Final = Reason.LEAD_AGE.code
_SUPPRESSED: Final = Reason.SUPPRESSED.code
_SOLD_BEFORE: Final = Reason.SOLD_BEFORE.code
_SHARE_MODE: Final = Reason.SHARE_MODE.code
_TRIAL_FULL: Final = Reason.TRIAL_FULL.code
_LEAD_TYPE: Final = Reason.LEAD_TYPE.code
_LOW_SCORE: Final = Reason.LOW_SCORE.code
_CRM_GATE: Final = Reason.CRM_GATE.code


def _take(left: int, mask: int, code: str, counts: dict[str, int]) -> int:
    """Take a reason's campaigns from those left, and count them."""
    taken = left & mask
    if taken:
        counts[code] = counts.get(code, 0) + taken.bit_count()
        return left ^ taken
    return left


def _set(masks: int, bits: int, present: bool) -> int:
    return masks | bits if present else masks & ~bits
