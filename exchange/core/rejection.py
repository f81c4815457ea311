"""Whether a company may reject a sold lead, and for what.

Source: rules §8, with the vertical's defaults for the terms of §9. Pure; the caller holds the
sale still while it asks.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from msgspec import Struct

from exchange.core.reasons import REJECTION_REASONS, Reason

CONFIDENT_PERCENT: Final = 60
"""Below this confidence free text is sent back for a code rather than guessed."""


class Terms(Struct, frozen=True, kw_only=True):
    """What a sale's terms say of returns; the default allows every reason."""

    allowed: frozenset[Reason] = frozenset(REJECTION_REASONS.values())
    reviewed: bool = False


class Classified(Struct, frozen=True):
    """A reason read from free text, with how sure that is, 0–100."""

    reason: Reason
    confidence_percent: int


def judge(
    *, window_closes_at: datetime, is_test: bool, reason: Reason, now: datetime, terms: Terms
) -> Reason | None:
    """Why a manual rejection is refused, or None if it is accepted.

    The window's last moment, ``window_closes_at`` itself, is outside.
    """
    if is_test:
        return Reason.TEST_LEAD
    if now >= window_closes_at:
        return Reason.WINDOW_CLOSED
    if reason not in terms.allowed:
        return Reason.REASON_NOT_ALLOWED
    return None


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
