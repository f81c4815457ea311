"""What the bench starts, and where: stores, workers, floors and the load, each on its core.

Servers under test share the first core, one of them loaded at a time; the load and the stores have
the second (or all others). Everything started here is stopped by its number, also on Ctrl-C.
"""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import msgspec
from msgspec import Struct

from benchmarks.load import Order, Posted
from benchmarks.returns import Returns
from benchmarks.seeding import database_url, make_market
from exchange.bench.load import Measured
from exchange.embedded import EmbeddedStores, StoreUrls
from exchange.settings import load_or_make_secrets

READY_S: Final = 90.0
STOP_S: Final = 15.0
ORDER_S: Final = 180.0
"""Longest one measurement may take."""

OPERATOR_KEY: Final = "ok_bench_0123456789abcdef"
_ROOT: Final = Path(__file__).parent.parent
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class BenchFailed(Exception):
    """The bench cannot go on; says why."""


class Cores(Struct, frozen=True, kw_only=True):
    """Which cores are for what; the same for all where there is but one."""

    server: frozenset[int]
    load: frozenset[int]
    stores: frozenset[int]

    @property
    def apart(self) -> bool:
        """Whether servers and load have cores of their own."""
        return self.server != self.load


def choose_cores() -> Cores:
    """Share out the cores this process may use."""
    cores = sorted(_affinity())
    if len(cores) < 2:
        return Cores(server=frozenset(cores), load=frozenset(cores), stores=frozenset(cores))
    rest = cores[2:] or cores[1:2]
    return Cores(server=frozenset(cores[:1]), load=frozenset(cores[1:2]), stores=frozenset(rest))


def pin(pid: int, cores: frozenset[int]) -> None:
    """Keep a process on its cores, where the system can."""
    if hasattr(os, "sched_setaffinity") and cores:
        os.sched_setaffinity(pid, cores)


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


