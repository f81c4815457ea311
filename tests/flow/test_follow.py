"""Workers keep in step, mend what was lost, and finish what a dead one left (design: Workers)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from bidders.crm import Behaviour, CrmServer
from exchange.core.lifecycle import State
from exchange.core.model import Cap, CompanyId, LeadId
from exchange.core.reasons import Reason
from exchange.embedded import StoreUrls
from exchange.flow import follow
from exchange.flow.faults import Unavailable
from exchange.flow.ports import Answer, Receipt
from exchange.settings import ContactKey
from tests.flow.market import SECRETS, Buyer, Desk, buyer, http, key_of, open_desk, until

WITHIN_S = 1.0
"""Far above what a change takes to reach another worker; a change that is lost never does."""


async def soon(is_so: Callable[[], bool]) -> None:
    """Wait until another worker has heard."""
    await until(is_so, WITHIN_S)


async def bought_twice(desk: Desk) -> tuple[Buyer, LeadId]:
    """A company that bought two leads for $100.00 each; gives it and the first of them."""
    company = await buyer(desk, await desk.seller())
    lead = await company.buy(100_00)
    await company.buy(100_00)
    return company, lead


# --- hearing --------------------------------------------------------------------------------------


async def test_a_rejection_prices_the_next_ping_on_another_worker(desk: Desk, other: Desk) -> None:
    company, lead = await bought_twice(desk)
    await desk.reject(company.company_id, lead)
    standings = other.exchange.market.standings
    await soon(lambda: standings[company.company_id].overall_hundredths == 50_00)
    assert await other.price(company.seller_id, zip="10001") == 50_00


async def test_a_new_campaign_bids_on_another_worker(desk: Desk, other: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    campaign = await desk.campaign(company, 60_00)
    await soon(lambda: other.exchange.market.campaign(campaign) is not None)
    assert await other.price(seller) == 60_00


async def test_a_deleted_campaign_bids_no_longer_on_another_worker(desk: Desk, other: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    campaign = await desk.campaign(company, 60_00)
    await desk.exchange.registry.delete_campaign(campaign, company, desk.clock.now())
    await soon(lambda: other.exchange.market.campaign(campaign) is None)
    assert (await other.ping(seller)).status == "no_offer"


async def test_a_reset_reaches_another_worker(desk: Desk, other: Desk) -> None:
    company = await buyer(desk, await desk.seller())
    await company.buy(5_000_00)
    registry = desk.exchange.registry
    asked = await registry.ask_reset(company.company_id, desk.clock.now())
    await registry.approve_reset(asked.reset_id, desk.clock.now())
    standings = other.exchange.market.standings
    await soon(lambda: standings[company.company_id].protected)


async def test_a_worker_that_starts_late_knows_the_whole_market(
    desk: Desk, stores: StoreUrls, database: str
) -> None:
    company, lead = await bought_twice(desk)
    await desk.reject(company.company_id, lead)
    async with open_desk(stores, database, clock=desk.clock) as late:
        assert await late.price(company.seller_id, zip="10001") == 50_00


async def test_a_worker_that_lost_its_subscription_reloads_what_it_missed(
    desk: Desk, other: Desk
) -> None:
    company = await desk.company()
    await soon(lambda: company in other.exchange.market.companies)
    # Changed behind everybody's back, and longer ago than is looked back for.
    await desk.value(
        "update company set active = false, version = version + 1,"
        " changed_at = clock_timestamp() - interval '1 hour'"
    )
    assert other.exchange.market.companies[company].active
    await desk.exchange._redis.client_kill_filter(_type="pubsub")
    await until(lambda: not other.exchange.market.companies[company].active)
    await until(lambda: other.exchange.feed.subscribed)
    await desk.exchange.rebuild()


async def test_a_change_nobody_was_told_of_is_mended_from_the_books(
    desk: Desk, other: Desk
) -> None:
    company = await desk.company()
    await desk.value(
        "update company set active = false, version = version + 1, changed_at = clock_timestamp()"
    )
    await other.exchange.following.mend()
    assert not other.exchange.market.companies[company].active
    await desk.assert_clean()


# --- the fast store -------------------------------------------------------------------------------


def lose_the_fast_store(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take Valkey away from the desk, until the patches are undone."""

    async def fail(*_: object) -> None:
        raise Unavailable("the fast store is away")

    for call in ("put", "put_unseen", "get", "saw"):
        monkeypatch.setattr(desk.exchange.offers, call, fail)
    monkeypatch.setattr(desk.exchange.mirror, "write", fail)


