"""What each side can look up of its own: sold leads, failed deliveries that count (rules: §12)."""

from __future__ import annotations

from bidders.crm import CrmServer
from exchange.core.model import CompanyId
from exchange.flow.returning import Kind, Return
from tests.flow.market import Buyer, Desk, buyer
from tests.flow.test_reset import BROKEN, reset


async def listed(desk: Desk, company: CompanyId, kind: Kind | None, **more: bool) -> list[Return]:
    returning = desk.exchange.returning
    return list(await returning.returns("company", company, "", 100, kind, **more))


async def failing(desk: Desk, crm: CrmServer) -> Buyer:
    """A company with a failed delivery of an old era, two of this one, and a return of each."""
    company = await buyer(desk, await desk.seller())
    url = crm.set_behaviour("broken", BROKEN)
    await company.fail(300_00, url)
    await desk.reject(company.company_id, await company.buy(100_00))
    await company.buy(7_000_00)
    await reset(desk, company.company_id)
    desk.clock.forward(days=1)
    await company.fail(10_00, url)
    await desk.reject(company.company_id, await company.buy(20_00))
    await company.fail(30_00, url)
    return company


async def test_a_company_lists_the_failed_deliveries_that_are_in_its_rate(
    desk: Desk, crm: CrmServer
) -> None:
    company = await failing(desk, crm)
    company_id = company.company_id
    every = await listed(desk, company_id, "crm")
    counting = await listed(desk, company_id, "crm", counting=True)
    # Lists go by id, which says nothing of the order in which deliveries failed.
    first = min(every, key=lambda one: one.rejected_at)
    assert (len(every), counting) == (3, [one for one in every if one is not first])
    standing = await company.standing()
    assert sum(one.value_cents for one in counting) == standing.raw_crm_rejected
    returned = await listed(desk, company_id, None)
    assert [one.kind for one in returned] == ["manual", "manual"]
    assert await listed(desk, company_id, "manual", counting=True) == returned
    # A reversed one is in the rate no longer, nor is any that has left the window.
    await desk.exchange.returning.reverse(counting[0].rejection_id, "Our fault.")
    assert await listed(desk, company_id, "crm", counting=True) == counting[1:]
    desk.clock.forward(days=30)
    assert await listed(desk, company_id, "crm", counting=True) == []


async def test_a_failed_delivery_is_read_by_its_own_company_and_by_no_seller(
    desk: Desk, crm: CrmServer
) -> None:
    company = await failing(desk, crm)
    (failed, *_) = await listed(desk, company.company_id, "crm")
    returning = desk.exchange.returning
    assert await returning.one("company", company.company_id, failed.rejection_id) == failed
    assert len(await returning.returns("seller", company.seller_id, "", 100, "crm")) == 2
    other = await desk.company()
    assert await listed(desk, other, "crm") == []
    assert {one.kind for one in await returning.returns("operator", "", "", 100, "crm")} == {"crm"}


async def test_a_seller_lists_what_it_sold_page_by_page_with_what_became_of_each_leg(
    desk: Desk,
) -> None:
    seller, companies = await desk.seller(), [await desk.company() for _ in range(2)]
    for company in companies:
        await desk.campaign(company, shared={2: 60_00})
    shared = await desk.sell(seller, max_buyers=2, source={"sub_id": "roofs"})
    await desk.sell(seller, max_buyers=2, test=True)
    await desk.sell(await desk.seller("another"), max_buyers=2)
    alone = await desk.sell(seller, max_buyers=2)
    await desk.reject(companies[1], shared.lead_id)

    inbox = desk.exchange.inbox
    (first,) = await inbox.sales(seller, "", 1)
    assert (first.lead_id, first.ping_id) == (shared.lead_id, shared.ping_id)
    assert (first.source, first.sold_at) == ({"sub_id": "roofs"}, desk.clock.now())
    assert [leg.seller_cents for leg in first.legs] == [51_00, 51_00]
    assert sorted(leg.status for leg in first.legs) == ["rejected", "sold"]
    assert [one.lead_id for one in await inbox.sales(seller, first.lead_id, 10)] == [alone.lead_id]
