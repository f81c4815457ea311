"""A ping: screened, auctioned, and its offer kept, in one pass. Source: rules §3, §7.

Decides nothing itself; the only wait on the way is for the fast store.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta

import msgspec
from msgspec import Raw, Struct

from exchange.core.auction import Decision, decide, in_line
from exchange.core.market import Market
from exchange.core.model import Offer, Ping
from exchange.core.pricing import seller_price
from exchange.core.reasons import Reason
from exchange.core.screen import DuplicateWindows, screen
from exchange.flow.ports import Clock, Offers, Receipt, Receipts

_encode = msgspec.json.Encoder().encode


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
        """Hold the auction for a ping; gives its receipt, which says what to answer."""
        started = self._stopwatch()
        now = self._clock.now()
        vertical = self._market.verticals[ping.vertical]
        seen = await self._offers.look(ping.contact_keys, ping.seller_id)
        refused = screen(ping, vertical, seen, self._terms.windows, now)
        screened = self._stopwatch()
        attributes = Raw(_encode(ping.attributes))
        if refused is not None:
            receipt = self._receipt(
                ping, attributes, now, "refused", reason=refused, reasons={refused.code: 1}
            )
            self._receipts.keep(receipt)
            return receipt
        if seen.sold_to:
            ping = msgspec.structs.replace(ping, sold_to=seen.sold_to)
        self._market.move_to(self._today(now))
        decision = decide(self._market, ping, now, self._terms.draw_key)
        decided = self._stopwatch()
        offer = self._offer(ping, attributes, decision, now) if decision.award.winners else None
        if offer is not None:
            await self._offers.put(offer, vertical.offer_life_s + self._terms.grace_s)
        stored = self._stopwatch()
        receipt = self._receipt(
            ping,
            attributes,
            now,
            "no_offer" if offer is None else "offer",
            reason=Reason.NO_BID if offer is None else None,
            reasons=decision.reasons,
            decision=decision,
            offer=offer,
            timings_us={
                "screen": (screened - started) // 1000,
                "decide": (decided - screened) // 1000,
                "store": (stored - decided) // 1000,
            },
        )
        self._receipts.keep(receipt)
        return receipt

    def _offer(self, ping: Ping, attributes: Raw, decision: Decision, now: datetime) -> Offer:
        policy, award = self._market.policy, decision.award
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
