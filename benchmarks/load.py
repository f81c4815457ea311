"""The load as a process of its own: orders in as lines of JSON, measurements out the same way.

`python -m benchmarks.load` reads orders from standard input until it ends. Kept running between
rounds, so that its requests are encoded once and its interpreter is warm. Loopback only.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import Any, Final

import msgspec
import uvloop
from msgspec import Struct

from benchmarks.markets import lead_bodies, ping_bodies
from benchmarks.returns import Returns, measure_returns
from exchange.bench.bounds import Target, target_of
from exchange.bench.closed import closed_loop
from exchange.bench.connection import encode_request
from exchange.bench.measured import Measured
from exchange.bench.open import open_loop

PINGS: Final = 20_000
"""Different pings before they repeat: more than any cache of answers could be meant for."""


OFFERING_S: Final = 60.0
"""Longest the pings before the posts may take."""

_offers: dict[tuple[str, int], list[tuple[str, dict[str, Any]]]] = {}
"""Ping ids and contacts by server and seed, between an order to offer and one to post."""


class Order(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One measurement to be made.

    ``ping``: closed loop, or open loop where a rate is given. ``offer``: ``leads`` are pinged;
    ``post``: those are posted in a closed loop, each once, as long as the time lasts.
    ``echo_post``: posts without pings before them, over and over, for the floor. ``return``:
    rejections at ``url``, watched there and at ``others``.
    """

    kind: str
    url: str
    key: str
    connections: int = 64
    seconds: float = 1.0
    warmup_s: float = 0.3
    rate: float | None = None
    leads: int = 0
    seed: int = 0
    others: tuple[str, ...] = ()
    company_key: str = ""


class Posted(Struct, frozen=True, kw_only=True):
    """A measurement of posts, how many offers there were for them, and how many were sold."""

    measured: Measured
    offered: int
    sold: int


@cache
def ping_requests(key: str) -> tuple[bytes, ...]:
    """Pings, whole requests."""
    return tuple(
        encode_request("POST", "/v1/ping", json.dumps(body).encode(), key=key)
        for body in ping_bodies(PINGS)
    )


def post_request(key: str, ping_id: str, contact: dict[str, Any]) -> bytes:
    """A post, a whole request."""
    body = json.dumps({"ping_id": ping_id, "contact": contact}).encode()
    return encode_request("POST", "/v1/post", body, key=key)


async def carry_out(order: Order) -> Measured | Posted | Returns:
    """Make one measurement."""
    target = target_of(order.url)
    if order.kind == "ping":
        return await _ping(order, target)
    if order.kind == "offer":
        return await _offer(order, target)
    if order.kind in ("post", "echo_post"):
        return await _post(order, target)
    if order.kind == "return":
        return await measure_returns(
            target,
            [target_of(url) for url in order.others],
            seller_key=order.key,
            company_key=order.company_key,
            count=order.leads,
            seed=order.seed,
        )
    raise ValueError(f"there is no load of the kind {order.kind}")


async def _ping(order: Order, target: Target) -> Measured:
    requests = ping_requests(order.key)
    if order.rate is None:
        return await closed_loop(
            target,
            requests,
            connections=order.connections,
            seconds=order.seconds,
            warmup_s=order.warmup_s,
        )
    return await open_loop(
        target,
        requests,
        rate=order.rate,
        connections=order.connections,
        seconds=order.seconds,
        warmup_s=order.warmup_s,
    )


async def _offer(order: Order, target: Target) -> Posted:
    """Ping leads, and keep what is offered for them until they are posted."""
    leads = list(lead_bodies(order.leads, order.seed))
    offers = _offers[order.url, order.seed] = []

    def keep_offer(index: int, status: int, body: bytes) -> None:
        answer = msgspec.json.decode(body) if status == 200 else {}
        if answer.get("status") == "offer":
            offers.append((answer["ping_id"], leads[index][1]))

    measured = await closed_loop(
        target,
        [
            encode_request("POST", "/v1/ping", json.dumps(ping).encode(), key=order.key)
            for ping, _ in leads
        ],
        connections=order.connections,
        seconds=OFFERING_S,
        repeat=False,
        heard=keep_offer,
    )
    return Posted(measured=measured, offered=len(offers), sold=0)


async def _post(order: Order, target: Target) -> Posted:
    if order.kind == "post":
        offers = _offers.pop((order.url, order.seed))
    else:
        leads = lead_bodies(order.leads, order.seed)
        offers = [(f"{number:036d}", contact) for number, (_, contact) in enumerate(leads)]
    sold = 0

    def count_sold(_index: int, status: int, body: bytes) -> None:
        nonlocal sold
        sold += status == 200 and b'"status":"sold"' in body

    measured = await closed_loop(
        target,
        [post_request(order.key, ping_id, contact) for ping_id, contact in offers],
        connections=order.connections,
        seconds=order.seconds,
        warmup_s=order.warmup_s,
        repeat=order.kind == "echo_post",
        heard=count_sold,
    )
    return Posted(measured=measured, offered=len(offers), sold=sold)


def main() -> None:
    """Carry out orders until there are no more."""
    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=Order)
        result = uvloop.run(carry_out(order))
        sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
