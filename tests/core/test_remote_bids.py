"""Bids of companies' own bidders in the auction, and places that follow moving rates. Rules §7."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.core.auction import Decision, decide
from exchange.core.audit import recompute
from exchange.core.changes import CampaignChange
from exchange.core.index import VerticalIndex
from exchange.core.market import Market
from exchange.core.model import Bid, Campaign, CampaignId, CompanyId, Policy
from exchange.core.race import race
from exchange.core.reasons import Reason
from exchange.core.remote import Heard, Hearing, Remote
from exchange.core.short_race import short_race
from tests.core.making import DRAW_KEY, NOW, TODAY, company, ping, rated
from tests.core.test_race import COMPANIES, SOLAR, did_not_bid, line, worlds

SILENT = [
    Reason.BIDDER_TIMEOUT,
    Reason.BIDDER_DECLINED,
    Reason.BID_PRICE,
    Reason.BIDDER_SIMULATED,
]

heard_of_one = st.one_of(
    st.builds(Heard, cents=st.sampled_from([1, 400, 1_000, 2_500, 5_000, 9_000])),
    st.builds(Heard, cents=st.just(2_500), token=st.just("t-1")),
    st.builds(Heard, reason=st.sampled_from(SILENT)),
    st.builds(Heard, cents=st.just(9_000), reason=st.just(Reason.BIDDER_SIMULATED)),
)


def remote_campaign(
    number: int, company_id: str, shares: tuple[int, ...], bound: int = 10_000
) -> Campaign:
    return Campaign(
        campaign_id=CampaignId(f"r-{number}"),
        company_id=CompanyId(company_id),
        name="asks its own bidder",
        vertical="solar",
        bid=Bid(remote=Remote(url="https://bids.test", shares=shares, max_price_cents=bound)),
        delivery=(),
    )


@st.composite
def asked_worlds(draw: st.DrawFn) -> tuple[Market, list[Any], Hearing]:
    """A market with bidders of companies' own among the lists, and what they said."""
    made, pings = draw(worlds())
    heard: dict[tuple[str, int], Heard] = {}
    for number in range(draw(st.integers(1, 6))):
        shares = tuple(sorted(draw(st.sets(st.integers(1, 3), min_size=1))))
        # A bound may have been lowered since the bidder was asked.
        bound = draw(st.sampled_from([10_000, 10_000, 2_500]))
        one = remote_campaign(number, draw(st.sampled_from(COMPANIES)), shares, bound)
        made.apply_campaign(CampaignChange(campaign_id=one.campaign_id, version=1, campaign=one))
        for share in shares:
            said = draw(st.none() | heard_of_one)
            if said is not None:
                heard[one.campaign_id, share] = said
    return made, pings, heard


@settings(max_examples=120, deadline=None)
@given(asked_worlds())
def test_bids_from_bidders_stand_in_the_race_as_in_the_plain_scan(
    world: tuple[Market, list[Any], Hearing],
) -> None:
    made, pings, heard = world
    for one in pings:
        plain = decide(made, one, NOW, DRAW_KEY, heard)
        fast = race(made, one, NOW, DRAW_KEY, heard)
        assert (fast.award.share, fast.award.winners) == (plain.award.share, plain.award.winners)
        assert line(fast, made.policy) == line(plain, made.policy)
        wanted = plain.award.winners + made.policy.max_ranks
        assert [b.token for b in fast.award.ranks] == [b.token for b in plain.award.ranks[:wanted]]
        assert did_not_bid(fast) == did_not_bid(plain)
        gated = made.indexes[one.vertical].gate(one, NOW)
        assert decide(made, one, NOW, DRAW_KEY, heard, gated) == plain
        recompute(plain.candidates, max_buyers=one.max_buyers)


