"""How a bad bidder sends what it says: late, in pieces, broken off, twice, or never.

Each is a coroutine that sends a reply on a connection and says whether the connection is still
to be used. It knows neither what is said nor to whom.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from bidders.bad.delays import Delay, delay_ms
from bidders.bad.speech import Reply
from bidders.tcp import reset

HANG_S: Final = 60.0  # longer than anybody waits; then the connection is reset
DRIP_PAUSE_S: Final = 0.1
HUGE_BYTES: Final = 64 << 20
DRAIN_TIMEOUT_S: Final = 60.0
_CHUNK: Final = b" " * 65_536
_LOOK_S: Final = 0.25
_USUAL_DELAY: Final = Delay()


class Line:
    """A connection as the ways of sending see it; ``draw`` in [0, 1) is the ping's own."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        draw: float = 0.0,
        delay: Delay = _USUAL_DELAY,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self.draw = draw
        self.delay = delay

    async def send(self, data: bytes) -> None:
        """Send, and wait until most of it is taken. Raises ConnectionError, TimeoutError."""
        if self._writer.transport.is_closing():  # which not every loop's transport tells of
            raise ConnectionResetError("the other side has left")
        self._writer.write(data)
        async with asyncio.timeout(DRAIN_TIMEOUT_S):
            await self._writer.drain()

    async def wait(self, seconds: float) -> None:
        """Let time pass. Raises ConnectionResetError when the other side has left."""
        # Nothing tells that it has but the end of what it sends, so that is looked at.
        while seconds > 0:
            await asyncio.sleep(min(seconds, _LOOK_S))
            seconds -= _LOOK_S
            if self._reader.at_eof():
                raise ConnectionResetError("the other side has left")

    def reset(self) -> None:
        """End the connection with a reset; what was sent and not yet read may be lost with it."""
        reset(self._writer.transport)


Sending = Callable[[Line, Reply], Awaitable[bool]]


async def whole(line: Line, reply: Reply) -> bool:
    """Send as one should."""
    await line.send(b"".join(reply.whole(number) for number in range(len(reply.bodies))))
    return True


async def never(line: Line, reply: Reply) -> bool:
    """Say nothing, and keep the connection."""
    await line.wait(HANG_S)
    line.reset()
    return False


async def late(line: Line, reply: Reply) -> bool:
    """Send after a while."""
    await line.wait(delay_ms(line.delay, line.draw) / 1_000)
    return await whole(line, reply)


async def half_then_reset(line: Line, reply: Reply) -> bool:
    """Break off in the middle, with a reset."""
    answer = reply.whole()
    await line.send(answer[: len(answer) - len(reply.bodies[0]) // 2 - 1])
    await line.wait(0.01)  # lets the half arrive, before the reset takes back what has not
    line.reset()
    return False


async def half_then_close(line: Line, reply: Reply) -> bool:
    """Break off in the middle, with an orderly end."""
    answer = reply.whole()
    await line.send(answer[: len(answer) - len(reply.bodies[0]) // 2 - 1])
    return False


async def nothing_then_close(line: Line, reply: Reply) -> bool:
    """Take the request and hang up."""
    return False


async def whole_then_close(line: Line, reply: Reply) -> bool:
    """Answer, and hang up without a word of it."""
    await whole(line, reply)
    return False


async def noise(line: Line, reply: Reply) -> bool:
    """Send what is no protocol at all."""
    await line.send(bytes(range(256)) * 4)
    return False


async def too_much(line: Line, reply: Reply) -> bool:
    """Send an answer of 64 MiB: the bid, and blanks after it, all of it valid."""
    await line.send(reply.head(HUGE_BYTES) + reply.bodies[0])
    left = HUGE_BYTES - len(reply.bodies[0])
    while left > 0:
        await line.send(_CHUNK[:left])
        left -= len(_CHUNK)
    return True


async def endless_head(line: Line, reply: Reply) -> bool:
    """Begin well, and never come to the body: over HTTP, header after header."""
    await line.send(reply.head(0)[:-2])
    sent = 0
    while sent < HUGE_BYTES:
        await line.send(b"X-More: %b\r\n" % _CHUNK[:1_000] * 64)
        sent += 64 * 1_000
    return False


async def drop_by_drop(line: Line, reply: Reply) -> bool:
    """Send one byte at a time, slowly."""
    for byte in reply.whole():
        await line.send(bytes((byte,)))
        await line.wait(DRIP_PAUSE_S)
    return True


async def less_than_said(line: Line, reply: Reply) -> bool:
    """Announce more than is sent, and leave the other side waiting for it."""
    await line.send(reply.head(len(reply.bodies[0]) + 100) + reply.bodies[0])
    return await never(line, reply)
