"""Selling a lead: down the ranks, one company's turn after the other, until every leg has its end.

Each turn holds room, delivers and books; whatever stops it in between, the rows it leaves let
another worker go on. Source: rules §2, §7, §8.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from datetime import date, datetime
from typing import Final

from uuid_utils import UUID, uuid5

from exchange.core.cascade import Assignment, next_assignments
from exchange.core.changes import CompanyChange
from exchange.core.lifecycle import DONE, Event
from exchange.core.market import Market
from exchange.core.model import Campaign, CompanyId, DeliveryId, LeadId
from exchange.core.quality.grading import posted_score
from exchange.core.reasons import Reason
from exchange.core.standing import Verdict
from exchange.flow.announce import Announcer
from exchange.flow.deliver import Incident, deliver, is_certain
from exchange.flow.faults import LostLead, Unavailable
from exchange.flow.ports import (
    Attempt,
    Books,
    Clock,
    Contact,
    Courier,
    Offers,
    OpenLead,
    Outright,
    Parcel,
    PostResult,
    Reservation,
    Settlement,
)
from exchange.flow.progress import Progress
from exchange.flow.quality import why_unwanted
from exchange.flow.sale_terms import SaleTerms

_DELIVERY_NAMESPACE: Final = UUID("5bb4b6f0-3b5e-4c0c-9a3f-6b1e8d1a7c11")
"""Makes one delivery id of a lead and a company; constant, so that all workers make the same."""


class Selling:
    """Sells leads that are written down. ``backoff_s`` is the base of the pause between tries."""

    def __init__(
        self,
        *,
        owner: str,
        market: Market,
        offers: Offers,
        books: Books,
        courier: Courier,
        terms: SaleTerms,
        announcer: Announcer,
        clock: Clock,
        backoff_s: float,
        today: Callable[[datetime], date],
        jitter: Callable[[], float],
        incident: Incident,
        on_error: Callable[[LeadId, BaseException], None],
    ) -> None:
        self._owner = owner
        self._market = market
        self._offers = offers
        self._books = books
        self._courier = courier
        self._terms = terms
        self._announcer = announcer
        self._clock = clock
        self._backoff_s = backoff_s
        self._today = today
        self._jitter = jitter
        self._incident = incident
        self._on_error = on_error

    def outright(self, lead: OpenLead) -> Outright | None:
        """The sale of a new lead whose first company takes it for certain, if there is room.

        None where a company must be asked, or the first in line may not have the lead.
        """
        if lead.offer.test or len(lead.legs) != 1:
            return None
        assignments = next_assignments(lead.offer, (), self._market.policy)
        if not assignments or not self._may_buy(assignments[0]):
            return None
        campaign = self._market.campaign(assignments[0].ranked.campaign_id)
        if campaign is None or not is_certain(campaign):
            return None
        if campaign.requires is not None and why_unwanted(campaign, lead) is not None:
            return None
        if self._terms.trial(lead, assignments[0]) is not None:
            return None
        if self._terms.is_below_tiers(lead, assignments[0]):
            return None
        run, attempt = Progress(lead), Attempt(result="accepted", kind=campaign.delivery[0].kind)
        run.advance(assignments[0].leg, Event.CLAIMED)
        run.advance(assignments[0].leg, Event.ACCEPTED)
        run.turned(assignments[0], attempt)
        now = self._clock.now()
        return Outright(
            delivery_id=delivery_id_of(lead.lead_id, campaign.company_id),
            assignment=assignments[0],
            campaign=campaign,
            kind=attempt.kind,
            now=now,
            day=self._today(now),
            rejection_window_s=self._terms.window_s(lead, assignments[0]),
            answer=run.answer(),
        )

    async def sold(self, lead: OpenLead, sale: Outright, change: CompanyChange | None) -> None:
        """Tell of a lead that was sold as it was claimed."""
        if change is not None:
            await self._announcer.tell(change)
        await self._remember_contact(lead, [sale.assignment.ranked.company_id])

    def _may_buy(self, assignment: Assignment) -> bool:
        """Whether the gate is still open to a company."""
        standing = self._market.standings.get(assignment.ranked.company_id)
        return standing is not None and standing.verdict is not Verdict.EXCLUDED

    async def sell(self, lead: OpenLead) -> PostResult:
        """Take a lead down the ranks until every leg is sold or nobody is left, and close it."""
        run = Progress(lead)
        waiting = list(lead.open)
        timed_out = False
        while True:
            assignments = waiting or next_assignments(lead.offer, run.turns, self._market.policy)
            if not assignments or (lead.contact is None and not waiting):
                break
            if self._clock.now() >= lead.deadline_at and not waiting:
                timed_out = True
                break
            reserved = bool(waiting)
            waiting = []
            await _all(self._turn(run, a, lead.contact, reserved) for a in assignments)
        untried = any(turn.reason is Reason.PROCESSING_LIMIT for turn in run.turns)
        return await self._close(run, timed_out=timed_out or untried)

    async def _turn(
        self, run: Progress, assignment: Assignment, contact: Contact | None, reserved: bool
    ) -> None:
        """One company's turn at one leg: room held, delivered, booked."""
        lead, ranked = run.lead, assignment.ranked
        campaign = self._market.campaign(ranked.campaign_id)
        delivery_id = delivery_id_of(lead.lead_id, ranked.company_id)
        if reserved and (campaign is None or contact is None):
            attempt = Attempt(
                result="refused", reason=Reason.UNREADABLE_LEAD if campaign else Reason.INACTIVE
            )
            await self._settle(run, assignment, delivery_id, attempt)
            return
        if campaign is None or contact is None:
            run.no_room(assignment, Reason.INACTIVE)
            return
        if not reserved and not await self._reserve(run, assignment, delivery_id, campaign):
            return
        loop = asyncio.get_running_loop()
        left_s = (lead.deadline_at - self._clock.now()).total_seconds()
        attempt = await deliver(
            self._courier,
            campaign,
            Parcel(
                delivery_id=delivery_id,
                lead_id=lead.lead_id,
                campaign_id=campaign.campaign_id,
                vertical=lead.offer.vertical,
                price_cents=ranked.charged_cents,
                attributes=lead.offer.attributes,
                contact=contact,
                test=lead.offer.test,
                token=ranked.token,
                consent=lead.offer.consent,
                quality_score=posted_score(lead.offer),
            ),
            deadline=loop.time() + left_s,
            backoff_s=self._backoff_s,
            jitter=self._jitter,
            incident=self._incident,
            # Whoever left this delivery open may have sent it, and have had no time to note more.
            may_have_arrived=reserved,
        )
        await self._settle(run, assignment, delivery_id, attempt)

    async def _reserve(
        self, run: Progress, assignment: Assignment, delivery_id: DeliveryId, campaign: Campaign
    ) -> bool:
        """Check the gate again and hold the company's room; False where there is none."""
        if not self._may_buy(assignment):
            run.no_room(assignment, Reason.CRM_GATE)
            return False
        if campaign.requires is not None:
            unwanted = why_unwanted(campaign, run.lead)
            if unwanted is not None:
                run.no_room(assignment, unwanted)
                return False
        if self._terms.is_below_tiers(run.lead, assignment):
            clause = self._terms.clause(run.lead, assignment, "tiers")
            run.no_room(assignment, Reason.LOW_SCORE, clause)
            return False
        if not await self._terms.hold_trial(run.lead, assignment, delivery_id):
            clause = self._terms.clause(run.lead, assignment, "trial")
            run.no_room(assignment, Reason.TRIAL_FULL, clause)
            return False
        now = self._clock.now()
        outcome, change = await self._books.reserve(
            Reservation(
                delivery_id=delivery_id,
                lead_id=run.lead.lead_id,
                assignment=assignment,
                owner=self._owner,
                now=now,
                day=self._today(now),
                campaign=campaign,
                test=run.lead.offer.test,
            )
        )
        if outcome == "lost":
            raise LostLead
        if outcome != "reserved":
            await self._terms.leave_trial(run.lead, assignment, delivery_id)
            run.no_room(assignment, _NO_ROOM.get(outcome, Reason.INACTIVE))
            return False
        run.advance(assignment.leg, Event.CLAIMED)
        if change is not None:
            await self._announcer.tell(change)
        return True

    async def _settle(
        self, run: Progress, assignment: Assignment, delivery_id: DeliveryId, attempt: Attempt
    ) -> None:
        accepted = attempt.result == "accepted"
        await self._terms.note_breach(run.lead, assignment, delivery_id, attempt)
        run.advance(assignment.leg, Event.ACCEPTED if accepted else Event.NEXT_RANK)
        settled, change = await self._books.settle(
            Settlement(
                delivery_id=delivery_id,
                owner=self._owner,
                result=attempt.result,
                reason=attempt.reason,
                kind=attempt.kind,
                reference=attempt.reference,
                detail=attempt.detail,
                leg_state=run.states[assignment.leg],
                now=self._clock.now(),
                rejection_window_s=self._terms.window_s(run.lead, assignment),
                attempts=attempt.attempts,
            )
        )
        if not settled:
            raise LostLead
        run.turned(assignment, attempt)
        if change is not None:
            await self._announcer.tell(change)
        if not accepted:
            await self._terms.tell_freed(run.lead, assignment)

    async def _close(self, run: Progress, *, timed_out: bool) -> PostResult:
        lead = run.lead
        event = Event.LIMIT_PASSED if timed_out else Event.NO_RANK_LEFT
        if lead.contact is None:
            event = Event.FOUND_INVALID
        for leg, state in enumerate(run.states):
            if state not in DONE:
                run.advance(leg, event)
        answer = run.answer()
        standing = await self._books.finish(
            lead.lead_id, self._owner, answer, run.states, self._clock.now()
        )
        if standing.status == "sold" and not lead.offer.test:
            companies = [
                lead.offer.ranks[t.place].company_id for t in run.turns if t.result == "accepted"
            ]
            await self._remember_contact(lead, companies)
        return standing

    async def _remember_contact(self, lead: OpenLead, companies: list[CompanyId]) -> None:
        """Note the sold contact in the fast store; `exchange rebuild` restores a lost note."""
        try:
            await self._offers.saw(
                lead.contact_keys,
                lead.offer.seller_id,
                companies,
                self._clock.now(),
            )
        except Unavailable as error:
            self._on_error(lead.lead_id, error)


_NO_ROOM: Final = {
    "inactive": Reason.INACTIVE,
    "balance": Reason.BALANCE,
    "cap": Reason.CAP,
    "budget": Reason.BUDGET,
    "suppressed": Reason.SUPPRESSED,
    "sold_before": Reason.SOLD_BEFORE,
}


def delivery_id_of(lead_id: LeadId, company_id: CompanyId) -> DeliveryId:
    """The one delivery id of a lead and a company, the idempotency key on the wire."""
    return DeliveryId(str(uuid5(_DELIVERY_NAMESPACE, f"{lead_id}:{company_id}")))


async def _all(turns: Iterable[Coroutine[None, None, None]]) -> None:
    """Let every turn of a round end, whatever the others do; then raise the first error."""
    results = await asyncio.gather(*turns, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
