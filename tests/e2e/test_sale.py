"""A lead is sold, by HTTP, on real stores and two workers. Source: rules §2–§8."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from bidders.crm import Behaviour, CrmServer
from tests.e2e.running import Running, until
from tests.e2e.wire import (
    ATTRIBUTES,
    Account,
    Json,
    Wire,
    hashes_of,
    line_to_each_worker,
    paid_to_seller,
    person,
    rectified,
)

pytestmark = pytest.mark.e2e

AT_ONCE = 64
FOLLOW_S = 1.0


async def at_once(limit: int, calls: list[Awaitable[Any]]) -> list[Any]:
    """Make calls, so many under way at any time."""
    room = asyncio.Semaphore(limit)

    async def one(call: Awaitable[Any]) -> Any:
        async with room:
            return await call

    return await asyncio.gather(*(one(call) for call in calls))


def only(state: str) -> Json:
    """A filter and attributes that keep one test's market apart from the others'."""
    return {"field": "state", "op": "=", "value": state}


def in_state(state: str) -> Json:
    return {"attributes": {**ATTRIBUTES, "state": state}}


async def test_a_pinged_lead_is_posted_delivered_once_rejected_and_the_next_ping_is_cheaper(
    wire: Wire, crm: CrmServer
) -> None:
    seller, company = await wire.seller(), await wire.company()
    url = crm.set_behaviour("readme", Behaviour())
    await wire.campaign(company, "45.75", url=url, filter=only("CA"))
    contact = person(1)

    offer = await wire.offer(seller, contact_hashes=hashes_of(contact))
    assert offer["price"] == paid_to_seller(Decimal("45.75")) == Decimal("38.89")
    sold = (await wire.post(seller, offer["ping_id"], contact)).ok()
    assert (sold["status"], sold["price"]) == ("sold", Decimal("38.89"))

    [seen] = crm.leads("readme")
    assert seen.attempts == 1
    assert seen.price_cents == 4575
    assert seen.lead_id == sold["lead_id"]
    assert seen.decode_payload()["contact"] == contact

    await wire.sell(seller, person(2))
    returned = (await wire.reject(company, sold["lead_id"])).ok()
    assert returned["value"] == Decimal("45.75")
    assert returned["standing"]["overall_pct"] == Decimal("50.00")
    assert await wire.price(seller) == paid_to_seller(Decimal("22.88"))  # 22.875 to even
    again = (await wire.reject(company, sold["lead_id"])).ok()
    assert again["rejection_id"] == returned["rejection_id"]
    assert crm.counts("readme").seen == 2


async def test_a_contact_sold_is_a_duplicate_at_the_next_ping_on_every_worker(
    wire: Wire, running: Running
) -> None:
    seller, company = await wire.seller(), await wire.company()
    await wire.campaign(company, "20.00", filter=only("OR"))
    contact = person(3)
    hashes = hashes_of(contact)
    await wire.sell(seller, contact, contact_hashes=hashes, **in_state("OR"))
    async with line_to_each_worker(running) as lines:
        for line in lines.values():
            again = (await line.ping(seller, contact_hashes=hashes, **in_state("OR"))).ok()
            assert (again["status"], again["reason"]["code"]) == ("refused", "duplicate")


async def test_section_9_a_contract_holds_on_every_worker_and_a_refused_return_names_its_clause(
    wire: Wire, running: Running
) -> None:
    seller, company = await wire.seller(), await wire.company()
    await wire.campaign(company, "100.00", filter=only("WA"))
    market = in_state("WA")
    async with line_to_each_worker(running) as lines:
        body = {
            "seller_id": seller.id,
            "company_id": company.id,
            "terms": {
                "tiers": [{"min_score": 0, "multiply": 1.2}],
                "return_reasons": ["duplicate"],
            },
        }
        made = (await wire.call("POST", "/v1/contracts", body=body)).ok()
        path = f"/v1/contracts/{made['contract_id']}"
        paid = paid_to_seller(Decimal("120.00"))
        for line in lines.values():
            await until(partial(_offers, line, seller, paid, market), FOLLOW_S, "the contract")
        sold = await wire.sell(seller, person(5), **market)
        refused = await wire.reject(company, sold["lead_id"])
        assert (refused.status, refused.json["code"]) == (409, "reason_not_allowed")
        assert refused.json["details"] == {
            "contract_id": made["contract_id"],
            "version": 1,
            "clause": "return_reasons",
            "allowed": ["duplicate"],
        }
        receipt = await wire.get(f"/v1/pings/{sold['ping_id']}")
        applied = receipt["candidates"][0]["contract"]
        assert (applied["listed"], applied["multiply"]) == (Decimal("100.00"), Decimal("1.2000"))
        (await wire.reject(company, sold["lead_id"], "duplicate")).ok()
        (await wire.call("POST", f"{path}/end", body={})).ok()
        shown = await wire.get(path, company.key)
        assert (shown["status"], len(shown["versions"])) == ("ended", 2)


async def _offers(line: Wire, seller: Account, price: Decimal, market: Json) -> bool:
    return await line.price(seller, **market) == price


async def test_the_next_ping_after_an_answered_rejection_has_the_new_price_on_every_worker(
    wire: Wire, running: Running
) -> None:
    seller, company = await wire.seller(), await wire.company()
    await wire.campaign(company, "100.00", filter=only("NV"))
    market = in_state("NV")
    assigned = rejected = Decimal(0)
    async with line_to_each_worker(running) as lines:
        order = list(lines.values())
        for turn in range(30):
            line, other = order[turn % 2], order[(turn + 1) % 2]
            for number in range(2):
                sold = await line.sell(seller, person(10 + 2 * turn + number), **market)
                value = rectified("100.00", rejected, assigned)
                assert sold["price"] == paid_to_seller(value)
                assigned += value
            rejected += Decimal((await line.reject(company, sold["lead_id"])).ok()["value"])
            expected = paid_to_seller(rectified("100.00", rejected, assigned))
            assert await line.price(seller, **market) == expected, f"round {turn}"

            async def has_followed(line: Wire = other, expected: Decimal = expected) -> bool:
                return await line.price(seller, **market) == expected

            await until(has_followed, FOLLOW_S, "the other worker to follow")
        assert all(line.worker_pid() == pid for pid, line in lines.items())
    standing = await wire.standing(company)
    assert (standing["assigned"], standing["rejected_manual"]) == (assigned, rejected)


async def test_64_posts_of_one_ping_at_once_are_one_sale_with_one_answer(
    wire: Wire, running: Running, crm: CrmServer
) -> None:
    seller, company = await wire.seller(), await wire.company()
    url = crm.set_behaviour("once", Behaviour(delay_ms=150))
    await wire.campaign(company, "30.00", url=url, filter=only("AZ"))
    ping_id = (await wire.offer(seller, **in_state("AZ")))["ping_id"]
    answers = await asyncio.gather(
        *(wire.post(seller, ping_id, person(80)) for _ in range(AT_ONCE))
    )
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert answers[0].json["status"] == "sold"
    assert [seen.attempts for seen in crm.leads("once")] == [1]
    assert len(await wire.leads(company)) == 1
    async with line_to_each_worker(running) as lines:
        for line in lines.values():
            assert (await line.post(seller, ping_id, person(80))).body == answers[0].body
            other = await line.post(seller, ping_id, person(81))
            assert (other.status, other.json["code"]) == (409, "posted_before")


FIRST = {"cap": 1_000, "budget": 2_000, "balance": 3_000}
"""The first consumer of each bound's market: a contact is sold once."""

