"""The parent process: starts the stores and the workers, replaces what dies, stops in order.

Plain blocking code with one loop, so that nothing it watches can hang it.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

from exchange.serving.worker import READY_VARIABLE

READY_S: Final = 60.0
"""Longest a worker may take until it listens."""

STOP_S: Final = 10.0
"""Longest all workers may take to stop before they are killed."""

TICK_S: Final = 0.2
FAST_DEATHS: Final = 5
"""So many deaths of workers within `FAST_DEATHS_S` mean that replacing them does not help."""

FAST_DEATHS_S: Final = 30.0


class ServeError(Exception):
    """The exchange cannot be served; says why."""


class Workers:
    """The worker processes of one parent, all on one port."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        count: int,
        log: Callable[[str], None],
    ) -> None:
        self._count = count
        self._log = log
        self._host = host
        self._reserved = _reserve_port(host, port)
        self.port: int = self._reserved.getsockname()[1]
        self._environ: dict[str, str] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._deaths: list[float] = []
        self._awaited: list[int] = []

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers."""
        return [process.pid for process in self._processes]

    def start(self, environ: Mapping[str, str]) -> None:
        """Start every worker with these variables and wait until all listen. Raises ServeError."""
        self._environ = {
            **environ,
            "EXCHANGE_HTTP_HOST": self._host,
            "EXCHANGE_HTTP_PORT": str(self.port),
        }
        started = [self._spawn() for _ in range(self._count)]
        self._processes = [process for process, _ in started]
        for process, ready in started:
            self._await_ready(process, ready)

    def watch_once(self) -> None:
        """Replace workers that died. Raises ServeError when they die faster than that helps."""
        self._hear()
        for index, process in enumerate(self._processes):
            if process.poll() is None:
                continue
            now = time.monotonic()
            self._deaths = [at for at in self._deaths if now - at < FAST_DEATHS_S] + [now]
            if len(self._deaths) > FAST_DEATHS:
                raise ServeError("workers keep dying; their last words are above")
            self._log(f"worker {process.pid} ended with {process.returncode}; starting another")
            self._processes[index], ready = self._spawn()
            self._awaited.append(ready)

    def stop(self) -> None:
        """Let every worker drain, and kill those that take too long."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for process in self._processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._log(f"worker {process.pid} did not stop in time; killing it")
                process.kill()
                process.wait()
        self._reserved.close()

    def _spawn(self) -> tuple[subprocess.Popen[bytes], int]:
        reading, writing = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-m", "exchange", "worker"],
            env={**self._environ, READY_VARIABLE: str(writing)},
            pass_fds=(writing,),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(writing)
        return process, reading

    def _hear(self) -> None:
        """Close the pipes on which workers told that they listen, or ended.

        Not before: to a worker, a pipe that nobody reads tells that its parent is gone.
        """
        if self._awaited:
            for ready in select.select(self._awaited, [], [], 0)[0]:
                self._awaited.remove(ready)
                os.close(ready)

    def _await_ready(self, process: subprocess.Popen[bytes], ready: int) -> None:
        readable, _, _ = select.select([ready], [], [], READY_S)
        word = os.read(ready, 1) if readable else b""
        os.close(ready)
        if word != b".":
            process.poll()
            raise ServeError("a worker did not start; its last words are above")


def _reserve_port(host: str, port: int) -> socket.socket:
    """Hold a port without listening, so that workers come and go on one and the same."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if port:
        _refuse_taken(family, host, port)
    held = socket.socket(family, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        held.bind((host, port))
    except OSError as error:
        held.close()
        raise ServeError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return held


def _refuse_taken(family: socket.AddressFamily, host: str, port: int) -> None:
    """Another exchange on the same port would silently share it: refuse that."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServeError(
                f"cannot listen on {host}:{port}: {error.strerror}; "
                "stop what listens there, or choose another with --port"
            ) from None
