"""What becomes of a return after it was asked for: whether it is reviewed, and until when it can be
disputed. Pure. Source: rules §8 and §11 (asks for review rather than guess).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from exchange.core.reasons import Reason
from exchange.core.rejection import Terms

ReturnStatus = Literal["accepted", "in_review", "declined", "reversed"]
"""Accepted and in review count in the company's rates; only accepted ones move money."""


class ReturnPolicy(Struct, frozen=True, kw_only=True):
    """The operator's policy of returns; ``_s`` are seconds.

    ``review``: besides the returns whose contract says so, those whose company asks for it
    (``asked``: of texts that fit no reason), all such texts (``unclear``), or every return.
    """

    review: Literal["asked", "unclear", "all"] = "asked"
    review_s: int = 72 * 3600
    dispute_s: int = 7 * 86_400

    def takes_unclear(self, *, asked: bool) -> bool:
        """Whether a text that fits no reason waits for the operator's rather than being refused."""
        return asked or self.review != "asked"

    def reviews(self, reason: Reason) -> bool:
        """Whether a return is reviewed whatever its contract says."""
        return self.review == "all" or reason is Reason.REASON_UNCLEAR

    def review_ends_at(self, asked_at: datetime) -> datetime:
        """When a review that nobody decided is decided by itself."""
        return asked_at + timedelta(seconds=self.review_s)

    def disputable_until(self, accepted_at: datetime | None) -> datetime | None:
        """Until when the seller may dispute; that moment itself is too late."""
        return None if accepted_at is None else accepted_at + timedelta(seconds=self.dispute_s)


def judge_silence(reason: Reason, terms: Terms) -> Reason | None:
    """Why a return that nobody reviewed in time is declined, or None if that approves it.

    A contract that names reasons credits none that nobody has read.
    """
    unread = reason is Reason.REASON_UNCLEAR and terms.names_reasons
    return Reason.REASON_NOT_ALLOWED if unread else None


def judge_dispute(
    status: ReturnStatus, accepted_at: datetime | None, now: datetime, policy: ReturnPolicy
) -> Reason | None:
    """Why a seller cannot dispute a return, or None."""
    if status == "declined":
        return Reason.RETURN_DECLINED
    if status == "reversed":
        return Reason.RETURN_REVERSED
    ends_at = policy.disputable_until(accepted_at)
    if ends_at is None:
        return Reason.RETURN_UNDECIDED
    return Reason.DISPUTE_TOO_LATE if now >= ends_at else None
