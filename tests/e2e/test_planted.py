"""Contact data is in clear nowhere but with the company that bought it. Source: rules §3, §12.

Values nobody else has are planted, and everything a run leaves is searched for them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import asyncpg
import pytest
from redis.asyncio import from_url

from bidders.crm import Behaviour, CrmServer, crm_server
from tests.e2e.running import Running, serving, temporary_home, until
from tests.e2e.wire import ATTRIBUTES, Account, Json, Wire, hashes_of

pytestmark = pytest.mark.e2e

CONTACT: Json = {
    "first_name": "Zebediahx",
    "last_name": "Quillfeatherx",
    "phone": "+12127369731",
    "email": "zq.umbrella@planted.example.com",
    "address": "7731 Marzipan Terrace",
}
OF_THE_SAME_NAME: Json = {
    **CONTACT,
    "phone": "+12127369732",
    "email": "zq.umbrella.2@planted.example.com",
}
PLANTED = (
    *("zebediahx", "quillfeatherx", "2127369731", "212-736-9731", "736-9731"),
    *("zq.umbrella", "marzipan"),
)
QUOTING = f"{CONTACT['first_name']} {CONTACT['last_name']} at (212) 736-9731 or {CONTACT['email']}"
SEARCHED_AT_LEAST = 12


def planted_in(found: bytes | str) -> list[str]:
    """The planted values that stand in this, in clear or as text that only escapes it."""
    text = found.decode(errors="replace") if isinstance(found, bytes) else found
    folded = text.lower()
    return [value for value in PLANTED if value in folded]


class Run:
    """What happened in the run that is searched."""

    seller: Account
    buyer: Account
    refuser: Account
    ping_id: str
    answers: list[bytes]


@pytest.fixture(scope="module")
async def home_and_run() -> AsyncIterator[tuple[Running, Run, CrmServer]]:
    """An exchange in which the planted contact was pinged, refused, failed, sold and returned."""
    async with (
        temporary_home() as home,
        crm_server(seed=7) as crm,
        serving(home, workers=2, given={"EXCHANGE_LOG_LEVEL": "debug"}) as running,
        Wire(running) as wire,
    ):
        run = Run()
        run.answers = []
        run.seller, run.buyer = await wire.seller(), await wire.company("Buyer")
        run.refuser, breaker = await wire.company("Refuser"), await wire.company("Breaker")
        quoting = Behaviour(refuse_rate=1.0, refuse_reason=f"duplicate of {QUOTING}"[:200])
        buying = crm.set_behaviour("buyer", Behaviour())
        await wire.campaign(run.refuser, "90.00", url=crm.set_behaviour("refuser", quoting))
        failing = crm.set_behaviour("breaker", Behaviour(fail_rate=1.0, failure="422"))
        await wire.campaign(breaker, "80.00", url=failing)
        await wire.campaign(run.buyer, "70.00", url=buying)
        await _plant(wire, run)
        yield running, run, crm


async def _plant(wire: Wire, run: Run) -> None:
    async def keep(call: Any) -> Json:
        answer = await call
        run.answers.append(answer.body)
        return dict(answer.json)

    hashes = hashes_of(CONTACT)
    # What sellers' systems get wrong: contact data where a ping has none, in every part of it.
    for wrong in (
        {"source": {"sub_id": CONTACT["phone"]}},
        {"consent": {"note": QUOTING}},
        {"contact": CONTACT},
        {"attributes": {**ATTRIBUTES, "zip": CONTACT["email"]}},
        {"attributes": {**ATTRIBUTES, "phone": CONTACT["phone"]}},
        {"vertical": CONTACT["last_name"]},
    ):
        answer = await wire.ping(run.seller, **wrong)
        assert 400 <= answer.status < 500, (wrong, answer.body)
    low: Json = {"min_price": 1, "cascade": "min_price"}
    offer = await keep(wire.ping(run.seller, contact_hashes=hashes, **low))
    run.ping_id = offer["ping_id"]
    for wrong_contact in (
        {**CONTACT, "phone": CONTACT["email"]},
        {**CONTACT, "email": CONTACT["phone"]},
        {**CONTACT, "nickname": CONTACT["first_name"]},
        {**CONTACT, "email": "other@example.com"},
    ):
        answer = await wire.post(run.seller, run.ping_id, wrong_contact)
        assert answer.status == 422, (wrong_contact, answer.body)
    broken = json.dumps({"ping_id": run.ping_id, "contact": CONTACT}).encode()[:-2]
    assert (await wire.call("POST", "/v1/post", run.seller.key, broken)).status == 400
    second = await keep(wire.ping(run.seller, **low))
    sold = await keep(wire.post(run.seller, run.ping_id, CONTACT))
    twice = await keep(wire.post(run.seller, second["ping_id"], CONTACT))
    third = await keep(wire.ping(run.seller, **low))
    again = await keep(wire.post(run.seller, third["ping_id"], OF_THE_SAME_NAME))
    assert [one["status"] for one in (sold, twice, again)] == ["sold", "refused", "sold"]
    refused = await keep(wire.ping(run.seller, contact_hashes=hashes))
    assert refused["status"] == "refused"
    await keep(wire.reject(run.buyer, sold["lead_id"], note=f"spoke to {QUOTING}"))
    path = f"/v1/leads/{again['lead_id']}/rejections"
    text = {"text": f"number is disconnected: {QUOTING}"}
    returned = await keep(wire.call("POST", path, run.buyer.key, text))
    assert returned["reason"] == "invalid_contact"
    listed = "\n".join((CONTACT["phone"], CONTACT["email"], QUOTING)).encode()
    path, csv = f"/v1/companies/{run.buyer.id}/suppressions", {"Content-Type": "text/csv"}
    suppressed = await keep(wire.call("PUT", path, run.buyer.key, listed, csv))
    assert (suppressed["accepted"], suppressed["invalid"]) == (2, 1)


async def test_the_company_that_bought_the_lead_has_the_contact_in_its_crm_and_its_leads(
    home_and_run: tuple[Running, Run, CrmServer],
) -> None:
    running, run, crm = home_and_run
    assert {seen.decode_payload()["contact"]["email"] for seen in crm.leads("buyer")} == {
        CONTACT["email"],
        OF_THE_SAME_NAME["email"],
    }
    async with Wire(running) as wire:
        leads = await wire.leads(run.buyer)
        assert [lead["contact"] for lead in leads] == [CONTACT, OF_THE_SAME_NAME]
        assert await wire.leads(run.refuser) == []


async def test_no_answer_receipt_metric_or_log_has_the_contact(
    home_and_run: tuple[Running, Run, CrmServer],
) -> None:
    running, run, _ = home_and_run
    async with Wire(running) as wire:
        found = list(run.answers)
        for key in (run.seller.key, None):
            for path in (f"/v1/pings/{run.ping_id}", "/metrics"):
                answer = await (
                    wire.call("GET", path) if key is None else wire.call("GET", path, key)
                )
                assert answer.status == 200
                found.append(answer.body)
        for path in ("standing", "crm-resets"):
            answer = await wire.call("GET", f"/v1/companies/{run.buyer.id}/{path}")
            found.append(answer.body)
    assert running.logged("delivery failed"), "nothing was logged that could have told"
    found.append(running.said().encode())
    assert [told for answer in found for told in planted_in(answer)] == []


async def test_no_table_of_the_database_has_the_contact_in_clear(
    home_and_run: tuple[Running, Run, CrmServer],
) -> None:
    running, run, _ = home_and_run
    await _await_receipt(running, run)
    connection = await asyncpg.connect(running.store_urls()[0])
    try:
        tables = await connection.fetch(
            "select quote_ident(relname) as name from pg_class"
            " where relkind in ('r', 'p', 'm') and relnamespace = 'public'::regnamespace"
        )
        assert len(tables) >= SEARCHED_AT_LEAST
        told: list[tuple[str, str, list[str]]] = []
        rows = 0
        for table in tables:
            for row in await connection.fetch(f"select * from {table['name']}"):
                rows += 1
                for column, value in row.items():
                    if found := [p for part in _texts(value) for p in planted_in(part)]:
                        told.append((table["name"], column, found))
    finally:
        await connection.close()
    assert rows > SEARCHED_AT_LEAST
    assert told == []


async def test_no_key_of_the_fast_store_has_the_contact(
    home_and_run: tuple[Running, Run, CrmServer],
) -> None:
    running, _, _ = home_and_run
    redis = from_url(running.store_urls()[1])
    try:
        keys = 0
        async for key in redis.scan_iter(count=1_000):
            keys += 1
            kind = await redis.type(key)
            value = await (redis.hgetall(key) if kind == b"hash" else redis.get(key))
            assert [p for part in _texts([key, value]) for p in planted_in(part)] == []
        assert keys > 3
    finally:
        await redis.aclose()


async def test_no_file_below_the_home_has_the_contact(
    home_and_run: tuple[Running, Run, CrmServer],
) -> None:
    running, run, _ = home_and_run
    await _await_receipt(running, run)
    connection = await asyncpg.connect(running.store_urls()[0])
    await connection.execute("checkpoint")
    await connection.close()

    def search() -> tuple[int, list[str]]:
        files, told = 0, []
        for path in running.home.rglob("*"):
            if path.is_file() and not path.is_symlink():
                files += 1
                lowered = path.read_bytes().lower()
                if any(value.encode() in lowered for value in PLANTED):
                    told.append(str(path.relative_to(running.home)))
        return files, told

    files, told = await asyncio.to_thread(search)
    assert files > 100
    assert told == []


async def _await_receipt(running: Running, run: Run) -> None:
    """Receipts are written a moment after their ping."""
    connection = await asyncpg.connect(running.store_urls()[0])

    async def is_written() -> bool:
        query = "select count(*) from receipt_batch where $1 = any(string_to_array(pings, ','))"
        return bool(await connection.fetchval(query, run.ping_id))

    try:
        await until(is_written, 5, "the receipt")
    finally:
        await connection.close()


def _texts(value: object) -> Iterator[bytes | str]:
    """Every text in a value, however it is nested."""
    if isinstance(value, bytes | str):
        yield value
    elif isinstance(value, dict):
        yield from _texts(list(value.items()))
    elif isinstance(value, Iterable):
        for part in value:
            yield from _texts(part)
    elif value is not None:
        yield str(value)
