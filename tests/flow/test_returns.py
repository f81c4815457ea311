"""Returns after they were asked for: reviews, disputes, reversals, previews, many at once
(rules: §8, §11).
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from bidders.crm import Behaviour, CrmServer
from exchange.core.lifecycle import State
from exchange.core.model import CompanyId, LeadId, SellerId
from exchange.core.reasons import Reason
from exchange.core.rejection import Terms
from exchange.core.returning import ReturnPolicy
from exchange.embedded import StoreUrls
from exchange.flow.faults import Conflict, Fault, Invalid, NotFound
from exchange.flow.ports import Rejected
from exchange.flow.returning import Line, LineResult, Return, Statement
from tests.flow.market import Buyer, Desk, buyer, open_desk
from tests.flow.test_rejection import snapshot, sold_lead

SAID = Statement(statement="I reached Ada at once.", evidence=("https://calls.example/1",))
VAGUE = "We did not like it"


async def asked(desk: Desk, company: CompanyId, lead: LeadId, text: str = VAGUE) -> Rejected:
    """Return a lead with words that fit no reason, and ask for a review."""
    rejected, _ = await desk.exchange.reject(
        company, lead, reason_code=None, text=text, note=None, review=True
    )
    return rejected


async def returned(desk: Desk, cents: int = 100_00) -> tuple[SellerId, CompanyId, Rejected]:
    """A lead sold and returned."""
    seller, company, lead = await sold_lead(desk, cents)
    return seller, company, (await desk.reject(company, lead))[0]


async def disputed(desk: Desk) -> tuple[SellerId, CompanyId, Return]:
    """A lead sold, returned and disputed."""
    seller, company, rejected = await returned(desk)
    found = await desk.exchange.returning.dispute(rejected.rejection_id, seller, SAID)
    return seller, company, found


async def decide(desk: Desk, rejection_id: str, *, approved: bool = True, **more: Any) -> Return:
    facts = {"reason": None, "sentence": None} | more
    return await desk.exchange.returning.decide_review(rejection_id, approved=approved, **facts)


async def overturn(desk: Desk, found: Return, sentence: str = "The call was recorded.") -> Return:
    assert found.dispute is not None
    return await desk.exchange.returning.decide_dispute(
        found.dispute.dispute_id, overturned=True, sentence=sentence
    )


async def balances(desk: Desk) -> dict[str, int]:
    rows = await desk.rows(
        "select account, sum(cents)::bigint as cents from ledger_entry group by 1"
    )
    return {row["account"].partition(":")[0]: row["cents"] for row in rows}


async def states(desk: Desk) -> set[str]:
    """Every state of the one lead: its own, its leg's, its sale's."""
    rows = await desk.rows(
        "select state from lead union select state from leg union select state from sale"
    )
    return {row["state"] for row in rows}


async def refused(call: Any) -> Fault:
    with pytest.raises(Fault) as fault:
        await call
    return fault.value


# --- review ---------------------------------------------------------------------------------------


async def test_section_11_an_unclear_text_is_reviewed_where_the_company_asks(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    rejected = await asked(desk, company, lead)
    assert (rejected.status, rejected.reason) == ("in_review", Reason.REASON_UNCLEAR)
    assert await states(desk) == {State.IN_REVIEW}
    (waiting,) = await desk.exchange.returning.in_review("", 10)
    assert (waiting.rejection_id, waiting.note) == (rejected.rejection_id, VAGUE)


async def test_section_8_a_return_in_review_counts_and_is_not_credited_yet(desk: Desk) -> None:
    seller, company, lead = await sold_lead(desk)
    await desk.sell(seller)
    rejected = await asked(desk, company, lead)
    assert await desk.price(seller) == 50_00
    assert (await balances(desk))["company"] == -200_00
    await decide(desk, rejected.rejection_id, reason=Reason.SEASONAL)
    assert await desk.price(seller) == 50_00
    assert await balances(desk) == {"company": -100_00, "seller": 85_00, "operator": 15_00}
    assert await desk.value("select state from sale where state <> 'sold'") == State.REJECTED


async def test_section_8_a_declined_return_is_as_if_it_had_not_been(desk: Desk) -> None:
    seller, company, lead = await sold_lead(desk)
    rejected = await asked(desk, company, lead)
    declined = await decide(
        desk, rejected.rejection_id, approved=False, sentence="Liking is no reason."
    )
    assert (declined.status, declined.decision) == ("declined", "Liking is no reason.")
    assert await desk.price(seller) == 100_00
    assert await states(desk) == {State.SOLD}
    fault = await refused(desk.reject(company, lead))
    assert isinstance(fault, Conflict) and fault.code == Reason.RETURN_DECLINED.code
    assert fault.details["decision"] == "Liking is no reason."


async def test_section_8_a_decision_is_told_again_and_never_turned(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    rejection_id = (await asked(desk, company, lead)).rejection_id
    first = await decide(desk, rejection_id, reason=Reason.SEASONAL)
    before = await snapshot(desk)
    assert await decide(desk, rejection_id, reason=Reason.SEASONAL) == first
    for other in ({"approved": False, "sentence": "No."}, {"reason": Reason.OFF_HOURS}):
        fault = await refused(decide(desk, rejection_id, **other))
        assert fault.code == Reason.DECIDED_OTHERWISE.code
    assert await snapshot(desk) == before


async def test_section_8_an_approval_of_an_unclear_text_names_its_reason(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    rejection_id = (await asked(desk, company, lead)).rejection_id
    fault = await refused(decide(desk, rejection_id))
    assert isinstance(fault, Invalid) and fault.field == "reason"


async def test_section_8_a_repeat_answers_as_the_review_was_decided(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    first = await asked(desk, company, lead)
    assert await asked(desk, company, lead) == first
    await decide(desk, first.rejection_id, reason=Reason.SEASONAL)
    again, _ = await desk.reject(company, lead)
    assert (again.rejection_id, again.status) == (first.rejection_id, "accepted")
    assert again.reason is Reason.SEASONAL


async def test_section_8_the_window_is_judged_when_the_review_was_asked_for(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    desk.clock.forward(hours=47)
    rejected = await asked(desk, company, lead)
    desk.clock.forward(hours=48)
    assert await desk.exchange.books.close_windows(desk.clock.now(), 10) == 0
    await decide(desk, rejected.rejection_id, reason=Reason.SEASONAL)
    assert await states(desk) == {State.REJECTED}


async def test_section_8_a_return_declined_after_its_window_leaves_a_final_sale(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    rejected = await asked(desk, company, lead)
    desk.clock.forward(hours=48)
    await decide(desk, rejected.rejection_id, approved=False, sentence="No.")
    assert await states(desk) == {State.FINAL}


async def test_section_8_an_unclear_return_outside_its_window_is_not_queued(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    desk.clock.forward(hours=48)
    assert (await refused(asked(desk, company, lead))).code == Reason.WINDOW_CLOSED.code
    assert await desk.exchange.returning.in_review("", 10) == []


async def test_section_8_a_review_nobody_decides_is_approved_by_itself_once(
    desk: Desk, other: Desk
) -> None:
    _, company, lead = await sold_lead(desk)
    rejected = await asked(desk, company, lead)
    desk.clock.forward(hours=72, microseconds=-1)
    assert await desk.exchange.returning.approve_due(desk.clock.now()) == 0
    desk.clock.forward(microseconds=1)
    done = await asyncio.gather(
        *(worker.exchange.returning.approve_due(desk.clock.now()) for worker in (desk, other) * 4)
    )
    assert sum(done) == 1
    found = await desk.exchange.returning.one("operator", "", rejected.rejection_id)
    assert (found.status, found.decided_by) == ("accepted", "time")
    assert await balances(desk) == {"company": 0, "seller": 0, "operator": 0}


async def test_section_9_returns_are_reviewed_where_the_terms_say_so(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    rejecting = desk.exchange.rejecting
    request = rejecting.read(
        company, lead, reason_code="seasonal", text=None, note=None, review=False
    )
    allowed = frozenset({Reason.SEASONAL, Reason.OFF_HOURS})
    terms = Terms(allowed=allowed, reviewed=True)
    rejected = await rejecting._returns.reject(replace(request, terms=terms))
    await desk.exchange.announcer.tell(rejected.company)
    assert rejected.status == "in_review"
    fault = await refused(decide(desk, rejected.rejection_id, reason=Reason.DUPLICATE_LEAD))
    assert fault.code == Reason.REASON_NOT_ALLOWED.code
    assert fault.details == {"allowed": ["off_hours", "seasonal"]}
    approved = await decide(desk, rejected.rejection_id)
    assert approved.reason is Reason.SEASONAL


@pytest.mark.parametrize(
    ("policy", "reason", "text", "status"),
    [
        pytest.param("all", "seasonal", None, "in_review", id="all: a clear reason"),
        pytest.param("unclear", None, VAGUE, "in_review", id="unclear: an unclear text"),
        pytest.param("unclear", "seasonal", None, "accepted", id="unclear: a clear reason"),
    ],
)
async def test_section_8_the_operator_says_what_is_reviewed(
    desk: Desk, policy: Any, reason: str | None, text: str | None, status: str
) -> None:
    _, company, lead = await sold_lead(desk)
    desk.exchange.rejecting._policy = ReturnPolicy(review=policy)
    rejected, _ = await desk.exchange.reject(
        company, lead, reason_code=reason, text=text, note=None
    )
    assert rejected.status == status


# --- dispute and reversal -------------------------------------------------------------------------


async def test_section_8_a_seller_disputes_a_return_once(desk: Desk) -> None:
    seller, _, first = await disputed(desk)
    assert first.dispute is not None and first.dispute.said == SAID
    again = await desk.exchange.returning.dispute(first.rejection_id, seller, SAID)
    assert again == first
    other = Statement(statement="Something else.")
    fault = await refused(desk.exchange.returning.dispute(first.rejection_id, seller, other))
    assert fault.code == Reason.DISPUTED_OTHERWISE.code
    assert await desk.exchange.returning.open_disputes("", 10) == [first]


async def test_section_8_a_dispute_has_a_last_moment(desk: Desk) -> None:
    seller, _, rejected = await returned(desk)
    desk.clock.forward(days=7)
    fault = await refused(desk.exchange.returning.dispute(rejected.rejection_id, seller, SAID))
    assert fault.code == Reason.DISPUTE_TOO_LATE.code
    assert fault.details == {"disputable_until": "2026-11-28T12:00:00+00:00"}


async def test_section_8_the_time_to_dispute_begins_when_the_return_is_accepted(desk: Desk) -> None:
    seller, company, lead = await sold_lead(desk)
    rejection_id = (await asked(desk, company, lead)).rejection_id
    dispute = desk.exchange.returning.dispute
    assert (await refused(dispute(rejection_id, seller, SAID))).code == (
        Reason.RETURN_UNDECIDED.code
    )
    desk.clock.forward(days=2)
    await decide(desk, rejection_id, reason=Reason.SEASONAL)
    desk.clock.forward(days=7, microseconds=-1)
    assert (await dispute(rejection_id, seller, SAID)).dispute is not None


async def test_section_12_another_sellers_return_is_as_if_it_did_not_exist(desk: Desk) -> None:
    _, _, rejected = await returned(desk)
    stranger = await desk.seller("Stranger")
    returning = desk.exchange.returning
    for call in (
        returning.dispute(rejected.rejection_id, stranger, SAID),
        returning.one("seller", stranger, rejected.rejection_id),
        returning.one("company", stranger, rejected.rejection_id),
        returning.one("operator", "operator", "no-such-return"),
    ):
        assert isinstance(await refused(call), NotFound)
    assert await returning.returns("seller", stranger, "", 10) == []


async def test_section_8_a_dispute_that_is_upheld_changes_no_money(desk: Desk) -> None:
    _, _, found = await disputed(desk)
    assert found.dispute is not None
    before = await snapshot(desk)
    upheld = await desk.exchange.returning.decide_dispute(
        found.dispute.dispute_id, overturned=False, sentence="The number is dead."
    )
    assert upheld.dispute is not None and upheld.dispute.status == "upheld"
    assert upheld.dispute.decision == "The number is dead."
    assert await snapshot(desk) == before
    assert (await refused(overturn(desk, found))).code == Reason.DECIDED_OTHERWISE.code
    assert await desk.exchange.returning.open_disputes("", 10) == []


async def test_section_8_a_dispute_that_is_won_restores_sale_money_and_price(
    desk: Desk, other: Desk
) -> None:
    seller, company, lead = await sold_lead(desk)
    await desk.sell(seller)
    sold = await snapshot(desk)
    before = await desk.standing(company)
    rejected, _ = await desk.reject(company, lead)
    found = await desk.exchange.returning.dispute(rejected.rejection_id, seller, SAID)
    overturned = await overturn(other, found)
    assert overturned.status == "reversed"
    assert overturned.dispute is not None and overturned.dispute.status == "overturned"
    assert await other.price(seller) == 100_00
    assert await desk.standing(company) == before
    # All but the versions, the rejection and the entries that undo each other is as it was.
    restored = await snapshot(desk)
    assert [restored[i] for i in (1, 2, 3, 6)] == [sold[i] for i in (1, 2, 3, 6)]
    assert await balances(desk) == {"company": -200_00, "seller": 170_00, "operator": 30_00}
    sums = await desk.rows(
        "select sum(cents)::bigint as cents from ledger_entry where key = any($1) group by key",
        [f"{what}:{rejected.rejection_id}" for what in ("rejection", "reversal")],
    )
    assert [row["cents"] for row in sums] == [0, 0]


async def test_section_8_a_lead_whose_return_was_reversed_cannot_be_returned_again(
    desk: Desk,
) -> None:
    _, company, found = await disputed(desk)
    await overturn(desk, found, "The call was recorded.")
    fault = await refused(desk.reject(company, found.lead_id))
    assert isinstance(fault, Conflict) and fault.code == Reason.RETURN_REVERSED.code
    assert fault.details["decision"] == "The call was recorded."
    unclear = await refused(
        desk.exchange.reject(company, found.lead_id, reason_code=None, text=VAGUE, note=None)
    )
    assert unclear.code == Reason.RETURN_REVERSED.code


async def test_section_8_a_sale_restored_after_its_window_is_final(desk: Desk) -> None:
    _, _, found = await disputed(desk)
    desk.clock.forward(hours=48)
    await overturn(desk, found)
    assert await states(desk) == {State.FINAL}


async def test_section_8_a_decision_on_a_dispute_is_made_once(desk: Desk, other: Desk) -> None:
    _, _, found = await disputed(desk)
    answers = await asyncio.gather(*(overturn(worker, found) for worker in (desk, other) * 4))
    assert all(answer == answers[0] for answer in answers)
    assert await desk.value("select count(*) from ledger_entry where key like 'reversal:%'") == 3


async def test_section_8_a_return_and_its_reversal_at_once_leave_clean_books(
    desk: Desk, other: Desk
) -> None:
    _, company, rejected = await returned(desk)

    async def reject() -> str:
        try:
            return (await other.reject(company, rejected.lead_id))[0].status
        except Conflict as fault:
            return fault.code

    answers = await asyncio.gather(
        desk.exchange.returning.reverse(rejected.rejection_id, "Our own fault."),
        *(reject() for _ in range(8)),
    )
    assert set(answers[1:]) <= {"accepted", Reason.RETURN_REVERSED.code}
    assert await desk.value("select count(*) from rejection") == 1
    assert await states(desk) == {State.SOLD}


async def test_section_8_one_share_is_restored_and_the_other_stays_returned(desk: Desk) -> None:
    seller = await desk.seller()
    companies = [await desk.company(f"Company {i}") for i in range(2)]
    for company in companies:
        await desk.campaign(company, shared={2: 40_00})
    lead = (await desk.sell(seller, max_buyers=2)).lead_id
    returns = [(await desk.reject(company, lead))[0] for company in companies]
    assert await desk.value("select state from lead") == State.REJECTED
    await desk.exchange.returning.reverse(returns[0].rejection_id, "The number works.")
    assert await desk.value("select state from lead") == State.SOLD
    legs = [row["state"] for row in await desk.rows("select state from sale order by state")]
    assert legs == [State.REJECTED, State.SOLD]


async def test_section_8_a_prepaid_company_that_spent_its_credit_owes_it(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company(prepaid=150_00)
    await desk.campaign(company, 100_00)
    lead = (await desk.sell(seller)).lead_id
    await desk.campaign(company, 50_00)
    await desk.sell(seller)
    rejected, _ = await desk.reject(company, lead)
    while (await desk.ping(seller)).status == "offer":
        await desk.sell(seller)
    await desk.exchange.returning.reverse(rejected.rejection_id, "The number works.")
    registry = desk.exchange.registry
    account = await registry.account("company", company)
    assert account is not None and account.available_cents is not None
    owed = -account.available_cents
    assert 0 < owed <= 100_00
    assert (await desk.ping(seller)).reasons == {"balance": 2}
    await registry.deposit(company, owed + 100_00, "second", desk.clock.now())
    assert await desk.value("select owed from company") == 0
    assert (await desk.ping(seller)).status == "offer"


async def test_section_8_a_crm_rejection_reversed_is_as_if_it_was_never_tried(
    desk: Desk, crm: CrmServer
) -> None:
    seller = await desk.seller()
    one = await buyer(desk, seller)
    await one.buy(4_000_00)
    before = await one.standing(), await _era_assigned(desk)
    broken = crm.set_behaviour("broken", Behaviour(fail_rate=1.0))
    await one.fail(2_000_00, broken)
    assert (await one.standing()).verdict == "excluded"
    rejection_id = await desk.value("select id from rejection where kind = 'crm'")
    assert await desk.exchange.returning.returns("company", one.company_id, "", 10) == []
    (seen,) = await desk.exchange.returning.returns("operator", "operator", "", 10)
    assert (seen.rejection_id, seen.kind) == (rejection_id, "crm")
    await desk.exchange.returning.reverse(rejection_id, "Our resolver was down.")
    assert (await one.standing(), await _era_assigned(desk)) == before
    assert (await desk.ping(seller, zip="10001")).status == "offer"
    again = await desk.exchange.returning.reverse(rejection_id, "Our resolver was down.")
    assert again.status == "reversed"


async def test_section_5_a_crm_rejection_of_an_era_that_is_over_leaves_the_new_one_alone(
    desk: Desk, crm: CrmServer
) -> None:
    seller = await desk.seller()
    one: Buyer = await buyer(desk, seller)
    await one.buy(6_000_00)
    broken = crm.set_behaviour("broken", Behaviour(fail_rate=1.0))
    await one.fail(100_00, broken)
    registry, now = desk.exchange.registry, desk.clock.now()
    reset = await registry.ask_reset(one.company_id, now)
    await registry.approve_reset(reset.reset_id, now)
    await one.buy(70_00)
    rejection_id = await desk.value("select id from rejection where kind = 'crm'")
    await desk.exchange.returning.reverse(rejection_id, "Our resolver was down.")
    assert await _era_assigned(desk) == (await one.standing()).raw_crm_assigned


async def _era_assigned(desk: Desk) -> int:
    assigned: int = await desk.value("select era_assigned from company")
    return assigned


async def test_section_8_what_is_under_review_cannot_be_reversed(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    rejected = await asked(desk, company, lead)
    fault = await refused(desk.exchange.returning.reverse(rejected.rejection_id, "No."))
    assert fault.code == Reason.RETURN_UNDECIDED.code


# --- previews -------------------------------------------------------------------------------------


async def preview(desk: Desk, company: CompanyId, lead: LeadId, **facts: Any) -> Any:
    """A preview, which must change nothing."""
    before = await snapshot(desk)
    asked = {"reason_code": "invalid_contact", "text": None, "review": False} | facts
    found = await desk.exchange.returning.preview(company, lead, **asked)
    assert await snapshot(desk) == before
    return found


async def test_section_8_a_preview_tells_what_the_rejection_then_does(desk: Desk) -> None:
    seller, company, lead = await sold_lead(desk, 60_00)
    await desk.sell(seller)
    before = await desk.standing(company)
    foreseen = await preview(desk, company, lead)
    rejected, after = await desk.reject(company, lead)
    assert (foreseen.before, foreseen.after) == (before, after)
    assert foreseen.foreseen.outcome == rejected.status == "accepted"
    assert foreseen.foreseen.value_cents == rejected.value_cents == 60_00
    (bid,) = foreseen.bids
    assert (bid.base_cents, bid.before_cents, bid.after_cents) == (60_00, 60_00, 30_00)
    assert await desk.price(seller) == bid.after_cents


async def test_section_8_a_preview_names_the_rule_that_refuses(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    unclear = await preview(desk, company, lead, reason_code=None, text=VAGUE)
    assert unclear.refusal.code == Reason.REASON_UNCLEAR.code
    assert unclear.before == unclear.after
    reviewed = await preview(desk, company, lead, reason_code=None, text=VAGUE, review=True)
    assert reviewed.foreseen.outcome == "in_review" and reviewed.after != reviewed.before
    desk.clock.forward(hours=48)
    late = await preview(desk, company, lead)
    assert late.refusal.code == Reason.WINDOW_CLOSED.code and late.foreseen is None


async def test_section_8_a_preview_of_a_returned_lead_says_so(desk: Desk) -> None:
    _, company, rejected = await returned(desk)
    again = await preview(desk, company, rejected.lead_id, reason_code=None, text=VAGUE)
    assert again.foreseen.outcome == "returned_before" and again.before == again.after
    await desk.exchange.returning.reverse(rejected.rejection_id, "It works.")
    reversed_ = await preview(desk, company, rejected.lead_id)
    assert reversed_.refusal.code == Reason.RETURN_REVERSED.code


async def test_section_12_a_preview_of_anothers_lead_finds_none(desk: Desk) -> None:
    _, _, lead = await sold_lead(desk)
    stranger = await desk.company("Stranger")
    assert isinstance(await refused(preview(desk, stranger, lead)), NotFound)


# --- many at once ---------------------------------------------------------------------------------


async def bulk(
    desk: Desk, company: CompanyId, lines: list[Line], *, dry_run: bool = False
) -> list[LineResult]:
    results = desk.exchange.returning.bulk(company, lines, dry_run=dry_run)
    return [result async for result in results]


async def sold_leads(desk: Desk, count: int) -> tuple[SellerId, CompanyId, list[LeadId]]:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 100_00)
    return seller, company, [(await desk.sell(seller)).lead_id for _ in range(count)]


def mixed(leads: list[LeadId]) -> list[Line]:
    """Good lines among bad ones."""
    bad = Invalid("lead_id is not the id of a lead.", field="lead_id")
    return [
        Line(number=1, lead_id=leads[0], reason_code="invalid_contact"),
        Line(number=2, fault=bad),
        Line(number=3, lead_id="no-such-lead", reason_code="seasonal"),
        Line(number=4, lead_id=leads[1], text=VAGUE),
        Line(number=5, lead_id=leads[1], text=VAGUE, review=True),
        Line(number=6, lead_id=leads[2], text="the number is disconnected", note="called twice"),
        Line(number=7, lead_id=leads[0], reason_code="seasonal"),
    ]


async def test_section_8_one_bad_line_never_stops_the_others(desk: Desk) -> None:
    seller, company, leads = await sold_leads(desk, 4)
    told = await bulk(desk, company, mixed(leads))
    assert [(line.number, line.status) for line in told] == [
        (1, "accepted"),
        (2, "refused"),
        (3, "refused"),
        (4, "refused"),
        (5, "in_review"),
        (6, "accepted"),
        (7, "accepted"),
    ]
    codes = [line.fault.code for line in told if line.fault is not None]
    assert codes == ["invalid", "not_found", Reason.REASON_UNCLEAR.code]
    assert told[6].rejection_id == told[0].rejection_id
    assert await desk.price(seller) == 25_00


async def test_section_8_a_file_sent_again_answers_as_it_did(desk: Desk) -> None:
    _, company, leads = await sold_leads(desk, 4)
    first = await bulk(desk, company, mixed(leads))
    before = await snapshot(desk)
    again = await bulk(desk, company, mixed(leads))
    assert await snapshot(desk) == before
    assert [(r.number, r.status, r.rejection_id) for r in again] == [
        # The unclear text of line 4 is of a lead that waits for its review by now.
        (r.number, "in_review", first[4].rejection_id)
        if r.number == 4
        else (r.number, r.status, r.rejection_id)
        for r in first
    ]


async def test_section_8_a_dry_run_of_a_file_foresees_each_line_after_those_before(
    desk: Desk,
) -> None:
    _, company, leads = await sold_leads(desk, 4)
    before = await snapshot(desk)
    foreseen = await bulk(desk, company, mixed(leads), dry_run=True)
    assert await snapshot(desk) == before
    done = await bulk(desk, company, mixed(leads))
    assert [r.standing for r in foreseen][:6] == [r.standing for r in done][:6]
    assert [r.status for r in foreseen] == [*(r.status for r in done[:6]), "returned_before"]


async def test_section_8_lines_are_told_as_they_are_done(desk: Desk) -> None:
    _, company, leads = await sold_leads(desk, 2)
    lines = [Line(number=n, lead_id=lead, reason_code="seasonal") for n, lead in enumerate(leads)]
    results = desk.exchange.returning.bulk(company, lines, dry_run=False)
    assert (await anext(results)).status == "accepted"
    assert await desk.value("select count(*) from rejection") == 1


async def test_section_8_lines_are_not_tried_while_the_books_are_away(
    stores: StoreUrls, database: str
) -> None:
    async with open_desk(stores, database) as away:
        _, company, leads = await sold_leads(away, 1)
        lines = [Line(number=n, lead_id=leads[0], reason_code="seasonal") for n in range(6)]
        await away.exchange.postgres.close()
        told = await bulk(away, company, lines)
        statuses = [(r.status, r.fault.code if r.fault else None) for r in told]
        assert statuses == [("refused", "unavailable")] * 3 + [("not_tried", None)] * 3
        await away.exchange.postgres.start()


# --- evidence -------------------------------------------------------------------------------------


async def test_section_8_what_was_said_is_sealed_and_shown_to_those_concerned(desk: Desk) -> None:
    seller, company, lead = await sold_lead(desk)
    quote = "415-555-0123 belongs to somebody else"
    rejected, _ = await desk.exchange.reject(
        company, lead, reason_code="invalid_contact", text=None, note=quote
    )
    said = Statement(statement=quote, evidence=(quote,))
    found = await desk.exchange.returning.dispute(rejected.rejection_id, seller, said)
    found = await overturn(desk, found, quote)
    assert (found.note, found.decision) == (quote, quote)
    assert found.dispute is not None and found.dispute.said == said
    for table in ("rejection", "dispute"):
        rows = [str(dict(row)) for row in await desk.rows(f"select * from {table}")]
        assert rows and not any("555-0123" in row for row in rows)
