"""`exchange serve` as a process of its own, on its own home with its own embedded stores.

Only processes started here are ever signalled, each by its number.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import aiohttp
from msgspec import Struct

OPERATOR_KEY: Final = "ok_0123456789abcdef0123"
START_S: Final = 60.0
STOP_S: Final = 30.0
POLL_S: Final = 0.02
_ROOT: Final = Path(__file__).parents[2]
_SERVING: Final = re.compile(r"serving on (http://\S+) with")
_REQUEST_LIMIT: Final = aiohttp.ClientTimeout(total=5)


class Command(Struct, frozen=True, kw_only=True):
    """What a command of ours said, and the code it ended with."""

    code: int
    out: str
    err: str


async def until(is_so: Callable[[], bool | Awaitable[bool]], patience_s: float, what: str) -> None:
    """Ask until it is so; fails the test, saying for what it waited, past its time."""
    deadline = time.monotonic() + patience_s
    while True:
        answer = is_so()
        if answer if isinstance(answer, bool) else await answer:
            return
        assert time.monotonic() < deadline, f"waited {patience_s:g} s for {what}"
        await asyncio.sleep(POLL_S)


class Running:
    """One `exchange serve`, from its start to its end."""

    def __init__(self, home: Path, *, workers: int, port: int, given: dict[str, str]) -> None:
        self.home = home
        self.workers = workers
        self._environ = environ_of(given)
        self._folder = home.parent
        number = len(list(self._folder.glob("*.out")))
        self.out_path = self._folder / f"{number}.out"
        self.err_path = self._folder / f"{number}.err"
        self._arguments = [
            *("serve", "--home", str(home), "--port", str(port), "--workers", str(workers))
        ]
        self.base_url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._started: set[int] = set()

    async def start(self) -> None:
        """Start it and wait until every worker is ready."""
        self._spawn()
        try:
            await until(self._is_serving, START_S, "exchange serve")
            await until(self.is_ready, START_S, "/readyz")
            self._note_children()
        except BaseException:
            await self.end()
            raise

    def _spawn(self) -> None:
        with self.out_path.open("wb") as out, self.err_path.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "exchange", *self._arguments],
                cwd=_ROOT,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def _is_serving(self) -> bool:
        assert self.exit_code is None, self.said()
        found = _SERVING.search(self.out_path.read_text())
        self.base_url = found.group(1) if found else ""
        return found is not None

    async def is_ready(self) -> bool:
        """Tell whether all of as many connections as reach every worker are told "ready"."""
        self._note_children()
        try:
            async with aiohttp.ClientSession(timeout=_REQUEST_LIMIT) as session:
                for _ in range(4 * self.workers):
                    async with session.get(
                        f"{self.base_url}/readyz", headers={"Connection": "close"}
                    ) as answer:
                        if answer.status != 200:
                            return False
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False
        return True

    # --- what runs -------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The parent's number."""
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """What the parent ended with; None while it runs."""
        assert self._process is not None
        return self._process.poll()

    @property
    def port(self) -> int:
        """The port listened on."""
        return int(self.base_url.rpartition(":")[2])

    def worker_pids(self) -> list[int]:
        """The workers that live now."""
        return sorted(
            pid for pid in _children(self.pid) if b"exchange\0worker" in _command_line(pid)
        )

    @property
    def postgres_pid(self) -> int:
        """PostgreSQL's first process."""
        record = (self.home / "postgres" / "postmaster.pid").read_text()
        return abs(int(record.splitlines()[0]))

    @property
    def valkey_pid(self) -> int:
        """Valkey's process."""
        return int((self.home / "valkey" / "valkey.pid").read_text())

    def store_urls(self) -> tuple[str, str]:
        """Where PostgreSQL and Valkey are reached while this runs."""
        urls = json.loads((self.home / "running.json").read_text())
        return urls["postgres"], urls["redis"]

    def said(self) -> str:
        """All that parent and workers said so far, on both streams."""
        return self.out_path.read_text() + self.err_path.read_text()

    def logged(self, event: str) -> list[dict[str, object]]:
        """The log lines of this event."""
        lines = [
            json.loads(line)
            for line in self.err_path.read_text().splitlines()
            if line.startswith("{")
        ]
        return [line for line in lines if line.get("event") == event]

    # --- signals ---------------------------------------------------------------------------------

    def kill(self, pid: int) -> None:
        """`kill -9` one process of this exchange."""
        self._note_children()
        assert pid in self._started or pid == self.pid
        os.kill(pid, signal.SIGKILL)

    @asynccontextmanager
    async def frozen(self, pid: int) -> AsyncIterator[None]:
        """Hold one process of this exchange still meanwhile.

        A frozen parent replaces nothing, so that an absence can be seen; a frozen worker finds
        everything that was sent to it at once.
        """
        self._note_children()
        assert pid in self._started or pid == self.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the parent."""
        self._note_children()
        assert self._process is not None
        self._process.terminate()

    async def stopped(self, patience_s: float = STOP_S) -> int:
        """Wait for the parent's end; gives its code."""
        await until(lambda: self.exit_code is not None, patience_s, "the end of exchange serve")
        assert self.exit_code is not None
        return self.exit_code

    async def end(self) -> None:
        """Stop it, by force where asking does not help; nothing it started is left running."""
        if self._process is None:
            return
        self._note_children()
        if self.exit_code is None:
            self._process.terminate()
            with suppress(AssertionError):
                await self.stopped()
        if self.exit_code is None:
            self._process.kill()
            self._process.wait()
        for pid in self.left_running():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def left_running(self) -> set[int]:
        """Processes this exchange started that still live."""
        return {pid for pid in self._started if self._is_ours(pid)}

    def _note_children(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._started.update(_children(self.pid))
        with suppress(OSError, ValueError, IndexError):
            self._started.update({self.postgres_pid, self.valkey_pid} - {self.pid})

    def _is_ours(self, pid: int) -> bool:
        # A number may be used again: what runs under it must be one of the programs started here.
        line = _command_line(pid)
        return b"exchange\0worker" in line or any(
            name in line for name in (b"postgres", b"valkey-server", b"redis-server")
        )

    # --- connections -----------------------------------------------------------------------------

    def worker_serving(self, client_port: int) -> int | None:
        """The worker that holds the connection from this port of ours, as the kernel tells."""
        wanted = f"0100007F:{self.port:04X} 0100007F:{client_port:04X}"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if f"{fields[1]} {fields[2]}" == wanted:
                socket_name = f"socket:[{fields[9]}]"
                return next(
                    (pid for pid in self.worker_pids() if socket_name in _open_files(pid)), None
                )
        return None

    def requests_unread(self) -> int:
        """How many connections hold something that no worker has read yet."""
        local = f"0100007F:{self.port:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(
            row[1] == local and row[3] == "01" and int(row[4].partition(":")[2], 16) > 0
            for row in rows
        )

    async def command(self, *arguments: str, patience_s: float = 60.0) -> Command:
        """Run another command of ours on this home."""
        return await run_command(
            *arguments, "--home", str(self.home), environ=self._environ, patience_s=patience_s
        )

    async def check(self) -> str:
        """Run `exchange check`, which must find nothing; gives what it said."""
        checked = await self.command("check")
        assert checked.code == 0, checked.out + checked.err
        assert "sum 0.00" in checked.out, checked.out
        return checked.out


