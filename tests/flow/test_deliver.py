"""A lead is handed to a company's system, and what its answer comes to (rules: §8)."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from bidders.crm import Behaviour, CrmServer, Failure
from exchange.core.model import CompanyId, DeliveryTarget, Policy
from exchange.core.reasons import Reason
from exchange.embedded import StoreUrls
from exchange.flow.ports import PostResult
from tests.flow.market import INBOX, Desk, http, open_desk

QUICK_MS = 150
"""What a system that hangs is waited for."""


async def sends_to(desk: Desk, cents: int, *delivery: DeliveryTarget) -> CompanyId:
    """A company that bids for exclusive leads and takes them this way."""
    company = await desk.company(f"Company of {cents}")
    await desk.campaign(company, cents, delivery=delivery)
    return company


async def post_one(desk: Desk, **options: Any) -> PostResult:
    return await desk.post(await desk.ping(await desk.seller(), **options))


async def crm_rejections(desk: Desk, company: CompanyId) -> list[Reason]:
    rows = await desk.rows(
        "select reason from rejection where company_id = $1 and kind = 'crm'", company
    )
    return [Reason(row["reason"]) for row in rows]


def closed_port() -> str:
    """Where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/leads"


# --- what monitoring sees -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        pytest.param("401", Reason.AUTH_FAILURE, id="401 is auth_failure"),
        pytest.param("422", Reason.DATA_FORMAT, id="422 is data_format"),
        pytest.param("garbage", Reason.DATA_FORMAT, id="an unreadable answer is data_format"),
        pytest.param("500", Reason.CONNECTIVITY, id="5xx is connectivity"),
        pytest.param("429", Reason.RATE_LIMITED, id="429 is rate_limited"),
    ],
)
async def test_a_failed_delivery_is_a_crm_rejection_and_the_lead_goes_to_the_next_rank(
    desk: Desk, crm: CrmServer, failure: Failure, reason: Reason
) -> None:
    url = crm.set_behaviour("mine", Behaviour(fail_rate=1.0, failure=failure))
    failing, following = await sends_to(desk, 100_00, http(url)), await sends_to(desk, 90_00, INBOX)
    result = await post_one(desk)
    assert result.status == "sold"
    assert await desk.value("select company_id from sale") == following
    assert await crm_rejections(desk, failing) == [reason]
    standing = await desk.standing(failing)
    assert (standing.raw_assigned, standing.raw_crm) == (100_00, 100_00)


async def test_a_refused_connection_is_connectivity(desk: Desk) -> None:
    failing = await sends_to(desk, 100_00, http(closed_port()))
    assert (await post_one(desk)).reason is Reason.DELIVERY_FAILED
    assert await crm_rejections(desk, failing) == [Reason.CONNECTIVITY]


async def test_a_name_nobody_resolves_is_connectivity(desk: Desk) -> None:
    failing = await sends_to(desk, 100_00, http("http://crm.invalid/leads"))
    assert (await post_one(desk)).reason is Reason.DELIVERY_FAILED
    assert await crm_rejections(desk, failing) == [Reason.CONNECTIVITY]


@pytest.mark.parametrize("failure", ["hang", "reset"])
async def test_a_request_without_an_answer_is_crm_timeout(
    desk: Desk, crm: CrmServer, failure: Failure
) -> None:
    url = crm.set_behaviour("mine", Behaviour(fail_rate=1.0, failure=failure))
    failing = await sends_to(desk, 100_00, http(url, timeout_ms=QUICK_MS))
    assert (await post_one(desk)).reason is Reason.DELIVERY_UNCLEAR
    assert await crm_rejections(desk, failing) == [Reason.CRM_TIMEOUT]


async def test_a_failed_delivery_costs_nothing(desk: Desk, crm: CrmServer) -> None:
    url = crm.set_behaviour("mine", Behaviour(fail_rate=1.0))
    await sends_to(desk, 100_00, http(url))
    await post_one(desk)
    assert await desk.value("select count(*) from ledger_entry") == 0


# --- retries and backups --------------------------------------------------------------------------


async def test_a_retry_that_succeeds_is_a_sale_and_no_rejection(desk: Desk, crm: CrmServer) -> None:
    url = crm.set_behaviour("mine", Behaviour(fail_rate=1.0, heals_after=2))
    company = await sends_to(desk, 100_00, http(url, attempts=3))
    assert (await post_one(desk)).status == "sold"
    assert await crm_rejections(desk, company) == []
    assert await desk.value("select attempts from delivery") == 3


