"""A ping: screened, auctioned, and its offer kept, in one pass. Source: rules §3, §7.

Decides nothing itself. The only waits on the way are for companies' own bidders, where any may
bid, and for the fast store.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Final

import msgspec
from msgspec import Raw, Struct

from exchange.core.auction import NOTHING_HEARD, Decision, decide, in_line, line_of
from exchange.core.index import Gated
from exchange.core.market import Market
from exchange.core.model import Offer, Ping
from exchange.core.pricing import seller_price
from exchange.core.race import race
from exchange.core.reasons import Reason
from exchange.core.remote import Hearing
from exchange.core.screen import DuplicateWindows, SeenContact, screen
from exchange.flow.asking import Asking
from exchange.flow.ports import Clock, Offers, Receipt, Receipts

_encode = msgspec.json.Encoder().encode
_UNSEEN: Final = SeenContact()

SPELLED_OUT: Final = 50
"""Campaigns of a vertical up to which a receipt names each; beyond, contenders and counts."""


class PingTerms(Struct, frozen=True, kw_only=True):
    """What a ping is judged by besides the market: windows, the draw's key, seconds of grace.

    An expired offer is known for ``grace_s`` more seconds, so that a late post learns why.
    """

    windows: DuplicateWindows
    draw_key: bytes
    grace_s: int


class _Lap:
    """How long each stage of a ping took, by a stopwatch in nanoseconds."""

    __slots__ = ("_at", "_stopwatch", "stages_us")

    def __init__(self, stopwatch: Callable[[], int]) -> None:
        self._stopwatch = stopwatch
        self._at = stopwatch()
        self.stages_us: dict[str, int] = {}

    def note(self, stage: str) -> None:
        """A stage ended; one that comes again is added to."""
        now = self._stopwatch()
        self.stages_us[stage] = self.stages_us.get(stage, 0) + (now - self._at) // 1000
        self._at = now


class Pinging:
    """Answers pings. Without ``asking`` campaigns with bidders of their own never bid."""

    def __init__(
        self,
        *,
        market: Market,
        offers: Offers,
        receipts: Receipts,
        clock: Clock,
        terms: PingTerms,
        today: Callable[[datetime], date],
        stopwatch: Callable[[], int],
        asking: Asking | None = None,
    ) -> None:
        self._market = market
        self._offers = offers
        self._receipts = receipts
        self._clock = clock
        self._terms = terms
        self._today = today
        self._stopwatch = stopwatch
        self._asking = asking

    async def ping(self, ping: Ping) -> Receipt:
        """Hold the auction for a ping; gives its receipt, which says what to answer.

        The contact is taken to be new, and the store is asked once, while it keeps the offer. Only
        where it was sold before is what is known of it fetched, and the auction held again.
        """
        lap = _Lap(self._stopwatch)
        now = self._clock.now()
        attributes = Raw(_encode(ping.attributes))
        refused = self._screen(ping, _UNSEEN, now)
        if refused is not None:
            return self._refuse(ping, attributes, now, refused)
        self._market.move_to(self._today(now))
        index = self._market.indexes[ping.vertical]
        heard = NOTHING_HEARD
        gated: Gated | None = index.gate(ping, now)
        lap.note("match")
        if self._asking is not None and gated and gated.mask & index.remote:
            heard = await self._asking.ask(ping, attributes, index, gated)
            now, gated = self._clock.now(), None
            lap.note("ask")
        decision = self._decide(ping, now, heard, gated)
        offer = self._offer(ping, attributes, decision, now)
        lap.note("rank")
        ttl_s = self._market.verticals[ping.vertical].offer_life_s + self._terms.grace_s
        if offer is not None or ping.contact_keys:
            unseen = await self._offers.put_unseen(ping.ping_id, ping.contact_keys, offer, ttl_s)
            if not unseen:
                seen = await self._offers.look(ping.contact_keys, ping.seller_id)
                refused = self._screen(ping, seen, now)
                if refused is not None:
                    return self._refuse(ping, attributes, now, refused)
                ping = msgspec.structs.replace(ping, sold_to=seen.sold_to)
                decision = self._decide(ping, now, heard, None)
                offer = self._offer(ping, attributes, decision, now)
                if offer is not None:
                    await self._offers.put(offer, ttl_s)
            lap.note("store")
        receipt = self._receipt(
            ping,
            attributes,
            now,
            "no_offer" if offer is None else "offer",
            reason=Reason.NO_BID if offer is None else None,
            reasons=decision.reasons,
            decision=decision,
            offer=offer,
            timings_us=lap.stages_us,
        )
        self._receipts.keep(receipt)
        return receipt

    def _screen(self, ping: Ping, seen: SeenContact, now: datetime) -> Reason | None:
        return screen(ping, self._market.verticals[ping.vertical], seen, self._terms.windows, now)

    def _decide(self, ping: Ping, now: datetime, heard: Hearing, gated: Gated | None) -> Decision:
        """Hold the auction: every campaign spelled out where they are few, else the contenders."""
        if len(self._market.indexes[ping.vertical].runners) <= SPELLED_OUT:
            return decide(self._market, ping, now, self._terms.draw_key, heard)
        return race(self._market, ping, now, self._terms.draw_key, heard, gated)

    def _refuse(self, ping: Ping, attributes: Raw, now: datetime, reason: Reason) -> Receipt:
        receipt = self._receipt(
            ping, attributes, now, "refused", reason=reason, reasons={reason.code: 1}
        )
        self._receipts.keep(receipt)
        return receipt

    def _offer(
        self, ping: Ping, attributes: Raw, decision: Decision, now: datetime
    ) -> Offer | None:
        policy, award = self._market.policy, decision.award
        if not award.winners:
            return None
        vertical = self._market.verticals[ping.vertical]
        winners = award.ranks[: award.winners]
        return Offer(
            ping_id=ping.ping_id,
            seller_id=ping.seller_id,
            vertical=ping.vertical,
            attributes=attributes,
            contact_hashes=ping.contact_hashes,
            contact_keys=ping.contact_keys,
            source=ping.source,
            share=award.share,
            legs_cents=tuple(
                [seller_price(bid.charged_cents, policy.take_rate_bp) for bid in winners]
            ),
            ranks=in_line(award, policy.max_ranks),
            min_price_cents=ping.min_price_cents,
            cascade=ping.cascade,
            take_rate_bp=policy.take_rate_bp,
            test=ping.test,
            captured_at=ping.captured_at,
            decided_at=now,
            expires_at=now + timedelta(seconds=vertical.offer_life_s),
        )

    def _receipt(
        self,
        ping: Ping,
        attributes: Raw,
        now: datetime,
        status: str,
        *,
        reason: Reason | None,
        reasons: dict[str, int],
        decision: Decision | None = None,
        offer: Offer | None = None,
        timings_us: dict[str, int] | None = None,
    ) -> Receipt:
        return Receipt(
            ping_id=ping.ping_id,
            seller_id=ping.seller_id,
            vertical=ping.vertical,
            attributes=attributes,
            status=status,  # type: ignore[arg-type]
            decided_at=now,
            max_buyers=ping.max_buyers,
            min_price_cents=ping.min_price_cents,
            share=None if offer is None else offer.share,
            legs_cents=() if offer is None else offer.legs_cents,
            expires_at=None if offer is None else offer.expires_at,
            reason=reason,
            reasons=reasons,
            premium=decision is not None and decision.premium,
            candidates=() if decision is None else decision.candidates,
            timings_us=timings_us or {},
            offer=offer,
            source=ping.source if offer is None else {},
            test=ping.test,
        )


def tell_line(receipt: Receipt, draw_key: bytes) -> Receipt:
    """A receipt with those in line for its offer among its candidates.

    Over many campaigns they are kept once, in the offer, and told when somebody reads.
    """
    offer = receipt.offer
    if offer is None or any(candidate.rank is not None for candidate in receipt.candidates):
        return receipt
    return msgspec.structs.replace(
        receipt, candidates=(*line_of(offer, draw_key), *receipt.candidates)
    )
