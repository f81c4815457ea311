"""Facts about companies' systems and our own: deliveries, bidders, connections, stores.

What was counted comes in; what it means for an alert goes out. A fact that is ``under`` is only
made where something is remembered of it. Source: rules §8 (incidents), §12.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from msgspec import Struct

from exchange.core.alert_kinds import AlertKind
from exchange.core.alert_terms import Terms
from exchange.core.alerts import Fact, Level, Watch, key_of
from exchange.core.model import CampaignId, CompanyId
from exchange.core.money import format_cents, percent_hundredths
from exchange.core.reasons import Reason
from exchange.core.standing import Standing
from exchange.core.words import counted

LEAST_ANSWERS: Final = 20
"""Answers of a bidder below which no part of them says anything."""

DRIFT_LOOKS: Final = 3
"""Looks in a row in which a company must differ: a running market moves between two reads."""

FAILED_BIDS: Final = frozenset(
    {
        Reason.BIDDER_TIMEOUT,
        Reason.BIDDER_CONNECTION,
        Reason.BIDDER_ERROR,
        Reason.BID_UNREADABLE,
        Reason.BID_TOO_LARGE,
        Reason.BID_CURRENCY,
        Reason.BID_PRICE,
        Reason.BID_AUCTION,
    }
)
"""Answers of a bidder that were late, missing, or of no use."""

NOT_ASKED: Final = frozenset(
    {Reason.BIDDER_RESTING, Reason.BIDDER_BUSY, Reason.BIDDER_NO_TIME, Reason.BIDDER_SIMULATED}
)
"""Counted beside the answers, and none."""


class Incidents(Struct, frozen=True, kw_only=True):
    """Deliveries of one campaign within the last hour: how many, what they are worth in cents.

    ``reasons`` counts by the reason's code; ``kinds`` are those of the targets that took over.
    """

    company_id: CompanyId
    campaign_id: CampaignId
    count: int
    cents: int
    reasons: Mapping[str, int] = {}
    kinds: Sequence[str] = ()


class BidderCounts(Struct, frozen=True, kw_only=True):
    """A campaign's bidder over all workers: how many ask it, at how many it rests or is away.

    ``asked`` and ``failed`` count its answers of the last minutes.
    """

    company_id: CompanyId
    campaign_id: CampaignId
    workers: int
    resting: int
    asked: int
    failed: int


class Streak(Struct, frozen=True, kw_only=True):
    """How a connection's last tests went: failures in a row, or successes since the last."""

    company_id: CompanyId
    campaign_id: CampaignId
    target: str
    failures: int
    successes: int
    reason: str | None = None
    why: str | None = None


def crm_fact(found: Incidents, terms: Terms, standing: Standing | None) -> Fact:
    """Tell how many of a campaign's deliveries failed for good within the last hour, and whether
    they count: ``standing`` is its company's.
    """
    level: Level = "over" if found.count >= terms.crm_rejections else "between"
    if not found.count:
        level = "under"
    said = _said(found)
    return Fact(
        kind=AlertKind.CRM_REJECTIONS,
        company_id=found.company_id,
        campaign_id=found.campaign_id,
        level=level,
        text=(
            f"{counted(found.count, 'delivery', 'deliveries')} worth {format_cents(found.cents)} "
            f"dollars failed for good in the last hour{said}; {_what_counts(standing)}."
        ),
        arithmetic=f"{found.count} in the last hour; told from {terms.crm_rejections}",
        values={
            "rejections": found.count,
            "value": Decimal(found.cents).scaleb(-2),
            **{f"reason_{code}": count for code, count in sorted(found.reasons.items())},
        },
    )


def _what_counts(standing: Standing | None) -> str:
    if standing is None or not standing.protected:
        return "they count as CRM rejections"
    left = format_cents(standing.protection_left)
    return f"as the company is protected, they count only once {left} dollars more are assigned"


def _said(found: Incidents) -> str:
    """What companies' systems said, in brackets behind a sentence's end."""
    said = ", ".join(f"{code} {count}" for code, count in sorted(found.reasons.items()))
    return f" ({said})" if said else ""


