"""From a receipt and the rules anyone can recompute the winner (rules: §7)."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from exchange.core.audit import AuditError, explain, explain_receipt, recompute
from exchange.core.auction import Candidate, Decision, decide
from exchange.core.model import Bid, CampaignId, CompanyId, Condition, PingId, Policy
from exchange.core.reasons import Reason
from tests.core.making import DRAW_KEY, NOW, campaign, company, market, ping, rated, solar

PREMIUM = solar(floor="2.00", premium=Condition(field="owns_home", op="=", value=True))
PLAIN = solar(floor="2.00")
NAMES = {CompanyId("sunny"): "Sunny Roofs", CompanyId("acme"): "Acme"}
PRICES = st.integers(1_00, 9_00)  # few and small, so that many are equal


@st.composite
def decisions(draw: st.DrawFn) -> tuple[Decision, int]:
    """What comes of a random ping on a random market, and how many may buy."""
    companies = [f"co{i}" for i in range(draw(st.integers(1, 4)))]
    told = [
        company(
            name,
            rated(
                10_000_00,
                manual=draw(st.sampled_from([0, 0, 100_00, 500_00, 850_00])),
                crm=draw(st.sampled_from([0, 0, 320_00, 1_240_00])),
            ),
        )
        for name in companies
    ]
    bids = st.builds(
        Bid,
        exclusive_cents=st.none() | PRICES,
        shared_cents=st.dictionaries(st.integers(2, 3), PRICES, max_size=2),
    )
    campaigns = [
        campaign(f"c{i}", draw(st.sampled_from(companies)), bid=draw(bids))
        for i in range(draw(st.integers(0, 7)))
    ]
    policy = Policy(rectify=draw(st.sampled_from(["rank_and_charge", "rank_only"])))
    vertical = draw(st.sampled_from([PLAIN, PREMIUM]))
    max_buyers = draw(st.integers(1, 3))
    one = ping(
        vertical,
        ping_id=PingId(f"p-{draw(st.integers(0, 99))}"),
        max_buyers=max_buyers,
        min_price_cents=draw(st.sampled_from([0, 3_00])),
    )
    return decide(market(campaigns, told, policy, vertical), one, NOW, DRAW_KEY), max_buyers


def indices(candidates: tuple[Candidate, ...], outcome: str) -> list[int]:
    return [i for i, c in enumerate(candidates) if c.outcome == outcome]


def changed(
    candidates: tuple[Candidate, ...], index: int, candidate: Candidate
) -> tuple[Candidate, ...]:
    return (*candidates[:index], candidate, *candidates[index + 1 :])


@given(decisions())
def test_the_winners_follow_from_the_receipt_alone(made: tuple[Decision, int]) -> None:
    decision, max_buyers = made
    award = decision.award
    expected = tuple(bid.campaign_id for bid in award.ranks[: award.winners])
    assert recompute(decision.candidates, max_buyers=max_buyers) == expected


@given(decisions())
def test_the_order_of_a_receipts_rows_does_not_matter(made: tuple[Decision, int]) -> None:
    decision, max_buyers = made
    backwards = decision.candidates[::-1]
    assert recompute(backwards, max_buyers=max_buyers) == recompute(
        decision.candidates, max_buyers=max_buyers
    )


@given(decisions(), st.data(), st.integers(-500, 500).filter(bool))
def test_a_changed_rectified_price_is_found(
    made: tuple[Decision, int], data: st.DataObject, change: int
) -> None:
    candidates, max_buyers = made[0].candidates, made[1]
    priced = [i for i, c in enumerate(candidates) if c.rectified_cents is not None]
    assume(priced)
    index = data.draw(st.sampled_from(priced))
    old = candidates[index]
    forged = replace(old, rectified_cents=(old.rectified_cents or 0) + change)
    with pytest.raises(AuditError) as fault:
        recompute(changed(candidates, index, forged), max_buyers=max_buyers)
    assert fault.value.campaign_id == old.campaign_id


@given(decisions(), st.data())
def test_a_winner_swapped_with_a_loser_is_found(
    made: tuple[Decision, int], data: st.DataObject
) -> None:
    candidates, max_buyers = made[0].candidates, made[1]
    won, lost = indices(candidates, "won"), indices(candidates, "lost")
    assume(won and lost)
    up, down = data.draw(st.sampled_from(lost)), data.draw(st.sampled_from(won))
    winner, loser = candidates[down], candidates[up]
    forged = changed(
        changed(candidates, up, replace(loser, outcome="won", reason=None, rank=winner.rank)),
        down,
        replace(winner, outcome="lost", reason=Reason.OUTBID, rank=loser.rank),
    )
    with pytest.raises(AuditError):
        recompute(forged, max_buyers=max_buyers)


@given(decisions(), st.data())
def test_a_winner_that_was_left_out_is_missed_by_its_rank(
    made: tuple[Decision, int], data: st.DataObject
) -> None:
    candidates, max_buyers = made[0].candidates, made[1]
    ranked = [i for i, c in enumerate(candidates) if c.rank is not None]
    assume(len(ranked) > 1)
    first = min(ranked, key=lambda i: candidates[i].rank or 0)
    with pytest.raises(AuditError):
        recompute(candidates[:first] + candidates[first + 1 :], max_buyers=max_buyers)


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
