"""What a worker holds: open files, TCP connections, memory, tasks, and failures it counted.

Files, connections and memory are read from /proc, the rest from the worker's own metrics.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from tests.e2e.wire import Wire

INCIDENTS: Final = re.compile(r"^exchange_http_incidents_total\{.*\} (\S+)$", re.M)


class Held(Struct, frozen=True, kw_only=True):
    """What one worker holds, at one moment.

    ``connections`` are those over TCP that it opened itself. Neither they nor ``files`` count those
    to bidders, of which it keeps some for a while, and knows: ``bidders``.
    """

    files: int
    connections: int
    memory_mb: float
    tasks: int
    bidders: int
    asking: int
    incidents: int


async def held_by(pid: int, line: Wire) -> Held:
    """Look at a worker; ``line`` is a connection to it."""
    text = (await line.call("GET", "/metrics", None)).body.decode()
    sockets = _tcp_sockets(not_from=line.running.port)
    files = _files(pid)
    bidders = _figure(text, "exchange_bidders_connections")
    return Held(
        files=len(files) - bidders,
        # A bidder is counted from the moment it is dialled, before there is a socket.
        connections=max(sum(name in sockets for name in files) - bidders, 0),
        memory_mb=_resident_kb(pid) / 1024,
        tasks=_figure(text, "exchange_tasks"),
        bidders=bidders,
        asking=_figure(text, "exchange_pings_asking"),
        incidents=int(sum(float(count) for count in INCIDENTS.findall(text))),
    )


def _figure(text: str, name: str) -> int:
    found = re.search(rf"^{name} (\S+)$", text, re.M)
    assert found is not None, f"there is no {name}"
    return int(float(found[1]))


def _files(pid: int) -> list[str]:
    found = []
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.append(os.readlink(handle))
    return found


def _tcp_sockets(*, not_from: int) -> set[str]:
    """Every TCP socket but those of one port of ours, by the name it has among open files."""
    served = f":{not_from:04X}"
    found = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            rows = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
            for local, inode in ((row.split()[1], row.split()[9]) for row in rows):
                if not local.endswith(served):
                    found.add(f"socket:[{inode}]")
    return found


def _resident_kb(pid: int) -> int:
    found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.M)
    return int(found[1]) if found else 0
