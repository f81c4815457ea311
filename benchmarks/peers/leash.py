"""Runs a program that ends when whoever started it does, on the cores it is given.

`python -m benchmarks.peers.leash CORES PROGRAM [ARGUMENT…]`, CORES as numbers with commas between.
The program takes this process's place, so its number, CPU and end are the program's own.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from typing import Final

from benchmarks.cores import pin

_PR_SET_PDEATHSIG: Final = 1


def raise_file_limit() -> None:
    """Allow this process, and what it becomes, as many open files as the system lets it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def end_with_parent() -> None:
    """Be killed when the parent ends, where the system has that (prctl(2))."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit("whoever started this is gone")


def main() -> None:
    """Become the program."""
    cores, program = sys.argv[1], sys.argv[2:]
    end_with_parent()
    raise_file_limit()
    pin(0, frozenset(int(core) for core in cores.split(",")))
    os.execvp(program[0], program)


if __name__ == "__main__":
    main()
