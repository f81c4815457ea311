"""A contact is sold once in its windows, and to no company that does not want it (rules: §3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from bidders.crm import Behaviour, CrmServer
from exchange.core.model import CompanyId, SellerId
from exchange.core.reasons import Reason
from exchange.embedded import StoreUrls
from exchange.flow.faults import Conflict
from exchange.flow.ports import Claim, Claimed, PostResult, Receipt
from exchange.flow.suppressions import Keys, ListNumber
from tests.flow.market import INBOX, Desk, http, key_of, open_desk, settings_for_tests, until

ADA, BOB, EVE = key_of("ada"), key_of("bob"), key_of("eve")


async def post(desk: Desk, receipt: Receipt, *keys: str) -> PostResult:
    """Post an offer with the contact of these keys."""
    return await desk.exchange.post(desk.post_request(receipt, contact_keys=keys))


async def offered(desk: Desk, seller: SellerId, *keys: str, **options: Any) -> Receipt:
    """An offer for a ping that tells these keys of its contact."""
    receipt = await desk.ping(seller, contact_keys=keys, **options)
    assert receipt.status == "offer", receipt
    return receipt


def told(answer: PostResult) -> tuple[str, Reason | None]:
    return answer.status, answer.reason


def contact(*keys: str) -> Keys:
    return tuple(bytes.fromhex(key) for key in keys)


async def suppress(desk: Desk, company: CompanyId, *keys: str) -> ListNumber:
    """Put contacts on a company's list."""
    lists, now = desk.exchange.suppressions, desk.clock.now()
    number = await lists.open(company, now)
    assert await lists.put(number, [contact(key) for key in keys], now) == len(keys)
    return number


async def windows(
    stores: StoreUrls, database: str, desk: Desk, **settings: int
) -> AsyncIterator[Desk]:
    """A worker on the desk's market with other windows."""
    made = settings_for_tests()
    changed = replace(made, ping=replace(made.ping, **settings))
    async with open_desk(stores, database, clock=desk.clock, settings=changed) as worker:
        yield worker


# --- the market's and the seller's window ---------------------------------------------------------


async def test_section_3_a_contact_pinged_twice_before_either_is_posted_is_sold_once(
    desk: Desk,
) -> None:
    one, two = await desk.seller(), await desk.seller()
    for price in (20_00, 30_00):
        await desk.campaign(await desk.company(), price)
    first, second = await offered(desk, one, ADA), await offered(desk, two, ADA)
    assert told(await post(desk, first, ADA)) == ("sold", None)
    refused = await post(desk, second, ADA)
    assert told(refused) == ("refused", Reason.CONTACT_SOLD)
    assert (refused.legs, refused.price_cents) == ((), None)
    assert await desk.value("select count(*) from sale") == 1
    assert await desk.value("select count(*) from delivery") == 1


async def test_a_refused_post_reads_the_same_answer_on_every_worker(
    desk: Desk, other: Desk
) -> None:
    one, two = await desk.seller(), await desk.seller()
    await desk.campaign(await desk.company(), 20_00)
    first, second = await offered(desk, one, ADA), await offered(desk, two, ADA)
    await post(desk, first, ADA)
    request = desk.post_request(second, contact_keys=(ADA,))
    answers = [await worker.exchange.post(request) for worker in (desk, other, desk)]
    assert answers == [answers[0]] * 3
    assert told(answers[0]) == ("refused", Reason.CONTACT_SOLD)


