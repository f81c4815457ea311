"""What the bench starts, and where: stores, workers, floors and the load, each on its core.

Servers under test share the first core, one of them loaded at a time; the load and the stores have
the second (or all others). Everything started here is stopped by its number, also on Ctrl-C.
"""

from __future__ import annotations

import asyncio
import os
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

from benchmarks.cores import affinity, choose_cores, pin
from benchmarks.processes import ORDER_S, Loader, Served
from benchmarks.seeding import database_url, make_market
from exchange.embedded import EmbeddedStores, StoreUrls
from exchange.settings import load_or_make_secrets

OPERATOR_KEY: Final = "ok_bench_0123456789abcdef"
_ROOT: Final = Path(__file__).parent.parent


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
        allowed = affinity()
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
        # A second Ctrl-C must not leave anything running; every stop has its bound.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            self._stack.close()
        finally:
            signal.signal(signal.SIGINT, before)

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


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
