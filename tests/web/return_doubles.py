"""Returns behind doors, in memory and no larger than the wire's tests need."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from msgspec.structs import replace

from exchange.core.model import CampaignId, CompanyId, LeadId, PingId, Policy, SellerId
from exchange.core.reasons import Reason
from exchange.core.returning import ReturnPolicy
from exchange.core.standing import Bucket, Window, weigh
from exchange.flow.faults import Conflict, NotFound, Unavailable
from exchange.flow.ports import Role
from exchange.flow.returning import (
    BidEffect,
    Dispute,
    Foreseen,
    Kind,
    Line,
    LineResult,
    Preview,
    Return,
    Statement,
)

NOW = datetime(2026, 11, 21, 22, 40, tzinfo=UTC)
STANDING = weigh(
    Window(
        company_id=CompanyId("company-1"),
        buckets={(date(2026, 11, 21), 0): Bucket(assigned=10_000, manual=850)},
    ),
    date(2026, 11, 21),
    Policy(),
)


def return_of(number: int) -> Return:
    """A return of company-1, of a lead of seller-1; the first is disputed."""
    return Return(
        rejection_id=f"rejection-{number}",
        kind="manual",
        status="accepted",
        lead_id=LeadId(f"lead-{number}"),
        ping_id=PingId(f"ping-{number}"),
        vertical="solar",
        company_id=CompanyId("company-1"),
        campaign_id=CampaignId("campaign-1"),
        seller_id=SellerId("seller-1"),
        reason=Reason.INVALID_CONTACT,
        note="Ann never answered.",
        value_cents=4_575,
        seller_cents=3_889,
        rejected_at=NOW,
        accepted_at=NOW,
    )


DISPUTE = Dispute(
    dispute_id="dispute-1",
    status="open",
    opened_at=NOW,
    said=Statement(statement="She answered me.", evidence=("call 7",)),
)
FAILED = replace(return_of(9), kind="crm", reason=Reason.CRM_TIMEOUT, accepted_at=None)
WAITING = replace(
    return_of(5),
    status="in_review",
    reason=Reason.REASON_UNCLEAR,
    accepted_at=None,
    review_until=NOW + timedelta(hours=72),
)


class MemoryReturns:
    """Five returns of company-1 and seller-1, a delivery that failed; takes every decision.

    ``lines`` are those of the last bulk return; one of a lead named ``lead-boom`` breaks, one of
    ``lead-slow`` waits for ``slow``, and ``lead-again`` was returned before.
    """

    def __init__(self) -> None:
        self.policy = ReturnPolicy()
        self.kept: dict[str, Return] = {
            one.rejection_id: one
            for one in (
                replace(return_of(1), dispute=DISPUTE),
                *(return_of(number) for number in range(2, 5)),
                WAITING,
                FAILED,
            )
        }
        self.lines: list[Line] = []
        self.slow = asyncio.Event()
        self.decided: list[tuple[object, ...]] = []

    async def preview(
        self,
        company_id: CompanyId,
        lead_id: LeadId,
        *,
        reason_code: str | None,
        text: str | None,
        review: bool,
    ) -> Preview:
        if company_id != "company-1":
            raise NotFound("no such lead")
        reason = Reason.INVALID_CONTACT
        refusal = Conflict("too late", code="window_closed") if reason_code == "seasonal" else None
        foreseen = Foreseen(
            outcome="accepted", reason=reason, value_cents=4_575, day=NOW.date(), era=0
        )
        bid = BidEffect(
            campaign_id=CampaignId("campaign-1"),
            name="Roofs",
            base_cents=5_000,
            before_cents=4_575,
            after_cents=4_000,
        )
        return Preview(
            lead_id=lead_id,
            foreseen=foreseen if refusal is None else None,
            refusal=refusal,
            before=STANDING,
            after=STANDING,
            bids=(bid,),
        )

    async def bulk(
        self, company_id: CompanyId, lines: Iterable[Line], *, dry_run: bool
    ) -> AsyncGenerator[LineResult, None]:
        self.lines = []
        for line in lines:
            self.lines.append(line)
            if line.lead_id == "lead-slow":
                await self.slow.wait()
            if line.lead_id == "lead-boom":
                raise RuntimeError("boom")
            status: Literal["accepted", "refused", "returned_before"] = (
                "refused" if line.fault else "accepted"
            )
            if line.lead_id == "lead-again":
                status = "returned_before"
            value_cents = 4_575 if status == "accepted" else 0
            yield LineResult(
                number=line.number,
                lead_id=line.lead_id,
                status=status,
                rejection_id=None if line.fault or dry_run else f"rejection-of-{line.lead_id}",
                reason=None if line.fault else Reason.INVALID_CONTACT,
                value_cents=None if line.fault else value_cents,
                standing=None if line.fault else STANDING,
                fault=line.fault,
            )

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
        kinds = (kind,) if kind else ("manual", "crm") if role == "operator" else ("manual",)
        return [
            one
            for one in self.kept.values()
            if _is_for(one, role, subject_id) and one.rejection_id > after and one.kind in kinds
        ][:limit]

    async def one(self, role: Role, subject_id: str, rejection_id: str) -> Return:
        found = self.kept.get(rejection_id)
        if found is None or not _is_for(found, role, subject_id):
            raise NotFound("no such return")
        return found

    async def in_review(self, after: str, limit: int) -> Sequence[Return]:
        return [WAITING] if after < WAITING.rejection_id else []

    async def open_disputes(self, after: str, limit: int) -> Sequence[Return]:
        return [self.kept["rejection-1"]] if after < "dispute-1" else []

    async def decide_review(
        self, rejection_id: str, *, approved: bool, reason: Reason | None, sentence: str | None
    ) -> Return:
        self.decided.append((rejection_id, approved, reason, sentence))
        return await self.one("operator", "", rejection_id)

    async def dispute(self, rejection_id: str, seller_id: SellerId, said: Statement) -> Return:
        found = await self.one("seller", seller_id, rejection_id)
        return replace(found, dispute=replace(DISPUTE, said=said))

    async def decide_dispute(self, dispute_id: str, *, overturned: bool, sentence: str) -> Return:
        if dispute_id != "dispute-1":
            raise NotFound("no such dispute")
        self.decided.append((dispute_id, overturned, sentence))
        return self.kept["rejection-1"]

    async def reverse(self, rejection_id: str, sentence: str) -> Return:
        self.decided.append((rejection_id, sentence))
        if sentence == "away":
            raise Unavailable("the database is away")
        return replace(await self.one("operator", "", rejection_id), status="reversed")


def _is_for(found: Return, role: Role, subject_id: str) -> bool:
    if role == "seller":
        return found.kind == "manual" and found.seller_id == subject_id
    return role == "operator" or found.company_id == subject_id
