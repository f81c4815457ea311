"""What the bidders' README prints works as printed: its bidder, its commands, its tables."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import signal
import socket
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

from bidders.__main__ import build_parser
from bidders.bad import MANNERS
from bidders.kit import sign, sign_headers
from bidders.reference import reference_bidders
from tests.bidders.wire import Json, a_lead, a_ping

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "bidders" / "README.md").read_text("utf-8")
SECRET = "xs_demo"

BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PYTHON = [text for tongue, text in BLOCKS if tongue == "python"]
CURLS = [text for tongue, text in BLOCKS if tongue == "sh" and "curl" in text]


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[str]]:
    path = {"PYTHONPATH": str(ROOT)}  # these bidders, and no others that are installed
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | path)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def call(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, Json | None]:
    try:
        with urlopen(Request(url, body, headers), timeout=5) as answer:
            said = answer.read()
            return answer.status, json.loads(said) if said else None
    except HTTPError as fault:
        return fault.code, json.loads(fault.read())


def signed(url: str, told: Json) -> tuple[int, Json | None]:
    body = json.dumps(told).encode()
    return call(url, body, sign_headers(SECRET, int(time.time()), body))


def test_the_bidder_of_twenty_lines_bids_passes_takes_refuses_and_verifies(tmp_path: Path) -> None:
    lines = [line for line in PYTHON[0].splitlines() if line.strip()]
    assert len(lines) <= 20
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = tmp_path / "my_bidder.py"
    program.write_text(PYTHON[0].replace("port=8070", f"port={port}"))
    base = f"http://127.0.0.1:{port}"
    with running(sys.executable, str(program)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"pings at {base}/ping\n"
        assert call(f"{base}/ping", b"{}", {})[0] == 401
        assert signed(f"{base}/ping", a_ping()) == (200, {"price": 55, "currency": "USD"})
        assert signed(f"{base}/ping", a_ping(attributes={"state": "NV"})) == (204, None)
        taken = (200, {"status": "accepted", "reference": "crm-l-1"})
        assert signed(f"{base}/leads", a_lead("d-1")) == taken
        assert signed(f"{base}/leads", a_lead("d-1")) == taken
        refused = (200, {"status": "rejected", "reason": "duplicate"})
        assert signed(f"{base}/leads", a_lead("d-2")) == refused
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0


def test_the_check_without_the_kit_agrees_with_the_signature() -> None:
    names: dict[str, Any] = {}
    exec(PYTHON[1], names)
    is_from_the_exchange, now = names["is_from_the_exchange"], int(time.time())
    good = f"v1={sign(SECRET, now, b'{}')}"
    assert is_from_the_exchange(SECRET, str(now), good, b"{}")
    assert not is_from_the_exchange(SECRET, str(now), good, b"{} ")
    assert not is_from_the_exchange("xs_other", str(now), good, b"{}")
    old = now - 400
    assert not is_from_the_exchange(SECRET, str(old), f"v1={sign(SECRET, old, b'{}')}", b"{}")


# What each line to be typed must say in its answer, in the README's order.
SAID = (
    ['"price":55.00'],
    ['"price":42.50'],
    ['"currency":"EUR"', '"price":42.50'],
    ['"trap":{"pings":0,'],
    ['"status":"accepted"'],
    ['"accepted":1', '"delivery_id":"d-1"', '"forgotten":1'],
    ['"heals_after":2'],
    [
        '"latency_ms":100',
        '"bytes_per_second":1000',
        '"cut_with":"reset"',
        '"mode":"black_hole"',
        '"connections":0',
        '"mode":"pass"',
    ],
)


def await_file(path: Path) -> Any:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return json.loads(path.read_bytes())


def type_in(text: str, ports: dict[str, str]) -> str:
    for printed, there in ports.items():
        text = text.replace(f":{printed}/", f":{there}/")
    done = subprocess.run(
        ["sh", "-eu", "-c", text], capture_output=True, text=True, timeout=20, check=True
    )
    return done.stdout


@pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("openssl")), reason="needs curl and openssl"
)
def test_every_line_to_be_typed_says_what_it_should(tmp_path: Path) -> None:
    us = (sys.executable, "-m", "bidders")
    plain, proving = tmp_path / "plain.json", tmp_path / "proving.json"
    with (
        running(*us, "serve", "--port", "0", "--ready-file", str(plain)),
        running(*us, "serve", "--port", "0", "--ready-file", str(proving), "--secret", SECRET),
        running(*us, "proxy", "--to", "127.0.0.1:9") as proxy,
    ):
        assert proxy.stdout is not None
        proxy.stdout.readline()
        control = proxy.stdout.readline().split()[1]
        ready, proven = await_file(plain), await_file(proving)
        ports = {
            "8090": str(ready["port"]),
            "8091": ready["bad_bidders"]["good"].split(":")[2].split("/")[0],
            "8096": control.split(":")[2].split("/")[0],
        }
        assert len(CURLS) == len(SAID)
        for text, said in zip(CURLS, SAID, strict=True):
            where = ports | ({"8090": str(proven["port"])} if "openssl" in text else {})
            answer = type_in(text, where)
            at = 0
            for expected in said:
                at = answer.find(expected, at)
                assert at >= 0, (text, expected, answer)


def test_every_command_printed_can_be_given() -> None:
    parser = build_parser()
    printed = re.findall(r"python -m bidders ([^`#\n]*)", README)
    given = [line.split() for line in printed]
    assert {line[0] for line in given} == {"serve", "fast", "proxy"}
    for line in given:
        if line != ["proxy"]:
            parser.parse_args(line)


def test_every_option_named_exists() -> None:
    known = set()
    for action in build_parser()._actions:
        for command in (action.choices or {}).values() if isinstance(action.choices, dict) else ():
            known |= {option for each in command._actions for option in each.option_strings}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) <= known


def test_the_tables_of_bidders_are_the_bidders_served() -> None:
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (.*) \|$", section("Bad bidders"), re.MULTILINE))
    assert {name: does.replace("`", "") for name, does in rows.items()} == {
        name: manner.does for name, manner in MANNERS.items()
    }
    names = re.findall(r"^\| `([\w-]+)` \|", section("Reference bidders"), re.MULTILINE)
    assert names == list(reference_bidders())


def section(heading: str) -> str:
    return README.partition(f"### {heading}\n")[2].partition("\n#")[0]


def test_what_tests_are_told_to_import_is_there() -> None:
    told = re.findall(r"async with (\w+)\(.*# from ([\w.]+)", PYTHON[2])
    assert len(told) == 4
    for name, module in told:
        assert hasattr(importlib.import_module(module), name)
