"""An auction held again under other rates (rules: §6, §7, §12)."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from exchange.core.auction import Candidate, Decision, Drawer, decide, in_line, line_of
from exchange.core.market import Market
from exchange.core.model import Bid, CampaignId, CompanyId, Condition, Offer, Ping, PingId, Policy
from exchange.core.pricing import seller_price
from exchange.core.race import race
from exchange.core.runner import base_price
from exchange.core.standing import Verdict
from exchange.core.what_if import Bases, Held, Outcome, Replayed, assume, replay, unnamed
from tests.core.making import DRAW_KEY, NOW, campaign, company, market, ping, rated, solar

PREMIUM = solar(floor="2.00", premium=Condition(field="owns_home", op="=", value=True))
PLAIN = solar(floor="2.00")
ME = CompanyId("co0")
PRICES = st.integers(1_00, 9_00)  # few and small, so that many are equal
RATES = st.tuples(
    st.sampled_from([0, 100_00, 500_00, 850_00]), st.sampled_from([0, 320_00, 1_240_00])
)
"""Cents rejected of $10,000: manual, and in the CRM."""

EXCLUSIVE = st.builds(Bid, exclusive_cents=PRICES)
ANY_BID = st.builds(
    Bid,
    exclusive_cents=st.none() | PRICES,
    shared_cents=st.dictionaries(st.integers(2, 3), PRICES, max_size=2),
)


def made_market(
    rates: list[tuple[int, int]], bids: list[tuple[int, Bid]], policy: Policy, premium: bool
) -> Market:
    return market(
        [campaign(f"c{i}", f"co{co}", bid=bid) for i, (co, bid) in enumerate(bids)],
        [
            company(f"co{i}", rated(10_000_00, manual=manual, crm=crm))
            for i, (manual, crm) in enumerate(rates)
        ],
        policy,
        PREMIUM if premium else PLAIN,
    )


def held_of(
    held: Market, made: Ping, decision: Decision, candidates: tuple[Candidate, ...]
) -> Held:
    return Held(
        candidates=candidates,
        reasons=decision.reasons,
        max_buyers=made.max_buyers,
        min_price_cents=made.min_price_cents,
        floor_cents=held.verticals["solar"].floor_cents,
        premium=decision.premium,
        draw=Drawer(DRAW_KEY, made.ping_id).draw,
    )


def with_line(held: Market, made: Ping, decision: Decision) -> tuple[Candidate, ...]:
    """A race's candidates as its receipt tells them when it is read."""
    award = decision.award
    if not award.winners:
        return decision.candidates
    legs = [seller_price(bid.charged_cents, 1_500) for bid in award.ranks[: award.winners]]
    offer = Offer(
        ping_id=made.ping_id,
        seller_id=made.seller_id,
        vertical="solar",
        attributes=Raw(b"{}"),
        contact_hashes={},
        source={},
        share=award.share,
        legs_cents=tuple(legs),
        ranks=in_line(award, held.policy.max_ranks),
        min_price_cents=made.min_price_cents,
        cascade="promised",
        take_rate_bp=1_500,
        test=False,
        captured_at=NOW,
        decided_at=NOW,
        expires_at=NOW + timedelta(minutes=5),
    )
    return (*line_of(offer, DRAW_KEY), *decision.candidates)


def bases_of(held: Market, made: Ping) -> Bases:
    """What my campaigns would list for the lead."""
    found: dict[CampaignId, dict[int, int]] = {}
    for runner in held.runners("solar"):
        if runner.campaign.company_id != ME:
            continue
        prices = {n: base_price(runner, made.attributes, n) for n in range(1, made.max_buyers + 1)}
        found[runner.campaign.campaign_id] = {n: p for n, p in prices.items() if p is not None}
    return found


def won(decision: Decision) -> tuple[CampaignId, int] | None:
    award = decision.award
    for bid in award.ranks[: award.winners]:
        if bid.company_id == ME:
            return bid.campaign_id, bid.charged_cents
    return None


def won_told(outcome: Outcome) -> tuple[CampaignId, int] | None:
    if not outcome.won or outcome.campaign_id is None or outcome.charged_cents is None:
        return None
    return outcome.campaign_id, outcome.charged_cents


