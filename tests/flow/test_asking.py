"""Whom a ping asks for a price (rules: §7, §9)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from exchange.core.model import Bid
from exchange.core.remote import Remote
from exchange.flow.asking import Asking
from exchange.flow.bidding import Asked, Question, Said
from tests.core.making import NOW, campaign, contract, market, ping, solar


class Listening:
    """Bidders that say nothing, and remember what they were asked."""

    def __init__(self) -> None:
        self.shares: list[int] = []

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
        told([])


async def test_section_9_a_bidder_is_not_asked_for_what_its_contract_does_not_sell_it() -> None:
    vertical = solar()
    remote = Remote(url="https://bids.test", shares=(1, 2, 3))
    made = market([campaign("roofs", bid=Bid(remote=remote))], vertical=vertical)
    made.contracts.apply(contract("roofs-co", lead_types=("shared",)))
    one, index, bidders = ping(vertical, max_buyers=2), made.indexes["solar"], Listening()
    await Asking(bidders).ask(one, msgspec.Raw(b"{}"), index, index.gate(one, NOW))
    assert bidders.shares == [2]
