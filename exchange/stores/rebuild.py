"""The fast store made anew from the books: windows, usage and seen contacts. Offers are not
restored: a post whose offer is gone is finished from its receipt.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final

from msgspec import Struct

from exchange.core.changes import CompanyChange
from exchange.flow.market_ports import Snapshots
from exchange.stores.postgres import Postgres
from exchange.stores.redis_mirror import RedisMirror
from exchange.stores.redis_offers import SEEN_DAYS, RedisOffers

_LOCK: Final = 7_260_412
"""The advisory lock that lets one worker at a time rebuild; any constant would do."""


class Rebuilt(Struct, frozen=True, kw_only=True):
    """What a rebuild wrote; ``suppressed`` are the keyed hashes of suppression lists."""

    companies: int
    contacts: int
    removed: int
    suppressed: int = 0


async def rebuild(
    postgres: Postgres,
    snapshots: Snapshots,
    mirror: RedisMirror,
    offers: RedisOffers,
    *,
    now: datetime,
    first_day: date,
) -> Rebuilt:
    """Write every company's figures and every sold contact again. Safe beside running workers."""
    async with postgres.connection() as connection:
        await connection.execute("select pg_advisory_lock($1)", _LOCK)
        try:
            wholes = await snapshots.companies(first_day, now)
            removed = await _remove_unknown(mirror, wholes)
            for whole in wholes:
                await mirror.forget(whole.company_id)
                # Read again after forgetting: what changed in between was written and forgotten.
                for fresh in await snapshots.companies(first_day, now, [whole.company_id]):
                    await mirror.write(fresh)
            contacts = 0
            since = now - timedelta(days=SEEN_DAYS)
            for row in await postgres.rows("seen_contacts", since):
                await offers.saw(
                    row["contact_keys"], row["seller_id"], row["companies"], row["sold_at"]
                )
                contacts += 1
        finally:
            await connection.execute("select pg_advisory_unlock($1)", _LOCK)
    return Rebuilt(companies=len(wholes), contacts=contacts, removed=removed)


async def _remove_unknown(mirror: RedisMirror, wholes: list[CompanyChange]) -> int:
    unknown = await mirror.companies() - {whole.company_id for whole in wholes}
    for company_id in unknown:
        await mirror.forget(company_id)
    return len(unknown)
