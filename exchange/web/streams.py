"""Answers written as they are read: reports, which are never whole in memory.

What goes wrong once the answer has begun cannot be told in it: the connection is cut, so that no
reader takes the part for the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from aiohttp.web import BaseRequest, StreamResponse

from exchange.web.calls import Log
from exchange.web.dispatch import Said

STREAM_S: Final = 60.0
"""Longest an answer may take to be written; who reads slower is hung up on."""


async def write_stream(
    request: BaseRequest,
    said: Said,
    chunks: AsyncGenerator[bytes, None],
    *,
    closes: bool,
    log: Log,
) -> StreamResponse:
    """Write an answer, and close what it is read from."""
    response = StreamResponse(status=said.status, headers=dict(said.headers))
    if said.content_type is not None:
        response.headers["Content-Type"] = said.content_type
    if closes:
        response.force_close()
    async with aclosing(chunks):
        try:
            async with asyncio.timeout(STREAM_S):
                await response.prepare(request)
                if request.method != "HEAD":
                    await response.write(said.body)
                    async for chunk in chunks:
                        await response.write(chunk)
                await response.write_eof()
        except Exception as error:
            # A reader that left is its own affair; the rest is for whoever runs this.
            if not isinstance(error, ConnectionError):
                log.error("an answer was cut", path=request.path, error=type(error).__name__)
            if request.transport is not None:
                request.transport.abort()
    return response
