"""Whom a ping asks for a price (rules: §7, §9)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from exchange.core.changes import CampaignChange
from exchange.core.model import Bid, Campaign
from exchange.core.remote import Remote
from exchange.flow.asking import MOST_ASKED, Asking
from exchange.flow.bidding import Asked, Question, Said
from tests.core.making import NOW, campaign, company, contract, market, ping, rated, solar


class Listening:
    """Bidders that say nothing, and remember what they were asked."""

    def __init__(self) -> None:
        self.shares: list[int] = []
        self.asked: list[str] = []

    async def ask(
        self, question: Question, asked: Sequence[Asked], deadline: float
    ) -> Sequence[Said]:
        said: list[Said] = []
        self.begin(question, asked, deadline, said.extend)
        return said

    def begin(
        self,
        question: Question,
        asked: Sequence[Asked],
        deadline: float,
        told: Callable[[Sequence[Said]], None],
    ) -> None:
        self.shares += [one.share for one in asked]
        self.asked += [one.campaign_id for one in asked]
        told([])


async def test_section_9_a_bidder_is_not_asked_for_what_its_contract_does_not_sell_it() -> None:
    vertical = solar()
    remote = Remote(url="https://bids.test", shares=(1, 2, 3))
    made = market([campaign("roofs", bid=Bid(remote=remote))], vertical=vertical)
    made.contracts.apply(contract("roofs-co", lead_types=("shared",)))
    one, index, bidders = ping(vertical, max_buyers=2), made.indexes["solar"], Listening()
    await Asking(bidders).ask(one, msgspec.Raw(b"{}"), index, index.gate(one, NOW))
    assert bidders.shares == [2]


async def test_who_is_asked_follows_every_change_of_a_campaign() -> None:
    vertical = solar()
    made = market([remote_campaign("roofs", (1, 2))], vertical=vertical)
    index, bidders = made.indexes["solar"], Listening()
    asking = Asking(bidders)

    async def shares_asked(**options: Any) -> list[int]:
        bidders.shares = []
        one = ping(vertical, **options)
        await asking.ask(one, msgspec.Raw(b"{}"), index, index.gate(one, NOW))
        return bidders.shares

    assert await shares_asked() == [1]
    assert await shares_asked(max_buyers=2) == [1, 2]
    for version, shares in ((2, (2,)), (3, (1, 2))):
        changed = remote_campaign("roofs", shares)
        change = CampaignChange(campaign_id=changed.campaign_id, version=version, campaign=changed)
        made.apply_campaign(change)
        assert await shares_asked(max_buyers=2) == list(shares)
    made.apply_campaign(CampaignChange(campaign_id=changed.campaign_id, version=4, campaign=None))
    assert await shares_asked(max_buyers=2) == []


async def test_of_more_bidders_than_may_be_asked_the_dearest_are_and_that_follows_their_rates() -> (
    None
):
    vertical = solar()
    named = [f"c-{number}" for number in range(MOST_ASKED + 1)]
    made = market([remote_campaign(name, (1,)) for name in named], vertical=vertical)
    index, bidders = made.indexes["solar"], Listening()
    asking = Asking(bidders)
    one = ping(vertical)
    left_out = set[str]()
    for loser in ("c-3", "c-70"):
        bidders.asked = []
        for name in named:
            rejected = 50_000 if name == loser else 0
            made.apply_company(
                company(f"{name}-co", rated(600_000, rejected), version=len(left_out) + 2)
            )
        await asking.ask(one, msgspec.Raw(b"{}"), index, index.gate(one, NOW))
        assert len(bidders.asked) == MOST_ASKED
        left_out |= set(named) - set(bidders.asked)
    assert left_out == {"c-3", "c-70"}


def remote_campaign(name: str, shares: tuple[int, ...]) -> Campaign:
    return campaign(name, bid=Bid(remote=Remote(url="https://bids.test", shares=shares)))
