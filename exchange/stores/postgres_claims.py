"""Leads written down, and sold at once where that is certain: many posts in one transaction.

Source: rules §2, §3.1. Prices, states and answers are decided by the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import msgspec

from exchange.core.model import LeadId
from exchange.core.reasons import Reason
from exchange.core.screen import DuplicateWindows
from exchange.flow.ports import Claim, Claimed, LeadStatus, Outright, PostResult
from exchange.stores.postgres import Postgres, Record
from exchange.stores.postgres_room import CapColumns, caps_of, read_changes
from exchange.stores.together import Together

encode_offer: Final = msgspec.json.Encoder().encode
encode_answer: Final = msgspec.json.Encoder().encode
_decode_answer: Final = msgspec.json.Decoder(PostResult).decode

Post = tuple[str, str, str]
"""What a post is recognised by: its ping, and the seller with its idempotency key."""

_CLAIMED: Final = Claimed()


class Claims:
    """Claims leads of one worker, those of a moment together.

    Those of one contact go one after the other: in one transaction neither would see the other.
    """

    def __init__(self, postgres: Postgres, windows: DuplicateWindows) -> None:
        self._postgres = postgres
        self._windows = (windows.market_days, windows.seller_days, windows.company_days)
        self._under_way: dict[str, asyncio.Future[None]] = {}
        self._claims: Together[Claim, Claimed | None] = Together(self._claim)
        self._lookups: Together[Post, LeadStatus | None] = Together(self._look_up)

    async def claim(self, claim: Claim) -> Claimed:
        """Write a lead and its legs down, with its sale where it has one and there surely is room.

        Gives what stands already where the ping or the idempotency key was claimed before.
        """
        async with self._alone(claim.request.contact_keys):
            claimed = await self._claims.ask(claim)
        if claimed is not None:
            return claimed
        standing = await self.claimed(_post_of(claim))
        if standing is None:
            raise RuntimeError("a lead was claimed and then not found")
        return Claimed(standing=standing)

    @asynccontextmanager
    async def _alone(self, contact_keys: Sequence[str]) -> AsyncIterator[None]:
        """While no other claim of this worker with any of these keys is under way."""
        under_way = self._under_way
        while under_way and (before := next(filter(None, map(under_way.get, contact_keys)), None)):
            # Shielded: who is given up here must not end it for its claim and all who wait.
            await asyncio.shield(before)
        ended = asyncio.get_running_loop().create_future()
        under_way.update(dict.fromkeys(contact_keys, ended))
        try:
            yield
        finally:
            for key in contact_keys:
                del under_way[key]
            ended.set_result(None)

    async def claimed(self, post: Post) -> LeadStatus | None:
        """The lead a ping or an idempotency key was already posted as, if any."""
        return await self._lookups.ask(post)

    async def status(self, lead_id: LeadId) -> LeadStatus | None:
        """What the books say of a lead."""
        row = await self._postgres.row("lead_status", lead_id)
        return None if row is None else _status(row)

    async def _claim(self, claims: Sequence[Claim]) -> Sequence[Claimed | None]:
        """One transaction; None for leads that stood already, or stand now by one before them."""
        places = _first_of_each(claims)
        written = await self._write([claims[place] for place in places])
        answers: list[Claimed | None] = [None] * len(claims)
        for place, answer in zip(places, written, strict=True):
            answers[place] = answer
        return answers

    async def _write(self, claims: Sequence[Claim]) -> list[Claimed | None]:
        sales = [(n, c.outright) for n, c in enumerate(claims, 1) if c.outright is not None]
        row = await self._postgres.row(
            "claim_leads",
            claims[0].owner,
            *_leads(claims),
            *_refusals(claims),
            *_legs(claims),
            *_sales(sales),
            *self._windows,
        )
        if row is None:
            raise RuntimeError("claim_leads gave no row")
        changes = read_changes(row["changes"])
        answers: list[Claimed | None] = [None] * len(claims)
        for n in row["claimed"] or ():
            answers[n - 1] = _CLAIMED
        for n, is_open in zip(row["refused"] or (), row["while_open"] or (), strict=True):
            reason = Reason.CONTACT_CLAIMED if is_open else Reason.CONTACT_SOLD
            answers[n - 1] = Claimed(refusal=_refusal(claims[n - 1], reason))
        for place in row["sold"] or ():
            n, sale = sales[place - 1]
            change = changes[sale.assignment.ranked.company_id]
            answers[n - 1] = Claimed(is_sold=True, change=change)
        return answers

    async def _look_up(self, posts: Sequence[Post]) -> Sequence[LeadStatus | None]:
        columns = [list(column) for column in zip(*posts, strict=True)]
        found: list[LeadStatus | None] = [None] * len(posts)
        for row in await self._postgres.rows("leads_of_posts", *columns):
            found[row["nth"] - 1] = _status(row)
        return found


def _first_of_each(claims: Sequence[Claim]) -> list[int]:
    """The places of the claims before which none has the same ping or idempotency key."""
    pings: set[str] = set()
    keys: set[tuple[str, str]] = set()
    places = []
    for place, claim in enumerate(claims):
        ping_id, seller_id, key = _post_of(claim)
        if ping_id not in pings and (seller_id, key) not in keys:
            pings.add(ping_id)
            keys.add((seller_id, key))
            places.append(place)
    return places


def _post_of(claim: Claim) -> Post:
    request = claim.request
    return request.ping_id, request.seller_id, request.idempotency_key


def _leads(claims: Sequence[Claim]) -> list[list[Any]]:
    """The columns of the leads."""
    requests = [claim.request for claim in claims]
    return [
        [claim.lead_id for claim in claims],
        [request.ping_id for request in requests],
        [request.seller_id for request in requests],
        [claim.offer.vertical for claim in claims],
        [claim.offer.test for claim in claims],
        [request.idempotency_key for request in requests],
        [request.body_hash for request in requests],
        [encode_offer(claim.offer) for claim in claims],
        [claim.sealed.data for claim in claims],
        [claim.sealed.key_id for claim in claims],
        [" ".join(request.contact_keys) for request in requests],
        [request.received_at for request in requests],
        [claim.deadline_at for claim in claims],
    ]


def _refusals(claims: Sequence[Claim]) -> list[list[bytes]]:
    """The columns of the answers where the contact was sold, and where it is being sold."""
    return [
        [encode_answer(_refusal(claim, reason)) for claim in claims]
        for reason in (Reason.CONTACT_SOLD, Reason.CONTACT_CLAIMED)
    ]


def _refusal(claim: Claim, reason: Reason) -> PostResult:
    return PostResult(
        ping_id=claim.request.ping_id, lead_id=claim.lead_id, status="refused", reason=reason
    )


def _legs(claims: Sequence[Claim]) -> list[list[int]]:
    """The columns of the legs: whose each is, its number, what was promised for it."""
    legs = [
        (n, leg, cents)
        for n, claim in enumerate(claims, 1)
        for leg, cents in enumerate(claim.offer.legs_cents)
    ]
    return [[row[column] for row in legs] for column in range(3)]


def _sales(sales: Sequence[tuple[int, Outright]]) -> list[list[Any]]:
    """The columns of the outright sales, and of their campaigns' caps."""
    made = [sale for _, sale in sales]
    ranked = [sale.assignment.ranked for sale in made]
    caps: CapColumns = caps_of([(sale.campaign, sale.now) for sale in made])
    return [
        [n for n, _ in sales],
        [sale.delivery_id for sale in made],
        [sale.assignment.place for sale in made],
        [one.company_id for one in ranked],
        [one.campaign_id for one in ranked],
        [one.charged_cents for one in ranked],
        [sale.assignment.seller_cents for sale in made],
        [sale.day for sale in made],
        [sale.now for sale in made],
        [sale.now + timedelta(seconds=sale.rejection_window_s) for sale in made],
        [sale.kind for sale in made],
        [encode_answer(sale.answer) for sale in made],
        caps.whose,
        caps.periods,
        caps.starts,
        caps.leads,
        caps.spend,
    ]


def _status(row: Record) -> LeadStatus:
    answer = row["answer"]
    return LeadStatus(
        lead_id=row["id"],
        ping_id=row["ping_id"],
        seller_id=row["seller_id"],
        body_hash=row["body_hash"],
        owner=row["owner"],
        answer=None if answer is None else _decode_answer(answer),
    )
