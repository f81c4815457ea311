"""Valkey (or Redis) in the home's `valkey` folder, on a private socket and no port.

Every write goes to the append-only file, which reaches the disk once a second: what the exchange
keeps there is a fast copy, and a second of it can be made again from PostgreSQL.
"""

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from exchange.embedded.programs import find_valkey
from exchange.embedded.server import Server, probe

_RECORD = "valkey.pid"
_SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "everysec",
    # No snapshots beside the append-only file.
    "save": "",
    # A rewrite takes a core from the exchange for as long as it lasts: seldom, and without packing.
    "auto-aof-rewrite-min-size": "512mb",
    "rdbcompression": "no",
    # An offer that was given must not vanish: out of memory is an error, not a choice of keys.
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
    "pidfile": _RECORD,
}


class Valkey(Server):
    """The embedded Valkey."""

    name = "valkey"
    program_names = ("valkey-server", "redis-server")
    # Its answer to SIGTERM is to write everything down and leave.
    stop_steps = ((signal.SIGTERM, 20.0), (signal.SIGKILL, 5.0))
    # Built on the system's own malloc, it spends a third of its time there unless more of what it
    # frees is kept at hand: 512 pieces of each size, some 16 MB in all.
    environment: Mapping[str, str] = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=512"}
    _program: Path

    @property
    def url(self) -> str:
        """A URL for redis-py."""
        return f"unix://{quote(str(self._socket))}?db=0"

    @property
    def _socket(self) -> Path:
        return self.sockets / "valkey.sock"

    def _prepare(self) -> None:
        self._program = find_valkey(self._account)
        if not self.folder.exists():
            self.folder.mkdir(mode=0o700)
        if self._account is not None:
            self._account.own(self.folder)

    def _recorded_pid(self) -> int | None:
        try:
            return int((self.folder / _RECORD).read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _is_ready(self, pid: int) -> bool:
        # While it still reads its file it answers -LOADING.
        return probe(self._socket, b"PING\r\n").startswith(b"+PONG")

    def _disown(self, pid: int) -> None:
        """Leave the record: Valkey writes its own over it, and heeds none."""

    def _command(self, folder: str) -> Sequence[str]:
        settings = {**_SETTINGS, "dir": folder, "unixsocket": str(self._socket)}
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return [str(self._program), *options]
