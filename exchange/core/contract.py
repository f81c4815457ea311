"""A contract between one seller and one company, and what holds between them at a moment.

A version is never edited: the newest that has taken effect holds. Where none holds, the vertical's
defaults do. Pure; the time is an argument. Source: rules §9.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Final, Literal

from msgspec import Struct

from exchange.core.model import CompanyId, SellerId
from exchange.core.reasons import REJECTION_REASONS, Reason
from exchange.core.rejection import ReturnCap, Terms
from exchange.core.terms import Applied, Tier, discounted, tier_of

LeadType = Literal["exclusive", "shared"]

ROLLING_DAYS: Final = 30

OWN_REASONS: Final = frozenset({Reason.PROCESSING_LIMIT, Reason.UNREADABLE_LEAD, Reason.INACTIVE})
"""Why the exchange itself may note a delivery as refused: no company's doing."""


class Trial(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The time the pair tries each other out: outside it, they do not trade.

    From ``starts_at`` until ``ends_at`` (exclusive) its ``discount_bp`` and ``return_window_s``
    hold in place of the contract's, where given, and of the leads offered in it the company buys at
    most ``leads``, and for at most ``spend_cents``. With ``continues`` the contract goes on under
    its own terms afterwards; without, only a new version lets the pair trade again.
    """

    starts_at: datetime
    ends_at: datetime
    continues: bool = False
    discount_bp: int | None = None
    return_window_s: int | None = None
    leads: int | None = None
    spend_cents: int | None = None


class Clauses(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a version says; the default of each is what holds without a contract.

    ``None`` reasons are all; no reasons are none. Below the lowest of ``tiers`` the company makes
    no bid. With a ``discount_bp`` there are no returns. With ``first_look`` a qualified company is
    in the first round for every lead of the seller, premium or not. With ``reviewed`` a return
    waits for the operator.
    """

    blocked: bool = False
    lead_types: tuple[LeadType, ...] = ("exclusive", "shared")
    refusal_reasons: tuple[Reason, ...] | None = None
    return_reasons: tuple[Reason, ...] | None = None
    return_window_s: int | None = None
    return_cap: ReturnCap | None = None
    tiers: tuple[Tier, ...] = ()
    discount_bp: int = 0
    trial: Trial | None = None
    first_look: bool = False
    reviewed: bool = False


class Contract(Struct, frozen=True, kw_only=True):
    """One version of a contract, as it was recorded and ever after.

    ``number`` counts the versions of all contracts without a gap, in the order they were recorded.
    It holds from ``effective_from`` until ``effective_to`` (exclusive, None for no end), or until a
    newer one does.
    """

    contract_id: str
    version: int
    number: int
    seller_id: SellerId
    company_id: CompanyId
    effective_from: datetime
    effective_to: datetime | None
    recorded_at: datetime
    clauses: Clauses


class NamedClause(Struct, frozen=True, kw_only=True):
    """The clause of a version that a refusal follows from."""

    contract_id: str
    version: int
    clause: str


class Deal(Struct, frozen=True, kw_only=True):
    """What holds between a seller and a company at a moment, ready to be asked.

    ``closed`` says why they do not trade, if they do not. ``tiers`` are highest first. ``trial`` is
    the one whose terms are in it. It is so until ``until``, if nothing is recorded.
    """

    contract_id: str
    version: int
    closed: Reason | None = None
    exclusive: bool = True
    shared: bool = True
    tiers: tuple[Tier, ...] = ()
    discount_bp: int = 0
    first_look: bool = False
    refusal_reasons: frozenset[Reason] | None = None
    return_reasons: frozenset[Reason] | None = None
    return_window_s: int | None = None
    return_cap: ReturnCap | None = None
    reviewed: bool = False
    trial: Trial | None = None
    until: datetime | None = None

    @property
    def least_score(self) -> int:
        """The score below which the company makes no bid."""
        return self.tiers[-1].min_score if self.tiers else 0

    @property
    def moves_prices(self) -> bool:
        """Whether it may make a base of a price that is not the price itself."""
        return bool(self.discount_bp) or not all(tier.is_neutral for tier in self.tiers)

    @property
    def capped_trial(self) -> Trial | None:
        """The trial that bounds what the company buys, if one does."""
        trial = self.trial
        bounded = trial is not None and (trial.leads, trial.spend_cents) != (None, None)
        return trial if bounded else None

    def sells(self, share: int) -> bool:
        """Whether leads are sold at a share count; 1 is exclusive."""
        return self.exclusive if share == 1 else self.shared

    def clause(self, name: str) -> NamedClause:
        """Which clause of which version a refusal follows from."""
        return NamedClause(contract_id=self.contract_id, version=self.version, clause=name)


def in_force(versions: Iterable[Contract], at: datetime) -> Contract | None:
    """The version of a pair that holds at a moment: the newest that has taken effect.

    None where there is none, or it has ended: then the vertical's defaults hold.
    """
    newest: Contract | None = None
    for version in versions:
        if version.effective_from <= at and (newest is None or version.number > newest.number):
            newest = version
    if newest is None or (newest.effective_to is not None and at >= newest.effective_to):
        return None
    return newest


def next_change(versions: Iterable[Contract], after: datetime) -> datetime | None:
    """The first moment after one at which something else may hold between a pair by itself."""
    moments: list[datetime] = []
    for version in versions:
        trial = version.clauses.trial
        moments += [version.effective_from, version.effective_to or version.effective_from]
        if trial is not None:
            moments += [trial.starts_at, trial.ends_at]
    return min((moment for moment in moments if moment > after), default=None)


def deal_of(contract: Contract, at: datetime) -> Deal:
    """What a version in force says at a moment, its trial's terms in place of its own."""
    clauses, trial = contract.clauses, contract.clauses.trial
    if trial is not None and not trial.starts_at <= at < trial.ends_at:
        trial = None
    discount_bp, window_s = clauses.discount_bp, clauses.return_window_s
    if trial is not None:
        discount_bp = discount_bp if trial.discount_bp is None else trial.discount_bp
        window_s = window_s if trial.return_window_s is None else trial.return_window_s
    return Deal(
        contract_id=contract.contract_id,
        version=contract.version,
        closed=_why_closed(clauses, at),
        exclusive="exclusive" in clauses.lead_types,
        shared="shared" in clauses.lead_types,
        tiers=tuple(sorted(clauses.tiers, key=lambda tier: -tier.min_score)),
        discount_bp=discount_bp,
        first_look=clauses.first_look,
        refusal_reasons=_as_set(clauses.refusal_reasons),
        return_reasons=_as_set(clauses.return_reasons),
        return_window_s=0 if discount_bp else window_s,
        return_cap=clauses.return_cap,
        reviewed=clauses.reviewed,
        trial=trial,
        until=next_change([contract], at),
    )


def _why_closed(clauses: Clauses, at: datetime) -> Reason | None:
    trial = clauses.trial
    if clauses.blocked:
        return Reason.CONTRACT
    if trial is not None and at < trial.starts_at:
        return Reason.TRIAL_NOT_BEGUN
    if trial is not None and at >= trial.ends_at and not trial.continues:
        return Reason.TRIAL_OVER
    return None


def _as_set(reasons: tuple[Reason, ...] | None) -> frozenset[Reason] | None:
    return None if reasons is None else frozenset(reasons)


def why_no_trade(
    deal: Deal, shares: Iterable[int], max_buyers: int, score: int, *, is_full: bool = False
) -> Reason | None:
    """Why a campaign with prices at these share counts may not bid under a deal, if it may not.

    ``is_full`` tells that the deal's trial has no room at any price.
    """
    if deal.closed is not None:
        return deal.closed
    if is_full:
        return Reason.TRIAL_FULL
    if not any(share <= max_buyers and deal.sells(share) for share in shares):
        return Reason.LEAD_TYPE
    if score < deal.least_score:
        return Reason.LOW_SCORE
    return None


def apply_terms(
    deal: Deal, listed_cents: int, score: int, *, is_named: bool
) -> tuple[int, Applied | None]:
    """A bid's base under a deal, in cents, and how it came to be; None where nothing changed it.

    A price that a company's own bidder named for this very lead is never raised.
    """
    tier = tier_of(deal.tiers, score)
    tiered = listed_cents if tier is None else tier.price(listed_cents)
    if is_named and tiered > listed_cents:
        tier, tiered = None, listed_cents
    if (tier is None or tier.is_neutral) and not deal.discount_bp:
        return listed_cents, None
    return discounted(tiered, deal.discount_bp), Applied(
        contract_id=deal.contract_id,
        version=deal.version,
        listed_cents=listed_cents,
        min_score=None if tier is None else tier.min_score,
        add_cents=0 if tier is None else tier.add_cents,
        multiply_bp=10_000 if tier is None else tier.multiply_bp,
        discount_bp=deal.discount_bp,
    )


def judge_refusal(deal: Deal | None, reason: Reason | None) -> Reason | None:
    """Why a company's real-time refusal is outside its contract, or None if it is not.

    A refusal without a known reason is outside any list. What the exchange itself noted is no
    company's.
    """
    if deal is None or deal.refusal_reasons is None or reason in OWN_REASONS:
        return None
    return None if reason in deal.refusal_reasons else Reason.REFUSAL_NOT_ALLOWED


def return_terms(deal: Deal, default: Terms) -> Terms:
    """What a deal says of returns; what it leaves open is as in ``default``."""
    return Terms(
        allowed=default.allowed if deal.return_reasons is None else deal.return_reasons,
        contract_id=deal.contract_id,
        version=deal.version,
        returnable=not deal.discount_bp,
        cap=deal.return_cap,
        reviewed=deal.reviewed,
        names_reasons=deal.return_reasons is not None,
    )


def cap_days(cap: ReturnCap, sold_on: date, today: date) -> tuple[date, date]:
    """The first and last day of the period a return counts in, for a lead assigned on a day.

    The calendar month of that day, or the last 30 days up to today, in the market's timezone.
    """
    if cap.period == "month":
        last = monthrange(sold_on.year, sold_on.month)[1]
        return sold_on.replace(day=1), sold_on.replace(day=last)
    return today - timedelta(days=ROLLING_DAYS - 1), today


Phase = Literal[
    "scheduled", "blocked", "trial_not_begun", "trial", "trial_over", "in_force", "ended"
]


def phase(versions: Sequence[Contract], at: datetime) -> Phase:
    """Where a contract stands at a moment, from all its versions."""
    current = in_force(versions, at)
    if current is None:
        ahead = any(
            one.effective_from > at
            and one.effective_to != one.effective_from
            and not is_withdrawn(one, versions)
            for one in versions
        )
        return "scheduled" if ahead else "ended"
    deal = deal_of(current, at)
    if deal.closed is not None:
        return _CLOSED[deal.closed]
    return "in_force" if deal.trial is None else "trial"


def is_withdrawn(version: Contract, versions: Iterable[Contract]) -> bool:
    """Whether a newer version takes effect no later, so that this one never does."""
    return any(
        other.number > version.number and other.effective_from <= version.effective_from
        for other in versions
    )


_CLOSED: Final[dict[Reason, Phase]] = {
    Reason.CONTRACT: "blocked",
    Reason.TRIAL_NOT_BEGUN: "trial_not_begun",
    Reason.TRIAL_OVER: "trial_over",
}

RETURNABLE: Final = frozenset(REJECTION_REASONS.values())
"""The reasons a contract may name: those a lead may be rejected or refused for (rules §8)."""
