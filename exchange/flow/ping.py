"""A ping: screened, auctioned, and its offer kept, in one pass. Source: rules §3, §7.

Decides nothing itself; the only wait on the way is for the fast store.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Final

import msgspec
from msgspec import Raw, Struct

from exchange.core.auction import Decision, decide, in_line
from exchange.core.market import Market
from exchange.core.model import Offer, Ping
from exchange.core.pricing import seller_price
from exchange.core.race import race
from exchange.core.reasons import Reason
from exchange.core.screen import DuplicateWindows, SeenContact, screen
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


class Pinging:
    """Answers pings."""

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
    ) -> None:
        self._market = market
        self._offers = offers
        self._receipts = receipts
        self._clock = clock
        self._terms = terms
        self._today = today
        self._stopwatch = stopwatch

    async def ping(self, ping: Ping) -> Receipt:
        """Hold the auction for a ping; gives its receipt, which says what to answer.

        The contact is taken to be new, and the store is asked once, while it keeps the offer. Only
        where it was sold before is what is known of it fetched, and the auction held again.
        """
        started = self._stopwatch()
        now = self._clock.now()
        attributes = Raw(_encode(ping.attributes))
        refused = self._screen(ping, _UNSEEN, now)
        if refused is not None:
            return self._refuse(ping, attributes, now, refused)
        decision = self._decide(ping, now)
        offer = self._offer(ping, attributes, decision, now)
        decided = self._stopwatch()
        ttl_s = self._market.verticals[ping.vertical].offer_life_s + self._terms.grace_s
        if offer is not None or ping.contact_keys:
            unseen = await self._offers.put_unseen(ping.ping_id, ping.contact_keys, offer, ttl_s)
            if not unseen:
                seen = await self._offers.look(ping.contact_keys, ping.seller_id)
                refused = self._screen(ping, seen, now)
                if refused is not None:
                    return self._refuse(ping, attributes, now, refused)
                ping = msgspec.structs.replace(ping, sold_to=seen.sold_to)
                decision = self._decide(ping, now)
                offer = self._offer(ping, attributes, decision, now)
                if offer is not None:
                    await self._offers.put(offer, ttl_s)
        timings_us = {
            "decide": (decided - started) // 1000,
            "store": (self._stopwatch() - decided) // 1000,
        }
        receipt = self._receipt(
            ping,
            attributes,
            now,
            "no_offer" if offer is None else "offer",
            reason=Reason.NO_BID if offer is None else None,
            reasons=decision.reasons,
            decision=decision,
            offer=offer,
            timings_us=timings_us,
        )
        self._receipts.keep(receipt)
        return receipt

    def _screen(self, ping: Ping, seen: SeenContact, now: datetime) -> Reason | None:
        return screen(ping, self._market.verticals[ping.vertical], seen, self._terms.windows, now)

    def _decide(self, ping: Ping, now: datetime) -> Decision:
        """Hold the auction: every campaign spelled out where they are few, else the contenders."""
        self._market.move_to(self._today(now))
        few = len(self._market.indexes[ping.vertical].runners) <= SPELLED_OUT
        return (decide if few else race)(self._market, ping, now, self._terms.draw_key)

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
                seller_price(bid.charged_cents, policy.take_rate_bp) for bid in winners
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
        )
