"""Secrets that were not given: read from the home directory, or made and kept there.

Decides how they are made, stored and guarded; must not tell one, in a fault or elsewhere.
"""

from __future__ import annotations

import base64
import fcntl
import os
import secrets as randomness
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from exchange.settings.faults import Fault, SettingsError, unknown
from exchange.settings.readers import READERS
from exchange.settings.sections import GivenSecrets, Secrets
from exchange.settings.table import SECRET_KEYS, SETTINGS

SECRETS_FILE: Final = "secrets.toml"


def load_or_make_secrets(home: Path, given: GivenSecrets | None = None) -> Secrets:
    """Complete the given secrets from ``home/secrets.toml``, making and keeping those not in it.

    Safe to call from several processes at once: all get the same. When every secret is given the
    home is not touched. Raises SettingsError when the file is unusable or others may read it.
    """
    kept = {} if given is None else msgspec.structs.asdict(given)
    kept = {key: value for key, value in kept.items() if value is not None}
    path = home / SECRETS_FILE
    try:
        # The file only ever appears whole, so that a look without the lock is enough if it is.
        if missing := SECRET_KEYS - kept.keys() - _read_secrets(path).keys():
            _make_secrets(home, missing)
        return Secrets(**_read_secrets(path) | kept if SECRET_KEYS - kept.keys() else kept)
    except OSError as error:
        fault = Fault(key=str(path), problem=f"cannot be read or written: {error.strerror}")
        raise SettingsError([fault]) from None


def _read_secrets(path: Path) -> dict[str, Any]:
    """Read the file's secrets by key; none when there is no file."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read()
    except FileNotFoundError:
        return {}
    if mode & 0o077:
        fault = Fault(key=str(path), problem="can be read by others", allowed="mode 0600")
        raise SettingsError([fault])
    try:
        table = tomllib.loads(content.decode())
    except ValueError:
        # The reader's own message could quote a line of the file.
        raise SettingsError([Fault(key=str(path), problem="is not TOML")]) from None
    secrets: dict[str, Any] = {}
    faults: list[Fault] = []
    readers = {setting.key: setting for setting in SETTINGS if setting.section == "secrets"}
    for key, value in table.items():
        if key not in readers:
            faults.append(unknown(f"{path}: {key}", ()))
            continue
        read, allowed = READERS[readers[key].reader or ""]
        try:
            secrets[key] = read(value)
        except ValueError:
            faults.append(Fault(key=f"{path}: {key}", problem="is not allowed", allowed=allowed))
    if faults:
        raise SettingsError(faults)
    return secrets


def _make_secrets(home: Path, missing: Iterable[str]) -> None:
    """Add the missing secrets to the file, under a lock, replacing it in one step."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path, new = home / SECRETS_FILE, home / f"{SECRETS_FILE}.new"
    lock = os.open(home / f"{SECRETS_FILE}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = set(missing) - _read_secrets(path).keys()
        if not missing:
            return
        old = (
            path.read_text("utf-8") if path.exists() else "# Secrets of this exchange. Keep them.\n"
        )
        lines = [f'{key} = "{_new_secret(key)}"\n' for key in sorted(missing)]
        # One left by a process that died while writing; nobody else writes under the lock.
        new.unlink(missing_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(old if old.endswith("\n") else f"{old}\n")
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        directory = os.open(home, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        os.close(lock)


def _new_secret(key: str) -> str:
    if key == "operator_key":
        return randomness.token_urlsafe(32)
    text = base64.b64encode(randomness.token_bytes(32)).decode()
    return f"1:{text}" if key == "contact_keys" else text
