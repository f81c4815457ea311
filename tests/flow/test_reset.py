"""A company asks for its CRM rejections to be forgotten (rules: §5)."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from bidders.crm import Behaviour, CrmServer
from exchange.core.model import CompanyId
from exchange.core.reasons import Reason
from exchange.core.standing import Verdict
from exchange.flow.faults import Conflict, NotFound
from tests.flow.market import NOON, Buyer, Desk, buyer, http, until

BROKEN = Behaviour(fail_rate=1.0)


async def ask(desk: Desk, company: CompanyId) -> str:
    return (await desk.exchange.registry.ask_reset(company, desk.clock.now())).reset_id


async def reset(desk: Desk, company: CompanyId) -> None:
    """Ask for a reset and have it approved."""
    approved = await desk.exchange.registry.approve_reset(
        await ask(desk, company), desk.clock.now()
    )
    assert approved is not None and approved.status == "approved"


async def refused(desk: Desk, company: CompanyId) -> Conflict:
    with pytest.raises(Conflict) as fault:
        await ask(desk, company)
    return fault.value


async def excluded(desk: Desk, crm: CrmServer) -> Buyer:
    """A company over the gate: $2,000 of $6,000 failed, and $1,000 of it was returned."""
    company = await buyer(desk, await desk.seller())
    await company.fail(2_000_00, crm.set_behaviour("broken", BROKEN))
    lead = await company.buy(1_000_00)
    await company.buy(3_000_00)
    assert (await company.standing()).verdict is Verdict.EXCLUDED
    await desk.reject(company.company_id, lead)
    return company


async def test_a_reset_is_refused_with_what_is_missing_before_5000_dollars(desk: Desk) -> None:
    company = await buyer(desk, await desk.seller())
    await company.buy(4_999_99)
    fault = await refused(desk, company.company_id)
    assert fault.code == Reason.RESET_TOO_EARLY.code
    assert msgspec.json.encode(fault.details) == b'{"missing":0.01}'


async def test_a_reset_can_be_asked_for_at_5000_dollars(desk: Desk) -> None:
    company = await buyer(desk, await desk.seller())
    await company.buy(5_000_00)
    await ask(desk, company.company_id)


async def test_an_open_request_is_answered_again(desk: Desk, other: Desk) -> None:
    company = await buyer(desk, await desk.seller())
    await company.buy(5_000_00)
    asked = await asyncio.gather(
        *(ask(worker, company.company_id) for worker in (desk, other) for _ in range(4))
    )
    assert len(set(asked)) == 1


async def test_nothing_changes_before_the_operator_approves(desk: Desk, crm: CrmServer) -> None:
    company = await excluded(desk, crm)
    before = await company.standing()
    await ask(desk, company.company_id)
    assert await company.standing() == before


async def test_approval_lifts_the_company_over_the_gate_and_protects_it_again(
    desk: Desk, crm: CrmServer
) -> None:
    company = await excluded(desk, crm)
    await reset(desk, company.company_id)
    standing = await company.standing()
    assert standing.protected and standing.protection_left == 5_000_00
    assert standing.raw_crm_assigned == standing.crm_rejected == 0
    await company.bid(100_00)
    assert (await desk.ping(company.seller_id, zip="10001")).status == "offer"


async def test_manual_rejections_stay_after_a_reset(desk: Desk, crm: CrmServer) -> None:
    company = await excluded(desk, crm)
    await reset(desk, company.company_id)
    standing = await company.standing()
    # $1,000 of the $6,000 of the window; the $2,000 that failed count for nothing.
    assert (standing.rejected, standing.assigned) == (1_000_00, 6_000_00)
    await company.bid(60_00)
    assert await desk.price(company.seller_id, zip="10001") == 50_00


async def test_after_a_reset_the_crm_rate_is_over_what_was_assigned_since(
    desk: Desk, crm: CrmServer
) -> None:
    company = await excluded(desk, crm)
    await reset(desk, company.company_id)
    await company.fail(600_00, crm.leads_url("broken"))  # charged 5/6 of it, $500.00
    await company.buy(7_090_91)  # charged 55/65 of it, $6,000.00
    standing = await company.standing()
    assert not standing.protected
    assert (standing.crm_rejected, standing.crm_assigned) == (500_00, 6_500_00)


async def test_what_was_sold_before_a_reset_can_still_be_returned(
    desk: Desk, crm: CrmServer
) -> None:
    company = await buyer(desk, await desk.seller())
    lead = await company.buy(5_000_00)
    await reset(desk, company.company_id)
    _, standing = await desk.reject(company.company_id, lead)
    assert (standing.overall_hundredths, standing.protected) == (100_00, True)


async def test_a_lead_in_delivery_over_a_reset_counts_where_it_was_assigned(
    desk: Desk, crm: CrmServer
) -> None:
    company = await buyer(desk, await desk.seller())
    await company.buy(5_000_00)
    slow = crm.set_behaviour("slow", Behaviour(fail_rate=1.0, delay_ms=300))
    await company.bid(100_00, http(slow))
    receipt = await desk.ping(company.seller_id, zip="10001")
    post = asyncio.create_task(desk.post(receipt))
    await until(lambda: crm.counts("slow").seen == 1)
    await reset(desk, company.company_id)
    assert (await post).status == "unsold"
    standing = await company.standing()
    # It counts as assigned in the window, and in neither rate of the new era.
    assert (standing.raw_assigned, standing.raw_crm, standing.rejected) == (5_100_00, 100_00, 0)
    assert (standing.raw_crm_assigned, standing.raw_crm_rejected) == (0, 0)
    assert standing.protection_left == 5_000_00


async def test_a_reset_sooner_than_30_days_after_the_last_is_refused(desk: Desk) -> None:
    company = await buyer(desk, await desk.seller())
    await company.buy(5_000_00)
    await reset(desk, company.company_id)
    await company.buy(5_000_00)
    desk.clock.forward(days=30, microseconds=-1)
    fault = await refused(desk, company.company_id)
    assert fault.code == Reason.RESET_TOO_SOON.code
    assert fault.details == {"last_reset_at": NOON}


async def test_a_reset_is_possible_again_after_30_days(desk: Desk) -> None:
    company = await buyer(desk, await desk.seller())
    await company.buy(5_000_00)
    await reset(desk, company.company_id)
    await company.buy(5_000_00)
    desk.clock.forward(days=30)
    await reset(desk, company.company_id)


async def test_approving_a_reset_twice_starts_one_era(desk: Desk, other: Desk) -> None:
    company = await buyer(desk, await desk.seller())
    await company.buy(5_000_00)
    reset_id = await ask(desk, company.company_id)
    answers = await asyncio.gather(
        *(
            worker.exchange.registry.approve_reset(reset_id, desk.clock.now())
            for worker in (desk, other)
            for _ in range(4)
        )
    )
    assert all(answer == answers[0] for answer in answers)
    assert await desk.value("select era from company") == 1


async def test_a_reset_of_no_company_is_not_found(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await ask(desk, CompanyId("nobody"))


async def test_approving_a_reset_nobody_asked_for_gives_none(desk: Desk) -> None:
    assert await desk.exchange.registry.approve_reset("nothing", desk.clock.now()) is None


async def test_resets_are_logged_with_their_dates(desk: Desk) -> None:
    company = await buyer(desk, await desk.seller())
    await company.buy(5_000_00)
    asked_at = desk.clock.now()
    reset_id = await ask(desk, company.company_id)
    desk.clock.forward(hours=3)
    await desk.exchange.registry.approve_reset(reset_id, desk.clock.now())
    (logged,) = await desk.exchange.registry.resets(company.company_id, "", 10)
    assert (logged.asked_at, logged.approved_at) == (asked_at, desk.clock.now())
