"""The two embedded servers together: started in order, kept up, stopped in order.

    with EmbeddedStores(default_home()) as stores:
        serve(stores.urls.postgres, stores.urls.redis)

A supervisor that is killed leaves its servers running; the next one on the same home takes them
over. Two at once are refused.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from exchange.embedded.accounts import choose_account
from exchange.embedded.faults import StoreFailed, StoreUnavailable
from exchange.embedded.home import Home
from exchange.embedded.postgres import Postgres
from exchange.embedded.server import Server
from exchange.embedded.valkey import Valkey

# A server that dies oftener than this does not die by accident.
_MOST_RESTARTS = 5
_RESTARTS_WINDOW_S = 60.0

_default_log = logging.getLogger(__name__).info


@dataclass(frozen=True, kw_only=True)
class StoreUrls:
    """Where the stores are reached: for `asyncpg.connect` and `redis.asyncio.from_url`."""

    postgres: str
    redis: str


class EmbeddedStores:
    """PostgreSQL and Valkey with their data in `home`.

    `log` is told, in a sentence each, what a person running the exchange wants to know. Every
    method that starts something raises `StoreFailed` when it cannot.
    """

    def __init__(self, home: Path, *, log: Callable[[str], None] = _default_log) -> None:
        self._home = Home(home)
        self._log = log
        self._postgres: Postgres | None = None
        self._valkey: Valkey | None = None
        self._restarts: dict[str, deque[float]] = {}

    def start(self) -> StoreUrls:
        """Bring both servers up, or take over those still running; return where they are.

        The first start on a home takes about a second. On a failure nothing is left running.
        """
        if self._home.is_open:
            return self.urls
        try:
            self._home.open()
            folder = self._home.folder
            account = choose_account(folder / Postgres.name, folder)
            self._postgres = Postgres(self._home, account, self._log)
            self._valkey = Valkey(self._home, account, self._log)
            for server in self._servers:
                server.start()
        except OSError as fault:
            self.stop()
            raise StoreFailed(f"cannot keep stores in {self._home.folder}: {fault}") from fault
        except BaseException:
            self.stop()
            raise
        return self.urls

    @property
    def urls(self) -> StoreUrls:
        """Where the started stores are; raises `StoreFailed` before the start."""
        if self._postgres is None or self._valkey is None:
            raise StoreFailed("the embedded stores are not started")
        return StoreUrls(postgres=self._postgres.url, redis=self._valkey.url)

    @property
    def postgres_pid(self) -> int | None:
        """PostgreSQL's first process; None while it is not started."""
        return self._postgres.pid if self._postgres is not None else None

    @property
    def redis_pid(self) -> int | None:
        """Valkey's process; None while it is not started."""
        return self._valkey.pid if self._valkey is not None else None

    def watch_once(self) -> list[str]:
        """Start again what has died; return the names ("postgres", "valkey") of those.

        Call it every second or so. Blocks while a server comes up. Raises `StoreFailed` when one
        dies again and again; the other is left running, for `stop` to end.
        """
        started: list[str] = []
        for server in self._servers:
            if not server.is_running():
                self._log(f"{server.name} died; starting it again")
                self._count_restart(server.name)
                try:
                    server.start()
                except OSError as fault:
                    raise StoreFailed(f"cannot start {server.name} again: {fault}") from fault
                except StoreUnavailable:
                    raise
                except StoreFailed as fault:
                    # It may have been killed once more while it came up: the count ends this.
                    self._log(f"{fault}\n{server.name} is tried again")
                    continue
                started.append(server.name)
        return started

    def stop(self) -> None:
        """Stop both servers cleanly and give up the home; does nothing when nothing is started."""
        if not self._home.is_open:
            return
        faults: list[StoreFailed] = []
        try:
            for server in reversed(self._servers):
                try:
                    server.stop()
                except StoreFailed as fault:
                    faults.append(fault)
            if faults:
                raise StoreFailed("; ".join(str(fault) for fault in faults))
            self._home.forget_sockets()
        finally:
            self._postgres = self._valkey = None
            self._home.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _servers(self) -> list[Server]:
        return [server for server in (self._postgres, self._valkey) if server is not None]

    def _count_restart(self, name: str) -> None:
        now_s = time.monotonic()
        moments = self._restarts.setdefault(name, deque(maxlen=_MOST_RESTARTS))
        if len(moments) == _MOST_RESTARTS and now_s - moments[0] < _RESTARTS_WINDOW_S:
            raise StoreFailed(
                f"{name} died more than {_MOST_RESTARTS} times within {_RESTARTS_WINDOW_S:.0f} s; "
                f"see {self._home.folder / 'logs' / name}.log"
            )
        moments.append(now_s)
