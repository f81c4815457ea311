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

import pytest

from bidders.crm import crm_server


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
    assert dict(line.split() for line in printed.splitlines()) == ready["crms"]
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
        "--port=65536",
        "--failure=418",
    ],
)
def test_serve_refuses_an_option_out_of_range(option: str) -> None:
    command = [sys.executable, "-m", "bidders", "serve", "--port", "0", option]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 2
    assert done.stderr and "Traceback" not in done.stderr


def test_bidders_never_import_the_exchange() -> None:
    probe = "import sys, bidders.__main__; sys.exit('exchange' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", probe], env=os.environ, check=False).returncode == 0
    )
