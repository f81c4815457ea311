"""What may be wrong with a lead: every check by its name, its points, and the reason it gives.

A lead's quality score is 100 less the points of its flaws, never below 0. On ping only what is
anonymous is looked at; the contact is looked at when it is posted. Source: rules §3.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

from exchange.core.reasons import Reason

BEST_SCORE: Final = 100


class Flaw(Struct, frozen=True, kw_only=True, gc=False):
    """One thing found wrong: the check's name, its points (0–100), and a sentence for a person."""

    check: str
    points: int
    message: str


class Check(Struct, frozen=True, kw_only=True):
    """One check: when it is made, what it takes off the score, why it refuses where it may."""

    side: Literal["ping", "post"]
    points: int
    reason: Reason


CHECKS: Final[dict[str, Check]] = {
    "zip_state": Check(side="ping", points=40, reason=Reason.PLACE_MISMATCH),
    "timezone": Check(side="ping", points=25, reason=Reason.PLACE_MISMATCH),
    "county": Check(side="ping", points=15, reason=Reason.PLACE_MISMATCH),
    "impossible": Check(side="ping", points=40, reason=Reason.IMPOSSIBLE_LEAD),
    "source_pace": Check(side="ping", points=30, reason=Reason.SOURCE_TOO_FAST),
    "contact_pace": Check(side="ping", points=25, reason=Reason.CONTACT_REPEATED),
    "phone_invalid": Check(side="post", points=50, reason=Reason.PHONE_INVALID),
    "phone_fictitious": Check(side="post", points=50, reason=Reason.PHONE_FICTITIOUS),
    "phone_service": Check(side="post", points=40, reason=Reason.PHONE_SERVICE),
    "phone_abroad": Check(side="post", points=30, reason=Reason.PHONE_ABROAD),
    "phone_area": Check(side="post", points=10, reason=Reason.PHONE_AREA),
    "email_undeliverable": Check(side="post", points=35, reason=Reason.EMAIL_UNDELIVERABLE),
    "email_disposable": Check(side="post", points=35, reason=Reason.EMAIL_DISPOSABLE),
    "email_role": Check(side="post", points=10, reason=Reason.EMAIL_ROLE),
    "name_placeholder": Check(side="post", points=40, reason=Reason.NAME_PLACEHOLDER),
    "name_phones": Check(side="post", points=20, reason=Reason.NAME_REPEATED),
    "address_phones": Check(side="post", points=25, reason=Reason.ADDRESS_REPEATED),
    "address_place": Check(side="post", points=25, reason=Reason.ADDRESS_MISMATCH),
}
"""Every check by the name it has in settings, verticals and answers; names are permanent."""

PLACE_CHECKS: Final = frozenset({"zip_state", "timezone", "county"})


def flaw(check: str, message: str) -> Flaw:
    """A flaw of a check, at the check's points."""
    return Flaw(check=check, points=CHECKS[check].points, message=message)


def score_of(flaws: Iterable[Flaw], best: int = BEST_SCORE) -> int:
    """The score that flaws leave of ``best``: 0 to 100."""
    return max(0, best - sum(one.points for one in flaws))


def has_place_flaw(flaws: Iterable[Flaw]) -> bool:
    """Whether ZIP code, state, timezone and county do not belong together."""
    return any(one.check in PLACE_CHECKS for one in flaws)
