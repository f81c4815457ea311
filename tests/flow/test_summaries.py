"""Reports over what really was pinged, sold, refused and returned (rules §12)."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from bidders.crm import Behaviour, CrmServer
from exchange.core.model import CompanyId
from exchange.core.reasons import Reason
from exchange.core.report_rows import Row
from exchange.core.reports import REPORTS, ReportAsk, Spell
from tests.flow.market import Desk, http
from tests.flow.returning import asked, balances, decide, sold_leads


async def read(
    desk: Desk, name: str, party: str | None = None, spell: Spell = "month", by: str | None = None
) -> list[Row]:
    """A report over three months; of a seller or company where one is named."""
    await desk.exchange.receipts.flush()
    await desk.exchange.summaries.catch_up()
    spec = REPORTS[name]
    level: Any = "market"
    if party is not None:
        level = "seller" if "company" not in spec.readers else "company"
    today = desk.exchange.today(desk.clock.now())
    ask = ReportAsk(
        spec=spec, reader="operator", level=level, party=party, first=today - timedelta(days=60),
        last=today + timedelta(days=30), spell=spell, by=by,
    )  # fmt: skip
    return [row async for rows in desk.exchange.reports.rows(ask) for row in rows]


async def test_a_lead_is_told_from_its_ping_to_its_return(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 100_00)
    sold = [await desk.sell(seller) for _ in range(3)]
    await desk.reject(company, sold[0].lead_id)
    await desk.ping(seller)
    (row,) = await read(desk, "sell-through")
    assert row["seller_id"] == seller
    assert (row["pings"], row["offers"], row["posts"], row["sold"]) == (4, 4, 3, 3)
    assert (row["revenue"], row["average_price"]) == (3 * 85_00, 85_00)
    assert (row["returned"], row["taken_back"], row["net_revenue"]) == (1, 85_00, 2 * 85_00)
    (impact,) = await read(desk, "monthly-impact", company)
    assert (impact["leads"], impact["revenue"], impact["credited"]) == (3, 300_00, 100_00)


async def test_what_a_company_refused_at_the_post_is_its_saving(desk: Desk, crm: CrmServer) -> None:
    seller = await desk.seller()
    refusing, taking = await desk.company("refusing"), await desk.company("taking")
    no = crm.set_behaviour("no", Behaviour(refuse_rate=1.0, refuse_reason="not for us"))
    await desk.campaign(refusing, 120_00, delivery=(http(no),))
    await desk.campaign(taking, 100_00)
    result = await desk.post(await desk.ping(seller, cascade="min_price", min_price=50_00))
    assert result.status == "sold"
    (row,) = await read(desk, "savings", refusing)
    assert (row["stage"], row["refused"], row["value"]) == ("post", 1, 120_00)
    assert row["basis"] == "exact"


async def test_what_the_gate_refused_is_told_and_what_it_would_have_cost(
    desk: Desk, crm: CrmServer
) -> None:
    seller, company = await desk.seller(), await desk.company()
    campaign = await desk.campaign(company, 6_000_00)
    await desk.sell(seller)
    broken = crm.set_behaviour("broken", Behaviour(fail_rate=1.0))
    await desk.campaign(company, 6_000_00, delivery=(http(broken),), campaign_id=campaign)
    assert (await desk.post(await desk.ping(seller))).status == "unsold"
    assert (await desk.standing(company)).verdict == "excluded"
    for _ in range(3):
        assert (await desk.ping(seller)).status == "no_offer"
    (row,) = await read(desk, "savings", company)
    assert (row["reason"], row["refused"]) == ("crm_gate", 3)
    assert (row["average_charge"], row["value"]) == (6_000_00, 3 * 6_000_00)
    (impact,) = await read(desk, "monthly-impact")
    assert (impact["gate_refused"], impact["gate_refused_campaigns"]) == (3, 3)
    assert (impact["failed"], impact["lost"]) == (1, 6_000_00)


async def test_lost_bids_are_told_with_their_reasons_and_add_up(desk: Desk) -> None:
    seller = await desk.seller()
    dear, cheap = await desk.company("dear"), await desk.company("cheap")
    await desk.campaign(dear, 100_00)
    await desk.campaign(cheap, 50_00)
    for _ in range(4):
        await desk.ping(seller)
    (row,) = await read(desk, "lost-bids", cheap)
    assert (row["outcome"], row["reason"], row["pings"]) == ("lost", "outbid", 4)
    assert row["pings_pct"] == 100_00
    (won,) = await read(desk, "lost-bids", dear)
    assert (won["outcome"], won["reason"], won["pings"]) == ("won", "", 4)


async def test_section_4_a_rejection_moves_the_day_its_lead_was_assigned(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 100_00)
    lead = await desk.sell(seller)
    assigned: date = desk.exchange.today(desk.clock.now())
    desk.clock.forward(hours=40)
    await desk.reject(company, lead.lead_id)
    rows = await read(desk, "monthly-impact", spell="day")
    assert [(row["period"], row["returned"]) for row in rows if row["leads"]] == [(assigned, 1)]
    assert [row["credited"] for row in rows] == [100_00]


async def told(desk: Desk, company: str) -> tuple[object, ...]:
    """What the summaries say of a company that pays afterwards, held against the ledger."""
    (impact,) = await read(desk, "monthly-impact", company)
    (sold,) = await read(desk, "sell-through")
    ledger = await balances(desk)
    assert impact["net_revenue"] == -ledger["company"]
    assert sold["net_revenue"] == ledger["seller"]
    assert impact["margin"] == sold["margin"] == ledger["operator"]
    reasons = await read(desk, "refusals-and-returns", company, by="reason")
    standing = await desk.standing(CompanyId(company))
    assert impact["rejection_pct"] == 100_00 * standing.rejected // standing.assigned
    today = desk.exchange.today(desk.clock.now())
    assert await desk.exchange.summaries.check(today) == []
    return (
        impact["returned"], impact["credited"], impact["in_review"],
        {str(row["value"]): row["returned"] for row in reasons if row["returned"]},
    )  # fmt: skip


@pytest.mark.parametrize("counted_between", [True, False])
async def test_section_8_a_return_is_credited_in_reports_when_it_is_in_the_ledger(
    desk: Desk, counted_between: bool
) -> None:
    _, company, leads = await sold_leads(desk, 4)
    rejected = await asked(desk, company, leads[0])
    if counted_between:
        assert await told(desk, company) == (1, 0, 100_00, {"reason_unclear": 1})
    await decide(desk, rejected.rejection_id, reason=Reason.SEASONAL)
    assert await told(desk, company) == (1, 100_00, 0, {"seasonal": 1})
    await desk.exchange.returning.reverse(rejected.rejection_id, "The number works.")
    assert await told(desk, company) == (0, 0, 0, {})


async def test_section_8_a_return_declined_in_review_is_in_no_report(desk: Desk) -> None:
    _, company, leads = await sold_leads(desk, 4)
    rejected = await asked(desk, company, leads[0])
    assert await told(desk, company) == (1, 0, 100_00, {"reason_unclear": 1})
    await decide(desk, rejected.rejection_id, approved=False, sentence="Liking is no reason.")
    assert await told(desk, company) == (0, 0, 0, {})


async def test_two_workers_count_each_lead_once(desk: Desk, other: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 100_00)
    await other.exchange.following.load()
    for worker in (desk, other) * 3:
        await worker.sell(seller)
    await other.exchange.receipts.flush()
    (row,) = await read(desk, "sell-through")
    assert (row["pings"], row["posts"], row["revenue"]) == (6, 6, 6 * 85_00)


async def test_a_test_lead_is_in_no_report(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 100_00)
    assert (await desk.post(await desk.ping(seller, test=True))).status == "sold"
    assert await read(desk, "sell-through") == []
    assert await read(desk, "monthly-impact") == []
