"""Whether a ping is taken at all, before any campaign is asked. Source: rules §3.1.

What is malformed never comes here: the wire refuses it with the field named.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

from exchange.core.model import CompanyId, Ping
from exchange.core.quality.consent import judge_consent
from exchange.core.reasons import Reason
from exchange.core.verticals import Vertical


class SeenContact(Struct, frozen=True, kw_only=True):
    """When a contact was last sold, market-wide and by this seller, and to whom."""

    market_sold_at: datetime | None = None
    seller_sold_at: datetime | None = None
    sold_to: frozenset[CompanyId] = frozenset()


class DuplicateWindows(Struct, frozen=True, kw_only=True):
    """For how many days a sold contact is a duplicate; 0 turns a window off."""

    market_days: int = 30
    seller_days: int = 30


def screen(
    ping: Ping, vertical: Vertical, seen: SeenContact, windows: DuplicateWindows, now: datetime
) -> Reason | None:
    """The first reason, in the rules' order, for which the whole ping is refused; None if taken."""
    if now - ping.captured_at > timedelta(seconds=vertical.max_age_s):
        return Reason.LEAD_TOO_OLD
    if vertical.consent_required and not ping.consent:
        return Reason.CONSENT_MISSING
    if vertical.consent is not None:
        fault = judge_consent(ping.consent, vertical.consent, now)
        if fault is not None:
            return fault.reason
    if _within(seen.market_sold_at, windows.market_days, now):
        return Reason.DUPLICATE
    if _within(seen.seller_sold_at, windows.seller_days, now):
        return Reason.DUPLICATE
    return None


def _within(sold_at: datetime | None, days: int, now: datetime) -> bool:
    return sold_at is not None and days > 0 and now < sold_at + timedelta(days=days)
