"""How soon a rejection is in the price: from its answer to the first ping priced by it.

One company alone buys the leads of one ZIP, so that its own price is the market's there. Leads are
sold to it, then returned one by one at one worker, while every worker is asked for the price.
"""

from __future__ import annotations

import asyncio
import json
from array import array
from time import perf_counter_ns
from typing import Any, Final

from msgspec import Struct

from benchmarks.markets import RETURNER_ZIP, lead_bodies, ping_bodies
from exchange.bench.bounds import BenchError, Target
from exchange.bench.connection import Caller, encode_request
from exchange.bench.latency import Latency, sum_up

PATIENCE_S: Final = 5.0
"""Longest wait for one rejection to be seen."""


class Returns(Struct, frozen=True, kw_only=True):
    """How long it took: on the worker that took the rejections, and on each other one.

    The end of each time is the arrival of the answer to the first ping so priced.
    """

    count: int
    same: Latency
    others: tuple[Latency, ...]
    unseen: int


async def measure_returns(
    target: Target,
    others: list[Target],
    *,
    seller_key: str,
    company_key: str,
    count: int,
    seed: int,
) -> Returns:
    """Sell ``count`` leads and a tenth more, return ``count`` of them, and watch the price."""
    caller = Caller(target.host, target.port)
    lead_ids = [
        lead_id
        for ping, contact in lead_bodies(count + count // 10, seed)
        if (lead_id := await _sell(caller, seller_key, ping, contact)) is not None
    ]
    if len(lead_ids) < count:
        raise BenchError(f"only {len(lead_ids)} of {count} leads were sold to be returned")
    watchers = [_Watcher(where, seller_key) for where in (target, *others)]
    took: list[array[int]] = [array("q") for _ in watchers]
    unseen = 0
    for lead_id in lead_ids[:count]:
        before = [await watcher.price() for watcher in watchers]
        await caller.ask(
            encode_request(
                "POST",
                f"/v1/leads/{lead_id}/rejections",
                b'{"reason":"invalid_contact"}',
                key=company_key,
            )
        )
        answered_ns = perf_counter_ns()
        seen = await asyncio.gather(
            *(w.until_other_than(price) for w, price in zip(watchers, before, strict=True))
        )
        for times, seen_ns in zip(took, seen, strict=True):
            if seen_ns is None:
                unseen += 1
            else:
                times.append(seen_ns - answered_ns)
    for watcher in watchers:
        watcher.close()
    caller.close()
    return Returns(
        count=count, same=sum_up(took[0]), others=tuple(map(sum_up, took[1:])), unseen=unseen
    )


async def _sell(
    caller: Caller, key: str, ping: dict[str, Any], contact: dict[str, Any]
) -> str | None:
    ping["attributes"]["zip"] = RETURNER_ZIP
    offer = await caller.ask(encode_request("POST", "/v1/ping", json.dumps(ping).encode(), key=key))
    if offer["status"] != "offer":
        return None
    body = json.dumps({"ping_id": offer["ping_id"], "contact": contact}).encode()
    sold = await caller.ask(encode_request("POST", "/v1/post", body, key=key))
    return str(sold["lead_id"]) if sold["status"] == "sold" else None


class _Watcher:
    """Asks one worker for the price at that ZIP."""

    def __init__(self, target: Target, key: str) -> None:
        self._caller = Caller(target.host, target.port)
        ping = next(ping_bodies(1, seed=13))
        ping["attributes"]["zip"] = RETURNER_ZIP
        self._request = encode_request("POST", "/v1/ping", json.dumps(ping).encode(), key=key)

    async def price(self) -> object:
        """The price now."""
        return (await self._caller.ask(self._request)).get("price")

    async def until_other_than(self, price: object) -> int | None:
        """Ask until the price is another; gives when its answer came, None past all patience."""
        ends_ns = perf_counter_ns() + int(PATIENCE_S * 1_000_000_000)
        while perf_counter_ns() < ends_ns:
            if await self.price() != price:
                return perf_counter_ns()
        return None

    def close(self) -> None:
        """Hang up."""
        self._caller.close()