class Served:
    """A server under test, as a process."""

    def __init__(
        self, process: subprocess.Popen[bytes], port: int, log_path: Path, ready: int
    ) -> None:
        self._process = process
        self._ready: int | None = ready
        self.port = port
        self.log_path = log_path

    def await_ready(self) -> None:
        """Wait until it listens. Raises BenchFailed with its last words."""
        if self._ready is None:
            return
        readable, _, _ = select.select([self._ready], [], [], READY_S)
        word = os.read(self._ready, 1) if readable else b""
        os.close(self._ready)
        self._ready = None
        if word != b".":
            raise BenchFailed(f"a server did not start:\n{self.log_path.read_text()}")

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def cpu_s(self) -> float:
        """Seconds of CPU it used so far, user and system, all threads."""
        fields = _proc(self.pid, "stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def resident_mb(self) -> float:
        """Memory it holds now, in MB of 10^6 bytes."""
        return int(_proc(self.pid, "statm").split()[1]) * _PAGE / 1_000_000

    def stop(self) -> None:
        """Ask it to stop, and kill it when it does not."""
        if self._ready is not None:
            os.close(self._ready)
            self._ready = None
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Loader:
    """The load's process: takes orders, gives results."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def ping(self, order: Order) -> Measured:
        """Have pings measured."""
        return msgspec.json.decode(self._carry_out(order), type=Measured)

    def post(self, order: Order) -> Posted:
        """Have posts measured."""
        return msgspec.json.decode(self._carry_out(order), type=Posted)

    def returns(self, order: Order) -> Returns:
        """Have rejections measured."""
        return msgspec.json.decode(self._carry_out(order), type=Returns)

    def _carry_out(self, order: Order) -> bytes:
        given, gives = self._process.stdin, self._process.stdout
        assert given is not None and gives is not None
        try:
            given.write(msgspec.json.encode(order) + b"\n")
            given.flush()
        except BrokenPipeError:
            raise BenchFailed("the load has ended; its last words are above") from None
        readable, _, _ = select.select([gives], [], [], ORDER_S)
        line = gives.readline() if readable else b""
        if not line:
            raise BenchFailed(f"the load failed at {order.kind} of {order.url}")
        return line

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Bench:
    """A home with stores in it, and the processes started beside them; a context manager."""

    def __init__(self) -> None:
        self.cores = choose_cores()
        self._stack = ExitStack()
        self._home = Path()
        self._urls: StoreUrls | None = None
        self._databases = 0
        self._logs = 0

    def __enter__(self) -> Self:
        # SIGTERM ends it as Ctrl-C does: with everything stopped.
        before = signal.signal(signal.SIGTERM, _interrupt)
        self._stack.callback(signal.signal, signal.SIGTERM, before)
        folder = tempfile.mkdtemp(prefix="exchange-bench-")
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        self._home = Path(folder) / "home"
        allowed = _affinity()
        # What is started now inherits this: the stores' processes, and later the load's.
        pin(0, self.cores.stores)
        self._stack.callback(pin, 0, frozenset(allowed))
        try:
            self._urls = self._stack.enter_context(EmbeddedStores(self._home)).urls
        except BaseException:
            self._stack.close()
            raise
        load_or_make_secrets(self._home)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def market(self, campaigns: int, *, returner: bool = False) -> dict[str, str]:
        """A database and a Valkey database of their own with a market; gives their variables."""
        assert self._urls is not None
        self._databases += 1
        name = f"bench_{self._databases}"
        url = asyncio.run(make_market(self._urls.postgres, name, campaigns, returner=returner))
        return {
            "EXCHANGE_POSTGRES_URL": url,
            "EXCHANGE_REDIS_URL": _redis_database(self._urls.redis, self._databases),
        }

    def check(self, market: Mapping[str, str]) -> tuple[bool, str]:
        """Run `exchange check` on a market; gives whether it is clean, and what was said."""
        done = subprocess.run(
            [sys.executable, "-m", "exchange", "check"],
            cwd=_ROOT,
            env=_environ({**market, "EXCHANGE_HOME": str(self._home)}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ORDER_S,
            check=False,
        )
        return done.returncode == 0, (done.stdout + done.stderr).decode()

    def floor_database(self) -> str:
        """The URL of a database for the floor's rows."""
        assert self._urls is not None
        return database_url(self._urls.postgres, "exchange")

    def start_worker(self, market: Mapping[str, str]) -> Served:
        """Start a worker of the exchange on a market; it is not ready yet (see `await_ready`)."""
        port = _free_port()
        return self._spawn(
            ["-m", "exchange", "worker"],
            port,
            {
                **market,
                "EXCHANGE_HOME": str(self._home),
                "EXCHANGE_OPERATOR_KEY": OPERATOR_KEY,
                "EXCHANGE_HTTP_PORT": str(port),
                "EXCHANGE_LOG_LEVEL": "warning",
            },
        )

    def start_floor(self, kind: str, postgres_url: str = "") -> Served:
        """Start a floor; it is not ready yet."""
        port = _free_port()
        return self._spawn(["-m", "benchmarks.floors", kind, str(port), postgres_url], port, {})

    def start_loader(self) -> Loader:
        """Start the load's process."""
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load"],
            cwd=_ROOT,
            env=_environ({}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        pin(process.pid, self.cores.load)
        loader = Loader(process)
        self._stack.callback(loader.stop)
        return loader

    def _spawn(self, arguments: list[str], port: int, given: dict[str, str]) -> Served:
        self._logs += 1
        log_path = self._home.parent / f"server-{self._logs}.log"
        reading, writing = os.pipe()
        log: IO[bytes]
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=_ROOT,
                env=_environ({**given, "EXCHANGE_READY_FD": str(writing)}),
                pass_fds=(writing,),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        os.close(writing)
        pin(process.pid, self.cores.server)
        served = Served(process, port, log_path, reading)
        self._stack.callback(served.stop)
        return served


def _environ(given: dict[str, str]) -> dict[str, str]:
    """None of the caller's own settings reach what is measured."""
    inherited = {name: text for name, text in os.environ.items() if "EXCHANGE" not in name}
    return {**inherited, **given}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _redis_database(url: str, number: int) -> str:
    before, _, query = url.partition("?")
    kept = [part for part in query.split("&") if part and not part.startswith("db=")]
    return f"{before}?{'&'.join([*kept, f'db={number}'])}"


def _proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
