"""The books of the soaked exchange, read row by row over a connection of our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg
from msgspec import Struct

Rows = Sequence[Mapping[str, Any]]

_TABLES: Final = {
    "leads": "select id, ping_id, seller_id, state, finished_at is not null as done from lead",
    "legs": "select lead_id, leg, state, seller_cents from leg",
    "deliveries": "select id, lead_id, leg, company_id, state, charged, seller_cents, attempts, "
    "day from delivery",
    "sales": "select delivery_id, lead_id, leg, company_id, seller_id, charged, seller_cents, "
    "margin, state from sale",
    "rejections": "select delivery_id, lead_id, company_id, kind, value from rejection",
    "ledger": "select account, sum(cents)::bigint as cents from ledger_entry group by account",
    "companies": "select id, balance, held from company",
}


class Books(Struct, frozen=True, kw_only=True):
    """The rows that stand for facts."""

    leads: Rows
    legs: Rows
    deliveries: Rows
    sales: Rows
    rejections: Rows
    ledger: Rows
    companies: Rows


async def read_books(url: str) -> Books:
    """Read everything, as one transaction sees it."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            rows: dict[str, Rows] = {
                name: [dict(row) for row in await connection.fetch(query)]
                for name, query in _TABLES.items()
            }
    finally:
        await connection.close()
    return Books(**rows)


async def open_leads(url: str) -> int:
    """How many leads are not finished."""
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("select count(*) from lead where finished_at is null"))
    finally:
        await connection.close()
