"""Posts of one moment share a transaction; each gets what it would have got alone (rules: §2)."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace
from uuid_utils import uuid7

from bidders.crm import Behaviour, crm_server
from exchange.core.model import CampaignId, Cap, CompanyId, Condition, PingId, SellerId
from exchange.core.reasons import Reason
from exchange.embedded import StoreUrls
from exchange.flow.faults import Conflict, Unavailable
from exchange.flow.ports import Claim, Claimed, PostRequest, PostResult
from tests.databases import fresh_database
from tests.flow.market import INBOX, Desk, http, open_desk, until

AT_ONCE = 64


async def post_at_once(requests: list[PostRequest], *workers: Desk) -> list[Any]:
    """Post all requests in one moment, by turns on the workers."""
    return await asyncio.gather(
        *(workers[n % len(workers)].exchange.post(one) for n, one in enumerate(requests)),
        return_exceptions=True,
    )


async def pinged(desk: Desk, seller: SellerId, count: int, **options: Any) -> list[PostRequest]:
    """Posts of offers that were made while there was room for each alone."""
    return [desk.post_request(await desk.ping(seller, **options)) for _ in range(count)]


# --- as one by one --------------------------------------------------------------------------------


class Trade(Struct, frozen=True):
    """How a campaign buys: its caps, and whether its leads lie in its inbox or are sent."""

    leads: int | None
    spend_cents: int | None
    is_sent: bool


class Story(Struct, frozen=True):
    """A company's balance and its campaigns; leads as a campaign's number and a price.

    Who comes first at a balance both campaigns share is settled only where both take the same way:
    a lead that is sold as it is claimed comes before one that is sent.
    """

    prepaid: int | None
    trades: tuple[Trade, ...]
    warm: bool
    leads: tuple[tuple[int, int], ...]


prices = st.sampled_from((1_00, 9_99, 33_33, 50_00))
trades = st.builds(
    Trade,
    st.none() | st.integers(1, 4),
    st.none() | st.sampled_from((50_00, 66_66, 120_00)),
    st.sampled_from((False, False, True)),
)


def is_settled(story: Story) -> bool:
    one_way = story.trades[0].is_sent == story.trades[1].is_sent
    return story.prepaid is None or (one_way and story.warm)


stories = st.builds(
    Story,
    st.none() | st.sampled_from((60_00, 99_99, 200_00)),
    st.tuples(trades, trades),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 1), prices), min_size=2, max_size=9).map(tuple),
).filter(is_settled)


ZIPS = itertools.count(10_000)


class Lived:
    """One company that lives a story; ``zips`` keep its leads from all others."""

    def __init__(self, desk: Desk, seller: SellerId, story: Story, url: str) -> None:
        self.desk, self.seller, self.story, self.url = desk, seller, story, url
        self.zips = [str(next(ZIPS)), str(next(ZIPS))]
        self.campaigns: list[CampaignId | None] = [None, None]
        self.company_id = CompanyId("")

    async def ping(self, which: int, cents: int) -> PostRequest:
        """An offer of a campaign at a price, as a post."""
        trade = self.story.trades[which]
        cap = Cap(period="day", leads=trade.leads, spend_cents=trade.spend_cents)
        is_capped = trade.leads is not None or trade.spend_cents is not None
        self.campaigns[which] = await self.desk.campaign(
            self.company_id,
            cents,
            caps=(cap,) if is_capped else (),
            delivery=(http(self.url) if trade.is_sent else INBOX,),
            filter=Condition(field="zip", op="=", value=self.zips[which]),
            campaign_id=self.campaigns[which],
        )
        receipt = await self.desk.ping(self.seller, zip=self.zips[which])
        assert receipt.status == "offer", receipt
        return self.desk.post_request(receipt)

    async def open(self) -> list[PostRequest]:
        self.company_id = await self.desk.company(prepaid=self.story.prepaid)
        first = [await self.ping(which, 1_00) for which in range(2)]
        requests = [await self.ping(which, cents) for which, cents in self.story.leads]
        if self.story.warm:
            # A first lead of each campaign, so that what it has used is kept already.
            for request in first:
                await self.desk.exchange.post(request)
        return requests

    async def figures(self) -> list[Any]:
        """What is booked of the company, without its ids and version."""
        columns = "active, balance, held, era, era_assigned"
        found = [
            *await self.desk.rows(f"select {columns} from company where id = $1", self.company_id),
            *await self.desk.rows(
                "select assigned, manual, crm from bucket where company_id = $1", self.company_id
            ),
            *await self.desk.rows(
                "select period, leads, spend from usage where company_id = $1 "
                "order by campaign_id, period",
                self.company_id,
            ),
            *await self.desk.rows(
                "select s.charged, s.seller_cents, s.state, d.state, d.attempts, d.kind, d.place, "
                "l.state, g.state, g.seller_cents, g.promised, l.finished_at is not null "
                "from sale s join delivery d on d.id = s.delivery_id "
                "join lead l on l.id = s.lead_id join leg g on g.lead_id = l.id "
                "where s.company_id = $1 order by l.ping_id",
                self.company_id,
            ),
        ]
        return [tuple(row) for row in found]


def told(result: PostResult) -> tuple[Any, ...]:
    leg = result.legs[0]
    return result.status, result.price_cents, result.reason, leg.status, leg.reason


def test_posts_of_one_moment_come_to_what_they_come_to_one_by_one(stores: StoreUrls) -> None:
    async def live(desk: Desk, url: str, story: Story) -> None:
        seller = await desk.seller()
        one, other = Lived(desk, seller, story, url), Lived(desk, seller, story, url)
        by_one = [await desk.exchange.post(request) for request in await one.open()]
        at_once = await post_at_once(await other.open(), desk)
        assert list(map(told, at_once)) == list(map(told, by_one))
        assert await other.figures() == await one.figures()

    async def open_all(stack: AsyncExitStack) -> tuple[Desk, str]:
        database = await stack.enter_async_context(fresh_database(stores))
        crm = await stack.enter_async_context(crm_server(seed=7, behaviours={}))
        desk = await stack.enter_async_context(open_desk(stores, database))
        return desk, crm.set_behaviour("all", Behaviour())

    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        desk, url = runner.run(open_all(stack))

        @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(stories)
        def check(story: Story) -> None:
            runner.run(live(desk, url, story))

        try:
            check()
            runner.run(desk.assert_clean())
        finally:
            runner.run(stack.aclose())


# --- room -----------------------------------------------------------------------------------------


async def test_64_at_once_on_one_cap_with_room_for_10_sell_exactly_10(
    desk: Desk, other: Desk
) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 20_00, caps=(Cap(period="day", leads=11),))
    requests = await pinged(desk, seller, AT_ONCE)
    await desk.sell(seller)
    answers = await post_at_once(requests, desk, other)
    assert sum(answer.status == "sold" for answer in answers) == 10
    assert {answer.reason for answer in answers} == {None, Reason.NO_BUYER_LEFT}
    assert await desk.value("select count(*) from sale") == 11


async def test_a_company_excluded_after_the_ping_buys_none_of_those_posted_at_once(
    desk: Desk,
) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 20_00)
    requests = await pinged(desk, seller, 8)
    await desk.exchange.registry.set_active("company", company, False, desk.clock.now())
    answers = await post_at_once(requests, desk)
    assert {answer.status for answer in answers} == {"unsold"}


async def test_leads_of_many_companies_on_two_workers_at_once_are_all_sold(
    desk: Desk, other: Desk
) -> None:
    seller = await desk.seller()
    for number in range(6):
        where = Condition(field="zip", op="=", value=f"1000{number}")
        company = await desk.company(prepaid=10_000_00)
        await desk.campaign(company, 20_00, filter=where)
    for _ in range(3):
        requests = [
            request
            for number in (0, 3, 5, 1, 4, 2)
            for request in await pinged(desk, seller, 10, zip=f"1000{number}")
        ]
        # Each worker asks for the companies in the other's order.
        one, two = requests[::2], requests[1::2][::-1]
        answers = await asyncio.gather(post_at_once(one, desk), post_at_once(two, other))
        assert {answer.status for half in answers for answer in half} == {"sold"}


# --- told once ------------------------------------------------------------------------------------


async def test_leads_sold_together_are_one_change_and_no_worker_misses_any(
    desk: Desk, other: Desk
) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 20_00)
    requests = await pinged(desk, seller, 16)
    before = await desk.value("select version from company")
    await post_at_once(requests, desk)
    version = await desk.value("select version from company")
    assert before < version < before + 16
    held = other.exchange.market.companies
    await until(lambda: held[company].version == version)
    for worker in (desk, other):
        known = worker.exchange.market.companies[company]
        assert (known.version, known.missed) == (version, set())
        assert worker.exchange.market.standings[company].raw_assigned == 16 * 20_00


# --- what fails alone -----------------------------------------------------------------------------


async def test_a_post_the_books_cannot_take_fails_alone(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 20_00)
    requests = await pinged(desk, seller, 12)
    receipt = await desk.ping(seller)
    assert receipt.offer is not None
    nobody, ping_id = SellerId("nobody"), PingId(str(uuid7()))
    orphan = replace(receipt.offer, ping_id=ping_id, seller_id=nobody)
    await desk.exchange.offers.put(ping_id, msgspec.json.encode(orphan), 60)
    poisoned = replace(desk.post_request(receipt), ping_id=ping_id, seller_id=nobody)
    answers = await post_at_once([*requests[:6], poisoned, *requests[6:]], desk)
    assert isinstance(answers.pop(6), asyncpg.ForeignKeyViolationError)
    assert {answer.status for answer in answers} == {"sold"}
    assert await desk.value("select count(*) from lead") == 12
    desk.exchange.posting.stranded.clear()


async def test_of_two_pings_posted_at_once_under_one_key_one_is_sold_and_one_a_conflict(
    desk: Desk,
) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 20_00)
    receipts = [await desk.ping(seller) for _ in range(2)]
    requests = [desk.post_request(receipt, key="mine") for receipt in receipts]
    sold, conflict = await post_at_once(requests, desk)
    assert sold.status == "sold"
    assert isinstance(conflict, Conflict) and conflict.code == "idempotency_conflict"


# --- deaths ---------------------------------------------------------------------------------------


async def test_posts_whose_transaction_is_killed_leave_nothing_and_are_sold_when_posted_again(
    desk: Desk,
) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 20_00)
    requests = await pinged(desk, seller, 8)
    async with desk.exchange.postgres.connection() as blocker:
        transaction = blocker.transaction()
        await transaction.start()
        await blocker.execute("select 1 from company for update")
        posting = asyncio.create_task(post_at_once(requests, desk))
        killed = await desk.awaited(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            "where datname = current_database() and wait_event_type = 'Lock' "
            "and query like '%claim_leads%'"
        )
        assert killed == 1
        answers = await posting
        await transaction.rollback()
    assert {type(answer) for answer in answers} == {Unavailable}
    assert await desk.value("select count(*) from lead") == 0
    assert await desk.value("select count(*) from sale") == 0
    again = await post_at_once(requests, desk)
    assert {answer.status for answer in again} == {"sold"}
    assert await desk.value("select count(*) from sale") == 8


async def test_a_worker_that_dies_with_sold_leads_unanswered_leaves_their_answers_to_the_others(
    desk: Desk, other: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    seller, company = await desk.seller(), await desk.company(prepaid=500_00)
    campaign = await desk.campaign(company, 20_00)
    await until(lambda: other.exchange.market.campaign(campaign) is not None)
    requests = await pinged(desk, seller, 8)
    claim, sold = other.exchange.books.claim, []

    async def claim_and_die(one: Claim) -> Claimed:
        sold.append(await claim(one))
        return await asyncio.Event().wait()  # type: ignore[return-value]

    with monkeypatch.context() as patched:
        patched.setattr(other.exchange.books, "claim", claim_and_die)
        posting = asyncio.create_task(post_at_once(requests, other))
        await until(lambda: len(sold) == 8)
        await other.exchange.following.stop()
        for task in list(other.exchange.posting._running.values()):
            task.cancel()
        await posting
    assert all(one.is_sold for one in sold)
    answers = await post_at_once(requests, desk)
    assert [answer.price_cents for answer in answers] == [17_00] * 8
    assert await desk.value("select count(*) from sale") == 8
    # What the dead worker had told nobody is in no market yet; the next round of mending tells.
    await desk.exchange.following.mend()
    assert desk.exchange.market.companies[company].available_cents == 500_00 - 8 * 20_00
