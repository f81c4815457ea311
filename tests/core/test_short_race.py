"""The auction over few campaigns against the plain scan: the same, told whole. Rules §7."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import msgspec
from hypothesis import given, settings
from msgspec.structs import replace

from exchange.core.auction import Candidate, Decision, decide, in_line, tell_whole
from exchange.core.audit import recompute
from exchange.core.changes import CampaignChange
from exchange.core.market import Market
from exchange.core.model import CampaignId, Offer, Ping, Policy, SellerId
from exchange.core.remote import Heard, Hearing
from exchange.core.short_race import is_under_contract, short_race
from tests.core.making import DRAW_KEY, NOW, TODAY, campaign, company, contract, market, ping, solar
from tests.core.test_remote_bids import asked_worlds, remote_campaign


def offer_of(asked: Ping, decision: Decision, policy: Policy) -> Offer | None:
    award = decision.award
    if not award.winners:
        return None
    return Offer(
        ping_id=asked.ping_id,
        seller_id=asked.seller_id,
        vertical=asked.vertical,
        attributes=msgspec.Raw(b"{}"),
        contact_hashes={},
        source={},
        share=award.share,
        legs_cents=(1_000,) * award.winners,
        ranks=in_line(award, policy.max_ranks),
        min_price_cents=0,
        cascade="promised",
        take_rate_bp=1_500,
        test=False,
        captured_at=NOW,
        decided_at=NOW,
        expires_at=NOW,
    )


def told_whole(made: Market, asked: Ping, decision: Decision) -> tuple[Candidate, ...]:
    offer = offer_of(asked, decision, made.policy)
    return tell_whole(decision.candidates, offer, DRAW_KEY, asked.ping_id)


def in_order(candidates: tuple[Candidate, ...]) -> list[Candidate]:
    return sorted(candidates, key=lambda one: (one.campaign_id, one.share or 0))


@settings(max_examples=300, deadline=None)
@given(asked_worlds())
def test_the_short_race_told_whole_is_the_plain_scan(
    world: tuple[Market, list[Any], Hearing],
) -> None:
    made, pings, heard = world
    for one in pings:
        asked = replace(one, seller_id=SellerId("s-without-contracts"))
        assert not is_under_contract(made, asked, NOW)
        gated = made.indexes["solar"].gate(asked, NOW)
        plain = decide(made, asked, NOW, DRAW_KEY, heard, gated)
        short = short_race(made, asked, NOW, DRAW_KEY, heard, gated)
        assert in_order(told_whole(made, asked, short)) == in_order(plain.candidates)
        assert short.reasons == plain.reasons
        assert short.premium == plain.premium
        kept = plain.award.winners + made.policy.max_ranks
        assert (short.award.share, short.award.winners) == (plain.award.share, plain.award.winners)
        assert list(map(attrgetter("token"), short.award.ranks)) == [
            bid.token for bid in plain.award.ranks[:kept]
        ]
        recompute(told_whole(made, asked, short), max_buyers=asked.max_buyers)


def test_who_the_offer_keeps_is_not_told_a_second_time() -> None:
    made = Market([solar()], Policy(max_ranks=1), TODAY)
    heard: dict[tuple[str, int], Heard] = {}
    for number in range(4):
        made.apply_company(company(f"co-{number}"))
        one = remote_campaign(number, f"co-{number}", (1,))
        made.apply_campaign(CampaignChange(campaign_id=one.campaign_id, version=1, campaign=one))
        heard[one.campaign_id, 1] = Heard(cents=1_000 * (number + 1))
    asked = ping(solar())
    gated = made.indexes["solar"].gate(asked, NOW)
    short = short_race(made, asked, NOW, DRAW_KEY, heard, gated)
    assert [bid.campaign_id for bid in short.award.ranks] == ["r-3", "r-2"]
    assert [(one.campaign_id, one.rank) for one in short.candidates] == [("r-1", 3), ("r-0", 4)]
    whole = told_whole(made, asked, short)
    assert [(one.campaign_id, one.rank) for one in whole] == [
        ("r-3", 1), ("r-2", 2), ("r-1", 3), ("r-0", 4),
    ]  # fmt: skip
    assert all(one.draw is not None for one in whole)


def test_a_draw_that_settled_a_tie_is_kept_and_not_made_anew() -> None:
    made = market([campaign(f"c-{n}", f"co-{n}") for n in range(3)])
    asked = ping(made.verticals["solar"])
    gated = made.indexes["solar"].gate(asked, NOW)
    short = short_race(made, asked, NOW, DRAW_KEY, {}, gated)
    offer = offer_of(asked, short, made.policy)
    told = tell_whole(short.candidates, offer, b"another key of another time", asked.ping_id)
    assert [one.draw for one in told] == sorted(one.draw or 0 for one in told)
    plain = decide(made, asked, NOW, DRAW_KEY, {}, gated)
    assert in_order(told) == in_order(plain.candidates)


def test_a_lead_of_a_seller_with_a_contract_is_the_plain_scans() -> None:
    made = market([campaign("c-1", "co-1")])
    asked = ping(made.verticals["solar"])
    assert not is_under_contract(made, asked, NOW)
    made.contracts.apply(contract("co-1", 1, seller_id=asked.seller_id, version=1))
    assert is_under_contract(made, asked, NOW)
    other = replace(asked, seller_id=SellerId("s-of-others"))
    assert not is_under_contract(made, other, NOW)


def test_a_receipt_that_tells_its_line_itself_is_told_as_it_is() -> None:
    made = market([campaign(f"c-{n}", f"co-{n}") for n in range(3)])
    asked = ping(made.verticals["solar"])
    plain = decide(made, asked, NOW, DRAW_KEY)
    assert told_whole(made, asked, plain) is plain.candidates
    assert CampaignId("c-0") in {one.campaign_id for one in plain.candidates}
