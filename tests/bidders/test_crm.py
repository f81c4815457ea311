"""The CRM sinks over real sockets (design, Wire; rules: §8)."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

import bidders.sink
from bidders.crm import Behaviour, CrmServer, Failure, crm_server, draw_fate, respond

Json = dict[str, Any]
ALWAYS = 1.0


@pytest.fixture
async def crm() -> AsyncIterator[CrmServer]:
    async with crm_server(seed=7, port=0) as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def a_lead(delivery_id: str = "d-1", **changes: Any) -> Json:
    lead: Json = {
        "delivery_id": delivery_id,
        "lead_id": "l-1",
        "campaign_id": "c-1",
        "vertical": "solar",
        "price": 45.75,
        "attributes": {"zip": "94107", "state": "CA", "credit_score": 710},
        "contact": {"first_name": "Ann", "phone": "+14155550100"},
        "test": False,
    }
    return lead | changes


async def send(
    http: aiohttp.ClientSession, url: str, body: Json | bytes, *, method: str = "POST"
) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with http.request(method, url, data=data) as answer:
        return answer.status, await answer.json(content_type=None)


async def fetch(http: aiohttp.ClientSession, url: str) -> Any:
    async with http.get(url) as answer:
        assert answer.status == 200
        return await answer.json()


# --- how each CRM behaves -------------------------------------------------------------------------


async def test_good_takes_every_lead_and_gives_each_a_reference(
    crm: CrmServer, http: aiohttp.ClientSession
) -> None:
    answers = [await send(http, crm.leads_url("good"), a_lead(f"d-{n}")) for n in range(20)]
    assert all(status == 200 and body["status"] == "accepted" for status, body in answers)
    assert len({body["reference"] for _, body in answers}) == 20


async def test_slow_takes_a_lead_after_its_delay(
    crm: CrmServer, http: aiohttp.ClientSession
) -> None:
    start = time.monotonic()
    _, body = await send(http, crm.leads_url("slow"), a_lead())
    assert body["status"] == "accepted"
    assert time.monotonic() - start >= 0.39


async def test_a_slow_crm_keeps_a_lead_whose_sender_did_not_wait(
    crm: CrmServer, http: aiohttp.ClientSession
) -> None:
    url = crm.set_behaviour("slower", Behaviour(delay_ms=5_000))
    with pytest.raises(asyncio.TimeoutError):
        await http.post(url, json=a_lead(), timeout=aiohttp.ClientTimeout(total=0.1))
    assert crm.counts("slower").accepted == 1


async def test_refusing_refuses_a_share_of_leads_with_its_reason(
    crm: CrmServer, http: aiohttp.ClientSession
) -> None:
    bodies = [
        (await send(http, crm.leads_url("refusing"), a_lead(f"d-{n}")))[1] for n in range(200)
    ]
    refusals = [body for body in bodies if body["status"] == "rejected"]
    assert all(body == {"status": "rejected", "reason": "duplicate"} for body in refusals)
    assert 30 <= len(refusals) <= 70  # a quarter of 200, give or take
    assert crm.counts("refusing").refused == len(refusals)


@pytest.mark.parametrize("failure", ["500", "401", "422", "429"])
async def test_a_failing_crm_answers_with_the_status_chosen(
    crm: CrmServer, http: aiohttp.ClientSession, failure: Failure
) -> None:
    url = crm.set_behaviour("mine", Behaviour(fail_rate=ALWAYS, failure=failure))
    async with http.post(url, json=a_lead()) as answer:
        assert answer.status == int(failure)
        assert ("Retry-After" in answer.headers) == (failure == "429")
    assert crm.counts("mine").failed == 1


async def test_a_garbage_answer_is_a_success_no_one_can_read(
    crm: CrmServer, http: aiohttp.ClientSession
) -> None:
    url = crm.set_behaviour("mine", Behaviour(fail_rate=ALWAYS, failure="garbage"))
    async with http.post(url, json=a_lead()) as answer:
        assert answer.status == 200
        with pytest.raises(json.JSONDecodeError):
            json.loads(await answer.read())


async def test_a_reset_ends_the_connection_without_an_answer(crm: CrmServer) -> None:
    crm.set_behaviour("mine", Behaviour(fail_rate=ALWAYS, failure="reset"))
    reader, writer = await asyncio.open_connection(crm.host, crm.port)
    body = json.dumps(a_lead()).encode()
    head = f"POST /crm/mine/leads HTTP/1.1\r\nHost: crm\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 2)
    writer.close()
    assert crm.counts("mine").failed == 1


async def test_a_hang_sends_nothing_while_the_sender_waits(
    crm: CrmServer, http: aiohttp.ClientSession
) -> None:
    url = crm.set_behaviour("mine", Behaviour(fail_rate=ALWAYS, failure="hang"))
    with pytest.raises(asyncio.TimeoutError):
        await http.post(url, json=a_lead(), timeout=aiohttp.ClientTimeout(total=0.3))
    assert crm.counts("mine").failed == 1


async def test_failing_fails_a_share_of_leads(crm: CrmServer, http: aiohttp.ClientSession) -> None:
    statuses = [
        (await send(http, crm.leads_url("failing"), a_lead(f"d-{n}")))[0] for n in range(200)
    ]
    assert set(statuses) == {200, 500}
    assert 30 <= statuses.count(500) <= 70


# --- the fate of a delivery -----------------------------------------------------------------------


async def test_the_same_seed_gives_the_same_delivery_the_same_fate(
    http: aiohttp.ClientSession,
) -> None:
    async def fates(seed: int) -> list[Any]:
        async with crm_server(seed=seed) as crm:
            url = crm.leads_url("refusing")
            return [await send(http, url, a_lead(f"d-{n}")) for n in range(50)]

    assert await fates(1) == await fates(1)
    assert await fates(1) != await fates(2)


def test_a_backup_does_not_share_the_fate_of_what_it_backs_up() -> None:
    assert draw_fate(7, "first", "d-1") != draw_fate(7, "backup", "d-1")


def test_failures_come_first_then_refusals_then_the_rest_is_accepted() -> None:
    behaviour = Behaviour(fail_rate=0.3, refuse_rate=0.2)
    draws = [0.0, 0.299, 0.3, 0.499, 0.5, 0.999]
    outcomes = [respond(behaviour, draw).outcome for draw in draws]
    assert outcomes == ["failed", "failed", "refused", "refused", "accepted", "accepted"]


async def test_a_repeat_answers_as_the_first_did_and_is_counted_as_one(
    crm: CrmServer, http: aiohttp.ClientSession
) -> None:
    first = await send(http, crm.leads_url("good"), a_lead())
    crm.set_behaviour("good", Behaviour(fail_rate=ALWAYS))
    assert await send(http, crm.leads_url("good"), a_lead()) == first
    counts = crm.counts("good")
    assert (counts.seen, counts.deliveries, counts.accepted, counts.repeats) == (2, 1, 1, 1)
    assert crm.leads("good")[0].attempts == 2


async def test_the_same_delivery_with_another_body_is_a_conflict(
    crm: CrmServer, http: aiohttp.ClientSession
) -> None:
    await send(http, crm.leads_url("good"), a_lead())
    status, problem = await send(http, crm.leads_url("good"), a_lead(price=40.00))
    assert (status, problem["code"]) == (409, "delivery_conflict")
    counts = crm.counts("good")
    assert (counts.seen, counts.conflicts, counts.repeats) == (2, 1, 0)


async def test_a_failing_delivery_heals_after_so_many_attempts(
    crm: CrmServer, http: aiohttp.ClientSession
) -> None:
    url = crm.set_behaviour("mine", Behaviour(fail_rate=ALWAYS, heals_after=2))
    statuses = [(await send(http, url, a_lead()))[0] for _ in range(4)]
    assert statuses == [500, 500, 200, 200]
    counts = crm.counts("mine")
    assert (counts.deliveries, counts.failed, counts.accepted, counts.repeats) == (1, 0, 1, 3)


async def test_a_repaired_crm_takes_what_it_failed_before(
    crm: CrmServer, http: aiohttp.ClientSession
) -> None:
    url = crm.set_behaviour("mine", Behaviour(fail_rate=ALWAYS))
    assert (await send(http, url, a_lead()))[0] == 500
    assert (await send(http, url, a_lead()))[0] == 500
    crm.set_behaviour("mine", Behaviour())
    assert (await send(http, url, a_lead()))[0] == 200


async def test_the_record_drops_its_oldest_deliveries_and_keeps_counting(
    crm: CrmServer, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bidders.sink, "MAX_RECORD_LEADS", 2)
    for n in range(3):
        await send(http, crm.leads_url("good"), a_lead(f"d-{n}"))
    assert [lead.delivery_id for lead in crm.leads("good")] == ["d-1", "d-2"]
    assert (crm.counts("good").deliveries, crm.counts("good").dropped) == (3, 1)


async def test_the_record_is_bounded_in_bytes_too(
    crm: CrmServer, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bidders.sink, "MAX_RECORD_BYTES", 1_000)
    for n in range(3):
        await send(http, crm.leads_url("good"), a_lead(f"d-{n}", attributes={"note": "x" * 500}))
    assert [lead.delivery_id for lead in crm.leads("good")] == ["d-2"]


# --- what is not a lead ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param(b"{not json", None, id="not JSON"),
        pytest.param(b"", None, id="empty"),
        pytest.param(b'{"delivery_id":"\xff"}', None, id="not UTF-8"),
        pytest.param(b"[" * 60_000, None, id="nested too deep"),
        pytest.param(a_lead(price="a lot"), "price", id="price not a number"),
        pytest.param(a_lead(price=-1), "price", id="price below zero"),
        pytest.param(a_lead(price="NaN"), "price", id="price not a number at all"),
        pytest.param(a_lead(price=1.005), "price", id="price finer than a cent"),
        pytest.param(a_lead(delivery_id=""), "delivery_id", id="no delivery id"),
        pytest.param(a_lead(contact=None), "contact", id="no contact"),
    ],
)
async def test_what_cannot_be_read_as_a_lead_is_a_fault_and_counted_apart(
    crm: CrmServer, http: aiohttp.ClientSession, body: Json | bytes, field: str | None
) -> None:
    status, problem = await send(http, crm.leads_url("good"), body)
    assert (status, problem.get("field")) == (422, field)
    assert (crm.counts("good").unreadable, crm.counts("good").seen) == (1, 0)


async def test_a_body_over_64_kib_is_too_large(crm: CrmServer, http: aiohttp.ClientSession) -> None:
    lead = a_lead(attributes={"note": "x" * 65_536})
    status, problem = await send(http, crm.leads_url("good"), lead)
    assert (status, problem["status"]) == (413, 413)


async def test_a_crm_nobody_made_is_not_found(crm: CrmServer, http: aiohttp.ClientSession) -> None:
    status, problem = await send(http, f"{crm.base_url}/crm/nobody/leads", a_lead())
    assert (status, problem["code"]) == (404, "unknown_crm")


# --- control --------------------------------------------------------------------------------------


async def test_a_put_makes_a_crm_and_a_second_one_changes_it(
    crm: CrmServer, http: aiohttp.ClientSession
) -> None:
    url = f"{crm.base_url}/crm/mine"
    status, made = await send(http, url, {"fail_rate": 1, "failure": "429"}, method="PUT")
    assert (status, made["behaviour"]["failure"]) == (201, "429")
    assert (await send(http, made["leads_url"], a_lead()))[0] == 429
    status, changed = await send(http, url, {}, method="PUT")
    assert (status, changed["behaviour"]["fail_rate"], changed["counts"]["failed"]) == (200, 0, 1)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({"fail_rate": 1.1}, "fail_rate", id="rate above 1"),
        pytest.param({"fail_rate": 0.6, "refuse_rate": 0.5}, "refuse_rate", id="rates sum above 1"),
        pytest.param({"failure": "418"}, "failure", id="unknown failure"),
        pytest.param({"delay_ms": -1}, "delay_ms", id="negative delay"),
        pytest.param({"delay_ms": "1"}, "delay_ms", id="text for a number"),
        pytest.param({"latency": 1}, "latency", id="unknown field"),
        pytest.param(b"{", None, id="not JSON"),
    ],
)
async def test_a_behaviour_out_of_range_is_refused_with_the_field_named(
    crm: CrmServer, http: aiohttp.ClientSession, body: Json | bytes, field: str | None
) -> None:
    status, problem = await send(http, f"{crm.base_url}/crm/mine", body, method="PUT")
    assert (status, problem.get("field")) == (422, field)
    assert "mine" not in crm.names


def test_rates_in_decimals_may_fill_the_whole() -> None:
    assert respond(Behaviour(fail_rate=0.1, refuse_rate=0.9), 0.95).outcome == "refused"


async def test_a_behaviour_made_in_python_passes_the_same_bounds(crm: CrmServer) -> None:
    with pytest.raises(ValueError, match="delay_ms"):
        crm.set_behaviour("mine", Behaviour(delay_ms=-1))


async def test_a_crm_name_unfit_for_a_path_is_refused(
    crm: CrmServer, http: aiohttp.ClientSession
) -> None:
    status, problem = await send(http, f"{crm.base_url}/crm/My%20CRM", {}, method="PUT")
    assert (status, problem["field"]) == (422, "name")


async def test_what_a_crm_saw_is_listed_as_received(
    crm: CrmServer, http: aiohttp.ClientSession
) -> None:
    leads = [a_lead(f"d-{n}", price=45.70, extra={"n": n}) for n in range(3)]
    for lead in leads:
        await send(http, crm.leads_url("good"), lead)
    listed = await fetch(http, crm.leads_url("good") + "?limit=2")
    assert listed == {
        "crm": "good",
        "leads": [
            {
                "delivery_id": f"d-{n}",
                "lead_id": "l-1",
                "campaign_id": "c-1",
                "price": 45.7,
                "outcome": "accepted",
                "attempts": 1,
                "payload": leads[n],
            }
            for n in (1, 2)
        ],
    }
    seen = crm.leads("good")[0]
    assert (seen.price_cents, seen.decode_payload()) == (4570, leads[0])


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "many", ""])
async def test_a_limit_out_of_range_is_refused(
    crm: CrmServer, http: aiohttp.ClientSession, limit: str
) -> None:
    async with http.get(crm.leads_url("good"), params={"limit": limit}) as answer:
        assert (answer.status, (await answer.json())["field"]) == (422, "limit")


async def test_a_crm_that_forgets_takes_a_lead_as_new(
    crm: CrmServer, http: aiohttp.ClientSession
) -> None:
    url = crm.leads_url("good")
    await send(http, url, a_lead())
    assert await send(http, url, b"", method="DELETE") == (200, {"forgotten": 1})
    assert crm.counts("good").seen == 0
    await send(http, url, a_lead())
    assert (crm.counts("good").deliveries, crm.counts("good").repeats) == (1, 0)


async def test_counts_over_http_are_the_counts_in_process(
    crm: CrmServer, http: aiohttp.ClientSession
) -> None:
    await send(http, crm.leads_url("good"), a_lead())
    shown = await fetch(http, f"{crm.base_url}/crm/good")
    assert shown["counts"] == {
        "seen": 1,
        "deliveries": 1,
        "accepted": 1,
        "refused": 0,
        "failed": 0,
        "repeats": 0,
        "conflicts": 0,
        "unreadable": 0,
        "dropped": 0,
    }


async def test_the_index_names_every_crm(crm: CrmServer, http: aiohttp.ClientSession) -> None:
    index = await fetch(http, crm.base_url)
    assert [each["leads_url"] for each in index["crms"]] == [
        crm.leads_url(name) for name in ("good", "slow", "failing", "refusing")
    ]


async def test_a_server_with_hanging_senders_stops_at_once(http: aiohttp.ClientSession) -> None:
    async with crm_server(seed=7) as crm:
        hang = crm.set_behaviour("hang", Behaviour(fail_rate=ALWAYS, failure="hang"))
        slow = crm.set_behaviour("slow", Behaviour(delay_ms=30_000))
        waiting = [asyncio.ensure_future(http.post(url, json=a_lead())) for url in (hang, slow)]
        async with asyncio.timeout(5):
            while crm.counts("hang").seen + crm.counts("slow").seen < 2:  # noqa: ASYNC110 - no event to wait for
                await asyncio.sleep(0.01)
        start = time.monotonic()
    assert time.monotonic() - start < 1.5
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(end, aiohttp.ClientError) for end in ends)
