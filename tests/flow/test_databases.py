"""What a test leaves in its database is not there for the next."""

from __future__ import annotations

from typing import Any

import asyncpg

from exchange.embedded import StoreUrls
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_migrations import migrate
from tests.databases import bare_database, empty, fresh_database
from tests.flow.market import open_desk

_TABLES = "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind"


async def contents(url: str) -> dict[str, Any]:
    """All rows of all tables, but when a migration was applied; and where each sequence stands."""
    connection = await asyncpg.connect(url)
    found = {}
    for (table,) in await connection.fetch(f"{_TABLES} = 'r'"):
        rows = await connection.fetch(
            f"select to_jsonb(t) - 'applied_at' from {table} t order by 1"
        )
        found[table] = [row[0] for row in rows]
    for (sequence,) in await connection.fetch(f"{_TABLES} = 'S'"):
        found[sequence] = await connection.fetch(f"select last_value, is_called from {sequence}")
    await connection.close()
    return found


async def test_an_emptied_database_holds_what_a_new_one_does(stores: StoreUrls) -> None:
    async with bare_database(stores) as url:
        postgres = Postgres(url, size=1)
        await postgres.start()
        await migrate(postgres)
        await postgres.close()
        new = await contents(url)
    async with fresh_database(stores) as url:
        assert await contents(url) == new
        async with open_desk(stores, url) as desk:
            seller_id, company_id = await desk.seller(), await desk.company(prepaid=500_00)
            await desk.campaign(company_id, 50_00)
            await desk.reject(company_id, (await desk.sell(seller_id)).lead_id)
        used = await contents(url)
        assert used["company"]
        assert used["campaign_version"] != new["campaign_version"]
        await empty(url)
        assert await contents(url) == new
