"""Fixtures for flows on real stores."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bidders.crm import CrmServer, crm_server
from exchange.embedded import StoreUrls
from tests.databases import fresh_database
from tests.flow.market import Desk, open_desk


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
        await desk.assert_clean()


@pytest.fixture
async def other(stores: StoreUrls, database: str, desk: Desk) -> AsyncIterator[Desk]:
    """A second worker on the desk's market, with the same clock."""
    async with open_desk(stores, database, clock=desk.clock) as other:
        yield other


@pytest.fixture
async def crm() -> AsyncIterator[CrmServer]:
    """A server of companies' systems, each as a test makes it."""
    async with crm_server(seed=7, behaviours={}) as server:
        yield server
