"""Campaigns that a receipt only counts are told again, and never for certain where they are not
(rules: §3, §7).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from exchange.core.auction import Candidate, Decision, decide, in_line
from exchange.core.changes import UsageChange
from exchange.core.company import Company
from exchange.core.hours import period_bounds
from exchange.core.market import Market
from exchange.core.model import CampaignId, CompanyId, Offer, Ping, Policy
from exchange.core.moment import Judged, Scan, State, Told
from exchange.core.race import race
from exchange.core.reasons import Reason
from exchange.core.remote import Hearing
from exchange.core.retell import Open, Retold, retell
from exchange.core.standing import weigh
from tests.core.making import DRAW_KEY, NOW, TODAY, company, rated
from tests.core.test_race import COMPANIES, worlds
from tests.core.test_remote_bids import asked_worlds

World = tuple[Market, list[Any]]
Ways = Mapping[CompanyId, Sequence[State]]


def told_by(decision: Decision, ping: Ping, max_ranks: int) -> Told:
    """What a race's receipt says."""
    award = decision.award
    offer = None
    if award.winners:
        offer = Offer(
            ping_id=ping.ping_id,
            seller_id=ping.seller_id,
            vertical="solar",
            attributes=msgspec.Raw(b"{}"),
            contact_hashes={},
            source={},
            share=award.share,
            legs_cents=tuple(bid.charged_cents for bid in award.ranks[: award.winners]),
            ranks=in_line(award, max_ranks),
            min_price_cents=0,
            cascade="promised",
            take_rate_bp=1_500,
            test=False,
            captured_at=NOW,
            decided_at=NOW,
            expires_at=NOW,
        )
    return Told(
        reasons=decision.reasons,
        named=decision.candidates,
        offer=offer,
        premium=decision.premium,
    )


def states_of(made: Market, ping: Ping) -> dict[CompanyId, State]:
    """How every company stands."""
    known = made.contracts.deals(ping.seller_id, NOW)
    deals = {} if known is None else known.by_company
    return {
        one: State(
            company=made.companies.get(one) or Company(one),
            standing=made.standings.get(one),
            deal=deals.get(one),
            room=made.contracts.room(deals[one]) if one in deals else None,
        )
        for one in map(CompanyId, COMPANIES)
    }


def tell(
    made: Market, ping: Ping, told: Told, ways: Ways, unknown: Sequence[CampaignId] = ()
) -> Retold:
    """Tell an auction again; companies stood in any of these ways."""
    runners = list(made.runners("solar"))
    scan = Scan(Market(made.verticals.values(), made.policy, TODAY), ping, NOW, DRAW_KEY, told)
    settled: list[Judged] = []
    unsettled: dict[CompanyId, list[list[Judged]]] = {}
    opened: list[Open] = []
    for runner in runners:
        campaign = runner.campaign
        if campaign.campaign_id in unknown:
            opened.append(
                Open(
                    campaign_id=campaign.campaign_id,
                    company_id=campaign.company_id,
                    why="campaign_version",
                )
            )
            continue
        states = ways[campaign.company_id]
        judged = [scan.judge(runner, state) for state in states]
        if len(judged) == 1:
            settled += judged
            continue
        held = unsettled.setdefault(campaign.company_id, [[] for _ in states])
        for way, one in zip(held, judged, strict=True):
            way.append(one)
    return retell(told, settled, unsettled, opened, ping.max_buyers, made.policy.max_ranks)


