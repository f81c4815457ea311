"""Who takes part: each starts a server that holds the same auction over the bidders it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from benchmarks.peers.arena import Arena, Bidders, free_port
from benchmarks.peers.exchange import ExchangeContestant
from benchmarks.peers.findings import OURS, STREAM
from benchmarks.peers.toolchains import Ready, prepare_fastify, prepare_go, prepare_python
from benchmarks.processes import Served

PLAIN_KEY: Final = "sk_peer"
"""The plain peers ask nobody who they are."""


class Contestant(Protocol):
    """One way to hold the auction."""

    @property
    def name(self) -> str:
        """Its name, for people."""

    @property
    def speaks_stream(self) -> bool:
        """Whether its bidders hold a stream rather than answer calls."""

    def prepare(self) -> str:
        """Install what it needs; gives what it is made of. Raises Unavailable."""

    def start(self, arena: Arena, bidders: Bidders, count: int) -> Served:
        """Start its server with the first ``count`` bidders; it need not be ready yet."""

    def enter(self, served: Served, bidders: Bidders, count: int) -> str:
        """Make it ready to be loaded; gives the key of its pings. Raises BenchFailed."""


class PlainPeer:
    """A peer that is a command, told of its port and bidders by its environment."""

    speaks_stream = False

    def __init__(self, name: str, prepare: Callable[[], Ready]) -> None:
        self.name = name
        self._prepare = prepare
        self._ready: Ready | None = None

    def prepare(self) -> str:
        """Install what it needs."""
        self._ready = self._prepare()
        return self._ready.made_of

    def start(self, arena: Arena, bidders: Bidders, count: int) -> Served:
        """Start its process."""
        assert self._ready is not None
        port = free_port()
        put_in = {"port": str(port)}
        environment = {n: t.format_map(put_in) for n, t in self._ready.environment.items()}
        environment["BIDDERS"] = ",".join(bidders.urls(count, "http", "/bid"))
        command = [part.format_map(put_in) for part in self._ready.command]
        return arena.start_peer(command, port, environment)

    def enter(self, served: Served, bidders: Bidders, count: int) -> str:
        """Wait for it."""
        served.await_ready()
        return PLAIN_KEY


def every_contestant() -> list[Contestant]:
    """All there are, ours first."""
    fastapi = ("fastapi", "uvicorn")
    return [
        ExchangeContestant(OURS, stream=False),
        ExchangeContestant(STREAM, stream=True),
        PlainPeer("Go net/http", prepare_go),
        PlainPeer("Fastify + undici", prepare_fastify),
        PlainPeer(
            "FastAPI + aiohttp", lambda: prepare_python("with_aiohttp", (*fastapi, "aiohttp"))
        ),
        PlainPeer("FastAPI + httpx", lambda: prepare_python("with_httpx", (*fastapi, "httpx"))),
    ]
