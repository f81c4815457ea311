"""Open offers and seen contacts in the fast store. Implements `flow.ports.Offers`.

Keys: ``offer:{ping}``, and ``seen:{hash}`` with the last sale market-wide (``m``), by seller
(``s:id``) and to company (``c:id``), in epoch milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from time import perf_counter_ns
from typing import Final, cast

from redis.asyncio import Redis

from exchange.core.model import CompanyId, Offer, PingId, SellerId
from exchange.core.screen import SeenContact
from exchange.stores.batching import Batch
from exchange.stores.offer_bodies import read_offer
from exchange.stores.redis_client import away_as_unavailable
from exchange.stores.redis_pipe import PipeScript, RedisPipe

Put = tuple[list[str], list[int | bytes]]
Sale = tuple[list[str], list[int | str]]

MOST_AT_ONCE: Final = 64
"""Offers in one script call: a millisecond or so of the store's time."""

MOST_WAITING: Final = 4_096
"""Pings waiting for the store at most; beyond, it is overloaded and they are refused."""

SEEN_DAYS: Final = 366
"""How long a sold contact is remembered; the longest window a policy may set."""


def offer_key(ping_id: PingId) -> str:
    """The key of a ping's offer."""
    return f"offer:{{{ping_id}}}"


def seen_key(contact_key: str) -> str:
    """The key of a seen contact."""
    return f"seen:{{{contact_key}}}"


class RedisOffers:
    """Offers by ping, contacts by keyed hash."""

    def __init__(self, redis: Redis, pipe: RedisPipe) -> None:
        self._redis = redis
        self._pipe = pipe
        self._script = PipeScript(pipe, "offer.lua")
        self._puts = Batch(self._put_many, most=MOST_AT_ONCE, waiting=MOST_WAITING)
        self.puts = 0
        self._put_ns = 0
        self._seen = PipeScript(pipe, "seen.lua")
        self._sales = Batch(self._see_many, most=MOST_AT_ONCE, waiting=MOST_WAITING)
        self._gets = Batch(self._get_many, most=MOST_AT_ONCE, waiting=MOST_WAITING)

    @property
    def spent_s(self) -> float:
        """Seconds of this process spent on keeping offers, without the waits for the store."""
        return (self._put_ns + self._pipe.spent.ns) / 1_000_000_000

    async def put(self, ping_id: PingId, body: bytes, ttl_s: int) -> None:
        """Keep an offer for ``ttl_s`` seconds, whatever was seen of its contact."""
        await self._puts.ask(([offer_key(ping_id)], [0, ttl_s * 1000, body]))

    def put_unseen(
        self, ping_id: PingId, contact_keys: Sequence[str], body: bytes, ttl_s: int
    ) -> asyncio.Future[bool]:
        """Keep an offer, if there is one, unless its contact was ever sold; False if it was."""
        started = perf_counter_ns()
        keys = [f"offer:{{{ping_id}}}"]
        for contact_key in contact_keys:
            keys.append(f"seen:{{{contact_key}}}")
        asked = self._puts.ask((keys, [len(contact_keys), ttl_s * 1000, body]))
        self.puts += 1
        self._put_ns += perf_counter_ns() - started
        return asked

    async def get(self, ping_id: PingId) -> Offer | None:
        """The offer of a ping, expired or not, if it is still held."""
        held = await self._gets.ask(offer_key(ping_id))
        return None if held is None else read_offer(held)

    async def _put_many(self, asks: Sequence[Put]) -> Sequence[bool]:
        keys = [key for keys, _ in asks for key in keys]
        arguments = [argument for _, given in asks for argument in given]
        seen = await self._script.run(keys, arguments)
        return [not found for found in seen]

    async def _get_many(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        return cast(Sequence[bytes | None], await self._pipe.call("MGET", *keys))

    async def look(self, keys: Sequence[str], seller_id: SellerId) -> SeenContact:
        """When contacts under these keyed hashes were last sold, and to whom."""
        if not keys:
            return SeenContact()
        with away_as_unavailable():
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.hgetall(seen_key(key))
                found = await pipe.execute()
        market = seller = 0
        companies: set[CompanyId] = set()
        for fields in found:
            for raw_name, raw_at in fields.items():
                name, at = raw_name.decode(), int(raw_at)
                if name == "m":
                    market = max(market, at)
                elif name == f"s:{seller_id}":
                    seller = max(seller, at)
                elif name.startswith("c:"):
                    companies.add(CompanyId(name[2:]))
        return SeenContact(
            market_sold_at=_time(market), seller_sold_at=_time(seller), sold_to=frozenset(companies)
        )

    async def saw(
        self, keys: Sequence[str], seller_id: SellerId, companies: Sequence[CompanyId], at: datetime
    ) -> None:
        """Remember a sold contact for `SEEN_DAYS`."""
        if not keys:
            return
        fields = ["m", f"s:{seller_id}", *(f"c:{company}" for company in companies)]
        figures: list[int | str] = [int(at.timestamp() * 1000), len(fields), *fields]
        await self._sales.ask((list(map(seen_key, keys)), figures * len(keys)))

    async def _see_many(self, asks: Sequence[Sale]) -> Sequence[int]:
        keys = [key for keys, _ in asks for key in keys]
        arguments = [figure for _, figures in asks for figure in figures]
        seen = await self._seen.run(keys, [SEEN_DAYS * 86_400, *arguments])
        return [seen] * len(asks)


def _time(at_ms: int) -> datetime | None:
    return datetime.fromtimestamp(at_ms / 1000, UTC) if at_ms else None
