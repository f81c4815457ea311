"""The processes of a bench: servers under test, and the load."""

from __future__ import annotations

import os
import select
import subprocess
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from benchmarks.load import Order, Posted
from benchmarks.returns import Returns
from exchange.bench.measured import Measured

READY_S: Final = 90.0
STOP_S: Final = 15.0
ORDER_S: Final = 180.0
"""Longest one measurement may take."""

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class BenchFailed(Exception):
    """The bench cannot go on; says why."""


class Served:
    """A server under test, as a process."""

    def __init__(
        self, process: subprocess.Popen[bytes], port: int, log_path: Path, ready: int | None
    ) -> None:
        self._process = process
        self._ready = ready
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
        return cpu_s_of(self.pid)

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
        return msgspec.json.decode(self.carry_out(order), type=Measured)

    def post(self, order: Order) -> Posted:
        """Have posts measured."""
        return msgspec.json.decode(self.carry_out(order), type=Posted)

    def returns(self, order: Order) -> Returns:
        """Have rejections measured."""
        return msgspec.json.decode(self.carry_out(order), type=Returns)

    def cpu_s(self) -> float:
        """Seconds of CPU it used so far."""
        return cpu_s_of(self._process.pid)

    def carry_out(self, order: Struct) -> bytes:
        """Send an order, and give the line it is answered with. Raises BenchFailed for none."""
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
            raise BenchFailed("the load failed; its last words are above")
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


def cpu_s_of(pid: int) -> float:
    """Seconds of CPU a process used so far, user and system, all threads."""
    fields = _proc(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()
