"""Fixtures for the exchange from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bidders.crm import CrmServer, crm_server
from tests.e2e.running import Running, exchange_running
from tests.e2e.wire import Wire


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Processes are looked up and told apart by /proc; without it none of these can run."""
    if not Path("/proc/self/stat").exists():
        for item in items:
            if item.get_closest_marker("e2e") is not None:
                item.add_marker(pytest.mark.skip(reason="needs /proc"))


@pytest.fixture
async def crm() -> AsyncIterator[CrmServer]:
    """The companies' systems, under the test's own eyes."""
    async with crm_server(seed=7) as server:
        yield server


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Running]:
    """An exchange of two workers, one for all tests of a module; its books end clean."""
    async with exchange_running(workers=2) as running:
        yield running
        await running.check()


@pytest.fixture
async def wire(running: Running) -> AsyncIterator[Wire]:
    """Calls to the module's exchange, spread over its workers."""
    async with Wire(running) as wire:
        yield wire
