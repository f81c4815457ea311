"""A run beside peers, with contestants that need no toolchain: real servers, real bidders."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.peers.arena import Arena
from benchmarks.peers.contestants import PlainPeer
from benchmarks.peers.findings import PeerFindings, PeerPlan
from benchmarks.peers.load import Order, carry_out
from benchmarks.peers.measure import Run, steps_of
from benchmarks.peers.toolchains import Ready, Unavailable
from benchmarks.processes import BenchFailed
from tests.benchmarks.tiny import Asked, answer_of, tiny_server

PLAN = PeerPlan(
    name="tiny",
    sizes=(1, 3),
    rounds=1,
    seconds=0.2,
    warmup_s=0.05,
    connections=(2,),
    trial_s=0.05,
    hang_size=3,
    hang_rounds=1,
    hang_seconds=0.8,
    # Ample for the bidders that answer, on a machine that runs other tests beside.
    hang_timeout_ms=250,
    hang_connections=64,
)


def small() -> Ready:
    command = (sys.executable, "-m", "tests.benchmarks.small_auction", "{port}")
    return Ready(command=command, made_of="aiohttp")


def that_ends() -> Ready:
    command = (sys.executable, "-c", "raise SystemExit('no such luck')")
    return Ready(command=command, made_of="nothing")


def that_cannot_be_had() -> Ready:
    raise Unavailable("no abacus on PATH")


@pytest.fixture(scope="module")
def found() -> PeerFindings:
    # Rounds as short as these are lost on a busy machine now and then: then the run is made again.
    for _ in range(4):
        result = run_once()
        answered = all(one.over_p50_us > -one.timeout_ms * 1_000 for one in result.hanging)
        if "small" not in result.out and answered:
            break
    return result


def run_once() -> PeerFindings:
    told: list[str] = []
    contestants = [
        PlainPeer("small", small),
        PlainPeer("ends", that_ends),
        PlainPeer("missing", that_cannot_be_had),
    ]
    with Arena() as arena:
        result = Run(arena, PLAN, contestants, told.append).measure()
        folder = arena.folder
    assert len(told) == steps_of(PLAN, len(contestants))
    assert not folder.exists()
    return result


def test_whoever_can_take_part_is_measured_with_each_number_of_bidders(
    found: PeerFindings,
) -> None:
    assert [(field.name, field.size) for field in found.fields] == [("small", 1), ("small", 3)]
    for field in found.fields:
        assert field.rate > 0
        assert field.cpu_us > 0
        assert field.right_share == 1.0


def test_whoever_cannot_take_part_is_left_out_and_the_run_says_why(found: PeerFindings) -> None:
    assert found.out["missing"] == "skipped: no abacus on PATH"
    assert "no such luck" in found.out["ends"]
    assert set(found.out) == {"missing", "ends"}


def test_bids_that_came_are_right_though_the_best_bidder_hangs(found: PeerFindings) -> None:
    [hanging] = found.hanging
    assert hanging.right_share == 1.0
    # Whoever waits for a bidder that hangs answers at the deadline, never before.
    assert hanging.over_p50_us >= -1_000


@pytest.fixture
def arena() -> Iterator[Arena]:
    with Arena() as arena:
        yield arena


def test_a_bidder_answers_whole_requests_however_they_are_cut(arena: Arena) -> None:
    bidders = arena.start_bidders(2)
    [_, url] = bidders.urls(2, "http", "/bid")
    port = int(url.split(":")[2].partition("/")[0])
    request = b'POST /bid HTTP/1.1\r\ncontent-length: 10\r\nHost: x\r\n\r\n{"a":"bc"}'
    with socket.create_connection(("127.0.0.1", port), 5) as line:
        for piece in (request[:20], request[20:-3], request[-3:] + request):
            line.sendall(piece)
            time.sleep(0.02)
        said = b""
        while said.count(b"}") < 2:
            said += line.recv(1_000)
    bodies = [part.partition(b"HTTP/")[0] for part in said.split(b"\r\n\r\n")[1:]]
    assert [json.loads(body) for body in bodies] == [{"price": 21.00, "currency": "USD"}] * 2


def test_a_bidder_that_hangs_takes_the_request_and_says_nothing(arena: Arena) -> None:
    bidders = arena.start_bidders(1, hang=0)
    [url] = bidders.urls(1, "http", "/bid")
    port = int(url.split(":")[2].partition("/")[0])
    with socket.create_connection(("127.0.0.1", port), 5) as line:
        line.sendall(b"POST /bid HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        line.settimeout(0.2)
        with pytest.raises(TimeoutError):
            line.recv(1)


def test_bidders_that_cannot_listen_are_told(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(Arena, "_free_ports", lambda _arena, count: range(port, port + count))
        with pytest.raises(BenchFailed, match="bidders did not start"):
            arena.start_bidders(1)


async def test_an_answer_with_another_price_is_not_right() -> None:
    said = [b'{"status":"offer","price":17.0}', b'{"status":"offer","price":16.99}',
            b'{"status":"no_offer"}', b"?"]  # fmt: skip

    async def serve(asked: Asked) -> bytes:
        return answer_of(200, said[asked.number % 4])

    with tiny_server(serve) as tiny:
        order = Order(
            url=tiny.url, key="k", price_cents=1_700, timeout_ms=400, connections=1,
            seconds=0.3, warmup_s=0.0,
        )  # fmt: skip
        checked = await carry_out(order)
    assert checked.right > 0
    assert set(checked.wrong) == {"price 1699", "no_offer", "unreadable"}
    assert all(json.loads(body)["timeout_ms"] == 400 for body in tiny.bodies)


def test_what_is_started_ends_with_whoever_started_it() -> None:
    """Killed, not stopped: no handler of the parent gets to run."""
    program = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'benchmarks.peers.leash', '0', 'sleep',"
        " '60'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    root = Path(__file__).resolve().parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    command = Path(f"/proc/{child}/comm")
    _wait_until(lambda: command.read_text() == "sleep\n")
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _wait_until(lambda: not _is_running(child))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie that nobody has collected yet runs no more.
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def _wait_until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.02)
