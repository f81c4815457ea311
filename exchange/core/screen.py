"""Whether a ping is taken at all, before any campaign is asked. Source: rules §3.1.

What is malformed never comes here: the wire refuses it with the field named.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from exchange.core.model import CompanyId, Ping
from exchange.core.quality.consent import judge_consent, parts_given
from exchange.core.reasons import Reason
from exchange.core.verticals import Vertical


class SeenContact(Struct, frozen=True, kw_only=True):
    """What is known of a contact: when it was sold, market-wide, by this seller and to whom.

    ``suppressed_by`` are the companies on whose lists it is; ``is_repeat``: this seller pinged it
    moments ago.
    """

    market_sold_at: datetime | None = None
    seller_sold_at: datetime | None = None
    sold_to: Mapping[CompanyId, datetime] = {}
    suppressed_by: frozenset[CompanyId] = frozenset()
    is_repeat: bool = False


class DuplicateWindows(Struct, frozen=True, kw_only=True):
    """How long a contact is a duplicate; 0 turns a window off.

    For days after it was sold, by anyone or by the same seller, and to the company that bought it;
    for ``repeat_s`` seconds after the same seller pinged it.
    """

    market_days: int = 30
    seller_days: int = 30
    company_days: int = 366
    repeat_s: int = 0


def screen(
    ping: Ping, vertical: Vertical, seen: SeenContact, windows: DuplicateWindows, now: datetime
) -> Reason | None:
    """The first reason, in the rules' order, for which the whole ping is refused; None if taken.

    A test ping is no duplicate of anything.
    """
    if now - ping.captured_at > timedelta(seconds=vertical.max_age_s):
        return Reason.LEAD_TOO_OLD
    if vertical.consent_required and not parts_given(ping.consent):
        return Reason.CONSENT_MISSING
    if vertical.consent is not None:
        fault = judge_consent(ping.consent, vertical.consent, now)
        if fault is not None:
            return fault.reason
    if ping.test:
        return None
    if seen.is_repeat:
        return Reason.REPEATED_PING
    if _within(seen.market_sold_at, windows.market_days, now):
        return Reason.DUPLICATE
    if _within(seen.seller_sold_at, windows.seller_days, now):
        return Reason.DUPLICATE
    return None


def bought_before(
    ping: Ping, seen: SeenContact, windows: DuplicateWindows, now: datetime
) -> frozenset[CompanyId]:
    """The companies that are not sold this contact, as they bought it; none of a test ping."""
    if ping.test or not windows.company_days:
        return frozenset()
    return frozenset(
        company_id
        for company_id, at in seen.sold_to.items()
        if _within(at, windows.company_days, now)
    )


def _within(sold_at: datetime | None, days: int, now: datetime) -> bool:
    return sold_at is not None and days > 0 and now < sold_at + timedelta(days=days)
