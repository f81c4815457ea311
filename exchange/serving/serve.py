"""`exchange serve`: stores, schema, workers and perhaps the demo market, up and down in order."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType
from typing import Final

from exchange.demo.crms import start_crms
from exchange.demo.market import describe, open_market
from exchange.embedded import EmbeddedStores
from exchange.serving.parent import TICK_S, Workers
from exchange.serving.running import note_running, with_urls
from exchange.settings import Settings, load_or_make_secrets
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_migrations import migrate

Say = Callable[[str], None]

WATCH_STORES_S: Final = 0.5
"""How often the embedded stores are looked after."""


def serve(settings: Settings, *, demo_market: bool, say: Say) -> int:
    """Serve until SIGINT or SIGTERM. Raises ServeError or StoreFailed where that cannot go on."""
    stopping = _Stopping()
    with ExitStack() as stack:
        stack.enter_context(stopping)
        # The port first: a taken one is told before anything is made or started.
        workers = Workers(
            host=settings.http.host,
            port=settings.http.port,
            count=settings.http.workers,
            log=say,
        )
        embedded: EmbeddedStores | None = None
        if settings.stores.postgres_url is None or settings.stores.redis_url is None:
            say(f"starting PostgreSQL and Valkey in {settings.stores.home}")
            embedded = stack.enter_context(EmbeddedStores(settings.stores.home, log=say))
            settings = with_urls(settings, embedded.urls.postgres, embedded.urls.redis)
            stack.enter_context(note_running(settings))
        asyncio.run(_migrate(settings))
        secrets = load_or_make_secrets(settings.stores.home, settings.secrets)
        stack.callback(say, "stopped")
        stack.callback(workers.stop)
        workers.start(_environ(settings))
        base_url = f"http://{_reachable(settings.http.host)}:{workers.port}"
        say(f"serving on {base_url} with {settings.http.workers} worker(s); Ctrl-C stops it")
        if demo_market:
            crms = stack.enter_context(start_crms())
            market = asyncio.run(
                open_market(base_url, secrets.operator_key, crms, settings.stores.home)
            )
            say(describe(market, base_url))
        stack.callback(say, "stopping: open posts may finish")
        _watch(stopping, workers, embedded)
    return 0


def _watch(stopping: _Stopping, workers: Workers, embedded: EmbeddedStores | None) -> None:
    next_look = 0.0
    while not stopping.asked:
        workers.watch_once()
        if embedded is not None and time.monotonic() >= next_look:
            embedded.watch_once()
            next_look = time.monotonic() + WATCH_STORES_S
        time.sleep(TICK_S)


class _Stopping:
    """Remembers that a signal asked to stop; a second one interrupts whatever hangs."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> _Stopping:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


async def _migrate(settings: Settings) -> None:
    postgres = Postgres(settings.stores.postgres_url or "", size=1)
    await postgres.start()
    try:
        await migrate(postgres)
    finally:
        await postgres.close()


def _environ(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "EXCHANGE_POSTGRES_URL": settings.stores.postgres_url or "",
        "EXCHANGE_REDIS_URL": settings.stores.redis_url or "",
        "EXCHANGE_HOME": str(settings.stores.home),
    }


def _reachable(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
