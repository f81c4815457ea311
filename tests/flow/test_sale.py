"""A lead from ping to sale, and what a company's history makes of its price (rules: §2–§6)."""

from __future__ import annotations

import pytest

from bidders.crm import Behaviour, CrmServer
from exchange.core.model import Policy
from exchange.core.reasons import Reason
from exchange.core.standing import Verdict
from exchange.embedded import StoreUrls
from tests.flow.market import Buyer, Desk, buyer, key_of, open_desk

BROKEN = Behaviour(fail_rate=1.0)


async def bought_before(
    desk: Desk, crm: CrmServer, zip: str, *, kept: int, returned: int, failed: int
) -> Buyer:
    """A company that was assigned leads of these cents, out of real sales and deliveries."""
    company = await buyer(desk, await desk.seller(), zip)
    # First what fails: while the company is protected it moves no price.
    if failed:
        await company.fail(failed, crm.set_behaviour("broken", BROKEN))
    lead = await company.buy(returned) if returned else None
    if kept:
        await company.buy(kept)
    if lead:
        await desk.reject(company.company_id, lead)
    return company


async def test_a_sale_pays_the_seller_what_is_left_after_the_margin(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 45_75)
    sold = await desk.sell(seller)
    assert sold.price_cents == 38_89
    accounts = await desk.rows("select account, cents from ledger_entry")
    assert {row["account"]: row["cents"] for row in accounts} == {
        f"company:{company}": -45_75,
        f"seller:{seller}": 38_89,
        "operator": 6_86,
    }


async def test_a_sold_lead_stands_in_the_companys_inbox_with_its_contact(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 45_75)
    sold = await desk.sell(seller)
    (lead,) = await desk.exchange.inbox.leads(company, "", 10)
    assert (lead.lead_id, lead.price_cents, lead.status) == (sold.lead_id, 45_75, "sold")
    assert lead.contact is not None
    assert (lead.contact.first_name, lead.contact.phone) == ("Ada", "+14155550123")


async def test_a_lost_contact_key_hides_only_the_leads_it_encrypted(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 45_75)
    hidden, shown = await desk.sell(seller), await desk.sell(seller)
    await desk.value("update lead set contact_key_id = 9 where id = $1", hidden.lead_id)
    leads = {lead.lead_id: lead for lead in await desk.exchange.inbox.leads(company, "", 10)}
    assert leads[hidden.lead_id].contact is None
    assert leads[shown.lead_id].contact is not None


async def test_a_sold_contact_is_a_duplicate_for_thirty_days(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 45_75)
    keyed = {"contact_keys": (key_of("ada"),)}
    receipt = await desk.ping(seller, contact_keys=(key_of("ada"),))
    await desk.exchange.post(desk.post_request(receipt, **keyed))  # type: ignore[arg-type]
    again = await desk.ping(seller, contact_keys=(key_of("ada"),))
    assert (again.status, again.reason) == ("refused", Reason.DUPLICATE)
    desk.clock.forward(days=30)
    later = await desk.ping(seller, contact_keys=(key_of("ada"),))
    # No duplicate any more; but its only buyer has bought this contact before.
    assert (later.status, later.reasons) == ("no_offer", {"sold_before": 1})


async def test_three_companies_pay_as_published_and_the_third_is_excluded(
    desk: Desk, crm: CrmServer
) -> None:
    best = await bought_before(desk, crm, "10001", kept=9_790_00, returned=180_00, failed=30_00)
    fair = await bought_before(desk, crm, "10002", kept=9_150_00, returned=530_00, failed=320_00)
    worst = await bought_before(desk, crm, "10003", kept=8_130_00, returned=630_00, failed=1240_00)
    for company in (best, fair, worst):
        await company.bid(100_00, anywhere=True)
    receipt = await desk.ping(best.seller_id)
    found = {c.company_id: (c.rectified_cents, c.reason) for c in receipt.candidates}
    assert found == {
        best.company_id: (97_90, None),
        fair.company_id: (91_50, Reason.OUTBID),
        worst.company_id: (None, Reason.CRM_GATE),
    }
    standings = [await company.standing() for company in (best, fair, worst)]
    assert [(s.verdict, s.overall_hundredths, s.crm_hundredths) for s in standings] == [
        (Verdict.QUALIFIED, 2_10, 30),
        (Verdict.CONDITIONAL, 8_50, 3_20),
        (Verdict.EXCLUDED, 18_70, 12_40),
    ]