async def test_every_try_carries_the_same_delivery_id(desk: Desk, crm: CrmServer) -> None:
    url = crm.set_behaviour("mine", Behaviour(fail_rate=1.0))
    await sends_to(desk, 100_00, http(url, attempts=3))
    await post_one(desk)
    (lead,) = crm.leads("mine")
    assert (lead.attempts, crm.counts("mine").deliveries) == (3, 1)
    assert lead.delivery_id == await desk.value("select id from delivery")


async def test_a_hanging_system_is_tried_again_under_the_same_delivery_id(
    desk: Desk, crm: CrmServer
) -> None:
    url = crm.set_behaviour("mine", Behaviour(fail_rate=1.0, failure="hang", heals_after=1))
    company = await sends_to(desk, 100_00, http(url, timeout_ms=QUICK_MS, attempts=2))
    assert (await post_one(desk)).status == "sold"
    assert (crm.counts("mine").deliveries, crm.counts("mine").repeats) == (1, 1)
    assert await crm_rejections(desk, company) == []


async def test_a_backup_that_succeeds_saves_the_sale(desk: Desk, crm: CrmServer) -> None:
    url = crm.set_behaviour("mine", Behaviour(fail_rate=1.0))
    company = await sends_to(desk, 100_00, http(url, attempts=2), INBOX)
    assert (await post_one(desk)).status == "sold"
    assert await crm_rejections(desk, company) == []
    assert (await desk.standing(company)).raw_crm == 0
    assert await desk.value("select kind from delivery") == "inbox"


async def test_the_incident_a_backup_saved_is_told(desk: Desk, crm: CrmServer) -> None:
    url = crm.set_behaviour("mine", Behaviour(fail_rate=1.0, failure="401"))
    await sends_to(desk, 100_00, http(url), INBOX)
    with capture_logs() as logs:
        await post_one(desk)
    (told,) = [log for log in logs if log["event"] == "delivery failed"]
    assert (told["log_level"], told["reason"]) == ("warning", "auth_failure")


async def test_a_backup_saves_an_unclear_delivery_under_the_same_id(
    desk: Desk, crm: CrmServer
) -> None:
    primary = crm.set_behaviour("primary", Behaviour(fail_rate=1.0, failure="hang"))
    backup = crm.set_behaviour("backup", Behaviour())
    company = await sends_to(desk, 100_00, http(primary, timeout_ms=QUICK_MS), http(backup))
    assert (await post_one(desk)).status == "sold"
    assert crm.leads("primary")[0].delivery_id == crm.leads("backup")[0].delivery_id
    assert await crm_rejections(desk, company) == []


async def test_the_last_failure_is_the_reason_when_no_backup_succeeds(
    desk: Desk, crm: CrmServer
) -> None:
    primary = crm.set_behaviour("primary", Behaviour(fail_rate=1.0, failure="500"))
    backup = crm.set_behaviour("backup", Behaviour(fail_rate=1.0, failure="401"))
    company = await sends_to(desk, 100_00, http(primary, attempts=2), http(backup))
    await post_one(desk)
    assert await crm_rejections(desk, company) == [Reason.AUTH_FAILURE]
    assert await desk.value("select attempts from delivery") == 3


# --- unclear outcomes -----------------------------------------------------------------------------


async def test_an_exclusive_lead_whose_delivery_stays_unclear_is_held(
    desk: Desk, crm: CrmServer
) -> None:
    url = crm.set_behaviour("mine", Behaviour(fail_rate=1.0, failure="hang"))
    await sends_to(desk, 100_00, http(url, timeout_ms=QUICK_MS))
    await sends_to(desk, 99_00, INBOX)
    result = await post_one(desk)
    assert (result.status, result.reason) == ("unsold", Reason.DELIVERY_UNCLEAR)
    assert await desk.value("select count(*) from sale") == 0


async def test_one_unclear_try_keeps_the_outcome_unclear_whatever_failed_after_it(
    desk: Desk, crm: CrmServer
) -> None:
    hanging = crm.set_behaviour("mine", Behaviour(fail_rate=1.0, failure="hang"))
    broken = crm.set_behaviour("broken", Behaviour(fail_rate=1.0))
    company = await sends_to(desk, 100_00, http(hanging, timeout_ms=QUICK_MS), http(broken))
    await sends_to(desk, 99_00, INBOX)
    assert (await post_one(desk)).reason is Reason.DELIVERY_UNCLEAR
    assert await crm_rejections(desk, company) == [Reason.CRM_TIMEOUT]


