"""Careful sellers in a closed loop: each pings, and posts until it is answered.

A gate lets them begin only as many posts as the kills have come to, so that kills fall among posts
from the first to the last.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable
from typing import Final

import aiohttp
from msgspec import Struct

from tests.e2e.wire import Account, Answer, Json, person
from tests.soak.market import WAYS, SoakMarket, Way, ping_body

PATIENCE_S: Final = 120.0
"""How long a post is repeated: several processing limits, with kills all the while."""

UNKNOWN_S: Final = 5.0
"""How long an offer that nobody knows is asked for again: a receipt takes its time."""

PAUSE_S: Final = 0.1
SETBACKS: Final = (aiohttp.ClientError, OSError)


class Posted(Struct, kw_only=True):
    """One post: what was asked, what came of it, and what came before."""

    number: int
    way: Way
    seller: Account
    ping_id: str = ""
    legs: int = 0
    outcome: Json | None = None
    is_unknown: bool = False
    pinged_at: float = 0.0


class Gate:
    """Lets so many begin."""

    def __init__(self) -> None:
        self._most = 0
        self._changed = asyncio.Event()

    def open_to(self, most: int) -> None:
        """Let the first so many begin."""
        self._most = max(self._most, most)
        self._changed.set()
        self._changed = asyncio.Event()

    async def pass_by(self, number: int) -> None:
        """Wait for one's turn."""
        while number >= self._most:
            await self._changed.wait()


class Sellers:
    """The posts of a soak; ``violations`` are what no seller should ever see."""

    def __init__(self, market: SoakMarket, *, posts: int, at_once: int, seed: int) -> None:
        self.gate = Gate()
        self.posted: list[Posted] = []
        self.setbacks: Counter[str] = Counter()
        self.violations: list[str] = []
        self.answered = 0
        self._market = market
        self._posts = posts
        self._next = 0
        self._at_once = at_once
        self._seed = seed

    @property
    def begun(self) -> int:
        """How many posts were begun."""
        return len(self.posted)

    async def run(self) -> None:
        """Post all there is to post."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._at_once):
                group.create_task(self._sell_on())

    async def repeat(self) -> None:
        """Post everything again: each gets the answer it had."""
        room = asyncio.Semaphore(self._at_once)

        async def again(one: Posted) -> None:
            async with room:
                answer = await self._market.wire.post(*self._what(one))
            if one.outcome is None:
                if answer.status != 404:
                    self.violations.append(f"post {one.number} was unknown, now {answer.body!r}")
            elif answer.status != 200 or answer.json != one.outcome:
                told = f"post {one.number} got {one.outcome}, now {answer.body!r}"
                self.violations.append(told)

        async with asyncio.TaskGroup() as group:
            for one in self.posted:
                if one.ping_id:
                    group.create_task(again(one))

    async def _sell_on(self) -> None:
        while (number := self._next) < self._posts:
            self._next += 1
            await self.gate.pass_by(number)
            draws = random.Random(f"{self._seed}:{number}")
            way, seller = draws.choice(WAYS), draws.choice(self._market.sellers)
            one = Posted(number=number, way=way, seller=seller)
            self.posted.append(one)
            try:
                await self._sell(one, draws)
            except (AssertionError, TimeoutError) as fault:
                self.violations.append(f"post {number} ({way.state}): {fault}")
            self.answered += 1

    async def _sell(self, one: Posted, draws: random.Random) -> None:
        body = ping_body(
            one.way, one.number, hashed=draws.random() < 0.5, cascades=draws.random() < 0.7
        )
        offer = await self._offer(one, body)
        one.pinged_at = time.monotonic()
        one.ping_id, one.legs = offer["ping_id"], len(offer["legs"])
        manner = draws.random()
        if manner < 0.1:  # An impatient seller, whose posts come twice at once.
            one.outcome, again = await asyncio.gather(self._post(one), self._post(one))
            assert again == one.outcome, f"two answers to one post: {one.outcome} and {again}"
            return
        if manner < 0.15:  # One that hangs up, and comes again.
            post = asyncio.create_task(self._market.wire.post(*self._what(one)))
            await asyncio.wait({post}, timeout=draws.uniform(0.0, 0.05))
            post.cancel()
            await asyncio.gather(post, return_exceptions=True)
        one.outcome = await self._post(one)

    async def _offer(self, one: Posted, body: Json) -> Json:
        """Ping until there is an offer."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            answer = await self._try(self._market.wire.ping(one.seller, **body))
            if answer is not None:
                said = answer.ok()
                if said["status"] == "offer":
                    return said
                self.setbacks[f"ping: {said['reason']['code']}"] += 1
                assert said["status"] == "no_offer", said
            assert time.monotonic() < deadline, "no offer came"
            await asyncio.sleep(PAUSE_S)

    async def _post(self, one: Posted) -> Json | None:
        """Post until there is an outcome; None if the offer has become unknown."""
        began = time.monotonic()
        while True:
            answer = await self._try(self._market.wire.post(*self._what(one)))
            took_s = time.monotonic() - began
            if answer is not None and answer.status == 404 and took_s > UNKNOWN_S:
                one.is_unknown = True
                return None
            if answer is not None and answer.status != 404:
                return answer.ok()
            assert took_s < PATIENCE_S, "the post was never answered"
            await asyncio.sleep(PAUSE_S)

    async def _try(self, call: Awaitable[Answer]) -> Answer | None:
        """An answer; None where the exchange is away or says so."""
        try:
            answer = await call
        except SETBACKS as fault:
            self.setbacks[type(fault).__name__] += 1
            return None
        if answer.status == 503:
            self.setbacks["503"] += 1
            return None
        return answer

    @staticmethod
    def _what(one: Posted) -> tuple[Account, str, Json]:
        return one.seller, one.ping_id, person(one.number)
