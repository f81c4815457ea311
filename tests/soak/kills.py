"""Posts under random kills: run it, let it settle, gather the evidence, give the verdict."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from msgspec import Struct

from tests.e2e.running import Running, exchange_running, until
from tests.e2e.wire import Json, Wire, line_to_each_worker
from tests.soak.books import open_leads, read_books
from tests.soak.checks import Evidence, violations
from tests.soak.companies import Returns
from tests.soak.killer import Killer
from tests.soak.market import PREPAID, SETTINGS, WAYS, SoakMarket, ping_body, soak_market
from tests.soak.sellers import Posted, Sellers

AT_ONCE: Final = 48
SETTLE_S: Final = 40.0
TELL_S: Final = 5.0
UNKNOWN_AFTER_S: Final = 5.0
"""An offer may be unknown that was made so shortly before Valkey's death (ARCHITECTURE)."""

_FAULTS: Final = (
    '"request failed"',
    '"bid_stream_failed"',
    "Traceback",
    "Task exception was never",
)

Say = Callable[[str], None]


class Report(Struct, frozen=True, kw_only=True):
    """What was done, and what was violated; nothing is a clean bill."""

    lines: tuple[str, ...]
    violations: tuple[str, ...]


async def soak_kills(
    *, posts: int, kills: int, seed: int, limit_s: float, say: Say, workers: int = 2
) -> Report:
    """Kill so often during so many posts; ends within ``limit_s``, or says that it did not."""
    began = time.monotonic()
    async with (
        exchange_running(workers=workers, given=SETTINGS) as running,
        Wire(running) as wire,
        soak_market(wire, seed) as market,
    ):
        sellers = Sellers(market, posts=posts, at_once=AT_ONCE, seed=seed)
        returns = Returns(market, seed)
        killer = Killer(running, market.hosts, seed)
        found: list[str] = []
        try:
            async with asyncio.timeout(limit_s):
                await _strike_amid_posts(sellers, returns, killer, posts, kills, say)
                found += await _judge(running, market, sellers, returns, killer)
        except (AssertionError, TimeoutError) as fault:
            found.append(f"{type(fault).__name__}: {fault}")
        found += [*sellers.violations, *returns.violations, *logged_faults(running)]
        setbacks = ", ".join(f"{n} {name}" for name, n in sellers.setbacks.most_common())
        killed = ", ".join(f"{n} {name}" for name, n in killer.killed.most_common())
        lines: tuple[str, ...] = (
            f"{sellers.answered} of {posts} posts answered in {time.monotonic() - began:.0f} s, "
            f"{len(returns.returned)} leads returned",
            f"killed: {killed}",
            f"sellers met: {setbacks or 'no setback'}",
            _outcomes(sellers.posted),
        )
        if found:
            lines += (f"the exchange said: {running.said()[-4_000:]}",)
        return Report(lines=lines, violations=tuple(found))


async def _strike_amid_posts(
    sellers: Sellers, returns: Returns, killer: Killer, posts: int, kills: int, say: Say
) -> None:
    telling = asyncio.create_task(_tell(sellers, killer, posts, kills, say))
    returning = asyncio.create_task(returns.run())
    selling = asyncio.create_task(sellers.run())
    try:
        await killer.run(kills, posts, lambda: sellers.begun, sellers.gate.open_to)
        sellers.gate.open_to(posts)
        await selling
    finally:
        for task in (telling, selling):
            task.cancel()
        await returns.stop(returning)
        await asyncio.gather(telling, selling, return_exceptions=True)


async def _tell(sellers: Sellers, killer: Killer, posts: int, kills: int, say: Say) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(TELL_S)
        say(
            f"{time.monotonic() - began:5.0f} s  {killer.killed.total():4} of {kills} kills  "
            f"{sellers.answered:6} of {posts} posts answered  "
            f"{sellers.setbacks.total():6} setbacks  {len(sellers.violations)} violations"
        )


async def _judge(
    running: Running, market: SoakMarket, sellers: Sellers, returns: Returns, killer: Killer
) -> list[str]:
    """Let everything come to rest, then look at it from outside and in the books."""
    await killer.all_back()
    url, _ = running.store_urls()

    async def is_settled() -> bool:
        return await open_leads(url) == 0

    await until(is_settled, SETTLE_S, "every lead to be finished")
    await sellers.repeat()
    await returns.repeat()
    found = violations(await _gather(running, market, sellers, returns))
    for one in sellers.posted:
        is_excused = any(
            -1.0 < died - one.pinged_at < UNKNOWN_AFTER_S for died in killer.valkey_deaths
        )
        if one.is_unknown and not is_excused:
            found.append(f"the offer of post {one.number} became unknown")
    checked = await running.command("check")
    if checked.code != 0:
        found.append(f"exchange check: {checked.out}{checked.err}")
    return found


async def _gather(
    running: Running, market: SoakMarket, sellers: Sellers, returns: Returns
) -> Evidence:
    wire = market.wire
    inboxes, balances, standings, seen, odd = {}, {}, {}, {}, {}
    for shop in market.shops:
        company = shop.account
        inboxes[company.id] = await wire.leads(company)
        balances[company.id] = (await wire.get(f"/v1/companies/{company.id}"))["balance"]
        standings[company.id] = await wire.standing(company)
        seen[company.id] = list(market.seen_by(shop))
        odd[company.id] = market.odd_requests(shop)
    return Evidence(
        posted=sellers.posted,
        returned=returns.returned,
        shops=market.shops,
        seen=seen,
        odd_requests=odd,
        inboxes=inboxes,
        balances=balances,
        deposits={s.account.id: Decimal(PREPAID) for s in market.shops if s.is_prepaid},
        standings=standings,
        rates=await _rates_at_workers(running, market),
        books=await read_books(running.store_urls()[0]),
    )


async def _rates_at_workers(running: Running, market: SoakMarket) -> dict[str, dict[int, str]]:
    """The exact rate each company's bids are weighed at, as receipts of every worker have it."""
    rates: dict[str, dict[int, str]] = defaultdict(dict)
    async with line_to_each_worker(running) as lines:
        for pid, line in lines.items():
            for way in WAYS:
                body = ping_body(way, 0, hashed=False, cascades=False)
                ping = (await line.ping(market.sellers[0], **body)).ok()
                receipt = await _receipt(line, ping["ping_id"])
                for candidate in receipt["candidates"]:
                    if "overall_ratio" in candidate:
                        rates[candidate["company_id"]][pid] = candidate["overall_ratio"]
    return rates


async def _receipt(wire: Wire, ping_id: str) -> Json:
    path = f"/v1/pings/{ping_id}"

    async def is_written() -> bool:
        return (await wire.call("GET", path)).status == 200

    await until(is_written, TELL_S, "a receipt to be written")
    return await wire.get(path)


def logged_faults(running: Running) -> list[str]:
    """Failures nobody foresaw: every incident that was logged, and every traceback."""
    # Not read as JSON: what a killed worker wrote last may have no end.
    lines = running.err_path.read_text().splitlines()
    return [line for line in lines if any(sign in line for sign in _FAULTS)]


def _outcomes(posted: list[Posted]) -> str:
    counts: dict[str, int] = defaultdict(int)
    for one in posted:
        if one.outcome is None:
            counts["unknown"] += 1
        elif one.outcome["status"] == "sold":
            counts["sold"] += 1
        else:
            counts[f"{one.outcome['status']}: {one.outcome['reason']['code']}"] += 1
    told = sorted(counts.items(), key=lambda pair: -pair[1])
    return "outcomes: " + ", ".join(f"{count} {name}" for name, count in told)
