"""The load on an auction whose winner is known: each answer is held against the price it must name.

`python -m benchmarks.peers.load` reads orders from standard input, lines of JSON, until it ends.
Kept running between rounds, so that its requests are encoded once. Loopback only.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import Final

import msgspec
import uvloop
from msgspec import Struct

from benchmarks.markets import ping_bodies
from exchange.bench.bounds import BenchError, target_of
from exchange.bench.closed import closed_loop
from exchange.bench.connection import encode_request
from exchange.bench.measured import Measured
from exchange.bench.open import open_loop

PINGS: Final = 10_000
"""Different pings before they repeat."""


class Order(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One load: a closed loop, or an open one where a rate is given.

    ``price_cents`` is what the seller must be offered: the winner's bid less the margin.
    ``timeout_ms`` is the deadline the pings name.
    """

    url: str
    key: str
    price_cents: int
    timeout_ms: int
    connections: int
    seconds: float
    warmup_s: float
    rate: float | None = None


class Checked(Struct, frozen=True, kw_only=True, tag="checked"):
    """What the load came to, and how many of all its answers named the right price.

    ``wrong`` counts the others by what they said: a status, or a price in cents.
    """

    measured: Measured
    right: int
    wrong: dict[str, int]


class Fault(Struct, frozen=True, kw_only=True, tag="fault"):
    """A load that could not be made, because of whom it was meant for."""

    why: str


class Answer(Struct, frozen=True):
    """What is looked at in an answer."""

    status: str
    price: float = 0.0


@cache
def ping_requests(key: str, timeout_ms: int) -> tuple[bytes, ...]:
    """Pings with this deadline, whole requests."""
    return tuple(
        encode_request(
            "POST", "/v1/ping", json.dumps({**body, "timeout_ms": timeout_ms}).encode(), key=key
        )
        for body in ping_bodies(PINGS)
    )


async def carry_out(order: Order) -> Checked:
    """Make one load."""
    target, requests = target_of(order.url), ping_requests(order.key, order.timeout_ms)
    decode = msgspec.json.Decoder(Answer).decode
    right = 0
    wrong: dict[str, int] = {}

    def check(_index: int, status: int, body: bytes) -> None:
        nonlocal right
        said = str(status)
        if status == 200:
            try:
                answer = decode(body)
                said = answer.status
            except msgspec.MsgspecError:
                answer, said = Answer("unreadable"), "unreadable"
            if answer.status == "offer":
                cents = round(answer.price * 100)
                if cents == order.price_cents:
                    right += 1
                    return
                said = f"price {cents}"
        wrong[said] = wrong.get(said, 0) + 1

    if order.rate is None:
        measured = await closed_loop(
            target,
            requests,
            connections=order.connections,
            seconds=order.seconds,
            warmup_s=order.warmup_s,
            heard=check,
        )
    else:
        measured = await open_loop(
            target,
            requests,
            rate=order.rate,
            connections=order.connections,
            seconds=order.seconds,
            warmup_s=order.warmup_s,
            heard=check,
        )
    return Checked(measured=measured, right=right, wrong=wrong)


def main() -> None:
    """Carry out orders until there are no more."""
    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=Order)
        result: Checked | Fault
        try:
            result = uvloop.run(carry_out(order))
        except BenchError as error:
            result = Fault(why=str(error))
        sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
