"""A company returns a lead it bought (rules: §8)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from exchange.core.lifecycle import State
from exchange.core.model import CompanyId, LeadId, SellerId
from exchange.core.reasons import REJECTION_REASONS, Reason
from exchange.flow.faults import Conflict, Fault, Invalid, NotFound
from tests.flow.market import NOON, Desk


async def sold_lead(desk: Desk, cents: int = 100_00) -> tuple[SellerId, CompanyId, LeadId]:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, cents)
    return seller, company, (await desk.sell(seller)).lead_id


async def snapshot(desk: Desk) -> list[object]:
    """Everything a rejection could change, as text."""
    return [
        [str(dict(row)) for row in await desk.rows(f"select * from {table} order by 1, 2")]
        for table in ("company", "lead", "leg", "sale", "rejection", "ledger_entry", "bucket")
    ]


async def refused(desk: Desk, company: CompanyId, lead: LeadId, **reason: str | None) -> Fault:
    """Have a rejection refused; it must have changed nothing."""
    before = await snapshot(desk)
    asked = {"reason_code": "invalid_contact", "text": None, "note": None} | reason
    with pytest.raises(Fault) as fault:
        await desk.exchange.reject(company, lead, **asked)  # type: ignore[arg-type]
    assert await snapshot(desk) == before
    return fault.value


async def test_a_rejection_prices_the_very_next_ping(desk: Desk) -> None:
    seller, company, lead = await sold_lead(desk)
    await desk.sell(seller)
    rejected, standing = await desk.reject(company, lead)
    assert rejected.value_cents == 100_00
    assert standing.overall_hundredths == 50_00
    assert await desk.price(seller) == 50_00


async def test_a_rejection_credits_the_company_and_reverses_the_sellers_pay(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    await desk.reject(company, lead)
    sums = await desk.rows("select account, sum(cents) as cents from ledger_entry group by account")
    assert [row["cents"] for row in sums] == [0, 0, 0]
    account = await desk.exchange.registry.account("company", company)
    assert account is not None and account.balance_cents == 0


async def test_a_prepaid_company_can_spend_again_what_it_was_credited(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company(prepaid=200_00)
    await desk.campaign(company, 100_00)
    lead = (await desk.sell(seller)).lead_id
    await desk.sell(seller)
    assert (await desk.ping(seller)).reasons == {"balance": 1}
    await desk.reject(company, lead)
    assert await desk.price(seller) == 50_00


async def test_a_rejection_is_booked_on_the_day_its_lead_was_assigned(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    bought_on = desk.clock.now().date()
    desk.clock.forward(days=1, hours=20)
    await desk.reject(company, lead)
    (bucket,) = await desk.rows("select day, assigned, manual from bucket")
    assert tuple(bucket) == (bought_on, 100_00, 100_00)


async def test_a_second_rejection_of_a_lead_answers_as_the_first_did(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    first, standing = await desk.reject(company, lead)
    await desk.campaign(company, 100_00)
    desk.clock.forward(days=10)
    repeat = (replace(first, is_repeat=True), standing)
    assert await desk.reject(company, lead, "duplicate") == repeat
    assert await desk.value("select count(*) from rejection") == 1


async def test_rejections_of_one_lead_at_once_are_one(desk: Desk, other: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    answers = await asyncio.gather(
        *(worker.reject(company, lead) for worker in (desk, other) for _ in range(8))
    )
    assert [rejected.is_repeat for rejected, _ in answers].count(False) == 1
    told = [(replace(rejected, is_repeat=True), standing) for rejected, standing in answers]
    assert all(answer == told[0] for answer in told)
    assert await desk.value("select count(*) from rejection") == 1


async def test_the_last_moment_of_the_window_is_outside_it(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    desk.clock.forward(hours=48)
    fault = await refused(desk, company, lead)
    assert isinstance(fault, Conflict) and fault.code == Reason.WINDOW_CLOSED.code
    assert fault.details == {"window_closed_at": NOON + timedelta(hours=48)}


async def test_a_moment_earlier_is_inside(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    desk.clock.forward(hours=48, microseconds=-1)
    await desk.reject(company, lead)


async def test_a_lead_is_final_when_its_window_has_closed(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    desk.clock.forward(hours=48)
    assert await desk.exchange.books.close_windows(desk.clock.now(), 10) == 1
    assert await desk.value("select state from lead") == State.FINAL
    assert (await refused(desk, company, lead)).code == Reason.WINDOW_CLOSED.code


async def test_a_window_that_has_not_closed_stays_open(desk: Desk) -> None:
    await sold_lead(desk)
    desk.clock.forward(hours=48, microseconds=-1)
    assert await desk.exchange.books.close_windows(desk.clock.now(), 10) == 0


@pytest.mark.parametrize("code", ["duplicate", "rate_limited", "off_hours"])
async def test_reasons_of_every_category_are_taken_by_their_code(desk: Desk, code: str) -> None:
    _, company, lead = await sold_lead(desk)
    rejected, _ = await desk.reject(company, lead, code)
    assert rejected.reason.code == code


async def test_a_reason_nobody_knows_is_refused_with_those_that_are(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    fault = await refused(desk, company, lead, reason_code="because")
    assert isinstance(fault, Invalid) and fault.field == "reason"
    assert all(code in fault.message for code in REJECTION_REASONS)


async def test_free_text_is_read_as_its_reason(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    rejected, _ = await desk.exchange.reject(
        company, lead, reason_code=None, text="The number is disconnected", note=None
    )
    assert rejected.reason is Reason.INVALID_CONTACT


async def test_free_text_that_fits_no_reason_clearly_is_sent_back_for_a_code(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    fault = await refused(desk, company, lead, reason_code=None, text="We did not like it")
    assert isinstance(fault, Invalid) and fault.code == Reason.REASON_UNCLEAR.code
    assert fault.details == {"reasons": list(REJECTION_REASONS)}
    # The advice is the refusal's: the sentence alone is also shown of a return under review.
    assert fault.message == f"{Reason.REASON_UNCLEAR.message} Give a reason, or ask for a review."


async def test_a_lead_that_does_not_exist_cannot_be_rejected(desk: Desk) -> None:
    _, company, _ = await sold_lead(desk)
    assert isinstance(await refused(desk, company, LeadId("no-such-lead")), NotFound)


async def test_another_companys_lead_is_as_if_it_did_not_exist(desk: Desk) -> None:
    _, _, lead = await sold_lead(desk)
    stranger = await desk.company("Stranger")
    fault = await refused(desk, stranger, lead)
    unknown = await refused(desk, stranger, LeadId("no-such-lead"))
    assert isinstance(fault, NotFound)
    assert (fault.message, fault.field, fault.code) == (
        unknown.message,
        unknown.field,
        unknown.code,
    )


async def test_one_company_returns_its_share_and_the_others_keep_theirs(desk: Desk) -> None:
    seller = await desk.seller()
    companies = [await desk.company(f"Company {i}") for i in range(2)]
    for company in companies:
        await desk.campaign(company, shared={2: 40_00})
    lead = (await desk.sell(seller, max_buyers=2)).lead_id
    await desk.reject(companies[0], lead)
    states = {row["company_id"]: row["state"] for row in await desk.rows("select * from sale")}
    assert states == {companies[0]: State.REJECTED, companies[1]: State.SOLD}
    assert await desk.value("select state from lead") == State.SOLD


async def test_a_lead_is_rejected_when_every_company_that_bought_it_returned_it(
    desk: Desk,
) -> None:
    seller = await desk.seller()
    companies = [await desk.company(f"Company {i}") for i in range(2)]
    for company in companies:
        await desk.campaign(company, shared={2: 40_00})
    lead = (await desk.sell(seller, max_buyers=2)).lead_id
    for company in companies:
        await desk.reject(company, lead)
    assert await desk.value("select state from lead") == State.REJECTED


async def test_a_returned_lead_answers_as_it_did_even_to_an_unclear_text(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    first, standing = await desk.reject(company, lead)
    again = await desk.exchange.reject(company, lead, reason_code=None, text="blah", note=None)
    assert again == (replace(first, is_repeat=True), standing)
