"""The indexed auction against the plain scan: the same award and the same reasons. Rules §3, §7."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.core.auction import Decision, decide, in_line, line_of
from exchange.core.audit import Limits, recompute
from exchange.core.changes import CampaignChange, UsageChange
from exchange.core.contract import Trial
from exchange.core.hours import period_bounds
from exchange.core.index import VerticalIndex
from exchange.core.market import Market
from exchange.core.model import (
    Bid,
    Campaign,
    CampaignId,
    Cap,
    CompanyId,
    Condition,
    Modifier,
    Offer,
    OpenHours,
    PingId,
    Policy,
    Schedule,
    SellerId,
)
from exchange.core.race import race
from exchange.core.reasons import Reason
from exchange.core.terms import Tier
from tests.core.making import (
    DRAW_KEY,
    LEAD,
    NOW,
    TODAY,
    attributes,
    company,
    contract,
    ping,
    rated,
    solar,
    trial_use,
)

SOLAR = solar(
    premium=Condition(field="credit_score", op=">=", value=700), floor="5.00", max_age_s=10**9
)
COMPANIES = [f"co-{n}" for n in range(7)]

comparisons = st.one_of(
    st.builds(
        lambda op, value: Condition(field="credit_score", op=op, value=value),
        st.sampled_from(["=", "!=", ">=", ">", "<=", "<"]),
        st.sampled_from([600, 650, 700, 710, 720]),
    ),
    st.builds(
        lambda low, more: Condition(field="monthly_bill", op="between", value=(low, low + more)),
        st.sampled_from([0, 100, 150, 150.5]),
        st.sampled_from([0, 50, 300]),
    ),
    st.builds(
        lambda op, value: Condition(field="state", op=op, value=tuple(sorted(value))),
        st.sampled_from(["in", "not_in"]),
        st.sets(st.sampled_from(["CA", "NV", "TX"]), min_size=1),
    ),
    st.sampled_from([Condition(field="zip", op="prefix", value=p) for p in ("9", "941", "100")]),
    st.sampled_from([Condition(field="owns_home", op="=", value=v) for v in (True, False)]),
    st.sampled_from([Condition(field="roof", op="exists", value=v) for v in (True, False)]),
    st.just(Condition(field="roof", op="!=", value="tile")),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds(
            lambda parts: Condition(all=tuple(parts)), st.lists(inner, min_size=1, max_size=3)
        ),
        st.builds(
            lambda parts: Condition(any=tuple(parts)), st.lists(inner, min_size=1, max_size=3)
        ),
        st.builds(lambda part: Condition(not_=part), inner),
    ),
    max_leaves=5,
)
prices = st.sampled_from([0, 300, 500, 1_000, 2_000, 2_500, 5_000])
bids = st.builds(
    lambda exclusive, shared, modifiers: Bid(
        exclusive_cents=exclusive if exclusive is not None or shared else 1_000,
        shared_cents=shared,
        modifiers=tuple(modifiers),
    ),
    st.none() | prices,
    st.dictionaries(st.integers(2, 3), prices, max_size=2),
    st.lists(
        st.builds(
            Modifier,
            when=comparisons,
            add_cents=st.sampled_from([-500, 0, 700]),
            multiply_bp=st.sampled_from([9_000, 10_000, 12_500]),
        ),
        max_size=2,
    ),
)
schedules = st.sampled_from(
    [
        Schedule(),
        Schedule(windows=(OpenHours(days=(5,), from_minute=22 * 60, to_minute=23 * 60),)),
        Schedule(windows=(OpenHours(days=(0,), from_minute=0, to_minute=60),)),
    ]
)
caps = st.lists(
    st.one_of(
        st.builds(lambda n: Cap(period="day", leads=n), st.integers(1, 3)),
        st.builds(lambda c: Cap(period="day", spend_cents=c), st.integers(1, 6_000)),
    ),
    max_size=2,
)


@st.composite
def campaigns(draw: st.DrawFn, number: int) -> Campaign:
    return Campaign(
        campaign_id=CampaignId(f"c-{number}"),
        company_id=CompanyId(draw(st.sampled_from(COMPANIES))),
        name="any",
        vertical="solar",
        active=draw(st.integers(0, 9)) > 0,
        filter=draw(st.none() | conditions),
        bid=draw(bids),
        caps=tuple(draw(caps)),
        schedule=draw(schedules),
        max_age_s=draw(st.sampled_from([None, None, 30, 60, 3_600])),
        delivery=(),
    )


tiers = st.lists(
    st.builds(
        Tier,
        min_score=st.sampled_from([0, 40, 60, 80]),
        add_cents=st.sampled_from([0, 0, -700, 1_500]),
        multiply_bp=st.sampled_from([10_000, 10_000, 8_333, 15_000]),
    ),
    max_size=3,
    unique_by=lambda tier: tier.min_score,
)
trials = st.builds(
    lambda begun_h, ends_h, continues, discount_bp, leads, spend: Trial(
        starts_at=NOW - timedelta(hours=begun_h),
        ends_at=NOW + timedelta(hours=ends_h),
        continues=continues,
        discount_bp=discount_bp,
        leads=leads,
        spend_cents=spend,
    ),
    st.sampled_from([-1, 0, 10]),
    st.sampled_from([-1, 0, 10]),
    st.booleans(),
    st.sampled_from([None, 0, 2_500]),
    st.sampled_from([None, 1, 3]),
    st.sampled_from([None, 1_000, 10_000]),
)
clauses: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "blocked": st.integers(0, 4).map(lambda n: n == 0),
        "lead_types": st.sampled_from([("exclusive",), ("shared",), ("exclusive", "shared")]),
        "tiers": tiers.map(tuple),
        "discount_bp": st.sampled_from([0, 1, 1_000, 5_000]),
        "trial": trials,
        "first_look": st.booleans(),
    },
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Market, list[Any]]:
    """A market that came to be by any sequence of changes, and some pings for it."""
    made = Market([SOLAR], Policy(max_ranks=draw(st.integers(0, 3))), TODAY)
    # Tiny blocks, so that few campaigns fill many and the walk does stop.
    made.indexes["solar"] = VerticalIndex(
        SOLAR, made.companies, made.standings, made.policy, block=2, contracts=made.contracts
    )
    for name in draw(st.sets(st.sampled_from(COMPANIES), min_size=1)):
        assigned = draw(st.sampled_from([0, 600_000]))
        made.apply_company(
            company(
                name,
                rated(
                    assigned,
                    draw(st.sampled_from([0, 30_000, 60_000])) if assigned else 0,
                    draw(st.sampled_from([0, 60_000, 70_000])) if assigned else 0,
                ),
                available_cents=draw(st.sampled_from([None, None, 0, 1_500, 10**6])),
                active=draw(st.integers(0, 9)) > 0,
            )
        )
    for version in range(draw(st.integers(1, 25))):
        number = draw(st.integers(0, 15))
        deleted = draw(st.integers(0, 6)) == 0
        made.apply_campaign(
            CampaignChange(
                campaign_id=CampaignId(f"c-{number}"),
                version=version,
                campaign=None if deleted else draw(campaigns(number)),
            )
        )
        if draw(st.booleans()):
            made.apply_company(
                company(
                    draw(st.sampled_from(COMPANIES)),
                    version=version + 2,
                    usage=(
                        UsageChange(
                            CampaignId(f"c-{number}"),
                            "day",
                            period_bounds("day", "UTC", NOW)[0],
                            draw(st.integers(0, 3)),
                            draw(st.integers(0, 5_000)),
                        ),
                    ),
                )
            )
        if draw(st.integers(0, 3)) == 0:
            number = made.contracts.complete + 1
            bound, terms = draw(st.sampled_from(COMPANIES)), draw(clauses)
            seller_id = draw(st.sampled_from(["s-1", "s-1", "s-2"]))
            made.contracts.apply(
                contract(
                    bound,
                    number,
                    seller_id=seller_id,
                    version=number,
                    until=draw(st.sampled_from([None, None, NOW, NOW + timedelta(hours=1)])),
                    **terms,
                )
            )
            if (trial := terms.get("trial")) is not None and draw(st.booleans()):
                leads, spend = draw(st.integers(0, 3)), draw(st.integers(0, 10_000))
                made.contracts.apply_use(
                    trial_use(bound, trial, number, leads=leads, spend=spend, seller_id=seller_id)
                )
            # From here on the masks of its contracts follow every change.
            made.indexes["solar"].contracts_of(SellerId("s-1"), NOW)
    pings = [
        ping(
            SOLAR,
            quality_score=draw(st.sampled_from([100, 80, 59, 10])),
            ping_id=PingId(f"p-{n}"),
            attributes=attributes(
                SOLAR,
                **LEAD
                | {
                    "credit_score": draw(st.sampled_from([600, 650, 700, 710])),
                    "state": draw(st.sampled_from(["CA", "NV", "NY"])),
                }
                | draw(st.sampled_from([{}, {"roof": "tile"}, {"roof": "metal"}])),
            ),
            captured_at=NOW - timedelta(seconds=draw(st.sampled_from([0, 45, 600]))),
            max_buyers=draw(st.integers(1, 3)),
            min_price_cents=draw(st.sampled_from([0, 0, 800, 3_000])),
            sold_to=frozenset(
                CompanyId(c) for c in draw(st.sets(st.sampled_from(COMPANIES), max_size=2))
            ),
            suppressed_by=frozenset(
                CompanyId(c) for c in draw(st.sets(st.sampled_from(COMPANIES), max_size=2))
            ),
        )
        for n in range(3)
    ]
    return made, pings


def line(decision: Decision, policy: Policy) -> list[tuple[Any, ...]]:
    award = decision.award
    return [
        (
            bid.campaign_id,
            bid.base_cents,
            bid.rectified_cents,
            bid.charged_cents,
            bid.first_look,
            bid.terms,
        )
        for bid in award.ranks[: award.winners + policy.max_ranks]
    ]


def did_not_bid(decision: Decision) -> Counter[str]:
    """How many campaigns each reason of group 2 kept from bidding."""
    codes = {reason.code for reason in Reason if reason // 100 == 2}
    return Counter({code: n for code, n in decision.reasons.items() if code in codes})


@settings(max_examples=250, deadline=None)
@given(worlds())
def test_the_race_comes_to_the_award_and_the_reasons_of_the_plain_scan(
    world: tuple[Market, list[Any]],
) -> None:
    made, pings = world
    for one in pings:
        plain, fast = decide(made, one, NOW, DRAW_KEY), race(made, one, NOW, DRAW_KEY)
        assert (fast.award.share, fast.award.winners) == (plain.award.share, plain.award.winners)
        assert line(fast, made.policy) == line(plain, made.policy)
        assert did_not_bid(fast) == did_not_bid(plain)
        gated = made.indexes[one.vertical].gate(one, NOW)
        assert decide(made, one, NOW, DRAW_KEY, gated=gated) == plain
        if not plain.award.winners:
            assert fast.reasons == plain.reasons
        limits = Limits(
            floor_cents=500,
            min_price_cents=one.min_price_cents,
            take_rate_bp=made.policy.take_rate_bp,
        )
        recompute(plain.candidates, max_buyers=one.max_buyers, limits=limits)


def test_section_9_a_price_raised_beyond_the_room_left_does_not_bid() -> None:
    made = Market([SOLAR], Policy(), TODAY)
    made.apply_company(company("co-1", available_cents=1_200))
    one = Campaign(
        campaign_id=CampaignId("c-1"),
        company_id=CompanyId("co-1"),
        name="any",
        vertical="solar",
        bid=Bid(exclusive_cents=1_000),
        delivery=(),
    )
    made.apply_campaign(CampaignChange(campaign_id=one.campaign_id, version=1, campaign=one))
    assert race(made, ping(SOLAR), NOW, DRAW_KEY).award.winners == 1
    for number, add_cents in enumerate((200, 201), 1):
        raised = Tier(min_score=0, add_cents=add_cents)
        made.contracts.apply(contract("co-1", number, version=number, tiers=(raised,)))
        decisions = [hold(made, ping(SOLAR), NOW, DRAW_KEY) for hold in (decide, race)]
        assert [d.award.winners for d in decisions] == [2 - number] * 2
    assert [d.reasons for d in decisions] == [{Reason.BALANCE.code: 1}] * 2


@pytest.mark.parametrize("count", [63, 64, 65, 200])
def test_campaigns_keep_their_place_when_blocks_split(count: int) -> None:
    made = Market([SOLAR], Policy(), TODAY)
    made.apply_company(company("co-1"))
    for number in range(count):
        one = Campaign(
            campaign_id=CampaignId(f"c-{number}"),
            company_id=CompanyId("co-1"),
            name="any",
            vertical="solar",
            bid=Bid(exclusive_cents=1_000 + number * 37 % 1_000),
            delivery=(),
        )
        made.apply_campaign(CampaignChange(campaign_id=one.campaign_id, version=1, campaign=one))
        plain, fast = (f(made, ping(SOLAR), NOW, DRAW_KEY) for f in (decide, race))
        assert line(fast, made.policy) == line(plain, made.policy)


def test_a_filter_that_wants_an_attribute_there_and_not_there_matches_nobody() -> None:
    both = Condition(
        all=(
            Condition(field="roof", op="exists", value=True),
            Condition(field="roof", op="exists", value=False),
        )
    )
    made = Market([SOLAR], Policy(), TODAY)
    made.apply_company(company("co-1"))
    one = Campaign(
        campaign_id=CampaignId("c-1"),
        company_id=CompanyId("co-1"),
        name="any",
        vertical="solar",
        filter=both,
        bid=Bid(exclusive_cents=1_000),
        delivery=(),
    )
    made.apply_campaign(CampaignChange(campaign_id=one.campaign_id, version=1, campaign=one))
    for hold in (decide, race):
        assert hold(made, ping(SOLAR), NOW, DRAW_KEY).reasons == {"filter": 1}


def test_a_receipt_told_later_has_the_draws_that_decided() -> None:
    made = Market([SOLAR], Policy(), TODAY)
    for number in range(12):
        made.apply_company(company(f"co-{number}"))
        one = Campaign(
            campaign_id=CampaignId(f"c-{number}"),
            company_id=CompanyId(f"co-{number}"),
            name="any",
            vertical="solar",
            bid=Bid(exclusive_cents=2_000),
            delivery=(),
        )
        made.apply_campaign(CampaignChange(campaign_id=one.campaign_id, version=1, campaign=one))
    asked = ping(SOLAR)
    award = race(made, asked, NOW, DRAW_KEY).award
    offer = Offer(
        ping_id=asked.ping_id,
        seller_id=asked.seller_id,
        vertical="solar",
        attributes=msgspec.Raw(b"{}"),
        contact_hashes={},
        source={},
        share=award.share,
        legs_cents=(1_700,),
        ranks=in_line(award, made.policy.max_ranks),
        min_price_cents=0,
        cascade="promised",
        take_rate_bp=1_500,
        test=False,
        captured_at=NOW,
        decided_at=NOW,
        expires_at=NOW,
    )
    told = line_of(offer, b"another key of another time")
    assert [candidate.draw for candidate in told] == sorted(c.draw or 0 for c in told)
    assert recompute(told, max_buyers=1) == (award.ranks[0].campaign_id,)
