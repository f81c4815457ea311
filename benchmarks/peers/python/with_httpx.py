"""The auction, written plainly: FastAPI in front, an httpx client for each bidder behind.

A client each, and few idle connections, because a pool looks at every one of its connections for
every request.
BIDDERS (URLs, with commas between) says whom to ask for a price.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
from auction import HEADERS, NoOffer, Offer, Ping, bid_request, decide, new_ping_id, read_bid
from fastapi import FastAPI

BIDDERS = os.environ["BIDDERS"].split(",")
LIMITS = httpx.Limits(max_connections=512, max_keepalive_connections=8, keepalive_expiry=60)


@asynccontextmanager
async def clients_for(app: FastAPI) -> AsyncIterator[None]:
    """A client for each bidder, for the life of the application."""
    async with AsyncExitStack() as stack:
        app.state.clients = [
            await stack.enter_async_context(
                # No time-out of its own: the auction's deadline covers every call.
                httpx.AsyncClient(limits=LIMITS, timeout=None, headers=HEADERS, trust_env=False)
            )
            for _ in BIDDERS
        ]
        yield


app = FastAPI(lifespan=clients_for, openapi_url=None)


async def ask(index: int, ping: Ping, ping_id: str) -> tuple[int, float] | None:
    """Ask one bidder. A bidder that fails costs only its own bid."""
    client: httpx.AsyncClient = app.state.clients[index]
    try:
        answer = await client.post(BIDDERS[index], content=bid_request(ping, ping_id, index))
        price = read_bid(answer.status_code, answer.content)
    except (httpx.HTTPError, ValueError):
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
