"""Open offers and seen contacts in the fast store. Implements `flow.ports.Offers`.

Keys: ``offer:{ping}``, and ``seen:{hash}`` with the last sale market-wide (``m``), by seller
(``s:id``) and to company (``c:id``), in epoch milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from exchange.core.model import CompanyId, Offer, PingId, SellerId
from exchange.core.screen import SeenContact
from exchange.stores.redis_client import away_as_unavailable

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

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Offer).decode

    async def put(self, offer: Offer, ttl_s: int) -> None:
        """Keep an offer for ``ttl_s`` seconds."""
        with away_as_unavailable():
            await self._redis.set(offer_key(offer.ping_id), self._encode(offer), px=ttl_s * 1000)

    async def get(self, ping_id: PingId) -> Offer | None:
        """The offer of a ping, expired or not, if it is still held."""
        with away_as_unavailable():
            held = await self._redis.get(offer_key(ping_id))
        return None if held is None else self._decode(held)

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
        at_ms = int(at.timestamp() * 1000)
        fields: dict[Any, Any] = {"m": at_ms, f"s:{seller_id}": at_ms}
        fields |= {f"c:{company}": at_ms for company in companies}
        with away_as_unavailable():
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.hset(seen_key(key), mapping=fields)
                    pipe.expire(seen_key(key), SEEN_DAYS * 86_400)
                await pipe.execute()


def _time(at_ms: int) -> datetime | None:
    return datetime.fromtimestamp(at_ms / 1000, UTC) if at_ms else None