def environ_of(given: dict[str, str]) -> dict[str, str]:
    """The environment of an exchange under test: none of the caller's own settings."""
    inherited = {name: text for name, text in os.environ.items() if "EXCHANGE" not in name}
    return {
        **inherited,
        "EXCHANGE_OPERATOR_KEY": OPERATOR_KEY,
        "EXCHANGE_ALLOW_PRIVATE_ADDRESSES": "1",
        **given,
    }


async def run_command(
    *arguments: str, environ: dict[str, str], patience_s: float = 60.0
) -> Command:
    """Run `exchange` with arguments to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exchange", *arguments),
        cwd=_ROOT,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(patience_s):
            out, err = await process.communicate()
    except TimeoutError:
        process.terminate()
        await process.wait()
        raise
    assert process.returncode is not None
    return Command(code=process.returncode, out=out.decode(), err=err.decode())


@asynccontextmanager
async def temporary_home() -> AsyncIterator[Path]:
    """A home that does not exist yet, in a folder that is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="exchange-e2e-"))
    try:
        yield folder / "home"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def serving(
    home: Path, *, workers: int = 2, port: int = 0, given: dict[str, str] | None = None
) -> AsyncIterator[Running]:
    """An exchange that serves on this home."""
    running = Running(home, workers=workers, port=port, given=given or {})
    await running.start()
    try:
        yield running
    finally:
        await running.end()


@asynccontextmanager
async def exchange_running(
    *, workers: int = 2, given: dict[str, str] | None = None
) -> AsyncIterator[Running]:
    """An exchange that serves on a home of its own."""
    async with temporary_home() as home, serving(home, workers=workers, given=given) as running:
        yield running


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that is dead and not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _children(parent_pid: int) -> Iterable[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == parent_pid and fields[0] not in "ZX":
                    found.append(int(entry.name))
    return found


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _open_files(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(os.readlink(handle))
    return found
