"""How a bidder's conduct decides how often it is asked, and what is told of it (rules: §7)."""

import asyncio
from functools import partial

import pytest

from exchange.buyers.bid_limits import BidLimits
from exchange.buyers.fan_out import AllBidders
from exchange.core.breaker import FLOOR
from exchange.core.reasons import Reason
from exchange.flow.bidding import SimulatedBids
from tests.buyers.asking import (
    BID,
    NOW,
    SHORT_S,
    Bidder,
    ask,
    ask_one,
    asking,
    bidders,
    hang,
    outcome,
    until,
    until_connections,
)
from tests.buyers.streams import Stream, streaming
from tests.buyers.systems import answer, closed_port, system


async def test_a_bidder_that_fails_is_asked_less_and_less_and_recovers() -> None:
    bidder = Bidder(answer(status=500))
    async with bidders() as among, system(bidder) as url:
        for _ in range(40):
            await ask(among, asking(url))
        health = among.health()["c-1"]
        assert health.state == "faltering"
        assert health.reasons["bidder_error"] == len(bidder.requests) == 4  # 0.8^4 < the draw's ½
        assert health.reasons["bidder_resting"] == 36
        bidder.wire = answer(BID)
    async with bidders(draw=0.0) as among, system(bidder) as url:
        bidder.wire = answer(status=500)
        for _ in range(40):
            await ask(among, asking(url))
        assert among.health()["c-1"].state == "resting"
        assert among.health()["c-1"].probability == FLOOR
        bidder.wire = answer(BID)
        for _ in range(40):
            assert outcome(await ask_one(among, asking(url))) == 4_250
        assert among.health()["c-1"].state == "well"


async def test_campaigns_of_one_company_share_their_bidders_rest_and_others_do_not() -> None:
    url = f"http://127.0.0.1:{closed_port()}/x"
    async with bidders() as among:
        for _ in range(10):
            await ask(among, asking(url))
        said = await ask(among, asking(url, "c-2"), asking(url, "c-3", company_id="co-2"))
        assert [outcome(one) for one in said] == [
            Reason.BIDDER_RESTING,
            Reason.BIDDER_CONNECTION,
        ]


async def test_slowness_lowers_and_declining_does_not() -> None:
    decliner = Bidder(b"HTTP/1.1 204 X\r\n\r\n")
    async with bidders() as among, system(hang) as slow, system(decliner) as url:
        for _ in range(4):
            await ask(among, asking(slow), asking(url, "c-2"), within_s=0.05)
        assert among.health()["c-1"].probability < 0.5
        assert among.health()["c-2"].probability == 1.0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"price":-1}', Reason.BID_PRICE),
        (b'{"price":5,"currency":"EUR"}', Reason.BID_CURRENCY),
        (b'{"price":5,"ping_id":"p-9"}', Reason.BID_AUCTION),
    ],
)
async def test_a_bid_that_breaks_a_rule_lowers_too(body: bytes, reason: Reason) -> None:
    async with bidders() as among, system(Bidder(answer(body))) as url:
        assert outcome(await ask_one(among, asking(url))) is reason
        assert among.health()["c-1"].probability == pytest.approx(0.8)


async def test_a_campaign_is_asked_so_many_times_a_second_and_no_more() -> None:
    bidder = Bidder()
    async with bidders() as among, system(bidder) as url:
        asked = asking(url, max_per_s=3)
        said = [await ask_one(among, asked) for _ in range(6)]
        assert [outcome(one) for one in said[:3]] == [4_250] * 3
        assert outcome(said[-1]) is Reason.BIDDER_BUSY
        await asyncio.sleep(0.4)
        assert outcome(await ask_one(among, asked)) == 4_250


async def test_a_simulated_bid_is_noted_and_says_that_it_is_one() -> None:
    async with bidders() as among, system(Bidder()) as url:
        said = await ask_one(among, asking(url, simulate=True))
        assert (said.cents, said.reason) == (4_250, Reason.BIDDER_SIMULATED)
        health = among.health()["c-1"]
        assert (health.bids, health.simulate) == (1, True)
        assert health.reasons == {"bidder_simulated": 1}
        assert health.simulated == SimulatedBids(
            count=1, total_cents=4_250, last_cents=4_250, last_at=float(NOW)
        )
        await ask_one(among, asking(url, "c-2"))
        assert among.health()["c-2"].simulated is None


async def test_health_tells_bids_reasons_times_and_connections() -> None:
    bidder = Bidder()
    async with bidders() as among, system(bidder) as url:
        assert among.health() == {}
        for _ in range(9):
            await ask(among, asking(url, company_id="co-7"))
        bidder.wire = answer(b'{"price":null}')
        await ask(among, asking(url, company_id="co-7"))
        health = among.health()["c-1"]
        assert (health.company_id, health.url, health.stream) == ("co-7", url, False)
        assert (health.state, health.probability) == ("well", 1.0)
        assert (health.bids, health.reasons) == (9, {"bidder_declined": 1})
        assert (health.connections, health.waiting) == (1, 0)
        assert health.p50_ms is not None and health.p99_ms is not None
        assert 0 < health.p50_ms <= health.p99_ms < 5_000


async def test_a_campaign_that_changes_its_bidder_begins_anew_and_its_counts_stay() -> None:
    old, new = Bidder(answer(status=500)), Bidder()
    async with bidders() as among, system(old) as one, system(new) as other:
        for _ in range(3):
            await ask(among, asking(one))
        assert outcome(await ask_one(among, asking(other))) == 4_250
        assert (among.health()["c-1"].url, among.health()["c-1"].state) == (other, "well")
        figures = among.figures()
        assert (figures.bids, figures.reasons) == (1, {Reason.BIDDER_ERROR: 3})
        await until_connections(among, 1)
        assert among.figures().lines == {"well": 1}


async def test_a_campaign_that_is_asked_no_more_is_forgotten_with_its_connections() -> None:
    async with bidders(BidLimits(forget_s=0.1)) as among, system(Bidder()) as url:
        await ask(among, asking(url), within_s=SHORT_S)
        await until_connections(among, 0)
        assert among.health() == {}
        assert among.figures().bids == 1


def is_forgotten(among: AllBidders, campaign_id: str) -> bool:
    return campaign_id not in among.health()


@pytest.mark.parametrize("becomes", [None, "ws://127.0.0.1:1/elsewhere"], ids=["gone", "changed"])
async def test_a_stream_that_no_campaign_names_any_more_is_closed_soon(becomes: str | None) -> None:
    async with streaming(Stream()) as url:
        first, second = (asking(url, campaign_id, stream=True) for campaign_id in ("c-1", "c-2"))
        market = {"c-1": first.remote, "c-2": second.remote}
        async with bidders(remote_of=market.get) as among:
            await ask(among, first, second)
            for campaign_id in ("c-1", "c-2"):
                assert among.figures().connections == 1
                if becomes is None:
                    del market[campaign_id]
                else:
                    market[campaign_id] = asking(becomes, stream=True).remote
                await until(partial(is_forgotten, among, campaign_id))
            await until_connections(among, 0)
            assert among.figures().bids == 2
