"""One worker: an exchange and its HTTP server in one event loop, until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from typing import Final

import structlog
import uvloop

from exchange.app import Exchange
from exchange.buyers.addresses import check_url
from exchange.figures import figures_of
from exchange.flow.dialects import DialectDesk
from exchange.flow.faults import Unavailable
from exchange.serving.large_pages import ask_for_large_pages
from exchange.settings import Secrets, Settings, load_or_make_secrets, read_settings
from exchange.verticals_file import read_verticals
from exchange.web.calls import WebLimits
from exchange.web.metrics import Metrics
from exchange.web.server import WebServer

READY_VARIABLE: Final = "EXCHANGE_READY_FD"
"""Names the pipe on which a worker tells its parent that it listens."""

LAST_ANSWERS_S: Final = 1.0
"""What open requests get to be answered once every lead has ended or was given up."""

COLLECT_AFTER: Final = 20_000
"""New objects between two of the collector's rounds: those of some hundred pings."""

STORES_S: Final = 15.0
"""How long a starting worker waits for stores that are away. One that is started while they come
back must not end for it: the parent takes workers that keep ending for broken, and gives up."""

STORES_PAUSE_S: Final = 0.2
PARENT_CHECK_S: Final = 1.0
"""How often a worker looks whether its parent still lives."""

log = structlog.get_logger()


def run_worker() -> int:
    """Serve until SIGTERM or SIGINT, or until the parent is gone; gives the exit code."""
    settings = read_settings()
    set_up_logs(settings)
    uvloop.run(_serve(settings))
    return 0


def set_up_logs(settings: Settings) -> None:
    """Send structured lines to standard error, as JSON or for a terminal."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log.format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            getattr(logging, settings.log.level.upper())
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # What libraries say goes the same way, one line each.
    told = structlog.get_logger()
    logging.basicConfig(handlers=[_Passing(told)], level=logging.WARNING, force=True)


class _Passing(logging.Handler):
    """Passes what libraries log on to ours: never a traceback's values, only its place."""

    def __init__(self, told: structlog.typing.FilteringBoundLogger) -> None:
        super().__init__()
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        say = self._told.error if record.levelno >= logging.ERROR else self._told.warning
        say(
            record.getMessage(),
            library=record.name,
            error=None if error is None else type(error).__name__,
        )


def open_exchange(settings: Settings, secrets: Secrets) -> Exchange:
    """The exchange of these settings, not yet started. The store URLs must be in the settings."""
    if settings.stores.postgres_url is None or settings.stores.redis_url is None:
        raise ValueError("a worker needs the URLs of its stores")
    return Exchange(
        settings,
        secrets,
        read_verticals(settings.verticals),
        postgres_url=settings.stores.postgres_url,
        redis_url=settings.stores.redis_url,
    )


def web_limits(settings: Settings, secrets: Secrets, desk: DialectDesk | None = None) -> WebLimits:
    """The wire's bounds as the settings have them."""
    allow_private = settings.delivery.allow_private_addresses

    async def checked(url: str) -> str | None:
        return await check_url(url, allow_private=allow_private)

    return WebLimits(
        hash_key=secrets.hash_key,
        max_body_bytes=settings.http.max_body_bytes,
        max_upload_bytes=settings.suppression.max_upload_bytes,
        default_timeout_ms=settings.ping.default_timeout_ms,
        max_timeout_ms=settings.ping.max_timeout_ms,
        max_buyers=settings.ping.max_buyers,
        clock_skew_s=settings.ping.clock_skew_s,
        implausible_age_days=settings.ping.implausible_age_days,
        max_pings=settings.ping.max_inflight,
        max_asking=settings.ping.max_asking,
        max_posts=settings.post.max_inflight,
        min_bidder_ms=settings.bidding.least_ms,
        max_bulk_bytes=settings.returns.bulk_max_bytes,
        max_bulk_lines=settings.returns.bulk_lines,
        check_url=checked,
        desk=desk,
    )


async def _serve(settings: Settings) -> None:
    secrets = load_or_make_secrets(settings.stores.home, settings.secrets)
    exchange = await _start_exchange(settings, secrets)
    exchange.market.quote_all()
    _spare_the_collector()
    ask_for_large_pages()
    metrics = Metrics(lambda: figures_of(exchange))
    server = WebServer(exchange, web_limits(settings, secrets, exchange.desk), metrics, log)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    watcher = asyncio.create_task(_watch_parent(os.getppid(), stopping))
    try:
        port = await server.start(settings.http.host, settings.http.port, reuse_port=True)
        if not _tell_ready():
            stopping.set()
        log.info("listening", host=settings.http.host, port=port, worker=exchange.owner)
        await stopping.wait()
        log.info("draining", worker=exchange.owner, leads=exchange.posting.running)
        # New pings and posts are refused at once; open leads finish, or are given up and answered.
        server.drain()
        await exchange.drain()
        await server.stop(LAST_ANSWERS_S)
    finally:
        watcher.cancel()
        await exchange.stop()
    log.info("stopped", worker=exchange.owner)


async def _start_exchange(settings: Settings, secrets: Secrets) -> Exchange:
    """The exchange, started; raises Unavailable where a store stays away."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STORES_S
    while True:
        exchange = open_exchange(settings, secrets)
        try:
            await exchange.start()
        except Unavailable as error:
            await exchange.stop()
            if loop.time() >= deadline:
                raise
            log.warning("waiting for a store", error=str(error))
            await asyncio.sleep(STORES_PAUSE_S)
        else:
            return exchange


def _spare_the_collector() -> None:
    """Keep the market out of the garbage collector's rounds: it is large, and lives for ever.

    With ten thousand campaigns, walking over it took a third of a worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 50)


async def _watch_parent(parent_pid: int, stopping: asyncio.Event) -> None:
    """Stop when the parent dies: nobody would replace or stop this worker any more."""
    while os.getppid() == parent_pid:  # noqa: ASYNC110 - nothing tells of a parent's death
        await asyncio.sleep(PARENT_CHECK_S)
    log.warning("the parent process is gone")
    stopping.set()


def _tell_ready() -> bool:
    """Tell the parent that this worker listens; False if it died meanwhile."""
    if (descriptor := os.environ.get(READY_VARIABLE)) is not None:
        try:
            os.write(int(descriptor), b".")
        except BrokenPipeError:
            return False
        finally:
            os.close(int(descriptor))
    return True
