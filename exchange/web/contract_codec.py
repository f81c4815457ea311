"""Contracts between the wire and the core: percentages to basis points, hours to seconds, codes to
reasons. Source: rules §9.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from exchange.core.contract import (
    Clauses,
    Contract,
    Trial,
    in_force,
    is_withdrawn,
    phase,
)
from exchange.core.contract_rules import warnings_of
from exchange.core.money import BASIS_POINTS, MoneyError, parse_signed_cents
from exchange.core.reasons import REJECTION_REASONS, Reason
from exchange.core.rejection import ReturnCap
from exchange.core.terms import Tier
from exchange.flow.contracts import Breach, ContractRecord, Draft
from exchange.flow.faults import Invalid
from exchange.web.wire import cents, dollars, give_reason
from exchange.web.wire_contracts import (
    BreachAnswer,
    ContractAnswer,
    ReturnCapBody,
    TermsBody,
    TierBody,
    TrialBody,
    VersionAnswer,
    VersionBody,
)

_HOUR_S = 3_600
_MOST_FACTOR = 10
_MOST_DISCOUNT = Decimal("99.99")


def read_draft(body: VersionBody) -> Draft:
    """Read a version to be recorded. Raises Invalid, naming the field."""
    return Draft(
        clauses=_read_terms(body.terms),
        effective_from=in_utc(body.effective_from, "effective_from"),
        effective_to=in_utc(body.effective_to, "effective_to"),
    )


def in_utc(moment: datetime | None, field: str) -> datetime | None:
    """A moment from outside, in UTC. Raises Invalid, naming the field."""
    return None if moment is None else _in_utc(moment, field)


def _in_utc(moment: datetime, field: str) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise Invalid(f"{field} must be in the years 0001 to 9999 in UTC.", field=field) from None


def _read_terms(body: TermsBody) -> Clauses:
    return Clauses(
        blocked=body.blocked,
        lead_types=tuple(sorted(body.lead_types)),
        refusal_reasons=_read_codes(body.refusal_reasons, "terms.refusal_reasons"),
        return_reasons=_read_codes(body.return_reasons, "terms.return_reasons"),
        return_window_s=_seconds(body.return_window_h),
        return_cap=None if body.return_cap is None else _read_cap(body.return_cap),
        tiers=tuple(_read_tier(tier, f"terms.tiers[{i}]") for i, tier in enumerate(body.tiers)),
        discount_bp=_discount(body.discount_pct, "terms.discount_pct"),
        trial=None if body.trial is None else _read_trial(body.trial),
        first_look=body.first_look,
        reviewed=body.reviewed,
    )


def _read_codes(codes: tuple[str, ...] | None, field: str) -> tuple[Reason, ...] | None:
    if codes is None:
        return None
    for i, code in enumerate(codes):
        if code not in REJECTION_REASONS:
            known = ", ".join(REJECTION_REASONS)
            raise Invalid(
                f"{field}[{i}] must be one of {known}.",
                field=f"{field}[{i}]",
                code="unknown_reason",
            )
    return tuple(sorted(REJECTION_REASONS[code] for code in codes))


def _read_cap(body: ReturnCapBody) -> ReturnCap:
    field = "terms.return_cap.max_pct"
    return ReturnCap(
        period=body.period,
        count=body.max_count,
        rate_bp=None if body.max_pct is None else _basis_points(body.max_pct, field),
    )


def _read_tier(body: TierBody, path: str) -> Tier:
    add_cents, multiply_bp = 0, BASIS_POINTS
    if body.add is not None:
        try:
            add_cents = parse_signed_cents(body.add)
        except MoneyError as error:
            raise Invalid(f"{path}.add {error}", field=f"{path}.add") from None
    if body.multiply is not None:
        multiply_bp = _scaled(body.multiply, BASIS_POINTS, _MOST_FACTOR, f"{path}.multiply")
        if not multiply_bp:
            raise Invalid(
                f"{path}.multiply must be more than 0; a score below every tier gets no bid.",
                field=f"{path}.multiply",
            )
    return Tier(min_score=body.min_score, add_cents=add_cents, multiply_bp=multiply_bp)


def _read_trial(body: TrialBody) -> Trial:
    field = "terms.trial.discount_pct"
    return Trial(
        starts_at=_in_utc(body.starts_at, "terms.trial.starts_at"),
        ends_at=_in_utc(body.ends_at, "terms.trial.ends_at"),
        continues=body.continues,
        discount_bp=None if body.discount_pct is None else _discount(body.discount_pct, field),
        return_window_s=_seconds(body.return_window_h),
        leads=body.leads,
        spend_cents=None if body.spend is None else cents(body.spend, "terms.trial.spend"),
    )


def _seconds(hours: int | None) -> int | None:
    return None if hours is None else hours * _HOUR_S


def _basis_points(percent: Decimal, field: str) -> int:
    return _scaled(percent, 100, 100, field)


def _discount(percent: Decimal, field: str) -> int:
    return _scaled(percent, 100, _MOST_DISCOUNT, field)


def _scaled(value: Decimal, by: int, most: int | Decimal, field: str) -> int:
    """A number from 0 to ``most`` as a whole number of its parts, ``by`` to one."""
    if not value.is_finite() or not 0 <= value <= most:
        raise Invalid(f"{field} must be from 0 to {most}.", field=field)
    scaled = value * by
    if scaled != scaled.to_integral_value():
        decimals = len(str(by)) - 1
        raise Invalid(f"{field} must have at most {decimals} decimals.", field=field)
    return int(scaled)


def show_contract(record: ContractRecord, now: datetime) -> ContractAnswer:
    """Write a contract with its history, as it stands now."""
    current = in_force(record.versions, now)
    return ContractAnswer(
        contract_id=record.contract_id,
        seller_id=record.seller_id,
        company_id=record.company_id,
        created_at=record.created_at,
        status=phase(record.versions, now),
        version=None if current is None else current.version,
        versions=tuple(_version(one, record, current, now) for one in record.versions),
    )


def _version(
    one: Contract, record: ContractRecord, current: Contract | None, now: datetime
) -> VersionAnswer:
    return VersionAnswer(
        version=one.version,
        status=_status(one, record, current, now),
        effective_from=one.effective_from,
        effective_to=one.effective_to,
        recorded_at=one.recorded_at,
        terms=_terms(one.clauses),
        warnings=warnings_of(one, record.versions),
    )


def _status(
    one: Contract, record: ContractRecord, current: Contract | None, now: datetime
) -> Literal["scheduled", "in_force", "superseded", "withdrawn", "ended"]:
    if one is current:
        return "in_force"
    if is_withdrawn(one, record.versions):
        return "withdrawn"
    if one.effective_from > now:
        return "scheduled"
    if one.effective_to is not None and one.effective_to <= now:
        return "ended"
    return "superseded"


def _terms(clauses: Clauses) -> TermsBody:
    cap, trial = clauses.return_cap, clauses.trial
    return TermsBody(
        blocked=clauses.blocked,
        lead_types=clauses.lead_types,
        refusal_reasons=_codes(clauses.refusal_reasons),
        return_reasons=_codes(clauses.return_reasons),
        return_window_h=_hours(clauses.return_window_s),
        return_cap=None
        if cap is None
        else ReturnCapBody(period=cap.period, max_count=cap.count, max_pct=_percent(cap.rate_bp)),
        tiers=tuple(
            TierBody(
                min_score=tier.min_score,
                add=dollars(tier.add_cents) if tier.add_cents else None,
                multiply=Decimal(tier.multiply_bp).scaleb(-4)
                if tier.multiply_bp != BASIS_POINTS
                else None,
            )
            for tier in clauses.tiers
        ),
        discount_pct=Decimal(clauses.discount_bp).scaleb(-2),
        trial=None
        if trial is None
        else TrialBody(
            starts_at=trial.starts_at,
            ends_at=trial.ends_at,
            continues=trial.continues,
            discount_pct=_percent(trial.discount_bp),
            return_window_h=_hours(trial.return_window_s),
            leads=trial.leads,
            spend=None if trial.spend_cents is None else dollars(trial.spend_cents),
        ),
        first_look=clauses.first_look,
        reviewed=clauses.reviewed,
    )


def _codes(reasons: tuple[Reason, ...] | None) -> tuple[str, ...] | None:
    return None if reasons is None else tuple(reason.code for reason in reasons)


def _hours(window_s: int | None) -> int | None:
    return None if window_s is None else window_s // _HOUR_S


def _percent(rate_bp: int | None) -> Decimal | None:
    return None if rate_bp is None else Decimal(rate_bp).scaleb(-2)


def show_breach(breach: Breach) -> BreachAnswer:
    """Write a refusal outside its contract."""
    return BreachAnswer(
        delivery_id=breach.delivery_id,
        lead_id=breach.lead_id,
        seller_id=breach.seller_id,
        company_id=breach.company_id,
        contract_id=breach.contract_id,
        version=breach.version,
        clause=breach.clause,
        reason=give_reason(breach.reason),
        refused_at=breach.noted_at,
    )