@pytest.mark.parametrize("way", ["outright", "delivered"])
async def test_a_contact_posted_at_once_by_two_sellers_on_two_workers_is_sold_once(
    desk: Desk, other: Desk, crm: CrmServer, way: str
) -> None:
    sellers = [await desk.seller() for _ in range(2)]
    target = INBOX if way == "outright" else http(crm.set_behaviour("crm", Behaviour()))
    campaign = await desk.campaign(await desk.company(), 20_00, delivery=(target,))
    await until(lambda: other.exchange.market.campaign(campaign) is not None)
    people = [key_of(f"person {number}") for number in range(12)]
    requests = [
        (worker, desk.post_request(await offered(desk, seller, person), contact_keys=(person,)))
        for person in people
        for seller in sellers
        for worker in (desk, other)
    ]
    answers = await asyncio.gather(*(worker.exchange.post(one) for worker, one in requests))
    for place in range(len(people)):
        of_person = answers[4 * place : 4 * place + 4]
        assert [one.status for one in of_person].count("sold") == 1
        assert {one.reason for one in of_person} <= {
            None, Reason.CONTACT_SOLD, Reason.CONTACT_CLAIMED,
        }  # fmt: skip
    assert await desk.value("select count(*) from sale") == len(people)


async def test_a_post_given_up_while_it_waits_for_another_of_its_contact_takes_no_other_along(
    desk: Desk,
) -> None:
    seller, posting = await desk.seller(), desk.exchange.posting
    await desk.campaign(await desk.company(), 20_00)
    offers = [await offered(desk, seller, ADA) for _ in range(3)]
    async with desk.exchange.postgres.connection() as connection, connection.transaction():
        # The first claim cannot end yet: the contact is locked.
        await connection.execute("select pg_advisory_xact_lock(7260413, hashtext($1))", ADA)
        first, second, third = (asyncio.create_task(post(desk, one, ADA)) for one in offers)
        await until(lambda: posting.running == 3)
        await desk.awaited(
            "select count(*) from pg_locks where locktype = 'advisory' and not granted"
        )
        list(posting._running.values())[1].cancel()
        await asyncio.gather(second, return_exceptions=True)
    assert [told(await one) for one in (first, third)] == [
        ("sold", None), ("refused", Reason.CONTACT_SOLD),
    ]  # fmt: skip


async def test_contacts_that_share_one_field_are_one_contact(desk: Desk) -> None:
    seller = await desk.seller()
    await desk.campaign(await desk.company(), 20_00)
    offers = [await offered(desk, seller) for _ in range(4)]
    keys = [(ADA, BOB), (BOB,), (EVE, ADA), (EVE,)]
    answers = [await post(desk, one, *of) for one, of in zip(offers, keys, strict=True)]
    assert [one.status for one in answers] == ["sold", "refused", "refused", "sold"]


async def test_a_contact_is_free_again_when_its_lead_ends_unsold(
    desk: Desk, crm: CrmServer
) -> None:
    seller, company = await desk.seller(), await desk.company()
    refusing = http(crm.set_behaviour("refusing", Behaviour(refuse_rate=1.0)))
    campaign = await desk.campaign(company, 20_00, delivery=(refusing,))
    assert (await post(desk, await offered(desk, seller, ADA), ADA)).status == "unsold"
    await desk.campaign(company, 20_00, campaign_id=campaign)
    assert (await post(desk, await offered(desk, seller, ADA), ADA)).status == "sold"


async def test_a_contact_in_delivery_is_refused_to_others_and_its_refusal_stands(
    desk: Desk, other: Desk, crm: CrmServer
) -> None:
    one, two = await desk.seller(), await desk.seller()
    slow = http(crm.set_behaviour("slow", Behaviour(delay_ms=400, refuse_rate=1.0)))
    await desk.campaign(await desk.company(), 20_00, delivery=(slow,))
    first, second = await offered(desk, one, ADA), await offered(desk, two, ADA)
    selling = asyncio.create_task(post(desk, first, ADA))
    await desk.awaited("select count(*) from delivery")
    request = desk.post_request(second, contact_keys=(ADA,))
    assert told(await other.exchange.post(request)) == ("refused", Reason.CONTACT_CLAIMED)
    assert (await selling).status == "unsold"
    assert told(await other.exchange.post(request)) == ("refused", Reason.CONTACT_CLAIMED)