def saved_fact(found: Incidents) -> Fact:
    """Tell how many of a campaign's sales a backup saved within the last hour."""
    said = _said(found)
    return Fact(
        kind=AlertKind.BACKUP_SAVED,
        company_id=found.company_id,
        campaign_id=found.campaign_id,
        level="over" if found.count else "under",
        text=(
            f"{counted(found.count, 'sale was', 'sales were')} saved by a backup in the last hour, "
            f"worth {format_cents(found.cents)} dollars, as the delivery before it failed{said}."
        ),
        arithmetic=f"{found.count} in the last hour",
        values={
            "sales": found.count,
            "value": Decimal(found.cents).scaleb(-2),
            "taken_by": ", ".join(sorted(set(found.kinds))),
            **{f"reason_{code}": count for code, count in sorted(found.reasons.items())},
        },
    )


def bidder_facts(found: BidderCounts, terms: Terms, watches: Mapping[str, Watch]) -> list[Fact]:
    """Tell whether a campaign's bidder rests, and whether it answers badly."""
    facts = []
    resting: Level = "under"
    if found.resting:
        resting = "over" if 2 * found.resting >= found.workers else "between"
    if resting == "over" or key_of(AlertKind.BIDDER_RESTING, *_subject(found)) in watches:
        facts.append(
            Fact(
                kind=AlertKind.BIDDER_RESTING,
                company_id=found.company_id,
                campaign_id=found.campaign_id,
                level=resting,
                text=(
                    f"The campaign's bidder is asked by probes only, or away, at {found.resting} "
                    f"of {counted(found.workers, 'worker', 'workers')}."
                ),
                arithmetic=f"{found.resting} of {found.workers}; told from half of them",
                values={"resting": found.resting, "workers": found.workers},
            )
        )
    pct = percent_hundredths(found.failed, found.asked)
    badly: Level = "between"
    if found.asked >= LEAST_ANSWERS:
        share = terms.bidder_error_pct
        if found.failed * 100 >= share * found.asked:
            badly = "over"
        elif found.failed * 100 * 100 < share * 80 * found.asked:
            badly = "under"
    if badly == "over" or key_of(AlertKind.BIDDER_ERRORS, *_subject(found)) in watches:
        facts.append(
            Fact(
                kind=AlertKind.BIDDER_ERRORS,
                company_id=found.company_id,
                campaign_id=found.campaign_id,
                level=badly,
                text=(
                    f"Of the bidder's last {found.asked} answers {found.failed} were late or of no "
                    f"use, {format_cents(pct)} %."
                ),
                arithmetic=(
                    f"{found.failed} / {found.asked} = {format_cents(pct)} %; told from "
                    f"{terms.bidder_error_pct} % of at least {LEAST_ANSWERS}"
                ),
                values={
                    "asked": found.asked,
                    "failed": found.failed,
                    "failed_pct": Decimal(pct).scaleb(-2),
                },
            )
        )
    return facts


def _subject(found: BidderCounts) -> tuple[CompanyId, CampaignId]:
    return found.company_id, found.campaign_id


def connection_fact(found: Streak, failures: int, recoveries: int) -> Fact:
    """Tell whether a connection fails its tests: so many in a row, until so many succeed."""
    level: Level = "between"
    if found.failures >= failures:
        level = "over"
    elif not found.failures and found.successes >= recoveries:
        level = "under"
    why = f" ({found.why})" if found.why and found.failures else ""
    said = f"failed {counted(found.failures, 'time', 'times')} in a row{why}"
    if not found.failures:
        said = f"passed {counted(found.successes, 'time', 'times')} in a row"
    return Fact(
        kind=AlertKind.CONNECTION_FAILING,
        company_id=found.company_id,
        campaign_id=found.campaign_id,
        detail=found.target,
        level=level,
        text=f"The connection test of the campaign's {found.target} {said}.",
        arithmetic=(
            f"{counted(found.failures, 'failure', 'failures')} in a row; told from {failures}, "
            f"over after {counted(recoveries, 'success', 'successes')}"
        ),
        values={
            "target": found.target,
            "failures": found.failures,
            "successes": found.successes,
            **({} if found.reason is None else {"reason": found.reason}),
        },
    )


def drift_fact(findings: Sequence[str], looked_at: int) -> Fact:
    """Tell of companies in which the fast store has differed from the books for several looks."""
    count = len(findings)
    return Fact(
        kind=AlertKind.STORES_DRIFT,
        level="over" if count else "under",
        text=(
            f"{counted(count, 'company differs', 'companies differ')} between the books and the "
            "fast store; `exchange rebuild` writes the fast store anew."
            if count
            else "The fast store agrees with the books again."
        ),
        arithmetic=(
            f"{count} of the companies compared differ for {DRIFT_LOOKS} looks; "
            f"{looked_at} compared at this look"
        ),
        values={"companies": count, "compared": looked_at, "first": "; ".join(findings[:3])},
    )