def rates_of(pair: tuple[int, int]) -> dict[str, int]:
    """Rates in basis points, as one asks for them."""
    return {"overall_bp": sum(pair) // 100, "crm_bp": pair[1] // 100}


@given(
    st.lists(RATES, min_size=4, max_size=4),
    RATES,
    st.lists(st.tuples(st.integers(0, 3), ANY_BID), max_size=7),
    st.integers(1, 3),
    st.sampled_from([0, 3_00]),
    st.integers(0, 99),
    st.booleans(),
    st.sampled_from([Policy(), Policy(rectify="rank_only")]),
)
def test_section_12_held_again_an_auction_comes_to_what_it_would_have_come_to(
    rates: list[tuple[int, int]],
    otherwise: tuple[int, int],
    bids: list[tuple[int, Bid]],
    max_buyers: int,
    min_price_cents: int,
    ping_no: int,
    premium: bool,
    policy: Policy,
) -> None:
    was = made_market(rates, bids, policy, premium)
    would_be = made_market([otherwise, *rates[1:]], bids, policy, premium)
    made = ping(
        was.verticals["solar"],
        ping_id=PingId(f"p-{ping_no}"),
        max_buyers=max_buyers,
        min_price_cents=min_price_cents,
    )
    decision = decide(was, made, NOW, DRAW_KEY)
    assumed = assume(was.standings[ME], policy, **rates_of(otherwise))
    assert assumed.verdict is would_be.standings[ME].verdict
    held = held_of(was, made, decision, decision.candidates)
    found = replay(held, ME, assumed, bases_of(was, made), policy)
    if all(co for co, _ in bids):
        assert found is None
        return
    assert isinstance(found, Replayed)
    assert won_told(found.before) == won(decision)
    assert won_told(found.after) == won(decide(would_be, made, NOW, DRAW_KEY))


@given(
    st.lists(RATES, min_size=9, max_size=9),
    RATES,
    st.lists(st.tuples(st.integers(0, 8), EXCLUSIVE), min_size=4, max_size=14),
    st.integers(0, 99),
    st.booleans(),
    st.booleans(),
)
def test_section_12_over_many_campaigns_what_is_told_is_what_would_have_been(
    rates: list[tuple[int, int]],
    otherwise: tuple[int, int],
    bids: list[tuple[int, Bid]],
    ping_no: int,
    premium: bool,
    all_known: bool,
) -> None:
    policy = Policy(max_ranks=2)
    was = made_market(rates, bids, policy, premium)
    would_be = made_market([otherwise, *rates[1:]], bids, policy, premium)
    made = ping(was.verticals["solar"], ping_id=PingId(f"p-{ping_no}"))
    decision = race(was, made, NOW, DRAW_KEY)
    held = held_of(was, made, decision, with_line(was, made, decision))
    assumed = assume(was.standings[ME], policy, **rates_of(otherwise))
    bases = bases_of(was, made)
    found = replay(held, ME, assumed, bases, policy, all_known=all_known)
    if isinstance(found, Replayed):
        assert won_told(found.before) == won(decision)
        assert won_told(found.after) == won(decide(would_be, made, NOW, DRAW_KEY))
    else:
        assert won(decision) is None
        assert found == "not_named" or all(co for co, _ in bids)


@pytest.mark.parametrize(
    ("base", "known"),
    [
        pytest.param(5_05, True, id="less than the winner paid"),
        pytest.param(5_09, False, id="more: but who knows whether it had room"),
    ],
)
def test_who_is_not_named_and_could_not_have_won_is_known_to_have_lost(
    base: int, known: bool
) -> None:
    bids = [
        (0, Bid(exclusive_cents=4_00)),
        *((n, Bid(exclusive_cents=5_00 + n)) for n in range(1, 9)),
    ]
    held = made_market([(0, 0)] * 9, bids, Policy(max_ranks=2), False)
    made = ping(held.verticals["solar"])
    decision = race(held, made, NOW, DRAW_KEY)
    told = held_of(held, made, decision, with_line(held, made, decision))
    found = replay(
        told, ME, held.standings[ME], {CampaignId("c0"): {1: base}}, held.policy, all_known=True
    )
    assert found == (Replayed(before=Outcome(), after=Outcome()) if known else "not_named")


def gated_market() -> tuple[Market, Ping, Held]:
    """My campaign is excluded; another buys for less."""
    held = made_market(
        [(0, 1_240_00), (0, 0)],
        [(0, Bid(exclusive_cents=9_00)), (1, Bid(exclusive_cents=5_00))],
        Policy(),
        False,
    )
    made = ping(held.verticals["solar"])
    decision = decide(held, made, NOW, DRAW_KEY)
    return held, made, held_of(held, made, decision, decision.candidates)


def test_section_12_an_excluded_company_reads_what_it_would_have_won() -> None:
    held, made, told = gated_market()
    assumed = assume(held.standings[ME], held.policy, overall_bp=300, crm_bp=100)
    found = replay(told, ME, assumed, bases_of(held, made), held.policy)
    assert isinstance(found, Replayed)
    assert not found.before.won
    assert (found.after.won, found.after.charged_cents) == (True, 8_73)


def test_what_was_bid_behind_a_closed_gate_is_not_guessed() -> None:
    held, _, told = gated_market()
    assumed = assume(held.standings[ME], held.policy, overall_bp=300, crm_bp=100)
    assert replay(told, ME, assumed, {}, held.policy) == "price_not_kept"
    still = assume(held.standings[ME], held.policy, overall_bp=300, crm_bp=None)
    assert still.verdict is Verdict.EXCLUDED
    assert isinstance(replay(told, ME, still, {}, held.policy), Replayed)


def test_a_receipt_that_does_not_add_up_is_not_known() -> None:
    held, made, told = gated_market()
    bought = replace(
        next(c for c in told.candidates if c.outcome == "won"), outcome="lost", reason=None
    )
    broken = replace(told, candidates=(bought, *(c for c in told.candidates if c.outcome != "won")))
    assumed = assume(held.standings[ME], held.policy, overall_bp=0, crm_bp=0)
    assert replay(broken, ME, assumed, bases_of(held, made), held.policy) == "does_not_follow"


@pytest.mark.parametrize("max_buyers", [1, 2])
def test_what_a_receipt_over_many_leaves_out_is_counted(max_buyers: int) -> None:
    bids = [(n, Bid(exclusive_cents=5_00 + n)) for n in range(9)]
    held = made_market([(0, 0)] * 9, bids, Policy(max_ranks=2), False)
    made = ping(held.verticals["solar"], max_buyers=max_buyers)
    decision = race(held, made, NOW, DRAW_KEY)
    told = held_of(held, made, decision, with_line(held, made, decision))
    assert unnamed(told) == 6 and Counter(decision.reasons) == {"outbid": 8}
    assumed = assume(held.standings[ME], held.policy, overall_bp=0, crm_bp=0)
    assert replay(told, ME, assumed, {}, held.policy) == "not_named"
    first = CompanyId("co8")
    found = replay(told, first, held.standings[first], bases_of(held, made), held.policy)
    assert found == "shares_not_kept" if max_buyers > 1 else isinstance(found, Replayed)
