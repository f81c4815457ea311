"""Where contestants meet: the processes of a run, each on its cores, all stopped at its end.

A contestant's server has the server's core to itself while it is loaded; bidders and load share
the other. Everything started here ends with this process, however that ends (`leash`).
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import msgspec

from benchmarks.cores import affinity, choose_cores, pin
from benchmarks.peers.load import Checked, Fault, Order
from benchmarks.processes import READY_S, STOP_S, BenchFailed, Loader, Served, cpu_s_of
from benchmarks.running import Bench

ROOT: Final = Path(__file__).resolve().parents[2]
_FIRST_PORT: Final = 20_000
_LAST_PORT: Final = 32_000
"""Below the ports that outgoing connections are given on most systems."""

_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Listening(Served):
    """A server that says nothing of being ready: it is when its port takes a connection."""

    def await_ready(self) -> None:
        """Wait until it listens. Raises BenchFailed with its last words."""
        ends = time.monotonic() + READY_S
        while time.monotonic() < ends and self.is_alive:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise BenchFailed(f"it did not start: {last_words(self.log_path)}")


class Bidders:
    """Bidders as one process, a port each."""

    def __init__(self, process: subprocess.Popen[bytes], ports: range) -> None:
        self._process, self._ports = process, ports

    def urls(self, count: int, scheme: str, path: str) -> list[str]:
        """Where the first ``count`` of them are reached."""
        return [f"{scheme}://127.0.0.1:{port}{path}" for port in self._ports[:count]]

    def cpu_s(self) -> float:
        """Seconds of CPU used so far."""
        return cpu_s_of(self._process.pid)


class CheckingLoader(Loader):
    """The load whose answers are held against the price they must name."""

    def measure(self, order: Order) -> Checked:
        """Have a load made. Raises BenchFailed if there is no result."""
        result = msgspec.json.decode(self.carry_out(order), type=Checked | Fault)
        if isinstance(result, Fault):
            raise BenchFailed(result.why)
        return result


class Arena:
    """The run's processes and folder; a context manager."""

    def __init__(self) -> None:
        self.cores = choose_cores()
        self.folder = Path()
        self._stack = ExitStack()
        self._logs = 0
        self._bench: Bench | None = None
        self._next_port = _FIRST_PORT + os.getpid() % 5_000

    def __enter__(self) -> Self:
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        self._stack.callback(signal.signal, signal.SIGTERM, before)
        self.folder = Path(tempfile.mkdtemp(prefix="exchange-peers-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        allowed = frozenset(affinity())
        pin(0, self.cores.stores)
        self._stack.callback(pin, 0, allowed)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A second Ctrl-C must not leave anything running; every stop has its bound.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._stack.close()
        finally:
            signal.signal(signal.SIGINT, before)

    @property
    def exchange(self) -> Bench:
        """What runs exchanges, with stores that are started when first asked for."""
        if self._bench is None:
            bench = Bench()
            bench.cores = self.cores
            self._bench = self._stack.enter_context(bench)
        return self._bench

    def start_peer(
        self, command: Sequence[str], port: int, environment: Mapping[str, str]
    ) -> Listening:
        """Start a server on the server's core; it is not ready yet."""
        log_path = self._new_log()
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                _leashed(self.cores.server, command),
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        served = Listening(process, port, log_path, None)
        self._stack.callback(served.stop)
        return served

    def start_bidders(self, count: int, *, hang: int | None = None) -> Bidders:
        """Start bidders that speak HTTP, and wait for them; ``hang`` never answers."""
        ports = self._free_ports(count)
        hanging = [] if hang is None else [str(hang)]
        module = ["benchmarks.peers.bidders", str(count), str(ports[0]), *hanging]
        return self._await_bidders(module, ports)

    def start_stream_bidders(self, count: int, *, hang: int | None = None) -> Bidders:
        """Start bidders that hold bid streams too, and wait for them."""
        ports = self._free_ports(count)
        hanging = [] if hang is None else ["--hang", str(hang)]
        numbers = ["--count", str(count), "--port", str(ports[0]), *hanging]
        module = ["bidders", "fast", *numbers, "--parent-pid", str(os.getpid())]
        return self._await_bidders(module, ports)

    def start_loader(self) -> CheckingLoader:
        """Start the load's process."""
        process = self._start_on_load(["benchmarks.peers.load"], subprocess.PIPE, None)
        loader = CheckingLoader(process)
        self._stack.callback(loader.stop)
        return loader

    def _await_bidders(self, module: Sequence[str], ports: range) -> Bidders:
        log_path = self._new_log()
        with log_path.open("wb") as log:
            process = self._start_on_load(module, subprocess.DEVNULL, log)
        self._stack.callback(_stop, process)
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], READY_S)
        line = process.stdout.readline() if readable else b""
        if b"ready" not in line:
            raise BenchFailed(f"bidders did not start: {last_words(log_path)}")
        return Bidders(process, ports)

    def _start_on_load(
        self, module: Sequence[str], given: int, log: IO[bytes] | None
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            _leashed(self.cores.load, [sys.executable, "-m", *module]),
            cwd=ROOT,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )

    def _new_log(self) -> Path:
        self._logs += 1
        return self.folder / f"log-{self._logs}"

    def _free_ports(self, count: int) -> range:
        """Ports in a row that nothing listens on."""
        while self._next_port + count <= _LAST_PORT:
            ports = range(self._next_port, self._next_port + count)
            self._next_port += count
            if all(map(_is_free, ports)):
                return ports
        raise BenchFailed(f"no {count} free ports in a row below {_LAST_PORT}")


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def core_busy_s(cores: frozenset[int]) -> float:
    """Seconds these cores were busy since the machine started, whoever had them; 0 if unknown."""
    path = Path("/proc/stat")
    if not path.exists():
        return 0.0
    busy = 0
    for line in path.read_text().splitlines():
        name, _, rest = line.partition(" ")
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            # user nice system idle iowait irq softirq steal; guests are in user.
            user, nice, system, _, _, irq, softirq, steal = map(int, rest.split()[:8])
            busy += user + nice + system + irq + softirq + steal
    return busy / _TICKS


def last_words(log_path: Path) -> str:
    """The last line of a log that says something."""
    text = log_path.read_text(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _leashed(cores: frozenset[int], command: Sequence[str]) -> list[str]:
    numbers = ",".join(map(str, sorted(cores)))
    return [sys.executable, "-m", "benchmarks.peers.leash", numbers, *command]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
