"""Bad bidders under load: each alone, then all together beside a good one, over HTTP and streams.

Each bids, and takes leads, as badly as it can; beside it a price list always bids 20.00, so every
ping is to get an offer. What is proven is that they cost only their own bids: no failure that is
not accounted for, and afterwards as many connections, tasks and bytes as before.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Final

from bidders.bad import MANNERS, BadBidders, bad_bidders
from bidders.bad.manners import TRAP
from tests.e2e.running import Running, exchange_running
from tests.e2e.wire import ATTRIBUTES, Account, Json, Wire, line_to_each_worker, paid_to_seller
from tests.e2e.wire import person as person_of
from tests.soak.kills import Report, Say, logged_faults
from tests.soak.market import SETTINGS
from tests.soak.resources import Held, held_by

AT_ONCE: Final = 16
PINGS_PER_S: Final = 150
POST_EVERY: Final = 8
TIMEOUT_MS: Final = 300
HUNG_S: Final = 10.0
"""No answer may take so long, whatever bidders and companies' systems do."""

BAD: Final = tuple(name for name in MANNERS if name not in ("good", TRAP))
FLOOR: Final = "20.00"
BELIEVABLE: Final = paid_to_seller(Decimal("42.50"))
RELEASE_S: Final = 30.0
"""Connections are kept for a while after their use: to bidders for 4 s, to CRMs for 15 s."""

SLACK_FILES: Final = 12
"""Connections of the pool to PostgreSQL, which grows with the load and stays for minutes."""

TASKS_OF_A_STREAM: Final = 3
"""One that keeps it up, one that sends, one of its heartbeat."""

SLACK_TASKS: Final = 8
"""Batches and rounds of mending that happen to be under way."""

MOST_TASKS: Final = 1_000
MOST_GROWTH_MB: Final = 48.0
"""What a warm worker may grow by: remembered campaigns, companies and receipts, pieces of heap."""


class Load:
    """Pings in a closed loop at a bounded rate; of some offers, posts."""

    def __init__(self, wire: Wire, seller: Account) -> None:
        self.violations: list[str] = []
        self.done: Counter[str] = Counter()
        self._wire = wire
        self._seller = seller
        self._number = 0
        self._due = 0.0

    async def run(self, seconds: float, who: str) -> None:
        """Ping for so long; ``who`` is named in what is violated."""
        loop = asyncio.get_running_loop()
        self._due = loop.time()
        until = self._due + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._go_on(until, who))

    async def _go_on(self, until: float, who: str) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            self._due = max(self._due + 1 / PINGS_PER_S, loop.time() - 0.1)
            await asyncio.sleep(self._due - loop.time())
            self._number += 1
            try:
                async with asyncio.timeout(HUNG_S):
                    await self._once(self._number)
            except TimeoutError:
                self.violations.append(f"{who}: no answer within {HUNG_S:g} s")
            except AssertionError as fault:
                self.violations.append(f"{who}: {fault}")

    async def _once(self, number: int) -> None:
        offer = await self._wire.offer(self._seller, timeout_ms=TIMEOUT_MS, attributes=ATTRIBUTES)
        self.done["pings"] += 1
        price = Decimal(offer["price"])
        assert price <= BELIEVABLE, f"{price} was believed"
        if number % POST_EVERY:
            return
        outcome = (
            await self._wire.post(self._seller, offer["ping_id"], person_of(number % 80_000))
        ).ok()
        self.done[outcome["status"]] += 1
        if outcome["status"] == "sold":
            assert Decimal(outcome["price"]) == price, (offer, outcome)
        else:
            assert outcome["reason"]["code"], outcome


