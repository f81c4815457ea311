"""A test lead goes all the way, is answered as a real one would be, and touches nothing (§3.1)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import from_url

from bidders.crm import Behaviour, CrmServer
from exchange.core.model import Cap
from exchange.core.reasons import Reason
from exchange.embedded import StoreUrls
from exchange.flow.faults import Conflict
from tests.flow.market import Desk, http, key_of

COUNTED = (
    "select * from company order by id",
    "select * from bucket order by company_id, day, era",
    "select * from usage order by campaign_id, period, starts_at",
    "select * from ledger_entry order by key, account",
    "select * from sale order by delivery_id",
    "select * from rejection order by id",
)
"""Everything that money, caps, balances and rates are made of, each row with all its columns."""


async def books(desk: Desk) -> list[list[tuple[Any, ...]]]:
    return [[tuple(row.values()) for row in await desk.rows(each)] for each in COUNTED]


async def fast_store(stores: StoreUrls) -> dict[bytes, object]:
    """What the fast store holds of contacts, windows and usage: all but open offers."""
    async with from_url(stores.redis) as redis:
        keys = [key async for key in redis.scan_iter() if not key.startswith(b"offer:")]
        return {key: await redis.dump(key) for key in keys}


async def test_a_test_lead_that_is_sold_touches_no_money_no_cap_and_no_contact(
    desk: Desk, stores: StoreUrls, crm: CrmServer
) -> None:
    seller, company = await desk.seller(), await desk.company(prepaid=200_00)
    url = crm.set_behaviour("roofs", Behaviour())
    caps = (Cap(period="day", leads=5), Cap(period="month", spend_cents=500_00))
    await desk.campaign(company, 100_00, caps=caps, delivery=(http(url),))
    await desk.sell(seller, contact_keys=(key_of("someone"),))
    before, held = await books(desk), await fast_store(stores)
    standing = await desk.standing(company)

    receipt = await desk.ping(seller, test=True, contact_keys=(key_of("phone-1"),))
    request = desk.post_request(receipt, contact_keys=(key_of("phone-1"),))
    result = await desk.exchange.post(request)

    assert (receipt.test, result.status, result.test) == (True, "sold", True)
    assert result.price_cents == sum(receipt.legs_cents) == 85_00
    assert await desk.exchange.post(request) == result
    assert await books(desk) == before
    assert await fast_store(stores) == held
    assert await desk.standing(company) == standing
    payloads = [seen.decode_payload() for seen in crm.leads("roofs")]
    assert [payload["test"] for payload in payloads] == [False, True]
    lead = await desk.exchange.inbox.lead(company, result.lead_id)
    assert lead is not None and lead.test


async def test_a_test_lead_whose_delivery_fails_counts_against_nobody(
    desk: Desk, crm: CrmServer
) -> None:
    seller, company = await desk.seller(), await desk.company()
    url = crm.set_behaviour("broken", Behaviour(fail_rate=1.0))
    await desk.campaign(company, 100_00, delivery=(http(url),))
    before = await books(desk)
    result = await desk.post(await desk.ping(seller, test=True))
    assert (result.status, result.reason) == ("unsold", Reason.DELIVERY_FAILED)
    assert await books(desk) == before


async def test_test_leads_use_up_no_room_and_real_ones_none_of_theirs(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company(prepaid=100_00)
    await desk.campaign(company, 100_00, caps=(Cap(period="day", leads=1),))
    tests = [await desk.ping(seller, test=True) for _ in range(3)]
    results = await asyncio.gather(*(desk.post(receipt) for receipt in tests[:2]))
    assert [result.status for result in results] == ["sold", "sold"]
    await desk.sell(seller)
    assert (await desk.post(tests[2])).status == "sold"
    # As a real one would be: there is no room left, so there is no offer.
    assert (await desk.ping(seller, test=True)).reasons == {"cap": 1}


async def test_test_leads_neither_make_a_contact_known_nor_mind_that_it_is(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 100_00)
    keys = (key_of("phone-1"),)
    receipt = await desk.ping(seller, test=True, contact_keys=keys)
    await desk.exchange.post(desk.post_request(receipt, contact_keys=keys))
    real = await desk.ping(seller, contact_keys=keys)
    assert real.status == "offer"
    assert (await desk.exchange.post(desk.post_request(real, contact_keys=keys))).status == "sold"
    again = await desk.ping(seller, test=True, contact_keys=keys)
    assert again.status == "offer"


async def test_a_test_lead_cannot_be_returned(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 100_00)
    result = await desk.post(await desk.ping(seller, test=True))
    before = await books(desk)
    with pytest.raises(Conflict) as fault:
        await desk.reject(company, result.lead_id)
    assert fault.value.code == Reason.TEST_LEAD.code
    assert await books(desk) == before
