"""The bench of reports, a few hundred leads of it: what it makes is what its leads come to."""

from __future__ import annotations

from benchmarks.reports import Plan, measure
from exchange.core.reports import REPORTS
from exchange.embedded import StoreUrls
from exchange.stores.postgres import Postgres
from tests.databases import fresh_database


async def test_a_small_year_is_counted_as_drawn_and_every_report_read(stores: StoreUrls) -> None:
    async with fresh_database(stores) as url:
        postgres = Postgres(url, size=3)
        await postgres.start()
        plan = Plan(days=3, leads=301, raw_days=1, rounds=2)
        # Raises CountedWrong where the summariser and the direct sums differ.
        found = await measure(postgres, plan, lambda what: None)
        await postgres.close()
    assert (found.leads, found.raw_leads) == (301, 100)
    assert {one.report for one in found.timed} == REPORTS.keys()
    assert all(one.rows for one in found.timed)
