"""The auction, written plainly: FastAPI in front, one aiohttp session behind.

BIDDERS (URLs, with commas between) says whom to ask for a price.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from auction import HEADERS, NoOffer, Offer, Ping, bid_request, decide, new_ping_id, read_bid
from fastapi import FastAPI

BIDDERS = os.environ["BIDDERS"].split(",")


@asynccontextmanager
async def session_for(app: FastAPI) -> AsyncIterator[None]:
    """One session for the life of the application, with as many connections as it takes."""
    connector = aiohttp.TCPConnector(limit=0, limit_per_host=0, keepalive_timeout=60)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),  # the auction's deadline covers every call
        headers=HEADERS,
    ) as session:
        app.state.session = session
        yield


app = FastAPI(lifespan=session_for, openapi_url=None)


async def ask(index: int, ping: Ping, ping_id: str) -> tuple[int, float] | None:
    """Ask one bidder. A bidder that fails costs only its own bid."""
    session: aiohttp.ClientSession = app.state.session
    try:
        async with session.post(BIDDERS[index], data=bid_request(ping, ping_id, index)) as answer:
            price = read_bid(answer.status, await answer.read())
    except (aiohttp.ClientError, ValueError, OSError):
        return None
    return None if price is None else (index, price)


@app.post("/v1/ping")
async def ping(ping: Ping) -> Offer | NoOffer:
    """Hold the auction: every bid that came before the deadline counts."""
    ping_id = new_ping_id()
    calls = [asyncio.create_task(ask(index, ping, ping_id)) for index in range(len(BIDDERS))]
    done, late = await asyncio.wait(calls, timeout=ping.timeout_ms / 1_000)
    for call in late:
        call.cancel()
    return decide(ping_id, [bid for call in done if (bid := call.result()) is not None])
