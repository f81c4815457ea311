"""The fast copy of windows and usage, and the channel on which workers tell each other.

Implements `flow.market_ports.Mirror` and `flow.market_ports.Feed`. Keys: ``window:{company}`` and
``usage:{company}``, hashes whose values begin with the company's version at that write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec
from redis.asyncio import Redis

from exchange.core.changes import BucketChange, CampaignChange, CompanyChange, UsageChange
from exchange.core.contract_book import ContractChange
from exchange.core.model import CompanyId
from exchange.core.trial_room import TrialUse
from exchange.flow.faults import Unavailable
from exchange.flow.market_ports import Change
from exchange.stores.redis_client import away_as_unavailable
from exchange.stores.redis_pipe import PipeScript, RedisPipe

_COMPANY: Final = b"c"
_CAMPAIGN: Final = b"k"
_CONTRACT: Final = b"t"
_TRIAL_USE: Final = b"u"
_HEAD: Final = "head"
_WHOLE: Final = b"whole"
_KINDS: Final[dict[type, bytes]] = {
    CampaignChange: _CAMPAIGN,
    ContractChange: _CONTRACT,
    TrialUse: _TRIAL_USE,
}


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a company that every change carries, as the mirror keeps it."""

    active: bool
    era: int
    era_assigned: int
    available_cents: int | None


class RedisMirror:
    """Writes changes and publishes them; remembers the companies it could not write."""

    def __init__(self, redis: Redis, pipe: RedisPipe) -> None:
        self._redis = redis
        self._pipe = pipe
        self._script = PipeScript(pipe, "mirror.lua")
        self._channel = channel_of(redis)
        self._encode = msgspec.json.Encoder().encode
        self.dirty: set[CompanyId] = set()

    async def publish(self, change: Change) -> None:
        """Write a change and tell every worker; a company that could not be written is dirty."""
        try:
            await self.write(change)
        except Unavailable:
            if isinstance(change, CompanyChange):
                self.dirty.add(change.company_id)

    async def write(self, change: Change) -> None:
        """Write a change and tell every worker. Raises Unavailable."""
        if not isinstance(change, CompanyChange):
            kind = _KINDS[type(change)]
            await self._pipe.call("PUBLISH", self._channel, kind + self._encode(change))
            return
        await self._script.run(
            [window_key(change.company_id), usage_key(change.company_id)],
            [
                change.version,
                self._encode(head_of(change)),
                int(change.whole),
                len(change.buckets),
                *(part for row in change.buckets for part in bucket_pair(row)),
                *(part for row in change.usage for part in usage_pair(row)),
                self._channel,
                _COMPANY + self._encode(change),
            ],
        )

    async def companies(self) -> set[CompanyId]:
        """Every company the mirror holds."""
        found: set[CompanyId] = set()
        with away_as_unavailable():
            async for key in self._redis.scan_iter(match="window:*", count=1000):
                found.add(CompanyId(key.decode().removeprefix("window:{").removesuffix("}")))
        return found

    async def read(self, company_id: CompanyId) -> dict[str, str]:
        """All figures the mirror holds of a company, by field, without their versions."""
        with away_as_unavailable():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hgetall(window_key(company_id))
                pipe.hgetall(usage_key(company_id))
                window, usage = await pipe.execute()
        both = {**window, **usage}
        return {
            field.decode(): value.decode().partition("|")[2]
            for field, value in both.items()
            if field != _WHOLE
        }

    async def behind(self, versions: Mapping[CompanyId, int]) -> list[CompanyId]:
        """The companies of which the mirror holds less than these versions."""
        with away_as_unavailable():
            async with self._redis.pipeline(transaction=False) as pipe:
                for company_id in versions:
                    pipe.hget(window_key(company_id), _HEAD)
                heads = await pipe.execute()
        return [
            company_id
            for (company_id, version), head in zip(versions.items(), heads, strict=True)
            if head is None or int(head.partition(b"|")[0]) < version
        ]

    async def forget(self, company_id: CompanyId) -> None:
        """Delete a company's copy, before it is written whole."""
        with away_as_unavailable():
            await self._redis.delete(window_key(company_id), usage_key(company_id))

    async def run_id(self) -> str:
        """Changes when the server was started anew; then nothing it held can be trusted."""
        with away_as_unavailable():
            info = await self._redis.info("server")
        return str(info["run_id"])


