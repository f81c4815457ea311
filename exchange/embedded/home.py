"""The folder an exchange keeps its stores in: its lock, its sockets and its logs.

lock       held while a supervisor uses the folder, freed by its death however it dies
postgres/  PostgreSQL's data
valkey/    Valkey's data
run/       the sockets; a link to a private temporary folder where this one cannot hold them
logs/      what the servers say
"""

import fcntl
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

from exchange.embedded.accounts import Account
from exchange.embedded.faults import StoreFailed

# A socket's whole path has about 104 bytes on the narrowest system; ours end in this at most.
_LONGEST_SOCKET_PATH_BYTES = 100
_LONGEST_SOCKET_NAME = "/.s.PGSQL.5432.lock"
# PostgreSQL reads its socket folders as a list: anything it would part or unquote is not for it.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._/-]+")
_LOG_LIMIT_BYTES = 10 * 1024 * 1024
_TAIL_LINES = 12
_TAIL_LIMIT_BYTES = 8 * 1024


def default_home() -> Path:
    """Return EXCHANGE_HOME, else the exchange's folder in the account's data folder."""
    named = os.environ.get("EXCHANGE_HOME")
    if named:
        return Path(named).expanduser().absolute()
    data = os.environ.get("XDG_DATA_HOME")
    # The XDG rule: a relative path there is to be ignored.
    base = Path(data) if data and os.path.isabs(data) else Path.home() / ".local" / "share"
    return base / "exchange"


class Home:
    """One home folder; made, private to its account, by `open`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().absolute()
        self._lock: int | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether this supervisor holds the folder."""
        return self._lock is not None

    def open(self) -> None:
        """Make the folder and take its lock; raise `StoreFailed` if another supervisor has it."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.folder / "logs").mkdir(mode=0o700, exist_ok=True)
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(lock)
            raise StoreFailed(
                f"another exchange (process {holder}) keeps its stores in {self.folder}; "
                "stop it, or set EXCHANGE_HOME to another folder for this one"
            ) from fault
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock

    def close(self) -> None:
        """Give up the lock; the file stays, so that all supervisors lock the same one."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def sockets(self, account: Account | None) -> Path:
        """Return the folder for the sockets, the one of earlier starts while it is still good."""
        run = self.folder / "run"
        if run.is_symlink():
            target = Path(os.readlink(run))
            if _is_private(target, account):
                return target
            run.unlink()
        if account is None and _holds_sockets(run):
            run.mkdir(mode=0o700, exist_ok=True)
            return run
        if run.exists():
            # Left by an earlier start under another account or at another path.
            shutil.rmtree(run)
        target = Path(tempfile.mkdtemp(prefix="exchange-", dir=_temporary_folder(account)))
        if account is not None:
            account.own(target)
        run.symlink_to(target)
        return target

    def forget_sockets(self) -> None:
        """Remove the sockets' temporary folder, if there is one, after a clean stop."""
        run = self.folder / "run"
        if run.is_symlink():
            shutil.rmtree(os.readlink(run), ignore_errors=True)
            run.unlink()

    def log_path(self, name: str) -> Path:
        """Return where the server of this name writes; a long log is set aside, replacing one."""
        path = self.folder / "logs" / f"{name}.log"
        if path.exists() and path.stat().st_size > _LOG_LIMIT_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path


def last_lines(path: Path, *, since_byte: int) -> str:
    """Return the last lines a server wrote to its log since `since_byte`, for a message."""
    try:
        with path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(since_byte, end - _TAIL_LIMIT_BYTES))
            text = log.read().decode(errors="replace")
    except OSError as fault:
        return f"(its log cannot be read: {fault})"
    return tail(text)


def tail(text: str) -> str:
    """Return the last lines of what a program said."""
    return "\n".join(text.strip().splitlines()[-_TAIL_LINES:]) or "(it said nothing)"


def _holds_sockets(run: Path) -> bool:
    longest = os.fsencode(str(run) + _LONGEST_SOCKET_NAME)
    is_short = len(longest) <= _LONGEST_SOCKET_PATH_BYTES
    return is_short and _PLAIN_PATH.fullmatch(str(run)) is not None


def _temporary_folder(account: Account | None) -> str:
    # Root's TMPDIR may be closed to others; /run is open to all, and emptied at every boot.
    return "/run" if account is not None and os.path.isdir("/run") else tempfile.gettempdir()


def _is_private(folder: Path, account: Account | None) -> bool:
    """Tell whether the folder is still there and nobody but the servers' account can enter."""
    try:
        state = folder.lstat()
    except FileNotFoundError:
        return False
    owner_id = account.user_id if account is not None else os.geteuid()
    return stat.S_ISDIR(state.st_mode) and state.st_uid == owner_id and not state.st_mode & 0o077
