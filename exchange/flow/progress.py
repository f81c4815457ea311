"""What a lead has come to so far while it is taken down the ranks, and the answer that makes.

Source: rules §2, §7.
"""

from __future__ import annotations

from exchange.core.cascade import Assignment, Turn, why_unsold
from exchange.core.contract import NamedClause
from exchange.core.lifecycle import Event, State, advance
from exchange.core.reasons import Reason
from exchange.flow.ports import Attempt, LegResult, OpenLead, PostResult


class Progress:
    """What a lead has come to so far, while it is taken down the ranks."""

    def __init__(self, lead: OpenLead) -> None:
        self.lead = lead
        self.turns = list(lead.turns)
        self.states = list(lead.legs)
        self.sold_cents = dict(lead.sold_cents)
        self._redirects: dict[int, str] = {}
        self._clauses: dict[tuple[int, Reason], NamedClause] = {}

    def advance(self, leg: int, event: Event) -> None:
        """Move a leg along the life cycle."""
        if event is Event.CLAIMED and self.states[leg] is State.DELIVERING:
            return  # A further company's turn at a leg that is being delivered already.
        self.states[leg] = advance(self.states[leg], event)

    def no_room(
        self, assignment: Assignment, reason: Reason, clause: NamedClause | None = None
    ) -> None:
        """Note that a company in line had no room, or may not buy; ``clause`` is its contract's."""
        if clause is not None:
            self._clauses.setdefault((assignment.leg, reason), clause)
        self.turns.append(
            Turn(leg=assignment.leg, place=assignment.place, result="no_room", reason=reason)
        )

    def turned(self, assignment: Assignment, attempt: Attempt) -> None:
        """Note what a delivery came to."""
        self.turns.append(
            Turn(
                leg=assignment.leg,
                place=assignment.place,
                result=attempt.result,
                reason=attempt.reason,
            )
        )
        if attempt.result == "accepted":
            self.sold_cents[assignment.leg] = assignment.seller_cents
            if attempt.redirect_url is not None:
                self._redirects[assignment.leg] = attempt.redirect_url

    def answer(self) -> PostResult:
        """What the seller reads: each leg, and the sum of those sold."""
        legs = tuple(self._leg(leg) for leg in range(len(self.states)))
        sold = [leg.price_cents for leg in legs if leg.price_cents is not None]
        return PostResult(
            ping_id=self.lead.offer.ping_id,
            lead_id=self.lead.lead_id,
            status="sold" if sold else "unsold",
            price_cents=sum(sold) if sold else None,
            legs=legs,
            reason=None if sold else legs[0].reason,
            test=self.lead.offer.test,
        )

    def _leg(self, leg: int) -> LegResult:
        leg_id = f"{self.lead.offer.ping_id}-{leg + 1}"
        if (price := self.sold_cents.get(leg)) is not None:
            return LegResult(
                leg_id=leg_id,
                status="sold",
                price_cents=price,
                redirect_url=self._redirects.get(leg),
            )
        state = self.states[leg]
        if state is State.TIMED_OUT:
            return LegResult(leg_id=leg_id, status="timed_out", reason=Reason.PROCESSING_LIMIT)
        if state is State.INVALID:
            return LegResult(leg_id=leg_id, status="unsold", reason=Reason.UNREADABLE_LEAD)
        reason = why_unsold([turn for turn in self.turns if turn.leg == leg])
        clause = self._clauses.get((leg, reason))
        return LegResult(leg_id=leg_id, status="unsold", reason=reason, clause=clause)
