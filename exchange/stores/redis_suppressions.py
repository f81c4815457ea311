"""The fast store's copy of companies' suppression lists, which `offer.lua` looks contacts up in.

Keys: ``suppressed:XXXX``, a bucket of all keyed hashes that begin with these four hex digits: the
other 30 bytes of each, with the numbers of the lists it is on; ``suppression:lists``, the company
of each list that holds; ``suppression:versions``, the version of each list that the copy is of.
Buckets stay so small that the store keeps them packed, at about 50 bytes a contact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from exchange.core.model import CompanyId
from exchange.stores.redis_pipe import PipeScript, RedisPipe

LISTS: Final = "suppression:lists"
_VERSIONS: Final = "suppression:versions"
_COPYING: Final = -1
"""The version of a copy that is being made anew; no list ever has it."""

AT_ONCE: Final = 500
"""Contacts in one script call: a millisecond or two in which pings wait."""

_BUCKETS: Final = 65_536
_BUCKETS_AT_ONCE: Final = 128
"""Buckets in one call that looks at all they hold; two thousand contacts of a million."""


class RedisSuppressions:
    """The copy of the lists; contacts are keyed hashes of 32 bytes. All raise Unavailable."""

    def __init__(self, pipe: RedisPipe) -> None:
        self._pipe = pipe
        self._suppress = PipeScript(pipe, "suppress.lua")
        self._forget = PipeScript(pipe, "forget.lua")
        self._count = PipeScript(pipe, "count.lua")

    async def change(
        self, number: int, keys: Sequence[bytes], *, put: bool, moves: tuple[int, int] | None
    ) -> None:
        """Put contacts on a list or take them off; ``moves`` are its versions before and after."""
        before, after = moves or (0, None)
        parts = [keys[at : at + AT_ONCE] for at in range(0, len(keys), AT_ONCE)] or [()]
        for place, part in enumerate(parts, 1):
            await self._suppress.run(
                [_VERSIONS, *(f"suppressed:{key[:2].hex()}" for key in part)],
                [
                    int(put),
                    number,
                    before,
                    after if after is not None and place == len(parts) else b"",
                    *(key[2:] for key in part),
                ],
            )

    async def name(self, number: int, company_id: CompanyId, *, instead_of: int | None) -> None:
        """Let a list hold for its company, and the one it replaces for nobody."""
        await self._pipe.call("HSET", LISTS, number, company_id)
        if instead_of is not None:
            await self.unname(instead_of)

    async def unname(self, number: int) -> None:
        """Let a list hold for nobody, at once."""
        await self._pipe.call("HDEL", LISTS, number)

    async def open(self, number: int) -> None:
        """Begin the copy of a new, empty list."""
        await self._pipe.call("HSETNX", _VERSIONS, number, 0)

    async def begin(self, number: int) -> None:
        """Begin to make a list's copy anew: take out what there is of it."""
        await self._pipe.call("HSET", _VERSIONS, number, _COPYING)
        await self._take_out(number)

    async def wipe(self) -> None:
        """Forget every list: what the store holds may be of other books than ours."""
        await self._pipe.call("UNLINK", LISTS, _VERSIONS)
        for buckets in _all_buckets():
            await self._pipe.call("UNLINK", *buckets)

    async def end(self, number: int, version: int) -> None:
        """The copy is whole, and of this version."""
        await self._pipe.call("HSET", _VERSIONS, number, version)

    async def forget(self, number: int) -> None:
        """Take a list out of the copy."""
        await self.unname(number)
        await self._pipe.call("HDEL", _VERSIONS, number)
        await self._take_out(number)

    async def lists(self) -> dict[int, CompanyId]:
        """The lists that hold, and their companies."""
        found = await self._pipe.call("HGETALL", LISTS)
        return {int(number): CompanyId(name.decode()) for number, name in _pairs(found)}

    async def versions(self) -> dict[int, int]:
        """The version of every list that the copy is of; below 0 while it is being made."""
        found = await self._pipe.call("HGETALL", _VERSIONS)
        return {int(number): int(version) for number, version in _pairs(found)}

    async def counts(self) -> Mapping[int, int]:
        """How many keyed hashes the copy has of each list, counted one by one."""
        counts: dict[int, int] = {}
        for buckets in _all_buckets():
            for number, count in _pairs(await self._count.run(buckets, ())):
                counts[int(number)] = counts.get(int(number), 0) + int(count)
        return counts

    async def _take_out(self, number: int) -> None:
        for buckets in _all_buckets():
            await self._forget.run(buckets, [number])


def _all_buckets() -> Iterator[list[str]]:
    """Every bucket there can be, some at a time."""
    for first in range(0, _BUCKETS, _BUCKETS_AT_ONCE):
        yield [f"suppressed:{number:04x}" for number in range(first, first + _BUCKETS_AT_ONCE)]


def _pairs(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)
