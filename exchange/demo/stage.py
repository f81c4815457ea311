"""Where the demo's month takes place: stores, a database and an exchange of its own.

Everything made here is gone at the end: the database, what is in Redis, the folder. What is in the
stores named in the settings already is not touched.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import asyncpg
import structlog
from msgspec.structs import replace
from redis.asyncio import from_url
from redis.exceptions import RedisError
from uuid_utils import uuid7

from exchange.app import Exchange
from exchange.demo.faults import DemoFailed
from exchange.embedded import EmbeddedStores, StoreUrls
from exchange.settings import PACKAGED_CONFIG, ContactKey, Secrets, Settings, StoreSettings
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_migrations import migrate
from exchange.stores.redis_mirror import channel_of
from exchange.verticals_file import read_verticals

CONNECT_S: Final = 5.0

_DATABASE: Final = re.compile(r"(?P<server>\w+://[^/?#]*)(/[^?#]*)?(?P<options>.*)")

SECRETS: Final = Secrets(
    operator_key="",
    contact_keys=(ContactKey(key_id=1, key=b"demo-contact-key" * 2),),
    hash_key=b"demo-hash-key-00" * 2,
    draw_key=b"demo-draw-key-00" * 2,
)
"""Nothing secret: the month's people are invented, and so that it is the same month every time."""


class MovedClock:
    """A clock that stands still until it is moved; never backwards."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        """The simulated present."""
        return self._now

    def move_to(self, moment: datetime) -> None:
        """Go forward to a moment."""
        self._now = max(self._now, moment)

    def forward(self, seconds: float) -> None:
        """Go forward by some seconds."""
        self._now += timedelta(seconds=seconds)


@contextmanager
def open_stores(stores: StoreSettings) -> Iterator[StoreUrls]:
    """The stores of the settings; embedded ones in a temporary folder where they name none."""
    if stores.postgres_url is not None and stores.redis_url is not None:
        yield StoreUrls(postgres=stores.postgres_url, redis=stores.redis_url)
        return
    home = Path(tempfile.mkdtemp(prefix="exchange-demo-"))
    try:
        with EmbeddedStores(home, log=lambda _: None) as embedded:
            yield StoreUrls(
                postgres=stores.postgres_url or embedded.urls.postgres,
                redis=stores.redis_url or embedded.urls.redis,
            )
    finally:
        shutil.rmtree(home, ignore_errors=True)


@asynccontextmanager
async def open_exchange(stores: StoreUrls, clock: MovedClock) -> AsyncIterator[Exchange]:
    """A started exchange on a new database, with the rules' own policy. Raises DemoFailed."""
    # The defaults whatever the settings say: what was published holds for them.
    settings = Settings()
    delivery = replace(settings.delivery, allow_private_addresses=True, backoff_ms=5)
    # A month of a simulated clock passes in seconds: what goes by a real one stays out of it.
    alerts = replace(settings.alerts, every_s=0)
    tests = replace(settings.connection_tests, every_min=0)
    settings = replace(settings, delivery=delivery, alerts=alerts, connection_tests=tests)
    verticals = read_verticals(PACKAGED_CONFIG / "verticals")
    async with _empty_redis(stores.redis), _new_database(stores.postgres) as postgres_url:
        exchange = Exchange(
            settings,
            SECRETS,
            verticals,
            postgres_url=postgres_url,
            redis_url=stores.redis,
            clock=clock,
        )
        try:
            await exchange.start()
            yield exchange
        finally:
            await exchange.stop()


@asynccontextmanager
async def _new_database(server_url: str) -> AsyncIterator[str]:
    """A migrated database of its own on the server, dropped at the end."""
    name = f"exchange_demo_{uuid7().hex}"
    url = url_of_database(server_url, name)
    try:
        server = await asyncpg.connect(server_url, timeout=CONNECT_S, command_timeout=30)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise DemoFailed(f"PostgreSQL does not answer ({type(error).__name__})") from None
    try:
        try:
            await server.execute(f"create database {name}")
        except asyncpg.InsufficientPrivilegeError:
            raise DemoFailed(
                "the demo makes a database of its own, and the role of EXCHANGE_POSTGRES_URL "
                "may not; grant it createdb, or unset the variable for an embedded server"
            ) from None
        try:
            postgres = Postgres(url, size=1)
            await postgres.start()
            try:
                await migrate(postgres)
            finally:
                await postgres.close()
            yield url
        finally:
            await server.execute(f"drop database {name} with (force)")
    finally:
        await server.close(timeout=CONNECT_S)


def url_of_database(server_url: str, name: str) -> str:
    """The URL of another database on the same server."""
    parts = _DATABASE.fullmatch(server_url)
    if parts is None:
        raise DemoFailed("the PostgreSQL URL is none of a server")
    return f"{parts['server']}/{name}{parts['options']}"


@asynccontextmanager
async def _empty_redis(url: str) -> AsyncIterator[None]:
    """Make sure that nobody else uses this Redis: it is emptied at the end."""
    redis = from_url(url, socket_timeout=CONNECT_S, socket_connect_timeout=CONNECT_S)
    try:
        try:
            listeners = dict(await redis.pubsub_numsub(channel_of(redis)))
            in_use = await redis.dbsize() or any(listeners.values())
        except RedisError as error:
            raise DemoFailed(f"Redis does not answer ({type(error).__name__})") from None
        if in_use:
            raise DemoFailed(
                "the Redis of EXCHANGE_REDIS_URL is in use, and the demo must not disturb it; "
                "name an empty one, or unset the variable for an embedded one"
            )
        try:
            yield
        finally:
            await redis.flushdb()
    finally:
        await redis.aclose()


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Keep the log to what is wrong with the exchange: the demo's failing CRMs are meant."""
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)
