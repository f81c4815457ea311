"""`exchange serve --demo-market`: what it prints works as pasted, and lasts over a restart."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec import Struct

from exchange.demo.faults import DemoFailed
from exchange.demo.market import open_market
from exchange.demo.market_file import read_market_file

START_S: Final = 60
STOP_S: Final = 20
CRMS: Final = {name: "http://127.0.0.1:8090/" for name in ("good", "slow", "failing", "refusing")}


class Served(Struct):
    """A running demo market: its guide and what is kept of it."""

    guide: str
    home: Path

    @property
    def kept(self) -> dict[str, Any]:
        kept: dict[str, Any] = json.loads((self.home / "demo_market.json").read_text())
        return kept

    def paste(self) -> list[Any]:
        """Run the guide's lines in a plain shell; gives the answers."""
        lines = [line for line in self.guide.splitlines() if re.match("[A-Z_]+=|curl ", line)]
        done = subprocess.run(
            ["sh", "-eu"], input="\n".join(lines), capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0 and not done.stderr, done
        return [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def served(home: Path) -> Iterator[Served]:
    """Serve the demo market on a home, until the context ends."""
    given = {k: v for k, v in os.environ.items() if not k.startswith("EXCHANGE_")}
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "exchange", "serve", "--demo-market"),
            *("--port", "0", "--home", str(home)),
        ],
        env={**given, "EXCHANGE_ALLOW_PRIVATE_ADDRESSES": "1", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    ended = False
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "/standing" in line:
                break
        else:
            _, wrong = process.communicate(timeout=START_S)
            pytest.fail(f"it did not open: {''.join(said)}{wrong}")
        yield Served("".join(said), home)
        ended = True
    finally:
        process.send_signal(signal.SIGINT)
        _, wrong = process.communicate(timeout=STOP_S)
        if ended:
            assert process.returncode == 0, wrong


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="exchange-market-"))
    yield folder / "home"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="the guide's lines need curl")
def test_the_guide_works_as_pasted_and_the_market_lasts_over_a_restart(home: Path) -> None:
    with served(home) as market:
        offer, sale, receipt, lead, rejection, standing = market.paste()
        assert offer["status"] == "offer" and sale["status"] == "sold"
        assert sale["price"] == offer["price"] == receipt["price"]
        assert any(candidate["outcome"] == "won" for candidate in receipt["candidates"])
        assert lead["lead_id"] == sale["lead_id"] == rejection["lead_id"]
        assert lead["contact"]["first_name"] == "Ada" and lead["price"] > offer["price"]
        assert rejection["reason"] == "invalid_contact"
        assert 0 < standing["overall_pct"] == rejection["standing"]["overall_pct"] < 10
        again = market.paste()
        assert again[0]["price"] < offer["price"], "a returned lead lowers the next price"
        assert again[1]["status"] == "sold"
        first = market.kept
        mode = stat.S_IMODE((home / "demo_market.json").stat().st_mode)
        assert mode == 0o600

    lost = "Desert Sun Solar"
    changed = {**first["companies"], lost: {**first["companies"][lost], "api_key": "ck_lost"}}
    (home / "demo_market.json").write_text(json.dumps({**first, "companies": changed}))
    with served(home) as market:
        second = market.kept
        assert second["seller"] == first["seller"]
        assert second["campaigns"]["Sunny Roofs"] == first["campaigns"]["Sunny Roofs"]
        assert second["companies"][lost]["id"] != first["companies"][lost]["id"]
        del second["companies"][lost], first["companies"][lost]
        assert second["companies"] == first["companies"]
        # The CRMs listen elsewhere now; the campaigns have followed them.
        assert market.paste()[1]["status"] == "sold"


@asynccontextmanager
async def answering(status: int, body: str) -> AsyncIterator[str]:
    """An exchange that gives every call the same answer."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, '{"detail":"This key is not known."}', "with 401: This key is not known."),
        (
            422,
            '{"code":"url_refused","detail":"It is private.","field":"delivery[0].url"}',
            r"It is private. \(delivery\[0\].url\).*EXCHANGE_ALLOW_PRIVATE_ADDRESSES=1",
        ),
        (502, "<html>", "with something else than JSON"),
    ],
    ids=["a wrong operator key", "private addresses", "no exchange"],
)
async def test_what_the_exchange_refuses_is_told(
    tmp_path: Path, status: int, body: str, told: str
) -> None:
    async with answering(status, body) as base_url:
        with pytest.raises(DemoFailed, match=f"^POST /v1/sellers .*{told}"):
            await open_market(base_url, "ok", CRMS, tmp_path)
    assert not (tmp_path / "demo_market.json").exists()


async def test_an_exchange_that_is_not_there_is_told(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(DemoFailed, match=f"{base_url} does not answer"):
            await open_market(base_url, "ok", CRMS, tmp_path)


async def test_a_new_market_is_kept_as_soon_as_its_first_account_is_made(tmp_path: Path) -> None:
    body = '{"id":"s-1","api_key":"sk_1"}'
    async with answering(200, body) as base_url:
        with pytest.raises(KeyError):
            await open_market(base_url, "ok", CRMS, tmp_path)
    kept = json.loads((tmp_path / "demo_market.json").read_text())
    seller = {"name": read_market_file().seller, "id": "s-1", "api_key": "sk_1"}
    assert kept["seller"] == seller