async def test_the_excluded_company_would_pay_81_30_once_it_bids_again(
    desk: Desk, crm: CrmServer
) -> None:
    worst = await bought_before(desk, crm, "10003", kept=8_130_00, returned=1870_00, failed=0)
    await worst.bid(100_00)
    assert await desk.price(worst.seller_id, zip="10003") == 81_30


async def test_a_50_dollar_base_at_8_5_percent_costs_45_75(desk: Desk, crm: CrmServer) -> None:
    company = await bought_before(desk, crm, "10001", kept=9_150_00, returned=850_00, failed=0)
    lead = await company.buy(50_00)
    assert await desk.value("select charged from sale where lead_id = $1", lead) == 45_75


async def test_a_rejected_500_dollar_lead_weighs_as_much_as_ten_of_50(
    desk: Desk, crm: CrmServer
) -> None:
    company = await buyer(desk, await desk.seller())
    for _ in range(10):
        await company.buy(50_00)
    await company.buy_and_return(500_00)
    assert (await company.standing()).overall_hundredths == 50_00


async def test_spans_of_2_5_and_6_and_8_percent_come_to_5_5_percent(
    stores: StoreUrls, database: str
) -> None:
    # Charged the base, so that every day is worth the same.
    async with open_desk(stores, database, policy=Policy(rectify="rank_only")) as desk:
        company = await buyer(desk, await desk.seller())
        for returned in (250_00, 600_00, 800_00):
            await company.buy(1_000_00 - returned)
            await company.buy_and_return(returned)
            desk.clock.forward(days=1)
            for _ in range(9):
                await company.buy(1_000_00)
                desk.clock.forward(days=1)
        desk.clock.forward(days=-1)
        standing = await company.standing()
        assert (standing.raw_assigned, standing.overall_hundredths) == (30_000_00, 5_50)
        await company.bid(100_00)
        receipt = await desk.ping(company.seller_id, zip="10001")
        assert receipt.candidates[0].rectified_cents == 94_50
        await desk.assert_clean()


async def test_a_day_leaves_the_window_with_its_rejections_at_midnight(
    desk: Desk, crm: CrmServer
) -> None:
    company = await bought_before(desk, crm, "10001", kept=100_00, returned=100_00, failed=0)
    desk.clock.forward(days=1)
    await company.bid(100_00)
    assert await desk.price(company.seller_id, zip="10001") == 50_00
    desk.clock.forward(days=28, hours=11, minutes=59)
    assert (await company.standing()).raw_manual == 100_00
    desk.clock.forward(minutes=1)
    assert (await company.standing()).raw_manual == 0
    assert await desk.price(company.seller_id, zip="10001") == 100_00


@pytest.mark.parametrize(
    ("kept", "verdict", "protection_left"),
    [
        pytest.param(2_999_99, Verdict.QUALIFIED, 1, id="$4,999.99 assigned: nothing counts"),
        pytest.param(3_000_00, Verdict.EXCLUDED, 0, id="$5,000.00 assigned: all of it counts"),
    ],
)
async def test_crm_rejections_count_from_5000_dollars_assigned(
    desk: Desk, crm: CrmServer, kept: int, verdict: Verdict, protection_left: int
) -> None:
    company = await bought_before(desk, crm, "10001", kept=kept, returned=0, failed=2_000_00)
    standing = await company.standing()
    assert (standing.verdict, standing.protection_left) == (verdict, protection_left)
    assert standing.raw_crm == 2_000_00
    receipt = await desk.ping(company.seller_id, zip="10001")
    assert receipt.status == ("no_offer" if verdict is Verdict.EXCLUDED else "offer")


@pytest.mark.parametrize(
    ("failed", "status"),
    [
        pytest.param(1_000_00, "offer", id="exactly 10 % still bids"),
        pytest.param(1_000_01, "no_offer", id="a cent more is excluded"),
    ],
)
async def test_the_gate_closes_above_10_percent(
    desk: Desk, crm: CrmServer, failed: int, status: str
) -> None:
    kept = 10_000_00 - failed
    company = await bought_before(desk, crm, "10001", kept=kept, returned=0, failed=failed)
    receipt = await desk.ping(company.seller_id, zip="10001")
    assert receipt.status == status


async def test_an_excluded_company_bids_with_none_of_its_campaigns(
    desk: Desk, crm: CrmServer
) -> None:
    company = await bought_before(desk, crm, "10001", kept=8_000_00, returned=0, failed=2_000_00)
    await desk.campaign(company.company_id, 60_00)
    receipt = await desk.ping(company.seller_id, zip="10001")
    assert receipt.reasons == {"crm_gate": 2}
