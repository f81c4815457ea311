"""Returns as the wire shows them, to each reader what it may see (rules: §12)."""

from __future__ import annotations

from collections.abc import Mapping

from exchange.core.model import Policy
from exchange.core.pricing import rectify
from exchange.core.reasons import Reason
from exchange.core.returning import ReturnPolicy
from exchange.flow.faults import Fault
from exchange.flow.ports import Role
from exchange.flow.returning import Dispute, LineResult, Preview, Return
from exchange.web.market_codec import category_of, show_standing
from exchange.web.wire import dollars
from exchange.web.wire_returns import (
    BidAnswer,
    DisputeAnswer,
    LineAnswer,
    RefusalAnswer,
    RejectionPreview,
    ReturnAnswer,
)

_HUNDRED_DOLLARS_CENTS = 100_00


def show_preview(preview: Preview, policy: Policy) -> RejectionPreview:
    """Write what a rejection would do."""
    foreseen = preview.foreseen
    return RejectionPreview(
        lead_id=preview.lead_id,
        outcome="refused" if foreseen is None else foreseen.outcome,
        refusal=None if preview.refusal is None else _show_refusal(preview.refusal),
        reason=None if foreseen is None else foreseen.reason.code,
        category=None if foreseen is None else category_of(foreseen.reason),
        value=None if foreseen is None else dollars(foreseen.value_cents),
        before=show_standing(preview.before, policy),
        after=show_standing(preview.after, policy),
        bids=tuple(
            BidAnswer(
                campaign_id=bid.campaign_id,
                name=bid.name,
                base=dollars(bid.base_cents),
                price_before=dollars(bid.before_cents),
                price_after=dollars(bid.after_cents),
            )
            for bid in preview.bids
        ),
    )


def _show_refusal(fault: Fault) -> RefusalAnswer:
    return RefusalAnswer(
        code=fault.code, message=fault.message, field=fault.field, details=fault.details or None
    )


def show_line(result: LineResult) -> LineAnswer:
    """Write what became of a line."""
    standing, fault = result.standing, result.fault
    return LineAnswer(
        line=result.number,
        lead_id=result.lead_id,
        status=result.status,
        rejection_id=result.rejection_id,
        reason=None if result.reason is None else result.reason.code,
        value=None if result.value_cents is None else dollars(result.value_cents),
        overall_pct=None if standing is None else dollars(standing.overall_hundredths),
        crm_pct=None if standing is None else dollars(standing.crm_hundredths),
        verdict=None if standing is None else standing.verdict.value,
        price_of_100=(
            None if standing is None else dollars(rectify(_HUNDRED_DOLLARS_CENTS, standing))
        ),
        code=None if fault is None else fault.code,
        field=None if fault is None else fault.field,
        message=None if fault is None else fault.message,
    )


def show_return(found: Return, role: Role, policy: ReturnPolicy) -> ReturnAnswer:
    """Write a return for a company, its seller, or an operator."""
    booked = 1 if found.status == "accepted" and found.kind == "manual" else 0
    of_company, of_seller = role != "seller", role != "company"
    ends_at = policy.disputable_until(found.accepted_at)
    return ReturnAnswer(
        rejection_id=found.rejection_id,
        kind=found.kind,
        status=found.status,
        lead_id=found.lead_id,
        vertical=found.vertical,
        reason=found.reason.code,
        message=found.reason.message,
        rejected_at=found.rejected_at,
        ping_id=found.ping_id if of_seller else None,
        seller_id=found.seller_id if role == "operator" else None,
        company_id=found.company_id if of_company else None,
        campaign_id=found.campaign_id if of_company else None,
        category=category_of(found.reason),
        note=found.note,
        value=dollars(found.value_cents) if of_company else None,
        credited=dollars(booked * found.value_cents) if of_company else None,
        pay=dollars(found.seller_cents) if of_seller else None,
        pay_reversed=dollars(booked * found.seller_cents) if of_seller else None,
        review_until=found.review_until if found.status == "in_review" else None,
        decided_at=found.decided_at,
        decided_by=found.decided_by,
        decision=found.decision,
        refusal=_show_clause(found.clause) if found.clause else None,
        disputable_until=ends_at if found.status == "accepted" else None,
        dispute=None if found.dispute is None else _show_dispute(found.dispute, of_seller),
    )


def _show_clause(clause: Mapping[str, object]) -> RefusalAnswer:
    reason = Reason.REASON_NOT_ALLOWED
    return RefusalAnswer(code=reason.code, message=reason.message, details={**clause})


def _show_dispute(dispute: Dispute, of_seller: bool) -> DisputeAnswer:
    said = dispute.said if of_seller else None
    return DisputeAnswer(
        dispute_id=dispute.dispute_id,
        status=dispute.status,
        opened_at=dispute.opened_at,
        statement=None if said is None else said.statement,
        evidence=() if said is None else said.evidence,
        decided_at=dispute.decided_at,
        decision=dispute.decision,
    )
