"""What campaigns demand of a lead's quality, as masks over their slots.

Agrees with `quality.requires.demand_unmet` on every campaign. Source: rules §3.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from exchange.core.masks import Bounds
from exchange.core.model import Ping
from exchange.core.quality.consent import parts_given
from exchange.core.quality.flaws import BEST_SCORE, has_place_flaw
from exchange.core.quality.requires import Requires
from exchange.core.reasons import Reason

REMEMBERED_PROOFS: Final = 4_096
"""Sets of names of consent whose answer is kept until a campaign changes; then counted anew."""


class DemandIndex:
    """The demands of the campaigns of one vertical; ``everyone`` are those that have any."""

    __slots__ = ("_consent", "_place", "_proofs", "_scores", "everyone")

    def __init__(self) -> None:
        self.everyone = 0
        self._scores = Bounds()
        self._place = 0
        self._consent: dict[str, int] = {}
        self._proofs: dict[frozenset[str], int] = {}

    def add(self, requires: Requires, bit: int) -> None:
        """Put a campaign's demands in."""
        self.everyone |= bit
        self._proofs.clear()
        if requires.min_score:
            self._scores.add(requires.min_score, bit)
        if requires.place_consistent:
            self._place |= bit
        for name in requires.consent:
            self._consent[name] = self._consent.get(name, 0) | bit

    def remove(self, requires: Requires, bit: int) -> None:
        """Take a campaign's demands out."""
        self.everyone &= ~bit
        self._proofs.clear()
        if requires.min_score:
            self._scores.remove(requires.min_score, bit)
        self._place &= ~bit
        for name in set(requires.consent):
            left = self._consent[name] & ~bit
            if left:
                self._consent[name] = left
            else:
                del self._consent[name]

    def unmet(self, ping: Ping) -> Iterator[tuple[Reason, int]]:
        """The campaigns whose demands a ping does not meet, by reason in the order they are told.

        One campaign may be among those of several reasons.
        """
        if ping.quality_score < BEST_SCORE and self._scores.everyone:
            yield Reason.SCORE_BELOW, self._scores.everyone ^ self._scores.up_to(ping.quality_score)
        if self._place and ping.flaws and has_place_flaw(ping.flaws):
            yield Reason.PLACE_DEMANDED, self._place
        if self._consent:
            yield Reason.CONSENT_DEMANDED, self._without_proof(parts_given(ping.consent))

    def _without_proof(self, given: frozenset[str]) -> int:
        known = self._proofs.get(given)
        if known is None:
            known = 0
            for name, mask in self._consent.items():
                if name not in given:
                    known |= mask
            if len(self._proofs) >= REMEMBERED_PROOFS:
                self._proofs.clear()
            self._proofs[given] = known
        return known