async def test_a_fast_store_that_was_emptied_is_rebuilt_from_the_books(desk: Desk) -> None:
    company, lead = await bought_twice(desk)
    await desk.reject(company.company_id, lead)
    await desk.exchange._redis.flushall()
    assert len((await desk.exchange.check()).findings) == 1
    rebuilt = await desk.exchange.rebuild()
    assert (rebuilt.companies, rebuilt.contacts) == (1, 2)
    await desk.assert_clean()


async def test_sold_contacts_are_known_again_after_a_rebuild(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 60_00)
    receipt = await desk.ping(seller)
    await desk.exchange.post(desk.post_request(receipt, contact_keys=(key_of("ada"),)))
    await desk.exchange._redis.flushall()
    await desk.exchange.rebuild()
    assert (await desk.ping(seller, contact_keys=(key_of("ada"),))).reason is Reason.DUPLICATE


async def test_pings_are_unavailable_while_the_fast_store_is_away(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    company, _ = await bought_twice(desk)
    with monkeypatch.context() as patched:
        lose_the_fast_store(desk, patched)
        with pytest.raises(Unavailable):
            await desk.ping(company.seller_id, zip="10001")
    assert (await desk.ping(company.seller_id, zip="10001")).status == "offer"


async def test_a_post_is_sold_while_the_fast_store_is_away_and_known_there_afterwards(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    company, _ = await bought_twice(desk)
    request = desk.post_request(
        await desk.ping(company.seller_id, zip="10001"), contact_keys=(key_of("ada"),)
    )
    with monkeypatch.context() as patched:
        lose_the_fast_store(desk, patched)
        first = await desk.exchange.post(request)
        assert first.status == "sold"
        assert await desk.exchange.post(request) == first
    await desk.exchange.following.mend()
    await desk.assert_clean()
    await desk.exchange.rebuild()
    again = await desk.ping(company.seller_id, zip="10001", contact_keys=(key_of("ada"),))
    assert again.reason is Reason.DUPLICATE


async def test_a_rebuild_removes_what_the_books_do_not_know(desk: Desk) -> None:
    await desk.company()
    await desk.exchange._redis.hset("window:{nobody}", "head", "1|{}")
    assert (await desk.exchange.rebuild()).removed == 1


async def test_a_fast_store_that_was_started_anew_is_rebuilt_unasked(desk: Desk) -> None:
    await bought_twice(desk)
    await desk.exchange._redis.flushall()
    desk.exchange.following._mirror_run_id = "that of the server before"
    await desk.exchange.following.mend()
    await desk.assert_clean()


async def test_what_the_mirror_could_not_take_is_written_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    company, lead = await bought_twice(desk)
    mirror = desk.exchange.mirror

    with monkeypatch.context() as patched:
        lose_the_fast_store(desk, patched)
        _, standing = await desk.reject(company.company_id, lead)
        assert standing.overall_hundredths == 50_00
        assert mirror.dirty == {company.company_id}
    await desk.exchange.following.mend()
    assert mirror.dirty == set()
    await desk.assert_clean()


async def test_what_a_killed_worker_told_nobody_is_in_the_fast_store_after_the_next_start(
    stores: StoreUrls, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_desk(stores, database) as killed:
        company, lead = await bought_twice(killed)

        async def tell_nobody(_: object) -> None:
            pass

        monkeypatch.setattr(killed.exchange.mirror, "publish", tell_nobody)
        await killed.exchange.following.stop()
        await killed.reject(company.company_id, lead)
        await killed.value("update company set changed_at = changed_at - interval '1 hour'")
    async with open_desk(stores, database) as desk:
        await desk.assert_clean()


# --- workers that vanish --------------------------------------------------------------------------


async def vanish(worker: Desk) -> None:
    """End a worker as a kill does: nothing is finished, nothing is said."""
    await worker.exchange.following.stop()
    running = list(worker.exchange.posting._running.values())
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def take_over(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the desk find whoever is silent, at once."""
    monkeypatch.setattr(follow, "SILENT_S", 0.0)
    await desk.exchange.books.heartbeat(desk.exchange.owner)
    await desk.exchange.following.recover()


async def in_delivery(desk: Desk, other: Desk, crm: CrmServer) -> Receipt:
    """An offer of the one company of a market, whose system hangs; both workers know it."""
    url = crm.set_behaviour("mine", Behaviour(fail_rate=1.0, failure="hang"))
    seller, company = await desk.seller(), await desk.company()
    campaign = await desk.campaign(company, 100_00, delivery=(http(url, timeout_ms=5_000),))
    await soon(lambda: other.exchange.market.campaign(campaign) is not None)
    return await desk.ping(seller)


async def test_a_lead_in_delivery_on_a_worker_that_vanished_is_finished_by_another(
    desk: Desk, other: Desk, crm: CrmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = other.post_request(await in_delivery(desk, other, crm))
    post = asyncio.create_task(other.exchange.post(request))
    await until(lambda: crm.counts("mine").seen == 1)
    await vanish(other)
    await asyncio.gather(post, return_exceptions=True)
    crm.set_behaviour("mine", Behaviour())
    await take_over(desk, monkeypatch)
    assert (await desk.exchange.post(request)).status == "sold"
    # The company was sent the lead twice under one id, and has it once.
    assert (crm.counts("mine").deliveries, crm.counts("mine").repeats) == (1, 1)
    assert await desk.value("select count(*) from sale") == 1


@pytest.mark.parametrize("step", ["claim", "reserve", "settle", "finish"])
async def test_a_worker_may_vanish_after_any_step_and_the_lead_is_sold_once_at_its_price(
    desk: Desk, other: Desk, crm: CrmServer, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    seller, company = await desk.seller(), await desk.company(prepaid=150_00)
    url = crm.set_behaviour("mine", Behaviour())
    campaign = await desk.campaign(company, 100_00, delivery=(http(url),))
    receipt = await desk.ping(seller)
    await soon(lambda: other.exchange.market.campaign(campaign) is not None)
    done = asyncio.Event()
    take_step: Callable[..., Awaitable[Any]] = getattr(other.exchange.books, step)

    async def take_step_and_stall(*arguments: Any) -> None:
        await take_step(*arguments)
        done.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(other.exchange.books, step, take_step_and_stall)
        request = other.post_request(receipt)
        post = asyncio.create_task(other.exchange.post(request))
        async with asyncio.timeout(5):
            await done.wait()
        await vanish(other)
        post.cancel()
        await asyncio.gather(post, return_exceptions=True)
    await take_over(desk, monkeypatch)
    result = await desk.exchange.post(request)
    assert (result.status, result.price_cents) == ("sold", 85_00)
    assert crm.counts("mine").deliveries == 1
    account = await desk.exchange.registry.account("company", company)
    assert account is not None and account.available_cents == 50_00
    # What the dead worker had told nobody is in no market yet; the next round of mending tells.
    await desk.exchange.following.mend()


async def test_a_lead_a_dead_worker_may_have_delivered_is_not_resold_when_its_company_is_away(
    desk: Desk, other: Desk, crm: CrmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seller = await desk.seller()
    url = crm.set_behaviour("mine", Behaviour(delay_ms=60_000))
    following = crm.set_behaviour("following", Behaviour())
    for cents, where in ((100_00, url), (95_00, following)):
        company = await desk.company(f"Company of {cents}")
        campaign = await desk.campaign(company, cents, delivery=(http(where, timeout_ms=5_000),))
    receipt = await desk.ping(seller)
    await soon(lambda: other.exchange.market.campaign(campaign) is not None)
    request = other.post_request(receipt)
    post = asyncio.create_task(other.exchange.post(request))
    await until(lambda: crm.counts("mine").accepted == 1)
    await vanish(other)
    await asyncio.gather(post, return_exceptions=True)

    async def is_away(*_: object) -> Answer:
        return Answer(result="failed", reason=Reason.CONNECTIVITY)

    with monkeypatch.context() as patched:
        patched.setattr(desk.exchange.courier, "hand_over", is_away)
        await take_over(desk, monkeypatch)
        result = await desk.exchange.post(request)
    assert (result.status, result.reason) == ("unsold", Reason.DELIVERY_UNCLEAR)
    assert crm.counts("following").seen == 0


async def test_the_refusal_a_dead_worker_heard_is_not_asked_for_again(
    desk: Desk, other: Desk, crm: CrmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seller = await desk.seller()
    refusing = crm.set_behaviour("refusing", Behaviour(refuse_rate=1.0))
    hanging = crm.set_behaviour("mine", Behaviour(fail_rate=1.0, failure="hang"))
    for cents, url in ((100_00, refusing), (90_00, hanging)):
        company = await desk.company(f"Company of {cents}")
        campaign = await desk.campaign(company, cents, delivery=(http(url, timeout_ms=5_000),))
    receipt = await desk.ping(seller)
    await soon(lambda: other.exchange.market.campaign(campaign) is not None)
    request = other.post_request(receipt)
    post = asyncio.create_task(other.exchange.post(request))
    await until(lambda: crm.counts("mine").seen == 1)
    await vanish(other)
    await asyncio.gather(post, return_exceptions=True)
    crm.set_behaviour("mine", Behaviour())
    await take_over(desk, monkeypatch)
    assert (await desk.exchange.post(request)).price_cents == 85_00
    assert crm.counts("refusing").seen == 1


async def test_a_worker_that_lives_keeps_its_leads(desk: Desk, other: Desk, crm: CrmServer) -> None:
    receipt = await in_delivery(desk, other, crm)
    crm.set_behaviour("mine", Behaviour(delay_ms=200))
    post = asyncio.create_task(other.post(receipt))
    await until(lambda: crm.counts("mine").seen == 1)
    await desk.exchange.following.recover()
    assert desk.exchange.posting.running == 0
    assert (await post).status == "sold"
    assert crm.counts("mine").seen == 1


async def test_a_lead_taken_from_a_worker_that_was_only_slow_has_one_answer(
    desk: Desk, other: Desk, crm: CrmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = await in_delivery(desk, other, crm)
    crm.set_behaviour("mine", Behaviour(delay_ms=150))
    post = asyncio.create_task(other.post(receipt))
    await until(lambda: crm.counts("mine").seen == 1)
    await take_over(desk, monkeypatch)
    result = await post
    assert result.status == "sold"
    assert await desk.awaited("select answer is not null from lead")
    assert await desk.value("select count(*) from sale") == 1


async def test_a_lead_this_worker_could_not_go_on_with_is_taken_up_again(
    desk: Desk, crm: CrmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = await buyer(desk, await desk.seller())
    await company.bid(100_00, http(crm.set_behaviour("mine", Behaviour())))
    request = desk.post_request(await desk.ping(company.seller_id, zip="10001"))

    async def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    with monkeypatch.context() as patched:
        patched.setattr(desk.exchange.books, "settle", fail)
        with pytest.raises(RuntimeError):
            await desk.exchange.post(request)
    await desk.exchange.following.recover()
    assert (await desk.exchange.post(request)).status == "sold"


async def test_a_worker_that_stops_lets_its_leads_finish(
    desk: Desk, stores: StoreUrls, database: str, crm: CrmServer
) -> None:
    receipt = await in_delivery(desk, desk, crm)
    crm.set_behaviour("mine", Behaviour(delay_ms=150))
    async with open_desk(stores, database, clock=desk.clock) as leaving:
        post = asyncio.create_task(leaving.post(receipt))
        await until(lambda: crm.counts("mine").seen == 1)
    assert (await post).status == "sold"


async def test_a_lead_left_with_a_key_nobody_has_is_invalid_and_gives_the_room_back(
    desk: Desk,
    stores: StoreUrls,
    database: str,
    crm: CrmServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = crm.set_behaviour("mine", Behaviour(fail_rate=1.0, failure="hang"))
    seller, company = await desk.seller(), await desk.company(prepaid=100_00)
    await desk.campaign(company, 100_00, delivery=(http(url, timeout_ms=5_000),))
    secrets = replace(SECRETS, contact_keys=(ContactKey(key_id=9, key=b"9" * 32),))
    async with open_desk(stores, database, clock=desk.clock, secrets=secrets) as leaving:
        request = desk.post_request(await desk.ping(seller))
        post = asyncio.create_task(leaving.exchange.post(request))
        await until(lambda: crm.counts("mine").seen == 1)
        await vanish(leaving)
        await asyncio.gather(post, return_exceptions=True)
    await take_over(desk, monkeypatch)
    result = await desk.exchange.post(request)
    assert (result.status, result.reason) == ("unsold", Reason.UNREADABLE_LEAD)
    assert await desk.value("select state from lead") == State.INVALID
    account = await desk.exchange.registry.account("company", company)
    assert account is not None and account.available_cents == 100_00
    assert (await desk.standing(company)).raw_assigned == 0


async def test_a_lead_left_with_a_campaign_deleted_since_goes_to_the_next_rank(
    desk: Desk, other: Desk, crm: CrmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = await in_delivery(desk, other, crm)
    assert receipt.offer is not None
    deleted = receipt.offer.ranks[0]
    following = await desk.company("Following")
    await desk.campaign(following, 95_00)
    receipt = await desk.ping(receipt.seller_id)
    request = other.post_request(receipt)
    post = asyncio.create_task(other.exchange.post(request))
    await until(lambda: crm.counts("mine").seen == 1)
    await vanish(other)
    await asyncio.gather(post, return_exceptions=True)
    await desk.exchange.registry.delete_campaign(
        deleted.campaign_id, deleted.company_id, desk.clock.now()
    )
    await take_over(desk, monkeypatch)
    assert (await desk.exchange.post(request)).price_cents == 85_00
    assert await desk.value("select company_id from sale") == following


async def test_a_lead_not_finished_in_the_time_to_stop_is_left_to_another_and_nobodys_failure(
    desk: Desk,
    stores: StoreUrls,
    database: str,
    crm: CrmServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    receipt = await in_delivery(desk, desk, crm)
    assert receipt.offer is not None
    async with open_desk(stores, database, clock=desk.clock) as leaving:
        request = leaving.post_request(receipt)
        post = asyncio.create_task(leaving.exchange.post(request))
        await until(lambda: crm.counts("mine").seen == 1)
        await leaving.exchange.drain(0.05)
        await leaving.exchange.stop()
        await asyncio.gather(post, return_exceptions=True)
    assert (await desk.standing(receipt.offer.ranks[0].company_id)).raw_assigned == 0
    crm.set_behaviour("mine", Behaviour())
    await take_over(desk, monkeypatch)
    assert (await desk.exchange.post(request)).status == "sold"


# --- what check must find -------------------------------------------------------------------------


async def bought_and_returned(desk: Desk) -> CompanyId:
    """A market in which everything that can be corrupted is there."""
    seller, company = await desk.seller(), await desk.company(prepaid=1_000_00)
    campaign = await desk.campaign(company, 100_00)
    await desk.campaign(company, 100_00, caps=(Cap(period="day", leads=9),), campaign_id=campaign)
    lead = (await desk.sell(seller)).lead_id
    await desk.sell(seller)
    await desk.reject(company, lead)
    await desk.assert_clean()
    return company


CORRUPTIONS = {
    "an entry that is not balanced": (
        "update ledger_entry set cents = cents + 1 where account = 'operator'"
        " and key = (select min(key) from ledger_entry where key like 'sale:%')",
        "the ledger sums to 0.01, not to 0.00",
    ),
    "entries that make up for each other in different keys": (
        "update ledger_entry set cents = cents + case when key like 'sale:%' then 1 else -1 end"
        " where account = 'operator' and key in ("
        " (select min(key) from ledger_entry where key like 'sale:%'),"
        " (select min(key) from ledger_entry where key like 'rejection:%'))",
        "sums to 0.01",
    ),
    "a balance": ("update company set balance = balance + 1", "balance 900.01, ledger 900.00"),
    "money held for nothing": ("update company set held = held + 1", "held 0.01"),
    "a day's assigned": (
        "update bucket set assigned = assigned + 1",
        "assigned 200.01 should be 200.00",
    ),
    "a day's returns": ("update bucket set manual = manual - 1", "manual 99.99 should be 100.00"),
    "a day that is missing": ("delete from bucket", "assigned 0.00 should be 200.00"),
    "a day too many": (
        "insert into bucket select company_id, day + 1, era, 5, 0, 0 from bucket",
        "assigned 0.05 should be 0.00",
    ),
    "what was assigned since the reset": (
        "update company set era_assigned = era_assigned - 1",
        "assigned since reset 199.99, windows say 200.00",
    ),
    "leads used of a cap": ("update usage set leads = leads + 1", "3 leads and 200.00 used"),
    "money used of a cap": ("update usage set spend = spend - 1", "2 leads and 199.99 used"),
    "a leg in delivery in a finished lead": (
        "update leg set state = 'delivering'",
        "state delivering cannot be",
    ),
    "a leg sold without a sale": (
        "insert into leg (lead_id, leg, state, promised) select id, 7, 'sold', 1 from lead limit 1",
        "leg 7: state sold cannot be",
    ),
    "a leg unsold with a sale": ("update leg set state = 'unsold'", "state unsold cannot be"),
    "a lead's state that its legs do not make": (
        "update lead set state = 'final' where state = 'sold'",
        "state final, its legs make sold",
    ),
    "a sale that is not as its return says": (
        "update sale set state = 'sold' where state = 'rejected'",
        "sold, with a rejection",
    ),
    "a rejection that vanished": (
        "delete from rejection",
        "rejected, without a rejection",
    ),
    "a sale that is not as the ledger says": (
        "update sale set charged = charged + 1, margin = margin + 1 where state = 'sold'",
        "company -100.00 and seller 85.00 should be -100.01 and 85.00",
    ),
    "a delivery taken and not sold": (
        "delete from sale where state = 'sold'",
        "accepted, without a sale and without a CRM rejection",
    ),
}


@pytest.mark.parametrize(("statement", "finding"), CORRUPTIONS.values(), ids=CORRUPTIONS)
async def test_check_finds_in_the_books(
    stores: StoreUrls,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
    finding: str,
) -> None:
    monkeypatch.setattr("exchange.stores.check.SETTLE_PAUSE_S", 0.0)
    async with open_desk(stores, database) as desk:
        await bought_and_returned(desk)
        await desk.value(statement)
        findings = (await desk.exchange.check()).findings
        assert any(finding in found for found in findings), findings


async def test_check_finds_a_leg_that_was_sold_twice(stores: StoreUrls, database: str) -> None:
    async with open_desk(stores, database) as desk:
        await bought_and_returned(desk)
        stranger = await desk.company("Stranger")
        await desk.value(
            "insert into delivery select 'twin', lead_id, leg, 9, $1, campaign_id, 'accepted',"
            " true, charged, seller_cents, day, era, reserved_at from delivery limit 1",
            stranger,
        )
        await desk.value(
            "insert into sale select 'twin', lead_id, leg, $1, campaign_id, seller_id, charged,"
            " seller_cents, margin, day, era, sold_at, window_closes_at, state from sale"
            " where lead_id = (select lead_id from delivery where id = 'twin')",
            stranger,
        )
        findings = (await desk.exchange.check()).findings
        assert any("was sold 2 times" in found for found in findings), findings


@pytest.mark.parametrize("field", ["head", "bucket", "usage"])
@pytest.mark.parametrize("fault", ["changed", "missing"])
async def test_check_finds_in_the_fast_store(
    stores: StoreUrls,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    field: str,
    fault: str,
) -> None:
    monkeypatch.setattr("exchange.stores.check.SETTLE_PAUSE_S", 0.0)
    async with open_desk(stores, database) as desk:
        company = await bought_and_returned(desk)
        redis: Any = desk.exchange._redis
        key = f"{'usage' if field == 'usage' else 'window'}:{{{company}}}"
        fields = [name.decode() for name in await redis.hkeys(key)]
        (name,) = [f for f in fields if f != "whole" and (f == "head") == (field == "head")]
        if fault == "changed":
            held = (await redis.hget(key, name)).decode()
            await redis.hset(key, name, held[:-1] + ("1" if held[-1] != "1" else "2"))
        else:
            await redis.hdel(key, name)
        (found,) = (await desk.exchange.check()).findings
        assert company in found and name in found


async def test_check_finds_a_company_the_books_do_not_know(
    stores: StoreUrls, database: str
) -> None:
    async with open_desk(stores, database) as desk:
        await bought_and_returned(desk)
        await desk.exchange._redis.hset("window:{nobody}", "head", "1|{}")
        (found,) = (await desk.exchange.check()).findings
        assert "company nobody" in found


async def test_check_counts_what_it_looked_at(desk: Desk) -> None:
    await bought_and_returned(desk)
    checked = await desk.exchange.check()
    counts = (checked.leads, checked.open_leads, checked.sales, checked.rejections)
    assert (counts, checked.companies, checked.ledger_entries) == ((2, 0, 2, 1), 1, 11)
