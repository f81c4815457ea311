"""PostgreSQL in the home's `postgres` folder, on a private socket and no port.

Anyone who can enter the sockets' folder is let in without a password, and only our own account
(and root) can. The folder of data appears whole or not at all: it is made under another name and
renamed when it is complete.
"""

import functools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from exchange.embedded.faults import StoreFailed
from exchange.embedded.home import tail
from exchange.embedded.process import run_once, wait_until
from exchange.embedded.programs import PostgresPrograms, find_postgres
from exchange.embedded.server import Server, probe

_USER = "exchange"
_DATABASE = "exchange"
# Part of the socket's name; nothing listens on it.
_PORT = 5432
_CREATION_DEADLINE_S = 120.0
_REMOVAL_DEADLINE_S = 5.0
_DRAFT_PREFIX = "postgres.new-"
# postmaster.pid, by line: number, data folder, start, port, socket folder, address, memory, state.
_PID_LINE, _SOCKETS_LINE, _STATE_LINE = 0, 4, 7
# The first question of every client that wants TLS; any answer shows that sessions are served.
# https://www.postgresql.org/docs/current/protocol-message-formats.html, SSLRequest
_TLS_QUESTION = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")

# Small transactions that survive a power cut, on a machine shared with the exchange itself.
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "100",
    "shared_buffers": "128MB",
    # Compiling a query costs more than any of ours runs.
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_destination": "stderr",
    "logging_collector": "off",
}


class Postgres(Server):
    """The embedded PostgreSQL."""

    name = "postgres"
    program_names = ("postgres",)
    # Fast (clients are sent away), immediate (as after a crash), then none of its choice.
    stop_steps = (
        (signal.SIGINT, 30.0),
        (signal.SIGQUIT, 10.0),
        (signal.SIGKILL, 5.0),
    )
    _programs: PostgresPrograms

    @property
    def url(self) -> str:
        """A DSN for asyncpg and every other client built to libpq's rules."""
        return f"postgresql://{_USER}@/{_DATABASE}?host={quote(str(self.sockets))}&port={_PORT}"

    @property
    def _socket(self) -> Path:
        return self.sockets / f".s.PGSQL.{_PORT}"

    def _prepare(self) -> None:
        self._remove_drafts()
        major = self._data_major()
        self._programs = find_postgres(self._account, major)
        if major is None:
            self._log(f"making PostgreSQL's data folder, {self.folder}")
            self._create()

    def _data_major(self) -> int | None:
        """Read the version that made the data; None when there are no data yet."""
        try:
            return int((self.folder / "PG_VERSION").read_text())
        except FileNotFoundError:
            pass
        if not self.folder.exists():
            return None
        try:
            self.folder.rmdir()
        except OSError as fault:
            raise StoreFailed(
                f"{self.folder} holds something, but not PostgreSQL's data; move it away"
            ) from fault
        return None

    def _create(self) -> None:
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT_PREFIX, dir=self._home.folder))
        try:
            if self._account is not None:
                self._account.own(draft)
            options = ("--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions")
            access = ("--auth-local=trust", "--auth-host=reject", f"--username={_USER}")
            self._run("initdb", (*options, *access), draft)
            # A server for one user and no clients: the one way to a database without a client.
            given = f"create database {_DATABASE}\n"
            said = self._run("postgres", ("--single", "postgres"), draft, given=given)
            if "ERROR:" in said or "FATAL:" in said:
                raise StoreFailed(f"PostgreSQL did not make its database; it said:\n{tail(said)}")
            draft.rename(self.folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def _run(self, name: str, arguments: Sequence[str], draft: Path, *, given: str = "") -> str:
        program = str(self._programs.folder / name)
        try:
            answer = run_once(
                lambda folder: [program, arguments[0], "-D", folder, *arguments[1:]],
                account=self._account,
                folder=draft,
                deadline_s=_CREATION_DEADLINE_S,
                given=given,
            )
        except subprocess.TimeoutExpired as fault:
            raise StoreFailed(f"{name} took longer than {_CREATION_DEADLINE_S:.0f} s") from fault
        if answer.returncode != 0:
            raise StoreFailed(
                f"{name} failed (exit {answer.returncode}); it said:\n{tail(answer.stdout)}"
            )
        return answer.stdout

    def _remove_drafts(self) -> None:
        """Remove what a supervisor left that was killed while it made the data folder."""
        for draft in self._home.folder.glob(f"{_DRAFT_PREFIX}*"):
            self._log(f"removing an unfinished data folder, {draft}")
            # Its initdb may still be at work; without the folder it gives up.
            wait_until(functools.partial(_is_removed, draft), _REMOVAL_DEADLINE_S)

    def _command(self, folder: str) -> Sequence[str]:
        settings = {**_SETTINGS, "unix_socket_directories": str(self.sockets), "port": str(_PORT)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._programs.folder / "postgres"), "-D", folder, *options]

    def _record(self) -> list[str]:
        try:
            return (self.folder / "postmaster.pid").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def _recorded_pid(self) -> int | None:
        record = self._record()
        try:
            return abs(int(record[_PID_LINE]))
        except (IndexError, ValueError):
            return None

    def _is_ready(self, pid: int) -> bool:
        record = self._record()
        if len(record) <= _STATE_LINE or record[_PID_LINE] != str(pid):
            return False
        if record[_STATE_LINE].strip() != "ready" or record[_SOCKETS_LINE] != str(self.sockets):
            return False
        return probe(self._socket, _TLS_QUESTION) in (b"N", b"S")

    def _disown(self, pid: int) -> None:
        """Write our own number over a recorded one that is no server's any more.

        PostgreSQL would take another program of that number, or a dead one that nobody waits for,
        for a server and refuse to start; its own parent it takes for none. The rest of the record
        stays: by it PostgreSQL sees whether sessions of the dead server still use its memory, and
        that is what keeps the data whole.
        """
        record = self._record()
        path = self.folder / "postmaster.pid"
        draft = path.with_suffix(".new")
        draft.write_text("\n".join([str(os.getpid()), *record[_PID_LINE + 1 :]]) + "\n")
        draft.chmod(0o600)
        if self._account is not None:
            self._account.own(draft)
        draft.replace(path)
        # The same claim once more, beside the socket; there nothing but the number is in it.
        self._socket.with_name(self._socket.name + ".lock").unlink(missing_ok=True)

    def _is_passing(self, said: str) -> bool:
        # Sessions of a server that was killed notice within moments and leave.
        return "pre-existing shared memory block" in said


def _is_removed(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