async def test_what_a_dead_worker_left_open_keeps_its_contact_until_it_is_finished(
    desk: Desk, other: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    seller, company = await desk.seller(), await desk.company()
    campaign = await desk.campaign(company, 20_00)
    await until(lambda: other.exchange.market.campaign(campaign) is not None)
    left, behind = await offered(desk, seller, ADA), await offered(desk, seller, ADA)
    claim, claimed = other.exchange.books.claim, asyncio.Event()

    async def claim_and_die(one: Claim) -> Claimed:
        await claim(replace(one, outright=None))
        claimed.set()
        return await asyncio.Event().wait()  # type: ignore[return-value]

    with monkeypatch.context() as patched:
        patched.setattr(other.exchange.books, "claim", claim_and_die)
        dying = asyncio.create_task(post(other, left, ADA))
        await claimed.wait()
        await other.exchange.following.stop()
        for task in list(other.exchange.posting._running.values()):
            task.cancel()
        await asyncio.gather(dying, return_exceptions=True)
    assert told(await post(desk, behind, ADA)) == ("refused", Reason.CONTACT_CLAIMED)
    await other.exchange.books.retire(other.exchange.owner)
    assert (await post(desk, left, ADA)).status == "sold"


async def test_a_shared_lead_of_several_legs_is_one_lead(desk: Desk) -> None:
    seller = await desk.seller()
    for _ in range(3):
        await desk.campaign(await desk.company(), shared={2: 15_00})
    sold = await post(desk, await offered(desk, seller, max_buyers=2), ADA)
    assert [leg.status for leg in sold.legs] == ["sold", "sold"]
    again = await post(desk, await offered(desk, seller, max_buyers=2), ADA)
    assert told(again) == ("refused", Reason.CONTACT_SOLD)


async def test_a_test_lead_neither_keeps_a_contact_nor_is_kept_from_it(desk: Desk) -> None:
    seller = await desk.seller()
    for _ in range(2):
        await desk.campaign(await desk.company(), 20_00)
    tried = await post(desk, await offered(desk, seller, ADA, test=True), ADA)
    first = await post(desk, await offered(desk, seller, ADA), ADA)
    again = await post(desk, await offered(desk, seller, ADA, test=True), ADA)
    assert [one.status for one in (tried, first, again)] == ["sold"] * 3


@pytest.mark.parametrize(
    ("settings", "same_seller", "after_days", "status"),
    [
        pytest.param({}, False, 29, "refused", id="inside the market's window"),
        pytest.param({}, False, 30, "sold", id="behind it"),
        pytest.param({"market": 0}, False, 0, "sold", id="the market's is off"),
        pytest.param({"market": 0}, True, 29, "refused", id="inside the seller's window"),
        pytest.param({"market": 0}, True, 30, "sold", id="behind the seller's"),
        pytest.param({"market": 0, "seller": 0}, True, 0, "sold", id="both are off"),
        pytest.param({"market": 5, "seller": 9}, True, 8, "refused", id="the longer one counts"),
    ],
)
async def test_the_windows_of_the_ping_hold_at_the_post(
    stores: StoreUrls, database: str, desk: Desk,
    settings: dict[str, int], same_seller: bool, after_days: int, status: str,
) -> None:  # fmt: skip
    given = {f"duplicate_window_days_{name}": days for name, days in settings.items()}
    async for worker in windows(stores, database, desk, **given):
        first = await worker.seller()
        second = first if same_seller else await worker.seller()
        for _ in range(2):
            await worker.campaign(await worker.company(), 20_00)
        assert (await post(worker, await offered(worker, first), ADA)).status == "sold"
        desk.clock.forward(days=after_days)
        assert (await post(worker, await offered(worker, second), ADA)).status == status


async def test_a_returned_lead_was_sold_all_the_same(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 20_00)
    first, second = await offered(desk, seller), await offered(desk, seller)
    await desk.reject(company, (await post(desk, first, ADA)).lead_id)
    assert told(await post(desk, second, ADA)) == ("refused", Reason.CONTACT_SOLD)


# --- the same company twice -----------------------------------------------------------------------


async def test_a_company_is_not_sold_a_contact_it_bought_after_the_ping(
    stores: StoreUrls, database: str, desk: Desk
) -> None:
    off = {"duplicate_window_days_market": 0, "duplicate_window_days_seller": 0}
    async for worker in windows(stores, database, desk, **off):
        one, two = await worker.seller(), await worker.seller()
        best, next_best = await worker.company(), await worker.company()
        await worker.campaign(best, 30_00)
        await worker.campaign(next_best, 20_00)
        offers = [
            await offered(worker, seller, ADA, min_price=1_00, cascade="min_price")
            for seller in (one, two, one)
        ]
        answers = [await post(worker, receipt, ADA) for receipt in offers]
        assert [one.price_cents for one in answers] == [25_50, 17_00, None]
        assert told(answers[2]) == ("unsold", Reason.NO_BUYER_LEFT)
        buyers = await worker.rows("select company_id from sale order by sold_at, charged desc")
        assert [row["company_id"] for row in buyers] == [best, next_best]


@pytest.mark.parametrize("way", ["outright", "delivered"])
async def test_a_company_is_handed_one_of_many_leads_of_a_contact_at_one_moment(
    stores: StoreUrls, database: str, desk: Desk, crm: CrmServer, way: str
) -> None:
    off = {"duplicate_window_days_market": 0, "duplicate_window_days_seller": 0}
    target = INBOX if way == "outright" else http(crm.set_behaviour("crm", Behaviour()))
    async for worker in windows(stores, database, desk, **off):
        seller = await worker.seller()
        await worker.campaign(await worker.company(), 30_00, delivery=(target,))
        offers = [await offered(worker, seller) for _ in range(8)]
        answers = await asyncio.gather(*(post(worker, one, ADA) for one in offers))
        assert sorted(one.status for one in answers) == ["sold", *["unsold"] * 7]


async def test_a_company_may_buy_a_contact_again_behind_its_window(
    stores: StoreUrls, database: str, desk: Desk
) -> None:
    async for worker in windows(stores, database, desk, duplicate_window_days_company=60):
        seller = await worker.seller()
        await worker.campaign(await worker.company(), 20_00)
        assert (await post(worker, await offered(worker, seller, ADA), ADA)).status == "sold"
        desk.clock.forward(days=59)
        assert (await worker.ping(seller, contact_keys=(ADA,))).reasons == {"sold_before": 1}
        assert (await post(worker, await offered(worker, seller), ADA)).status == "unsold"
        desk.clock.forward(days=1)
        assert (await post(worker, await offered(worker, seller, ADA), ADA)).status == "sold"


# --- the same seller's second ping ----------------------------------------------------------------


async def test_a_sellers_second_ping_of_a_contact_within_the_window_is_refused(
    stores: StoreUrls, database: str, desk: Desk
) -> None:
    async for worker in windows(stores, database, desk, duplicate_window_s_pinged=60):
        one, two = await worker.seller(), await worker.seller()
        await worker.campaign(await worker.company(), 20_00)
        await offered(worker, one, ADA, BOB)
        again = await worker.ping(one, contact_keys=(BOB,))
        assert (again.status, again.reason) == ("refused", Reason.REPEATED_PING)
        await offered(worker, two, ADA)
        await offered(worker, one, ADA, test=True)
        desk.clock.forward(seconds=60)
        await offered(worker, one, ADA)


async def test_of_a_sellers_pings_of_one_contact_at_once_one_passes(
    stores: StoreUrls, database: str, desk: Desk
) -> None:
    async for worker in windows(stores, database, desk, duplicate_window_s_pinged=60):
        seller = await worker.seller()
        await worker.campaign(await worker.company(), 20_00)
        receipts = await asyncio.gather(
            *(worker.ping(seller, contact_keys=(ADA,)) for _ in range(10))
        )
        assert sorted(one.status for one in receipts) == ["offer", *["refused"] * 9]


async def test_a_ping_may_be_repeated_where_no_window_is_set(desk: Desk) -> None:
    seller = await desk.seller()
    await desk.campaign(await desk.company(), 20_00)
    for _ in range(2):
        await offered(desk, seller, ADA)


# --- suppression ----------------------------------------------------------------------------------


async def test_section_3_a_company_does_not_bid_on_a_contact_it_suppresses(desk: Desk) -> None:
    seller, best, next_best = await desk.seller(), await desk.company(), await desk.company()
    await desk.campaign(best, 30_00)
    await desk.campaign(next_best, 20_00)
    await suppress(desk, best, BOB)
    receipt = await offered(desk, seller, ADA, BOB)
    assert receipt.offer is not None
    assert [ranked.company_id for ranked in receipt.offer.ranks] == [next_best]
    assert receipt.reasons == {"suppressed": 1}
    assert (await post(desk, receipt, ADA, BOB)).price_cents == 17_00
    assert (await offered(desk, seller, EVE)).reasons == {"outbid": 1}


async def test_a_contact_may_be_on_many_companies_lists(desk: Desk) -> None:
    seller = await desk.seller()
    companies = [await desk.company() for _ in range(30)]
    for company in companies:
        await desk.campaign(company, 20_00)
        await suppress(desk, company, ADA, BOB)
    receipt = await desk.ping(seller, contact_keys=(ADA, BOB))
    assert (receipt.status, receipt.reasons) == ("no_offer", {"suppressed": 30})


async def test_a_test_lead_is_kept_from_who_suppresses_its_contact(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 20_00)
    receipt = await offered(desk, seller, test=True)
    await suppress(desk, company, ADA)
    assert (await post(desk, receipt, ADA)).status == "unsold"
    assert (await desk.ping(seller, contact_keys=(ADA,), test=True)).status == "no_offer"


@pytest.mark.parametrize("way", ["outright", "delivered"])
async def test_a_list_made_after_the_ping_holds_at_the_post_and_the_next_rank_gets_the_lead(
    desk: Desk, crm: CrmServer, way: str
) -> None:
    seller, best, next_best = await desk.seller(), await desk.company(), await desk.company()
    target = INBOX if way == "outright" else http(crm.set_behaviour("crm", Behaviour()))
    await desk.campaign(best, 30_00, delivery=(target,))
    await desk.campaign(next_best, 20_00, delivery=(target,))
    receipt = await offered(desk, seller, min_price=1_00, cascade="min_price")
    await suppress(desk, best, BOB)
    answer = await post(desk, receipt, ADA, BOB)
    assert answer.price_cents == 17_00
    assert await desk.value("select company_id from delivery") == next_best


async def test_a_contact_taken_off_a_list_is_sold_again(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 20_00)
    number = await suppress(desk, company, ADA)
    assert (await desk.ping(seller, contact_keys=(ADA,))).status == "no_offer"
    now = desk.clock.now()
    assert await desk.exchange.suppressions.take(number, [contact(ADA), contact(BOB)], now) == 1
    assert (await post(desk, await offered(desk, seller, ADA), ADA)).status == "sold"


async def test_a_new_list_replaces_the_old_one_whole_and_at_once(desk: Desk, other: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 20_00)
    lists, now = desk.exchange.suppressions, desk.clock.now()
    await suppress(desk, company, ADA)
    number = await lists.open_new(company, now)
    assert await lists.put(number, [contact(BOB), contact(EVE)], now) == 2
    held = {ADA: "no_offer", BOB: "offer", EVE: "offer"}
    for key, status in held.items():
        assert (await desk.ping(seller, contact_keys=(key,))).status == status
    assert (await lists.replace(number, now)).contacts == 2
    for key, status in held.items():
        assert (await other.ping(seller, contact_keys=(key,))).status != status
    assert (await lists.show(company)).contacts == 2


async def test_a_list_that_was_replaced_takes_nothing_more(desk: Desk) -> None:
    company = await desk.company()
    lists, now = desk.exchange.suppressions, desk.clock.now()
    old = await suppress(desk, company, ADA)
    new = await lists.open_new(company, now)
    await lists.put(new, [contact(BOB)], now)
    await lists.replace(new, now)
    with pytest.raises(Conflict):
        await lists.put(old, [contact(EVE)], now)


async def test_a_dropped_list_keeps_nobody_from_anything(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 20_00)
    await suppress(desk, company, ADA)
    now = desk.clock.now()
    assert await desk.exchange.suppressions.drop(company, now) == 1
    assert await desk.exchange.suppressions.drop(company, now) == 0
    assert (await post(desk, await offered(desk, seller, ADA), ADA)).status == "sold"
    assert (await desk.exchange.suppressions.show(company)).changed_at is None


async def test_a_list_that_would_become_too_long_keeps_what_it_had(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = await desk.company()
    monkeypatch.setattr(desk.exchange.suppressions, "_most", 2)
    number = await suppress(desk, company, ADA)
    with pytest.raises(Conflict) as full:
        now = desk.clock.now()
        await desk.exchange.suppressions.put(number, [contact(BOB), contact(EVE)], now)
    assert full.value.code == "suppression_list_full"
    assert (await desk.exchange.suppressions.show(company)).contacts == 1


async def test_a_contact_known_by_a_bare_hash_counts_once_under_both_its_keys(desk: Desk) -> None:
    company = await desk.company()
    lists, now = desk.exchange.suppressions, desk.clock.now()
    number = await lists.open(company, now)
    assert await lists.put(number, [contact(ADA, BOB), contact(ADA, BOB)], now) == 1
    assert await lists.put(number, [contact(BOB)], now) == 0
    assert (await lists.show(company)).contacts == 1
    assert await lists.take(number, [contact(ADA, BOB), contact(ADA)], now) == 1
    assert (await lists.show(company)).contacts == 0


# --- the copy -------------------------------------------------------------------------------------


async def test_nothing_suppressed_is_sold_while_the_fast_store_knows_nothing_of_it(
    desk: Desk,
) -> None:
    seller, best, next_best = await desk.seller(), await desk.company(), await desk.company()
    await desk.campaign(best, 30_00)
    await desk.campaign(next_best, 20_00)
    await suppress(desk, best, ADA)
    await desk.exchange._redis.flushall()
    receipt = await offered(desk, seller, ADA, min_price=1_00, cascade="min_price")
    assert receipt.offer is not None and receipt.offer.ranks[0].company_id == best
    assert (await post(desk, receipt, ADA)).price_cents == 17_00
    await desk.exchange.rebuild()
    assert (await desk.ping(seller, contact_keys=(ADA,))).status == "refused"


async def test_a_copy_that_was_lost_is_noticed_and_made_again(desk: Desk) -> None:
    company = await desk.company()
    many = [key_of(f"suppressed {number}") for number in range(6_000)]
    await suppress(desk, company, *many)
    await desk.exchange._redis.flushall()
    await desk.exchange.suppression_copies.mend()
    assert await desk.exchange.suppression_copies.check() == []
    await desk.exchange.rebuild()


async def test_a_change_the_copy_missed_is_noticed_and_mended(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = await desk.company()
    number = await suppress(desk, company, ADA)
    copies, now = desk.exchange.suppression_copies, desk.clock.now()

    async def nothing(*_: object, **__: object) -> None:
        return None

    with monkeypatch.context() as patched:
        patched.setattr(desk.exchange.suppressions._copy, "change", nothing)
        await desk.exchange.suppressions.put(number, [contact(BOB)], now)
    await desk.exchange.suppressions.put(number, [contact(EVE)], now)
    monkeypatch.setattr("exchange.stores.suppression_copies.LOOKS", 1)
    assert len(await copies.check()) == 1
    await copies.mend()
    assert await copies.check() == []


async def test_past_lists_are_dropped_from_the_books_and_the_copy(desk: Desk) -> None:
    company = await desk.company()
    await suppress(desk, company, ADA, BOB)
    await desk.exchange.suppressions.drop(company, desk.clock.now())
    # Another turn of the background may be at it.
    for _ in range(100):
        await desk.exchange.suppression_copies.mend()
        if not await desk.value("select count(*) from suppression"):
            break
        await asyncio.sleep(0.02)
    assert await desk.value("select count(*) from suppression") == 0
    assert await desk.value("select count(*) from suppression_list") == 0
    assert await desk.exchange.suppressions._copy.counts() == {}
