"""A company's bidder over real sockets: it answers in time, once, and only to the exchange."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from bidders.kit import Accepted, Bid, Bidder, Lead, Ping, Refused, sign_headers
from bidders.kit import bidder as bidder_module
from bidders.kit.deliveries import Deliveries
from tests.bidders.wire import Json, a_lead, a_ping

SECRET = "xs_demo"


@asynccontextmanager
async def asking(bidder: Bidder) -> AsyncIterator[Any]:
    """Serve the bidder; gives what posts a body to a path: status and answer."""
    async with bidder.serving() as base, aiohttp.ClientSession() as http:

        async def ask(path: str, body: Json | bytes, headers: dict[str, str] | None = None) -> Any:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            async with http.post(base + path, data=data, headers=headers) as answer:
                said = await answer.read()
                return answer.status, json.loads(said) if said else None

        yield ask


def bidding(price: str | None = "42.50", **options: Any) -> Bidder:
    bidder = Bidder(**options)

    @bidder.price
    def flat(ping: Ping) -> Bid | None:
        return None if price is None else Bid(price, token=f"for {ping.ping_id}")

    return bidder


# --- pings ----------------------------------------------------------------------------------------


async def test_a_bid_is_answered_with_price_currency_and_token() -> None:
    bidder = bidding()
    async with asking(bidder) as ask:
        assert await ask("/ping", a_ping()) == (
            200,
            {"price": 42.5, "currency": "USD", "token": "for p-1"},
        )
    assert (bidder.counts.pings, bidder.counts.bids) == (1, 1)


async def test_a_price_is_written_with_two_decimals() -> None:
    async with bidding("42.5").serving() as base, aiohttp.ClientSession() as http:
        answer = await http.post(f"{base}/ping", json=a_ping())
        assert b'"price":42.50,' in await answer.read()


async def test_no_bid_is_204_with_nothing_in_it() -> None:
    bidder = bidding(None)
    async with asking(bidder) as ask:
        assert await ask("/ping", a_ping()) == (204, None)
    assert bidder.counts.passed == 1


async def test_the_price_function_sees_the_whole_ping() -> None:
    bidder, seen = Bidder(), []

    @bidder.price
    async def price(ping: Ping) -> Bid | None:
        seen.append(ping)
        return None

    async with asking(bidder) as ask:
        await ask("/ping", a_ping(mode="shared", shares=3, test=True, something_new=1))
    assert seen == [
        Ping(
            ping_id="p-1",
            campaign_id="c-1",
            vertical="solar",
            attributes={"zip": "94107", "state": "CA", "credit_score": 710},
            mode="shared",
            shares=3,
            timeout_ms=310,
            test=True,
        )
    ]


async def test_a_bid_that_takes_too_long_becomes_no_bid_before_the_time_is_over() -> None:
    bidder, ended = Bidder(), asyncio.Event()

    @bidder.price
    async def price(ping: Ping) -> Bid | None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()
        return Bid("42.50")

    async with asking(bidder) as ask:
        began = time.monotonic()
        assert await ask("/ping", a_ping(timeout_ms=150)) == (204, None)
        assert time.monotonic() - began >= 0.1
        await asyncio.wait_for(ended.wait(), 5)  # it was cancelled, not left behind
    assert bidder.counts.late == 1


async def test_a_price_function_that_will_not_end_costs_no_more_than_its_ping() -> None:
    bidder, released = Bidder(), asyncio.Event()

    @bidder.price
    async def price(ping: Ping) -> Bid | None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue  # as badly as code can behave
        return Bid("42.50")

    async with asking(bidder) as ask:
        assert await ask("/ping", a_ping(timeout_ms=60)) == (204, None)
        released.set()


async def test_a_bid_that_came_when_the_time_was_over_is_not_given() -> None:
    bidder = Bidder()

    @bidder.price
    def price(ping: Ping) -> Bid | None:
        time.sleep(0.06)  # a plain function that waits cannot be cancelled
        return Bid("42.50")

    async with asking(bidder) as ask:
        assert await ask("/ping", a_ping(timeout_ms=60)) == (204, None)


async def test_with_too_many_prices_under_way_there_is_no_bid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bidder_module, "MAX_PRICING", 1)
    bidder, asked, go = Bidder(), asyncio.Event(), asyncio.Event()

    @bidder.price
    async def price(ping: Ping) -> Bid | None:
        asked.set()
        await go.wait()
        return Bid("42.50")

    async with asking(bidder) as ask:
        first = asyncio.ensure_future(ask("/ping", a_ping(timeout_ms=5_000)))
        await asyncio.wait_for(asked.wait(), 5)
        assert await ask("/ping", a_ping("p-2", timeout_ms=5_000)) == (204, None)
        go.set()
        assert (await first)[0] == 200


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda ping: 1 / 0, id="raises"),
        pytest.param(lambda ping: 42.5, id="gives a number"),
        pytest.param(lambda ping: Bid("0"), id="bids nothing"),
        pytest.param(lambda ping: True, id="gives True"),
    ],
)
async def test_a_price_function_that_fails_is_500_and_the_next_ping_is_answered(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bidder = Bidder()

    @bidder.price
    def price(ping: Ping) -> Bid | None:
        bid: Bid | None = answer(ping) if ping.ping_id == "p-1" else Bid(1)
        return bid

    async with asking(bidder) as ask:
        status, problem = await ask("/ping", a_ping())
        assert (status, problem["code"]) == (500, "bidder_failed")
        assert (await ask("/ping", a_ping("p-2")))[0] == 200
    assert bidder.counts.failed == 1
    assert "the price function" in caplog.text


async def test_a_price_function_that_cancels_itself_fails() -> None:
    bidder = Bidder()

    @bidder.price
    async def price(ping: Ping) -> Bid | None:
        raise asyncio.CancelledError

    async with asking(bidder) as ask:
        assert (await ask("/ping", a_ping()))[0] == 500


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"{", 422, id="not JSON"),
        pytest.param(b"", 422, id="empty"),
        pytest.param(b'{"ping_id":"p-1"}', 422, id="no campaign"),
        pytest.param(b"[" * 60_000, 422, id="nested too deep"),
        pytest.param(b'{"ping_id":"\xff","campaign_id":"c"}', 422, id="not UTF-8"),
        pytest.param(a_ping(shares=0), 422, id="shared by none"),
        pytest.param(a_ping(note="x" * 65_536), 413, id="over 64 KiB"),
    ],
)
async def test_what_is_no_ping_is_a_fault(body: Json | bytes, status: int) -> None:
    async with asking(bidding()) as ask:
        said, problem = await ask("/ping", body)
        assert (said, problem["status"]) == (status, status)


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "sNaN", "Infinity", "1.005", "x", "1e9"])
def test_what_is_no_price_cannot_be_bid(price: str) -> None:
    with pytest.raises(ValueError):
        Bid(price)


@pytest.mark.parametrize("price", [42.5, True, None])
def test_what_holds_no_exact_amount_cannot_be_bid(price: Any) -> None:
    with pytest.raises(TypeError):
        Bid(price)


def test_the_same_amount_is_the_same_bid_however_it_is_given() -> None:
    assert Bid("42.5") == Bid(Decimal("42.50")) and Bid(42) == Bid("42.00")
    assert Bid(42) != Bid(42, token="t")


def test_a_bidder_without_a_function_or_with_an_empty_secret_is_refused() -> None:
    from aiohttp import web

    with pytest.raises(RuntimeError):
        Bidder().add_routes(web.Application())
    with pytest.raises(ValueError):
        Bidder(secret="")


# --- signatures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        pytest.param({}, "signature_missing", id="not signed"),
        pytest.param({"secret": "xs_other"}, "signature_wrong", id="another's secret"),
        pytest.param({"at": -400}, "signature_old", id="old"),
        pytest.param({"at": 0}, None, id="good"),
        pytest.param({"at": -200}, None, id="young enough"),
    ],
)
@pytest.mark.parametrize("path", ["/ping", "/leads"])
async def test_only_what_the_exchange_signed_gets_in(
    path: str, headers: dict[str, Any], code: str | None
) -> None:
    bidder = bidding(secret=SECRET)
    bidder.lead(lambda lead: None)
    body = json.dumps(a_ping() if path == "/ping" else a_lead()).encode()
    at = int(time.time()) + headers.get("at", 0)
    signed = sign_headers(headers.get("secret", SECRET), at, body) if headers else {}
    async with asking(bidder) as ask:
        status, said = await ask(path, body, signed)
    assert (status, said.get("code")) == ((200, None) if code is None else (401, code))
    assert bidder.counts.unproven == (code is not None)


async def test_a_bidder_of_leads_may_let_unsigned_ones_in_but_never_a_wrong_one() -> None:
    bidder = bidding(secret=SECRET, allow_unsigned_leads=True)
    bidder.lead(lambda lead: None)
    wrong = sign_headers("xs_other", int(time.time()), b"")
    async with asking(bidder) as ask:
        assert (await ask("/leads", a_lead()))[0] == 200
        assert (await ask("/leads", a_lead(), wrong))[0] == 401
        assert (await ask("/ping", a_ping()))[0] == 401


# --- leads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("taken", "answer"),
    [
        pytest.param(None, {"status": "accepted"}, id="nothing is yes"),
        pytest.param(Accepted(), {"status": "accepted"}, id="accepted"),
        pytest.param(
            Accepted("A-7"), {"status": "accepted", "reference": "A-7"}, id="with a reference"
        ),
        pytest.param(
            Refused("duplicate"), {"status": "rejected", "reason": "duplicate"}, id="refused"
        ),
    ],
)
async def test_a_lead_is_answered_as_the_lead_function_says(taken: Any, answer: Json) -> None:
    bidder = Bidder()
    seen: list[Lead] = []

    @bidder.lead
    async def take(lead: Lead) -> Accepted | Refused | None:
        seen.append(lead)
        said: Accepted | Refused | None = taken
        return said

    async with asking(bidder) as ask:
        assert await ask("/leads", a_lead(token="t-1")) == (200, answer)
    assert (seen[0].price_cents, seen[0].token, seen[0].contact["first_name"]) == (
        4575,
        "t-1",
        "Ann",
    )


async def test_a_delivery_that_comes_again_gets_the_first_answer() -> None:
    bidder, taken = Bidder(), []

    @bidder.lead
    def take(lead: Lead) -> Accepted:
        taken.append(lead)
        return Accepted(f"A-{len(taken)}")

    async with asking(bidder) as ask:
        first = await ask("/leads", a_lead())
        again = await ask("/leads", dict(reversed(a_lead().items())))
        assert first == again == (200, {"status": "accepted", "reference": "A-1"})
        other = await ask("/leads", a_lead("d-2"))
        assert other == (200, {"status": "accepted", "reference": "A-2"})
    assert (bidder.counts.leads, bidder.counts.repeats) == (2, 1)


async def test_a_repeat_while_the_first_is_under_way_waits_for_its_answer() -> None:
    bidder, taken, begun, go = Bidder(), [], asyncio.Event(), asyncio.Event()

    @bidder.lead
    async def take(lead: Lead) -> Accepted:
        taken.append(lead)
        begun.set()
        await go.wait()
        return Accepted(f"A-{len(taken)}")

    async with asking(bidder) as ask:
        both = [asyncio.ensure_future(ask("/leads", a_lead())) for _ in range(2)]
        await asyncio.wait_for(begun.wait(), 5)
        assert (await ask("/leads", a_lead(price=1.00)))[0] == 409
        go.set()
        assert (
            await asyncio.gather(*both) == [(200, {"status": "accepted", "reference": "A-1"})] * 2
        )


async def test_a_lead_whose_sender_left_is_taken_all_the_same() -> None:
    bidder, taken = Bidder(), asyncio.Event()

    @bidder.lead
    async def take(lead: Lead) -> Accepted:
        await asyncio.sleep(0.1)
        taken.set()
        return Accepted("A-1")

    async with bidder.serving() as base, aiohttp.ClientSession() as http:
        with pytest.raises(asyncio.TimeoutError):
            short = aiohttp.ClientTimeout(total=0.03)
            await http.post(f"{base}/leads", json=a_lead(), timeout=short)
        await asyncio.wait_for(taken.wait(), 5)
        answer = await http.post(f"{base}/leads", json=a_lead())
        assert await answer.json() == {"status": "accepted", "reference": "A-1"}


async def test_another_lead_under_the_same_delivery_is_a_conflict() -> None:
    bidder = Bidder()
    bidder.lead(lambda lead: None)
    async with asking(bidder) as ask:
        await ask("/leads", a_lead())
        status, problem = await ask("/leads", a_lead(price=1.00))
    assert (status, problem["code"]) == (409, "delivery_conflict")


async def test_a_lead_function_that_failed_is_asked_again() -> None:
    bidder, tries = Bidder(lead_timeout_s=0.05), []

    @bidder.lead
    async def take(lead: Lead) -> Any:
        tries.append(lead)
        if len(tries) == 1:
            raise OSError("the database is away")
        if len(tries) == 2:
            await asyncio.sleep(30)
        return "yes" if len(tries) == 3 else Accepted("A-4")

    async with asking(bidder) as ask:
        answers = [await ask("/leads", a_lead()) for _ in range(5)]
    assert [status for status, _ in answers] == [500, 504, 500, 200, 200]
    assert len(tries) == 4


async def test_leads_taken_at_once_and_answers_remembered_are_bounded() -> None:
    bidder, go, begun, tries = Bidder(), asyncio.Event(), asyncio.Event(), []
    bidder._deliveries = Deliveries(max_remembered=1, max_under_way=1)

    @bidder.lead
    async def take(lead: Lead) -> None:
        tries.append(lead.delivery_id)
        begun.set()
        await go.wait()

    async with asking(bidder) as ask:
        first = asyncio.ensure_future(ask("/leads", a_lead("d-1")))
        await asyncio.wait_for(begun.wait(), 5)
        assert (await ask("/leads", a_lead("d-2")))[0] == 503
        go.set()
        assert (await first)[0] == 200
        await ask("/leads", a_lead("d-2"))
        await ask("/leads", a_lead("d-1"))  # the oldest answer was forgotten
    assert tries == ["d-1", "d-2", "d-1"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"{", 422, id="not JSON"),
        pytest.param(a_lead(price=-1), 422, id="a price below zero"),
        pytest.param(a_lead(price=1.005), 422, id="a price finer than a cent"),
        pytest.param(a_lead(contact=None), 422, id="no contact"),
        pytest.param(a_lead(note="x" * 65_536), 413, id="over 64 KiB"),
    ],
)
async def test_what_is_no_lead_is_a_fault(body: Json | bytes, status: int) -> None:
    bidder = Bidder()
    bidder.lead(lambda lead: None)
    async with asking(bidder) as ask:
        assert (await ask("/leads", body))[0] == status
    assert bidder.counts.leads == 0
