"""A lead's quality through the whole exchange: pinged, posted, delivered (rules: §3.1, §3.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from bidders.crm import Behaviour, CrmServer
from exchange.core.model import SellerId
from exchange.core.quality.requires import Requires
from exchange.core.reasons import Reason
from exchange.embedded import StoreUrls
from exchange.flow.faults import Gone, Invalid
from exchange.flow.ports import Contact, PostRequest, Receipt
from exchange.flow.post import MOST_REFUSED
from exchange.settings import QualitySettings
from tests.flow.market import Desk, http, open_desk

CERTIFICATE = {"trustedform_url": "https://cert.trustedform.com/0f3d2a"}
SOUND = Contact(first_name="Ann", last_name="Lee", phone="+14155551234", email="ann.lee@gmail.com")


def contact(**changes: Any) -> Contact:
    return msgspec.structs.replace(SOUND, **changes)


@pytest.fixture
async def strict(stores: StoreUrls, database: str, desk: Desk) -> AsyncIterator[Desk]:
    """A second worker on the desk's market, that refuses what it can."""
    quality = QualitySettings(
        refuse=("zip_state", "phone_invalid", "name_phones"),
        refuse_score_below=50,
        pings_per_source_minute=3,
        phones_per_name_hour=1,
    )
    async with open_desk(stores, database, clock=desk.clock, quality=quality) as strict:
        yield strict


async def ranked(desk: Desk, *demands: Requires | None) -> tuple[SellerId, list[str]]:
    """A seller, and a company for each demand: the first bids most."""
    seller, companies = await desk.seller(), []
    for place, requires in enumerate(demands):
        company = await desk.company(f"Company {place}")
        await desk.campaign(company, 100_00 - 10_00 * place, requires=requires)
        companies.append(str(company))
    return seller, companies


async def buyer_of(desk: Desk, receipt: Receipt, given: Contact) -> str | None:
    """Post a lead; gives who bought it."""
    result = await desk.exchange.post(desk.post_request(receipt, contact=given))
    company_id: str | None = await desk.value(
        "select company_id from sale where lead_id = $1", result.lead_id
    )
    return company_id


# --- on ping --------------------------------------------------------------------------------------


async def test_a_flawed_ping_is_offered_and_its_receipt_says_what_is_wrong(desk: Desk) -> None:
    seller, _ = await ranked(desk, None)
    receipt = await desk.ping(seller, state="TX")
    assert (receipt.status, receipt.quality_score) == ("offer", 60)
    assert [flaw.check for flaw in receipt.flaws] == ["zip_state"]
    assert receipt.offer is not None and receipt.offer.quality_score == 60


async def test_a_sound_ping_has_the_best_score_and_its_receipt_says_no_more(desk: Desk) -> None:
    seller, _ = await ranked(desk, None)
    receipt = await desk.ping(seller)
    assert (receipt.quality_score, receipt.flaws) == (100, ())
    assert b"quality" not in msgspec.json.encode(receipt)


async def test_what_the_operator_refuses_gets_no_auction_and_is_told_why(
    desk: Desk, strict: Desk
) -> None:
    seller, _ = await ranked(desk, None)
    await strict.exchange.following.load()
    receipt = await strict.ping(seller, state="TX")
    assert (receipt.status, receipt.reason) == ("refused", Reason.PLACE_MISMATCH)
    assert receipt.flaws[0].message == "ZIP codes from 941 are of CA, not TX."
    assert receipt.candidates == ()


async def test_a_campaign_that_demands_a_better_score_leaves_the_lead_to_the_next(
    desk: Desk,
) -> None:
    seller, companies = await ranked(desk, Requires(min_score=61), Requires(min_score=60))
    receipt = await desk.ping(seller, state="TX")
    assert receipt.reasons == {"score_below": 1}
    assert await buyer_of(desk, receipt, contact(phone="+12145551234")) == companies[1]
    assert await buyer_of(desk, await desk.ping(seller), SOUND) == companies[0]


async def test_a_campaign_that_demands_consent_bids_only_with_it(desk: Desk) -> None:
    seller, _ = await ranked(desk, Requires(consent=("trustedform_url",)))
    without = await desk.ping(seller)
    assert (without.status, without.reasons) == ("no_offer", {"consent_demanded": 1})
    assert (await desk.ping(seller, consent=CERTIFICATE)).status == "offer"


# --- on post --------------------------------------------------------------------------------------


PASSED_OVER = [
    (Requires(phone_valid=True), contact(phone="+18005551234")),
    (Requires(phone_valid=True), contact(phone=None)),
    (Requires(phone_in_state=True), contact(phone="+12145551234")),
    (Requires(no_disposable_email=True), contact(email="ann@yopmail.com")),
    (Requires(email_deliverable=True), contact(email="ann@example.com")),
    (Requires(no_role_email=True), contact(email="info@roofs.com")),
    (Requires(name_plausible=True), contact(first_name="Test", last_name="Test")),
    (Requires(min_score=91), contact(phone="+12145551234")),
]


