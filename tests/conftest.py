"""What every test can ask for: real stores, one pair for each pytest worker process."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.embedded import EmbeddedStores, StoreUrls
from tests.databases import drop_spares

SHARED = frozenset({"running", "home_and_run", "found", "kept", "seed"})
"""Fixtures that take seconds, one for a module: its tests run on one worker, to make one only."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests that share what is dear together; groups begin first, single tests fill in."""
    for item in items:
        if isinstance(item, pytest.Function) and not SHARED.isdisjoint(item.fixturenames):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(scope="session")
def stores() -> Iterator[StoreUrls]:
    """Give PostgreSQL and Valkey: those named in the environment, else new embedded ones.

    Named stores must be there for the tests alone: they are written to and emptied.
    """
    postgres = os.environ.get("EXCHANGE_TEST_POSTGRES_URL")
    redis = os.environ.get("EXCHANGE_TEST_REDIS_URL")
    if postgres and redis:
        yield StoreUrls(postgres=postgres, redis=redis)
        asyncio.run(drop_spares(postgres))
        return
    home = Path(tempfile.mkdtemp(prefix="exchange-tests-"))
    try:
        with EmbeddedStores(home) as embedded:
            urls = embedded.urls
            yield StoreUrls(postgres=postgres or urls.postgres, redis=redis or urls.redis)
        if postgres:
            asyncio.run(drop_spares(postgres))
    finally:
        shutil.rmtree(home, ignore_errors=True)
