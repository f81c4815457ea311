"""A day's receipts held again one by one, and what they come to for a company.

Knows which of the company's campaigns were in force at each ping, and so what they would have bid.
Source: rules §12.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import Final, Literal

import msgspec
from msgspec import Struct

from exchange.core.auction import Drawer
from exchange.core.filters import FilterError
from exchange.core.hours import is_open
from exchange.core.market import Market
from exchange.core.model import CampaignId, CompanyId
from exchange.core.runner import Runner, base_price, shares
from exchange.core.standing import Standing
from exchange.core.what_if import Bases, Held, NotKnown, Outcome, Replayed, replay
from exchange.flow.ports import Receipt
from exchange.flow.standing_books import Bought, CampaignPast

MOST_CHANGES: Final = 100
"""Auctions with another outcome that are told one by one; the others are counted."""


class Change(Struct, frozen=True, kw_only=True):
    """An auction that would have come out otherwise for the company."""

    receipt: Receipt
    replayed: Replayed


class Tally(Struct, kw_only=True):
    """Auctions won, and what they were worth to the company in cents."""

    won: int = 0
    spend_cents: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one auction."""
        if outcome.won:
            self.won += 1
            self.spend_cents += outcome.charged_cents or 0


class Answered(Struct, kw_only=True):
    """What a day would have come to.

    ``before`` and ``after`` are over the auctions that are known (``took_part``), ``not_known``
    counts the others by why. ``cut`` says what ended the reading early, ``until`` how far it came.
    """

    company_id: CompanyId
    day: date
    present: Standing
    assumed: Standing
    bought: Bought
    read: int = 0
    took_part: int = 0
    before: Tally
    after: Tally
    newly_won: int = 0
    no_longer_won: int = 0
    repriced: int = 0
    not_known: Counter[NotKnown]
    changes: list[Change]
    cut: Literal["receipts", "time"] | None = None
    until: datetime | None = None


class _Known:
    """A version of a campaign, compiled when first needed, if it still fits its vertical."""

    __slots__ = ("_compiled", "_runner", "past")

    def __init__(self, past: CampaignPast) -> None:
        self.past = past
        self._compiled = False
        self._runner: Runner | None = None

    def runner(self, market: Market) -> Runner | None:
        """The campaign as it was; None where that is not known, or does not fit any more."""
        if not self._compiled:
            self._compiled = True
            if self.past.is_known:
                with suppress(FilterError, KeyError):
                    self._runner = market.compile(self.past.campaign)
        return self._runner


class Replaying:
    """One question on its way through a day's receipts."""

    def __init__(
        self,
        market: Market,
        draw_key: bytes,
        answered: Answered,
        campaigns: Sequence[CampaignPast],
    ) -> None:
        self._market = market
        self._draw_key = draw_key
        self._answered = answered
        self._by_vertical: dict[str, list[_Known]] = {}
        for past in campaigns:
            self._by_vertical.setdefault(past.campaign.vertical, []).append(_Known(past))

    def take(self, receipt: Receipt) -> None:
        """Hold one auction again, and count what it came to."""
        if receipt.status == "refused" or (receipt.offer is not None and receipt.offer.test):
            return
        vertical = self._market.verticals.get(receipt.vertical)
        company_id = self._answered.company_id
        named = any(candidate.company_id == company_id for candidate in receipt.candidates)
        campaigns = self._there(receipt)
        if not named and not campaigns:
            return
        if vertical is None:
            self._answered.not_known["price_not_kept"] += 1
            return
        attributes = msgspec.json.decode(receipt.attributes, type=vertical.attributes_type)
        runners = [known.runner(self._market) for known in campaigns]
        runners = [runner for runner in runners if _may_match(runner, attributes, receipt)]
        if not named and not runners:
            return
        held = Held(
            candidates=receipt.candidates,
            reasons=receipt.reasons,
            max_buyers=receipt.max_buyers,
            min_price_cents=receipt.min_price_cents,
            floor_cents=vertical.floor_cents,
            premium=receipt.premium,
            draw=Drawer(self._draw_key, receipt.ping_id).draw,
        )
        bases = _bases(runners, attributes, receipt.max_buyers)
        found = replay(
            held,
            company_id,
            self._answered.assumed,
            bases,
            self._market.policy,
            all_known=len(bases) == len(runners),
        )
        if isinstance(found, Replayed):
            self._count(receipt, found)
        elif found is not None:
            self._answered.not_known[found] += 1

    def _count(self, receipt: Receipt, found: Replayed) -> None:
        answered, before, after = self._answered, found.before, found.after
        answered.took_part += 1
        answered.before.add(before)
        answered.after.add(after)
        if before.won and after.won:
            answered.repriced += before.charged_cents != after.charged_cents
        else:
            answered.newly_won += after.won
            answered.no_longer_won += before.won
        is_other = (before.won, before.charged_cents) != (after.won, after.charged_cents)
        if is_other and len(answered.changes) < MOST_CHANGES:
            answered.changes.append(Change(receipt=receipt, replayed=found))

    def _there(self, receipt: Receipt) -> list[_Known]:
        """The versions of the company's campaigns that were in force when a ping was decided."""
        at = receipt.decided_at
        return [
            known
            for known in self._by_vertical.get(receipt.vertical, ())
            if known.past.since <= at and (known.past.until is None or at < known.past.until)
        ]


def _bases(runners: Sequence[Runner | None], attributes: Struct, max_buyers: int) -> Bases:
    """Base prices of the campaigns by share count, where a list of then gave them."""
    found: dict[CampaignId, Mapping[int, int]] = {}
    for runner in runners:
        # What a company's own bidder would have said is not known.
        if runner is None or runner.campaign.bid.remote is not None:
            continue
        found[runner.campaign.campaign_id] = {
            share: price
            for share in range(1, max_buyers + 1)
            if (price := base_price(runner, attributes, share)) is not None
        }
    return found


def _may_match(runner: Runner | None, attributes: Struct, receipt: Receipt) -> bool:
    """Whether a campaign may have taken part; one that is not known may always have."""
    if runner is None:
        return True
    campaign = runner.campaign
    return (
        campaign.active
        and runner.matches(attributes)
        and is_open(campaign.schedule, receipt.decided_at)
        and any(share <= receipt.max_buyers for share in shares(campaign))
    )
