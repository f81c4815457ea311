"""Companies' own bidders in the auction, by HTTP and by bid stream, good and bad. Rules §7."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from bidders.bad import BadBidders, bad_bidders
from bidders.kit import Accepted, Bid, Bidder
from bidders.kit.wire import Lead, Ping
from tests.e2e.running import until
from tests.e2e.test_sale import in_state, only
from tests.e2e.wire import Account, Json, Wire, paid_to_seller, person

pytestmark = pytest.mark.e2e

TIMEOUT_MS = 400
LATE_S = 0.25
"""How far over its deadline an answer may come on a machine that does much else."""


@pytest.fixture
async def bad() -> AsyncIterator[BadBidders]:
    """Bidders that fail in every way."""
    async with bad_bidders() as servers:
        yield servers


async def secret_of(wire: Wire, company: Account) -> str:
    path = f"/v1/companies/{company.id}/signing-secret"
    return str((await wire.get(path, company.key))["secret"])


async def remote_campaign(wire: Wire, company: Account, url: str, state: str, **remote: Any) -> str:
    """A campaign of a company whose bids are asked for at a URL."""
    body: Json = {
        "name": "asks",
        "vertical": "solar",
        "filter": only(state),
        "bid": {"remote": {"url": url, "timeout_ms": 300, **remote}},
        "delivery": [{"kind": "inbox"}],
    }
    made = (await wire.call("POST", "/v1/campaigns", company.key, body)).ok()
    return str(made["campaign_id"])


async def test_a_bidder_of_twenty_lines_wins_and_gets_its_token_back(wire: Wire) -> None:
    seller, company = await wire.seller(), await wire.company()
    bidder = Bidder(secret=await secret_of(wire, company))
    leads: list[Lead] = []

    @bidder.price
    def price(ping: Ping) -> Bid:
        return Bid("42.50", token=f"t-{ping.ping_id}")

    @bidder.lead
    def take(lead: Lead) -> Accepted:
        leads.append(lead)
        return Accepted(reference="crm-1")

    async with bidder.serving() as base_url:
        body: Json = {
            "name": "asks",
            "vertical": "solar",
            "filter": only("CO"),
            "bid": {"remote": {"url": f"{base_url}/ping"}},
            "delivery": [{"kind": "webhook", "url": f"{base_url}/leads"}],
        }
        (await wire.call("POST", "/v1/campaigns", company.key, body)).ok()
        await wire.campaign(await wire.company(), "40.00", filter=only("CO"))
        offer = await wire.offer(seller, **in_state("CO"))
        assert offer["price"] == paid_to_seller(Decimal("42.50"))
        sold = (await wire.post(seller, offer["ping_id"], person(7))).ok()
    assert sold["status"] == "sold", sold
    assert [lead.token for lead in leads] == [f"t-{offer['ping_id']}"]
    assert bidder.counts.unproven == 0


async def test_bids_come_over_a_stream_as_over_http(wire: Wire) -> None:
    seller, company = await wire.seller(), await wire.company()
    bidder = Bidder(secret=await secret_of(wire, company))

    @bidder.price
    def price(ping: Ping) -> Bid:
        return Bid("31.00")

    async with bidder.serving() as base_url:
        url = base_url.replace("http://", "ws://") + "/stream"
        await remote_campaign(wire, company, url, "NV", stream=True)

        async def offered() -> bool:
            answers = [(await wire.ping(seller, **in_state("NV"))).ok() for _ in range(8)]
            return all(answer["status"] == "offer" for answer in answers)

        # Each worker dials its stream when it first has something to ask.
        await until(offered, 10.0, "bids over the stream")
        offer = await wire.offer(seller, **in_state("NV"))
        assert offer["price"] == paid_to_seller(Decimal("31.00"))


async def test_six_good_bids_always_count_and_four_bad_bidders_cost_only_their_own(
    wire: Wire, bad: BadBidders
) -> None:
    seller = await wire.seller()
    async with AsyncExitStack() as stack:
        for number in range(6):
            company = await wire.company(f"good {number}")
            bidder = Bidder(secret=await secret_of(wire, company))
            bidder.price(lambda _ping, price=20 + number: Bid(f"{price}.00"))
            base_url = await stack.enter_async_context(bidder.serving())
            await remote_campaign(wire, company, f"{base_url}/ping", "TX")
        for name in ("hanging", "resetting", "dripping", "enormous"):
            company = await wire.company(name)
            await remote_campaign(wire, company, bad.ping_url(name), "TX")
        late: list[float] = []
        for _ in range(12):
            began = time.monotonic()
            offer = await wire.offer(seller, timeout_ms=TIMEOUT_MS, **in_state("TX"))
            late.append(time.monotonic() - began - TIMEOUT_MS / 1000)
            assert offer["price"] == paid_to_seller(Decimal("25.00"))
            receipt = await wire.get(f"/v1/pings/{offer['ping_id']}")
            bids = [c for c in receipt["candidates"] if c["outcome"] != "no_bid"]
            assert len(bids) == 6, receipt["reasons"]
        assert max(late) < LATE_S


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("erring", {"bidder_error"}),
        ("redirecting", {"bidder_error"}),
        ("garbage", {"bidder_connection", "bid_unreadable"}),
        ("euro", {"bid_currency"}),
        ("negative", {"bid_price"}),
        ("nan", {"bid_price", "bid_unreadable"}),
        ("huge", {"bid_too_large"}),
        ("mistaken", {"bid_auction"}),
        ("hanging", {"bidder_timeout"}),
    ],
)
async def test_each_failure_of_a_bidder_has_its_own_reason(
    wire: Wire, bad: BadBidders, name: str, codes: set[str]
) -> None:
    seller, company = await wire.seller(), await wire.company()
    state = "AZ"
    campaign_id = await remote_campaign(wire, company, bad.ping_url(name), state)
    answer = (await wire.ping(seller, timeout_ms=TIMEOUT_MS, **in_state(state))).ok()
    assert answer["status"] == "no_offer"
    assert codes & set(answer["reasons"]), answer["reasons"]
    assert bad.seen("trap").pings == 0
    path = f"/v1/campaigns/{campaign_id}"
    assert (await wire.call("DELETE", path, company.key)).status == 204


async def test_a_company_sees_how_its_bidder_is_doing(wire: Wire, bad: BadBidders) -> None:
    seller, company = await wire.seller(), await wire.company()
    campaign_id = await remote_campaign(wire, company, bad.ping_url("erring"), "FL")
    for _ in range(6):
        await asyncio.gather(*(wire.ping(seller, **in_state("FL")) for _ in range(4)))
    path = f"/v1/campaigns/{campaign_id}/bidder"
    seen = [await wire.get(path, company.key) for _ in range(8)]
    states = {one["state"] for one in seen}
    assert states & {"faltering", "resting"}, seen
    assert any(one["reasons"].get("bidder_error") for one in seen)


async def test_a_ping_post_platform_is_connected_by_configuration_alone(wire: Wire) -> None:
    asked: list[tuple[str, dict[str, str]]] = []

    async def take(request: web.Request) -> web.Response:
        form = {name: str(text) for name, text in (await request.post()).items()}
        asked.append((request.path, form))
        if request.path == "/ping":
            text = (
                "<response><result>success</result><price>$27.50</price><tok>T-9</tok></response>"
            )
        else:
            text = (
                "<response><result>success</result><id>77</id>"
                "<redirect>https://buyer.example/thanks</redirect></response>"
            )
        # What it claims to be is not what it is.
        return web.Response(text=text, content_type="text/html")

    application = web.Application()
    application.router.add_post("/{way}", take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        seller, company = await wire.seller(), await wire.company()
        said = {
            "outcomes": [{"when": {"path": "result", "equals": "success"}, "then": "accepted"}],
        }
        ping = {
            "format": "form",
            "fields": {"key": "secrets.key", "postal": "attributes.zip"},
            "answer": {**said, "price": "price", "token": "tok"},
        }
        post = {
            "format": "form",
            "fields": {"key": "secrets.key", "tok": "token", "first": "contact.first_name"},
            "answer": {**said, "reference": "id", "redirect_url": "redirect"},
        }
        secrets = {"key": "k-1"}
        body: Json = {
            "name": "platform",
            "vertical": "solar",
            "filter": only("NY"),
            "bid": {
                "remote": {
                    "url": f"{base_url}/ping",
                    "dialect": {"secrets": secrets, "ping": ping},
                }
            },
            "delivery": [
                {
                    "kind": "http",
                    "url": f"{base_url}/post",
                    "dialect": {"secrets": secrets, "post": post},
                }
            ],
        }
        made = (await wire.call("POST", "/v1/campaigns", company.key, body)).ok()
        assert "k-1" not in str(made)
        offer = await wire.offer(seller, **in_state("NY"))
        assert offer["price"] == paid_to_seller(Decimal("27.50"))
        sold = (await wire.post(seller, offer["ping_id"], person(9))).ok()
    finally:
        await runner.cleanup()
    assert sold["legs"][0]["redirect_url"] == "https://buyer.example/thanks"
    assert asked == [
        ("/ping", {"key": "k-1", "postal": "94107"}),
        ("/post", {"key": "k-1", "tok": "T-9", "first": "Ada"}),
    ]
