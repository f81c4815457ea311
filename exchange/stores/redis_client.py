"""Connections to Valkey or Redis, and what a lost one means.

Two kinds: a quick one for the ping's and post's way, with short deadlines, and one for the
subscription, which waits for as long as nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis.asyncio import BlockingConnectionPool, Redis, from_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from exchange.flow.faults import Unavailable

QUICK_TIMEOUT_S: Final = 1.0
"""Longest wait for one answer on the quick connection; a healthy one takes under a millisecond."""

CONNECTIONS: Final = 64
"""Quick connections of one worker at most."""


def quick_client(url: str) -> Redis:
    """A client whose every call ends within about two seconds."""
    pool = BlockingConnectionPool.from_url(
        url,
        timeout=QUICK_TIMEOUT_S,
        socket_timeout=QUICK_TIMEOUT_S,
        socket_connect_timeout=QUICK_TIMEOUT_S,
        max_connections=CONNECTIONS,
        retry=Retry(NoBackoff(), 1),
        retry_on_error=[ConnectionError],
    )
    return Redis.from_pool(pool)


def waiting_client(url: str) -> Redis:
    """A client for a subscription: reads have no deadline of their own."""
    return from_url(url, socket_timeout=None, socket_connect_timeout=QUICK_TIMEOUT_S)


@contextmanager
def away_as_unavailable() -> Iterator[None]:
    """Turn a lost or overloaded store into `Unavailable`; anything else passes."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise Unavailable("The fast store is away; try again.") from error
