"""Stopping gracefully, and starting where another exchange is. Source: design, Stores and Wire."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime

import aiohttp
import pytest

from bidders.crm import Behaviour, CrmServer
from tests.e2e.running import (
    Running,
    environ_of,
    exchange_running,
    is_alive,
    run_command,
    serving,
    temporary_home,
    until,
)
from tests.e2e.wire import Wire, line_to_each_worker, person

pytestmark = pytest.mark.e2e

STOP_LIMIT_S = 10.0


async def test_on_sigterm_open_posts_are_answered_new_pings_are_refused_and_all_ends_in_order(
    crm: CrmServer,
) -> None:
    async with (
        exchange_running(workers=2) as stopping,
        Wire(stopping) as wire,
        line_to_each_worker(stopping) as lines,
    ):
        seller, company = await wire.seller(), await wire.company()
        url = crm.set_behaviour("slow", Behaviour(delay_ms=2_500))
        await wire.campaign(company, "50.00", url=url)
        ping_ids = await wire.offers(seller, 8)
        posts = [
            asyncio.create_task(wire.post(seller, ping_id, person(number)))
            for number, ping_id in enumerate(ping_ids)
        ]
        await until(lambda: crm.counts("slow").seen == 8, 5, "leads at the CRM")
        pids = {*stopping.worker_pids(), stopping.postgres_pid, stopping.valkey_pid}
        asked = time.monotonic()
        stopping.ask_to_stop()

        refusals = 0
        for line in lines.values():

            async def is_refused(line: Wire = line) -> bool:
                nonlocal refusals
                try:
                    answer = await line.ping(seller)
                except aiohttp.ClientConnectionError:
                    return True
                if answer.status == 503:
                    assert answer.json["code"] == "unavailable"
                    assert int(answer.headers["Retry-After"]) >= 1
                    assert answer.headers["Connection"] == "close"
                    refusals += 1
                    return True
                assert answer.status == 200
                return False

            await until(is_refused, 1.0, "a ping to be refused")
        assert refusals, "no worker told that it is stopping"
        assert not any(post.done() for post in posts)
        answers = await asyncio.gather(*posts)
        assert [answer.ok()["status"] for answer in answers] == ["sold"] * 8
        assert await stopping.stopped() == 0
        assert time.monotonic() - asked < STOP_LIMIT_S
        assert not any(is_alive(pid) for pid in pids)
        with pytest.raises(aiohttp.ClientConnectionError):
            await wire.ping(seller)
        assert "clean" in await stopping.check()  # on stores that it starts itself


async def test_a_lead_whose_company_hangs_does_not_keep_the_exchange_and_is_sold_after_the_restart(
    crm: CrmServer,
) -> None:
    url = crm.set_behaviour("hung", Behaviour(fail_rate=1.0, failure="hang"))
    async with temporary_home() as home:
        async with (
            serving(home, workers=1, given={"EXCHANGE_HTTP_DRAIN_S": "2"}) as stopping,
            Wire(stopping) as wire,
        ):
            seller, company = await wire.seller(), await wire.company()
            target = {"kind": "http", "url": url, "timeout_ms": 30_000, "attempts": 1}
            await wire.campaign(company, "50.00", delivery=[target])
            [ping_id] = await wire.offers(seller, 1)
            post = asyncio.create_task(wire.post(seller, ping_id))
            await until(lambda: crm.counts("hung").seen == 1, 5, "the lead at the CRM")
            stopping.ask_to_stop()
            assert await stopping.stopped(STOP_LIMIT_S) == 0
            assert "killing it" not in stopping.said()
            [draining], [stopped] = stopping.logged("draining"), stopping.logged("stopped")
            took = _time_of(stopped) - _time_of(draining)
            assert took < 3.0, "the time to drain is given once, not to each part in turn"
            with pytest.raises((aiohttp.ClientError, AssertionError)):
                (await post).ok()
        crm.set_behaviour("hung", Behaviour())
        async with serving(home, workers=1) as again, Wire(again) as wire:
            result, _ = await wire.post_until_answered(seller, ping_id)
            assert result["status"] == "sold"
            [seen] = crm.leads("hung")
            assert (seen.attempts, seen.outcome) == (2, "accepted")
            await again.check()


async def test_a_second_exchange_on_the_port_is_refused_in_one_line_and_leaves_nothing(
    running: Running, wire: Wire
) -> None:
    async with temporary_home() as home:
        refused = await run_command(
            *("serve", "--home", str(home), "--port", str(running.port)), environ=environ_of({})
        )
        assert refused.code == 1
        [line] = refused.err.splitlines()
        assert line.startswith(f"exchange: cannot listen on 127.0.0.1:{running.port}: ")
        assert "--port" in line
        assert not (home / "postgres" / "postmaster.pid").exists()
        assert not (home / "run").is_symlink()
    assert await running.is_ready()


async def test_a_second_exchange_on_the_home_is_refused_in_one_line_and_harms_nothing(
    running: Running, wire: Wire
) -> None:
    stores = running.postgres_pid, running.valkey_pid
    refused = await running.command("serve", "--port", "0")
    assert refused.code == 1
    [line] = refused.err.splitlines()
    assert line.startswith(f"exchange: another exchange (process {running.pid}) keeps its stores")
    assert (running.postgres_pid, running.valkey_pid) == stores
    assert running.store_urls()
    seller, company = await wire.seller(), await wire.company()
    await wire.campaign(company, "50.00")
    await wire.sell(seller)


def _time_of(line: dict[str, object]) -> float:
    return datetime.fromisoformat(str(line["timestamp"])).timestamp()
