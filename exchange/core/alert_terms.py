"""From which figures on somebody is alerted, and who wants to hear of what.

A company's own thresholds come before the operator's, and those before the configured ones.
Source: rules §12.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from msgspec import Struct

from exchange.core.alert_kinds import COMPANY_KINDS, MANNERS, AlertKind

OPERATOR: Final = "operator"
"""The receiver of alerts who is no company."""


class Terms(Struct, frozen=True, kw_only=True):
    """The thresholds that hold for one company.

    ``near_pct`` is the part of a rate's threshold from which it is near, ``cap_pct`` that of a
    cap; ``crm_rejections`` the least within an hour, ``bidder_error_pct`` the part of a bidder's
    answers; ``reminder_hours`` lie between two reminders.
    """

    near_pct: int = 80
    cap_pct: int = 80
    balance_low_cents: int = 100_00
    crm_rejections: int = 1
    bidder_error_pct: int = 50
    reminder_hours: int = 24

    @property
    def remind(self) -> timedelta:
        """The time between two reminders."""
        return timedelta(hours=self.reminder_hours)


class AlertSettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one receiver, a company or the operator, has set; None is left to who comes after.

    Without ``kinds`` a company is told of all it may be, the operator of what is critical.
    """

    near_pct: int | None = None
    cap_pct: int | None = None
    balance_low_cents: int | None = None
    crm_rejections: int | None = None
    bidder_error_pct: int | None = None
    reminder_hours: int | None = None
    webhook_url: str | None = None
    emails: tuple[str, ...] = ()
    kinds: tuple[AlertKind, ...] | None = None
    recoveries: bool = True


def terms_under(default: Terms, *settings: AlertSettings | None) -> Terms:
    """The terms that hold: of each threshold the first that is set, else the default's."""

    def pick(name: str) -> int:
        given = (getattr(one, name) for one in settings if one is not None)
        found: int = next((value for value in given if value is not None), getattr(default, name))
        return found

    return Terms(**{name: pick(name) for name in Terms.__struct_fields__})


def wants(settings: AlertSettings, kind: AlertKind, *, is_operator: bool) -> bool:
    """Whether a receiver wants to be told of a kind."""
    if settings.kinds is not None:
        wanted = kind in settings.kinds
    elif is_operator:
        wanted = MANNERS[kind].severity == "critical"
    else:
        wanted = True
    return wanted and (is_operator or kind in COMPANY_KINDS)
