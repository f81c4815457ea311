"""Standings, leads, resets, accounts and verticals as the wire shows them."""

from __future__ import annotations

from exchange.core.model import Policy
from exchange.core.money import BASIS_POINTS, divide_half_even
from exchange.core.pricing import rectify
from exchange.core.reasons import REJECTION_REASONS, Reason
from exchange.core.standing import Standing, gate_threshold, window_start
from exchange.core.verticals import STATES, AttributeSpec, Vertical
from exchange.flow.ports import Rejected
from exchange.flow.registry import Account, DeliveredLead, Reset, SoldLead
from exchange.web.quality_codec import show_consent_demands
from exchange.web.wire import dollars, give_reason
from exchange.web.wire_accounts import (
    AttributeAnswer,
    CompanyAnswer,
    CrmAnswer,
    ResetAnswer,
    SellerAnswer,
    StandingSummary,
    StandingWindow,
    VerticalAnswer,
)
from exchange.web.wire_leads import LeadAnswer, RejectionAnswer, SaleAnswer, SaleLeg

_HUNDRED_DOLLARS_CENTS = 100_00


def category_of(reason: Reason) -> str | None:
    """A rejection reason's category; None while nobody has read the company's text."""
    return reason.category if reason in REJECTION_REASONS.values() else None


def show_standing(standing: Standing, policy: Policy) -> StandingSummary:
    """Write a standing without its days: sums raw, percentages as they count."""
    threshold, whole = gate_threshold(standing.day, policy)
    return StandingSummary(
        company_id=standing.company_id,
        verdict=standing.verdict.value,
        protected=standing.protected,
        protection_left=dollars(standing.protection_left),
        window=StandingWindow(
            from_=window_start(standing.day, policy), to=standing.day, days=policy.window_days
        ),
        assigned=dollars(standing.raw_assigned),
        rejected_manual=dollars(standing.raw_manual),
        rejected_crm=dollars(standing.raw_crm),
        overall_pct=dollars(standing.overall_hundredths),
        crm_pct=dollars(standing.crm_hundredths),
        crm=CrmAnswer(
            since=standing.reset_at,
            assigned=dollars(standing.raw_crm_assigned),
            rejected=dollars(standing.raw_crm_rejected),
            threshold_pct=dollars(divide_half_even(threshold * BASIS_POINTS, whole)),
        ),
        price_of_100=dollars(rectify(_HUNDRED_DOLLARS_CENTS, standing)),
    )


def show_rejection(rejected: Rejected, standing: Standing, policy: Policy) -> RejectionAnswer:
    """Write an accepted rejection with the standing it led to."""
    return RejectionAnswer(
        rejection_id=rejected.rejection_id,
        lead_id=rejected.lead_id,
        status=rejected.status,
        category=category_of(rejected.reason),
        reason=rejected.reason.code,
        value=dollars(rejected.value_cents),
        standing=show_standing(standing, policy),
    )


def show_lead(lead: DeliveredLead) -> LeadAnswer:
    """Write a lead for the company that took it."""
    reason = lead.rejection_reason
    return LeadAnswer(
        lead_id=lead.lead_id,
        delivery_id=lead.delivery_id,
        campaign_id=lead.campaign_id,
        vertical=lead.vertical,
        status=lead.status,
        price=dollars(lead.price_cents),
        attributes=lead.attributes,
        contact=lead.contact,
        delivered_at=lead.delivered_at,
        rejectable_until=lead.rejectable_until,
        rejection=(
            None if reason is None else give_reason(reason, with_category=bool(category_of(reason)))
        ),
        rejection_status=lead.rejection_status,
        test=lead.test,
        consent=lead.consent,
        quality_score=lead.quality_score,
    )


def show_sale(lead: SoldLead) -> SaleAnswer:
    """Write a lead for the seller that sold it."""
    legs = lead.legs
    return SaleAnswer(
        lead_id=lead.lead_id,
        ping_id=lead.ping_id,
        vertical=lead.vertical,
        source=lead.source,
        sold_at=lead.sold_at,
        price=dollars(sum(leg.seller_cents for leg in legs)),
        pay_reversed=dollars(sum(leg.seller_cents for leg in legs if leg.status == "rejected")),
        legs=tuple(
            SaleLeg(
                leg_id=f"{lead.ping_id}-{leg.leg + 1}",
                status=leg.status,
                price=dollars(leg.seller_cents),
                rejectable_until=leg.rejectable_until,
            )
            for leg in legs
        ),
    )


def show_reset(reset: Reset) -> ResetAnswer:
    """Write a CRM reset."""
    return ResetAnswer(
        reset_id=reset.reset_id,
        company_id=reset.company_id,
        status=reset.status,
        asked_at=reset.asked_at,
        approved_at=reset.approved_at,
    )


def show_seller(account: Account) -> SellerAnswer:
    """Write a seller."""
    return SellerAnswer(
        id=account.id, name=account.name, active=account.active, created_at=account.created_at
    )


def show_company(account: Account) -> CompanyAnswer:
    """Write a company with its balance."""
    available = account.available_cents
    return CompanyAnswer(
        id=account.id,
        name=account.name,
        active=account.active,
        created_at=account.created_at,
        prepaid=account.prepaid,
        balance=dollars(account.balance_cents),
        available=dollars(available) if available is not None else None,
    )


def show_vertical(vertical: Vertical) -> VerticalAnswer:
    """Write a vertical with its attributes and their bounds."""
    return VerticalAnswer(
        name=vertical.name,
        title=vertical.title,
        floor=dollars(vertical.floor_cents),
        offer_life_s=vertical.offer_life_s,
        max_age_s=vertical.max_age_s,
        consent_required=vertical.consent_required,
        consent=show_consent_demands(vertical.consent),
        attributes={name: _show_attribute(spec) for name, spec in vertical.attributes.items()},
    )


def _show_attribute(spec: AttributeSpec) -> AttributeAnswer:
    return AttributeAnswer(
        kind=spec.kind,
        required=spec.required,
        min=_bound(spec.min),
        max=_bound(spec.max),
        allowed=tuple(STATES) if spec.kind == "state" else spec.allowed,
        max_length=spec.max_length if spec.kind == "text" else None,
        description=spec.description,
    )


def _bound(value: float | None) -> int | float | None:
    return int(value) if value is not None and float(value).is_integer() else value
