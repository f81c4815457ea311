"""Connection tests: a failing system is known before it costs a sale, and pays nothing for it
(rules §8, §12).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from uuid_utils import uuid7

from bidders.crm import Behaviour, CrmServer
from exchange.buyers.connection_tester import UNMARKED
from exchange.core.alert_kinds import AlertKind
from exchange.core.model import Bid, Campaign, CampaignId, DeliveryTarget
from exchange.core.remote import Remote
from exchange.embedded import StoreUrls
from exchange.flow.connection_ports import ConnectionOutcome
from exchange.settings import Settings
from tests.buyers.speaking import dialect
from tests.buyers.systems import answer, answering, closed_port, system
from tests.flow import market
from tests.flow.hooks import gathered, kinds, look, postbox
from tests.flow.market import INBOX, Desk, http, open_desk

BROKEN = Behaviour(fail_rate=1.0)


async def saved(
    desk: Desk, *delivery: DeliveryTarget, bid: Bid | None = None, active: bool = True
) -> Campaign:
    """A company's campaign with these deliveries."""
    campaign = Campaign(
        campaign_id=CampaignId(str(uuid7())),
        company_id=await desk.company(),
        name="test",
        vertical="solar",
        active=active,
        bid=bid or Bid(exclusive_cents=45_75),
        delivery=delivery or (INBOX,),
    )
    registry = desk.exchange.registry
    assert await registry.save_campaign(campaign, create=True, now=desk.clock.now())
    return campaign


async def ask(desk: Desk, campaign: Campaign) -> list[ConnectionOutcome]:
    return list(await desk.exchange.connections.test_now(campaign))


async def one(desk: Desk, target: DeliveryTarget) -> ConnectionOutcome:
    """What the test of one delivery comes to."""
    (outcome,) = await ask(desk, await saved(desk, target))
    return outcome


# --- one test -------------------------------------------------------------------------------------


async def test_section_12_a_test_lead_says_that_it_is_one_and_touches_no_money(
    desk: Desk, crm: CrmServer
) -> None:
    outcome = await one(desk, http(crm.set_behaviour("mine", Behaviour())))
    assert (outcome.status, outcome.result, outcome.kind) == ("passed", "accepted", "http")
    assert outcome.took_ms is not None
    (seen,) = crm.leads("mine")
    payload = seen.decode_payload()
    assert payload["test"] is True
    assert payload["contact"]["last_name"] == "Sample"
    for table in ("lead", "delivery", "sale", "rejection", "ledger_entry", "bucket"):
        assert await desk.value(f"select count(*) from {table}") == 0


@pytest.mark.parametrize(
    ("behaviour", "status", "reason"),
    [
        (Behaviour(refuse_rate=1.0), "passed", "duplicate"),
        (Behaviour(fail_rate=1.0, failure="500"), "failed", "connectivity"),
        (Behaviour(fail_rate=1.0, failure="401"), "failed", "auth_failure"),
        (Behaviour(fail_rate=1.0, failure="422"), "failed", "data_format"),
        (Behaviour(fail_rate=1.0, failure="429"), "failed", "rate_limited"),
        (Behaviour(fail_rate=1.0, failure="garbage"), "failed", "data_format"),
        (Behaviour(fail_rate=1.0, failure="hang"), "failed", "crm_timeout"),
    ],
    ids=["refuses", "500", "401", "422", "429", "garbage", "hangs"],
)
async def test_section_8_a_test_fails_for_what_a_lead_would_be_lost_to(
    desk: Desk, crm: CrmServer, behaviour: Behaviour, status: str, reason: str
) -> None:
    target = http(crm.set_behaviour("mine", behaviour), timeout_ms=300)
    outcome = await one(desk, target)
    assert (outcome.status, outcome.reason) == (status, reason)


async def test_a_system_that_is_not_there_fails_its_test(desk: Desk) -> None:
    outcome = await one(desk, http(f"http://127.0.0.1:{closed_port()}/leads"))
    assert (outcome.status, outcome.detail) == ("failed", "connection refused")


async def test_every_place_of_a_campaign_is_tested_and_an_inbox_is_none(
    desk: Desk, crm: CrmServer
) -> None:
    target = http(crm.set_behaviour("mine", Behaviour()))
    webhook = DeliveryTarget(kind="webhook", url=crm.set_behaviour("hook", Behaviour()))
    outcomes = await ask(desk, await saved(desk, target, webhook, INBOX))
    assert [(o.target, o.kind, o.status) for o in outcomes] == [
        ("delivery[0]", "http", "passed"),
        ("delivery[1]", "webhook", "passed"),
        ("delivery[2]", "inbox", "skipped"),
    ]


