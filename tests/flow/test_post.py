"""A pinged lead is posted: claimed once, sold at its price or to the next rank (rules: §6, §7)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from bidders.crm import Behaviour, CrmServer
from exchange.core.model import CampaignId, Cap, CompanyId, SellerId
from exchange.core.reasons import Reason
from exchange.flow.faults import Conflict, Fault, Gone, Invalid, NotFound
from exchange.flow.ports import (
    Claim,
    LeadStatus,
    PostRequest,
    PostResult,
    Receipt,
    Reservation,
)
from tests.flow.market import Desk, http, until

BROKEN = Behaviour(fail_rate=1.0)
REFUSING = Behaviour(refuse_rate=1.0, refuse_reason="capacity_reached")
AT_ONCE = 64


async def offered(desk: Desk, cents: int = 100_00) -> Receipt:
    """An offer with one company behind it."""
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, cents)
    return await desk.ping(seller)


async def bidder(desk: Desk, cents: int, url: str | None = None) -> CompanyId:
    """A company that bids for exclusive leads; with a system at ``url``, else an inbox."""
    company = await desk.company(f"Company of {cents}")
    if url is None:
        await desk.campaign(company, cents)
    else:
        await desk.campaign(company, cents, delivery=(http(url),))
    return company


async def buyers_of(desk: Desk, result: PostResult) -> list[CompanyId]:
    rows = await desk.rows(
        "select company_id from sale where lead_id = $1 order by leg", result.lead_id
    )
    return [row["company_id"] for row in rows]


async def refused(desk: Desk, request: PostRequest) -> Fault:
    """Have a post refused."""
    with pytest.raises(Fault) as fault:
        await desk.exchange.post(request)
    return fault.value


async def post_at_once(workers: Iterable[Desk], requests: list[PostRequest]) -> list[PostResult]:
    """Post all requests, `AT_ONCE` of them at a time, by turns on the workers."""
    desks, gate = list(workers), asyncio.Semaphore(AT_ONCE)

    async def post(place: int, request: PostRequest) -> PostResult:
        async with gate:
            return await desks[place % len(desks)].exchange.post(request)

    return await asyncio.gather(*(post(i, request) for i, request in enumerate(requests)))


# --- the same post again --------------------------------------------------------------------------


async def test_the_same_post_again_gets_the_same_answer(desk: Desk) -> None:
    request = desk.post_request(await offered(desk))
    first = await desk.exchange.post(request)
    assert await desk.exchange.post(request) == first


async def test_another_worker_gives_the_same_answer(desk: Desk, other: Desk) -> None:
    request = desk.post_request(await offered(desk))
    first = await desk.exchange.post(request)
    assert await other.exchange.post(request) == first


async def test_the_same_answer_is_given_after_the_offer_expired(desk: Desk) -> None:
    request = desk.post_request(await offered(desk))
    first = await desk.exchange.post(request)
    desk.clock.forward(hours=1)
    assert await desk.exchange.post(request) == first


async def test_the_same_answer_is_given_after_the_lead_was_rejected(desk: Desk) -> None:
    receipt = await offered(desk)
    request = desk.post_request(receipt)
    first = await desk.exchange.post(request)
    assert receipt.offer is not None
    await desk.reject(receipt.offer.ranks[0].company_id, first.lead_id)
    assert await desk.exchange.post(request) == first


async def test_an_unsold_lead_stays_unsold_when_it_is_posted_again(
    desk: Desk, crm: CrmServer
) -> None:
    seller = await desk.seller()
    await bidder(desk, 100_00, crm.set_behaviour("mine", REFUSING))
    request = desk.post_request(await desk.ping(seller))
    first = await desk.exchange.post(request)
    crm.set_behaviour("mine", Behaviour())
    assert await desk.exchange.post(request) == first
    assert first.status == "unsold"


async def test_another_body_for_a_posted_ping_is_a_conflict(desk: Desk) -> None:
    receipt = await offered(desk)
    await desk.post(receipt)
    fault = await refused(desk, desk.post_request(receipt, name="Grace"))
    assert isinstance(fault, Conflict)
    assert (fault.code, fault.field) == (Reason.POSTED_BEFORE.code, "ping_id")


async def test_another_body_is_a_conflict_after_the_offer_expired_too(desk: Desk) -> None:
    receipt = await offered(desk)
    await desk.post(receipt)
    desk.clock.forward(hours=1)
    fault = await refused(desk, desk.post_request(receipt, name="Grace"))
    assert fault.code == Reason.POSTED_BEFORE.code


async def test_an_idempotency_key_used_for_another_ping_is_a_conflict(desk: Desk) -> None:
    receipt = await offered(desk)
    again = await desk.ping(receipt.seller_id)
    await desk.exchange.post(desk.post_request(receipt, key="mine"))
    fault = await refused(desk, desk.post_request(again, key="mine"))
    assert isinstance(fault, Conflict)
    assert (fault.code, fault.field) == ("idempotency_conflict", "Idempotency-Key")


async def test_a_refused_key_leaves_its_ping_free_to_be_posted_under_another(desk: Desk) -> None:
    receipt = await offered(desk)
    again = await desk.ping(receipt.seller_id)
    await desk.exchange.post(desk.post_request(receipt, key="mine"))
    await refused(desk, desk.post_request(again, key="mine"))
    assert (await desk.exchange.post(desk.post_request(again, key="next"))).status == "sold"


async def test_two_sellers_may_use_the_same_idempotency_key(desk: Desk) -> None:
    receipt = await offered(desk)
    elsewhere = await desk.ping(await desk.seller("Other Source"))
    for one in (receipt, elsewhere):
        assert (await desk.exchange.post(desk.post_request(one, key="1"))).status == "sold"


async def test_64_equal_posts_at_once_are_one_sale_and_one_answer(
    desk: Desk, other: Desk, crm: CrmServer
) -> None:
    seller = await desk.seller()
    await bidder(desk, 100_00, crm.set_behaviour("slow", Behaviour(delay_ms=50)))
    request = desk.post_request(await desk.ping(seller))
    answers = await post_at_once((desk, other), [request] * AT_ONCE)
    assert all(answer == answers[0] for answer in answers)
    assert answers[0].status == "sold"
    assert await desk.value("select count(*) from sale") == 1
    assert crm.counts("slow").seen == 1


async def test_of_different_posts_of_one_ping_at_once_one_wins(desk: Desk, other: Desk) -> None:
    receipt = await offered(desk)
    requests = [desk.post_request(receipt, name=name) for name in ("Ada", "Grace")] * 16
    workers = (desk, other)
    answers = await asyncio.gather(
        *(workers[i // 2 % 2].exchange.post(request) for i, request in enumerate(requests)),
        return_exceptions=True,
    )
    sold = [answer for answer in answers if isinstance(answer, PostResult)]
    conflicts = [answer for answer in answers if isinstance(answer, Conflict)]
    assert (len(sold), len(conflicts)) == (16, 16)
    assert all(answer == sold[0] for answer in sold)


# --- what cannot be posted ------------------------------------------------------------------------


async def test_an_expired_offer_is_gone(desk: Desk) -> None:
    receipt = await offered(desk)
    assert receipt.expires_at is not None
    desk.clock.time = receipt.expires_at
    fault = await refused(desk, desk.post_request(receipt))
    assert isinstance(fault, Gone) and fault.code == Reason.OFFER_EXPIRED.code
    assert await desk.value("select count(*) from lead") == 0


async def test_an_offer_holds_until_the_moment_it_expires(desk: Desk) -> None:
    receipt = await offered(desk)
    desk.clock.forward(seconds=300, microseconds=-1)
    assert (await desk.post(receipt)).status == "sold"


async def test_a_ping_nobody_knows_cannot_be_posted(desk: Desk) -> None:
    receipt = await offered(desk)
    await desk.exchange._redis.flushall()
    await desk.exchange.receipts.flush()
    await desk.value("delete from receipt_batch")
    fault = await refused(desk, desk.post_request(receipt))
    assert isinstance(fault, NotFound) and fault.code == Reason.OFFER_UNKNOWN.code
    await desk.exchange.rebuild()


async def test_a_ping_without_offer_cannot_be_posted(desk: Desk) -> None:
    receipt = await desk.ping(await desk.seller())
    assert receipt.status == "no_offer"
    fault = await refused(desk, desk.post_request(receipt))
    assert fault.code == Reason.OFFER_UNKNOWN.code


async def test_another_sellers_ping_is_as_if_it_did_not_exist(desk: Desk) -> None:
    receipt = await offered(desk)
    stranger = await desk.seller("Stranger")
    request = desk.post_request(receipt)
    stolen = PostRequest(
        **{name: getattr(request, name) for name in request.__struct_fields__}
        | {"seller_id": stranger}
    )
    fault = await refused(desk, stolen)
    assert isinstance(fault, NotFound) and fault.code == Reason.OFFER_UNKNOWN.code


@pytest.mark.parametrize(
    ("attributes", "field"),
    [
        pytest.param({"zip": "94108"}, "attributes.zip", id="another value"),
        pytest.param({"credit_score": 710.0}, "attributes.credit_score", id="another type"),
        pytest.param({"owns_home": 1}, "attributes.owns_home", id="a number for a boolean"),
        pytest.param({"roof_type": "tile"}, "attributes.roof_type", id="not pinged"),
    ],
)
async def test_an_attribute_that_is_not_as_pinged_is_refused_and_nothing_is_stored(
    desk: Desk, attributes: dict[str, object], field: str
) -> None:
    receipt = await offered(desk)
    fault = await refused(desk, desk.post_request(receipt, attributes=attributes))
    assert isinstance(fault, Invalid)
    assert (fault.code, fault.field) == (Reason.ATTRIBUTE_CHANGED.code, field)
    assert await desk.value("select count(*) from lead") == 0


async def test_pinged_attributes_may_be_repeated_as_they_were_or_as_a_form_writes_them(
    desk: Desk,
) -> None:
    receipt = await offered(desk)
    repeated: dict[str, object] = {"zip": "94107", "credit_score": "710", "owns_home": "true"}
    request = desk.post_request(receipt, attributes=repeated)
    assert (await desk.exchange.post(request)).status == "sold"


@pytest.mark.parametrize(
    "posted", [{"phone": "b" * 64}, {}], ids=["another phone", "no phone at all"]
)
async def test_a_contact_that_does_not_match_its_hash_is_refused(
    desk: Desk, posted: dict[str, str]
) -> None:
    receipt = await offered(desk)
    hashed = await desk.ping(receipt.seller_id, contact_hashes={"phone": "a" * 64})
    fault = await refused(desk, desk.post_request(hashed, contact_hashes=posted))
    assert isinstance(fault, Invalid)
    assert (fault.code, fault.field) == (Reason.CONTACT_MISMATCH.code, "contact.phone")


async def test_a_post_that_was_refused_can_be_mended_and_posted(desk: Desk) -> None:
    receipt = await offered(desk)
    await refused(desk, desk.post_request(receipt, attributes={"zip": "10001"}))
    assert (await desk.post(receipt)).status == "sold"


# --- room -----------------------------------------------------------------------------------------


async def pinged(desk: Desk, seller: SellerId, count: int) -> list[PostRequest]:
    """Posts of offers that were made while there was room for each alone."""
    receipts = [await desk.ping(seller) for _ in range(count)]
    assert all(receipt.status == "offer" for receipt in receipts)
    return [desk.post_request(receipt) for receipt in receipts]


async def told(desk: Desk, seller: SellerId, reasons: dict[str, int]) -> None:
    """What the other worker sold last is here within moments, and then this is why nobody bids."""
    for _ in range(50):
        found = (await desk.ping(seller)).reasons
        if found == reasons:
            return
        await asyncio.sleep(0.02)
    assert found == reasons


async def test_a_cap_of_100_leads_sells_exactly_100_under_64_at_once(
    desk: Desk, other: Desk
) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 20_00, caps=(Cap(period="day", leads=100),))
    answers = await post_at_once((desk, other), await pinged(desk, seller, 130))
    assert sum(answer.status == "sold" for answer in answers) == 100
    unsold = [answer for answer in answers if answer.status == "unsold"]
    assert {answer.reason for answer in unsold} == {Reason.NO_BUYER_LEFT}
    await told(desk, seller, {"cap": 1})


async def test_a_budget_is_spent_to_the_last_lead_that_fits_and_never_over(
    desk: Desk, other: Desk
) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 33_33, caps=(Cap(period="month", spend_cents=1_000_00),))
    answers = await post_at_once((desk, other), await pinged(desk, seller, AT_ONCE))
    assert sum(answer.status == "sold" for answer in answers) == 30
    assert await desk.value("select sum(charged) from sale") == 999_90
    await told(desk, seller, {"budget": 1})


async def test_a_budget_of_exactly_three_leads_buys_three(desk: Desk, other: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 33_33, caps=(Cap(period="week", spend_cents=99_99),))
    answers = await post_at_once((desk, other), await pinged(desk, seller, 8))
    assert sum(answer.status == "sold" for answer in answers) == 3


async def test_a_prepaid_balance_is_never_overspent(desk: Desk, other: Desk) -> None:
    seller, company = await desk.seller(), await desk.company(prepaid=300_00)
    await desk.campaign(company, 7_77)
    answers = await post_at_once((desk, other), await pinged(desk, seller, AT_ONCE))
    assert sum(answer.status == "sold" for answer in answers) == 38
    account = await desk.exchange.registry.account("company", company)
    assert account is not None
    assert account.balance_cents == account.available_cents == 300_00 - 38 * 7_77
    await told(desk, seller, {"balance": 1})


async def test_a_refusal_gives_the_room_back(desk: Desk, crm: CrmServer) -> None:
    seller, company = await desk.seller(), await desk.company(prepaid=100_00)
    url = crm.set_behaviour("mine", REFUSING)
    caps = (Cap(period="day", leads=1, spend_cents=100_00),)
    await desk.campaign(company, 100_00, caps=caps, delivery=(http(url),))
    assert (await desk.post(await desk.ping(seller))).status == "unsold"
    crm.set_behaviour("mine", Behaviour())
    await desk.sell(seller)


async def test_a_failed_delivery_gives_the_room_back(desk: Desk, crm: CrmServer) -> None:
    seller, company = await desk.seller(), await desk.company(prepaid=100_00)
    url = crm.set_behaviour("mine", BROKEN)
    caps = (Cap(period="day", leads=1, spend_cents=100_00),)
    await desk.campaign(company, 100_00, caps=caps, delivery=(http(url),))
    assert (await desk.post(await desk.ping(seller))).status == "unsold"
    crm.set_behaviour("mine", Behaviour())
    await desk.sell(seller)


async def test_a_return_does_not_give_a_capped_lead_back(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 100_00, caps=(Cap(period="day", leads=1),))
    await desk.reject(company, (await desk.sell(seller)).lead_id)
    assert (await desk.ping(seller)).reasons == {"cap": 1}


async def test_a_cap_starts_anew_in_the_next_period(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 100_00, caps=(Cap(period="hour", leads=1),))
    await desk.sell(seller)
    assert (await desk.ping(seller)).reasons == {"cap": 1}
    desk.clock.forward(hours=1)
    await desk.sell(seller)


async def test_saving_a_campaign_again_does_not_forget_what_it_has_used(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    caps = (Cap(period="day", leads=1), Cap(period="month", spend_cents=500_00))
    campaign = await desk.campaign(company, 100_00, caps=caps)
    await desk.sell(seller)
    await desk.campaign(company, 90_00, caps=caps, campaign_id=campaign)
    assert (await desk.ping(seller)).reasons == {"cap": 1}


async def test_a_cap_set_on_a_running_campaign_counts_what_was_bought_before(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    campaign = await desk.campaign(company, 100_00)
    await desk.sell(seller)
    await desk.campaign(company, 100_00, caps=(Cap(period="day", leads=1),), campaign_id=campaign)
    assert (await desk.ping(seller)).reasons == {"cap": 1}


async def test_an_offer_that_finds_the_cap_full_in_a_new_hour_leaves_the_stores_agreeing(
    desk: Desk,
) -> None:
    desk.clock.forward(minutes=59)
    seller, company = await desk.seller(), await desk.company()
    caps = (Cap(period="hour", leads=10), Cap(period="day", leads=1))
    await desk.campaign(company, 100_00, caps=caps)
    first, second = [await desk.ping(seller) for _ in range(2)]
    await desk.post(first)
    desk.clock.forward(minutes=2)
    assert (await desk.post(second)).status == "unsold"
    await desk.assert_clean()


async def test_an_offer_of_a_company_that_was_blocked_since_goes_to_the_next(desk: Desk) -> None:
    seller = await desk.seller()
    blocked, following = await bidder(desk, 100_00), await bidder(desk, 95_00)
    receipt = await desk.ping(seller)
    await desk.exchange.registry.set_active("company", blocked, False, desk.clock.now())
    assert await buyers_of(desk, await desk.post(receipt)) == [following]


# --- falling to the next rank ---------------------------------------------------------------------


async def test_the_promised_price_is_kept_and_the_margin_gives_way(
    desk: Desk, crm: CrmServer
) -> None:
    seller = await desk.seller()
    await bidder(desk, 100_00, crm.set_behaviour("mine", REFUSING))
    following = await bidder(desk, 90_00)
    receipt = await desk.ping(seller)
    assert receipt.legs_cents == (85_00,)
    result = await desk.post(receipt)
    assert (result.status, result.price_cents) == ("sold", 85_00)
    (sale,) = await desk.rows("select company_id, charged, seller_cents, margin from sale")
    assert tuple(sale) == (following, 90_00, 85_00, 5_00)


@pytest.mark.parametrize(
    ("charged", "status"),
    [pytest.param(85_00, "sold", id="no margin"), pytest.param(84_99, "unsold", id="a loss")],
)
async def test_the_next_rank_gets_the_lead_while_it_covers_what_was_promised(
    desk: Desk, crm: CrmServer, charged: int, status: str
) -> None:
    seller = await desk.seller()
    await bidder(desk, 100_00, crm.set_behaviour("mine", REFUSING))
    await bidder(desk, charged)
    assert (await desk.post(await desk.ping(seller))).status == status


@pytest.mark.parametrize(
    ("charged", "price"),
    [
        pytest.param(80_00, 68_00, id="at the charge less the margin"),
        pytest.param(70_59, 60_00, id="down to min_price"),
        pytest.param(70_58, None, id="never below min_price"),
    ],
)
async def test_below_the_promise_a_lead_is_sold_down_to_min_price_where_the_ping_allows(
    desk: Desk, crm: CrmServer, charged: int, price: int | None
) -> None:
    seller = await desk.seller()
    await bidder(desk, 100_00, crm.set_behaviour("mine", REFUSING))
    await bidder(desk, charged)
    receipt = await desk.ping(seller, min_price=60_00, cascade="min_price")
    assert (await desk.post(receipt)).price_cents == price


async def test_a_refusal_costs_nothing_and_counts_nothing(desk: Desk, crm: CrmServer) -> None:
    seller = await desk.seller()
    refusing = await bidder(desk, 100_00, crm.set_behaviour("mine", REFUSING))
    await desk.post(await desk.ping(seller))
    standing = await desk.standing(refusing)
    assert (standing.raw_assigned, standing.raw_crm, standing.raw_manual) == (0, 0, 0)
    assert await desk.value("select count(*) from ledger_entry") == 0


async def test_when_every_company_refuses_the_seller_reads_so(desk: Desk, crm: CrmServer) -> None:
    seller = await desk.seller()
    for cents in (100_00, 95_00):
        await bidder(desk, cents, crm.set_behaviour("mine", REFUSING))
    result = await desk.post(await desk.ping(seller))
    assert (result.status, result.reason) == ("unsold", Reason.COMPANY_REFUSED)
    assert await desk.value("select state from lead") == "unsold"


async def test_when_every_delivery_fails_the_seller_reads_so(desk: Desk, crm: CrmServer) -> None:
    seller = await desk.seller()
    await bidder(desk, 100_00, crm.set_behaviour("broken", BROKEN))
    await bidder(desk, 95_00, crm.set_behaviour("mine", REFUSING))
    result = await desk.post(await desk.ping(seller))
    assert (result.status, result.reason) == ("unsold", Reason.DELIVERY_FAILED)


async def test_a_lead_that_takes_longer_than_the_limit_is_timed_out(
    desk: Desk, crm: CrmServer
) -> None:
    seller = await desk.seller()
    slow = crm.set_behaviour("slow", Behaviour(fail_rate=1.0, delay_ms=100))
    await bidder(desk, 100_00, slow)
    await bidder(desk, 95_00)
    post = asyncio.create_task(desk.post(await desk.ping(seller)))
    await until(lambda: crm.counts("slow").seen == 1)
    desk.clock.forward(seconds=31)
    result = await post
    assert (result.legs[0].status, result.reason) == ("timed_out", Reason.PROCESSING_LIMIT)
    assert await desk.value("select state from lead") == "timed_out"


async def test_the_exchanges_own_limit_is_no_companys_fault(
    desk: Desk, crm: CrmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seller = await desk.seller()
    company = await bidder(desk, 100_00, crm.set_behaviour("mine", Behaviour()))
    receipt = await desk.ping(seller)
    reserve = desk.exchange.books.reserve

    async def reserve_slowly(reservation: Reservation) -> object:
        reserved = await reserve(reservation)
        desk.clock.forward(seconds=31)
        return reserved

    monkeypatch.setattr(desk.exchange.books, "reserve", reserve_slowly)
    result = await desk.post(receipt)
    assert (result.legs[0].status, result.reason) == ("timed_out", Reason.PROCESSING_LIMIT)
    standing = await desk.standing(company)
    assert (standing.raw_assigned, standing.raw_crm) == (0, 0)


# --- shared leads ---------------------------------------------------------------------------------


async def sharing(desk: Desk, cents: int, url: str | None = None) -> CompanyId:
    company = await desk.company(f"Company of {cents}")
    delivery = {} if url is None else {"delivery": (http(url),)}
    await desk.campaign(company, shared={2: cents}, **delivery)  # type: ignore[arg-type]
    return company


async def test_a_shared_lead_is_sold_to_the_best_two(desk: Desk) -> None:
    seller = await desk.seller()
    companies = [await sharing(desk, cents) for cents in (60_00, 50_00, 40_00)]
    result = await desk.sell(seller, max_buyers=2)
    assert [leg.price_cents for leg in result.legs] == [51_00, 42_50]
    assert result.price_cents == 93_50
    assert await buyers_of(desk, result) == companies[:2]


async def test_a_refused_leg_goes_to_the_next_rank_and_the_other_legs_stand(
    desk: Desk, crm: CrmServer
) -> None:
    seller = await desk.seller()
    await sharing(desk, 60_00, crm.set_behaviour("mine", REFUSING))
    second, third = await sharing(desk, 58_00), await sharing(desk, 55_00)
    result = await desk.sell(seller, max_buyers=2)
    # The refused leg keeps its 51.00: the third company's 55.00 covers it.
    assert [leg.price_cents for leg in result.legs] == [51_00, 49_30]
    assert await buyers_of(desk, result) == [third, second]


async def test_one_leg_unsold_leaves_the_other_sold(desk: Desk, crm: CrmServer) -> None:
    seller = await desk.seller()
    await sharing(desk, 60_00, crm.set_behaviour("mine", REFUSING))
    await sharing(desk, 58_00)
    result = await desk.sell(seller, max_buyers=2)
    assert [leg.status for leg in result.legs] == ["unsold", "sold"]
    assert (result.price_cents, result.legs[0].reason) == (49_30, Reason.COMPANY_REFUSED)
    assert await desk.value("select state from lead") == "sold"


async def test_no_company_gets_two_legs_of_a_lead(desk: Desk, crm: CrmServer) -> None:
    seller = await desk.seller()
    await sharing(desk, 60_00, crm.set_behaviour("mine", REFUSING))
    await sharing(desk, 58_00, crm.leads_url("mine"))
    await sharing(desk, 55_00)
    result = await desk.sell(seller, max_buyers=2)
    assert len(await buyers_of(desk, result)) == 1
    assert await desk.value("select count(*) from delivery") == 3


async def test_a_leg_returned_while_another_is_in_delivery_leaves_the_lead_in_one_state(
    desk: Desk, crm: CrmServer
) -> None:
    seller = await desk.seller()
    slow = crm.set_behaviour("slow", Behaviour(fail_rate=1.0, delay_ms=300))
    await sharing(desk, 60_00, slow)
    quick = await sharing(desk, 58_00)
    receipt = await desk.ping(seller, max_buyers=2)
    post = asyncio.create_task(desk.post(receipt))
    lead = await desk.awaited("select lead_id from sale")
    await desk.reject(quick, lead)
    await post
    legs = await desk.rows("select state from leg order by leg")
    assert [leg["state"] for leg in legs] == ["unsold", "rejected"]
    assert await desk.value("select state from lead") == "rejected"


# --- the gate and the price -----------------------------------------------------------------------


async def test_the_offers_price_binds_though_the_rate_moved(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 100_00)
    earlier = (await desk.sell(seller)).lead_id
    await desk.sell(seller)
    receipt = await desk.ping(seller)
    await desk.reject(company, earlier)
    result = await desk.post(receipt)
    assert result.price_cents == 85_00
    charged = await desk.value("select charged from sale where lead_id = $1", result.lead_id)
    assert (charged, await desk.price(seller)) == (100_00, 66_67)


async def test_a_company_excluded_since_the_ping_no_longer_gets_the_lead(
    desk: Desk, crm: CrmServer
) -> None:
    seller = await desk.seller()
    excluded, following = await desk.company(), await bidder(desk, 99_00)
    campaign = await desk.campaign(excluded, 4_900_00)
    await desk.sell(seller)
    await desk.campaign(excluded, 100_00, campaign_id=campaign)
    receipt = await desk.ping(seller)
    assert receipt.offer is not None and receipt.offer.ranks[0].company_id == excluded
    broken = http(crm.set_behaviour("broken", BROKEN))
    await desk.campaign(excluded, 600_00, delivery=(broken,), campaign_id=campaign)
    await desk.post(await desk.ping(seller))
    await desk.campaign(excluded, 100_00, campaign_id=campaign)
    result = await desk.post(receipt)
    assert await buyers_of(desk, result) == [following]
    assert result.price_cents == 85_00


# --- test leads -----------------------------------------------------------------------------------


async def test_a_test_lead_is_delivered_as_one_and_touches_no_money(
    desk: Desk, crm: CrmServer
) -> None:
    seller, company = await desk.seller(), await desk.company(prepaid=50_00)
    url = crm.set_behaviour("mine", Behaviour())
    caps = (Cap(period="day", leads=1),)
    await desk.campaign(company, 40_00, delivery=(http(url),), caps=caps)
    for _ in range(2):
        assert (await desk.post(await desk.ping(seller, test=True))).status == "sold"
    assert [lead.decode_payload()["test"] for lead in crm.leads("mine")] == [True, True]
    assert await desk.value("select sum(leads) from usage") == 0
    assert await desk.value("select count(*) from sale") == 0
    assert await desk.value("select count(*) from bucket") == 0
    assert await desk.value("select count(*) from ledger_entry where key not like 'deposit:%'") == 0
    account = await desk.exchange.registry.account("company", company)
    assert account is not None and account.available_cents == 50_00


async def test_a_test_lead_that_fails_counts_against_nobody(desk: Desk, crm: CrmServer) -> None:
    seller = await desk.seller()
    company = await bidder(desk, 100_00, crm.set_behaviour("broken", BROKEN))
    assert (await desk.post(await desk.ping(seller, test=True))).status == "unsold"
    assert (await desk.standing(company)).raw_assigned == 0
    assert await desk.value("select count(*) from rejection") == 0


async def test_a_test_lead_cannot_be_rejected(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 40_00)
    sold = await desk.sell(seller, test=True)
    with pytest.raises(Conflict) as fault:
        await desk.reject(company, sold.lead_id)
    assert fault.value.code == Reason.TEST_LEAD.code


# --- sellers and stores that go away --------------------------------------------------------------


async def test_a_seller_who_hangs_up_still_has_the_lead_sold(desk: Desk, crm: CrmServer) -> None:
    seller = await desk.seller()
    await bidder(desk, 100_00, crm.set_behaviour("slow", Behaviour(delay_ms=100)))
    request = desk.post_request(await desk.ping(seller))
    post = asyncio.create_task(desk.exchange.post(request))
    await until(lambda: crm.counts("slow").seen == 1)
    post.cancel()
    with pytest.raises(asyncio.CancelledError):
        await post
    assert (await desk.exchange.post(request)).status == "sold"
    assert crm.counts("slow").seen == 1


async def test_a_seller_who_hangs_up_while_the_lead_is_written_down_still_has_it_sold(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = desk.post_request(await offered(desk))
    claim_lead = desk.exchange.books.claim

    async def claim_and_lose_the_caller(claim: Claim) -> LeadStatus | None:
        await claim_lead(claim)
        raise asyncio.CancelledError

    monkeypatch.setattr(desk.exchange.books, "claim", claim_and_lose_the_caller)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.ensure_future(desk.exchange.post(request))
    monkeypatch.undo()
    async with asyncio.timeout(5):
        assert (await desk.exchange.post(request)).status == "sold"


async def test_a_post_is_finished_from_its_receipt_when_the_fast_store_lost_the_offer(
    desk: Desk, other: Desk
) -> None:
    receipt = await offered(desk)
    await desk.exchange.receipts.flush()
    await desk.exchange._redis.flushall()
    await desk.exchange.rebuild()
    assert (await other.post(receipt)).status == "sold"


async def test_a_campaign_deleted_after_the_ping_no_longer_gets_the_lead(desk: Desk) -> None:
    seller = await desk.seller()
    company, following = await desk.company(), await bidder(desk, 99_00)
    campaign: CampaignId = await desk.campaign(company, 100_00)
    receipt = await desk.ping(seller)
    assert await desk.exchange.registry.delete_campaign(campaign, company, desk.clock.now())
    assert await buyers_of(desk, await desk.post(receipt)) == [following]
