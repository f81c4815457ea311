"""What the exchange alerts to: each kind with its permanent code, its severity and its manners.

A code is said on the wire and in companies' own programs: it never changes its meaning and is
never used again. Source: rules §12 (alerts on thresholds), §8 (an incident is alerted).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Literal

from msgspec import Struct

Severity = Literal["info", "warning", "critical"]


class AlertKind(StrEnum):
    """One kind of alert, by its code."""

    OVERALL_NEAR = "overall_near"
    OVERALL_OVER = "overall_over"
    CRM_NEAR = "crm_near"
    CRM_OVER = "crm_over"
    VERDICT_CHANGED = "verdict_changed"
    CRM_REJECTIONS = "crm_rejections"
    BACKUP_SAVED = "backup_saved"
    CAP_NEAR = "cap_near"
    CAP_FULL = "cap_full"
    BALANCE_LOW = "balance_low"
    BALANCE_EMPTY = "balance_empty"
    BIDDER_RESTING = "bidder_resting"
    BIDDER_ERRORS = "bidder_errors"
    CONNECTION_FAILING = "connection_failing"
    STORES_DRIFT = "stores_drift"


class Manners(Struct, frozen=True, kw_only=True):
    """How a kind is told.

    ``raise_after`` and ``clear_after`` are how many looks in a row must agree before it is raised
    or over. A ``momentary`` kind tells of a change and is over as it is told. Kinds that are
    ``quiet`` end without a notice, those of the ``operator`` are told to nobody else.
    """

    severity: Severity
    title: str
    meaning: str
    raise_after: int = 1
    clear_after: int = 2
    momentary: bool = False
    quiet: bool = False
    operator: bool = False


MANNERS: Final[Mapping[AlertKind, Manners]] = {
    AlertKind.OVERALL_NEAR: Manners(
        severity="info",
        title="Overall rejection rate nears its threshold",
        meaning="The overall rate has reached its set part of the conditional threshold.",
    ),
    AlertKind.OVERALL_OVER: Manners(
        severity="warning",
        title="Overall rejection rate at or over its threshold",
        meaning="The company is conditional: no first look at premium leads.",
    ),
    AlertKind.CRM_NEAR: Manners(
        severity="warning",
        title="CRM rejection rate nears the gate",
        meaning="The CRM rate has reached its set part of the gate's threshold.",
    ),
    AlertKind.CRM_OVER: Manners(
        severity="critical",
        title="CRM rejection rate over the gate",
        meaning="All campaigns of the company are excluded from bidding.",
    ),
    AlertKind.VERDICT_CHANGED: Manners(
        severity="warning",
        title="Verdict changed",
        meaning="The company has become qualified, conditional or excluded. Of what changes again "
        "within an hour, what it came to is told when the hour is over.",
        momentary=True,
    ),
    AlertKind.CRM_REJECTIONS: Manners(
        severity="critical",
        title="Leads are lost to failing deliveries",
        meaning="Deliveries failed for good within the last hour: CRM rejections, which count "
        "unless the company is protected.",
    ),
    AlertKind.BACKUP_SAVED: Manners(
        severity="warning",
        title="A backup delivery saved a sale",
        meaning="A campaign's first delivery failed within the last hour and a backup took over.",
    ),
    AlertKind.CAP_NEAR: Manners(
        severity="info",
        title="Cap nearly used",
        meaning="A campaign has used its set part of a cap, and not all of it.",
        quiet=True,
    ),
    AlertKind.CAP_FULL: Manners(
        severity="warning",
        title="Cap used up",
        meaning="A campaign buys nothing more until the cap's period ends.",
        quiet=True,
    ),
    AlertKind.BALANCE_LOW: Manners(
        severity="warning",
        title="Prepaid balance low",
        meaning="What a prepaid company can still spend is below the set amount.",
    ),
    AlertKind.BALANCE_EMPTY: Manners(
        severity="critical",
        title="Prepaid balance used up",
        meaning="A prepaid company can pay none of its campaigns' prices any more.",
    ),
    AlertKind.BIDDER_RESTING: Manners(
        severity="critical",
        title="Bidder asked by probes only",
        meaning="A campaign's own bidder fails so often that it is hardly asked, or is away.",
        raise_after=2,
    ),
    AlertKind.BIDDER_ERRORS: Manners(
        severity="warning",
        title="Bidder answers badly",
        meaning="Of a bidder's answers in the last minutes the set part was late or unusable.",
        raise_after=2,
    ),
    AlertKind.CONNECTION_FAILING: Manners(
        severity="critical",
        title="Connection test failing",
        meaning="A company's system did not pass its connection tests several times in a row.",
        clear_after=1,
    ),
    AlertKind.STORES_DRIFT: Manners(
        severity="critical",
        title="Stores drift apart",
        meaning="The fast store differs from the books over several looks.",
        operator=True,
    ),
}

COMPANY_KINDS: Final = tuple(kind for kind in AlertKind if not MANNERS[kind].operator)
"""What a company may be told of."""