@pytest.mark.parametrize(
    ("fields", "sent"),
    [({"first": "contact.first_name"}, False), ({"is_test": "test"}, True)],
    ids=["says nothing", "says test"],
)
async def test_a_lead_that_would_be_taken_for_real_is_not_sent(
    desk: Desk, crm: CrmServer, fields: dict[str, str], sent: bool
) -> None:
    url = crm.set_behaviour("mine", Behaviour())
    spoken = dialect(
        post={
            "url": url,
            "format": "json",
            "fields": fields,
            "answer": {"outcomes": [{"when": {"status": "200-599"}, "then": "rejected"}]},
        }
    )
    outcome = await one(desk, DeliveryTarget(kind="http", dialect=spoken))
    assert bool(crm.counts("mine").seen or crm.counts("mine").unreadable) == sent
    if sent:
        assert outcome.status != "skipped"
    else:
        assert (outcome.status, outcome.detail) == ("skipped", UNMARKED)


@pytest.mark.parametrize(
    ("wire", "status", "result"),
    [
        (answer(b'{"price":42.50,"currency":"USD"}'), "passed", "bid"),
        (answer(status=204), "passed", "no_bid"),
        (answer(b"nonsense"), "failed", "no_bid"),
        (answer(status=500), "failed", "no_bid"),
    ],
    ids=["bids", "declines", "unreadable", "500"],
)
async def test_a_bidder_is_tested_by_a_test_ping_past_its_breaker(
    desk: Desk, wire: bytes, status: str, result: str
) -> None:
    async with system(answering(wire)) as url:
        campaign = await saved(desk, bid=Bid(remote=Remote(url=url)))
        outcome = (await ask(desk, campaign))[0]
    assert (outcome.target, outcome.status, outcome.result) == ("bidder", status, result)
    assert desk.exchange.bidders.health() == {}


