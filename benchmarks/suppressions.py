"""What decisions cost a ping: a million suppressed contacts, checks, demands and contracts.

`python -m benchmarks.suppressions` starts two exchanges on markets of the same size, fills a list
of one of them over the wire, and pings both by turns. With ``--decisions`` that one also counts the
pace of sources and contacts, refuses by quality and has demands on half of its campaigns; with
``--contracts`` it has contracts with quality tiers with a quarter of its companies. `fill` fills
alone, for other benches.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import http.client
import json
import time
from collections.abc import Iterator
from statistics import median
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import asyncpg
from redis.asyncio import from_url

from benchmarks.load import Order
from benchmarks.processes import Loader, Served
from benchmarks.running import OPERATOR_KEY, Bench
from benchmarks.seeding import SELLER_KEY

CAMPAIGNS: Final = 1_000
UPLOAD_S: Final = 600.0
"""Longest an upload may take."""

_LINES_AT_ONCE: Final = 10_000

DECISIONS: Final = {
    "EXCHANGE_QUALITY_REFUSE": "zip_state,timezone,impossible",
    "EXCHANGE_QUALITY_REFUSE_SCORE_BELOW": "20",
    "EXCHANGE_QUALITY_PINGS_PER_SOURCE_MINUTE": "1000000",
    "EXCHANGE_QUALITY_PINGS_PER_CONTACT_HOUR": "1000000",
}
"""All that is counted and looked at on a ping; bounds are such that no ping of the bench is
refused, as a refusal costs less than an auction."""

_DEMANDS: Final = """
update campaign set body = jsonb_set(
    body::jsonb, '{requires}',
    '{"min_score": 30, "place_consistent": true, "consent": ["trustedform_url"]}')::json
where hashtext(id) % 2 = 0
"""
_TERMS: Final = {"tiers": [{"min_score": 80, "multiply": 1.05}, {"min_score": 20}]}


def fill(url: str, key: str, company_id: str, contacts: int, *, kind: str = "phone") -> Any:
    """Replace a company's list by so many made-up contacts, over the wire; gives the answer.

    ``url`` is the exchange's, ``key`` an operator's or the company's. ``kind``: ``phone`` (numbers
    in clear), ``hash`` (phone hashes, named as such) or ``bare`` (hashes of which nothing is said,
    each kept under two keys). No bench's lead has one of them.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port or 80, timeout=UPLOAD_S
    )
    try:
        connection.request(
            "PUT",
            f"/v1/companies/{company_id}/suppressions",
            body=_lines(contacts, kind),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "text/csv"},
            encode_chunked=True,
        )
        answer = connection.getresponse()
        told = json.loads(answer.read())
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"the list was not taken: {told}")
    return told


def _lines(contacts: int, kind: str) -> Iterator[bytes]:
    # North American numbers no market of ours has: its leads' are drawn from +1 200 on, and begin
    # far below these for any seed in use.
    for first in range(0, contacts, _LINES_AT_ONCE):
        numbers = range(first, min(first + _LINES_AT_ONCE, contacts))
        yield "".join(_line(f"+1{9_990_000_000 - number}", kind) for number in numbers).encode()


def _line(phone: str, kind: str) -> str:
    if kind == "phone":
        return f"{phone}\n"
    digest = hashlib.sha256(phone.encode()).hexdigest()
    return f"phone,{digest}\n" if kind == "hash" else f"{digest}\n"


def measure(
    contacts: int, kind: str, rounds: int, seconds: float, *, decisions: bool, contracts: bool
) -> dict[str, Any]:
    """Fill one of two exchanges and ping both by turns."""
    with Bench() as bench:
        markets = [dict(bench.market(CAMPAIGNS)) for _ in range(2)]
        if decisions:
            markets[1] |= DECISIONS
            asyncio.run(_demand(markets[1]))
        workers = [bench.start_worker(market) for market in markets]
        for worker in workers:
            worker.await_ready()
        if contracts:
            asyncio.run(_contract(workers[1].url, markets[1]))
        found = _fill(workers[1], markets[1], contacts, kind)
        loader = bench.start_loader()
        rates = [[_rate(loader, worker, seconds) for worker in workers] for _ in range(rounds)]
        clean, said = bench.check(markets[1])
    bare, filled = (median(column) for column in zip(*rates, strict=True))
    return {
        **found,
        "pings_per_s_bare": round(bare),
        "pings_per_s_filled": round(filled),
        "ping_costs_times": round(median(a / b for a, b in rates), 3),
        "books_clean": clean,
        "books_said": said.strip(),
    }


def _fill(worker: Served, market: dict[str, str], contacts: int, kind: str) -> dict[str, Any]:
    company_id, memory_before = asyncio.run(_look(market))
    resident_before, began = worker.resident_mb(), time.monotonic()
    told = fill(worker.url, OPERATOR_KEY, company_id, contacts, kind=kind)
    seconds = time.monotonic() - began
    _, memory = asyncio.run(_look(market))
    return {
        "contacts": told["contacts"],
        "kind": kind,
        "upload_s": round(seconds, 1),
        "lines_per_s": round(told["lines"] / seconds),
        "worker_grew_mb": round(worker.resident_mb() - resident_before, 1),
        "fast_store_mb": round((memory[0] - memory_before[0]) / 1_000_000, 1),
        "postgres_mb": round((memory[1] - memory_before[1]) / 1_000_000, 1),
    }


async def _demand(market: dict[str, str]) -> None:
    """Let half of the campaigns demand something of a lead's quality."""
    connection = await asyncpg.connect(market["EXCHANGE_POSTGRES_URL"])
    try:
        await connection.execute(_DEMANDS)
    finally:
        await connection.close()


async def _contract(url: str, market: dict[str, str]) -> None:
    """Make contracts with quality tiers between the seller and a quarter of the companies."""
    connection = await asyncpg.connect(market["EXCHANGE_POSTGRES_URL"])
    try:
        seller_id = await connection.fetchval("select min(id) from seller")
        companies = await connection.fetch("select id from company order by id")
    finally:
        await connection.close()
    headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for row in companies[::4]:
            body = {"seller_id": seller_id, "company_id": row["id"], "terms": _TERMS}
            async with session.post(f"{url}/v1/contracts", json=body) as answer:
                if answer.status != 201:
                    raise RuntimeError(f"a contract was not taken: {await answer.text()}")


async def _look(market: dict[str, str]) -> tuple[str, tuple[int, int]]:
    """A company of a market, and the bytes its suppressed contacts take in both stores."""
    redis = from_url(market["EXCHANGE_REDIS_URL"])
    connection = await asyncpg.connect(market["EXCHANGE_POSTGRES_URL"])
    try:
        company_id = await connection.fetchval("select min(id) from company")
        size = await connection.fetchval("select pg_total_relation_size('suppression')")
        memory = (await redis.info("memory"))["used_memory"]
    finally:
        await connection.close()
        await redis.aclose()
    return company_id, (memory, size)


def _rate(loader: Loader, worker: Served, seconds: float) -> float:
    return loader.ping(Order(kind="ping", url=worker.url, key=SELLER_KEY, seconds=seconds)).ok_rate


def main() -> None:
    """Measure as the command line says, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=1_000_000)
    parser.add_argument("--kind", choices=("phone", "hash", "bare"), default="phone")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--decisions", action="store_true", help="with every other decision on")
    parser.add_argument("--contracts", action="store_true", help="with contracts that price")
    given = parser.parse_args()
    found = measure(
        given.contacts,
        given.kind,
        given.rounds,
        given.seconds,
        decisions=given.decisions,
        contracts=given.contracts,
    )
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
