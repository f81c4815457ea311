"""A change is taken in here first and told to the others once, whoever waits for it."""

from __future__ import annotations

import asyncio
from datetime import date

from exchange.core.changes import BucketChange, CompanyChange
from exchange.core.market import Market
from exchange.core.model import CompanyId, Policy
from exchange.flow.announce import Announcer
from exchange.flow.market_ports import Change

TODAY = date(2026, 11, 21)
COMPANY = CompanyId("sunny")


class SlowMirror:
    """Keeps what was published, each once it may come through."""

    def __init__(self) -> None:
        self.begun: list[Change] = []
        self.published: list[Change] = []
        self.gate = asyncio.Event()

    async def publish(self, change: Change) -> None:
        self.begun.append(change)
        await self.gate.wait()
        self.published.append(change)


class Stage:
    """An announcer over an empty market."""

    def __init__(self) -> None:
        self.mirror = SlowMirror()
        self.market = Market([], Policy(), TODAY)
        self.announcer = Announcer(self.market, self.mirror, lambda _id, _problem: None)

    async def begin(self, *changes: CompanyChange) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self.announcer.tell(change)) for change in changes]
        for _ in range(3):
            await asyncio.sleep(0)
        return tasks


def changed(version: int, assigned: int = 100, *, whole: bool = False) -> CompanyChange:
    return CompanyChange(
        company_id=COMPANY,
        version=version,
        active=True,
        era=0,
        era_assigned=assigned,
        buckets=(BucketChange(day=TODAY, era=0, assigned=assigned, manual=0, crm=0),),
        whole=whole,
    )


async def test_a_change_of_many_leads_is_told_once_and_all_of_them_wait_for_it() -> None:
    stage, change = Stage(), changed(1)
    tasks = await stage.begin(change, change, change)
    assert stage.market.standings[COMPANY].raw_assigned == 100
    assert stage.mirror.begun == [change]
    assert not any(task.done() for task in tasks)
    stage.mirror.gate.set()
    await asyncio.gather(*tasks)
    assert stage.mirror.published == [change]


async def test_a_newer_change_does_not_wait_for_one_on_its_way() -> None:
    stage, older, newer = Stage(), changed(1), changed(2, 300)
    tasks = await stage.begin(older, newer)
    assert stage.mirror.begun == [older, newer]
    assert stage.market.standings[COMPANY].raw_assigned == 300
    stage.mirror.gate.set()
    await asyncio.gather(*tasks)
    assert stage.announcer._telling == {}


async def test_who_is_cancelled_while_telling_takes_the_word_from_nobody() -> None:
    stage, change = Stage(), changed(1)
    first, second = await stage.begin(change, change)
    first.cancel()
    stage.mirror.gate.set()
    await second
    assert stage.mirror.published == [change]


async def test_a_change_heard_again_is_not_weighed_again_and_a_whole_one_is() -> None:
    stage = Stage()
    stage.announcer.apply(changed(1))
    standing = stage.market.standings[COMPANY]
    stage.announcer.apply(changed(1))
    assert stage.market.standings[COMPANY] is standing
    stage.announcer.apply(changed(1, whole=True))
    assert stage.market.standings[COMPANY] is not standing
    assert stage.market.companies[COMPANY].whole_version == 1