BOUNDS = [
    pytest.param("TX", "10.00", {"caps": [{"period": "day", "leads": 100}]}, None, 150, 100, "cap"),
    pytest.param(
        *("FL", "45.75", {"caps": [{"period": "month", "spend": 1000}]}, None, 40, 21, "budget")
    ),
    pytest.param("GA", "33.33", {}, "1000.00", 45, 30, "balance"),
]


@pytest.mark.parametrize(
    ("state", "price", "bound", "deposit", "pings", "most", "reason"),
    BOUNDS,
    ids=["cap", "budget", "balance"],
)
async def test_64_posts_at_once_never_sell_beyond_a_bound(
    wire: Wire,
    state: str,
    price: str,
    bound: Json,
    deposit: str | None,
    pings: int,
    most: int,
    reason: str,
) -> None:
    seller, company = await wire.seller(), await wire.company(deposit=deposit)
    await wire.campaign(company, price, filter=only(state), **bound)
    market = in_state(state)
    offers = await at_once(16, [wire.offer(seller, **market) for _ in range(pings)])
    answers = await at_once(
        AT_ONCE,
        [
            wire.post(seller, offer["ping_id"], person(FIRST[reason] + number))
            for number, offer in enumerate(offers)
        ],
    )
    outcomes = Counter(
        (answer.ok()["status"], answer.json.get("reason", {}).get("code")) for answer in answers
    )
    assert outcomes == {("sold", None): most, ("unsold", "no_buyer_left"): pings - most}
    assert len(await wire.leads(company)) == most

    async def bids_no_more() -> bool:
        """The other worker hears of the last sale a moment later."""
        answer = (await wire.ping(seller, **market)).ok()
        return (answer["status"], answer.get("reasons", {}).get(reason)) == ("no_offer", 1)

    await until(bids_no_more, FOLLOW_S, f"no_offer because of {reason}")
    spent = Decimal(price) * most
    account = await wire.get(f"/v1/companies/{company.id}")
    assert account["balance"] == Decimal(deposit or 0) - spent
    assert account["available"] == (None if deposit is None else Decimal(deposit) - spent)
    assert (await wire.standing(company))["assigned"] == spent


