"""Whatever is killed, no lead is lost and none is sold twice. Source: rules §2, §8."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from decimal import Decimal
from functools import partial

import pytest

from bidders.crm import Behaviour, CrmServer
from tests.e2e.running import Running, exchange_running, is_alive, serving, temporary_home, until
from tests.e2e.wire import (
    Account,
    Json,
    Wire,
    line_to_each_worker,
    paid_to_seller,
    person,
    rectified,
)

pytestmark = pytest.mark.e2e

LEADS = 24
SLOW_MS = 700
SOON_S = 5.0
RESTART_S = 15.0
BASE = "50.00"

Outcome = tuple[Json, list[str]]


@pytest.fixture
async def doomed() -> AsyncIterator[Running]:
    """An exchange of one test's own, in which something is killed."""
    async with exchange_running(workers=2) as running:
        yield running


class Market:
    """A seller, and a slow company with a slower rival behind it, each with its CRM."""

    def __init__(self, wire: Wire, crm: CrmServer) -> None:
        self.wire = wire
        self.crm = crm
        self.seller: Account
        self.companies: dict[str, Account] = {}

    async def open(self, slow_ms: int = SLOW_MS) -> Market:
        self.seller = await self.wire.seller()
        for name, price in (("first", BASE), ("second", "10.00")):
            self.companies[name] = await self.wire.company(name)
            url = self.crm.set_behaviour(name, Behaviour(delay_ms=slow_ms))
            await self.wire.campaign(self.companies[name], price, url=url)
        return self

    def post(
        self, ping_ids: list[str], *, by: Wire | None = None, first: int = 0
    ) -> asyncio.Task[list[Outcome]]:
        """Post every ping at once, each until it is answered; ``first`` numbers the consumers."""
        wire = by or self.wire

        async def post_all() -> list[Outcome]:
            posts = [
                wire.post_until_answered(self.seller, ping_id, person(number))
                for number, ping_id in enumerate(ping_ids, first)
            ]
            return await asyncio.gather(*posts)

        return asyncio.create_task(post_all())

    async def in_the_middle(self, leads: int = LEADS // 2) -> None:
        """Wait until so many leads are at the CRM, which has answered none of them."""
        await until(lambda: self.crm.counts("first").seen >= leads, SOON_S, "leads at the CRM")

    async def assert_each_sold_once(
        self,
        ping_ids: list[str],
        outcomes: list[Outcome],
        *,
        by: Wire | None = None,
        first: int = 0,
    ) -> None:
        """Every lead was sold to the first company, which heard of it under one delivery id."""
        wire = by or self.wire
        results = [result for result, _ in outcomes]
        assert Counter(result["status"] for result in results) == {"sold": len(ping_ids)}
        sold = [result["lead_id"] for result in results]
        assert len(set(sold)) == len(ping_ids)
        for name in self.companies:
            ids: dict[str, set[str]] = defaultdict(set)
            for seen in self.crm.leads(name):
                ids[seen.lead_id].add(seen.delivery_id)
            assert all(len(deliveries) == 1 for deliveries in ids.values())
        assert set(sold) <= {seen.lead_id for seen in self.crm.leads("first")}
        taken = Counter(lead["lead_id"] for lead in await wire.leads(self.companies["first"]))
        assert set(sold) <= set(taken)
        assert set(taken.values()) == {1}
        assert await wire.leads(self.companies["second"]) == []
        for ping_id, (result, _) in zip(ping_ids, outcomes, strict=True):
            number = first + ping_ids.index(ping_id)
            again = (await wire.post(self.seller, ping_id, person(number))).ok()
            assert again == result


def setbacks_of(outcomes: list[Outcome]) -> Counter[str]:
    return Counter(setback for _, setbacks in outcomes for setback in setbacks)


async def test_a_worker_killed_amid_posts_is_replaced_and_each_lead_is_sold_once(
    doomed: Running, crm: CrmServer
) -> None:
    async with Wire(doomed) as wire:
        market = await Market(wire, crm).open(2 * SLOW_MS)
        before = doomed.worker_pids()
        assert len(before) == 2
        ping_ids = await wire.offers(market.seller, LEADS)
        posting = market.post(ping_ids)
        # All of them: half might be the other worker's alone.
        await market.in_the_middle(LEADS)
        doomed.kill(before[0])

        async def has_two_again() -> bool:
            pids = doomed.worker_pids()
            return len(pids) == 2 and before[0] not in pids and await doomed.is_ready()

        await until(has_two_again, RESTART_S, "a new worker")
        outcomes = await posting
        setbacks = setbacks_of(outcomes)
        assert setbacks, "no post was under way at the killed worker"
        assert "503" not in setbacks
        await market.assert_each_sold_once(ping_ids, outcomes)
        assert max(seen.attempts for seen in crm.leads("first")) == 2
        async with line_to_each_worker(doomed) as lines:
            assert before[1] in lines and len(lines) == 2
            for number, line in enumerate(lines.values()):
                await line.sell(market.seller, person(90 + number))
        assert len(doomed.logged("listening")) == 3
        await doomed.check()


@pytest.mark.parametrize("is_lost", [False, True], ids=["its_file_kept", "its_file_lost"])
async def test_valkey_killed_is_restarted_and_holds_again_what_the_books_say(
    doomed: Running, crm: CrmServer, is_lost: bool
) -> None:
    async with Wire(doomed) as wire, line_to_each_worker(doomed) as lines:
        market = await Market(wire, crm).open()
        first, seller = market.companies["first"], market.seller
        crm.set_behaviour("first", Behaviour())
        sold = [await wire.sell(seller, person(number)) for number in range(50, 54)]
        await wire.reject(first, sold[0]["lead_id"])
        crm.set_behaviour("first", Behaviour(delay_ms=SLOW_MS))
        crm.forget("first")
        under_way = await wire.offers(seller, LEADS // 2)
        held = await wire.offers(seller, LEADS // 2)
        for ping_id in under_way + held:  # A receipt is for both workers once it is written.
            for line in lines.values():
                await until(partial(_is_known, line, ping_id), SOON_S, "a receipt")
        killed = doomed.valkey_pid
        posting = market.post(under_way)
        await market.in_the_middle(LEADS // 4)
        async with doomed.frozen(doomed.pid):
            doomed.kill(killed)
            for line in lines.values():
                away = await line.ping(seller)
                assert (away.status, away.json["code"]) == (503, "unavailable")
                assert int(away.headers["Retry-After"]) >= 1
                await until(partial(_waits_for, line, "redis"), SOON_S, "/readyz to say so")
            held_answers = await asyncio.gather(
                *(wire.post(seller, ping_id, person(30 + n)) for n, ping_id in enumerate(held))
            )
            assert {answer.ok()["status"] for answer in held_answers} == {"sold"}
            returned = (await wire.reject(first, sold[1]["lead_id"])).ok()
            if is_lost:
                shutil.rmtree(doomed.home / "valkey" / "appendonlydir")
        await until(doomed.is_ready, RESTART_S, "Valkey to be back")
        assert doomed.valkey_pid != killed
        outcomes = await posting
        assert not setbacks_of(outcomes)
        results = [(answer.json, list[str]()) for answer in held_answers]
        assert {result["status"] for result, _ in outcomes + results} == {"sold"}
        ids = Counter(seen.lead_id for seen in crm.leads("first"))
        assert ids == Counter(result["lead_id"] for result, _ in outcomes + results)

        standing = await wire.standing(first)
        assert standing["rejected_manual"] == Decimal(BASE) + Decimal(returned["value"])
        price = rectified(BASE, standing["rejected_manual"], standing["assigned"])
        for line in lines.values():
            assert await line.price(seller) == paid_to_seller(price)
        await doomed.check()


async def test_postgresql_killed_amid_posts_is_restarted_and_each_lead_is_sold_once(
    doomed: Running, crm: CrmServer
) -> None:
    async with Wire(doomed) as wire, line_to_each_worker(doomed) as lines:
        market = await Market(wire, crm).open()
        ping_ids = await wire.offers(market.seller, LEADS)
        late = await wire.offers(market.seller, 4)
        killed = doomed.postgres_pid
        posting = market.post(ping_ids)
        await market.in_the_middle()
        async with doomed.frozen(doomed.pid):
            doomed.kill(killed)
            met = zip(lines.values(), late, strict=False)
            for number, (line, ping_id) in enumerate(met, LEADS):
                away = await line.post(market.seller, ping_id, person(number))
                assert (away.status, away.json["code"]) == (503, "unavailable")
                assert int(away.headers["Retry-After"]) >= 1
                assert (await line.ping(market.seller)).status in (200, 503)
                await until(partial(_waits_for, line, "postgres"), SOON_S, "/readyz to say so")
        await until(doomed.is_ready, RESTART_S, "PostgreSQL to be back")
        assert doomed.postgres_pid != killed
        outcomes = await posting
        assert setbacks_of(outcomes)["503"], "no post met the absence"
        await market.assert_each_sold_once(ping_ids, outcomes)
        # Some of these may have been written down by what was left of the killed server.
        outcomes = await market.post(late, first=LEADS)
        await market.assert_each_sold_once(late, outcomes, first=LEADS)
        assert len(await wire.leads(market.companies["first"])) == len(ping_ids) + len(late)
        assert set(doomed.worker_pids()) == set(lines), "a worker died of it"
        assert "request failed" not in doomed.said()
        await doomed.check()


async def test_a_worker_that_starts_while_a_store_is_away_waits_for_it(doomed: Running) -> None:
    [first, second] = doomed.worker_pids()
    async with doomed.frozen(doomed.valkey_pid):
        doomed.kill(first)

        def is_waiting() -> bool:
            return '"waiting for a store"' in doomed.said()

        await until(is_waiting, RESTART_S, "the new worker to meet the absence")
    await until(doomed.is_ready, RESTART_S, "the new worker")
    assert second in doomed.worker_pids()
    # It did not end for it: a few such deaths would make the parent give up.
    assert doomed.said().count("starting another") == 1


async def test_the_parent_killed_leaves_stores_that_the_next_serve_takes_over_with_every_lead(
    crm: CrmServer,
) -> None:
    async with temporary_home() as home, serving(home) as orphaned, Wire(orphaned) as wire:
        market = await Market(wire, crm).open()
        ping_ids = await wire.offers(market.seller, LEADS)
        workers = orphaned.worker_pids()
        stores = orphaned.postgres_pid, orphaned.valkey_pid
        posting = asyncio.gather(
            *(wire.post(market.seller, p, person(n)) for n, p in enumerate(ping_ids)),
            return_exceptions=True,
        )
        await market.in_the_middle()
        orphaned.kill(orphaned.pid)
        async with serving(home) as heir, Wire(heir) as wire_to_heir:
            assert (heir.postgres_pid, heir.valkey_pid) == stores
            assert heir.out_path.read_text().count("still running") == 2
            answered = [a for a in await posting if not isinstance(a, BaseException)]
            assert answered, "orphaned workers finish their open posts"
            assert {answer.status for answer in answered} <= {200, 503}
            await until(
                lambda: not any(is_alive(pid) for pid in workers),
                RESTART_S,
                "the orphaned workers to end",
            )
            outcomes = await market.post(ping_ids, by=wire_to_heir)
            await market.assert_each_sold_once(ping_ids, outcomes, by=wire_to_heir)
            told = {a.json["lead_id"]: a.json for a in answered if a.status == 200}
            assert told.items() <= {r["lead_id"]: r for r, _ in outcomes}.items()
            await heir.check()
        assert not any(is_alive(pid) for pid in stores)


async def _is_known(wire: Wire, ping_id: str) -> bool:
    return (await wire.call("GET", f"/v1/pings/{ping_id}")).status == 200


async def _waits_for(wire: Wire, store: str) -> bool:
    answer = await wire.call("GET", "/readyz", None)
    return answer.status == 503 and store in answer.json["waiting_for"]
