"""Reasons are permanent and numbered (rules: §3, §8)."""

import json
from collections import Counter
from pathlib import Path

import pytest

from exchange.core.reasons import (
    CONTACT_REASONS,
    PING_QUALITY_REASONS,
    REJECTION_REASONS,
    Reason,
)

FROZEN = json.loads(Path(__file__).with_name("reason_numbers.json").read_text())
EVERY = pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.name.lower())


def test_a_number_never_changes_and_a_new_reason_is_added_to_the_frozen_table() -> None:
    assert {reason.name.lower(): int(reason) for reason in Reason} == FROZEN


def test_no_number_is_used_twice() -> None:
    assert len(Reason.__members__) == len({int(reason) for reason in Reason})


def test_no_code_is_used_twice_but_a_duplicate_on_ping_and_in_a_rejection() -> None:
    counts = Counter(reason.code for reason in Reason)
    assert {code for code, times in counts.items() if times > 1} == {"duplicate"}


@EVERY
def test_every_reason_has_a_sentence(reason: Reason) -> None:
    assert reason.message.endswith(".") and reason.message[0].isupper()


@EVERY
def test_every_reason_has_a_category(reason: Reason) -> None:
    assert reason.category


@EVERY
def test_a_code_is_lower_case(reason: Reason) -> None:
    assert reason.code == reason.code.lower() and " " not in reason.code


def test_the_rejection_reasons_are_those_of_the_rules() -> None:
    told: dict[str, list[str]] = {}
    for code, reason in REJECTION_REASONS.items():
        told.setdefault(reason.category, []).append(code)
    assert told == {
        "quality": [
            "invalid_contact",
            "duplicate",
            "incomplete_details",
            "outside_service_area",
            "budget_below_minimum",
        ],
        "technical": [
            "crm_timeout",
            "auth_failure",
            "data_format",
            "connectivity",
            "rate_limited",
        ],
        "business": [
            "capacity_reached",
            "off_hours",
            "geo_restricted",
            "industry_excluded",
            "seasonal",
        ],
    }


@pytest.mark.parametrize(
    ("hundred", "group"),
    [(1, "ping_refused"), (2, "no_bid"), (3, "bid_lost"), (4, "post_refused")],
)
def test_the_hundreds_are_the_groups_of_the_rules(hundred: int, group: str) -> None:
    quality = {Reason.DUPLICATE, *PING_QUALITY_REASONS, *CONTACT_REASONS}
    found = {r.category for r in Reason if r // 100 == hundred and r not in quality}
    assert found == {group}