async def test_under_the_policy_resell_it_goes_to_the_next_rank(
    stores: StoreUrls, database: str, crm: CrmServer
) -> None:
    url = crm.set_behaviour("mine", Behaviour(fail_rate=1.0, failure="hang"))
    async with open_desk(stores, database, policy=Policy(unclear="resell")) as desk:
        hanging = await sends_to(desk, 100_00, http(url, timeout_ms=QUICK_MS))
        following = await sends_to(desk, 99_00, INBOX)
        assert (await post_one(desk)).status == "sold"
        assert await desk.value("select company_id from sale") == following
        assert await crm_rejections(desk, hanging) == [Reason.CRM_TIMEOUT]
        await desk.assert_clean()


async def test_a_shared_leg_that_stays_unclear_goes_to_the_next_rank(
    desk: Desk, crm: CrmServer
) -> None:
    url = crm.set_behaviour("mine", Behaviour(fail_rate=1.0, failure="hang"))
    companies = [await desk.company(f"Company {place}") for place in range(3)]
    targets = (http(url, timeout_ms=QUICK_MS), INBOX, INBOX)
    for company, cents, target in zip(companies, (60_00, 58_00, 56_00), targets, strict=True):
        await desk.campaign(company, shared={2: cents}, delivery=(target,))
    result = await post_one(desk, max_buyers=2)
    assert [leg.status for leg in result.legs] == ["sold", "sold"]
    rows = await desk.rows("select company_id from sale order by leg")
    assert [row["company_id"] for row in rows] == [companies[2], companies[1]]
    assert await crm_rejections(desk, companies[0]) == [Reason.CRM_TIMEOUT]


# --- real-time refusals ---------------------------------------------------------------------------


async def test_a_real_time_refusal_is_kept_with_its_reason_and_counts_nothing(
    desk: Desk, crm: CrmServer
) -> None:
    url = crm.set_behaviour("mine", Behaviour(refuse_rate=1.0, refuse_reason="off_hours"))
    refusing = await sends_to(desk, 100_00, http(url, attempts=3), INBOX)
    assert (await post_one(desk)).reason is Reason.COMPANY_REFUSED
    (delivery,) = await desk.rows("select state, reason, attempts from delivery")
    # Neither a retry nor the backup is asked: the company has answered.
    assert tuple(delivery) == ("refused", Reason.OFF_HOURS, 1)
    assert (await desk.standing(refusing)).raw_assigned == 0


async def test_a_refusal_that_quotes_the_lead_leaves_no_contact_in_the_books(
    desk: Desk, crm: CrmServer
) -> None:
    said = "Ada Lovelace at +1 415 555 0123 is ours"
    url = crm.set_behaviour("mine", Behaviour(refuse_rate=1.0, refuse_reason=said))
    await sends_to(desk, 100_00, http(url))
    await post_one(desk)
    detail = await desk.value("select detail from delivery")
    assert "ours" in detail
    assert not any(word in detail for word in ("Ada", "Lovelace", "0123"))


# --- what a company is sent -----------------------------------------------------------------------


async def test_a_company_is_sent_the_whole_lead_at_what_it_is_charged(
    desk: Desk, crm: CrmServer
) -> None:
    url = crm.set_behaviour("mine", Behaviour())
    company = await sends_to(desk, 45_75, http(url))
    result = await post_one(desk, zip="94110")
    (lead,) = crm.leads("mine")
    body = lead.decode_payload()
    assert (lead.lead_id, lead.price_cents) == (result.lead_id, 45_75)
    assert body["attributes"]["zip"] == "94110"
    assert body["contact"] == {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "phone": "+14155550123",
    }
    (kept,) = await desk.exchange.inbox.leads(company, "", 10)
    assert (kept.lead_id, kept.delivery_id) == (result.lead_id, lead.delivery_id)


async def test_a_companys_reference_is_kept_with_the_delivery(desk: Desk, crm: CrmServer) -> None:
    await sends_to(desk, 100_00, http(crm.set_behaviour("mine", Behaviour())))
    await post_one(desk)
    reference = await desk.value("select reference from delivery")
    assert msgspec.json.decode(f'"{reference}"') == reference and len(reference) == 14


async def test_shared_legs_are_delivered_at_the_same_time(desk: Desk, crm: CrmServer) -> None:
    url = crm.set_behaviour("slow", Behaviour(delay_ms=200))
    for place in range(2):
        company = await desk.company(f"Company {place}")
        await desk.campaign(company, shared={2: 50_00}, delivery=(http(url),))
    post = asyncio.create_task(post_one(desk, max_buyers=2))
    assert await desk.awaited("select count(*) = 2 from delivery where state = 'open'")
    assert (await post).status == "sold"
