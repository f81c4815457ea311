"""The way back is told in ordered steps, with the sums and days they speak of (rules: §5, §12)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from msgspec.structs import replace

from exchange.core.model import Policy
from exchange.core.reasons import Reason
from exchange.core.recovery import recover
from exchange.core.recovery_path import (
    Cause,
    Step,
    exact_percent,
    tell_path,
    tell_price,
    tell_verdict,
)
from exchange.core.standing import Bucket, Window, book, weigh
from tests.core.making import NOW, TODAY, days_ago, window
from tests.core.test_recovery import WINDOWS, moved, policies

POLICY = Policy()
CAUSES = (
    Cause(kind="crm", reason=Reason.AUTH_FAILURE, leads=31, value_cents=1_240_00),
    Cause(kind="manual", reason=Reason.INVALID_CONTACT, leads=1, value_cents=630_00),
)
EXCLUDED = window({(TODAY, 0): Bucket(assigned=10_000_00, manual=630_00, crm=1_240_00)})
CONDITIONAL = window({(TODAY, 0): Bucket(assigned=10_000_00, manual=530_00, crm=320_00)})
QUALIFIED = window({(TODAY, 0): Bucket(assigned=10_000_00, manual=180_00, crm=30_00)})


def path(
    held: Window, causes: tuple[Cause, ...] = CAUSES, asked_at: datetime | None = None
) -> tuple[Step, ...]:
    return tell_path(recover(held, TODAY, NOW, POLICY), causes, POLICY, asked_at=asked_at)


def test_section_12_an_excluded_company_reads_its_way_back_in_order() -> None:
    told = path(EXCLUDED)
    assert [(step.kind, step.cents, step.day) for step in told] == [
        ("gate_closed", None, None),
        ("mend", None, None),
        ("crm_reset", None, None),
        ("wait", None, TODAY + timedelta(days=30)),
        ("clean_leads", 2_400_00, None),
        ("clean_leads", 27_400_01, None),
        ("wait", None, TODAY + timedelta(days=30)),
    ]
    assert "12.40 % of what was assigned" in told[0].text and "above 10.00 %" in told[0].text
    assert "auth_failure (31 leads, $1,240.00)" in told[1].text
    assert "invalid_contact" not in told[1].text
    # 630 of 10,000 is left of it after a reset.
    assert "you are conditional, protected again, and a $100.00 bid is worth 93.70" in told[2].text
    assert told[4].text == (
        "$2,400.00 of leads assigned today and not rejected would bring your CRM rate down to "
        "10.00 %; a cent less would not."
    )


def test_section_12_a_conditional_company_reads_what_makes_it_qualified() -> None:
    told = path(CONDITIONAL, CAUSES[::-1])
    assert [step.kind for step in told] == [
        "conditional", "mend", "crm_reset", "clean_leads", "wait",
    ]  # fmt: skip
    assert "A $100.00 bid is worth 91.50." in told[0].text
    assert "invalid_contact (1 lead, $630.00)" in told[1].text
    assert told[3].cents == 7_000_01


def test_a_conditional_company_whose_crm_is_clean_is_not_sent_to_a_reset() -> None:
    held = window({(TODAY, 0): Bucket(assigned=10_000_00, manual=850_00)})
    assert "crm_reset" not in [step.kind for step in path(held, ())]


def test_a_qualified_company_reads_how_much_may_still_go_wrong() -> None:
    (step,) = path(QUALIFIED)
    # 500 is 5 %, so 499.99 may be rejected. What fails is assigned as well: 210 + 305.26 of
    # 10,305.26 is below 5 %, 30 + 1,077.77 of 11,077.77 not above 10 %.
    assert (step.kind, step.cents) == ("keep", 499_99 - 210_00)
    assert step.text.endswith(
        "; of leads to come, $305.26 before that and $1,077.77 before the gate closes could fail "
        "in your CRM."
    )


def test_section_5_a_protected_company_reads_what_waits_behind_its_protection() -> None:
    held = book(window(era_assigned=0), TODAY, 0, assigned=4_000_00, crm=800_00)
    step = path(held)[0]
    assert (step.kind, step.cents) == ("protection", 1_000_00)
    assert "$800.00 of them begin to count" in step.text
    assert "your CRM rate would be 16.00 % and your verdict excluded" in step.text


@pytest.mark.parametrize(
    ("held", "asked_at", "text", "at"),
    [
        pytest.param(EXCLUDED, None, "You may ask for a CRM reset now.", None, id="now"),
        pytest.param(
            EXCLUDED, NOW, "You asked for a CRM reset on 2026-11-21.", NOW, id="asked for"
        ),
        pytest.param(
            replace(EXCLUDED, reset_at=NOW - timedelta(days=10)),
            None,
            "You may ask for the next CRM reset from 2026-12-11 22:35 UTC.",
            datetime(2026, 12, 11, 22, 35, 8, tzinfo=UTC),
            id="too soon after the last",
        ),
    ],
)
def test_section_5_the_step_of_the_reset_says_when_it_is_due(
    held: Window, asked_at: datetime | None, text: str, at: datetime | None
) -> None:
    step = next(step for step in path(held, asked_at=asked_at) if step.kind == "crm_reset")
    assert step.text.startswith(text) and step.at == at


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (EXCLUDED, ("CRM 12.40 % is above 10.00 %: no campaign bids.", "is not below 5.00 %")),
        (CONDITIONAL, ("CRM 3.20 % is not above 10.00 %", "Overall 8.50 % is not below 5.00 %")),
        (QUALIFIED, ("CRM 0.30 % is not above 10.00 %", "Overall 2.10 % is below 5.00 %")),
    ],
)
def test_section_12_the_published_verdicts_are_told_by_their_comparisons(
    held: Window, told: tuple[str, str]
) -> None:
    found = tell_verdict(recover(held, TODAY, NOW, POLICY), POLICY)
    assert all(part in line for part, line in zip(told, found, strict=True))


def test_section_10_an_adjusted_threshold_is_told_as_it_is() -> None:
    policy = Policy(adjustments={TODAY: moved(230, -110)})
    held = window({(TODAY, 0): Bucket(assigned=10_000_00, crm=1_012_00)})
    (crm, _) = tell_verdict(recover(held, TODAY, NOW, policy), policy)
    assert crm == "CRM 10.12 % is not above 10.12 %: campaigns may bid."


def test_section_10_an_eased_price_is_told_with_what_eased_it() -> None:
    held = window(
        {
            (days_ago(20), 0): Bucket(assigned=20_000_00, manual=2_100_00),
            (TODAY, 0): Bucket(assigned=10_000_00, manual=900_00),
        }
    )
    standing = weigh(held, TODAY, Policy(adjustments={TODAY: moved(0, 0)}))
    assert tell_price(standing) == (
        "A $100.00 bid is worth 91.00, after an improving trend took 10.00 % off the penalty."
    )


@pytest.mark.parametrize(
    ("part", "whole", "told"),
    [(1, 10, "10.00 %"), (10_123_456, 10**8, "10.1235 %"), (1, 3, "33.3333 %"), (0, 1, "0.00 %")],
)
def test_a_ratio_is_told_with_the_digits_it_needs(part: int, whole: int, told: str) -> None:
    assert exact_percent(part, whole) == told


@given(WINDOWS, policies())
def test_every_standing_has_a_way_and_every_step_a_sentence(held: Window, policy: Policy) -> None:
    found = recover(held, TODAY, NOW, policy)
    told = tell_path(found, CAUSES, policy)
    assert told and all(step.text.endswith(".") for step in told)
    sums = {step.cents for step in told if step.kind == "clean_leads"}
    assert sums <= {found.bids.clean_cents, found.qualified.clean_cents}
