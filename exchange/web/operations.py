"""Calls about the exchange itself: health, readiness, metrics, the document, the verticals."""

from __future__ import annotations

from exchange import __version__
from exchange.web.calls import Call, Reply
from exchange.web.market_codec import show_vertical
from exchange.web.wire import JSON
from exchange.web.wire_accounts import Health, Index, VerticalList


async def health(_call: Call) -> Health:
    """Say that this worker answers; it does so while draining too."""
    return Health(status="ok")


async def ready(call: Call) -> Reply:
    """Say whether this worker takes pings and posts, or what it waits for."""
    waiting_for = call.site.waiting_for()
    answer = Health(status="not_ready" if waiting_for else "ready", waiting_for=waiting_for)
    return Reply(JSON.encode(answer), 503 if waiting_for else 200)


async def metrics(call: Call) -> Reply:
    """Write this worker's metrics for Prometheus."""
    metrics = call.site.metrics
    return Reply(metrics.write(), content_type=metrics.content_type)


async def document(call: Call) -> Reply:
    """Give the OpenAPI document of every call."""
    return Reply(call.site.document())


async def index(call: Call) -> Index:
    """Say what this is, and where its document is."""
    return Index(
        name="exchange",
        version=__version__,
        document="/openapi.json",
        calls=call.site.calls,
    )


async def list_verticals(call: Call) -> VerticalList:
    """List the verticals traded here, with their attributes and bounds."""
    verticals = call.site.doors.market.verticals
    return VerticalList(items=tuple(show_vertical(v) for _, v in sorted(verticals.items())))
