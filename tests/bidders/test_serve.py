"""The bidders' command line, as its own process."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from bidders.__main__ import main
from bidders.bad import MANNERS
from bidders.crm import Behaviour, crm_server
from bidders.kit import sign_headers
from tests.bidders.wire import a_lead, a_ping


@contextmanager
def serving(ready_file: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "bidders", "serve", "--port", "0", *options]
    process = subprocess.Popen(
        [*command, "--ready-file", str(ready_file)], stdout=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 10
        while not ready_file.exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_tells_its_urls_and_stops_cleanly_on_a_signal(
    tmp_path: Path, number: signal.Signals
) -> None:
    ready_file = tmp_path / "ready.json"
    with serving(ready_file) as process:
        ready = json.loads(ready_file.read_bytes())
        process.send_signal(number)
        printed, _ = process.communicate(timeout=2)
    assert process.returncode == 0
    lines = [line.split() for line in printed.splitlines() if line.startswith("  ")]
    assert {name: url for name, url, *does in lines if does and "/crm/" in url} == ready["crms"]
    told = [(name, url) for name, url, *_ in lines if "/crm/" not in url]
    assert told == [*ready["bidders"].items(), *ready["bad_bidders"].items()]
    assert ready["port"] > 0 and ready["crms"]["good"].startswith(ready["base_url"])
    assert not ready_file.exists()


def test_serve_stops_when_the_process_it_serves_is_gone(tmp_path: Path) -> None:
    served = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with serving(tmp_path / "ready.json", "--parent-pid", str(served.pid)) as process:
        assert process.poll() is None
        served.communicate(b"\n")
        assert process.wait(timeout=4) == 0


def test_serve_stops_when_its_own_parent_is_gone(tmp_path: Path) -> None:
    ready_file = tmp_path / "ready.json"
    starter = (
        "import os, subprocess, sys, time; from pathlib import Path\n"
        "subprocess.Popen([sys.executable, '-m', 'bidders', 'serve', '--port', '0',"
        " '--parent-pid', str(os.getpid()), '--ready-file', sys.argv[1]])\n"
        "while not Path(sys.argv[1]).exists(): time.sleep(0.02)\n"
    )
    subprocess.run(
        [sys.executable, "-c", starter, str(ready_file)],
        stdout=subprocess.DEVNULL,
        timeout=10,
        check=True,
    )
    deadline = time.monotonic() + 4
    while ready_file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_everything_serve_tells_of_is_there_and_bidders_verify(tmp_path: Path) -> None:
    ready_file = tmp_path / "ready.json"
    with serving(ready_file, "--secret", "xs_demo") as _:
        ready = json.loads(ready_file.read_bytes())
        assert ready["crms"].keys() == {"good", "slow", "failing", "refusing"}
        assert ready["bidders"].keys() == {"flat", "area", "paced"}
        assert ready["bad_bidders"].keys() == MANNERS.keys()
        body = json.dumps(a_ping()).encode()
        for url, price in zip(ready["bidders"].values(), (42.5, 55, 30), strict=True):
            assert post(url, body)[0] == 401
            status, bid = post(url, body, sign_headers("xs_demo", int(time.time()), body))
            assert (status, bid["price"]) == (200, price)
            leads = url.replace("/ping", "/leads")
            status, taken = post(leads, json.dumps(a_lead(token=bid.get("token"))).encode())
            assert (status, taken["status"]) == (200, "accepted")
        assert post(ready["bad_bidders"]["euro"], body)[1]["currency"] == "EUR"


def post(url: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    try:
        with urlopen(Request(url, body, headers or {}), timeout=5) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as fault:
        return fault.code, json.loads(fault.read())


async def test_serve_says_so_when_its_port_is_taken() -> None:
    async with crm_server(seed=7) as crm:
        command = [sys.executable, "-m", "bidders", "serve", "--port", str(crm.port)]
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        _, said = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 1
    assert b"cannot serve" in said and b"Traceback" not in said


@pytest.mark.parametrize(
    "option",
    [
        "--fail-rate=2",
        "--fail-rate=nan",
        "--refuse-rate=-1",
        "--slow-ms=-1",
        "--port=65535",
    ],
)
def test_serve_says_what_is_out_of_range(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "0", option]) == 2
    assert capsys.readouterr().err.startswith("bidders: ")


@pytest.mark.parametrize("option", ["--port=65536", "--bad-port=x", "--failure=418", "--pace=1"])
def test_serve_refuses_an_option_it_cannot_read(option: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["serve", "--port", "0", option])


@pytest.mark.parametrize(
    ("behaviour", "does"),
    [
        pytest.param(Behaviour(), "takes every lead", id="good"),
        pytest.param(Behaviour(delay_ms=400), "takes every lead, after 400 ms", id="slow"),
        pytest.param(
            Behaviour(fail_rate=0.25, refuse_rate=0.5),
            "fails 25% with 500, refuses 50% as duplicate, takes the rest",
            id="mixed",
        ),
        pytest.param(
            Behaviour(fail_rate=1, failure="hang", heals_after=2),
            "fails 100% with hang, 2 times each",
            id="healing",
        ),
    ],
)
def test_a_behaviour_is_told_in_words(behaviour: Behaviour, does: str) -> None:
    assert behaviour.does == does


def test_bidders_never_import_the_exchange() -> None:
    probe = "import sys, bidders.__main__; sys.exit('exchange' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", probe], env=os.environ, check=False).returncode == 0
    )
