"""A leg that a company cannot or will not take goes to the next rank (rules: §7, §8)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from exchange.core.cascade import Assignment, Result, Turn, next_assignments, why_unsold
from exchange.core.model import (
    CampaignId,
    Cascade,
    CompanyId,
    Offer,
    PingId,
    Policy,
    Ranked,
    SellerId,
)
from exchange.core.pricing import seller_price
from exchange.core.reasons import Reason
from tests.core.making import NOW

HOLD, RESELL = Policy(), Policy(unclear="resell")
RESULTS: list[Result] = ["accepted", "refused", "failed", "unclear", "no_room"]


def offer(
    charged: list[int], share: int = 1, cascade: Cascade = "promised", min_price_cents: int = 0
) -> Offer:
    """An offer with a rank for every charge."""
    return Offer(
        ping_id=PingId("p-1"),
        seller_id=SellerId("s-1"),
        vertical="solar",
        attributes=Raw(b"{}"),
        contact_hashes={},
        source={},
        share=share,
        legs_cents=tuple(seller_price(cents, 1_500) for cents in charged[:share]),
        ranks=tuple(
            Ranked(
                campaign_id=CampaignId(f"c{place}"),
                company_id=CompanyId(f"co{place}"),
                base_cents=cents,
                rectified_cents=cents,
                charged_cents=cents,
            )
            for place, cents in enumerate(charged)
        ),
        min_price_cents=min_price_cents,
        cascade=cascade,
        take_rate_bp=1_500,
        test=False,
        captured_at=NOW,
        decided_at=NOW,
        expires_at=NOW,
    )


def turn(leg: int, place: int, result: Result) -> Turn:
    return Turn(leg=leg, place=place, result=result)


def plan(found: list[Assignment]) -> list[tuple[int, int, int]]:
    """Leg, place and the seller's price of each assignment."""
    return [(one.leg, one.place, one.seller_cents) for one in found]


def test_at_first_every_winner_gets_its_leg_as_promised() -> None:
    found = next_assignments(offer([60_00, 50_00, 40_00], share=2), [], HOLD)
    assert plan(found) == [(0, 0, 51_00), (1, 1, 42_50)]


@pytest.mark.parametrize("result", ["refused", "failed", "no_room"])
def test_a_leg_that_was_not_taken_goes_to_the_next_rank(result: Result) -> None:
    found = next_assignments(offer([50_00, 49_00, 48_00]), [turn(0, 0, result)], HOLD)
    assert plan(found) == [(0, 1, 42_50)]


def test_a_company_that_cannot_pay_the_promise_is_passed_over() -> None:
    found = next_assignments(offer([50_00, 42_49, 42_50]), [turn(0, 0, "refused")], HOLD)
    assert plan(found) == [(0, 2, 42_50)]


def test_nothing_is_left_when_nobody_can_pay_the_promise() -> None:
    assert next_assignments(offer([50_00, 42_49]), [turn(0, 0, "refused")], HOLD) == []


def test_down_to_min_price_the_answer_states_the_price_that_came_of_it() -> None:
    made = offer([50_00, 40_00], cascade="min_price", min_price_cents=12_00)
    assert plan(next_assignments(made, [turn(0, 0, "refused")], HOLD)) == [(0, 1, 34_00)]


def test_a_leg_that_is_sold_is_not_sold_again() -> None:
    assert next_assignments(offer([50_00, 49_00]), [turn(0, 0, "accepted")], HOLD) == []


def test_a_refused_leg_of_a_shared_offer_moves_and_the_others_stand() -> None:
    made = offer([60_00, 50_00, 49_00], share=2)
    turns = [turn(0, 0, "accepted"), turn(1, 1, "refused")]
    assert plan(next_assignments(made, turns, HOLD)) == [(1, 2, 42_50)]


def test_two_open_legs_never_go_to_one_company() -> None:
    made = offer([60_00, 50_00, 55_00], share=2)
    turns = [turn(0, 0, "refused"), turn(1, 1, "refused")]
    assert plan(next_assignments(made, turns, HOLD)) == [(0, 2, 51_00)]


def test_a_company_that_could_not_take_the_dearer_leg_may_take_the_cheaper() -> None:
    made = offer([60_00, 50_00, 45_00], share=2)
    turns = [turn(0, 0, "refused"), turn(1, 1, "refused")]
    assert plan(next_assignments(made, turns, HOLD)) == [(1, 2, 42_50)]


@pytest.mark.parametrize(
    ("share", "policy", "goes_on"),
    [
        pytest.param(1, HOLD, False, id="an exclusive lead is held"),
        pytest.param(1, RESELL, True, id="unless the policy resells it"),
        pytest.param(2, HOLD, True, id="a shared leg goes on"),
    ],
)
def test_an_unclear_leg(share: int, policy: Policy, goes_on: bool) -> None:
    made = offer([50_00, 50_00, 50_00], share=share)
    turns = [turn(0, 0, "unclear"), turn(1, 1, "accepted")][:share]
    assert bool(next_assignments(made, turns, policy)) is goes_on


@given(
    st.lists(st.integers(10_00, 90_00), min_size=1, max_size=6),
    st.integers(1, 3),
    st.lists(st.sampled_from(RESULTS), min_size=8, max_size=8),
    st.sampled_from([HOLD, RESELL]),
)
def test_a_post_comes_to_an_end_with_no_leg_sold_twice(
    charged: list[int], share: int, results: list[Result], policy: Policy
) -> None:
    made = offer(sorted(charged, reverse=True), share=min(share, len(charged)))
    turns: list[Turn] = []
    for _ in range(len(charged) + 1):
        found = next_assignments(made, turns, policy)
        if not found:
            break
        for one in found:
            assert one.seller_cents <= one.ranked.charged_cents
            turns.append(turn(one.leg, one.place, results[one.place]))
    assert not next_assignments(made, turns, policy)
    sold = [one.leg for one in turns if one.result == "accepted"]
    assert len(sold) == len(set(sold))
    assert len({one.place for one in turns}) == len(turns)


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        pytest.param([], Reason.NO_BUYER_LEFT, id="nobody was asked"),
        pytest.param(["no_room"], Reason.NO_BUYER_LEFT, id="nobody had room"),
        pytest.param(["no_room", "refused"], Reason.COMPANY_REFUSED, id="refused"),
        pytest.param(["failed", "refused"], Reason.DELIVERY_FAILED, id="a failed delivery"),
        pytest.param(["unclear", "failed"], Reason.DELIVERY_UNCLEAR, id="an unclear one"),
    ],
)
def test_a_seller_reads_the_gravest_of_what_a_leg_met(
    results: list[Result], reason: Reason
) -> None:
    turns = [turn(0, place, result) for place, result in enumerate(results)]
    assert why_unsold(turns) is reason
