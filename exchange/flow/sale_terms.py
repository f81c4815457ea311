"""What contracts say of a lead that is being sold: its return window, room in a trial, refusals.

The version in force when the lead was offered holds. Source: rules §9.
"""

from __future__ import annotations

from exchange.core.cascade import Assignment
from exchange.core.contract import Deal, NamedClause, Trial, judge_refusal
from exchange.core.market import Market
from exchange.core.model import DeliveryId
from exchange.core.quality.grading import posted_score
from exchange.core.reasons import Reason
from exchange.flow.announce import Announcer
from exchange.flow.contracts import Breach, SaleContracts, TrialHold
from exchange.flow.ports import Attempt, Clock, OpenLead


class SaleTerms:
    """The terms of leads' sales."""

    def __init__(
        self,
        *,
        owner: str,
        market: Market,
        contracts: SaleContracts,
        announcer: Announcer,
        clock: Clock,
    ) -> None:
        self._owner = owner
        self._market = market
        self._contracts = contracts
        self._announcer = announcer
        self._clock = clock

    def window_s(self, lead: OpenLead, assignment: Assignment) -> int:
        """How long the company may return the lead, in seconds."""
        deal = self._deal(lead, assignment)
        if deal is None or deal.return_window_s is None:
            return self._market.policy.rejection_window_s
        return deal.return_window_s

    def trial(self, lead: OpenLead, assignment: Assignment) -> Trial | None:
        """The trial that bounds what the company buys, if one does; test leads take no room."""
        deal = self._deal(lead, assignment)
        return None if deal is None or lead.offer.test else deal.capped_trial

    def clause(self, lead: OpenLead, assignment: Assignment, name: str) -> NamedClause | None:
        """A clause of what held when the lead was offered; None where there was no contract."""
        deal = self._deal(lead, assignment)
        return None if deal is None else deal.clause(name)

    def is_below_tiers(self, lead: OpenLead, assignment: Assignment) -> bool:
        """Whether the lead scores less, with its contact, than the lowest tier of the contract.

        Its tier and price stay those of the ping: the offer binds.
        """
        deal = self._deal(lead, assignment)
        return deal is not None and posted_score(lead.offer) < deal.least_score

    async def hold_trial(
        self, lead: OpenLead, assignment: Assignment, delivery_id: DeliveryId
    ) -> bool:
        """Take room where the lead was offered in a trial with a cap; False where none is left.

        Every worker is told what the trial has used.
        """
        deal, trial = self._deal(lead, assignment), self.trial(lead, assignment)
        if deal is None or trial is None:
            return True
        ranked, offer = assignment.ranked, lead.offer
        held, use = await self._contracts.hold_trial(
            TrialHold(
                delivery_id=delivery_id,
                contract_id=deal.contract_id,
                seller_id=offer.seller_id,
                company_id=ranked.company_id,
                trial=trial,
                offered_at=offer.decided_at,
                charged_cents=ranked.charged_cents,
            )
        )
        await self._announcer.tell(use)
        return held

    async def leave_trial(
        self, lead: OpenLead, assignment: Assignment, delivery_id: DeliveryId
    ) -> None:
        """Give room back that was held for a delivery which the company had no other room for."""
        deal = self._deal(lead, assignment)
        if deal is None or self.trial(lead, assignment) is None:
            return
        uses = await self._contracts.leave_trial(
            deal.contract_id, delivery_id, lead.lead_id, self._owner
        )
        for use in uses:
            await self._announcer.tell(use)

    async def tell_freed(self, lead: OpenLead, assignment: Assignment) -> None:
        """Tell that a delivery which ended without a sale left its room in a trial."""
        deal = self._deal(lead, assignment)
        if deal is None or self.trial(lead, assignment) is None:
            return
        for use in await self._contracts.trial_uses(deal.contract_id):
            await self._announcer.tell(use)

    async def note_breach(
        self, lead: OpenLead, assignment: Assignment, delivery_id: DeliveryId, attempt: Attempt
    ) -> None:
        """Note a refusal that the contract does not allow, before it is booked.

        Should this worker die in between, the company is asked again, and the note counts only if
        it refuses again.
        """
        deal = self._deal(lead, assignment)
        if attempt.result != "refused" or deal is None or lead.offer.test:
            return
        if judge_refusal(deal, attempt.reason) is None:
            return
        await self._contracts.note_breach(
            Breach(
                delivery_id=delivery_id,
                lead_id=lead.lead_id,
                seller_id=lead.offer.seller_id,
                company_id=assignment.ranked.company_id,
                contract_id=deal.contract_id,
                version=deal.version,
                clause="refusal_reasons",
                reason=attempt.reason or Reason.COMPANY_REFUSED,
                noted_at=self._clock.now(),
            )
        )

    def _deal(self, lead: OpenLead, assignment: Assignment) -> Deal | None:
        """What held between seller and company when the lead was offered."""
        contracts, offer = self._market.contracts, lead.offer
        if not contracts.sellers:
            return None
        return contracts.deal(offer.seller_id, assignment.ranked.company_id, offer.decided_at)
