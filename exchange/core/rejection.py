"""Whether a company may reject a sold lead, and for what.

Source: rules §8, and §9 for the terms a contract sets; without one the vertical's defaults hold.
Pure; the caller holds the sale still while it asks.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, Literal

from msgspec import Struct

from exchange.core.money import BASIS_POINTS
from exchange.core.reasons import REJECTION_REASONS, Reason

CONFIDENT_PERCENT: Final = 60
"""Below this confidence free text is sent back for a code rather than guessed."""


class ReturnCap(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much a company may return of what it bought under a contract in a period.

    A lead counts on the day it was assigned, as in the rates: so its return is of the same period.
    ``count`` is the most leads, ``rate_bp`` the most in basis points of the dollars sold.
    """

    period: Literal["month", "rolling_30_days"]
    count: int | None = None
    rate_bp: int | None = None


class Returned(Struct, frozen=True, kw_only=True):
    """What was returned already of a period's leads, and what was sold in it, in cents."""

    count: int = 0
    cents: int = 0
    sold_cents: int = 0


class Terms(Struct, frozen=True, kw_only=True):
    """What a sale's terms say of returns; the default allows every reason without a bound.

    Under a contract, ``contract_id`` and ``version`` name it. ``returned`` is what the ``cap`` is
    held against. With ``reviewed`` a return waits for the operator's review. ``names_reasons``
    tells that ``allowed`` are the contract's, whatever it leaves out.
    """

    allowed: frozenset[Reason] = frozenset(REJECTION_REASONS.values())
    contract_id: str | None = None
    version: int | None = None
    returnable: bool = True
    cap: ReturnCap | None = None
    returned: Returned = Returned()
    reviewed: bool = False
    names_reasons: bool = False


class Classified(Struct, frozen=True):
    """A reason read from free text, with how sure that is, 0–100."""

    reason: Reason
    confidence_percent: int


def judge(
    *,
    window_closes_at: datetime,
    is_test: bool,
    reason: Reason,
    now: datetime,
    terms: Terms,
    value_cents: int = 0,
) -> Reason | None:
    """Why a manual rejection is refused, or None if it is accepted.

    The window's last moment, ``window_closes_at`` itself, is outside. ``value_cents`` is what the
    sale was charged.
    """
    if is_test:
        return Reason.TEST_LEAD
    if not terms.returnable:
        return Reason.RETURNS_EXCLUDED
    if now >= window_closes_at:
        return Reason.WINDOW_CLOSED
    if reason not in terms.allowed:
        return Reason.REASON_NOT_ALLOWED
    return _judge_cap(terms, value_cents)


def _judge_cap(terms: Terms, value_cents: int) -> Reason | None:
    cap, returned = terms.cap, terms.returned
    if cap is None:
        return None
    if cap.count is not None and returned.count + 1 > cap.count:
        return Reason.RETURN_COUNT_REACHED
    if cap.rate_bp is not None:
        cents = returned.cents + value_cents
        if cents * BASIS_POINTS > cap.rate_bp * returned.sold_cents:
            return Reason.RETURN_SHARE_REACHED
    return None


def clause_of(refused: Reason, terms: Terms) -> dict[str, object]:
    """The details of a refusal that a contract's clause explains; empty where none does."""
    clause = _CLAUSES.get(refused)
    if clause is None or terms.contract_id is None:
        return {}
    named: dict[str, object] = {
        "contract_id": terms.contract_id,
        "version": terms.version,
        "clause": clause,
    }
    if refused is Reason.REASON_NOT_ALLOWED:
        return named | {"allowed": sorted(reason.code for reason in terms.allowed)}
    if clause == "return_cap" and terms.cap is not None:
        return named | {"period": terms.cap.period, "returned": terms.returned.count}
    return named


_CLAUSES: Final = {
    Reason.RETURNS_EXCLUDED: "discount",
    Reason.WINDOW_CLOSED: "return_window",
    Reason.REASON_NOT_ALLOWED: "return_reasons",
    Reason.RETURN_COUNT_REACHED: "return_cap",
    Reason.RETURN_SHARE_REACHED: "return_cap",
}


