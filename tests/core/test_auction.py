"""The auction: ranks, ties, share counts, floors, first look (rules: §7)."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.auction import (
    Award,
    BidEntry,
    Candidate,
    Decision,
    decide,
    draw,
    hold,
    in_line,
    rank,
)
from exchange.core.market import Market
from exchange.core.model import (
    Bid,
    CampaignId,
    Cap,
    CompanyId,
    Condition,
    PingId,
    Policy,
    Ranked,
)
from exchange.core.reasons import Reason
from tests.core.making import (
    DRAW_KEY,
    NOW,
    campaign,
    company,
    market,
    ping,
    rated,
    solar,
)

SOLAR = solar()
PREMIUM = solar(premium=Condition(field="credit_score", op=">=", value=700))


def entry(
    name: str,
    cents: int,
    *,
    share: int = 1,
    company_id: str | None = None,
    rate: Fraction = Fraction(0),
    drawn: int = 0,
    first_look: bool = False,
) -> BidEntry:
    return BidEntry(
        campaign_id=CampaignId(name),
        company_id=CompanyId(company_id or f"{name}-co"),
        share=share,
        base_cents=cents,
        rectified_cents=cents,
        charged_cents=cents,
        overall_rate=rate,
        draw=drawn,
        first_look=first_look,
    )


def names(bids: Sequence[Ranked]) -> list[str]:
    return [bid.campaign_id for bid in bids]


def winners(award: Award) -> list[str]:
    return names(award.ranks[: award.winners])


def held(
    made: Market, max_buyers: int = 1, min_price_cents: int = 0, ping_id: str = "p-1"
) -> Decision:
    one = ping(
        made.verticals["solar"],
        max_buyers=max_buyers,
        min_price_cents=min_price_cents,
        ping_id=PingId(ping_id),
    )
    return decide(made, one, NOW, DRAW_KEY)


def candidate(decision: Decision, name: str) -> Candidate:
    (found,) = (c for c in decision.candidates if c.campaign_id == name)
    return found


@pytest.mark.parametrize(
    ("bids", "order"),
    [
        pytest.param([entry("b", 1), entry("a", 2)], ["a", "b"], id="the higher price first"),
        pytest.param(
            [entry("b", 1, rate=Fraction(2, 100)), entry("a", 1, rate=Fraction(1, 100))],
            ["a", "b"],
            id="equal prices: the lower rate",
        ),
        pytest.param(
            [entry("b", 1, drawn=9), entry("a", 1, drawn=3)],
            ["a", "b"],
            id="equal rates: the draw",
        ),
        pytest.param(
            [entry("b", 1, rate=Fraction(1, 3), drawn=1), entry("a", 1, drawn=9)],
            ["a", "b"],
            id="the rate comes before the draw",
        ),
        pytest.param([entry("b", 1), entry("a", 1)], ["a", "b"], id="an equal draw: the id"),
        pytest.param(
            [entry("b", 3, company_id="x"), entry("a", 5, company_id="x"), entry("c", 4)],
            ["a", "c"],
            id="one bid per company, its best",
        ),
    ],
)
def test_bids_are_ranked_by_price_then_rate_then_draw(
    bids: list[BidEntry], order: list[str]
) -> None:
    assert names(rank(bids)) == order


@given(st.permutations([entry(f"c{i}", i // 2, drawn=i % 3) for i in range(8)]))
def test_ranks_do_not_depend_on_the_order_of_arrival(bids: list[BidEntry]) -> None:
    assert names(rank(bids)) == ["c6", "c7", "c4", "c5", "c3", "c2", "c0", "c1"]


def test_a_draw_can_be_recomputed_from_ping_and_campaign() -> None:
    one = draw(DRAW_KEY, PingId("p-1"), CampaignId("c-1"))
    assert one == draw(DRAW_KEY, PingId("p-1"), CampaignId("c-1"))
    assert 0 <= one < 1 << 48


@pytest.mark.parametrize(
    ("key", "ping_id", "campaign_id"),
    [
        pytest.param(b"another key of some length", "p-1", "c-1", id="the key"),
        pytest.param(DRAW_KEY, "p-2", "c-1", id="the ping"),
        pytest.param(DRAW_KEY, "p-1", "c-2", id="the campaign"),
    ],
)
def test_a_draw_depends_on(key: bytes, ping_id: str, campaign_id: str) -> None:
    assert draw(key, PingId(ping_id), CampaignId(campaign_id)) != draw(
        DRAW_KEY, PingId("p-1"), CampaignId("c-1")
    )


def test_ties_are_fair() -> None:
    made = market([campaign("a"), campaign("b")])
    won = sum(winners(held(made, ping_id=f"p-{i}").award) == ["a"] for i in range(1_000))
    assert 430 <= won <= 570


def test_nobody_bids_and_nobody_wins() -> None:
    assert hold([], 3) == Award(share=1, winners=0, ranks=())


@pytest.mark.parametrize(
    ("bids", "max_buyers", "share", "won"),
    [
        pytest.param(
            [entry("a", 50), entry("b", 30, share=2), entry("c", 30, share=2)],
            2,
            2,
            ["b", "c"],
            id="two at 30 beat one at 50",
        ),
        pytest.param(
            [entry("a", 60), entry("b", 30, share=2), entry("c", 30, share=2)],
            2,
            1,
            ["a"],
            id="equal totals: the smaller count",
        ),
        pytest.param(
            [entry("a", 50), entry("b", 30, share=2), entry("c", 30, share=2)],
            1,
            1,
            ["a"],
            id="not more than max_buyers",
        ),
        pytest.param(
            [entry("a", 20), entry("b", 30, share=2)], 2, 2, ["b"], id="one may fill a share of two"
        ),
        pytest.param(
            [entry(n, c, share=3) for n, c in (("a", 9), ("b", 8), ("c", 7), ("d", 6))],
            3,
            3,
            ["a", "b", "c"],
            id="the best three of four",
        ),
        pytest.param(
            [
                entry("a", 40, share=2, company_id="x"),
                entry("b", 39, share=2, company_id="x"),
                entry("c", 1, share=2),
                entry("d", 45),
            ],
            2,
            1,
            ["d"],
            id="a company fills one leg only",
        ),
    ],
)
def test_the_share_count_with_the_highest_total_wins(
    bids: list[BidEntry], max_buyers: int, share: int, won: list[str]
) -> None:
    award = hold(bids, max_buyers)
    assert (award.share, winners(award)) == (share, won)


BIDS = st.lists(
    st.builds(
        lambda i, cents, share, who, rate, drawn: entry(
            f"c{i}",
            cents,
            share=share,
            company_id=f"co{who}",
            rate=Fraction(rate, 10),
            drawn=drawn,
        ),
        st.integers(0, 9),
        st.integers(1, 6),
        st.integers(1, 3),
        st.integers(0, 4),
        st.integers(0, 2),
        st.integers(0, 3),
    ),
    max_size=9,
)


@given(BIDS, st.integers(1, 3))
def test_no_choice_of_bids_is_worth_more(bids: list[BidEntry], max_buyers: int) -> None:
    award = hold(bids, max_buyers)
    total = sum(bid.rectified_cents for bid in award.ranks[: award.winners])
    for share in range(1, max_buyers + 1):
        offered = [bid for bid in bids if bid.share == share]
        for size in range(1, share + 1):
            for chosen in combinations(offered, size):
                if len({bid.company_id for bid in chosen}) == size:
                    assert sum(bid.rectified_cents for bid in chosen) <= total


@given(BIDS, st.integers(1, 3))
def test_no_company_stands_in_line_twice(bids: list[BidEntry], max_buyers: int) -> None:
    ranks = hold(bids, max_buyers).ranks
    assert len({bid.company_id for bid in ranks}) == len(ranks)


def test_an_offer_remembers_all_of_a_bid_that_a_place_in_line_has() -> None:
    values: dict[str, Any] = {
        name: number for number, name in enumerate(Ranked.__struct_fields__, start=1)
    }
    bid = BidEntry(**values, share=1, overall_rate=Fraction(0), draw=0)
    (place,) = in_line(Award(share=1, winners=1, ranks=(bid,)), 0)
    assert msgspec.structs.asdict(place) == values


def test_a_company_of_the_first_round_does_not_stand_in_line_again_behind_it() -> None:
    bids = [entry("a", 20, company_id="x", first_look=True), entry("b", 90, company_id="x")]
    assert names(hold(bids, 1).ranks) == ["a"]


class TestFirstLook:
    """Premium leads go to qualified companies first; the rest only if these leave it unsold."""

    QUALIFIED = company("good-co", rated(10_000_00, manual=499_99))
    CONDITIONAL = company("rich-co", rated(10_000_00, manual=500_00))
    LOW = campaign("good", bid=Bid(exclusive_cents=20_00))
    HIGH = campaign("rich", bid=Bid(exclusive_cents=90_00))
    BOTH = (LOW, HIGH)
    TOLD = (QUALIFIED, CONDITIONAL)

    def test_a_qualified_company_wins_a_premium_lead_over_a_higher_conditional_bid(self) -> None:
        decision = held(market(self.BOTH, self.TOLD, vertical=PREMIUM))
        assert decision.premium and winners(decision.award) == ["good"]

    def test_an_ordinary_lead_goes_to_the_higher_bid(self) -> None:
        decision = held(market(self.BOTH, self.TOLD, vertical=SOLAR))
        assert not decision.premium and winners(decision.award) == ["rich"]

    def test_the_rest_stand_in_line_behind_and_are_told_why(self) -> None:
        decision = held(market(self.BOTH, self.TOLD, vertical=PREMIUM))
        assert names(decision.award.ranks) == ["good", "rich"]
        told = candidate(decision, "rich")
        assert (told.reason, told.rank) == (Reason.FIRST_LOOK, 2)

    def test_the_second_round_sells_what_the_first_left_unsold(self) -> None:
        decision = held(market([self.HIGH], self.TOLD, vertical=PREMIUM))
        assert winners(decision.award) == ["rich"]

    def test_a_first_look_bid_below_the_sellers_minimum_leaves_it_to_the_second_round(
        self,
    ) -> None:
        made = market(self.BOTH, self.TOLD, vertical=PREMIUM)
        assert winners(held(made, min_price_cents=30_00).award) == ["rich"]

    def test_the_second_round_does_not_fill_the_legs_of_the_first(self) -> None:
        shared = Bid(shared_cents={2: 20_00})
        made = market(
            [campaign("good", bid=shared), campaign("rich", bid=shared)],
            self.TOLD,
            vertical=PREMIUM,
        )
        award = held(made, max_buyers=2).award
        assert (winners(award), names(award.ranks)) == (["good"], ["good", "rich"])


def test_an_excluded_company_does_not_bid_with_any_campaign() -> None:
    made = market(
        [campaign("a", "bad"), campaign("b", "bad"), campaign("c")],
        [company("bad", rated(10_000_00, crm=1_000_01))],
    )
    decision = held(made)
    assert winners(decision.award) == ["c"]
    assert decision.reasons == {"crm_gate": 2}


def test_the_rank_is_by_the_rectified_price() -> None:
    """A $100 bid with 20 % returns loses to a clean $90 (field)."""
    made = market(
        [
            campaign("a", bid=Bid(exclusive_cents=100_00)),
            campaign("b", bid=Bid(exclusive_cents=90_00)),
        ],
        [company("a-co", rated(10_000_00, manual=2_000_00))],
    )
    assert names(held(made).award.ranks) == ["b", "a"]


@pytest.mark.parametrize(
    ("policy", "charged"),
    [
        pytest.param(Policy(), 45_75, id="rank_and_charge"),
        pytest.param(Policy(rectify="rank_only"), 50_00, id="rank_only"),
    ],
)
def test_a_receipt_shows_base_rate_rectified_and_charged(policy: Policy, charged: int) -> None:
    made = market([campaign("a")], [company("a-co", rated(10_000_00, manual=850_00))], policy)
    told = candidate(held(made), "a")
    assert (told.base_cents, told.rectified_cents, told.charged_cents) == (50_00, 45_75, charged)
    assert (told.rejected, told.assigned) == (850_00, 10_000_00)


@pytest.mark.parametrize(
    ("floor", "min_price", "reason"),
    [
        pytest.param("50.00", 0, None, id="at the floor"),
        pytest.param("50.01", 0, Reason.BELOW_FLOOR, id="a cent below the floor"),
        pytest.param("0.00", 42_50, None, id="at the minimum after the margin"),
        pytest.param("0.00", 42_51, Reason.BELOW_MIN_PRICE, id="a cent below the minimum"),
        pytest.param("50.01", 42_51, Reason.BELOW_FLOOR, id="below both"),
    ],
)
def test_a_price_below_floor_or_minimum_loses(
    floor: str, min_price: int, reason: Reason | None
) -> None:
    decision = held(market([campaign("a")], vertical=solar(floor=floor)), min_price_cents=min_price)
    assert candidate(decision, "a").reason is reason
    assert decision.award.winners == (reason is None)


def test_a_bid_of_nothing_never_wins() -> None:
    made = market([campaign("a", bid=Bid(exclusive_cents=0))])
    assert held(made).award.winners == 0


def test_a_budget_with_room_for_a_cheaper_share_bids_that_share_only() -> None:
    one = campaign(
        "a",
        bid=Bid(exclusive_cents=50_00, shared_cents={2: 30_00}),
        caps=(Cap(period="day", spend_cents=40_00),),
    )
    award = held(market([one]), max_buyers=2).award
    assert (award.share, winners(award)) == (2, ["a"])


def test_a_budget_with_room_for_no_price_is_told_as_such() -> None:
    one = campaign("a", caps=(Cap(period="day", spend_cents=49_99),))
    told = candidate(held(market([one])), "a")
    assert (told.outcome, told.reason) == ("no_bid", Reason.BUDGET)


def test_a_balance_that_does_not_cover_the_price_is_told_as_such() -> None:
    made = market([campaign("a")], [company("a-co", available_cents=49_99)])
    assert candidate(held(made), "a").reason is Reason.BALANCE


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("first", None, id="the winner"),
        pytest.param("second", Reason.OUTBID, id="outbid"),
        pytest.param("sibling", Reason.SAME_COMPANY, id="a lower bid of the winner's company"),
        pytest.param("shared", Reason.SHARE_COUNT, id="a bid for another share count"),
        pytest.param("cheap", Reason.BELOW_MIN_PRICE, id="below the minimum"),
        pytest.param("away", Reason.FILTER, id="a lead it does not want"),
    ],
)
def test_every_campaign_considered_is_on_the_receipt_with_its_reason(
    name: str, reason: Reason | None
) -> None:
    made = market(
        [
            campaign("first", "x", bid=Bid(exclusive_cents=60_00)),
            campaign("sibling", "x", bid=Bid(exclusive_cents=59_00)),
            campaign("second", bid=Bid(exclusive_cents=50_00)),
            campaign("shared", bid=Bid(shared_cents={2: 29_00})),
            campaign("cheap", bid=Bid(exclusive_cents=10_00)),
            campaign("away", filter=Condition(field="state", op="=", value="NV")),
        ]
    )
    decision = held(made, max_buyers=2, min_price_cents=12_00)
    assert candidate(decision, name).reason is reason


def test_an_offer_remembers_the_winners_and_a_bounded_line_behind_them() -> None:
    award = hold([entry(f"c{i}", 9 - i, share=2) for i in range(6)], 2)
    assert [ranked.campaign_id for ranked in in_line(award, 2)] == ["c0", "c1", "c2", "c3"]
