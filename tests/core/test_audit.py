"""From a receipt and the rules anyone can recompute the winner (rules: §7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from exchange.core.auction import Candidate, Decision, decide
from exchange.core.audit import AuditError, Limits, explain, explain_receipt, recompute
from exchange.core.changes import BucketChange
from exchange.core.model import Bid, CampaignId, CompanyId, Condition, PingId, Policy
from exchange.core.reasons import Reason
from tests.core.making import DRAW_KEY, NOW, campaign, company, market, ping, rated, solar

PREMIUM = solar(floor="2.00", premium=Condition(field="owns_home", op="=", value=True))
PLAIN = solar(floor="2.00")
NAMES = {CompanyId("sunny"): "Sunny Roofs", CompanyId("acme"): "Acme"}
PRICES = st.integers(1_00, 9_00)  # few and small, so that many are equal


RATED = st.builds(
    lambda manual, crm: rated(10_000_00, manual=manual, crm=crm),
    st.sampled_from([0, 0, 100_00, 500_00, 850_00]),
    st.sampled_from([0, 0, 320_00, 1_240_00]),
)
BIDS = st.tuples(
    st.integers(0, 3),  # the company
    st.builds(
        Bid,
        exclusive_cents=st.none() | PRICES,
        shared_cents=st.dictionaries(st.integers(2, 3), PRICES, max_size=2),
    ),
)


class Held(Struct, frozen=True):
    """An auction that was held, with what an auditor knows of it."""

    decision: Decision
    max_buyers: int
    limits: Limits

    def audit(self, candidates: tuple[Candidate, ...]) -> tuple[CampaignId, ...]:
        return recompute(candidates, max_buyers=self.max_buyers, limits=self.limits)


def hold(
    rates: list[BucketChange],
    bids: list[tuple[int, Bid]],
    max_buyers: int,
    min_price_cents: int,
    ping_no: int,
    premium: bool,
    rank_only: bool,
) -> Held:
    vertical = PREMIUM if premium else PLAIN
    policy = Policy(rectify="rank_only" if rank_only else "rank_and_charge")
    made = market(
        [campaign(f"c{i}", f"co{co}", bid=bid) for i, (co, bid) in enumerate(bids)],
        [company(f"co{i}", bucket) for i, bucket in enumerate(rates)],
        policy,
        vertical,
    )
    one = ping(
        vertical,
        ping_id=PingId(f"p-{ping_no}"),
        max_buyers=max_buyers,
        min_price_cents=min_price_cents,
    )
    return Held(
        decide(made, one, NOW, DRAW_KEY),
        max_buyers,
        Limits(
            floor_cents=vertical.floor_cents,
            min_price_cents=min_price_cents,
            take_rate_bp=policy.take_rate_bp,
        ),
    )


AUCTIONS = st.builds(
    hold,
    st.lists(RATED, min_size=4, max_size=4),
    st.lists(BIDS, max_size=7),
    st.integers(1, 3),
    st.sampled_from([0, 3_00]),
    st.integers(0, 99),
    st.booleans(),
    st.booleans(),
)


def indices(candidates: tuple[Candidate, ...], outcome: str) -> list[int]:
    return [i for i, c in enumerate(candidates) if c.outcome == outcome]


def changed(
    candidates: tuple[Candidate, ...], index: int, candidate: Candidate
) -> tuple[Candidate, ...]:
    return (*candidates[:index], candidate, *candidates[index + 1 :])


@given(AUCTIONS)
def test_the_winners_follow_from_the_receipt_alone(held: Held) -> None:
    award = held.decision.award
    expected = tuple(bid.campaign_id for bid in award.ranks[: award.winners])
    assert recompute(held.decision.candidates, max_buyers=held.max_buyers) == expected
    assert held.audit(held.decision.candidates) == expected


@given(AUCTIONS)
def test_the_order_of_a_receipts_rows_does_not_matter(held: Held) -> None:
    candidates = held.decision.candidates
    assert held.audit(candidates[::-1]) == held.audit(candidates)


@given(AUCTIONS, st.data(), st.integers(1, 500))
def test_a_changed_rectified_price_is_found(held: Held, data: st.DataObject, change: int) -> None:
    candidates = held.decision.candidates
    priced = [i for i, c in enumerate(candidates) if c.rectified_cents is not None]
    if not priced:
        return
    index = data.draw(st.sampled_from(priced))
    old = candidates[index]
    for sign in (-1, 1):
        forged = replace(old, rectified_cents=(old.rectified_cents or 0) + sign * change)
        with pytest.raises(AuditError) as fault:
            recompute(changed(candidates, index, forged), max_buyers=held.max_buyers)
        assert fault.value.campaign_id == old.campaign_id


@given(AUCTIONS, st.data())
def test_a_winner_swapped_with_a_loser_is_found(held: Held, data: st.DataObject) -> None:
    candidates = held.decision.candidates
    won, lost = indices(candidates, "won"), indices(candidates, "lost")
    if not (won and lost):
        return
    up, down = data.draw(st.sampled_from(lost)), data.draw(st.sampled_from(won))
    winner, loser = candidates[down], candidates[up]
    forged = changed(
        changed(candidates, up, replace(loser, outcome="won", reason=None, rank=winner.rank)),
        down,
        replace(winner, outcome="lost", reason=Reason.OUTBID, rank=loser.rank),
    )
    with pytest.raises(AuditError):
        held.audit(forged)


@given(AUCTIONS)
def test_a_winner_that_was_left_out_is_missed_by_its_rank(held: Held) -> None:
    candidates = held.decision.candidates
    ranked = [i for i, c in enumerate(candidates) if c.rank is not None]
    if len(ranked) < 2:
        return
    first = min(ranked, key=lambda i: candidates[i].rank or 0)
    with pytest.raises(AuditError):
        held.audit(candidates[:first] + candidates[first + 1 :])


@pytest.mark.parametrize(
    ("reason", "floor_cents", "min_price_cents"),
    [
        pytest.param(Reason.BELOW_FLOOR, 45_75, 0, id="it reached the floor"),
        pytest.param(Reason.BELOW_MIN_PRICE, 0, 38_89, id="it reached the minimum"),
        pytest.param(None, 45_76, 0, id="it did not reach the floor"),
        pytest.param(None, 0, 38_90, id="it did not reach the minimum"),
    ],
)
def test_a_bid_is_kept_out_by_floor_and_minimum_only_where_they_say_so(
    reason: Reason | None, floor_cents: int, min_price_cents: int
) -> None:
    limits = Limits(floor_cents=floor_cents, min_price_cents=min_price_cents, take_rate_bp=1_500)
    told = replace(BID, reason=reason)
    if reason is not None:
        told = replace(told, outcome="lost", rank=None)
    recompute([told], max_buyers=1)
    with pytest.raises(AuditError):
        recompute([told], max_buyers=1, limits=limits)


BID = Candidate(
    campaign_id=CampaignId("sunny-1"),
    company_id=CompanyId("sunny"),
    outcome="won",
    share=1,
    base_cents=50_00,
    rejected=850_00,
    assigned=10_000_00,
    rectified_cents=45_75,
    charged_cents=45_75,
    rank=1,
    draw=7,
)
OTHER = Candidate(
    campaign_id=CampaignId("acme-1"),
    company_id=CompanyId("acme"),
    outcome="lost",
    reason=Reason.OUTBID,
    share=1,
    base_cents=40_00,
    rectified_cents=40_00,
    charged_cents=40_00,
    rank=2,
    draw=9,
)
ABSENT = Candidate(
    campaign_id=CampaignId("acme-2"),
    company_id=CompanyId("acme"),
    outcome="no_bid",
    reason=Reason.FILTER,
)


def test_a_receipt_without_bids_has_no_winner() -> None:
    assert recompute([ABSENT], max_buyers=1) == ()


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(replace(BID, charged_cents=44_00), id="a charge of its own"),
        pytest.param(replace(BID, charged_cents=50_00), id="a charge under another policy"),
        pytest.param(replace(BID, charged_cents=None), id="no charge"),
        pytest.param(replace(BID, draw=None), id="no draw"),
        pytest.param(replace(BID, share=None), id="no share count"),
        pytest.param(replace(BID, share=2), id="a share count out of the ping's"),
        pytest.param(replace(BID, base_cents=49_00), id="another base"),
        pytest.param(replace(BID, rejected=0), id="another rate"),
        pytest.param(replace(BID, rejected=10_000_01), id="more rejected than assigned"),
        pytest.param(replace(BID, rank=3), id="another rank"),
        pytest.param(replace(BID, outcome="lost", reason=Reason.OUTBID), id="a loss"),
        pytest.param(replace(BID, outcome="lost"), id="a loss without a reason"),
        pytest.param(replace(BID, reason=Reason.OUTBID), id="a reason for having won"),
        pytest.param(replace(BID, outcome="no_bid", reason=Reason.CAP), id="no bid but a price"),
    ],
)
def test_a_forged_candidate_is_named(forged: Candidate) -> None:
    peer = replace(OTHER, rejected=100_00, assigned=10_000_00, rectified_cents=39_60)
    peer = replace(peer, charged_cents=39_60)
    assert recompute([BID, peer], max_buyers=1) == ("sunny-1",)
    with pytest.raises(AuditError, match="sunny-1") as fault:
        recompute([forged, peer], max_buyers=1)
    assert fault.value.campaign_id == "sunny-1"


@pytest.mark.parametrize(
    "reason", [Reason.SAME_COMPANY, Reason.SHARE_COUNT, Reason.FIRST_LOOK, Reason.CRM_GATE]
)
def test_a_reason_that_does_not_follow_is_found(reason: Reason) -> None:
    with pytest.raises(AuditError, match="acme-1"):
        recompute([BID, replace(OTHER, reason=reason)], max_buyers=1)


@pytest.mark.parametrize(
    ("candidate", "sentence"),
    [
        pytest.param(
            BID,
            "Sunny Roofs bid $50.00; 8.50 % of what it bought was rejected, so its bid was worth "
            "$45.75: first, and buys the lead for $45.75.",
            id="won",
        ),
        pytest.param(
            replace(BID, outcome="lost", reason=Reason.OUTBID, rank=2),
            "Sunny Roofs bid $50.00; 8.50 % of what it bought was rejected, so its bid was worth "
            "$45.75: second.",
            id="outbid",
        ),
        pytest.param(OTHER, "Acme bid $40.00: second.", id="nothing rejected"),
        pytest.param(
            replace(OTHER, share=2, rank=None, reason=Reason.SHARE_COUNT),
            "Acme bid $40.00 to share the lead with 1 more: lost, as another share count brought "
            "a higher total.",
            id="another share count",
        ),
        pytest.param(
            replace(OTHER, rank=12, reason=Reason.FIRST_LOOK),
            "Acme bid $40.00: 12th, as premium leads are offered to qualified companies first.",
            id="behind the first look",
        ),
        pytest.param(
            ABSENT,
            "Acme did not bid: the lead does not match the campaign's filter.",
            id="no bid",
        ),
        pytest.param(
            replace(ABSENT, company_id=CompanyId("x-7")),
            "x-7 did not bid: the lead does not match the campaign's filter.",
            id="a company without a name",
        ),
    ],
)
def test_a_candidate_is_told_in_a_sentence(candidate: Candidate, sentence: str) -> None:
    assert explain(candidate, NAMES) == sentence


def test_a_receipt_is_told_by_rank_and_then_the_rest() -> None:
    assert explain_receipt([ABSENT, OTHER, BID], NAMES) == [
        explain(BID, NAMES),
        explain(OTHER, NAMES),
        explain(ABSENT, NAMES),
    ]


@pytest.mark.parametrize(
    ("behind", "decided_by"),
    [
        pytest.param(replace(OTHER, base_cents=45_75), "the draw", id="equal rates"),
        pytest.param(
            replace(OTHER, base_cents=50_00, rejected=85, assigned=1000), "the draw", id="as ratios"
        ),
        pytest.param(
            replace(OTHER, base_cents=61_00, rejected=1, assigned=4),
            "the lower rejection rate",
            id="unequal rates",
        ),
    ],
)
def test_what_settled_a_tie_is_told(behind: Candidate, decided_by: str) -> None:
    ahead = BID
    if not behind.rejected:
        ahead = replace(BID, base_cents=45_75, rejected=0)
    equal = replace(behind, rectified_cents=45_75, charged_cents=45_75)
    told = explain_receipt([ahead, equal], NAMES)
    assert told[1].endswith(f"It was worth as much as the one before it; {decided_by} decided.")


def test_what_is_told_of_a_random_receipt_names_every_candidate() -> None:
    made = market([campaign(f"c{i}") for i in range(30)])
    candidates = decide(made, ping(made.verticals["solar"]), NOW, DRAW_KEY).candidates
    told = explain_receipt(candidates, {})
    assert len(told) == 30
    assert [line.split(": ")[1].split(",")[0].split(".")[0] for line in told[20:23]] == [
        "21st",
        "22nd",
        "23rd",
    ]
