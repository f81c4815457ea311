"""What holds between a seller and a company at a moment, and what it does (rules: §9)."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from exchange.core.auction import Award, Decision, decide
from exchange.core.audit import AuditError, explain, recompute
from exchange.core.contract import (
    Clauses,
    Deal,
    Trial,
    apply_terms,
    cap_days,
    deal_of,
    in_force,
    judge_refusal,
    next_change,
    phase,
    return_terms,
)
from exchange.core.contract_book import ContractBook, ContractChange
from exchange.core.contract_rules import ContractFault, check_contract
from exchange.core.market import Market
from exchange.core.model import Bid, CompanyId, Condition, SellerId
from exchange.core.pricing import rectify
from exchange.core.race import least_top, race
from exchange.core.reasons import Reason
from exchange.core.rejection import ReturnCap, Returned, Terms, clause_of, judge
from exchange.core.remote import Heard, Remote
from exchange.core.terms import Tier
from tests.core.making import (
    DRAW_KEY,
    NOW,
    TODAY,
    campaign,
    company,
    contract,
    market,
    ping,
    rated,
    solar,
    trial_use,
)

SOLAR = solar(premium=Condition(field="credit_score", op=">=", value=700))
PLAIN = solar()
HOUR = timedelta(hours=1)
BOTH = pytest.mark.parametrize("hold", [decide, race])


def traded(*changes: ContractChange, vertical: Any = PLAIN, **more: Any) -> Market:
    """A market of one campaign at $100 of roofs-co, under contracts."""
    bid = Bid(exclusive_cents=100_00, shared_cents={2: 40_00})
    made = market([campaign("roofs", bid=bid)], vertical=vertical, **more)
    for change in changes:
        made.contracts.apply(change)
    return made


def award_of(
    hold: Any, made: Market, vertical: Any = PLAIN, at: datetime = NOW, **changes: Any
) -> Award:
    held: Decision = hold(made, ping(vertical, **changes), at, DRAW_KEY)
    return held.award


def price(hold: Any, made: Market, at: datetime = NOW, **changes: Any) -> int | None:
    """What the winner is charged, if anybody wins."""
    ranks = award_of(hold, made, at=at, **changes).ranks
    return ranks[0].charged_cents if ranks else None


def reasons(hold: Any, made: Market, at: datetime = NOW, **changes: Any) -> dict[str, int]:
    held: Decision = hold(made, ping(PLAIN, **changes), at, DRAW_KEY)
    return held.reasons


# --- who may bid ----------------------------------------------------------------------------------


@BOTH
def test_section_9_a_blocked_pair_does_not_trade(hold: Any) -> None:
    made = traded(contract("roofs-co", blocked=True))
    assert reasons(hold, made) == {"contract": 1}
    assert price(hold, made, seller_id=SellerId("s-2")) == 100_00


@BOTH
def test_section_9_a_lead_is_sold_in_the_contracts_types_only(hold: Any) -> None:
    made = traded(contract("roofs-co", lead_types=("shared",)))
    assert reasons(hold, made) == {"lead_type": 1}
    award = award_of(hold, made, max_buyers=2)
    assert (award.share, award.ranks[0].base_cents) == (2, 40_00)
    made = traded(contract("roofs-co", lead_types=("exclusive",)))
    assert award_of(hold, made, max_buyers=2).share == 1


TIERS = (Tier(min_score=50, add_cents=-2_50), Tier(min_score=80, multiply_bp=12_000))


@BOTH
@pytest.mark.parametrize(
    ("score", "cents"), [(100, 120_00), (80, 120_00), (79, 97_50), (50, 97_50), (49, None)]
)
def test_section_9_better_leads_cost_more_and_bad_ones_get_no_bid(
    hold: Any, score: int, cents: int | None
) -> None:
    made = traded(contract("roofs-co", tiers=TIERS))
    assert price(hold, made, quality_score=score) == cents
    if cents is None:
        assert reasons(hold, made, quality_score=score) == {"low_score": 1}


@BOTH
def test_section_9_a_first_look_is_a_round_before_the_others(hold: Any) -> None:
    made = market([campaign("cheap", bid=Bid(exclusive_cents=30_00)), campaign("roofs")])
    made.contracts.apply(contract("cheap-co", first_look=True))
    assert [bid.company_id for bid in award_of(hold, made).ranks] == ["cheap-co", "roofs-co"]


@BOTH
def test_section_9_a_first_look_is_for_qualified_companies_only(hold: Any) -> None:
    conditional = [company("cheap-co", rated(10_000_00, manual=600_00))]
    made = market(
        [campaign("cheap", bid=Bid(exclusive_cents=30_00)), campaign("roofs")], conditional
    )
    made.contracts.apply(contract("cheap-co", first_look=True))
    assert [bid.company_id for bid in award_of(hold, made).ranks] == ["roofs-co", "cheap-co"]


@BOTH
def test_section_9_on_a_premium_lead_a_contract_takes_nobodys_first_look(hold: Any) -> None:
    made = market(
        [campaign("cheap", bid=Bid(exclusive_cents=30_00)), campaign("roofs")], (), None, SOLAR
    )
    made.contracts.apply(contract("cheap-co", first_look=True))
    line = award_of(hold, made, SOLAR).ranks
    assert [(bid.company_id, bid.first_look) for bid in line] == [
        ("roofs-co", True),
        ("cheap-co", True),
    ]


# --- trials and versions --------------------------------------------------------------------------


@BOTH
def test_section_9_a_trial_begins_and_ends_by_itself(hold: Any) -> None:
    made = traded(contract("roofs-co", trial=Trial(starts_at=NOW, ends_at=NOW + HOUR)))
    second = timedelta(seconds=1)
    assert reasons(hold, made, NOW - second) == {"trial_not_begun": 1}
    assert price(hold, made, NOW) == 100_00
    assert price(hold, made, NOW + HOUR - second) == 100_00
    assert reasons(hold, made, NOW + HOUR) == {"trial_over": 1}


@BOTH
def test_section_9_a_trials_terms_hold_inside_it_only(hold: Any) -> None:
    trial = Trial(starts_at=NOW, ends_at=NOW + HOUR, continues=True, discount_bp=2_500)
    made = traded(contract("roofs-co", trial=trial))
    assert price(hold, made, NOW) == 75_00
    assert price(hold, made, NOW + HOUR) == 100_00


@BOTH
def test_section_9_a_trial_without_room_makes_no_bid_and_bids_as_soon_as_it_has_some(
    hold: Any,
) -> None:
    trial = Trial(starts_at=NOW, ends_at=NOW + HOUR, leads=5)
    made = traded(contract("roofs-co", trial=trial))
    made.contracts.apply_use(trial_use("roofs-co", trial, 1, leads=4))
    assert price(hold, made) == 100_00
    made.contracts.apply_use(trial_use("roofs-co", trial, 2, leads=5))
    assert reasons(hold, made) == {"trial_full": 1}
    assert price(hold, made, seller_id=SellerId("s-2")) == 100_00
    made.contracts.apply_use(trial_use("roofs-co", trial, 3, leads=4))
    # What was said before comes late, and changes nothing.
    made.contracts.apply_use(trial_use("roofs-co", trial, 2, leads=5))
    assert price(hold, made) == 100_00


@BOTH
@pytest.mark.parametrize(("spent", "cents"), [(149_99, 100_00), (150_00, 100_00), (150_01, None)])
def test_section_9_what_a_lead_is_charged_must_fit_in_what_a_trial_has_left(
    hold: Any, spent: int, cents: int | None
) -> None:
    trial = Trial(starts_at=NOW, ends_at=NOW + HOUR, spend_cents=250_00)
    made = traded(contract("roofs-co", trial=trial))
    made.contracts.apply_use(trial_use("roofs-co", trial, 1, leads=2, spend=spent))
    assert price(hold, made) == cents
    if cents is None:
        assert reasons(hold, made) == {"trial_full": 1}
        # A share of the lead costs less than what is left.
        award = award_of(hold, made, max_buyers=2)
        assert (award.share, award.ranks[0].charged_cents) == (2, 40_00)


@BOTH
def test_section_9_a_tier_that_raises_a_price_beyond_the_trials_room_makes_no_bid(
    hold: Any,
) -> None:
    trial = Trial(starts_at=NOW, ends_at=NOW + HOUR, spend_cents=250_00)
    made = traded(contract("roofs-co", trial=trial, tiers=TIERS))
    made.contracts.apply_use(trial_use("roofs-co", trial, 1, leads=2, spend=140_00))
    assert price(hold, made, quality_score=60) == 97_50
    assert reasons(hold, made, quality_score=90) == {"trial_full": 1}


@BOTH
def test_section_9_a_new_version_continues_a_trial_that_ended(hold: Any) -> None:
    trial = Trial(starts_at=NOW, ends_at=NOW + HOUR)
    later = NOW + 2 * HOUR
    made = traded(
        contract("roofs-co", trial=trial), contract("roofs-co", 2, version=2, since=later)
    )
    assert price(hold, made, later - HOUR) is None
    assert price(hold, made, later) == 100_00


@BOTH
def test_section_9_a_version_that_takes_effect_earlier_withdraws_a_scheduled_one(hold: Any) -> None:
    made = traded(
        contract("roofs-co", 1),
        contract("roofs-co", 2, version=2, since=NOW + HOUR, blocked=True),
        contract("roofs-co", 3, version=3, since=NOW, discount_bp=1_000),
    )
    assert price(hold, made, NOW + 2 * HOUR) == 90_00


def test_section_9_a_trials_window_holds_for_what_was_offered_in_it() -> None:
    trial = Trial(starts_at=NOW, ends_at=NOW + HOUR, continues=True, return_window_s=7 * 24 * 3600)
    one = contract("roofs-co", trial=trial, return_window_s=24 * 3600).contract
    assert deal_of(one, NOW).return_window_s == 7 * 24 * 3600
    assert deal_of(one, NOW + HOUR).return_window_s == 24 * 3600


moments = st.integers(-20, 20).map(lambda hours: NOW + hours * HOUR)


@st.composite
def histories(draw: st.DrawFn) -> list[ContractChange]:
    """The versions of one pair, as they might have been recorded."""
    made = []
    for number in range(1, draw(st.integers(1, 6)) + 1):
        since, lasts_h = draw(moments), draw(st.none() | st.integers(0, 9))
        starts_at = draw(moments)
        trial = Trial(
            starts_at=starts_at,
            ends_at=starts_at + draw(st.integers(1, 9)) * HOUR,
            continues=draw(st.booleans()),
            discount_bp=draw(st.sampled_from([None, 500])),
        )
        made.append(
            contract(
                "roofs-co",
                number,
                version=number,
                since=since,
                until=None if lasts_h is None else since + lasts_h * HOUR,
                trial=draw(st.none() | st.just(trial)),
            )
        )
    return made


@given(histories(), moments)
def test_section_9_the_newest_version_that_has_taken_effect_holds_until_it_ends(
    history: list[ContractChange], at: datetime
) -> None:
    versions = [change.contract for change in history]
    begun = [one for one in versions if one.effective_from <= at]
    expected = begun[-1] if begun else None
    if expected is not None and expected.effective_to is not None and expected.effective_to <= at:
        expected = None
    assert in_force(versions, at) is expected


@given(histories(), st.lists(moments, min_size=1, max_size=6), st.randoms())
def test_section_9_a_book_says_the_same_however_its_versions_and_its_questions_come(
    history: list[ContractChange], asked: list[datetime], randomly: Any
) -> None:
    book, shuffled = ContractBook(), [*history, *history]
    randomly.shuffle(shuffled)
    for change in shuffled:
        book.apply(change)
    assert book.complete == len(history)
    seller, buyer = SellerId("s-1"), CompanyId("roofs-co")
    for at in asked:
        current = in_force([change.contract for change in history], at)
        expected = None if current is None else deal_of(current, at)
        deals = book.deals(seller, at)
        assert deals is not None and deals.by_company.get(buyer) == expected


@given(histories(), moments)
def test_section_9_nothing_changes_before_the_moment_it_is_said_to(
    history: list[ContractChange], at: datetime
) -> None:
    versions = [change.contract for change in history]
    change_at = next_change(versions, at) or at + 40 * HOUR
    before = change_at - timedelta(microseconds=1)

    def holds(moment: datetime) -> Deal | None:
        current = in_force(versions, moment)
        return None if current is None else deal_of(current, moment)

    first, last = holds(at), holds(before)
    assert (first is None) == (last is None)
    if first is not None and last is not None:
        assert _but_until(first) == _but_until(last)


def _but_until(deal: Deal) -> dict[str, Any]:
    return {name: getattr(deal, name) for name in deal.__struct_fields__ if name != "until"}


def test_a_version_missed_is_known_to_be_missing() -> None:
    book = ContractBook()
    for number in (1, 2, 4):
        book.apply(contract("roofs-co", number))
    assert book.complete == 2
    book.apply(contract("roofs-co", 3))
    assert book.complete == 4


@pytest.mark.parametrize(
    ("versions", "told"),
    [
        ([contract("a", since=NOW + HOUR)], "scheduled"),
        ([contract("a")], "in_force"),
        ([contract("a", blocked=True)], "blocked"),
        ([contract("a", until=NOW)], "ended"),
        ([contract("a"), contract("a", 2, since=NOW, until=NOW)], "ended"),
        ([contract("a", until=NOW), contract("a", 2, since=NOW + HOUR, blocked=True),
          contract("a", 3, since=NOW, until=NOW)], "ended"),
        ([contract("a", trial=Trial(starts_at=NOW, ends_at=NOW + HOUR))], "trial"),
        ([contract("a", trial=Trial(starts_at=NOW - HOUR, ends_at=NOW))], "trial_over"),
        ([contract("a", trial=Trial(starts_at=NOW + HOUR, ends_at=NOW + 2 * HOUR))],
         "trial_not_begun"),
    ],
)  # fmt: skip
def test_section_9_a_contract_says_where_it_stands(
    versions: list[ContractChange], told: str
) -> None:
    assert phase([change.contract for change in versions], NOW) == told


# --- prices ---------------------------------------------------------------------------------------


def half_even(amount: Fraction) -> int:
    return round(amount)


@given(
    listed=st.integers(0, 10_000_00),
    add=st.integers(-500_00, 500_00),
    multiply=st.integers(1, 100_000),
    discount=st.integers(0, 9_999),
    manual=st.integers(0, 99),
)
def test_section_9_tier_then_discount_then_rate_each_rounded_half_to_even(
    listed: int, add: int, multiply: int, discount: int, manual: int
) -> None:
    tier = Tier(min_score=0, add_cents=add, multiply_bp=multiply)
    made = market(
        [campaign("roofs", bid=Bid(exclusive_cents=listed))],
        [company("roofs-co", rated(10_000_00, manual=manual * 100_00))],
    )
    made.contracts.apply(contract("roofs-co", tiers=(tier,), discount_bp=discount))
    tiered = max(0, half_even(Fraction((listed + add) * multiply, 10_000)))
    base = half_even(Fraction(tiered * (10_000 - discount), 10_000))
    rectified = half_even(Fraction(base * (100 - manual), 100))
    for hold in (decide, race):
        held = hold(made, ping(PLAIN), NOW, DRAW_KEY)
        told: set[tuple[int | None, int | None]] = set()
        told |= {(bid.base_cents, bid.rectified_cents) for bid in held.award.ranks}
        told |= {(c.base_cents, c.rectified_cents) for c in held.candidates}
        assert told == {(base, rectified)}


@given(
    listed=st.integers(0, 500_00),
    more=st.integers(0, 100_00),
    tiers=st.lists(
        st.builds(
            Tier,
            min_score=st.integers(0, 100),
            add_cents=st.integers(-50_00, 50_00),
            multiply_bp=st.integers(1, 100_000),
        ),
        unique_by=lambda tier: tier.min_score,
        max_size=3,
    ),
    discount=st.integers(0, 9_999),
    manual=st.integers(0, 10_000_00),
    score=st.integers(0, 100),
)
def test_no_price_under_a_contract_is_worth_more_than_the_race_reckons_with(
    listed: int, more: int, tiers: list[Tier], discount: int, manual: int, score: int
) -> None:
    made = market(
        [campaign("roofs", bid=Bid(exclusive_cents=listed + more))],
        [company("roofs-co", rated(10_000_00, manual=manual))],
    )
    change = contract("roofs-co", tiers=tuple(tiers), discount_bp=discount)
    made.contracts.apply(change)
    index, standing = made.indexes["solar"], made.standings[CompanyId("roofs-co")]
    masks = index.contracts_of(SellerId("s-1"), NOW)
    base, _ = apply_terms(deal_of(change.contract, NOW), listed, score, is_named=False)
    assert masks is not None
    if masks.priced:
        # It is looked at even where nothing less than just this price is enough,
        assert index.tops[0] >= least_top(masks.raised(score), rectify(base, standing))
    # and room is kept for it.
    assert base <= made.contracts.raises[CompanyId("roofs-co")].most(listed + more)


@given(
    tiers=st.lists(
        st.builds(
            Tier,
            min_score=st.integers(0, 100),
            add_cents=st.integers(-50_00, 50_00),
            multiply_bp=st.integers(1, 30_000),
        ),
        unique_by=lambda tier: tier.min_score,
        max_size=4,
    ),
    named=st.integers(1, 500_00),
    score=st.integers(0, 100),
    discount=st.integers(0, 9_999),
)
def test_section_9_what_a_companys_own_bidder_named_is_never_raised(
    tiers: list[Tier], named: int, score: int, discount: int
) -> None:
    one = contract("roofs-co", tiers=tuple(tiers), discount_bp=discount).contract
    base, _ = apply_terms(deal_of(one, NOW), named, score, is_named=True)
    assert base <= named


@BOTH
def test_section_9_a_bidders_own_bid_is_lowered_by_the_discount(hold: Any) -> None:
    made = market([campaign("roofs", bid=Bid(remote=Remote(url="http://bidder")))])
    tiers = (Tier(min_score=0, multiply_bp=20_000),)
    made.contracts.apply(contract("roofs-co", tiers=tiers, discount_bp=1_000))
    heard = {("roofs", 1): Heard(cents=50_00)}
    (bid,) = hold(made, ping(PLAIN), NOW, DRAW_KEY, heard).award.ranks
    assert bid.base_cents == 45_00 and bid.terms.min_score is None


def test_section_9_a_receipt_whose_price_does_not_follow_from_the_contract_is_found() -> None:
    made = traded(contract("roofs-co", tiers=TIERS, discount_bp=1_000))
    (honest,) = decide(made, ping(PLAIN), NOW, DRAW_KEY).candidates
    assert honest.terms is not None
    recompute([honest], max_buyers=1)
    assert explain(honest, {}) == (
        "roofs-co bid $108.00 ($100.00 under its tier from a score of 80 and a discount of "
        "10.00 % of its contract): first, and buys the lead for $108.00."
    )
    for wrong in (
        replace(honest, base_cents=107_99, rectified_cents=107_99, charged_cents=107_99),
        replace(honest, terms=replace(honest.terms, discount_bp=0)),
    ):
        with pytest.raises(AuditError, match="list price and contract"):
            recompute([wrong], max_buyers=1)


def test_section_9_a_contract_without_an_effect_on_the_price_leaves_no_trace_in_the_receipt() -> (
    None
):
    made = traded(contract("roofs-co", tiers=(Tier(min_score=0),)))
    assert decide(made, ping(PLAIN), NOW, DRAW_KEY).candidates[0].terms is None


# --- refusals and returns -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "given_", "breach"),
    [
        (None, Reason.CAPACITY_REACHED, False),
        ((Reason.CAPACITY_REACHED,), Reason.CAPACITY_REACHED, False),
        ((Reason.CAPACITY_REACHED,), Reason.OFF_HOURS, True),
        ((Reason.CAPACITY_REACHED,), Reason.COMPANY_REFUSED, True),
        ((Reason.CAPACITY_REACHED,), None, True),
        ((), Reason.CAPACITY_REACHED, True),
        ((), Reason.PROCESSING_LIMIT, False),
    ],
)
def test_section_9_a_real_time_refusal_is_held_against_the_list(
    allowed: tuple[Reason, ...] | None, given_: Reason | None, breach: bool
) -> None:
    deal = deal_of(contract("roofs-co", refusal_reasons=allowed).contract, NOW)
    assert (judge_refusal(deal, given_) is Reason.REFUSAL_NOT_ALLOWED) == breach


def judged(terms: Terms, value_cents: int = 100_00) -> Reason | None:
    return judge(
        window_closes_at=NOW + HOUR,
        is_test=False,
        reason=Reason.INVALID_CONTACT,
        now=NOW,
        terms=terms,
        value_cents=value_cents,
    )


@pytest.mark.parametrize(
    ("cap", "returned", "refused"),
    [
        (ReturnCap(period="month", count=2), Returned(count=1), None),
        (ReturnCap(period="month", count=2), Returned(count=2), Reason.RETURN_COUNT_REACHED),
        (ReturnCap(period="month", count=0), Returned(), Reason.RETURN_COUNT_REACHED),
        (ReturnCap(period="month", rate_bp=1_000), Returned(sold_cents=1_000_00), None),
        (ReturnCap(period="month", rate_bp=1_000), Returned(sold_cents=999_99),
         Reason.RETURN_SHARE_REACHED),
        (ReturnCap(period="month", rate_bp=1_000), Returned(cents=1, sold_cents=1_000_00),
         Reason.RETURN_SHARE_REACHED),
    ],
)  # fmt: skip
def test_section_9_the_cap_on_returns_is_exact(
    cap: ReturnCap, returned: Returned, refused: Reason | None
) -> None:
    assert judged(Terms(contract_id="c", version=1, cap=cap, returned=returned)) is refused


@given(st.lists(st.integers(1, 500_00), min_size=1, max_size=12), st.integers(0, 10_000))
def test_section_9_returns_never_pass_the_percentage_of_the_dollars_sold(
    sales: list[int], rate_bp: int
) -> None:
    cap = ReturnCap(period="month", rate_bp=rate_bp)
    gone = 0
    for value in sales:
        returned = Returned(cents=gone, sold_cents=sum(sales))
        if judged(Terms(contract_id="c", version=1, cap=cap, returned=returned), value) is None:
            gone += value
    assert Fraction(gone, sum(sales)) <= Fraction(rate_bp, 10_000)
    if rate_bp == 10_000:
        assert gone == sum(sales)


def test_section_9_a_refusal_names_the_clause() -> None:
    deal = deal_of(contract("roofs-co", return_reasons=()).contract, NOW)
    terms = return_terms(deal, Terms())
    assert judged(terms) is Reason.REASON_NOT_ALLOWED
    assert clause_of(Reason.REASON_NOT_ALLOWED, terms) == {
        "contract_id": "s-1-roofs-co",
        "version": 1,
        "clause": "return_reasons",
        "allowed": [],
    }
    assert clause_of(Reason.REASON_NOT_ALLOWED, Terms()) == {}


def test_section_9_a_month_is_that_of_the_day_the_lead_was_assigned() -> None:
    cap = ReturnCap(period="month", count=1)
    assert cap_days(cap, date(2028, 2, 10), date(2028, 3, 1)) == (
        date(2028, 2, 1),
        date(2028, 2, 29),
    )
    rolling = ReturnCap(period="rolling_30_days", count=1)
    assert cap_days(rolling, TODAY, TODAY) == (TODAY - timedelta(days=29), TODAY)


# --- what cannot stand ----------------------------------------------------------------------------

DAY_S = 24 * 3600
TRIAL = Trial(starts_at=NOW, ends_at=NOW + HOUR)


@pytest.mark.parametrize(
    ("clauses", "path"),
    [
        (Clauses(blocked=True, discount_bp=100), "terms.blocked"),
        (Clauses(lead_types=()), "terms.lead_types"),
        (Clauses(lead_types=("shared", "shared")), "terms.lead_types"),
        (Clauses(return_reasons=(Reason.SEASONAL, Reason.SEASONAL)), "terms.return_reasons"),
        (Clauses(return_window_s=DAY_S - 1), "terms.return_window_h"),
        (Clauses(return_window_s=90 * DAY_S + 1), "terms.return_window_h"),
        (Clauses(return_cap=ReturnCap(period="month")), "terms.return_cap"),
        (Clauses(return_cap=ReturnCap(period="month", rate_bp=10_001)),
         "terms.return_cap.max_pct"),
        (Clauses(tiers=(Tier(min_score=1), Tier(min_score=1))), "terms.tiers"),
        (Clauses(tiers=(Tier(min_score=101),)), "terms.tiers[0].min_score"),
        (Clauses(tiers=(Tier(min_score=1, multiply_bp=0),)), "terms.tiers[0].multiply"),
        (Clauses(tiers=(Tier(min_score=1, add_cents=10_000_01),)), "terms.tiers[0].add"),
        (Clauses(discount_bp=10_000), "terms.discount_pct"),
        (Clauses(discount_bp=1, return_window_s=DAY_S), "terms.return_window_h"),
        (Clauses(discount_bp=1, return_reasons=()), "terms.return_reasons"),
        (Clauses(discount_bp=1, return_cap=ReturnCap(period="month", count=1)),
         "terms.return_cap"),
        (Clauses(discount_bp=1, reviewed=True), "terms.reviewed"),
        (Clauses(trial=Trial(starts_at=NOW, ends_at=NOW)), "terms.trial.ends_at"),
        (Clauses(trial=Trial(starts_at=NOW, ends_at=NOW + timedelta(days=367))),
         "terms.trial.ends_at"),
        (Clauses(trial=Trial(starts_at=NOW, ends_at=NOW + HOUR, leads=0)), "terms.trial.leads"),
        (Clauses(trial=Trial(starts_at=NOW, ends_at=NOW + HOUR, spend_cents=0)),
         "terms.trial.spend"),
        (Clauses(trial=Trial(starts_at=NOW, ends_at=NOW + HOUR, return_window_s=1)),
         "terms.trial.return_window_h"),
        (Clauses(trial=Trial(starts_at=NOW, ends_at=NOW + HOUR, return_window_s=DAY_S,
                             discount_bp=1)), "terms.trial.return_window_h"),
    ],
)  # fmt: skip
def test_section_9_terms_that_cannot_stand_are_refused_with_their_place(
    clauses: Clauses, path: str
) -> None:
    with pytest.raises(ContractFault) as fault:
        check_contract(clauses, NOW, None)
    assert fault.value.path == path


def test_section_9_a_contract_ends_after_it_begins_and_its_trial_before_it_ends() -> None:
    with pytest.raises(ContractFault, match="effective_to"):
        check_contract(Clauses(), NOW, NOW)
    with pytest.raises(ContractFault, match="trial"):
        check_contract(Clauses(trial=TRIAL), NOW - HOUR, NOW + HOUR / 2)
    check_contract(Clauses(trial=TRIAL), NOW - HOUR, NOW + HOUR)


def test_section_8_24_hours_is_the_shortest_window_a_contract_may_set() -> None:
    check_contract(Clauses(return_window_s=DAY_S), NOW, None)
