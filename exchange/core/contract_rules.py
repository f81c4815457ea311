"""Whether a contract's terms can stand, and whether a version may be recorded.

Pure; names the place of a fault as the wire calls it. Source: rules §8 (24 h the shortest return
window) and §9.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from exchange.core.contract import Clauses, Contract, Trial, is_withdrawn
from exchange.core.rejection import ReturnCap
from exchange.core.terms import Tier

DISCOUNT_WARNING: Final = (
    "A flat discount in place of returns rewards volume over quality: the seller earns the same "
    "for a bad lead as for a good one, and no return tells them apart."
)
TRIAL_WARNING: Final = (
    "The trial is over before this version takes effect, and does not continue: under it the pair "
    "does not trade."
)
CONTINUED_WARNING: Final = (
    "The trial is over before this version takes effect: only the contract's own terms hold."
)

LEAST_WINDOW_S: Final = 24 * 3600
MOST_WINDOW_S: Final = 90 * 24 * 3600
"""The longest return window: a seller's pay is not final before it closes."""

MOST_TIERS: Final = 20
MOST_FACTOR_BP: Final = 100_000
"""The largest factor of a tier, 1,000 %."""

MOST_ADD_CENTS: Final = 10_000_00
LONGEST_TRIAL: Final = timedelta(days=366)


class ContractFault(ValueError):
    """Terms that contradict a rule or each other; ``path`` names the place."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path} {message}")
        self.path = path
        self.message = message


def check_contract(
    clauses: Clauses, effective_from: datetime, effective_to: datetime | None
) -> None:
    """Check a version's terms. Raises ContractFault."""
    if effective_to is not None and effective_to <= effective_from:
        raise ContractFault("effective_to", "must be after effective_from")
    if clauses.blocked and clauses != Clauses(blocked=True):
        raise ContractFault("terms.blocked", "stands alone: a blocked pair has no other terms")
    if not clauses.lead_types:
        raise ContractFault(
            "terms.lead_types", "must name exclusive or shared; to sell neither, block the pair"
        )
    if len(set(clauses.lead_types)) != len(clauses.lead_types):
        raise ContractFault("terms.lead_types", "names one twice")
    for name in ("refusal_reasons", "return_reasons"):
        reasons = getattr(clauses, name)
        if reasons is not None and len(set(reasons)) != len(reasons):
            raise ContractFault(f"terms.{name}", "names one twice")
    _check_window(clauses.return_window_s, "terms.return_window_h")
    _check_cap(clauses.return_cap)
    _check_tiers(clauses.tiers)
    _check_discount(clauses.discount_bp, "terms.discount_pct")
    if clauses.discount_bp:
        for name, given in (
            ("return_reasons", clauses.return_reasons),
            ("return_window_h", clauses.return_window_s),
            ("return_cap", clauses.return_cap),
            ("reviewed", clauses.reviewed or None),
        ):
            if given is not None:
                raise ContractFault(
                    f"terms.{name}", "has no meaning: a discount is in place of returns"
                )
    if clauses.trial is not None:
        _check_trial(clauses.trial, clauses.discount_bp, effective_to)


def _check_window(window_s: int | None, path: str) -> None:
    if window_s is not None and not LEAST_WINDOW_S <= window_s <= MOST_WINDOW_S:
        raise ContractFault(path, "must be from 24 to 2160 hours")


def _check_cap(cap: ReturnCap | None) -> None:
    if cap is None:
        return
    if cap.count is None and cap.rate_bp is None:
        raise ContractFault("terms.return_cap", "needs max_count or max_pct")
    if cap.rate_bp is not None and not 0 <= cap.rate_bp <= 10_000:
        raise ContractFault("terms.return_cap.max_pct", "must be from 0 to 100")


