"""The fault proxy's control over HTTP: what it does now, and what it is to do."""

from __future__ import annotations

import msgspec
from aiohttp import web

from bidders.proxy.faults import Faults
from bidders.proxy.proxy import FaultProxy

MAX_BODY_BYTES = 64 * 1024

_read_faults = msgspec.json.Decoder(Faults).decode


def control_app(proxy: FaultProxy) -> web.Application:
    """Make the application: GET and PUT /faults, DELETE /connections."""

    def tell() -> web.Response:
        told = {
            "faults": proxy.faults,
            "connections": proxy.connections,
            "counts": proxy.counts,
        }
        return web.Response(body=msgspec.json.encode(told), content_type="application/json")

    async def show(request: web.Request) -> web.Response:
        return tell()

    async def change(request: web.Request) -> web.Response:
        try:
            faults = _read_faults(await request.read())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            problem = {"title": "unreadable faults", "status": 422, "detail": str(fault)}
            return web.Response(
                status=422,
                body=msgspec.json.encode(problem),
                content_type="application/problem+json",
            )
        await proxy.set_faults(faults)
        return tell()

    async def reset(request: web.Request) -> web.Response:
        await proxy.reset_all()
        return tell()

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_get("/faults", show)
    app.router.add_put("/faults", change)
    app.router.add_delete("/connections", reset)
    return app
