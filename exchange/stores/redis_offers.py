"""Open offers and seen contacts in the fast store. Implements `flow.ports.Offers`.

Keys: ``offer:{ping}``; ``seen:{hash}`` with the last sale market-wide (``m``), by seller
(``s:id``) and to company (``c:id``), in epoch milliseconds; ``pinged:{hash}:seller`` with the last
ping, where repeats are refused; ``refused:{ping}`` with how many contacts of a ping were refused.
Suppressed contacts are those of `redis_suppressions`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import accumulate
from time import perf_counter_ns
from typing import Final, cast

from exchange.core.model import CompanyId, Offer, Ping, PingId, SellerId
from exchange.core.screen import SeenContact
from exchange.stores.batching import Batch
from exchange.stores.offer_bodies import read_offer
from exchange.stores.redis_pipe import PipeScript, RedisPipe
from exchange.stores.redis_suppressions import LISTS

Known = int | tuple[int, Sequence[bytes], Sequence[bytes]]
"""What offer.lua gives for a ping: 0, or whether it is a repeat, its sales, who suppresses it."""

Put = tuple[list[str], list[int | bytes | str], list[SellerId]]
"""Some offers: their keys, what offer.lua is told of them one after the other, their sellers."""

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
    """Offers by ping, contacts by keyed hash.

    A seller's second ping of a contact within ``repeat_s`` seconds is a repeat; 0 is never.
    """

    def __init__(self, pipe: RedisPipe, *, repeat_s: int = 0) -> None:
        self._pipe = pipe
        self._repeat_ms = repeat_s * 1000
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
        await self._puts.ask(([offer_key(ping_id)], [0, ttl_s * 1000, body], [SellerId("")]))

    def put_unseen(
        self, asks: Sequence[tuple[Ping, bytes, int]]
    ) -> asyncio.Future[Sequence[SeenContact | None]]:
        """Keep offers, where there are any, unless something is known of the contact; that, if so.

        Each ask is a ping, its offer and the seconds to keep it.
        """
        started = perf_counter_ns()
        keys: list[str] = []
        arguments: list[int | bytes | str] = []
        sellers: list[SellerId] = []
        for ping, body, ttl_s in asks:
            contact_keys, seller_id = ping.contact_keys, ping.seller_id
            keys.append(f"offer:{{{ping.ping_id}}}")
            sellers.append(seller_id)
            if contact_keys:
                repeat_ms = 0 if ping.test else self._repeat_ms
                now_ms = repeat_ms and int(ping.received_at.timestamp() * 1000)
                arguments += (
                    len(contact_keys), ttl_s * 1000, body, repeat_ms, now_ms, seller_id,
                    *contact_keys, *[bytes.fromhex(key[4:]) for key in contact_keys],
                )  # fmt: skip
            else:
                arguments += (0, ttl_s * 1000, body)
        asked = self._puts.ask((keys, arguments, sellers), len(keys))
        self.puts += len(keys)
        self._put_ns += perf_counter_ns() - started
        return asked

    async def get(self, ping_id: PingId) -> Offer | None:
        """The offer of a ping, expired or not, if it is still held."""
        held = await self._gets.ask(offer_key(ping_id))
        return None if held is None else read_offer(held)

    async def count_refused(self, ping_id: PingId, ttl_s: int) -> int:
        """How many contacts of a ping were refused, with this one."""
        key = f"refused:{{{ping_id}}}"
        # Its end first: a key that is only counted up would stay for good after a lost connection.
        await self._pipe.call("SET", key, 0, "NX", "PX", ttl_s * 1000)
        return cast(int, await self._pipe.call("INCR", key))

    async def _put_many(self, asks: Sequence[Put]) -> Sequence[Sequence[SeenContact | None]]:
        keys = [LISTS]
        arguments: list[int | bytes | str] = []
        sellers: list[SellerId] = []
        for offers, told, whose in asks:
            keys += offers
            arguments += told
            sellers += whose
        known = cast(Sequence[Known], await self._script.run(keys, arguments))
        read = [
            None if isinstance(one, int) else _read_known(one, seller_id)
            for one, seller_id in zip(known, sellers, strict=True)
        ]
        ends = accumulate([len(offers) for offers, _, _ in asks])
        return [
            read[end - len(offers) : end] for end, (offers, _, _) in zip(ends, asks, strict=True)
        ]

    async def _get_many(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        return cast(Sequence[bytes | None], await self._pipe.call("MGET", *keys))

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


def _read_known(known: tuple[int, Sequence[bytes], Sequence[bytes]], seller_id: str) -> SeenContact:
    """What the store knows of a contact, read for a seller."""
    is_repeat, sales, suppressed_by = known
    market = seller = 0
    companies: dict[CompanyId, int] = {}
    for raw_name, raw_at in zip(sales[::2], sales[1::2], strict=True):
        name, at = raw_name.decode(), int(raw_at)
        if name == "m":
            market = max(market, at)
        elif name == f"s:{seller_id}":
            seller = max(seller, at)
        elif name.startswith("c:"):
            company_id = CompanyId(name[2:])
            companies[company_id] = max(companies.get(company_id, 0), at)
    return SeenContact(
        market_sold_at=_time(market) if market else None,
        seller_sold_at=_time(seller) if seller else None,
        sold_to={company_id: _time(at) for company_id, at in companies.items()},
        suppressed_by=frozenset(CompanyId(name.decode()) for name in suppressed_by),
        is_repeat=bool(is_repeat),
    )


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
