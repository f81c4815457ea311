"""The fast copy of windows and usage: newest wins, in whatever order changes arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.crc import key_slot
from uuid_utils import uuid7

from exchange.core.changes import BucketChange, CampaignChange, CompanyChange, UsageChange
from exchange.core.company import Company
from exchange.core.model import CampaignId, CompanyId
from exchange.core.rejection import ReturnCap
from exchange.core.standing import Bucket
from exchange.embedded import StoreUrls
from exchange.flow.faults import Unavailable
from exchange.flow.market_ports import Change
from exchange.stores.redis_client import quick_client, waiting_client
from exchange.stores.redis_mirror import RedisFeed, RedisMirror, figures_of
from exchange.stores.redis_pipe import RedisPipe
from tests.core.making import contract
from tests.flow.market import until

TODAY = date(2026, 11, 21)
HOUR = datetime(2026, 11, 21, 12, tzinfo=UTC)


def change(version: int, company: str = "roofs", **parts: Any) -> CompanyChange:
    values: dict[str, Any] = {"active": True, "era": 0, "era_assigned": version}
    return CompanyChange(company_id=CompanyId(company), version=version, **(values | parts))


def bucket(days_ago: int, cents: int) -> BucketChange:
    return BucketChange(TODAY - timedelta(days=days_ago), 0, cents, 0, 0)


def usage(campaign: int, leads: int) -> UsageChange:
    return UsageChange(CampaignId(f"campaign-{campaign}"), "hour", HOUR, leads, leads * 100)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[CompanyChange], CompanyChange]:
    """Changes as transactions made them, and the company whole after the last.

    Each touches one bucket or one usage, forgets a campaign's usage (told whole), or only tells
    the company whole again.
    """
    buckets: dict[int, BucketChange] = {}
    used: dict[int, UsageChange] = {}
    told: list[CompanyChange] = []
    version = 0

    def whole() -> CompanyChange:
        return change(
            version, buckets=tuple(buckets.values()), usage=tuple(used.values()), whole=True
        )

    for _ in range(draw(st.integers(1, 12))):
        event = draw(st.sampled_from(["bucket", "bucket", "usage", "forget", "whole"]))
        which, figure = draw(st.integers(0, 2)), draw(st.integers(0, 9))
        version += event != "whole"
        if event == "bucket":
            buckets[which] = bucket(which, figure)
            told.append(change(version, buckets=(buckets[which],)))
        elif event == "usage":
            used[which] = usage(which, figure)
            told.append(change(version, usage=(used[which],)))
        else:
            if event == "forget":
                used.pop(which, None)
            told.append(whole())
    return told, whole()


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[Sequence[CompanyChange], CompanyChange]:
    """A history's changes in any order, some of them twice."""
    told, last = draw(histories())
    again = draw(st.lists(st.sampled_from(told), max_size=3))
    return draw(st.permutations([*told, *again])), last


@settings(max_examples=150, deadline=None)
@given(delivered=deliveries())
async def test_changes_in_any_order_and_twice_come_to_the_newest(
    redis: Redis, pipe: RedisPipe, delivered: tuple[Sequence[CompanyChange], CompanyChange]
) -> None:
    arrived, last = delivered
    mirror = RedisMirror(redis, pipe)
    company_id = CompanyId(str(uuid7()))
    worker = Company(company_id)
    for one in arrived:
        renamed = msgspec.structs.replace(one, company_id=company_id)
        await mirror.write(renamed)
        worker.apply(renamed)
    expected = figures_of(last, msgspec.json.encode)
    assert await mirror.read(company_id) == expected
    # A worker's market takes the same changes in by the same rule.
    assert worker.window.buckets == {
        (row.day, row.era): Bucket(assigned=row.assigned, manual=row.manual, crm=row.crm)
        for row in last.buckets
    }
    assert set(worker.usage.values()) == set(last.usage)
    assert worker.version == last.version


async def test_a_change_that_comes_late_does_not_bring_back_what_was_forgotten(
    redis: Redis,
    pipe: RedisPipe,
) -> None:
    mirror = RedisMirror(redis, pipe)
    await mirror.write(change(2, "late", whole=True))
    await mirror.write(change(1, "late", usage=(usage(0, 5),), buckets=(bucket(0, 5),)))
    assert list(await mirror.read(CompanyId("late"))) == ["head"]


async def test_a_store_that_forgot_its_scripts_is_told_them_again(
    redis: Redis, pipe: RedisPipe
) -> None:
    mirror = RedisMirror(redis, pipe)
    await mirror.write(change(1, "remembered"))
    await redis.script_flush()
    await mirror.write(change(2, "remembered"))
    assert await mirror.behind({CompanyId("remembered"): 2}) == []


async def test_the_companies_held_are_told_by_their_ids(redis: Redis, pipe: RedisPipe) -> None:
    mirror = RedisMirror(redis, pipe)
    await mirror.write(change(1, "first-of-two"))
    await mirror.write(change(1, "second-of-two"))
    assert {"first-of-two", "second-of-two"} <= await mirror.companies()


async def test_a_forgotten_company_is_gone(redis: Redis, pipe: RedisPipe) -> None:
    mirror = RedisMirror(redis, pipe)
    await mirror.write(change(1, "gone", usage=(usage(0, 5),), buckets=(bucket(0, 5),)))
    await mirror.forget(CompanyId("gone"))
    assert await mirror.read(CompanyId("gone")) == {}


async def test_companies_that_lag_behind_or_are_missing_are_told(
    redis: Redis, pipe: RedisPipe
) -> None:
    mirror = RedisMirror(redis, pipe)
    await mirror.write(change(3, "lagging"))
    await mirror.write(change(3, "even"))
    versions = {CompanyId("lagging"): 4, CompanyId("even"): 3, CompanyId("missing"): 1}
    assert await mirror.behind(versions) == ["lagging", "missing"]


async def test_every_key_of_a_company_hashes_to_one_slot(redis: Redis, pipe: RedisPipe) -> None:
    mirror = RedisMirror(redis, pipe)
    await mirror.write(change(1, "slotted", usage=(usage(0, 5),)))
    keys = [key async for key in redis.scan_iter(match="*{slotted}*")]
    assert len(keys) == 2
    assert len({key_slot(key) for key in keys}) == 1


async def test_a_company_that_could_not_be_written_is_remembered() -> None:
    mirror = RedisMirror(quick_client("redis://127.0.0.1:1"), RedisPipe("redis://127.0.0.1:1"))
    await mirror.publish(change(1, "unwritten"))
    assert mirror.dirty == {"unwritten"}
    with pytest.raises(Unavailable):
        await mirror.write(change(1, "unwritten"))


async def test_who_follows_hears_every_change_after_the_subscription(
    redis: Redis, pipe: RedisPipe, stores: StoreUrls
) -> None:
    mirror, client = RedisMirror(redis, pipe), waiting_client(stores.redis)
    feed = RedisFeed(client)
    heard: list[Change] = []
    subscribed = asyncio.Event()

    async def reload() -> None:
        subscribed.set()

    following = asyncio.create_task(feed.follow(heard.append, reload))
    async with asyncio.timeout(5):
        await subscribed.wait()
        told: list[Change] = [
            change(7, "heard", buckets=(bucket(1, 5),), available_cents=3, reset_at=HOUR),
            CampaignChange(campaign_id=CampaignId("c"), version=1, campaign=None),
            contract("heard", return_cap=ReturnCap(period="month", count=1), return_reasons=()),
        ]
        for one in told:
            await mirror.publish(one)
        await until(lambda: len(heard) == 3)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await client.aclose()
    assert heard == told