@settings(max_examples=80, deadline=None)
@given(worlds(), st.lists(st.tuples(st.sampled_from(COMPANIES), st.integers(0, 90)), max_size=12))
def test_prices_follow_rates_that_moved_after_the_campaigns_came(
    world: tuple[Market, list[Any]], moves: list[tuple[str, int]]
) -> None:
    made, pings = world
    for version, (name, percent) in enumerate(moves, start=1_000):
        made.apply_company(company(name, rated(600_000, 6_000 * percent, 0), version=version))
        for one in pings:
            plain, fast = (f(made, one, NOW, DRAW_KEY) for f in (decide, race))
            assert line(fast, made.policy) == line(plain, made.policy)
            assert did_not_bid(fast) == did_not_bid(plain)


def heard_market(*said: tuple[str, Heard]) -> tuple[Market, Hearing]:
    made = Market([SOLAR], Policy(), TODAY)
    made.indexes["solar"] = VerticalIndex(SOLAR, made.companies, made.standings, made.policy)
    heard: dict[tuple[str, int], Heard] = {}
    for number, (company_id, one) in enumerate(said):
        made.apply_company(company(company_id))
        campaign = remote_campaign(number, company_id, (1,))
        made.apply_campaign(
            CampaignChange(campaign_id=campaign.campaign_id, version=1, campaign=campaign)
        )
        heard[campaign.campaign_id, 1] = one
    return made, heard


@pytest.mark.parametrize("hold", [decide, race])
def test_a_silent_bidder_costs_only_its_own_bid(hold: Any) -> None:
    made, heard = heard_market(
        ("co-1", Heard(reason=Reason.BIDDER_TIMEOUT)),
        ("co-2", Heard(cents=2_000, token="mine")),
        ("co-3", Heard(cents=1_500)),
    )
    held = hold(made, ping(SOLAR), NOW, DRAW_KEY, heard)
    assert [(bid.company_id, bid.token) for bid in held.award.ranks] == [
        ("co-2", "mine"),
        ("co-3", None),
    ]
    assert held.reasons["bidder_timeout"] == 1


@pytest.mark.parametrize("hold", [decide, race])
def test_a_bid_on_trial_is_noted_and_never_counts(hold: Any) -> None:
    made, heard = heard_market(("co-1", Heard(cents=9_000, reason=Reason.BIDDER_SIMULATED)))
    held = hold(made, ping(SOLAR), NOW, DRAW_KEY, heard)
    assert held.award.winners == 0 and held.reasons == {"bidder_simulated": 1}


def short(made: Market, asked: Any, now: Any, draw_key: bytes, heard: Hearing) -> Decision:
    return short_race(made, asked, now, draw_key, heard, made.indexes["solar"].gate(asked, now))


@pytest.mark.parametrize("hold", [decide, race, short])
def test_a_bid_is_believed_up_to_the_bound_as_it_stands_when_it_is_decided(hold: Any) -> None:
    made, heard = heard_market(("co-1", Heard(cents=9_000)), ("co-2", Heard(cents=2_000)))
    lowered = remote_campaign(0, "co-1", (1,), bound=8_999)
    change = CampaignChange(campaign_id=lowered.campaign_id, version=2, campaign=lowered)
    made.apply_campaign(change)
    held = hold(made, ping(SOLAR), NOW, DRAW_KEY, heard)
    assert [bid.company_id for bid in held.award.ranks] == ["co-2"]
    assert held.reasons == {"bid_price": 1}


@pytest.mark.parametrize("hold", [decide, race])
def test_a_bidder_nobody_asked_had_no_time(hold: Any) -> None:
    made, _ = heard_market(("co-1", Heard(cents=9_000)))
    held = hold(made, ping(SOLAR), NOW, DRAW_KEY)
    assert held.award.winners == 0 and held.reasons == {"bidder_no_time": 1}


def test_a_campaign_saved_before_bidders_were_known_reads_as_it_was() -> None:
    assert msgspec.json.decode(b'{"exclusive_cents":100}', type=Bid) == Bid(exclusive_cents=100)