class RedisFeed:
    """Hears what other workers published."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._decode_company = msgspec.json.Decoder(CompanyChange).decode
        self._decode_campaign = msgspec.json.Decoder(CampaignChange).decode
        self._decode_contract = msgspec.json.Decoder(ContractChange).decode
        self._decode_use = msgspec.json.Decoder(TrialUse).decode
        self.subscribed = False

    async def follow(
        self, apply: Callable[[Change], None], resubscribed: Callable[[], Awaitable[None]]
    ) -> None:
        """Apply every change as it comes, for ever.

        ``resubscribed`` is called after every (re)subscription: what was said before is unknown.
        """
        while True:
            try:
                await self._follow_once(apply, resubscribed)
            except (Unavailable, msgspec.MsgspecError):
                # A message of another version of the exchange is read no better the second time;
                # subscribing anew loads everything.
                self.subscribed = False
                await asyncio.sleep(0.2)

    async def _follow_once(
        self, apply: Callable[[Change], None], resubscribed: Callable[[], Awaitable[None]]
    ) -> None:
        with away_as_unavailable():
            async with self._redis.pubsub() as pubsub:
                await pubsub.subscribe(channel_of(self._redis))
                while True:
                    message = await pubsub.get_message(timeout=None)
                    if message is None:
                        continue
                    if message["type"] == "subscribe":
                        await resubscribed()
                        self.subscribed = True
                    elif message["type"] == "message":
                        apply(self._read(message["data"]))

    def _read(self, data: bytes) -> Change:
        kind = data[:1]
        if kind == _CONTRACT:
            return self._decode_contract(data[1:])
        if kind == _TRIAL_USE:
            return self._decode_use(data[1:])
        decode = self._decode_company if kind == _COMPANY else self._decode_campaign
        return decode(data[1:])


def channel_of(redis: Redis) -> str:
    """The channel of this market: subscriptions know no database numbers, so its name has them."""
    number = redis.connection_pool.connection_kwargs.get("db") or 0
    return f"market:{number}"


def window_key(company_id: CompanyId) -> str:
    """The key of a company's window."""
    return f"window:{{{company_id}}}"


def usage_key(company_id: CompanyId) -> str:
    """The key of what a company's campaigns have used."""
    return f"usage:{{{company_id}}}"


def head_of(change: CompanyChange) -> Head:
    """The head as the mirror keeps it."""
    return Head(
        active=change.active,
        era=change.era,
        era_assigned=change.era_assigned,
        available_cents=change.available_cents,
    )


def bucket_pair(row: BucketChange) -> tuple[str, str]:
    """Field and figures of a bucket."""
    return f"{row.day}|{row.era}", f"{row.assigned}|{row.manual}|{row.crm}"


def usage_pair(row: UsageChange) -> tuple[str, str]:
    """Field and figures of a usage."""
    return (
        f"{row.campaign_id}|{row.period}|{row.starts_at.isoformat()}",
        f"{row.leads}|{row.spend_cents}",
    )


def figures_of(change: CompanyChange, encode: Callable[[Head], bytes]) -> dict[str, str]:
    """What the mirror should hold of a company, from its whole change."""
    pairs: Sequence[tuple[str, str]] = [
        *(bucket_pair(row) for row in change.buckets),
        *(usage_pair(row) for row in change.usage),
    ]
    return {_HEAD: encode(head_of(change)).decode(), **dict(pairs)}