async def test_a_company_that_demands_a_better_contact_is_passed_over_for_the_next(
    desk: Desk,
) -> None:
    seller, demanding, other = await desk.seller(), await desk.company(), await desk.company()
    await desk.campaign(other, 90_00)
    campaign_id = None
    for demand, given in PASSED_OVER:
        campaign_id = await desk.campaign(
            demanding, 100_00, requires=demand, campaign_id=campaign_id
        )
        # The next company's price does not cover the promise, so the seller lets it fall.
        receipt = await desk.ping(seller, cascade="min_price")
        assert receipt.offer is not None and receipt.offer.ranks[0].company_id == demanding
        assert await buyer_of(desk, receipt, given) == other, demand
    assert await desk.value("select count(*) from delivery where company_id = $1", demanding) == 0


async def test_a_company_gets_the_contact_it_demands_and_outright(desk: Desk) -> None:
    demands = Requires(phone_valid=True, no_disposable_email=True, min_score=100)
    seller, companies = await ranked(desk, demands, None)
    assert await buyer_of(desk, await desk.ping(seller), SOUND) == companies[0]


async def test_a_lead_nobody_wants_with_this_contact_is_unsold_and_says_what_is_wrong(
    desk: Desk,
) -> None:
    demand = Requires(phone_valid=True)
    seller, _ = await ranked(desk, demand, demand)
    receipt = await desk.ping(seller, cascade="min_price")
    given = contact(phone="+18005551234")
    result = await desk.exchange.post(desk.post_request(receipt, contact=given))
    assert (result.status, result.reason) == ("unsold", Reason.PHONE_SERVICE)


async def test_an_adopted_lead_is_judged_by_what_was_found_when_it_was_posted(
    desk: Desk, other: Desk
) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 100_00, requires=Requires(no_disposable_email=True))
    receipt = await desk.ping(seller)
    request = desk.post_request(receipt, contact=contact(email="ann@yopmail.com"))
    result = await desk.exchange.post(request)
    assert result.reason is Reason.EMAIL_DISPOSABLE
    # As if the worker had died before it was finished.
    await desk.value(
        "update lead set finished_at = null, answer = null, owner = 'gone', state = 'received'"
    )
    await desk.value("update leg set state = 'received'")
    (adopted,) = await other.exchange.books.adopt(other.exchange.owner, [], 10, 0.0)
    again = await other.exchange.posting._selling.sell(adopted)
    assert again.reason is Reason.EMAIL_DISPOSABLE


async def refused(desk: Desk, request: PostRequest) -> Invalid:
    with pytest.raises(Invalid) as fault:
        await desk.exchange.post(request)
    return fault.value


async def test_a_contact_the_operator_refuses_leaves_the_offer_open_for_a_better_one(
    desk: Desk, strict: Desk
) -> None:
    seller, _ = await ranked(desk, None)
    receipt = await desk.ping(seller)
    bad = strict.post_request(receipt, contact=contact(phone="+15554561234"))
    fault = await refused(strict, bad)
    assert (fault.code, fault.field) == ("phone_invalid", "contact.phone")
    assert fault.details["category"] == "quality" and fault.details["score"] == 50
    assert await desk.value("select count(*) from lead") == 0
    good = strict.post_request(receipt, contact=SOUND)
    assert (await strict.exchange.post(good)).status == "sold"


async def test_contacts_are_not_tried_without_end(desk: Desk, strict: Desk) -> None:
    seller, _ = await ranked(desk, None)
    receipt = await desk.ping(seller)
    left = []
    for line in range(MOST_REFUSED):
        bad = strict.post_request(receipt, contact=contact(phone=f"+1555456000{line}"))
        left.append((await refused(strict, bad)).details["contacts_left"])
    assert left == [4, 3, 2, 1, 0]
    # The offer is closed on every worker, also for a contact that would be taken.
    for worker in (strict, desk):
        with pytest.raises(Gone) as fault:
            await worker.exchange.post(strict.post_request(receipt, contact=SOUND))
        assert fault.value.code == "offer_expired"
    assert await desk.value("select count(*) from lead") == 0
    other = await desk.ping(seller)
    assert (await strict.exchange.post(desk.post_request(other, contact=SOUND))).status == "sold"


async def test_a_sold_lead_posted_again_is_answered_even_if_it_would_be_refused_now(
    desk: Desk, strict: Desk
) -> None:
    seller, _ = await ranked(desk, None)
    request = strict.post_request(await desk.ping(seller), contact=SOUND)
    first = await strict.exchange.post(request)
    another = contact(phone="+14155554321")
    copied = strict.post_request(await desk.ping(seller), contact=another)
    assert (await refused(strict, copied)).code == "name_repeated"
    assert await strict.exchange.post(request) == first


# --- consent --------------------------------------------------------------------------------------


async def test_consent_stays_with_the_lead_and_goes_to_the_company(
    desk: Desk, crm: CrmServer
) -> None:
    seller, company = await desk.seller(), await desk.company()
    url = crm.set_behaviour("roofs", Behaviour())
    await desk.campaign(company, 100_00, delivery=(http(url),))
    receipt = await desk.ping(seller, consent=CERTIFICATE)
    result = await desk.exchange.post(desk.post_request(receipt, contact=SOUND))
    lead = await desk.exchange.inbox.lead(company, result.lead_id)
    posted = await desk.exchange.inbox.posted(receipt.ping_id)
    assert lead is not None and lead.consent == CERTIFICATE and lead.quality_score == 100
    assert posted is not None and posted.offer.consent == CERTIFICATE
    (seen,) = crm.leads("roofs")
    assert seen.decode_payload()["consent"] == CERTIFICATE
