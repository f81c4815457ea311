"""Where the stores of a home are: noted while an exchange serves there, so that `exchange check`
and its like can use them as they run.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from exchange.embedded import EmbeddedStores
from exchange.settings import Settings

_NOTE: Final = "running.json"


@contextmanager
def stores_of(settings: Settings) -> Iterator[Settings]:
    """The settings with the URLs of the stores: those given, those running, else started ones.

    Raises StoreFailed where embedded stores cannot be started.
    """
    stores = settings.stores
    if stores.postgres_url is not None and stores.redis_url is not None:
        yield settings
    elif (running := _urls_running(stores.home)) is not None:
        yield with_urls(settings, *running)
    else:
        with EmbeddedStores(stores.home) as embedded:
            yield with_urls(settings, embedded.urls.postgres, embedded.urls.redis)


@contextmanager
def note_running(settings: Settings) -> Iterator[None]:
    """Note the URLs of this home's stores for as long as they are served."""
    path = settings.stores.home / _NOTE
    urls = {"postgres": settings.stores.postgres_url, "redis": settings.stores.redis_url}
    path.write_text(json.dumps(urls))
    path.chmod(0o600)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def with_urls(settings: Settings, postgres: str, redis: str) -> Settings:
    """The settings with store URLs where none are given."""
    stores = settings.stores
    return replace(
        settings,
        stores=replace(
            stores,
            postgres_url=stores.postgres_url or postgres,
            redis_url=stores.redis_url or redis,
        ),
    )


def _urls_running(home: Path) -> tuple[str, str] | None:
    """The URLs noted in a home whose lock is held; a note left by a killed exchange is none."""
    try:
        lock = os.open(home / "lock", os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            urls = json.loads((home / _NOTE).read_text())
            return urls["postgres"], urls["redis"]
        except (FileNotFoundError, ValueError):
            return None
    finally:
        os.close(lock)
    return None
