"""Day summaries."""

from __future__ import annotations

from tests.flow.market import Desk


async def test_tmp(desk: Desk) -> None:
    seller = await desk.seller()
    company = await desk.company()
    await desk.campaign(company, 100_00)
    sold = [await desk.sell(seller) for _ in range(3)]
    await desk.reject(company, sold[0].lead_id)
    await desk.exchange.receipts.flush()
    await desk.exchange.summarising.catch_up()
    for row in await desk.rows("select * from day_summary order by 1,2,3"):
        print(dict(row))
    for row in await desk.rows("select * from day_ping order by 1,2,3"):
        print(dict(row))
