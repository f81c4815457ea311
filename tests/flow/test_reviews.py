"""Returns that wait for the operator (rules: §8, §11)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from exchange.core.lifecycle import State
from exchange.core.reasons import Reason
from exchange.core.rejection import Terms
from exchange.core.returning import ReturnPolicy
from exchange.flow.faults import Conflict, Invalid
from exchange.web.returns_codec import show_return
from tests.flow.market import Desk
from tests.flow.returning import (
    VAGUE,
    asked,
    balances,
    decide,
    refused,
    states,
)
from tests.flow.test_contracts import contract, pair
from tests.flow.test_rejection import snapshot, sold_lead


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
    assert await asked(desk, company, lead) == replace(first, is_repeat=True)
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
    assert await desk.exchange.returning.decide_due(desk.clock.now()) == 0
    desk.clock.forward(microseconds=1)
    done = await asyncio.gather(
        *(worker.exchange.returning.decide_due(desk.clock.now()) for worker in (desk, other) * 4)
    )
    assert sum(done) == 1
    found = await desk.exchange.returning.one("operator", "", rejected.rejection_id)
    assert (found.status, found.decided_by) == ("accepted", "time")
    assert await balances(desk) == {"company": 0, "seller": 0, "operator": 0}


async def test_section_9_silence_credits_no_unclear_text_where_the_contract_names_reasons(
    desk: Desk,
) -> None:
    seller, company = await pair(desk)
    made = await contract(desk, seller, company, return_reasons=(Reason.DUPLICATE_LEAD,))
    lead = (await desk.sell(seller)).lead_id
    rejected = await asked(desk, company, lead)
    desk.clock.forward(hours=72)
    assert await desk.exchange.returning.decide_due(desk.clock.now()) == 1
    found = await desk.exchange.returning.one("company", company, rejected.rejection_id)
    clause = {
        "contract_id": made.contract_id,
        "version": 1,
        "clause": "return_reasons",
        "allowed": ["duplicate"],
    }
    assert (found.status, found.decided_by, found.clause) == ("declined", "time", clause)
    shown = show_return(found, "company", ReturnPolicy())
    assert shown.refusal is not None
    assert (shown.refusal.code, shown.refusal.details) == ("reason_not_allowed", clause)
    assert await balances(desk) == {"company": -100_00, "seller": 85_00, "operator": 15_00}
    assert await desk.price(seller) == 100_00
    again = await refused(asked(desk, company, lead))
    assert (again.code, again.details) == ("return_declined", again.details | clause)


async def test_section_9_where_the_contract_allows_no_return_no_text_is_taken_into_review(
    desk: Desk,
) -> None:
    seller, company = await pair(desk)
    made = await contract(desk, seller, company, return_reasons=())
    lead = (await desk.sell(seller)).lead_id
    before = await snapshot(desk)
    fault = await refused(asked(desk, company, lead))
    assert (fault.code, fault.field) == ("reason_not_allowed", "text")
    assert fault.details == {
        "contract_id": made.contract_id,
        "version": 1,
        "clause": "return_reasons",
        "allowed": [],
    }
    assert await snapshot(desk) == before


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
