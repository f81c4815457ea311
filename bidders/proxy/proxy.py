"""The fault proxy: connections in, connections out, and what `Faults` say in between.

Bounded in connections, and in bytes held for each; it ends everything it began when it is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from bidders.proxy.faults import Direction, Faults
from bidders.tcp import reset

MAX_CONNECTIONS: Final = 1_000
CONNECT_TIMEOUT_S: Final = 5.0
BACKLOG: Final = 1_024
_CHUNK_BYTES: Final = 16 * 1024
_MAX_HELD_CHUNKS: Final = 32  # of a connection and direction, on their late way


class Counts(msgspec.Struct):
    """What a proxy has done. ``lost`` connections found no server; ``cut`` and ``reset`` count
    connections that ended so by its own doing.
    """

    accepted: int = 0
    lost: int = 0
    cut: int = 0
    reset: int = 0
    to_server_bytes: int = 0
    to_client_bytes: int = 0


class _Cut(Exception):
    """As many bytes went through as may."""


class FaultProxy:
    """A running proxy; make one with `fault_proxy`."""

    def __init__(self, to_host: str, to_port: int, host: str, port: int, seed: int) -> None:
        self.host = host
        self.counts = Counts()
        self._to = to_host, to_port
        self._faults = Faults()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._changing = asyncio.Lock()
        self._connections: set[asyncio.Task[None]] = set()
        self._draws = random.Random(seed)
        self._server: asyncio.Server | None = None
        # Bound and never listening, it keeps the port ours while connections are refused.
        self._place = _bind(host, port)
        self.port = int(self._place.getsockname()[1])

    @property
    def faults(self) -> Faults:
        """What it does now."""
        return self._faults

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    async def set_faults(self, faults: Faults) -> None:
        """Do this from now on, to connections that are there as well.

        Raises ValueError for what is out of range.
        """
        # A Struct made in Python has not passed its bounds; decoding makes it pass them.
        checked = msgspec.convert(msgspec.to_builtins(faults), Faults)
        async with self._changing:
            self._faults = checked
            if checked.mode == "black_hole":
                self._flowing.clear()
            else:
                self._flowing.set()
            if checked.mode == "refuse":
                self._stop_listening()
            elif self._server is None:
                self._server = await asyncio.start_server(
                    self._connect, sock=_bind(self.host, self.port), backlog=BACKLOG
                )
            if checked.mode == "reset":
                await self.reset_all()

    async def reset_all(self) -> None:
        """Reset every connection there is."""
        self.counts.reset += len(self._connections)
        await self._end_all()

    async def close(self) -> None:
        """Stop, and end every connection. Safe to repeat."""
        self._stop_listening()
        self._place.close()
        await self._end_all()

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _end_all(self) -> None:
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.counts.accepted += 1
        if self._faults.mode == "reset" or len(self._connections) >= MAX_CONNECTIONS:
            self.counts.reset += 1
            reset(writer.transport)
            return
        self._connections.add(task)
        try:
            await self._flowing.wait()
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                to_reader, to_writer = await asyncio.open_connection(*self._to)
        except (OSError, TimeoutError):
            self.counts.lost += 1
            reset(writer.transport)
        except asyncio.CancelledError:
            reset(writer.transport)
        else:
            await self._join(reader, writer, to_reader, to_writer)
        finally:
            self._connections.discard(task)

    async def _join(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        to_reader: asyncio.StreamReader,
        to_writer: asyncio.StreamWriter,
    ) -> None:
        """Move bytes both ways until both sides have ended, or one has broken off."""
        pumps = (
            self._pump("to_server", reader, to_writer),
            self._pump("to_client", to_reader, writer),
        )
        orderly = False
        try:
            async with asyncio.TaskGroup() as group:
                for pump in pumps:
                    group.create_task(pump)
            orderly = True
        except* _Cut:
            self.counts.cut += 1
            orderly = self._faults.cut_with == "end"
        except* OSError:
            pass  # one side broke off, and so the other hears the same
        except* asyncio.CancelledError:
            pass  # by `_end_all`
        finally:
            for each in (writer, to_writer):
                if orderly:
                    each.close()
                else:
                    reset(each.transport)

    async def _pump(
        self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Move bytes one way; reading and writing by themselves, so that late is not slow."""
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MAX_HELD_CHUNKS)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(direction, reader, held))
            group.create_task(self._write(direction, writer, held))

    async def _read(
        self,
        direction: Direction,
        reader: asyncio.StreamReader,
        held: asyncio.Queue[tuple[float, bytes]],
    ) -> None:
        now = asyncio.get_running_loop().time
        data = b"-"
        while data:
            await self._flowing.wait()
            data = await reader.read(_CHUNK_BYTES)
            late_s = self._faults.delay_s(direction, self._draws.random())
            await held.put((now() + late_s, data))

    async def _write(
        self,
        direction: Direction,
        writer: asyncio.StreamWriter,
        held: asyncio.Queue[tuple[float, bytes]],
    ) -> None:
        now = asyncio.get_running_loop().time
        moved = 0
        while True:
            due, data = await held.get()
            await asyncio.sleep(due - now())
            if not data:
                await self._flowing.wait()
                if writer.can_write_eof():
                    with contextlib.suppress(OSError):  # it is gone already
                        writer.write_eof()
                return
            while data:
                await self._flowing.wait()
                faults = self._faults
                left, most = faults.left_bytes(direction, moved), faults.piece_bytes(direction)
                piece = data[: min(each for each in (left, most, len(data)) if each is not None)]
                writer.write(piece)
                await writer.drain()
                moved += len(piece)
                self._count(direction, len(piece))
                if left is not None and len(piece) == left:
                    raise _Cut
                if most is not None and faults.bytes_per_second is not None:
                    await asyncio.sleep(len(piece) / faults.bytes_per_second)
                data = data[len(piece) :]

    def _count(self, direction: Direction, moved: int) -> None:
        if direction == "to_server":
            self.counts.to_server_bytes += moved
        else:
            self.counts.to_client_bytes += moved


@asynccontextmanager
async def fault_proxy(
    to_host: str,
    to_port: int,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    faults: Faults = Faults(),  # noqa: B008 - frozen
    seed: int = 7,
) -> AsyncIterator[FaultProxy]:
    """Stand between clients and the server at this address while the context lasts.

    Port 0 takes a free one; ``seed`` decides the jitter. Raises OSError if it cannot be had.
    """
    proxy = FaultProxy(to_host, to_port, host, port, seed)
    try:
        await proxy.set_faults(faults)
        yield proxy
    finally:
        await proxy.close()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    place = socket.socket(family, socket.SOCK_STREAM)
    try:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        place.bind((host, port))
        place.setblocking(False)
    except OSError:
        place.close()
        raise
    return place
