"""Standings told from the books: causes, the way back, the past, and what-ifs (rules: §5, §12)."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta

import pytest

from bidders.crm import Behaviour, CrmServer
from exchange.core.model import CompanyId, Condition, SellerId
from exchange.core.reasons import Reason
from exchange.core.standing import Verdict
from exchange.flow import ping as pinging
from exchange.flow.faults import Unavailable
from exchange.flow.replaying import Answered
from exchange.flow.standings import Explained
from exchange.flow.what_if import Assumption
from tests.flow.market import Buyer, Desk, buyer

BROKEN = Behaviour(fail_rate=1.0)
CLEAN = Assumption(overall_bp=0, crm_bp=0)


async def explained(desk: Desk, company_id: CompanyId) -> Explained:
    found = await desk.exchange.standings.explain(company_id)
    assert found is not None
    return found


async def excluded(desk: Desk, crm: CrmServer) -> Buyer:
    """A company over the gate: $2,000 of $6,000 failed, and $1,000 of it was returned."""
    company = await buyer(desk, await desk.seller())
    await company.fail(2_000_00, crm.set_behaviour("broken", BROKEN))
    lead = await company.buy(1_000_00)
    await company.buy(3_000_00)
    await desk.reject(company.company_id, lead)
    return company


# --- explained ------------------------------------------------------------------------------------


async def test_section_12_causes_and_way_back_of_an_excluded_company(
    desk: Desk, crm: CrmServer
) -> None:
    company = await excluded(desk, crm)
    told = await explained(desk, company.company_id)
    assert told.recovery.standing == await company.standing()
    assert [(c.kind, c.reason, c.leads, c.value_cents) for c in told.causes] == [
        ("crm", Reason.CONNECTIVITY, 1, 2_000_00),
        ("manual", Reason.INVALID_CONTACT, 1, 1_000_00),
    ]
    # 2,000 / (6,000 + x) ≤ 10 %.
    assert told.recovery.bids.clean_cents == 14_000_00
    assert told.recovery.bids.day == date(2026, 12, 21)
    assert [step.kind for step in told.path] == [
        "gate_closed", "mend", "crm_reset", "wait", "clean_leads", "clean_leads", "wait",
    ]  # fmt: skip


async def test_section_5_the_reset_told_is_the_reset_that_is_granted(
    desk: Desk, crm: CrmServer
) -> None:
    company = await excluded(desk, crm)
    registry, now = desk.exchange.registry, desk.clock.now()
    before = await explained(desk, company.company_id)
    assert before.recovery.reset.may_ask
    asked = await registry.ask_reset(company.company_id, now)
    assert (await explained(desk, company.company_id)).asked_at == now
    await registry.approve_reset(asked.reset_id, now)
    after = await explained(desk, company.company_id)
    assert after.recovery.standing == before.recovery.reset.after
    assert after.asked_at is None
    assert after.recovery.reset.missing_cents == 5_000_00
    assert after.recovery.reset.earliest == now + timedelta(days=30)
    # What was before the reset counts for nothing, and is no cause.
    assert [cause.kind for cause in after.causes] == ["manual"]


async def test_no_company_has_nothing_told(desk: Desk) -> None:
    nobody = CompanyId("nobody")
    assert await desk.exchange.standings.explain(nobody) is None
    today = desk.exchange.standings.today
    assert await desk.exchange.standings.history(nobody, today, today) is None


# --- the past -------------------------------------------------------------------------------------


async def test_section_12_history_is_what_each_day_s_standing_was(
    desk: Desk, crm: CrmServer
) -> None:
    company = await buyer(desk, await desk.seller())
    stood = {}
    days = [desk.exchange.standings.today + timedelta(days=ahead) for ahead in range(40)]
    for ahead, day in enumerate(days):
        if ahead % 7 == 0:
            await company.buy(1_500_00)
        if ahead == 8:
            await company.fail(2_500_00, crm.set_behaviour("broken", BROKEN))
        if ahead == 2:
            await company.buy_and_return(300_00)
        if ahead == 12:
            asked = await desk.exchange.registry.ask_reset(company.company_id, desk.clock.now())
            await desk.exchange.registry.approve_reset(asked.reset_id, desk.clock.now())
        stood[day] = await company.standing()
        desk.clock.forward(days=1)
        await desk.exchange.following.mend()
    assert {standing.verdict for standing in stood.values()} == {
        Verdict.QUALIFIED,
        Verdict.CONDITIONAL,
        Verdict.EXCLUDED,
    }
    desk.clock.forward(days=-1)
    for first in (days[0], days[25]):
        told = await desk.exchange.standings.history(company.company_id, first, days[-1])
        assert told is not None
        assert [day.past.standing for day in told] == [stood[day] for day in days if day >= first]


# --- what if --------------------------------------------------------------------------------------


async def two_companies(desk: Desk) -> tuple[SellerId, Buyer, Buyer]:
    """Both bid on every lead: mine $60.00 with half of it returned, the other $40.00, clean."""
    seller = await desk.seller()
    mine, other = await buyer(desk, seller, "10001"), await buyer(desk, seller, "10002")
    lead = await mine.buy(100_00)
    await mine.buy(100_00)
    await desk.reject(mine.company_id, lead)
    await mine.bid(60_00, anywhere=True)
    await other.bid(40_00, anywhere=True)
    return seller, mine, other


async def asked(desk: Desk, company: Buyer, assumption: Assumption = CLEAN) -> Answered:
    await desk.exchange.receipts.flush()
    standings = desk.exchange.standings
    return await standings.what_if.ask(company.company_id, standings.today, assumption)


async def test_section_12_what_if_is_what_comes_of_it_when_it_is_so(desk: Desk) -> None:
    seller, mine, other = await two_companies(desk)
    desk.clock.forward(days=1)
    for _ in range(3):
        await desk.sell(seller, zip="94107")
    told = await asked(desk, mine)
    assert (told.read, told.took_part, told.newly_won) == (3, 3, 3)
    assert (told.before.won, told.after.won, told.after.spend_cents) == (0, 3, 180_00)
    assert not told.not_known and (told.bought.leads, told.bought.spend_cents) == (0, 0)
    # The other one had them all, and would have at the price it had.
    told = await asked(desk, other)
    assert (told.before.won, told.before.spend_cents) == (3, 120_00)
    assert told.repriced == 0 and told.changes == []
    assert (told.bought.leads, told.bought.spend_cents) == (3, 120_00)
    # At 40 % mine is worth $36.00 still: too little.
    told = await asked(desk, mine, Assumption(overall_bp=40_00))
    assert told.after.won == 0


async def test_section_12_a_day_behind_a_closed_gate_is_held_again(
    desk: Desk, crm: CrmServer
) -> None:
    company = await excluded(desk, crm)
    await company.bid(60_00, anywhere=True)
    desk.clock.forward(days=1)
    assert (await desk.ping(company.seller_id)).reasons == {"crm_gate": 1}
    told = await asked(desk, company, Assumption(overall_bp=3_00, crm_bp=1_00))
    assert (told.newly_won, told.after.spend_cents) == (1, 58_20)
    assert told.present.verdict is Verdict.EXCLUDED
    # What it is now is nothing to what it was then: every version is kept.
    desk.clock.forward(hours=1)
    await company.bid(70_00, anywhere=True)
    told = await asked(desk, company, Assumption(overall_bp=3_00, crm_bp=1_00))
    assert (told.newly_won, told.after.spend_cents) == (1, 58_20)
    # But where one is lost, nobody guesses what it bid.
    await desk.value("delete from campaign_past")
    told = await asked(desk, company, Assumption(overall_bp=3_00, crm_bp=1_00))
    assert (told.took_part, dict(told.not_known)) == (0, {"price_not_kept": 1})


async def test_a_deleted_campaign_is_kept_as_it_was(desk: Desk, crm: CrmServer) -> None:
    company = await excluded(desk, crm)
    await company.bid(60_00, anywhere=True)
    desk.clock.forward(days=1)
    await desk.ping(company.seller_id)
    desk.clock.forward(hours=1)
    registry, campaign_id = desk.exchange.registry, company.campaign_id
    assert campaign_id is not None
    await registry.delete_campaign(campaign_id, company.company_id, desk.clock.now())
    told = await asked(desk, company, Assumption(overall_bp=3_00, crm_bp=1_00))
    assert (told.newly_won, told.after.spend_cents) == (1, 58_20)
    await desk.ping(company.seller_id)
    assert (await asked(desk, company)).took_part == 1


async def test_section_12_over_many_campaigns_what_is_not_named_is_counted_as_not_known(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pinging, "SPELLED_OUT", 0)
    seller, mine, _ = await two_companies(desk)
    far = await buyer(desk, seller, "10003")
    await far.bid(10_00, anywhere=True)
    others = [await desk.company(f"Company {n}") for n in range(8)]
    for nth, company in enumerate(others):
        await desk.campaign(company, 50_00 + nth)
    desk.clock.forward(days=1)
    await desk.ping(seller, zip="94107")
    # Worth $30.00, mine was too far behind to be named; at $60.00 it would have won, had it room.
    told = await asked(desk, mine)
    assert (told.took_part, dict(told.not_known)) == (0, {"not_named": 1})
    # One of $10.00 is not named either, and cannot have won.
    told = await asked(desk, far)
    assert (told.took_part, told.after.won, dict(told.not_known)) == (1, 0, {})
    # In line, though it did not win: that is told by the receipt.
    second = Buyer(desk, seller, others[-2], "94107")
    told = await asked(desk, second)
    assert (told.took_part, told.before.won, told.after.won) == (1, 0, 0)


async def test_a_lead_that_no_campaign_takes_is_no_question(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pinging, "SPELLED_OUT", 0)
    seller = await desk.seller()
    mine = await buyer(desk, seller, "10001")
    await mine.bid(60_00)
    for nth in range(8):
        await desk.campaign(await desk.company(f"Company {nth}"), 50_00 + nth)
    elsewhere = Condition(field="zip", op="=", value="10009")
    deleted = await desk.campaign(mine.company_id, 90_00, filter=elsewhere)
    await desk.exchange.registry.delete_campaign(deleted, mine.company_id, desk.clock.now())
    desk.clock.forward(hours=1)
    await desk.ping(seller, zip="94107")
    told = await asked(desk, mine)
    assert (told.read, told.took_part, dict(told.not_known)) == (1, 0, {})


async def test_the_pages_of_a_day_give_each_receipt_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.flow.what_if.PAGE", 3)
    seller, mine, _ = await two_companies(desk)
    desk.clock.forward(days=1)
    for nth in range(10):
        # Several at one moment: their ids alone tell them apart.
        desk.clock.forward(seconds=nth % 2)
        await desk.ping(seller, zip="94107")
    told = await asked(desk, mine)
    assert (told.read, told.newly_won, told.cut) == (10, 10, None)
    assert len({change.receipt.ping_id for change in told.changes}) == 10


async def test_a_test_lead_is_nothing_to_have_won(desk: Desk) -> None:
    seller, mine, _ = await two_companies(desk)
    desk.clock.forward(days=1)
    await desk.ping(seller, zip="94107", test=True)
    assert (await asked(desk, mine)).took_part == 0


async def test_two_questions_at_once_are_one_too_many(desk: Desk) -> None:
    _, mine, other = await two_companies(desk)
    await desk.exchange.receipts.flush()
    what_if, today = desk.exchange.standings.what_if, desk.exchange.standings.today
    answers = await asyncio.gather(
        what_if.ask(mine.company_id, today, CLEAN),
        what_if.ask(other.company_id, today, CLEAN),
        return_exceptions=True,
    )
    assert isinstance(answers[0], Answered) and isinstance(answers[1], Unavailable)
    assert (await asked(desk, mine)).took_part
