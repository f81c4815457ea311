"""What the guides for sellers, companies and the operator print, and the README's first sale, run.

The README comes last: its company meets nobody there who still bids for the same leads.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.guides import differences, read_blocks, walk
from tests.e2e.running import OPERATOR_KEY, Running, exchange_running

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
GUIDES = ("docs/operators.md", "docs/sellers.md", "docs/companies.md", "README.md#Sell a lead")
"""Files to be pasted from their beginning to their end, or one section of a file.

The operator's is the first on the exchange they share: it takes the first alert for its own.
"""


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
    blocks = read_blocks(_read(name))
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


def _read(name: str) -> str:
    path, _, heading = name.partition("#")
    text = (ROOT / path).read_text("utf-8")
    if not heading:
        return text
    begin = text.index(f"## {heading}\n")
    end = re.search(r"^## ", text[begin + 3 :], re.MULTILINE)
    assert end is not None
    # The lines before it stay, as empty ones, so that faults name the file's own.
    return "\n" * text.count("\n", 0, begin) + text[begin : begin + 3 + end.start()]
