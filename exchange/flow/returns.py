"""Returns beyond the rejection itself: previews, many at once, reviews, disputes, reversals.

Implements `flow.returning.ReturnDoors`. A standing that moves is told before the answer, so that
the very next ping is priced by it. Source: rules §8.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from datetime import date, datetime
from typing import Final

from exchange.core.changes import CompanyChange
from exchange.core.market import Market
from exchange.core.model import CompanyId, LeadId, SellerId
from exchange.core.pricing import rectify
from exchange.core.reasons import Reason
from exchange.core.returning import ReturnPolicy
from exchange.core.standing import Standing, Window, book, weigh, window_start
from exchange.flow.announce import Announcer
from exchange.flow.bulk import BulkReturns
from exchange.flow.faults import Conflict, Fault, Invalid, NotFound, Unavailable
from exchange.flow.ports import Clock, Role
from exchange.flow.registry import Registry
from exchange.flow.reject import Rejecting
from exchange.flow.returning import (
    BidEffect,
    Foreseeing,
    Foreseen,
    Kind,
    Line,
    LineResult,
    Preview,
    Return,
    Reviews,
    Statement,
)

MOST_BIDS: Final = 200
"""Campaigns a preview shows the price of; more than people look at."""

MOST_FILES: Final = 4
"""Bulk returns a worker has under way: each is in memory whole, and asks the books line by line."""

MOST_DUE: Final = 100
"""Reviews decided by themselves in one turn of a worker; the next turn goes on."""


class Returning:
    """Returns as companies, sellers and the operator have to do with them."""

    def __init__(
        self,
        *,
        market: Market,
        rejecting: Rejecting,
        foreseeing: Foreseeing,
        reviews: Reviews,
        registry: Registry,
        announcer: Announcer,
        clock: Clock,
        today: Callable[[datetime], date],
        policy: ReturnPolicy,
    ) -> None:
        self.policy = policy
        self._market = market
        self._rejecting = rejecting
        self._foreseeing = foreseeing
        self._reviews = reviews
        self._registry = registry
        self._announcer = announcer
        self._clock = clock
        self._today = today
        self._files = 0

    async def preview(
        self,
        company_id: CompanyId,
        lead_id: LeadId,
        *,
        reason_code: str | None,
        text: str | None,
        review: bool,
    ) -> Preview:
        """What a rejection would do, changing nothing.

        Raises NotFound, and Invalid for a reason that is none; every other rule against it is told.
        """
        now = self._clock.now()
        foreseen: Foreseen | None = None
        refusal: Fault | None = None
        try:
            foreseen = await self._foresee(company_id, lead_id, reason_code, text, review)
        except Conflict as refused:
            refusal = refused
        except Invalid as unclear:
            if unclear.code != Reason.REASON_UNCLEAR.code:
                raise
            refusal = unclear
        before = await self._window(company_id, now)
        after = before
        if foreseen is not None:
            after = book(before, foreseen.day, foreseen.era, manual=foreseen.value_cents)
        today = self._today(now)
        standings = (
            weigh(before, today, self._market.policy),
            weigh(after, today, self._market.policy),
        )
        return Preview(
            lead_id=lead_id,
            foreseen=foreseen,
            refusal=refusal,
            before=standings[0],
            after=standings[1],
            bids=await self._bids(company_id, *standings),
        )

    def bulk(
        self, company_id: CompanyId, lines: Iterable[Line], *, dry_run: bool
    ) -> AsyncGenerator[LineResult, None]:
        """Return leads line by line, in their order; no line stops the others.

        Raises Unavailable, before the first, while too many files are under way.
        """
        if self._files >= MOST_FILES:
            raise Unavailable("Too many files of returns are under way; try again.")
        bulk = BulkReturns(
            rejecting=self._rejecting,
            foresee=self._foresee,
            window_of=lambda company: self._window(company, self._clock.now()),
            weigh=lambda window: weigh(window, self._today(self._clock.now()), self._market.policy),
            dry_run=dry_run,
        )
        return self._take_file(bulk.go(company_id, lines))

    async def _take_file(
        self, results: AsyncGenerator[LineResult, None]
    ) -> AsyncGenerator[LineResult, None]:
        self._files += 1
        try:
            async with aclosing(results):
                async for result in results:
                    yield result
        finally:
            self._files -= 1

    async def returns(
        self,
        role: Role,
        subject_id: str,
        after: str,
        limit: int,
        kind: Kind | None = None,
        *,
        counting: bool = False,
    ) -> Sequence[Return]:
        """A company's or a seller's returns, or an operator's of everybody, by id."""
        today = self._today(self._clock.now())
        since = window_start(today, self._market.policy) if counting else None
        return await self._reviews.returns(role, subject_id, after, limit, kind, since)

    async def one(self, role: Role, subject_id: str, rejection_id: str) -> Return:
        """One return. Raises NotFound where there is none, or none of the caller's."""
        found = await self._reviews.one(rejection_id)
        if found is None or not _is_for(found, role, subject_id):
            raise NotFound("there is no such return", field="rejection_id")
        return found

    async def in_review(self, after: str, limit: int) -> Sequence[Return]:
        """Returns that wait for a review."""
        return await self._reviews.in_review(after, limit)

    async def open_disputes(self, after: str, limit: int) -> Sequence[Return]:
        """Returns whose dispute waits for a decision."""
        return await self._reviews.open_disputes(after, limit)

    async def decide_review(
        self, rejection_id: str, *, approved: bool, reason: Reason | None, sentence: str | None
    ) -> Return:
        """Approve or decline a return under review; a repeat answers the same."""
        now = self._clock.now()
        change = await self._reviews.decide_review(
            rejection_id,
            approved=approved,
            reason=reason,
            sentence=sentence,
            now=now,
            day=self._today(now),
        )
        return await self._told(rejection_id, change)

    async def dispute(self, rejection_id: str, seller_id: SellerId, said: Statement) -> Return:
        """Dispute a return of the seller's lead; a repeat answers the same."""
        await self._reviews.open_dispute(rejection_id, seller_id, said, self._clock.now())
        return await self._told(rejection_id, None)

    async def decide_dispute(self, dispute_id: str, *, overturned: bool, sentence: str) -> Return:
        """Let a disputed return stand, or reverse it; a repeat answers the same."""
        now = self._clock.now()
        rejection_id, change = await self._reviews.decide_dispute(
            dispute_id, overturned=overturned, sentence=sentence, now=now, day=self._today(now)
        )
        return await self._told(rejection_id, change)

    async def reverse(self, rejection_id: str, sentence: str) -> Return:
        """Take a rejection back, manual or crm; a repeat answers the same."""
        now = self._clock.now()
        change = await self._reviews.reverse(
            rejection_id, sentence=sentence, now=now, day=self._today(now)
        )
        return await self._told(rejection_id, change)

    async def decide_due(self, now: datetime) -> int:
        """Decide what nobody reviewed in time; gives how many returns that were."""
        for done in range(MOST_DUE):
            change = await self._reviews.decide_due(now, self._today(now))
            if change is None:
                return done
            await self._announcer.tell(change)
        return MOST_DUE

    async def _told(self, rejection_id: str, change: CompanyChange | None) -> Return:
        if change is not None:
            await self._announcer.tell(change)
        found = await self._reviews.one(rejection_id)
        if found is None:
            raise NotFound("there is no such return", field="rejection_id")
        return found

    async def _foresee(
        self,
        company_id: CompanyId,
        lead_id: LeadId,
        reason_code: str | None,
        text: str | None,
        review: bool,
    ) -> Foreseen:
        """What a rejection would book; raises what making it would raise."""
        try:
            request = self._rejecting.read(
                company_id, lead_id, reason_code=reason_code, text=text, note=None, review=review
            )
        except Invalid as unclear:
            if unclear.code != Reason.REASON_UNCLEAR.code:
                raise
            # As in rejecting: a lead that was returned answers as it did, whatever is said now.
            earlier = await self._foreseeing.earlier(company_id, lead_id)
            if earlier is None:
                raise
            return Foreseen(
                outcome="returned_before",
                reason=earlier.reason,
                value_cents=0,
                day=earlier.day,
                era=earlier.company.era,
            )
        return await self._foreseeing.foresee(request)

    async def _window(self, company_id: CompanyId, now: datetime) -> Window:
        window = await self._registry.window(company_id, now)
        return Window(company_id=company_id) if window is None else window

    async def _bids(
        self, company_id: CompanyId, before: Standing, after: Standing
    ) -> tuple[BidEffect, ...]:
        """What an exclusive lead costs each campaign with a price of its own, before and after."""
        records = await self._registry.campaigns(company_id, "", MOST_BIDS)
        return tuple(
            BidEffect(
                campaign_id=record.campaign.campaign_id,
                name=record.campaign.name,
                base_cents=base_cents,
                before_cents=rectify(base_cents, before),
                after_cents=rectify(base_cents, after),
            )
            for record in records
            if (base_cents := record.campaign.bid.exclusive_cents) is not None
        )


def _is_for(found: Return, role: Role, subject_id: str) -> bool:
    if role == "operator":
        return True
    if role == "company":
        return found.company_id == subject_id
    return found.kind == "manual" and found.seller_id == subject_id
