"""The CRMs as a process of their own: there when needed, gone afterwards."""

from __future__ import annotations

import aiohttp
import pytest

from exchange.demo.crms import CrmControl, start_crms
from exchange.demo.faults import DemoFailed

LEAD = {
    "delivery_id": "d-1",
    "lead_id": "l-1",
    "campaign_id": "c-1",
    "vertical": "solar",
    "price": 45.75,
    "attributes": {"zip": "94107", "state": "CA"},
    "contact": {"phone": "+14155550123"},
    "test": False,
}


async def test_a_crm_that_is_set_down_fails_until_it_is_up_again() -> None:
    with start_crms(["--fail-rate", "0"]) as urls:
        assert set(urls) >= {"good", "slow", "failing", "refusing"}
        async with aiohttp.ClientSession() as session:
            control = CrmControl(session, urls)

            async def deliver() -> int:
                async with session.post(urls["good"], json=LEAD) as answer:
                    return answer.status

            await control.set_down("good", True)
            assert await deliver() == 500
            await control.set_down("good", False)
            assert await deliver() == 200
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(urls["good"])
        with pytest.raises(DemoFailed, match="the CRM server is away"):
            await CrmControl(session, urls).set_down("good", True)


def test_a_server_that_cannot_start_is_told_with_its_words() -> None:
    with (
        pytest.raises(DemoFailed, match="it said: bidders: Expected"),
        start_crms(["--fail-rate", "2"]),
    ):
        pass
