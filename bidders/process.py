"""What the commands share as processes: ending with a signal or with another process; options."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
from typing import Final

PARENT_POLL_SECONDS: Final = 1.0


def watch_signals() -> asyncio.Event:
    """Have SIGINT and SIGTERM set the event given back; call it before telling that all is up."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


async def wait_for_end(stop: asyncio.Event, parent_pid: int | None) -> None:
    """Wait until told to stop or, if one is given, until a process is gone."""
    if parent_pid is None:
        await stop.wait()
        return
    # A child is told of its parent's end by getting another, even while the parent is a zombie.
    is_parent = os.getppid() == parent_pid
    while os.getppid() == parent_pid if is_parent else _is_alive(parent_pid):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), PARENT_POLL_SECONDS)
            return


def read_port(text: str) -> int:
    """Read a port from the command line; 0 is any free one."""
    port = int(text)
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError("must be from 0 to 65535")
    return port


def read_pid(text: str) -> int:
    """Read the id of one process from the command line."""
    pid = int(text)
    if pid < 1:  # 0 and below mean groups of processes
        raise argparse.ArgumentTypeError("must be at least 1")
    return pid


def write_address(host: str, port: int) -> str:
    """Write host and port as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is there, and somebody else's
    return True
