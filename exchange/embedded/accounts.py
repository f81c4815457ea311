"""Whose account the servers run under.

PostgreSQL refuses to run as root, and Valkey has no need to, so a supervisor that is root gives
both another account. That account is never let into folders it could not enter before: the
servers are handed their data folder open instead (see `process.spawn`).
"""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from exchange.embedded.faults import StoreFailed

# In this order; every Unix has the first, the others are for those that renamed it.
_UNPRIVILEGED_NAMES = ("nobody", "postgres", "daemon")


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account other than our own, to run a server under."""

    name: str
    user_id: int
    group_id: int

    def own(self, path: Path) -> None:
        """Give one file or folder to this account."""
        os.chown(path, self.user_id, self.group_id)


def choose_account(*folders: Path) -> Account | None:
    """Choose the account for the servers: None keeps our own.

    As root, the owner of the first of `folders` that exists and is not root's, so that data made
    by one account are never run by another; without such a folder, an unprivileged account.
    """
    if os.geteuid() != 0:
        return None
    for folder in folders:
        if folder.exists() and (owner_id := folder.stat().st_uid) != 0:
            return _account_of(owner_id)
    for name in _UNPRIVILEGED_NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name=name, user_id=entry.pw_uid, group_id=entry.pw_gid)
    raise StoreFailed(
        f"PostgreSQL does not run as root, and none of {', '.join(_UNPRIVILEGED_NAMES)} exists; "
        "start the exchange under an ordinary account"
    )


def _account_of(user_id: int) -> Account:
    try:
        entry = pwd.getpwuid(user_id)
    except KeyError:
        # A folder from another machine or a container: its number alone is enough to run under.
        return Account(name=str(user_id), user_id=user_id, group_id=user_id)
    return Account(name=entry.pw_name, user_id=user_id, group_id=entry.pw_gid)
