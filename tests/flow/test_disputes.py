"""Sellers dispute returns, and rejections are reversed (rules: §5, §8, §12)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from bidders.crm import Behaviour, CrmServer
from exchange.core.lifecycle import State
from exchange.core.reasons import Reason
from exchange.flow.faults import Conflict, NotFound
from exchange.flow.returning import Statement
from tests.flow.market import NOON, Buyer, Desk, buyer
from tests.flow.returning import (
    SAID,
    VAGUE,
    asked,
    balances,
    decide,
    disputed,
    overturn,
    refused,
    returned,
    states,
)
from tests.flow.test_rejection import snapshot, sold_lead


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
    assert fault.details == {"disputable_until": NOON + timedelta(days=7)}


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


CORRUPTIONS = {
    "a reversal forgotten": (
        "update rejection set status = 'accepted' where status = 'reversed'",
        "update rejection set status = 'reversed' where status = 'accepted'",
        "sold, with a rejection that is accepted",
    ),
    "an entry of a return in review": (
        "insert into ledger_entry select 'rejection:' || id, 'company:' || company_id, 1,"
        " rejected_at from rejection where status = 'in_review'",
        "delete from ledger_entry where cents = 1",
        "company 0.01 and seller 0.00 should be 0.00 and 0.00",
    ),
    "a review that its sale knows nothing of": (
        "update sale set state = 'sold' where state = 'in_review'",
        "update sale set state = 'in_review' from rejection r"
        " where r.delivery_id = sale.delivery_id and r.status = 'in_review'",
        "sold, with a rejection that is in_review",
    ),
    "a return declined that still counts": (
        "update rejection set status = 'declined' where status = 'in_review'",
        "update rejection set status = 'in_review' where status = 'declined'",
        "manual 100.00 should be 0.00",
    ),
    "a dispute decided and not carried out": (
        "update dispute set status = 'upheld'",
        "update dispute set status = 'overturned'",
        "upheld, its rejection reversed",
    ),
    "a reversal without its entries": (
        "update ledger_entry set key = 'x' where key like 'reversal:%'",
        "update ledger_entry set key = 'reversal:' || r.id from rejection r"
        " where key = 'x' and r.status = 'reversed'",
        "ledger key reversal:",
    ),
}


async def test_check_finds_what_is_wrong_in_the_books_of_returns(desk: Desk) -> None:
    seller, company, lead = await sold_lead(desk)
    second = (await desk.sell(seller)).lead_id
    await asked(desk, company, lead)
    rejected, _ = await desk.reject(company, second)
    await overturn(desk, await desk.exchange.returning.dispute(rejected.rejection_id, seller, SAID))
    for what, (corrupt, mend, finding) in CORRUPTIONS.items():
        await desk.assert_clean()
        await desk.value(corrupt)
        findings = (await desk.exchange.check()).findings
        assert any(finding in told for told in findings), (what, findings)
        await desk.value(mend)


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
