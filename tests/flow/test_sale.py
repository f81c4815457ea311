"""A lead from ping to rejection. Source: rules §2–§8."""

from __future__ import annotations

from tests.flow.market import Desk


async def test_a_lead_is_sold_and_its_rejection_prices_the_next_ping(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 10_000)
    sold = await desk.sell(seller)
    assert sold.price_cents == 8_500
    await desk.sell(seller)
    rejected, standing = await desk.exchange.reject(
        company, sold.lead_id, reason_code="invalid_contact", text=None, note=None
    )
    assert rejected.value_cents == 10_000
    assert standing.overall_hundredths == 50_00
    assert await desk.price(seller) == 5_000