_SIGNS: Final[tuple[tuple[Reason, str], ...]] = (
    (
        Reason.INVALID_CONTACT,
        r"\bdisconnected\b|\b(?:wrong|bad|fake|bogus|invalid) (?:number|person|name|phone|e-?mail|"
        r"contact)|\b(?:number|phone|e-?mail|contact)s? (?:is |was |are |does )?(?:not |in)"
        r"(?:valid|working|in service|reachable|exist)|\bbounced\b|\bout of service\b(?! area)|"
        r"\bunreachable\b",
    ),
    (
        Reason.DUPLICATE_LEAD,
        r"\bduplicated?s?\b|\bdupes?\b|"
        r"\balready (?:have|had|bought|received|in our|on file|an? (?:existing )?customer)",
    ),
    (
        Reason.INCOMPLETE_DETAILS,
        r"\bincomplete\b|\bnot enough (?:details?|data|info\w*)|\bmissing (?:the )?(?:\w+ )?"
        r"(?:details?|data|info\w*|fields?|address|name|phone|e-?mail|number)|"
        r"\bno (?:phone|e-?mail|address|name)(?: number)? (?:was )?(?:given|provided)",
    ),
    (
        Reason.OUTSIDE_SERVICE_AREA,
        r"\b(?:outside|out of|not in|beyond) (?:of )?(?:\w+ ){0,2}(?:area|territory|region|zone)\b|"
        r"\b(?:do not|don't|cannot|can't) (?:serve|service|cover) (?:this|that|the) "
        r"(?:area|zip|county|city)",
    ),
    (
        Reason.BUDGET_BELOW_MINIMUM,
        r"\b(?:budget|bill|loan|amount) (?:is |was )?(?:far |much )?"
        r"(?:too (?:low|small)|below|under)|"
        r"\b(?:below|under) (?:our |the |your )?minimum|\b(?:cannot|can't) afford",
    ),
    (
        Reason.CRM_TIMEOUT,
        r"\btim(?:ed?|es|ing)[ -]?out\b|\b(?:no answer|did not answer) (?:from|by) (?:our|the) "
        r"(?:crm|system)|\b(?:crm|system) (?:did not answer|never answered)|\bhttp 504\b",
    ),
    (
        Reason.AUTH_FAILURE,
        r"\bunauthori[sz]ed\b|\bauthentication\b|\bcredentials?\b|\bhttp 40[13]\b|"
        r"\b(?:api )?(?:key|token) (?:is |was |has )?(?:expired|invalid|revoked)",
    ),
    (
        Reason.DATA_FORMAT,
        r"\bformat(?:ted|ting)?\b|\bcould not (?:be )?pars\w+|\bunparsable\b|\bmalformed\b|"
        r"\bvalidation error|\bschema\b|\bhttp 4(?:00|15|22)\b",
    ),
    (
        Reason.CONNECTIVITY,
        r"\bconnection (?:was )?(?:refused|reset|failed|error|lost)|\bcould not connect|"
        r"\bserver (?:error|(?:is |was )?down)|\b(?:crm|system) (?:is |was )?(?:down|offline)|"
        r"\bdns\b|\btls\b|\bhttp 50[0-3]\b",
    ),
    (Reason.RATE_LIMITED, r"\brate[ -]limit|\btoo many requests|\bthrottl|\bhttp 429\b"),
    (
        Reason.CAPACITY_REACHED,
        r"\bcapacity\b|\b(?:fully|over) ?booked\b|\bno (?:more )?(?:agents?|staff|slots?)\b",
    ),
    (
        Reason.OFF_HOURS,
        r"\boff[ -]?hours\b|\bafter[ -]hours\b|"
        r"\boutside (?:of )?(?:our )?(?:business|office|working|opening) hours|"
        r"\b(?:office|we) (?:is|are|was|were) closed at",
    ),
    (
        Reason.GEO_RESTRICTED,
        r"\bgeo(?:graphic(?:al(?:ly)?)?)?[ -]?restrict|\bnot licen[sc]ed in|"
        r"\brestricted (?:state|area|region)",
    ),
    (
        Reason.INDUSTRY_EXCLUDED,
        r"\bindustry\b|\boccupation (?:is |was )?excluded|\bline of business",
    ),
    (
        Reason.SEASONAL,
        r"\bseasonal(?:ly)?\b|\b(?:off|out of|wrong|end of|this|the)[ -]season\b|"
        r"\b(?:for|in|over|during) (?:the )?(?:winter|summer|spring|autumn|holidays)\b",
    ),
)
"""Words that speak for a reason, in lower case; bounded, so that "information" is no "format"."""


def classify(text: str) -> Classified | None:
    """Read a rejection's reason from free text; None where no sign of any is found.

    The confidence falls where signs of several reasons are found.
    """
    folded = " ".join(text.lower().split())
    hits = [(reason, len(re.findall(pattern, folded))) for reason, pattern in _SIGNS]
    found = sorted(((n, reason) for reason, n in hits if n), key=lambda hit: (-hit[0], hit[1]))
    if not found:
        return None
    best, reason = found[0]
    total = sum(n for n, _ in found)
    return Classified(reason, 90 * best // total)
