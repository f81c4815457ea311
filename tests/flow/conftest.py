"""Fixtures for flows on real stores."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from exchange.embedded import StoreUrls
from tests.flow.market import Desk, fresh_database, open_desk


@pytest.fixture
async def database(stores: StoreUrls) -> AsyncIterator[str]:
    """The URL of an empty migrated database."""
    async with fresh_database(stores) as url:
        yield url


@pytest.fixture
async def desk(stores: StoreUrls, database: str) -> AsyncIterator[Desk]:
    """A worker on an empty market; ends with the stores agreeing to the cent."""
    async with open_desk(stores, database) as desk:
        yield desk
        checked = await desk.exchange.check()
        assert checked.findings == ()
