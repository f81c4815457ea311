"""Notices of alerts, signed and mailed, to receivers that fail (rules §12)."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from email import message_from_bytes, policy
from typing import Any

import pytest
from msgspec.structs import replace

from exchange.buyers.notifier import AlertNotifier
from exchange.core.alert_kinds import AlertKind
from exchange.core.alert_terms import OPERATOR
from exchange.core.model import CompanyId
from exchange.embedded import StoreUrls
from exchange.flow.alert_ports import Notice
from exchange.settings import Settings
from tests.buyers.systems import system
from tests.flow import market
from tests.flow.hooks import (
    Hook,
    hook,
    look,
    low,
    make_due,
    notices,
    postbox,
    send,
    tell,
)
from tests.flow.market import Desk, open_desk, until


async def told_to(desk: Desk, made: Hook) -> CompanyId:
    """A company with one notice waiting for its webhook."""
    company = await low(desk)
    await tell(desk, company, webhook_url=made.url)
    await look(desk)
    return company


async def test_a_webhook_is_signed_with_the_receivers_secret_and_has_an_id(desk: Desk) -> None:
    async with hook() as mine:
        company = await told_to(desk, mine)
        await send(desk)
    headers, _ = mine.requests[0]
    assert mine.is_signed_with(desk.exchange.signing_secret(company))
    assert not mine.is_signed_with(desk.exchange.alerts.secret(OPERATOR))
    assert headers["idempotency-key"] == mine.bodies[0]["notice_id"]
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [302, 404, 500, None], ids=str)
async def test_a_notice_that_was_not_taken_is_sent_again_later_under_its_id(
    desk: Desk, status: int | None
) -> None:
    async with hook() as mine, hook() as elsewhere:
        mine.status, mine.location = status, elsewhere.url
        await told_to(desk, mine)
        await send(desk)
        assert await notices(desk) == [("waiting", 1)]
        mine.status = 200
        await make_due(desk)
        await send(desk)
    assert await notices(desk) == [("sent", 2)]
    first, second = mine.requests
    assert first[0]["idempotency-key"] == second[0]["idempotency-key"]
    assert first[1] == second[1]
    # A redirect is followed nowhere.
    assert elsewhere.requests == []


async def test_a_notice_is_given_up_after_its_last_try_and_counted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.exchange.notifying, "_attempts", 3)
    async with hook() as mine:
        mine.status = 500
        await told_to(desk, mine)
        for _ in range(5):
            await send(desk)
            await make_due(desk)
    assert await notices(desk) == [("failed", 3)]
    assert desk.exchange.notifying.failed == 1
    assert await desk.value("select problem from alert_notice") == "HTTP 500"


class Broken:
    """A notifier with a fault that nobody foresaw."""

    async def send(self, notice: Notice, url: str | None) -> str | None:
        raise ValueError("a header that cannot be written")


async def test_a_notice_nobody_can_send_is_told_and_given_up(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(desk.exchange.notifying, "_notifier", Broken())
    monkeypatch.setattr(desk.exchange.notifying, "_attempts", 2)
    monkeypatch.setattr(
        desk.exchange.notifying, "_on_error", lambda _, error: told.append(str(error))
    )
    async with hook() as mine:
        await told_to(desk, mine)
        for _ in range(4):
            await send(desk)
            await desk.value("update alert_notice set leased_until = now() - interval '1 second'")
    assert told == ["a header that cannot be written"] * 2
    assert await notices(desk) == [("failed", 3)]
    assert desk.exchange.notifying.failed == 1


async def test_the_pause_before_another_try_is_drawn_whole_and_grows(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.exchange.notifying, "_draw", lambda: 0.5)
    pauses = []
    async with hook() as mine:
        mine.status = 500
        await told_to(desk, mine)
        for _ in range(4):
            await send(desk)
            pauses.append(
                await desk.value("select extract(epoch from due_at - now()) from alert_notice")
            )
            await make_due(desk)
    for pause, expected in zip(pauses, (2.5, 5, 10, 20), strict=True):
        assert expected - 2 < pause <= expected


async def test_a_worker_that_dies_with_a_notice_leaves_it_to_the_next(
    desk: Desk, other: Desk
) -> None:
    async with hook() as mine:
        await told_to(desk, mine)
        (due,) = await desk.exchange.notifying._notices.take(1, 60)
        assert due.attempts == 1
        await send(other)
        assert mine.requests == []
        await desk.value("update alert_notice set leased_until = now() - interval '1 second'")
        await send(other)
    assert mine.told == [("raised", "balance_low")]


async def test_a_notice_goes_where_its_receiver_wants_it_by_then(desk: Desk) -> None:
    async with hook() as old, hook() as new:
        old.status = 500
        company = await told_to(desk, old)
        await send(desk)
        await tell(desk, company, webhook_url=new.url)
        await make_due(desk)
        await send(desk)
    assert new.told == [("raised", "balance_low")]


async def test_what_a_receiver_no_longer_wants_is_dropped(desk: Desk) -> None:
    async with hook() as mine:
        company = await told_to(desk, mine)
        await tell(desk, company)
        await send(desk)
    assert (mine.requests, await notices(desk)) == ([], [("dropped", 1)])


async def test_a_slow_receiver_holds_up_nobody_else(desk: Desk) -> None:
    release = asyncio.Event()
    slow = Hook()

    async def wait(reader: StreamReader, writer: StreamWriter) -> None:
        await release.wait()
        await slow.handle(reader, writer)

    async with hook() as mine, system(wait) as url:
        company = await low(desk)
        await tell(desk, company, webhook_url=url)
        await tell(desk, OPERATOR, webhook_url=mine.url, kinds=(AlertKind.BALANCE_LOW,))
        await look(desk)
        assert await desk.exchange.notifying.send_due() == 2
        await until(lambda: bool(mine.requests))
        assert slow.requests == []
        release.set()
        await desk.exchange.notifying.idle()
    assert len(slow.requests) == 1


async def test_a_webhook_goes_to_no_private_address_unless_allowed(
    stores: StoreUrls, database: str
) -> None:
    async with open_desk(stores, database) as desk, hook() as mine:
        company = await told_to(desk, mine)
        async with AlertNotifier(secret_of=lambda _: "s", clock=desk.clock.now) as guarded:
            notice = Notice(notice_id="n", receiver=company, channel="webhook", body=b"{}")
            assert await guarded.send(notice, mine.url) == "address not allowed"
    assert mine.requests == []


async def test_a_mail_says_what_happened_and_has_the_notices_id(
    stores: StoreUrls, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postbox() as (box, port):
        _with_relay(monkeypatch, port)
        async with open_desk(stores, database) as desk:
            company = await low(desk)
            await tell(desk, company, emails=("ops@buyer.example", "ann@buyer.example"))
            await look(desk)
            await send(desk)
            (alert,) = await desk.exchange.alerts.alerts(company, None, "", 10)
    assert sorted(to[0] for to, _ in box.mails) == ["ann@buyer.example", "ops@buyer.example"]
    message = message_from_bytes(box.mails[0][1], policy=policy.default)
    assert message["Subject"] == "[warning] Alert: Prepaid balance low"
    assert message["From"] == "alerts@exchange.example"
    assert message["Message-ID"] == f"<{alert.alert_id}.1@exchange.example>"
    text = message.get_content()
    assert "60.00 dollars left to spend" in text
    assert f"company_id: {company}" in text


async def test_a_mail_nobody_takes_is_tried_again(
    stores: StoreUrls, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postbox() as (box, port):
        box.unknown.add("ops@buyer.example")
        _with_relay(monkeypatch, port)
        async with open_desk(stores, database) as desk:
            company = await low(desk)
            await tell(desk, company, emails=("ops@buyer.example",))
            await look(desk)
            await send(desk)
            assert await notices(desk) == [("waiting", 1)]
            assert await desk.value("select problem from alert_notice") == "SMTP 550"


def _with_relay(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Have the exchanges of this test send mail through a relay here."""
    usual = market.settings_for_tests

    def with_relay(policy: Any = None) -> Settings:
        settings = usual(policy)
        email = replace(
            settings.email,
            relay_url=f"smtp://127.0.0.1:{port}",
            security="none",
            from_address="alerts@exchange.example",
        )
        return replace(settings, email=email)

    monkeypatch.setattr(market, "settings_for_tests", with_relay)


async def test_a_trial_notice_comes_every_way_a_receiver_is_told(desk: Desk) -> None:
    company = await desk.company()
    assert await desk.exchange.alerts.try_out(company, desk.clock.now()) == 0
    async with hook() as mine:
        await tell(desk, company, webhook_url=mine.url)
        assert await desk.exchange.alerts.try_out(company, desk.clock.now()) == 1
        await send(desk)
    assert mine.told == [("test", "test")]
