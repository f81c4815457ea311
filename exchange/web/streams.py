"""Answers written as they are read: reports, and the lines of many returns.

What goes wrong once the answer has begun cannot be told in it: the connection is cut, so that no
reader takes the part for the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from aiohttp.web import BaseRequest, StreamResponse

from exchange.web.calls import Streamed
from exchange.web.dispatch import Said

READER_S: Final = 30.0
"""Longest a part may take to be taken; who reads slower is hung up on."""


async def write_stream(
    request: BaseRequest,
    said: Said,
    stream: Streamed,
    *,
    closes: bool,
    failed: Callable[[Exception], object],
    broken: Callable[[str], None],
) -> StreamResponse:
    """Write an answer, and close what it is read from.

    ``failed`` is told what went wrong here, ``broken`` of a reader that was too slow; one that
    left is its own affair.
    """
    response = StreamResponse(status=said.status, headers=dict(said.headers))
    if said.content_type is not None:
        response.headers["Content-Type"] = said.content_type
    if closes:
        response.force_close()
    async with aclosing(stream.chunks) as chunks:
        try:
            async with asyncio.timeout(stream.within_s):
                await response.prepare(request)
                if request.method != "HEAD":
                    await response.write(said.body)
                    async for chunk in chunks:
                        async with asyncio.timeout(READER_S):
                            await response.write(chunk)
                await response.write_eof()
        except Exception as error:
            if isinstance(error, TimeoutError):
                broken(type(error).__name__)
            elif not isinstance(error, ConnectionError):
                failed(error)
            response.force_close()
            if request.transport is not None:
                request.transport.abort()
    return response
