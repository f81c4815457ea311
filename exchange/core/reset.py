"""Whether a company may ask for a CRM reset now. Source: rules §5."""

from __future__ import annotations

from datetime import datetime, timedelta

from exchange.core.model import Policy
from exchange.core.reasons import Reason
from exchange.core.standing import Window


def judge_reset(window: Window, now: datetime, policy: Policy) -> Reason | None:
    """Why a CRM reset cannot be asked for, or None.

    Enough must have been assigned since the last one, and the last one be long enough ago.
    """
    if missing_cents(window, policy):
        return Reason.RESET_TOO_EARLY
    interval = timedelta(days=policy.reset_interval_days)
    if window.reset_at is not None and now < window.reset_at + interval:
        return Reason.RESET_TOO_SOON
    return None


def missing_cents(window: Window, policy: Policy) -> int:
    """What must still be assigned before a reset may be asked for, in cents."""
    return max(0, policy.protection_cents - window.era_assigned)
