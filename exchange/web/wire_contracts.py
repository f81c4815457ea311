"""What contracts look like on the wire."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from exchange.core.contract import LeadType, Phase
from exchange.web.wire import Answer, Body, Id, Moment, ReasonAnswer

Hours = Annotated[int, Meta(ge=24, le=2_160)]
Score = Annotated[int, Meta(ge=0, le=100)]
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Codes = Annotated[tuple[Annotated[str, Meta(max_length=40)], ...], Meta(max_length=50)]


class TierBody(Body, frozen=True, kw_only=True):
    """What leads of at least ``min_score`` are worth: adds dollars, then multiplies.

    With neither the price stays as it is. Below the lowest ``min_score`` the company makes no bid.
    """

    min_score: Score
    add: Decimal | None = None
    multiply: Decimal | None = None


class ReturnCapBody(Body, frozen=True, kw_only=True):
    """The most that may be returned of the leads assigned in a period.

    ``max_count`` is in leads, ``max_pct`` in percent of the dollars sold; at least one is needed.
    """

    period: Literal["month", "rolling_30_days"]
    max_count: Count | None = None
    max_pct: Decimal | None = None


class TrialBody(Body, frozen=True, kw_only=True):
    """The only time the pair trades: not before it, nor after it unless it ``continues``.

    Inside it ``discount_pct`` and ``return_window_h`` hold in place of the contract's, and the
    company buys at most ``leads``, for at most ``spend`` dollars.
    """

    starts_at: Moment
    ends_at: Moment
    continues: bool = False
    discount_pct: Decimal | None = None
    return_window_h: Hours | None = None
    leads: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    spend: Decimal | None = None


class TermsBody(Body, frozen=True, kw_only=True):
    """A contract's clauses; what is left out is as without a contract.

    A list of reasons left out allows every reason, an empty one none. ``discount_pct`` is in place
    of returns. With ``first_look`` the company, while qualified, is in the first round for every
    lead of the seller. With ``reviewed`` its returns wait for the operator's review.
    """

    blocked: bool = False
    lead_types: Annotated[tuple[LeadType, ...], Meta(max_length=2)] = ("exclusive", "shared")
    refusal_reasons: Codes | None = None
    return_reasons: Codes | None = None
    return_window_h: Hours | None = None
    return_cap: ReturnCapBody | None = None
    tiers: Annotated[tuple[TierBody, ...], Meta(max_length=20)] = ()
    discount_pct: Decimal = Decimal(0)
    trial: TrialBody | None = None
    first_look: bool = False
    reviewed: bool = False


class VersionBody(Body, frozen=True, kw_only=True):
    """A new version of a contract; without ``effective_from`` it takes effect at once."""

    effective_from: Moment | None = None
    effective_to: Moment | None = None
    terms: TermsBody


class ContractBody(VersionBody, frozen=True, kw_only=True):
    """A new contract between a seller and a company."""

    seller_id: Id
    company_id: Id


class ContractEndBody(Body, frozen=True, kw_only=True):
    """When a contract ends; without ``effective_to`` now."""

    effective_to: Moment | None = None


class VersionAnswer(Answer, frozen=True, kw_only=True):
    """One version as it was recorded. ``withdrawn`` ones never took effect.

    ``warnings`` say what its terms lead to, and which scheduled versions it withdraws.
    """

    version: int
    status: Literal["scheduled", "in_force", "superseded", "withdrawn", "ended"]
    effective_from: datetime
    effective_to: datetime | None
    recorded_at: datetime
    terms: TermsBody
    warnings: tuple[str, ...]


class ContractAnswer(Answer, frozen=True, kw_only=True):
    """A contract with its history, oldest first.

    ``status`` is where it stands now; ``version`` the one in force, null where none is.
    """

    contract_id: str
    seller_id: str
    company_id: str
    created_at: datetime
    status: Phase
    version: int | None
    versions: tuple[VersionAnswer, ...]


class ContractList(Answer, frozen=True, kw_only=True):
    """A page of contracts."""

    items: tuple[ContractAnswer, ...]
    next: str | None


class BreachAnswer(Answer, frozen=True, kw_only=True):
    """A real-time refusal for a reason outside the contract, and the clause."""

    delivery_id: str
    lead_id: str
    seller_id: str
    company_id: str
    contract_id: str
    version: int
    clause: str
    reason: ReasonAnswer
    refused_at: datetime


class BreachList(Answer, frozen=True, kw_only=True):
    """A page of refusals outside a contract."""

    items: tuple[BreachAnswer, ...]
    next: str | None
