"""One connection to Valkey or Redis for the ping's way: commands out, answers back in order.

The general client costs more than an auction does; this one only writes and reads, with hiredis
for both. Lost connections are made anew at the next call; every answer has a deadline.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Sequence
from importlib.resources import files
from time import perf_counter_ns
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import hiredis

from exchange.flow.faults import Unavailable

ANSWER_S: Final = 1.0
"""Longest wait for an answer; a healthy store takes well under a millisecond."""

CONNECT_S: Final = 1.0


class Place:
    """Where a store is, from its URL: ``redis://``, ``rediss://`` or ``unix://``."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.path = unquote(parts.path) if parts.scheme == "unix" else None
        self.host, self.port = parts.hostname or "localhost", parts.port or 6379
        self.is_tls = parts.scheme == "rediss"
        self.username = unquote(parts.username) if parts.username else None
        self.password = unquote(parts.password) if parts.password else None
        number = query.get("db") or ("" if self.path else parts.path.strip("/"))
        self.database = int(number or 0)

    def greeting(self) -> list[tuple[str, ...]]:
        """What is said first on a new connection."""
        said: list[tuple[str, ...]] = []
        if self.password is not None:
            said.append(("AUTH", *filter(None, (self.username,)), self.password))
        if self.database:
            said.append(("SELECT", str(self.database)))
        return said


class Spent:
    """Nanoseconds of this process spent on speaking to the store: writing and reading, no waits."""

    __slots__ = ("ns",)

    def __init__(self) -> None:
        self.ns = 0


class RedisPipe:
    """Calls over one connection. Every fault of connection or store is `Unavailable`."""

    def __init__(self, url: str) -> None:
        self._place = Place(url)
        self._line: _Line | None = None
        self._opening = asyncio.Lock()
        self.spent = Spent()

    async def call(self, *command: str | int | bytes) -> Any:
        """Say one command and wait for its answer."""
        line = self._line
        if line is None or line.is_lost:
            line = await self._open()
        # Answers come in order: after a late one, nobody knows whose is whose. A timer rather than
        # `wait_for`, which forgets that its task was cancelled where the answer comes just then.
        late = Unavailable("the fast store did not answer in time")
        timer = asyncio.get_running_loop().call_later(ANSWER_S, line.lose, late)
        try:
            return await line.say(command)
        finally:
            timer.cancel()

    def _make_line(self) -> _Line:
        return _Line(self.spent)

    async def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            self._line.lose(Unavailable("the fast store's connection was closed"))
            self._line = None

    async def _open(self) -> _Line:
        async with self._opening:
            if self._line is not None and not self._line.is_lost:
                return self._line
            place, loop = self._place, asyncio.get_running_loop()
            line: _Line | None = None
            try:
                async with asyncio.timeout(CONNECT_S):
                    if place.path is not None:
                        _, line = await loop.create_unix_connection(self._make_line, place.path)
                    else:
                        _, line = await loop.create_connection(
                            self._make_line, place.host, place.port, ssl=place.is_tls or None
                        )
                    for said in place.greeting():
                        await line.say(said)
            except (OSError, TimeoutError, Unavailable) as error:
                fault = Unavailable("The fast store is away; try again.")
                if line is not None:
                    line.lose(fault)
                raise fault from error
            self._line = line
            return line


class PipeScript:
    """A script of ours in the store, called by its digest and told again where it is not known."""

    def __init__(self, pipe: RedisPipe, file: str) -> None:
        self._pipe = pipe
        self._source = files("exchange.stores").joinpath(file).read_bytes()
        # The name Redis gives a script, not a safeguard.
        self._digest = hashlib.sha1(self._source, usedforsecurity=False).hexdigest()

    async def run(self, keys: Sequence[str], arguments: Sequence[str | int | bytes]) -> Any:
        """Run the script on keys. Raises Unavailable."""
        command = (len(keys), *keys, *arguments)
        try:
            return await self._pipe.call("EVALSHA", self._digest, *command)
        except ScriptMissing:
            return await self._pipe.call("EVAL", self._source, *command)


class _Line(asyncio.Protocol):
    """The connection itself."""

    def __init__(self, spent: Spent) -> None:
        self._spent = spent
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._transport: asyncio.Transport | None = None
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]

    def say(self, command: tuple[str | int | bytes, ...]) -> asyncio.Future[Any]:
        """Send a command; the future has its answer."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.is_lost or self._transport is None:
            answer.set_exception(Unavailable("the fast store hung up"))
            return answer
        self._waiting.append(answer)
        started = perf_counter_ns()
        self._transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]
        self._spent.ns += perf_counter_ns() - started
        return answer

    def data_received(self, data: bytes) -> None:
        started = perf_counter_ns()
        self._read(data)
        self._spent.ns += perf_counter_ns() - started

    def _read(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                waiting = self._waiting.popleft()
                if waiting.done():
                    continue
                if isinstance(answer, Exception):
                    waiting.set_exception(_fault(answer))
                else:
                    waiting.set_result(answer)
        except (hiredis.ProtocolError, IndexError):
            self.lose(Unavailable("the fast store spoke out of turn"))

    def connection_lost(self, error: Exception | None) -> None:
        self.lose(Unavailable("the fast store hung up"))

    def lose(self, fault: Unavailable) -> None:
        """Give the connection up, and everyone who waits on it."""
        self.is_lost = True
        if self._transport is not None:
            self._transport.abort()
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(fault)


class ScriptMissing(Exception):
    """The store does not know the script: it was started anew."""


def _fault(answer: Exception) -> Exception:
    text = str(answer)
    if text.startswith("NOSCRIPT"):
        return ScriptMissing(text)
    return Unavailable(f"the fast store refused: {text.split(' ', 1)[0]}")
