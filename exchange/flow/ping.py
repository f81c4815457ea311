"""A ping: screened, auctioned, and its offer kept, in one pass. Source: rules §3, §7.

Decides nothing itself. The only waits on the way are for companies' own bidders, where any may
bid, and for the fast store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from exchange.core.auction import NOTHING_HEARD, Decision, decide, in_line, tell_whole
from exchange.core.index import Gated
from exchange.core.market import Market
from exchange.core.model import Offer, Ping
from exchange.core.pricing import seller_price
from exchange.core.quality.consent import judge_consent, parts_given
from exchange.core.quality.flaws import Flaw
from exchange.core.quality.grading import Grading
from exchange.core.race import race
from exchange.core.reasons import Reason
from exchange.core.remote import Hearing
from exchange.core.screen import DuplicateWindows, SeenContact, bought_before, screen
from exchange.core.short_race import is_under_contract, short_race
from exchange.core.verticals import Vertical
from exchange.flow.asking import Asking
from exchange.flow.ports import Clock, KeptFacts, Offers, Receipt, Receipts

_encode = msgspec.json.Encoder().encode
_UNSEEN: Final = SeenContact()

SPELLED_OUT: Final = 50
"""Campaigns of a vertical up to which a receipt names each; beyond, contenders and counts."""

MOST_BARRED: Final = 200
"""Companies a receipt names that may not have the contact; of more, it says only how many."""

_LEAD_AGE: Final = Reason.LEAD_AGE.code
_CONSENT: Final = Reason.CONSENT_DEMANDED.code


class PingTerms(Struct, frozen=True, kw_only=True):
    """What a ping is judged by besides the market: windows, the draw's key, seconds of grace.

    An expired offer is known for ``grace_s`` more seconds, so that a late post learns why.
    """

    windows: DuplicateWindows
    draw_key: bytes
    grace_s: int


class Lap:
    """How long each stage of a ping took, in nanoseconds; what went by between was other pings'.

    ``asked_at`` and ``kept_at`` are the stopwatch's readings when bidders and the fast store were
    asked.
    """

    __slots__ = ("ask_ns", "asked_at", "kept_at", "match_ns", "rank_ns", "store_ns")

    def __init__(self, match_ns: int) -> None:
        self.match_ns = match_ns
        self.rank_ns = 0
        self.ask_ns = 0
        self.asked_at = 0
        self.store_ns = 0
        self.kept_at = 0

    def stages_us(self) -> dict[str, int]:
        """The stages in microseconds, those that were needed."""
        stages = {"match": self.match_ns // 1000, "rank": self.rank_ns // 1000}
        if self.ask_ns:
            stages["ask"] = self.ask_ns // 1000
        if self.kept_at:
            stages["store"] = self.store_ns // 1000
        return stages


class Decided(Struct, frozen=True, gc=False):
    """What a ping came to before the fast store is asked about its contact: all but kept.

    ``body`` is the offer as it is written, empty where there is none. ``market`` is the version of
    the market it was decided over.
    """

    ping: Ping
    attributes: Raw
    now: datetime
    heard: Hearing
    decision: Decision
    offer: Offer | None
    body: bytes
    ttl_s: int
    lap: Lap
    market: int


class Opened(Struct, frozen=True, gc=False):
    """A ping that is taken, before the auction: who may bid on it now."""

    ping: Ping
    attributes: Raw
    now: datetime
    gated: Gated
    lap: Lap


class Pinging:
    """Answers pings. Without ``asking`` campaigns with bidders of their own never bid.

    The contact is taken to be new, and the store is asked once, while it keeps the offer. Only
    where something is known of it is the auction held again, without who is not to have it.
    Without ``grading`` no lead has a flaw.
    """

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
        grading: Grading | None = None,
    ) -> None:
        self._market = market
        self._offers = offers
        self._receipts = receipts
        self._clock = clock
        self._terms = terms
        self._today = today
        self._stopwatch = stopwatch
        self._asking = asking
        self._grading = grading

    async def ping(self, ping: Ping) -> Receipt:
        """Hold the auction for a ping; gives its receipt, which says what to answer."""
        opened = self.open(ping, self.now())
        if isinstance(opened, Receipt):
            return opened
        heard = NOTHING_HEARD
        if self.must_ask(opened):
            opened, heard = await self.ask(opened)
        decided = self.decide(opened, heard)
        known = (await self.keep([decided]))[0] if self.must_keep(decided) else None
        return self.close(decided) if known is None else await self.decide_again(decided, known)

    async def ask(self, opened: Opened) -> tuple[Opened, Hearing]:
        """Ask companies' own bidders; gives what they said, and who may bid by now."""
        assert self._asking is not None
        ping, index = opened.ping, self._market.indexes[opened.ping.vertical]
        opened.lap.asked_at = self._stopwatch()
        heard = await self._asking.ask(ping, opened.attributes, index, opened.gated)
        return self.open_again(opened, self.now()), heard

    def begin_asking(self, opened: Opened, told: Callable[[Hearing], None]) -> None:
        """Ask companies' own bidders; ``told`` hears what they said, maybe before this returns.

        Who may bid by then is `open_again`'s to say.
        """
        assert self._asking is not None
        ping, index = opened.ping, self._market.indexes[opened.ping.vertical]
        opened.lap.asked_at = self._stopwatch()
        self._asking.begin(ping, opened.attributes, index, opened.gated, told)

    def open_again(self, opened: Opened, now: datetime) -> Opened:
        """A ping whose bidders have been asked: who may bid on it by now."""
        ping = opened.ping
        gated = self._market.indexes[ping.vertical].gate(ping, now)
        opened.lap.ask_ns = self._stopwatch() - opened.lap.asked_at
        return Opened(ping, opened.attributes, now, gated, opened.lap)

    def must_ask(self, opened: Opened) -> bool:
        """Whether companies' own bidders may bid on a ping."""
        index = self._market.indexes[opened.ping.vertical]
        return self._asking is not None and opened.gated.mask & index.remote != 0

    def now(self) -> datetime:
        """The present, for pings that are opened together."""
        return self._clock.now()

    def open(self, ping: Ping, now: datetime) -> Receipt | Opened:
        """Screen a ping and see who may bid on it; a refused one has its receipt."""
        started = self._stopwatch()
        attributes = Raw(_encode(ping.attributes))
        refused = self._screen(ping, _UNSEEN, now)
        if refused is not None:
            return self._refuse(ping, attributes, now, refused)
        if self._grading is not None:
            ping = self._grading.ping(ping, now)
            if ping.flaws and (refused := self._grading.ping_refused(ping)) is not None:
                return self._refuse(ping, attributes, now, refused)
        self._market.move_to(self._today(now))
        gated = self._market.indexes[ping.vertical].gate(ping, now)
        return Opened(ping, attributes, now, gated, Lap(self._stopwatch() - started))

    def decide(self, opened: Opened, heard: Hearing = NOTHING_HEARD) -> Decided:
        """Hold the auction, and write its offer."""
        return self.write(opened, heard, self.hold(opened, heard))

    def hold(self, opened: Opened, heard: Hearing) -> Decision:
        """Hold the auction: every campaign spelled out where they are few, else the contenders."""
        started = self._stopwatch()
        market, ping, now, key = self._market, opened.ping, opened.now, self._terms.draw_key
        if len(market.indexes[ping.vertical].runners) > SPELLED_OUT:
            decision = race(market, ping, now, key, heard, opened.gated)
        elif is_under_contract(market, ping, now):
            decision = decide(market, ping, now, key, heard, opened.gated)
        else:
            decision = short_race(market, ping, now, key, heard, opened.gated)
        opened.lap.rank_ns += self._stopwatch() - started
        return decision

    def write(self, opened: Opened, heard: Hearing, decision: Decision) -> Decided:
        """Make an auction's offer, and write it."""
        started = self._stopwatch()
        ping, attributes, now, lap = opened.ping, opened.attributes, opened.now, opened.lap
        market = self._market
        offer = self._offer(ping, attributes, decision, now)
        body = b"" if offer is None else _encode(offer)
        ttl_s = market.verticals[ping.vertical].offer_life_s + self._terms.grace_s
        lap.rank_ns += self._stopwatch() - started
        return Decided(
            ping, attributes, now, heard, decision, offer, body, ttl_s, lap, market.version
        )

    def must_keep(self, decided: Decided) -> bool:
        """Whether the fast store is to be asked about a ping: for its offer or its contact."""
        return decided.offer is not None or bool(decided.ping.contact_keys)

    def keep(self, decided: Sequence[Decided]) -> asyncio.Future[Sequence[SeenContact | None]]:
        """Keep offers, each unless its contact is known; gives what is, None where nothing."""
        asked_at = self._stopwatch()
        for one in decided:
            one.lap.kept_at = asked_at
        return self._offers.put_unseen([(one.ping, one.body, one.ttl_s) for one in decided])

    def close(self, decided: Decided) -> Receipt:
        """The offer is kept: its receipt."""
        ping, offer, decision, lap = decided.ping, decided.offer, decided.decision, decided.lap
        if lap.kept_at:
            lap.store_ns = self._stopwatch() - lap.kept_at
        receipt = self._receipt(
            ping,
            decided.attributes,
            decided.now,
            "no_offer" if offer is None else "offer",
            reason=Reason.NO_BID if offer is None else None,
            reasons=decision.reasons,
            decision=decision,
            offer=offer,
            timings_us=lap.stages_us(),
            market=decided.market,
            facts=facts_of(ping, offer, decision.reasons),
        )
        self._receipts.keep(receipt, decided.body)
        return receipt

    async def decide_again(self, decided: Decided, seen: SeenContact) -> Receipt:
        """Something is known of the contact: the auction once more, without who may not have it."""
        ping, now = decided.ping, decided.now
        refused = self._screen(ping, seen, now)
        if refused is not None:
            return self._refuse(ping, decided.attributes, now, refused)
        ping = replace(
            ping,
            sold_to=bought_before(ping, seen, self._terms.windows, now),
            suppressed_by=seen.suppressed_by,
        )
        gated = self._market.indexes[ping.vertical].gate(ping, now)
        opened = Opened(ping, decided.attributes, now, gated, decided.lap)
        ranked_before = decided.lap.rank_ns
        again = self.decide(opened, decided.heard)
        # The store did not take what the second auction did.
        decided.lap.kept_at += decided.lap.rank_ns - ranked_before
        if again.offer is not None:
            await self._offers.put(ping.ping_id, again.body, again.ttl_s)
        return self.close(again)

    def _screen(self, ping: Ping, seen: SeenContact, now: datetime) -> Reason | None:
        return screen(ping, self._market.verticals[ping.vertical], seen, self._terms.windows, now)

    def _refuse(self, ping: Ping, attributes: Raw, now: datetime, reason: Reason) -> Receipt:
        if Reason.CONSENT_INCOMPLETE <= reason <= Reason.CONSENT_TEXT:
            flaws = _consent_flaws(ping, self._market.verticals[ping.vertical], now)
            ping = replace(ping, flaws=flaws)
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
            quality_score=ping.quality_score,
            flaws=ping.flaws,
            consent=ping.consent,
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
        market: int = 0,
        facts: KeptFacts | None = None,
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
            test=ping.test,
            quality_score=ping.quality_score,
            flaws=ping.flaws,
            source=ping.source if offer is None else {},
            market=market,
            facts=facts,
        )


