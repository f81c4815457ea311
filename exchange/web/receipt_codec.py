"""Receipts on the wire: to sellers in part, to operators whole, to companies their own."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Final

from exchange.core.auction import Candidate
from exchange.core.model import CompanyId
from exchange.core.money import percent_hundredths
from exchange.core.retell import Difference, Open
from exchange.core.terms import Applied
from exchange.flow.ports import Receipt
from exchange.flow.retelling import RetoldReceipt
from exchange.web.ping_codec import legs_of, mode_of
from exchange.web.quality_codec import show_quality, show_refused_quality
from exchange.web.wire import dollars, give_reason
from exchange.web.wire_leads import (
    AppliedAnswer,
    CandidateAnswer,
    DifferenceAnswer,
    FullReceipt,
    OwnReceipt,
    RecomputedAnswer,
    SellerReceipt,
    WholeReceipt,
)

ASSUMPTIONS: Final = (
    "The floor, the policy, the vertical and the draw key are those in force now.",
    "A price that a company's own bidder named is known of those in line, and of those the receipt "
    "names; any other came to nothing, and is told as outbid.",
)


def show_receipt(receipt: Receipt) -> SellerReceipt:
    """Write a receipt as far as its seller may see it."""
    legs = legs_of(receipt)
    return SellerReceipt(
        ping_id=receipt.ping_id,
        status=receipt.status,
        decided_at=receipt.decided_at,
        price=dollars(sum(receipt.legs_cents)) if legs else None,
        mode=mode_of(receipt.share) if legs else None,
        legs=legs,
        expires_at=receipt.expires_at,
        reason=give_reason(receipt.reason, with_category=receipt.status == "refused")
        if receipt.reason is not None
        else None,
        reasons=receipt.reasons,
        timings_us=receipt.timings_us,
        test=receipt.test,
        quality=show_refused_quality(receipt),
    )


def show_whole_receipt(receipt: Receipt) -> WholeReceipt:
    """Write a receipt whole, for an operator."""
    seen = show_receipt(receipt)
    shown = {name: getattr(seen, name) for name in seen.__struct_fields__}
    return WholeReceipt(
        **shown | {"quality": show_quality(receipt)},
        seller_id=receipt.seller_id,
        vertical=receipt.vertical,
        attributes=receipt.attributes,
        max_buyers=receipt.max_buyers,
        min_price=dollars(receipt.min_price_cents),
        share=receipt.share,
        premium=receipt.premium,
        candidates=tuple(_candidate(candidate) for candidate in receipt.candidates),
    )


def _candidate(candidate: Candidate) -> CandidateAnswer:
    reason = candidate.reason.code if candidate.reason is not None else None
    if candidate.base_cents is None:
        return CandidateAnswer(
            campaign_id=candidate.campaign_id,
            company_id=candidate.company_id,
            outcome=candidate.outcome,
            reason=reason,
        )
    return CandidateAnswer(
        campaign_id=candidate.campaign_id,
        company_id=candidate.company_id,
        outcome=candidate.outcome,
        reason=reason,
        base=dollars(candidate.base_cents),
        overall_pct=dollars(percent_hundredths(candidate.rejected, candidate.assigned)),
        overall_ratio=f"{candidate.rejected}/{candidate.assigned}",
        rectified=dollars(candidate.rectified_cents or 0),
        charged=dollars(candidate.charged_cents or 0),
        rank=candidate.rank,
        share=candidate.share,
        draw=candidate.draw,
        first_look=candidate.first_look,
        contract=None if candidate.terms is None else _applied(candidate.terms),
    )


def _applied(terms: Applied) -> AppliedAnswer:
    return AppliedAnswer(
        contract_id=terms.contract_id,
        version=terms.version,
        listed=dollars(terms.listed_cents),
        min_score=terms.min_score,
        add=dollars(terms.add_cents) if terms.add_cents else None,
        multiply=Decimal(terms.multiply_bp).scaleb(-4) if terms.min_score is not None else None,
        discount_pct=dollars(terms.discount_bp) if terms.discount_bp else None,
    )


def show_full_receipt(told: RetoldReceipt) -> FullReceipt:
    """Write a receipt with every campaign, for an operator."""
    whole = show_whole_receipt(told.receipt)
    shown = {name: getattr(whole, name) for name in whole.__struct_fields__}
    return FullReceipt(
        **shown | {"candidates": _everyone(told)},
        recomputed=RecomputedAnswer(
            source=told.source,
            exact=told.exact,
            campaigns=len(
                {c.campaign_id for c in told.retold.candidates}
                | {one.campaign_id for one in told.retold.open}
            ),
            market_version=told.receipt.market or None,
            differences=tuple(_difference(one) for one in told.retold.differences),
            not_known=dict(sorted(Counter(one.why for one in told.retold.open).items())),
            moving=told.retold.moving,
            assumptions=ASSUMPTIONS if told.source == "recomputed" else (),
        ),
    )


def show_own_receipt(told: RetoldReceipt, company_id: CompanyId) -> OwnReceipt | None:
    """Write what became of a company's campaigns; None where it had none at the auction."""
    own = tuple(one for one in _everyone(told) if one.company_id == company_id)
    if not own:
        return None
    receipt = told.receipt
    return OwnReceipt(
        ping_id=receipt.ping_id,
        vertical=receipt.vertical,
        decided_at=receipt.decided_at,
        source=told.source,
        exact=told.exact,
        candidates=own,
    )


def _everyone(told: RetoldReceipt) -> tuple[CandidateAnswer, ...]:
    known = (_candidate(candidate) for candidate in told.retold.candidates)
    return (*known, *(_open(one) for one in told.retold.open))


def _open(one: Open) -> CandidateAnswer:
    return CandidateAnswer(
        campaign_id=one.campaign_id,
        company_id=one.company_id,
        outcome="not_known",
        why_not_known=one.why,
    )


def _difference(one: Difference) -> DifferenceAnswer:
    return DifferenceAnswer(
        kind=one.kind,
        reason=one.reason,
        campaign_id=one.campaign_id,
        told=one.told,
        found=one.found,
    )