async def test_a_mail_delivery_is_tested_without_a_mail(
    stores: StoreUrls, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = market.settings_for_tests
    with postbox() as (box, port):
        box.unknown.add("gone@buyer.example")

        def with_relay(policy: Any = None) -> Settings:
            settings = usual(policy)
            email = replace(
                settings.email,
                relay_url=f"smtp://127.0.0.1:{port}",
                security="none",
                from_address="leads@exchange.example",
            )
            return replace(settings, email=email)

        monkeypatch.setattr(market, "settings_for_tests", with_relay)
        async with open_desk(stores, database) as desk:
            there = await one(desk, DeliveryTarget(kind="email", to=("crm@buyer.example",)))
            gone = await one(desk, DeliveryTarget(kind="email", to=("gone@buyer.example",)))
    assert (there.status, gone.status, gone.detail) == ("passed", "failed", "SMTP 550")
    assert box.asked == ["crm@buyer.example", "gone@buyer.example"]
    assert box.mails == []


# --- what is kept and told ------------------------------------------------------------------------


async def test_section_12_a_failing_connection_is_told_after_three_tests_and_over_after_two(
    desk: Desk, crm: CrmServer
) -> None:
    campaign = await saved(desk, http(crm.set_behaviour("mine", BROKEN)))
    told = []
    for behaviour in (BROKEN, BROKEN, BROKEN, Behaviour(), Behaviour()):
        crm.set_behaviour("mine", behaviour)
        await ask(desk, campaign)
        await look(desk)
        told.append(await kinds(desk))
    failing = ["connection_failing"]
    assert told == [[], [], failing, failing, []]
    (alert,) = await desk.exchange.alerts.alerts(campaign.company_id, None, "", 10)
    assert (alert.kind, alert.detail) == (AlertKind.CONNECTION_FAILING, "delivery[0]")


async def test_uptime_and_times_are_kept_by_the_hour_and_dropped_with_age(
    desk: Desk, crm: CrmServer
) -> None:
    campaign = await saved(desk, http(crm.set_behaviour("mine", Behaviour())))
    for behaviour in (Behaviour(), Behaviour(), Behaviour(), BROKEN):
        crm.set_behaviour("mine", behaviour)
        await ask(desk, campaign)
        desk.clock.forward(minutes=45)
    (state,) = await desk.exchange.connections.states(campaign)
    assert (state.day.tests, state.day.passed, state.failures, state.successes) == (4, 3, 1, 0)
    assert state.day.p50_ms is not None
    assert [outcome.status for outcome in state.last] == ["failed", *["passed"] * 3]
    assert await desk.value("select count(*) from connection_hour") == 3
    desk.clock.forward(days=2)
    (state,) = await desk.exchange.connections.states(campaign)
    assert (state.day.tests, state.month.tests) == (0, 4)
    desk.clock.forward(days=29)
    await register(desk)
    assert await desk.value("select count(*) from connection_hour") == 0


async def test_only_the_last_ten_results_are_kept(desk: Desk, crm: CrmServer) -> None:
    campaign = await saved(desk, http(crm.set_behaviour("mine", Behaviour())))
    for _ in range(12):
        await ask(desk, campaign)
    (state,) = await desk.exchange.connections.states(campaign)
    assert (len(state.last), state.successes) == (10, 12)


# --- unasked --------------------------------------------------------------------------------------


async def register(desk: Desk) -> None:
    """Look through the places now, whenever that was done last."""
    desk.exchange.connections._looked_at = float("-inf")
    await desk.exchange.connections.register()


async def scheduled(desk: Desk) -> None:
    """Have a worker test unasked, and register what there is to test."""
    desk.exchange.connections.every_s = 900.0
    await register(desk)


async def make_due(desk: Desk) -> None:
    await desk.value("update connection set due_at = now()")


async def test_tests_are_spread_over_the_interval_and_none_is_made_at_once(
    desk: Desk, crm: CrmServer
) -> None:
    for n in range(20):
        await saved(desk, http(crm.set_behaviour(f"crm-{n}", Behaviour())))
    await scheduled(desk)
    assert await desk.exchange.connections.test_due() == 0
    rows = await desk.rows("select due_at - now() as wait from connection")
    waits = [row["wait"] for row in rows]
    assert timedelta(seconds=440) < min(waits) < max(waits) < timedelta(seconds=1_351)
    assert max(waits) - min(waits) > timedelta(seconds=200)


async def test_two_workers_test_each_target_once_an_interval(
    desk: Desk, other: Desk, crm: CrmServer
) -> None:
    for n in range(4):
        await saved(desk, http(crm.set_behaviour(f"crm-{n}", Behaviour())))
    await other.exchange.following.load()
    await scheduled(desk)
    await scheduled(other)
    await make_due(desk)
    await gathered(desk.exchange.connections.test_due(), other.exchange.connections.test_due())
    for worker in (desk, other):
        await worker.exchange.connections.test_due()
        await worker.exchange.connections.idle()
    assert [crm.counts(f"crm-{n}").seen for n in range(4)] == [1, 1, 1, 1]


async def test_no_more_tests_are_under_way_than_allowed(desk: Desk, crm: CrmServer) -> None:
    slow = Behaviour(delay_ms=50)
    for n in range(6):
        await saved(desk, http(crm.set_behaviour(f"crm-{n}", slow)))
    await scheduled(desk)
    await make_due(desk)
    assert await desk.exchange.connections.test_due() == 4
    assert await desk.exchange.connections.test_due() == 0
    await desk.exchange.connections.idle()
    assert await desk.exchange.connections.test_due() == 2
    await desk.exchange.connections.idle()


async def test_what_is_paused_deleted_or_opted_out_is_not_tested(
    desk: Desk, crm: CrmServer
) -> None:
    target = http(crm.set_behaviour("mine", Behaviour()))
    out, deleted = await saved(desk, target), await saved(desk, target)
    await saved(desk, target, active=False)
    await scheduled(desk)
    assert await desk.value("select count(*) from connection") == 2
    await desk.exchange.connections.opt_out(out.campaign_id, True)
    await desk.exchange.registry.delete_campaign(
        deleted.campaign_id, deleted.company_id, desk.clock.now()
    )
    await register(desk)
    await make_due(desk)
    assert await desk.exchange.connections.test_due() == 0
    # On request it is tested all the same; and unasked again, once that is wanted.
    assert (await ask(desk, out))[0].status == "passed"
    await desk.exchange.connections.opt_out(out.campaign_id, False)
    await make_due(desk)
    assert await desk.exchange.connections.test_due() == 1
    await desk.exchange.connections.idle()


async def test_a_company_that_opts_out_is_not_told_of_old_failures(
    desk: Desk, crm: CrmServer
) -> None:
    campaign = await saved(desk, http(crm.set_behaviour("mine", BROKEN)))
    for _ in range(3):
        await ask(desk, campaign)
    await look(desk)
    assert await kinds(desk) == ["connection_failing"]
    await desk.exchange.connections.opt_out(campaign.campaign_id, True)
    await look(desk)
    assert await kinds(desk) == []


async def test_what_is_kept_of_a_test_can_be_read_by_people(desk: Desk, crm: CrmServer) -> None:
    campaign = await saved(desk, http(crm.set_behaviour("mine", BROKEN)))
    await ask(desk, campaign)
    last = await desk.value("select last from connection")
    assert msgspec.json.decode(last)[0] | {"took_ms": 0, "at": ""} == {
        "target": "delivery[0]",
        "kind": "http",
        "status": "failed",
        "at": "",
        "took_ms": 0,
        "result": "failed",
        "reason": "connectivity",
        "detail": "HTTP 500",
    }