async def soak_bad(
    *,
    seconds: float,
    say: Say,
    names: Sequence[str] = BAD,
    alone: bool = True,
    together_s: float | None = None,
    warm_up_s: float = 3.0,
    kept: int = 0,
) -> Report:
    """Put the load on each of these bidders for so long, then on all of them together.

    ``kept`` connections to companies' systems are not waited for at the end: they may be kept for
    15 s, as any HTTP client does.
    """
    began = time.monotonic()
    async with (
        bad_bidders() as bad,
        exchange_running(workers=2, given=SETTINGS) as running,
        Wire(running) as wire,
    ):
        seller = await wire.seller()
        await wire.campaign(await wire.company("the price list"), FLOOR)
        load = Load(wire, seller)
        async with _bidding(wire, bad, ["good"]):
            await load.run(warm_up_s, "good")
        warm = await _held(running)
        peak = [0]
        watching = asyncio.create_task(_watch(running, peak))
        streams = 0
        try:
            for name in names if alone else ():
                async with _bidding(wire, bad, [name]):
                    before = load.done["pings"]
                    await load.run(seconds, name)
                seen = bad.seen(name)
                say(
                    f"{name:12} {load.done['pings'] - before:5} pings answered, "
                    f"{seen.pings} asked, {seen.leads} leads"
                )
            everybody = list(dict.fromkeys(["good", *names]))
            async with _bidding(wire, bad, everybody, streams=True):
                before = load.done["pings"]
                await load.run(together_s or 3 * seconds, "all together")
            streams = sum(MANNERS[name].upgrades for name in everybody)
            say(f"all together {load.done['pings'] - before:5} pings answered")
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        found = await _settled(running, warm, kept, streams)
        cold = await _held(running)
        found += [*load.violations, *logged_faults(running)]
        if bad.seen(TRAP).pings + bad.seen(TRAP).leads:
            found.append("a redirect was followed")
        if peak[0] > MOST_TASKS:
            found.append(f"a worker had {peak[0]} tasks at once")
        checked = await running.command("check")
        if checked.code != 0:
            found.append(f"exchange check: {checked.out}{checked.err}")
        lines = (
            f"bad bidders: {dict(load.done)} in {time.monotonic() - began:.0f} s, "
            f"at most {peak[0]} tasks at once",
            *(f"worker {pid} before: {warm[pid]}" for pid in warm),
            *(f"worker {pid} after:  {cold[pid]}" for pid in cold),
        )
        return Report(lines=lines, violations=tuple(found))


@asynccontextmanager
async def _bidding(
    wire: Wire, bad: BadBidders, names: Sequence[str], *, streams: bool = False
) -> AsyncIterator[None]:
    """Campaigns whose bids are asked of these bidders, and price lists whose leads they take."""
    made: list[tuple[Account, str]] = []
    for name in names:
        company = await wire.company(name)
        delivery: list[Json] = [
            {"kind": "webhook", "url": bad.leads_url(name), "attempts": 1, "timeout_ms": 300}
        ]
        remote: Json = {"url": bad.ping_url(name), "timeout_ms": TIMEOUT_MS}
        made.append((company, await _remote(wire, company, remote, delivery)))
        lists = await wire.company(f"{name} by list")
        made.append((lists, await wire.campaign(lists, "30.00", delivery=delivery)))
        if streams and MANNERS[name].upgrades:
            remote = {"url": bad.stream_url(name), "timeout_ms": TIMEOUT_MS, "stream": True}
            made.append((company, await _remote(wire, company, remote, delivery)))
    try:
        yield
    finally:
        for company, campaign_id in made:
            await wire.call("DELETE", f"/v1/campaigns/{campaign_id}", company.key)


async def _remote(wire: Wire, company: Account, remote: Json, delivery: list[Json]) -> str:
    return await wire.campaign(company, "", bid={"remote": remote}, delivery=delivery)


async def _watch(running: Running, peak: list[int]) -> None:
    """Note the most tasks a worker ever has."""
    async with line_to_each_worker(running) as lines:
        while True:
            for pid, line in lines.items():
                peak[0] = max(peak[0], (await held_by(pid, line)).tasks)
            await asyncio.sleep(0.5)


async def _held(running: Running) -> dict[int, Held]:
    """What each worker holds."""
    async with line_to_each_worker(running) as lines:
        return {pid: await held_by(pid, line) for pid, line in lines.items()}


async def _settled(running: Running, warm: dict[int, Held], kept: int, streams: int) -> list[str]:
    """Wait until each worker has let go of what it keeps for a while; gives what it does not."""
    deadline = time.monotonic() + RELEASE_S
    while True:
        found = _leaks(warm, await _held(running), kept, streams)
        if not found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.5)


def _leaks(warm: dict[int, Held], cold: dict[int, Held], kept: int, streams: int) -> list[str]:
    """What workers did not give back.

    ``kept`` are connections to companies' systems that may still be kept, and a stream to a bidder
    stays open for minutes after its last ping.
    """
    if warm.keys() != cold.keys():
        return [f"workers {sorted(warm)} became {sorted(cold)}"]
    found = []
    for pid, held in cold.items():
        base = warm[pid]
        most: dict[str, float] = {
            "files": base.files + kept + SLACK_FILES,
            "connections": base.connections + kept,
            "bidders": streams,
            "tasks": base.tasks + TASKS_OF_A_STREAM * streams + SLACK_TASKS,
            "memory_mb": base.memory_mb + MOST_GROWTH_MB,
            "asking": 0,
            "incidents": 0,
        }
        found += [
            f"worker {pid} holds {getattr(held, name)} {name}, {limit} at most were expected"
            for name, limit in most.items()
            if getattr(held, name) > limit
        ]
    return found
