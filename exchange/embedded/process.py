"""One server process: started here or found running, watched and stopped by its number.

A process number alone is no proof, since numbers are used again; a process is known by its number
and the moment it was born.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from exchange.embedded.accounts import Account

POLL_S = 0.02
# Asking the operating system about a process takes milliseconds; past this it is not going to.
_PS_DEADLINE_S = 5.0
# The kernel's own names for what a process was handed open.
_HANDED = Path("/proc/self/fd")
_ENVIRONMENT: Mapping[str, str] = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

# Given the name by which it is to call its folder, a program's command line.
Command = Callable[[str], Sequence[str]]


@dataclass(kw_only=True)
class Process:
    """A running server, our child or adopted from a supervisor that died."""

    pid: int
    born: str
    child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def is_running(self) -> bool:
        """Tell whether this very process still runs; a dead child is reaped on the way."""
        if self.child is not None:
            return self.child.poll() is None
        return birth(self.pid) == self.born

    def wait(self, patience_s: float) -> bool:
        """Wait until the process is gone, at most `patience_s` seconds; tell whether it is."""
        return wait_until(lambda: not self.is_running(), patience_s)

    def stop(self, steps: Sequence[tuple[signal.Signals, float]]) -> bool:
        """Send each signal in turn, giving the process its seconds after it; tell whether it went.

        `steps` holds (signal, patience in seconds), mildest first.
        """
        for number, patience_s in steps:
            if not self.is_running():
                return True
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return True
            if self.wait(patience_s):
                return True
        return not self.is_running()


def spawn(
    command: Command,
    *,
    account: Account | None,
    folder: Path,
    log_path: Path,
    environment: Mapping[str, str],
) -> Process:
    """Start a server on a folder, its output appended to `log_path`.

    `environment` is what it is told besides what every server is.

    The server gets a session of its own: Ctrl-C in a terminal reaches the exchange alone, which
    stops its stores when it no longer needs them.
    """
    with log_path.open("ab") as output, _entered(folder, account) as (name, kept):
        child = subprocess.Popen(
            command(name),
            cwd="/",
            env={**_ENVIRONMENT, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=kept,
            start_new_session=True,
            umask=0o077,
            user=account.user_id if account else None,
            group=account.group_id if account else None,
            extra_groups=[] if account else None,
        )
    return Process(pid=child.pid, born=birth(child.pid) or "", child=child)


def run_once(
    command: Command,
    *,
    account: Account | None,
    folder: Path,
    deadline_s: float,
    given: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a program on a folder to its end; raise `subprocess.TimeoutExpired` past its time."""
    with _entered(folder, account) as (name, kept):
        return subprocess.run(
            command(name),
            cwd="/",
            env=dict(_ENVIRONMENT),
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=deadline_s,
            pass_fds=kept,
            start_new_session=True,
            umask=0o077,
            user=account.user_id if account else None,
            group=account.group_id if account else None,
            extra_groups=[] if account else None,
            check=False,
        )


def find_running(pid: int, *, names: Sequence[str], folder: Path, mark: str) -> Process | None:
    """Find the server with this number, if it runs, is of these names and serves `folder`.

    It serves the folder when it stands in it, where both servers go at once. Where the system
    does not show that (another account's process, in a container), `mark` in its command line
    shows it.
    """
    born = birth(pid)
    if born is None:
        return None
    command = command_line(pid)
    program = os.path.basename(command.split(" ", 1)[0]).rstrip(":")
    if program not in names:
        return None
    try:
        is_ours = os.path.samefile(f"/proc/{pid}/cwd", folder)
    except OSError:
        is_ours = mark in command
    return Process(pid=pid, born=born) if is_ours else None


def birth(pid: int) -> str | None:
    """Return what tells this process from a later one of the same number; None if it is dead."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return _ask_ps(pid, "lstart") if not Path("/proc/self").exists() else None
    except ProcessLookupError:
        return None
    # The second field is the program's name in parentheses, which may itself hold any of these.
    fields = stat.rpartition(")")[2].split()
    state, threads, started_ticks = fields[0], int(fields[17]), fields[19]
    # Dead, but nobody waited for it yet; with threads left it still holds its files.
    is_dead = state in "ZX" and threads <= 1
    return None if is_dead else started_ticks


def command_line(pid: int) -> str:
    """Return the process's command line, its arguments parted by spaces; empty if it is dead."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return (_ask_ps(pid, "command") or "") if not Path("/proc/self").exists() else ""
    except ProcessLookupError:
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()


def wait_until(is_so: Callable[[], bool], patience_s: float) -> bool:
    """Ask until it is so, at most `patience_s` seconds; tell whether it came to be."""
    deadline_s = time.monotonic() + patience_s
    while not is_so():
        if time.monotonic() >= deadline_s:
            return False
        time.sleep(POLL_S)
    return True


def _ask_ps(pid: int, column: str) -> str | None:
    """Ask `ps`, where there is no /proc to read."""
    answer = subprocess.run(
        ["ps", "-ww", "-o", f"{column}=", "-p", str(pid)],
        capture_output=True,
        text=True,
        timeout=_PS_DEADLINE_S,
        check=False,
    )
    return answer.stdout.strip() or None


@contextlib.contextmanager
def _entered(folder: Path, account: Account | None) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Give the name by which a program of `account` reaches the folder, and what to hand it open.

    Another account may not be able to walk the path there, as below root's own home; the folder
    handed over open needs no path.
    """
    if account is None or not _HANDED.exists():
        yield str(folder), ()
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield str(_HANDED / str(handle)), (handle,)
    finally:
        os.close(handle)