def whole(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Candidates in one order."""
    return sorted(candidates, key=lambda one: (one.campaign_id, one.share or 0))


def outcomes(candidates: Sequence[Candidate]) -> dict[CampaignId, set[tuple[str, Reason | None]]]:
    """What became of each campaign."""
    found: dict[CampaignId, set[tuple[str, Reason | None]]] = {}
    for one in candidates:
        found.setdefault(one.campaign_id, set()).add((one.outcome, one.reason))
    return found


@settings(max_examples=15, deadline=None)
@given(worlds())
def test_what_a_race_left_out_is_told_as_the_plain_scan_tells_it(world: World) -> None:
    made, pings = world
    for ping in pings:
        told = told_by(race(made, ping, NOW, DRAW_KEY), ping, made.policy.max_ranks)
        ways = {one: [state] for one, state in states_of(made, ping).items()}
        retold = tell(made, ping, told, ways)
        assert retold.exact, (retold.differences, retold.open)
        assert whole(retold.candidates) == whole(decide(made, ping, NOW, DRAW_KEY).candidates)


@settings(max_examples=15, deadline=None)
@given(asked_worlds())
def test_of_bidders_that_were_asked_it_tells_what_the_receipt_knows(
    world: tuple[Market, list[Any], Hearing],
) -> None:
    made, pings, heard = world
    for ping in pings:
        plain = decide(made, ping, NOW, DRAW_KEY, heard)
        told = told_by(race(made, ping, NOW, DRAW_KEY, heard), ping, made.policy.max_ranks)
        ways = {one: [state] for one, state in states_of(made, ping).items()}
        retold = tell(made, ping, told, ways)
        assert retold.exact, (retold.differences, retold.open)
        line = {bid.campaign_id for bid in told.line}
        for campaign_id, found in outcomes(retold.candidates).items():
            expected = outcomes(plain.candidates)[campaign_id]
            if campaign_id.startswith("r-") and any(o == "lost" for o, _ in expected):
                # A price nobody kept came to nothing, by whatever reason of those who lose.
                assert (
                    found <= expected or found == {("lost", Reason.OUTBID)} or campaign_id in line
                )
            else:
                assert found == expected


@st.composite
def other_states(draw: st.DrawFn, state: State) -> State:
    """A company that stood otherwise: another rate, another balance, other usage."""
    company_id = state.company.window.company_id
    other = Company(company_id)
    other.apply(
        company(
            company_id,
            rated(600_000, draw(st.sampled_from([0, 60_000])), draw(st.sampled_from([0, 70_000]))),
            active=draw(st.booleans()),
            available_cents=draw(st.sampled_from([None, 0, 1_500])),
            usage=tuple(
                UsageChange(
                    CampaignId(f"c-{number}"), "day", period_bounds("day", "UTC", NOW)[0], 2, 4_000
                )
                for number in range(draw(st.integers(0, 15)))
            ),
        )
    )
    return replace(state, company=other, standing=weigh(other.window, TODAY, Policy()))


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_what_a_receipt_does_not_settle_is_never_claimed(data: st.DataObject) -> None:
    made, pings = data.draw(worlds())
    for ping in pings:
        told = told_by(race(made, ping, NOW, DRAW_KEY), ping, made.policy.max_ranks)
        ways: dict[CompanyId, list[State]] = {}
        for one, state in states_of(made, ping).items():
            others = [data.draw(other_states(state))] if data.draw(st.booleans()) else []
            ways[one] = data.draw(st.permutations([state, *others]))
        retold = tell(made, ping, told, ways)
        expected = outcomes(decide(made, ping, NOW, DRAW_KEY).candidates)
        found = outcomes(retold.candidates)
        assert found.keys() | {one.campaign_id for one in retold.open} == expected.keys()
        for campaign_id, came in found.items():
            reasons = {reason for _, reason in came}
            if all(reason is not None and reason // 100 == 2 for reason in reasons):
                assert came == expected[campaign_id]
        if retold.exact:
            assert found == expected


@settings(max_examples=8, deadline=None)
@given(worlds(), st.data())
def test_a_campaign_whose_version_is_not_kept_is_said_to_be_unknown(
    world: World, data: st.DataObject
) -> None:
    made, pings = world
    ids = sorted(runner.campaign.campaign_id for runner in made.runners("solar"))
    if not ids:
        return
    lost = data.draw(st.sampled_from(ids))
    for ping in pings:
        told = told_by(race(made, ping, NOW, DRAW_KEY), ping, made.policy.max_ranks)
        ways = {one: [state] for one, state in states_of(made, ping).items()}
        retold = tell(made, ping, told, ways, unknown=(lost,))
        assert not retold.exact
        assert [one.campaign_id for one in retold.open] == [lost]


@settings(max_examples=8, deadline=None)
@given(worlds(), st.data())
def test_a_receipt_that_counts_otherwise_is_said_to_differ(
    world: World, data: st.DataObject
) -> None:
    made, pings = world
    for ping in pings:
        told = told_by(race(made, ping, NOW, DRAW_KEY), ping, made.policy.max_ranks)
        code = data.draw(st.sampled_from(sorted({"filter", "cap", "outbid", *told.reasons})))
        forged = replace(told, reasons={**told.reasons, code: told.reasons.get(code, 0) + 1})
        ways = {one: [state] for one, state in states_of(made, ping).items()}
        retold = tell(made, ping, forged, ways)
        assert not retold.exact
        assert retold.differences[0].kind == "count"
