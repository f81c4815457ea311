"""The guides for sellers, companies and the operator, run as they are printed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.guides import differences, read_blocks, walk
from tests.e2e.running import OPERATOR_KEY, Running, exchange_running

pytestmark = pytest.mark.e2e

DOCS = Path(__file__).parents[2] / "docs"
GUIDES = ("sellers.md", "companies.md", "operators.md")


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Running]:
    """An exchange as a reader starts it, but that it looks for alerts every second."""
    async with exchange_running(workers=2, given={"EXCHANGE_ALERTS_EVERY_S": "1"}) as running:
        yield running
        await running.check()


@pytest.mark.parametrize("name", GUIDES)
async def test_every_line_of_a_guide_does_what_the_guide_says(
    running: Running, tmp_path: Path, name: str
) -> None:
    blocks = read_blocks((DOCS / name).read_text("utf-8"))
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "URL": running.base_url,
        "EXCHANGE_HOME": str(running.home),
        "EXCHANGE_OPERATOR_KEY": OPERATOR_KEY,
    }

    walked = await walk(blocks, folder=tmp_path, environ=environ)

    refused = [
        f"{name}:{blocks[r.block - 1].line}: {r}"
        for r in walked.requests
        if not r.status.startswith(r.expected)
    ]
    assert not refused, "\n".join(refused)
    assert walked.code == 0, walked.said
    for number, block in enumerate(blocks, 1):
        if block.shown is not None:
            answer = walked.last_answer(number)
            found = differences(block.shown, answer)
            assert not found, f"{name}:{block.line}: {found} in {answer}"