def _consent_flaws(ping: Ping, vertical: Vertical, now: datetime) -> tuple[Flaw, ...]:
    """What is wrong with a refused ping's proof of consent, in words."""
    rules = vertical.consent
    fault = None if rules is None else judge_consent(ping.consent, rules, now)
    return () if fault is None else (fault.as_flaw(),)


def facts_of(ping: Ping, offer: Offer | None, reasons: Mapping[str, int]) -> KeptFacts | None:
    """What campaigns fell for and the receipt does not tell otherwise; None mostly."""
    barred = bool(ping.suppressed_by or ping.sold_to)
    aged = offer is None and _LEAD_AGE in reasons
    unproven = offer is None and _CONSENT in reasons
    if not (barred or aged or unproven):
        return None
    is_few = len(ping.suppressed_by) + len(ping.sold_to) <= MOST_BARRED
    return KeptFacts(
        captured_at=ping.captured_at if aged else None,
        proofs=tuple(sorted(parts_given(ping.consent))) if unproven else None,
        suppressed_by=tuple(sorted(ping.suppressed_by)) if is_few else (),
        sold_to=tuple(sorted(ping.sold_to)) if is_few else (),
    )


def tell_line(receipt: Receipt, draw_key: bytes) -> Receipt:
    """A receipt with those in line for its offer among its candidates.

    They are kept once, in the offer, and told when somebody reads.
    """
    told = tell_whole(receipt.candidates, receipt.offer, draw_key, receipt.ping_id)
    return receipt if told is receipt.candidates else replace(receipt, candidates=told)
