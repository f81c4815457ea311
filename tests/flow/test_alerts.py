"""Alerts on real stores: raised once whoever looks, and told at least once (rules §8, §12)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bidders.crm import Behaviour, CrmServer
from exchange.core.alert_kinds import AlertKind
from exchange.core.alert_terms import OPERATOR
from exchange.core.model import Cap, CompanyId
from exchange.embedded import StoreUrls
from exchange.flow.faults import Unavailable
from exchange.stores.postgres_alerts import PostgresAlerts
from tests.flow.hooks import (
    gathered,
    hook,
    kinds,
    look,
    low,
    notices,
    send,
    tell,
)
from tests.flow.market import Desk, buyer, http, open_desk

BROKEN = Behaviour(fail_rate=1.0)


async def excluded(desk: Desk, crm: CrmServer) -> CompanyId:
    """A company over the gate: 12 % of $10,000.00 were lost to its CRM."""
    company = await buyer(desk, await desk.seller())
    await company.fail(1_200_00, crm.set_behaviour("broken", BROKEN))
    await company.buy(8_800_00)
    return company.company_id


# --- what is told ---------------------------------------------------------------------------------


async def test_section_12_a_company_over_the_gate_and_the_operator_are_told_once(
    desk: Desk, crm: CrmServer
) -> None:
    company = await excluded(desk, crm)
    async with hook() as mine, hook() as operators:
        await tell(desk, company, webhook_url=mine.url)
        await tell(desk, OPERATOR, webhook_url=operators.url)
        await look(desk, times=3)
        await send(desk)
    assert sorted(mine.told) == [
        ("raised", "crm_over"),
        ("raised", "crm_rejections"),
        ("raised", "overall_over"),
        ("raised", "verdict_changed"),
    ]
    # Without a choice of kinds, the operator hears of what is critical.
    assert sorted(kind for _, kind in operators.told) == ["crm_over", "crm_rejections"]
    over = next(b["alert"] for b in mine.bodies if b["alert"]["kind"] == "crm_over")
    assert over["company_id"] == company
    assert over["values"]["crm_pct"] == 12.0
    assert over["arithmetic"].startswith("1200.00 rejected / 10000.00 assigned = 12.00 %")


async def test_section_12_a_reset_ends_the_alert_and_is_told_once(
    desk: Desk, crm: CrmServer
) -> None:
    company = await excluded(desk, crm)
    async with hook() as mine:
        wanted = (AlertKind.CRM_OVER, AlertKind.VERDICT_CHANGED)
        await tell(desk, company, webhook_url=mine.url, kinds=wanted)
        await look(desk)
        registry = desk.exchange.registry
        asked = await registry.ask_reset(company, desk.clock.now())
        await registry.approve_reset(asked.reset_id, desk.clock.now())
        await look(desk, times=4)
        desk.clock.forward(hours=1)
        await look(desk, times=2)
        await send(desk)
    verdicts = [b["alert"]["values"] for b in mine.bodies if b["alert"]["kind"] != "crm_over"]
    assert [(one["from"], one["to"]) for one in verdicts] == [
        ("qualified", "excluded"),
        ("excluded", "qualified"),
    ]
    others = [told for told in mine.told if told[1] == "crm_over"]
    assert others == [("raised", "crm_over"), ("recovered", "crm_over")]
    assert "crm_over" in await kinds(desk, "recovered")


async def test_section_8_leads_lost_to_a_failing_crm_are_told_for_an_hour(
    desk: Desk, crm: CrmServer
) -> None:
    company = await buyer(desk, await desk.seller())
    await company.fail(45_75, crm.set_behaviour("broken", BROKEN))
    await look(desk)
    (alert,) = await desk.exchange.alerts.alerts(company.company_id, None, "", 10)
    assert (alert.kind, alert.campaign_id) == (AlertKind.CRM_REJECTIONS, company.campaign_id)
    assert alert.text.startswith("1 delivery worth 45.75 dollars failed for good")
    desk.clock.forward(hours=1)
    await look(desk, times=2)
    assert await kinds(desk) == []


async def test_section_8_a_sale_saved_by_a_backup_is_told_and_counts_in_no_rate(
    desk: Desk, crm: CrmServer
) -> None:
    seller, company = await desk.seller(), await desk.company()
    target = http(crm.set_behaviour("broken", BROKEN))
    backup = http(crm.set_behaviour("backup", Behaviour()))
    await desk.campaign(company, 45_75, delivery=(target, backup))
    await desk.sell(seller)
    await look(desk)
    (alert,) = await desk.exchange.alerts.alerts(company, None, "", 10)
    assert alert.kind is AlertKind.BACKUP_SAVED
    assert "1 sale was saved by a backup in the last hour, worth 45.75 dollars" in alert.text
    assert "connectivity 1" in alert.text
    assert (await desk.standing(company)).raw_crm == 0


async def test_section_8_a_sale_that_a_second_try_made_is_no_incident(
    desk: Desk, crm: CrmServer
) -> None:
    seller, company = await desk.seller(), await desk.company()
    url = crm.set_behaviour("healing", Behaviour(fail_rate=1.0, heals_after=1))
    await desk.campaign(company, 45_75, delivery=(http(url, attempts=2), http(url)))
    await desk.sell(seller)
    await look(desk)
    assert await kinds(desk) == []


async def test_section_12_a_cap_is_told_when_it_is_near_and_when_it_is_used(desk: Desk) -> None:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 45_75, caps=(Cap(period="day", leads=5),))
    told = []
    for _ in range(5):
        await desk.sell(seller)
        await look(desk)
        told.append(await kinds(desk))
    assert told == [[], [], [], ["cap_near"], ["cap_full", "cap_near"]]
    await look(desk)
    assert (await kinds(desk), await kinds(desk, "recovered")) == (["cap_full"], ["cap_near"])
    desk.clock.forward(days=1)
    await look(desk)
    assert (await kinds(desk), await kinds(desk, "recovered")) == ([], ["cap_full", "cap_near"])


async def test_section_12_a_low_balance_is_told_by_the_companys_own_amount(desk: Desk) -> None:
    company = await low(desk, cents=60_00)
    other = await low(desk, cents=60_00)
    await tell(desk, company, balance_low_cents=50_00)
    await look(desk)
    assert await desk.exchange.alerts.alerts(company, None, "", 10) == []
    (alert,) = await desk.exchange.alerts.alerts(other, None, "", 10)
    assert alert.kind is AlertKind.BALANCE_LOW
    await desk.exchange.registry.deposit(other, 100_00, "second", desk.clock.now())
    await look(desk, times=2)
    assert await kinds(desk) == []


async def test_a_company_that_is_blocked_has_nothing_to_be_told(desk: Desk) -> None:
    company = await low(desk)
    async with hook() as mine:
        await tell(desk, company, webhook_url=mine.url)
        await look(desk)
        await desk.exchange.registry.set_active("company", company, False, desk.clock.now())
        await look(desk)
        await send(desk)
    assert mine.told == [("raised", "balance_low")]
    assert await kinds(desk, "recovered") == ["balance_low"]


async def test_section_12_stores_that_differ_for_several_looks_are_told_to_the_operator(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.stores.drift.PAUSE_S", 0)
    company = await low(desk, cents=600_00)
    redis: Any = desk.exchange.mirror._redis
    held = await redis.hgetall(f"window:{{{company}}}")
    head: bytes = held[b"head"]
    spoilt = head.replace(b'"available_cents":60000', b'"available_cents":60001')
    assert spoilt != head
    await redis.hset(f"window:{{{company}}}", "head", spoilt)
    async with hook() as mine, hook() as operators:
        await tell(desk, company, webhook_url=mine.url)
        await tell(desk, OPERATOR, webhook_url=operators.url)
        await look(desk, times=2)
        assert await kinds(desk) == []
        await look(desk)
        assert await kinds(desk) == ["stores_drift"]
        await desk.exchange.rebuild()
        await look(desk, times=2)
        await send(desk)
    assert operators.told == [("raised", "stores_drift"), ("recovered", "stores_drift")]
    assert mine.told == []


async def test_while_the_fast_store_is_away_nothing_is_said_of_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await low(desk)

    async def away(company_id: CompanyId) -> dict[str, str]:
        raise Unavailable("the fast store is away")

    monkeypatch.setattr(desk.exchange.mirror, "read", away)
    await look(desk)
    assert await kinds(desk) == ["balance_low"]


# --- once -----------------------------------------------------------------------------------------


async def test_two_workers_that_look_at_once_tell_once(desk: Desk, other: Desk) -> None:
    company = await low(desk)
    await other.awaited("select true")
    async with hook() as mine:
        await tell(desk, company, webhook_url=mine.url)
        for _ in range(3):
            await gathered(desk.exchange.alerting.look(), other.exchange.alerting.look())
        await gathered(send(desk), send(other))
    assert mine.told == [("raised", "balance_low")]
    assert await desk.value("select count(*) from alert") == 1


async def test_of_two_workers_one_looks_each_interval(desk: Desk, other: Desk) -> None:
    looked = await gathered(desk.exchange.alerting.look(60), other.exchange.alerting.look(60))
    assert [found is None for found in looked].count(True) == 1
    assert await desk.exchange.alerting.look(60) is None


async def test_a_worker_that_starts_anew_tells_nothing_twice(
    desk: Desk, stores: StoreUrls, database: str
) -> None:
    company = await low(desk)
    async with hook() as mine:
        await tell(desk, company, webhook_url=mine.url)
        await look(desk)
        await send(desk)
        async with open_desk(stores, database, clock=desk.clock) as anew:
            await look(anew, times=3)
            await send(anew)
    assert mine.told == [("raised", "balance_low")]


async def test_a_worker_that_dies_while_it_looks_leaves_all_to_the_next(
    desk: Desk, other: Desk
) -> None:
    company = await low(desk)
    await tell(desk, company, webhook_url="http://127.0.0.1:9/")
    kept = PostgresAlerts(desk.exchange.postgres)
    assert await kept.begin_look("dead", 0)
    assert await other.exchange.alerting.look() is None
    # Its lease has ended: another looks, and what the dead one would write now is not taken.
    await desk.value("update alert_look set leased_until = now() - interval '1 second'")
    looked = await other.exchange.alerting.look()
    assert looked is not None
    assert (looked.raised, looked.notices) == (1, 1)


async def test_what_a_look_found_is_written_with_its_notices_or_not_at_all(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = await low(desk)
    await tell(desk, company, webhook_url="http://127.0.0.1:9/")
    kept = PostgresAlerts(desk.exchange.postgres)
    lost = kept.end_look

    async def lose(owner: str, outcome: Any) -> bool:
        await desk.value("update alert_look set owner = 'another'")
        return await lost(owner, outcome)

    monkeypatch.setattr(desk.exchange.alerting, "_books", kept)
    monkeypatch.setattr(kept, "end_look", lose)
    assert await desk.exchange.alerting.look() is None
    assert (await kinds(desk), await notices(desk)) == ([], [])
    monkeypatch.setattr(kept, "end_look", lost)
    await desk.value("update alert_look set owner = null, leased_until = null")
    assert (await look(desk)).raised == 1


@pytest.mark.parametrize("table", ["alert_watch", "alert"])
async def test_what_is_remembered_may_be_lost_and_looks_go_on(desk: Desk, table: str) -> None:
    company = await low(desk)
    await look(desk)
    await desk.value(f"delete from {table}")
    looked = await look(desk)
    # Without its watch an open alert is known still; without the alert itself it is new.
    assert looked.raised == (1 if table == "alert" else 0)
    await desk.exchange.registry.deposit(company, 100_00, "second", desk.clock.now())
    await look(desk, times=2)
    assert (await kinds(desk), await kinds(desk, "recovered")) == ([], ["balance_low"])


async def test_a_storm_of_alerts_is_told_a_part_at_a_look(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.flow.alerting.MOST_EVENTS", 2)
    for _ in range(3):
        await low(desk)
    assert [(await look(desk)).raised for _ in range(3)] == [2, 1, 0]


# --- reminders ------------------------------------------------------------------------------------


async def test_section_12_a_reminder_comes_until_the_alert_is_acknowledged(desk: Desk) -> None:
    company = await low(desk)
    async with hook() as mine:
        await tell(desk, company, webhook_url=mine.url, reminder_hours=2)
        await look(desk)
        desk.clock.forward(hours=2)
        await look(desk)
        (alert,) = await desk.exchange.alerts.alerts(company, "raised", "", 10)
        now = desk.clock.now()
        done = await desk.exchange.alerts.acknowledge(alert.alert_id, company, now)
        assert done is not None and done.acknowledged_by == company
        desk.clock.forward(hours=12)
        await look(desk)
        await desk.exchange.registry.deposit(company, 100_00, "second", desk.clock.now())
        await look(desk, times=2)
        await send(desk)
    assert [event for event, _ in mine.told] == ["raised", "renewed", "recovered"]
    numbers = [body["notice_id"].rpartition(".")[2] for body in mine.bodies]
    assert numbers == ["1", "2", "3"]
    again = await desk.exchange.alerts.acknowledge(alert.alert_id, company, now)
    assert again is None


async def test_who_wants_no_recoveries_is_told_of_none(desk: Desk) -> None:
    company = await low(desk)
    async with hook() as mine:
        await tell(desk, company, webhook_url=mine.url, recoveries=False)
        await look(desk)
        await desk.exchange.registry.deposit(company, 100_00, "second", desk.clock.now())
        await look(desk, times=2)
        await send(desk)
    assert mine.told == [("raised", "balance_low")]


# --- what is kept ---------------------------------------------------------------------------------


async def test_alerts_that_are_over_are_dropped_with_age_and_open_ones_are_not(desk: Desk) -> None:
    company = await low(desk)
    open_one = await low(desk)
    await tell(desk, company, webhook_url="http://127.0.0.1:9/")
    await look(desk)
    await desk.exchange.registry.deposit(company, 100_00, "second", desk.clock.now())
    await look(desk, times=2)
    desk.clock.forward(days=89)
    await look(desk)
    assert await desk.value("select count(*) from alert") == 2
    assert await notices(desk) == [("waiting", 0)] * 2
    await desk.value("update alert_notice set state = 'sent', done_at = now()")
    desk.clock.forward(days=2)
    await look(desk)
    (left,) = await desk.rows("select company_id from alert")
    assert left["company_id"] == open_one
    assert await notices(desk) == []


async def test_alerts_are_listed_the_newest_first_a_page_at_a_time(desk: Desk) -> None:
    for _ in range(3):
        await low(desk)
        await look(desk)
    first = await desk.exchange.alerts.alerts(None, None, "", 2)
    rest = await desk.exchange.alerts.alerts(None, None, first[-1].alert_id, 2)
    ids = [alert.alert_id for alert in (*first, *rest)]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == 3
    assert first[0].raised_at - rest[0].raised_at == timedelta(minutes=2)
