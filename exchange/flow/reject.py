"""A rejection: its reason read, judged and booked, and the company's standing moved before the
answer; or what it would come to, with nothing changed. Source: rules §8.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime

from exchange.core.changes import window_of
from exchange.core.market import Market
from exchange.core.model import CompanyId, LeadId
from exchange.core.reasons import REJECTION_REASONS, Reason
from exchange.core.rejection import CONFIDENT_PERCENT, Terms, classify
from exchange.core.returning import ReturnPolicy
from exchange.core.standing import Standing, weigh
from exchange.flow.announce import Announcer
from exchange.flow.faults import Invalid
from exchange.flow.ports import Clock, Rejected, RejectRequest, Returns


class Rejecting:
    """Takes manual rejections."""

    def __init__(
        self,
        *,
        market: Market,
        returns: Returns,
        announcer: Announcer,
        clock: Clock,
        today: Callable[[datetime], date],
        policy: ReturnPolicy,
    ) -> None:
        self._market = market
        self._returns = returns
        self._announcer = announcer
        self._clock = clock
        self._today = today
        self._policy = policy

    async def reject(
        self,
        company_id: CompanyId,
        lead_id: LeadId,
        *,
        reason_code: str | None,
        text: str | None,
        note: str | None,
        review: bool = False,
    ) -> tuple[Rejected, Standing]:
        """Return a sold lead; the next ping is priced by the standing given back.

        ``review`` asks for the operator's where the text fits no reason. Raises Invalid for a
        reason that is none or a text that fits none, Conflict with the rule that refuses the
        rejection.
        """
        try:
            request = self.read(
                company_id, lead_id, reason_code=reason_code, text=text, note=note, review=review
            )
        except Invalid:
            # A lead that was returned already answers as it did, whatever is said now.
            earlier = await self._returns.earlier(company_id, lead_id)
            if earlier is None:
                raise
            return earlier, weigh(window_of(earlier.company), earlier.day, self._market.policy)
        rejected = await self._returns.reject(request)
        await self._announcer.tell(rejected.company)
        standing = weigh(window_of(rejected.company), rejected.day, self._market.policy)
        return rejected, standing

    def read(
        self,
        company_id: CompanyId,
        lead_id: LeadId,
        *,
        reason_code: str | None,
        text: str | None,
        note: str | None,
        review: bool,
    ) -> RejectRequest:
        """A rejection as it is asked for now, its reason read. Raises Invalid."""
        now = self._clock.now()
        try:
            reason = read_reason(reason_code, text)
        except Invalid as unclear:
            is_unclear = unclear.code == Reason.REASON_UNCLEAR.code
            if not (is_unclear and self._policy.takes_unclear(asked=review)):
                raise
            reason = Reason.REASON_UNCLEAR
        return RejectRequest(
            lead_id=lead_id,
            company_id=company_id,
            reason=reason,
            note=note if text is None else text if note is None else f"{text} ({note})",
            now=now,
            day=self._today(now),
            terms=Terms(),
            review_until=self._policy.review_ends_at(now),
            reviewed=self._policy.reviews(reason),
        )


def read_reason(reason_code: str | None, text: str | None) -> Reason:
    """The rejection reason given as a code or read from free text. Raises Invalid."""
    if reason_code is not None:
        reason = REJECTION_REASONS.get(reason_code)
        if reason is None:
            raise Invalid(f"must be one of {', '.join(REJECTION_REASONS)}", field="reason")
        return reason
    classified = classify(text or "")
    if classified is None or classified.confidence_percent < CONFIDENT_PERCENT:
        unclear = Reason.REASON_UNCLEAR
        raise Invalid(
            f"{unclear.message} Give a reason, or ask for a review.",
            field="text",
            code=unclear.code,
            details={"reasons": list(REJECTION_REASONS)},
        )
    return classified.reason
