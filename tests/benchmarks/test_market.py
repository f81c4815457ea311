"""What the bench writes into the stores and sends is what the exchange itself would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from benchmarks.markets import lead_bodies
from benchmarks.seeding import make_market
from exchange.bench.made_up import ping_bodies
from exchange.core.verticals import Vertical
from exchange.embedded import StoreUrls
from exchange.settings import PACKAGED_CONFIG
from exchange.stores.postgres import QUERIES
from exchange.verticals_file import read_verticals
from exchange.web.attributes import AttributesReader
from exchange.web.market_codec import show_vertical
from exchange.web.wire import JSON, PingBody

VERTICALS = read_verticals(Path(PACKAGED_CONFIG) / "verticals")
_TALLIES = ("check_ledger_sum", "check_counts")


@pytest.mark.parametrize("vertical", VERTICALS, ids=lambda v: v.name)
def test_made_up_pings_are_valid_in_every_vertical(vertical: Vertical) -> None:
    shown: dict[str, Any] = json.loads(JSON.encode(show_vertical(vertical)))
    reader = AttributesReader(vertical)
    for text in ping_bodies(shown, 200):
        body = msgspec.json.decode(text, type=PingBody)
        reader.read(body.attributes, is_form=False)
        assert body.test


def test_leads_of_two_seeds_have_no_contact_in_common() -> None:
    phones = [c["phone"] for seed in (1, 2, 100) for _, c in lead_bodies(500, seed)]
    assert len(set(phones)) == len(phones)


async def test_a_seeded_market_has_clean_books(stores: StoreUrls) -> None:
    url = await make_market(stores.postgres, "bench_test", 40, returner=True)
    connection = await asyncpg.connect(url)
    try:
        checks = [
            name
            for name, query in QUERIES.items()
            if name.startswith("check_") and name not in _TALLIES and "$1" not in query
        ]
        found = {name: await connection.fetch(QUERIES[name]) for name in checks}
        assert {name: rows for name, rows in found.items() if rows} == {}
        assert await connection.fetchval("select count(*) from campaign") == 41
        assert await connection.fetchval("select sum(cents) from ledger_entry") == 0
        assert await connection.fetchval("select count(*) from rejection") > 0
    finally:
        await connection.close()
        server = await asyncpg.connect(stores.postgres)
        await server.execute("drop database bench_test")
        await server.close()