async def test_a_company_reads_why_it_stands_so_what_it_was_and_what_it_might_have_won(
    wire: Wire,
) -> None:
    seller, company, dearer = await wire.seller(), await wire.company(), await wire.company()
    await wire.campaign(company, "50.00", filter=only("WY"))
    first = (await wire.sell(seller, person(901), **in_state("WY")))["lead_id"]
    await wire.sell(seller, person(902), **in_state("WY"))
    (await wire.reject(company, first)).ok()
    # Half of what it bought was returned: worth $25.00 now, it is outbid.
    await wire.campaign(dearer, "40.00", filter=only("WY"))
    await wire.offer(seller, **in_state("WY"))
    path = f"/v1/companies/{company.id}"

    told = (await wire.standing(company))["explained"]
    assert told["overall"]["formula"] == (
        "(50.00 manual + 0.00 CRM) ÷ 100.00 assigned × 100 = 50.00"
    )
    assert told["qualified"]["clean_leads"] == Decimal("900.01")
    assert told["causes"][0]["reason"] == "invalid_contact"

    history = await wire.get(f"{path}/standing/history?from=today", company.key)
    assert [day["overall_pct"] for day in history["days"]] == [Decimal("50.00")]
    table = await wire.call(
        "GET", f"{path}/standing/history", company.key, headers={"Accept": "text/csv"}
    )
    assert table.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert len(table.body.splitlines()) == 31

    async def asked() -> Json:
        return await wire.get(f"{path}/what-if?overall=3.0&crm=1.0&day=today", company.key)

    # Receipts are written a moment after their pings.
    async with asyncio.timeout(10):
        while (held := await asked())["took_part"] < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (held["newly_won"], held["not_known"]) == (1, {})
    assert held["changes"][-1]["after"]["charged"] == Decimal("48.50")
    assert held["bought"] == {"leads": 2, "spend": Decimal("100.00")}
    assert (await wire.get("/v1/dynamic"))["mode"] == "off"


async def test_reports_follow_sales_and_returns_and_are_made_anew_by_the_command(
    wire: Wire, running: Running
) -> None:
    seller, company = await wire.seller(), await wire.company()
    await wire.campaign(company, "40.00", filter=only("WA"))
    sold = [await wire.sell(seller, person(6_000 + n), **in_state("WA")) for n in range(3)]
    (await wire.reject(company, sold[0]["lead_id"])).ok()
    path = "/v1/reports/sell-through?period=day"

    async def has_followed() -> bool:
        rows = (await wire.get(path, seller.key))["rows"]
        returned = sum(row["returned"] for row in rows)
        return bool(returned == len(rows) == 1 and rows[0]["pings"] == 3)

    await until(has_followed, 10.0, "the reports to follow")
    [row] = (await wire.get(path, seller.key))["rows"]
    assert (row["posts"], row["legs"], row["revenue"]) == (3, 3, Decimal("102.00"))
    assert (row["taken_back"], row["average_price"]) == (Decimal("34.00"), Decimal("34.00"))
    answer = await wire.call("GET", f"{path}&format=csv", seller.key)
    lines = answer.body.decode().splitlines()
    assert lines[1].split(",")[2:5] == ["3", "0", "0"] and len(lines) == 2
    other = await wire.company("Other Roofs")
    assert (await wire.get("/v1/reports/monthly-impact", other.key))["rows"] == []
    made = await running.command("rebuild", "--summaries")
    assert made.code == 0 and "summaries of" in made.out, made.out + made.err
    [again] = (await wire.get(path, seller.key))["rows"]
    assert again == row
    misused = await running.command("rebuild", "--from", "2026-11-01")
    assert misused.code == 2
