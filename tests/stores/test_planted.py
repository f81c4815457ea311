"""No contact field is in clear in either store, whatever happened to its lead (rules: §3, §12)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack

import pytest

from bidders.crm import Behaviour, crm_server
from exchange.core.reasons import Reason
from exchange.embedded import StoreUrls
from exchange.flow.ports import Contact, Sealed
from exchange.flow.returning import Statement
from exchange.stores.vault import ContactVault
from tests.databases import fresh_database
from tests.flow.market import SECRETS, Desk, http, open_desk

CONTACT = Contact(
    first_name="Wilhelmina",
    last_name="Featherstonehaugh",
    phone="+14155550187",
    email="w.feather@planted.example",
    address={"street": "4711 Marmalade Lane", "city": "Tillamook"},
)
PLANTED = (
    *("wilhelmina", "featherstonehaugh", "4155550187", "555-0187", "planted.example"),
    *("marmalade", "tillamook"),
)
QUOTE = "Wilhelmina Featherstonehaugh, 415-555-0187, w.feather@planted.example"


@pytest.fixture(scope="module")
async def desk(stores: StoreUrls) -> AsyncIterator[Desk]:
    """A market in which the contact was sold, refused, failed and returned, and quoted about."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(fresh_database(stores))
        crm = await stack.enter_async_context(crm_server(seed=7, behaviours={}))
        desk = await stack.enter_async_context(open_desk(stores, url))
        seller, company = await desk.seller(), await desk.company()
        quoting = Behaviour(refuse_rate=1.0, refuse_reason=f"we know {QUOTE}")
        ways = {
            "refusing": (300_00, http(crm.set_behaviour("refusing", quoting))),
            "broken": (250_00, http(crm.set_behaviour("broken", Behaviour(fail_rate=1.0)))),
            "good": (200_00, http(crm.set_behaviour("good", Behaviour()))),
        }
        for name, (cents, target) in ways.items():
            owner = company if name == "good" else await desk.company(name)
            await desk.campaign(owner, cents, delivery=(target,))
        leads = []
        for place in range(3):
            receipt = await desk.ping(seller, min_price=1_00, cascade="min_price")
            keys = (f"{place}" * 64,)
            request = desk.post_request(receipt, contact=CONTACT, contact_keys=keys)
            leads.append((await desk.exchange.post(request)).lead_id)
        await desk.exchange.reject(
            company, leads[0], reason_code=None, text=f"wrong number: {QUOTE}", note=None
        )
        await desk.exchange.reject(
            company, leads[1], reason_code="duplicate", text=None, note=QUOTE
        )
        returning = desk.exchange.returning
        for one in await returning.returns("company", company, "", 10):
            said = Statement(statement=f"I rang {QUOTE}", evidence=(QUOTE,))
            found = await returning.dispute(one.rejection_id, seller, said)
            assert found.dispute is not None
            await returning.decide_dispute(
                found.dispute.dispute_id, overturned=True, sentence=f"So did we: {QUOTE}"
            )
        assert crm.counts("good").accepted == 3
        await desk.exchange.receipts.flush()
        yield desk


def texts(value: object) -> Iterator[str]:
    """Every text in a value of a store, bytes read as text."""
    if isinstance(value, bytes):
        yield value.decode(errors="replace").lower()
    elif isinstance(value, Mapping):
        for pair in value.items():
            yield from texts(pair)
    elif isinstance(value, list | tuple | set):
        for part in value:
            yield from texts(part)
    else:
        yield str(value).lower()


def planted_in(value: object) -> list[str]:
    return [word for word in PLANTED for text in texts(value) if word in text]


async def test_what_is_searched_for_would_be_found() -> None:
    hidden = {"a": [b"\xff\x00" + QUOTE.encode()], "b": ("4711 Marmalade Lane",)}
    assert {"wilhelmina", "planted.example", "marmalade"} <= set(planted_in(hidden))


async def test_no_row_of_any_table_has_it(desk: Desk) -> None:
    tables = await desk.rows("select tablename from pg_tables where schemaname = 'public'")
    found, rows = [], 0
    for table in tables:
        for row in await desk.rows(f'select * from "{table["tablename"]}"'):
            rows += 1
            found += [
                (table["tablename"], column, words)
                for column, value in row.items()
                if (words := planted_in(value))
            ]
    assert rows > 30
    assert found == []


async def test_no_key_of_the_fast_store_has_it(desk: Desk) -> None:
    redis, keys = desk.exchange._redis, 0
    async for key in redis.scan_iter(count=1_000):
        keys += 1
        is_hash = await redis.type(key) == b"hash"
        held = await redis.hgetall(key) if is_hash else await redis.get(key)
        assert planted_in((key, held)) == []
    assert keys > 6


async def test_the_lead_and_what_was_said_of_it_open_with_the_key(desk: Desk) -> None:
    vault = ContactVault([(key.key_id, key.key) for key in SECRETS.contact_keys])
    (row,) = await desk.rows(
        "select note_key_id, note, lead_id from rejection where reason = $1",
        Reason.INVALID_CONTACT,
    )
    note = vault.open_note(Sealed(row["note_key_id"], row["note"]), row["lead_id"])
    assert note == f"wrong number: {QUOTE}"
    (lead,) = await desk.rows(
        "select contact_key_id, contact, id from lead where id = $1", row["lead_id"]
    )
    assert vault.open(Sealed(lead["contact_key_id"], lead["contact"]), lead["id"]) == CONTACT
