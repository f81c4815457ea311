"""An auction of a few lines in what the exchange installs anyway: the contestant of the tests.

`python -m tests.benchmarks.small_auction PORT`, with BIDDERS in the environment as the plain peers
have it. Refuses to start where there are none.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import aiohttp
from aiohttp import web


async def hold(request: web.Request) -> web.Response:
    """Ask everyone, and offer 85 % of the best bid that came before the deadline."""
    ping: dict[str, Any] = await request.json()
    session = request.app[_SESSION]

    async def ask(url: str) -> float:
        async with session.post(url, json={"attributes": ping["attributes"]}) as answer:
            return float((await answer.json())["price"])

    calls = [asyncio.create_task(ask(url)) for url in os.environ["BIDDERS"].split(",")]
    done, late = await asyncio.wait(calls, timeout=ping["timeout_ms"] / 1_000)
    for call in late:
        call.cancel()
    if not done:
        return web.json_response({"ping_id": "x", "status": "no_offer"})
    price = round(max(call.result() for call in done) * 0.85, 2)
    return web.json_response({"ping_id": "x", "status": "offer", "price": price})


_SESSION = web.AppKey("session", aiohttp.ClientSession)


async def build() -> web.Application:
    """The application with its session."""
    application = web.Application()
    application[_SESSION] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    application.router.add_post("/v1/ping", hold)
    return application


if __name__ == "__main__":
    if not os.environ.get("BIDDERS"):
        sys.exit("nobody to ask")
    web.run_app(build(), host="127.0.0.1", port=int(sys.argv[1]), print=None)