def _check_tiers(tiers: Sequence[Tier]) -> None:
    if len(tiers) > MOST_TIERS:
        raise ContractFault("terms.tiers", f"may be at most {MOST_TIERS}")
    if len({tier.min_score for tier in tiers}) != len(tiers):
        raise ContractFault("terms.tiers", "has two with the same min_score")
    for i, tier in enumerate(tiers):
        if not 0 <= tier.min_score <= 100:
            raise ContractFault(f"terms.tiers[{i}].min_score", "must be from 0 to 100")
        if not 1 <= tier.multiply_bp <= MOST_FACTOR_BP:
            raise ContractFault(f"terms.tiers[{i}].multiply", "must be from 0.0001 to 10")
        if abs(tier.add_cents) > MOST_ADD_CENTS:
            raise ContractFault(f"terms.tiers[{i}].add", "must be within 10,000.00 either way")


def _check_discount(discount_bp: int, path: str) -> None:
    if not 0 <= discount_bp < 10_000:
        raise ContractFault(path, "must be from 0 to 99.99")


def _check_trial(trial: Trial, discount_bp: int, effective_to: datetime | None) -> None:
    if trial.ends_at <= trial.starts_at:
        raise ContractFault("terms.trial.ends_at", "must be after starts_at")
    if trial.ends_at - trial.starts_at > LONGEST_TRIAL:
        raise ContractFault("terms.trial.ends_at", "must be within 366 days of starts_at")
    if effective_to is not None and trial.ends_at > effective_to:
        raise ContractFault("terms.trial.ends_at", "must not be after effective_to")
    _check_window(trial.return_window_s, "terms.trial.return_window_h")
    if trial.discount_bp is not None:
        discount_bp = trial.discount_bp
        _check_discount(discount_bp, "terms.trial.discount_pct")
    if trial.leads is not None and trial.leads < 1:
        raise ContractFault("terms.trial.leads", "must be at least 1")
    if trial.spend_cents is not None and trial.spend_cents < 1:
        raise ContractFault("terms.trial.spend", "must be more than 0")
    if discount_bp and trial.return_window_s is not None:
        raise ContractFault(
            "terms.trial.return_window_h", "has no meaning: a discount is in place of returns"
        )


def warnings_of(version: Contract, versions: Sequence[Contract]) -> tuple[str, ...]:
    """What a version leads to that its maker may not have meant; ``versions`` are all of its pair's
    or contract's.
    """
    clauses, trial = version.clauses, version.clauses.trial
    found: list[str] = []
    if clauses.discount_bp or (trial is not None and trial.discount_bp):
        found.append(DISCOUNT_WARNING)
    holds_ever = version.effective_to is None or version.effective_to > version.effective_from
    if trial is not None and trial.ends_at <= version.effective_from and holds_ever:
        found.append(TRIAL_WARNING if not trial.continues else CONTINUED_WARNING)
    found += [
        f"Version {other.version}, scheduled for {other.effective_from:%Y-%m-%dT%H:%M:%SZ}, is "
        "withdrawn: this one is newer and takes effect no later."
        for other in _withdrawn_by(version, versions)
    ]
    return tuple(found)


def _withdrawn_by(version: Contract, versions: Sequence[Contract]) -> list[Contract]:
    """The scheduled versions that never take effect since this one was recorded.

    One whose terms this one repeats from the same moment on, to give them an end, goes on in it.
    """
    before = [one for one in versions if one.number < version.number]
    return [
        one
        for one in before
        if one.effective_from > version.recorded_at
        and one.effective_from >= version.effective_from
        and not is_withdrawn(one, before)
        and (one.effective_from, one.clauses) != (version.effective_from, version.clauses)
    ]


def overlapping(versions: Sequence[Contract], effective_from: datetime) -> Contract | None:
    """The newest version of a pair's contracts, if it holds when a new one would begin."""
    if not versions:
        return None
    newest = max(versions, key=lambda version: version.number)
    if newest.effective_to is not None and newest.effective_to <= effective_from:
        return None
    return newest
