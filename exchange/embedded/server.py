"""The life of one embedded server: adopted or launched, watched, stopped.

    start ─▶ one of ours on record? ─▶ serves? ─yes─▶ adopted
                     │no                  │no, stopped first
                     ▼                    ▼
                  launched ─▶ ready ─▶ running ─▶ stopped

What differs between the servers is in `postgres` and `valkey`.
"""

import signal
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from exchange.embedded.accounts import Account
from exchange.embedded.faults import StoreFailed
from exchange.embedded.home import Home, last_lines
from exchange.embedded.process import (
    POLL_S,
    Process,
    command_line,
    find_running,
    spawn,
    wait_until,
)

# Long enough for a recovery after a crash: both servers read their whole log before they serve.
START_DEADLINE_S = 120.0
# A server found running serves at once, unless it is about to leave or does not answer any more.
_ADOPTION_DEADLINE_S = 5.0
# A healthy server answers a probe within a millisecond.
_PROBE_DEADLINE_S = 2.0

StopSteps = Sequence[tuple[signal.Signals, float]]


class Server(ABC):
    """One server of one home; `start` and `stop` may be called again in turn."""

    name: str
    program_names: Sequence[str]
    # Signals, mildest first, with the seconds the server is given after each.
    stop_steps: StopSteps
    # What this kind of server is told by its environment.
    environment: Mapping[str, str] = {}

    def __init__(self, home: Home, account: Account | None, log: Callable[[str], None]) -> None:
        self._home = home
        self._account = account
        self._log = log
        self._process: Process | None = None
        self.folder = home.folder / self.name
        self.sockets = home.folder / "run"

    @property
    def pid(self) -> int | None:
        """The number of the running process; None before the start and after the stop."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Bring the server up and wait until it serves; raise `StoreFailed` if it does not."""
        self.sockets = self._home.sockets(self._account)
        self._prepare()
        self._process = self._adopt() or self._launch()

    def is_running(self) -> bool:
        """Tell whether the process lives; whether it is quick is for its clients to see."""
        return self._process is not None and self._process.is_running()

    def stop(self) -> None:
        """Stop the server cleanly, or by force when it does not leave in its time."""
        process, self._process = self._process, None
        if process is not None:
            self._end(process)

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients reach the server."""

    @property
    @abstractmethod
    def _socket(self) -> Path:
        """The socket the server is to listen on."""

    @abstractmethod
    def _prepare(self) -> None:
        """Find the program and make the data folder if there is none yet."""

    @abstractmethod
    def _recorded_pid(self) -> int | None:
        """Read the process number the server itself left in its data folder."""

    @abstractmethod
    def _is_ready(self, pid: int) -> bool:
        """Tell whether the server serves on our socket."""

    @abstractmethod
    def _command(self, folder: str) -> Sequence[str]:
        """Return the command line that serves the data folder, which goes by the name `folder`."""

    @abstractmethod
    def _disown(self, pid: int) -> None:
        """Make a record harmless whose process is not this server, or dead."""

    def _is_passing(self, said: str) -> bool:
        """Tell whether what a failed start said will be over soon."""
        return False

    def _adopt(self) -> Process | None:
        pid = self._recorded_pid()
        if pid is None:
            return None
        sockets = str(self.sockets)
        process = find_running(pid, names=self.program_names, folder=self.folder, mark=sockets)
        if process is None:
            self._disown(pid)
            return None
        # One that has lost its socket, or listens elsewhere, is not worth the wait.
        if sockets in command_line(pid) and self._socket.exists():
            self._await_ready(process, time.monotonic() + _ADOPTION_DEADLINE_S)
        if process.is_running() and self._is_ready(pid):
            self._log(f"{self.name} was still running as process {pid}; it stays")
            return process
        self._log(f"{self.name} was still running as process {pid} but does not serve; stopping it")
        self._end(process)
        return None

    def _launch(self) -> Process:
        log_path = self._home.log_path(self.name)
        deadline_s = time.monotonic() + START_DEADLINE_S
        while True:
            since_byte = log_path.stat().st_size if log_path.exists() else 0
            process = spawn(
                self._command,
                account=self._account,
                folder=self.folder,
                log_path=log_path,
                environment=self.environment,
            )
            try:
                is_up = self._await_ready(process, deadline_s)
            except BaseException:
                self._end(process)
                raise
            if is_up:
                self._log(f"{self.name} runs as process {process.pid}")
                return process
            said = last_lines(log_path, since_byte=since_byte)
            is_late = time.monotonic() >= deadline_s
            if is_late or not self._is_passing(said):
                self._end(process)
                fate = f"was not ready in {START_DEADLINE_S:.0f} s" if is_late else "did not start"
                raise StoreFailed(f"{self.name} {fate}; {log_path} ends:\n{said}")
            time.sleep(POLL_S * 10)

    def _await_ready(self, process: Process, deadline_s: float) -> bool:
        wait_until(
            lambda: self._is_ready(process.pid) or not process.is_running(),
            deadline_s - time.monotonic(),
        )
        return process.is_running() and self._is_ready(process.pid)

    def _end(self, process: Process) -> None:
        if not process.stop(self.stop_steps):
            raise StoreFailed(f"{self.name} (process {process.pid}) cannot be stopped")


def probe(socket_path: Path, question: bytes) -> bytes:
    """Ask a server one thing over its socket; return its answer, empty if it gives none in time."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(_PROBE_DEADLINE_S)
        try:
            line.connect(str(socket_path))
            line.sendall(question)
            return line.recv(64)
        except OSError:
            return b""
