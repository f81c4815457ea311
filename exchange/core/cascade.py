"""Who gets a leg next when the company in line cannot or will not take it.

Source: rules §7 (falling to the next rank) and §8 (failures, refusals, unclear outcomes). Pure
planning over an offer; reserving and delivering are elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

from exchange.core.model import Offer, Policy, Ranked
from exchange.core.pricing import cascade_price
from exchange.core.reasons import CONTACT_REASONS, Reason

Result = Literal["accepted", "refused", "failed", "unclear", "no_room"]
"""What came of one company's turn: ``no_room`` is a gate, cap, budget or balance, not delivered."""


class Turn(Struct, frozen=True, kw_only=True):
    """One company's turn at one leg, and what came of it; ``place`` counts from 0 in the ranks."""

    leg: int
    place: int
    result: Result
    reason: Reason | None = None


class Assignment(Struct, frozen=True, kw_only=True):
    """The next company for a leg, and the seller's price if it takes it, in cents."""

    leg: int
    place: int
    ranked: Ranked
    seller_cents: int


def next_assignments(offer: Offer, turns: Sequence[Turn], policy: Policy) -> list[Assignment]:
    """The next company for every leg that is still open; empty when nothing is left to try.

    A leg is open until it is accepted, or held after an unclear outcome of an exclusive lead.
    No company gets two turns at one lead.
    """
    used = {turn.place for turn in turns}
    free = [place for place in range(len(offer.ranks)) if place not in used]
    found: list[Assignment] = []
    for leg, promised in enumerate(offer.legs_cents):
        if _is_closed(offer, leg, turns, policy):
            continue
        for place in free:
            ranked = offer.ranks[place]
            price = cascade_price(
                charged_cents=ranked.charged_cents,
                promised_cents=promised,
                min_price_cents=offer.min_price_cents,
                cascade=offer.cascade,
                take_rate_bp=offer.take_rate_bp,
            )
            if price is not None:
                free.remove(place)
                found.append(Assignment(leg=leg, place=place, ranked=ranked, seller_cents=price))
                break
    return found


def _is_closed(offer: Offer, leg: int, turns: Sequence[Turn], policy: Policy) -> bool:
    for turn in turns:
        if turn.leg != leg:
            continue
        if turn.result == "accepted":
            return True
        if turn.result == "unclear" and offer.share == 1 and policy.unclear == "hold":
            return True
    return False


_TOLD: Final = frozenset({*CONTACT_REASONS, Reason.LOW_SCORE, Reason.TRIAL_FULL})
"""What a seller reads of the turns that were none: of its contact, and of its contracts."""


def why_unsold(turns: Sequence[Turn]) -> Reason:
    """The reason a seller reads for a leg nobody took: the gravest of what its turns met."""
    results = {turn.result for turn in turns}
    if "unclear" in results:
        return Reason.DELIVERY_UNCLEAR
    if "failed" in results:
        return Reason.DELIVERY_FAILED
    if "refused" in results:
        return Reason.COMPANY_REFUSED
    told = [turn.reason for turn in turns if turn.reason in _TOLD]
    if told and len(told) == len(turns) and told[0] is not None:
        # Every company in line would have bought it with another contact, or under other terms.
        return told[0]
    return Reason.NO_BUYER_LEFT
