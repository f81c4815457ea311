"""Returns of the version before are understood."""

from __future__ import annotations

import pytest

from exchange.stores import postgres_migrations
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_migrations import migrate, read_migrations

SOLD = """
insert into seller (id, name, created_at) values ('s', 's', now());
insert into company (id, name, created_at) values ('c', 'c', now());
insert into lead (id, ping_id, seller_id, vertical, test, idempotency_key, body_hash, offer,
                  contact, contact_key_id, contact_keys, owner, received_at, deadline_at)
select lead, lead, 's', 'solar', false, lead, '', '', '', 1, '{}', 'w', now(), now()
from (values ('l1')) as one (lead);
insert into leg (lead_id, leg, state, promised) select id, 0, 'sold', 8500 from lead;
insert into delivery (id, lead_id, leg, place, company_id, campaign_id, state, test, charged,
                      seller_cents, day, era, reserved_at)
select 'd-' || id, id, 0, 0, 'c', 'k', 'accepted', false, 10000, 8500, '2026-11-21', 0, now()
from lead;
insert into sale (delivery_id, lead_id, leg, company_id, campaign_id, seller_id, charged,
                  seller_cents, margin, day, era, sold_at, window_closes_at)
select id, lead_id, 0, 'c', 'k', 's', 10000, 8500, 1500, day, 0, now(), now() + interval '2 days'
from delivery;
insert into bucket (company_id, day, era, assigned) values ('c', '2026-11-21', 0, 10000)
"""
RETURN = "select book_rejection('r-l1', 'd-l1', 525, null, null, now())"


async def test_returns_of_the_version_before_are_accepted_ones_of_their_seller(
    bare: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = read_migrations()
    with monkeypatch.context() as patched:
        ours = next(migration for migration in every if migration.name == "returns")
        before = [migration for migration in every if migration.number < ours.number]
        patched.setattr(postgres_migrations, "read_migrations", lambda: before)
        await migrate(bare)
    async with bare.connection() as connection:
        await connection.execute(SOLD)
        await connection.execute(RETURN)
    await migrate(bare)
    async with bare.connection() as connection:
        rows = await connection.fetch(
            "select id, status, seller_id, accepted_at = rejected_at as at_once from rejection"
            " order by id"
        )
        assert [tuple(row) for row in rows] == [("r-l1", "accepted", "s", True)]
        assert await connection.fetchval("select balance from company") == 10_000
        assert await connection.fetchval("select reverse_rejection('r-l1', '', 1::int2, now())")
        assert await connection.fetchval("select manual from bucket") == 0
        assert await connection.fetchval("select sum(cents) from ledger_entry") == 0
