"""The month is held against the published table: a rule that does not hold is a fault."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest

from exchange.core.auction import Candidate
from exchange.core.model import CampaignId, CompanyId, Policy
from exchange.core.reasons import Reason
from exchange.core.standing import Bucket, Standing, Window, weigh
from exchange.demo.steering import AIMS
from exchange.demo.verdicts import judge

TODAY = date(2026, 11, 30)
GOOD, CONDITIONAL, EXCLUDED = AIMS
COMPANY = CompanyId("c")


def standing(assigned: int, manual: int, crm: int) -> Standing:
    buckets = {(TODAY, 0): Bucket(assigned=assigned, manual=manual, crm=crm)}
    window = Window(company_id=COMPANY, era_assigned=assigned, buckets=buckets)
    return weigh(window, TODAY, Policy())


def bid(charged: int) -> Candidate:
    return Candidate(
        campaign_id=CampaignId("k"),
        company_id=COMPANY,
        outcome="won",
        share=1,
        base_cents=10_000,
        rectified_cents=charged,
        charged_cents=charged,
        rank=1,
        draw=1,
    )


def no_bid(reason: Reason) -> Candidate:
    return Candidate(
        campaign_id=CampaignId("k"), company_id=COMPANY, outcome="no_bid", reason=reason
    )


@pytest.mark.parametrize(
    ("aim", "stands", "pinged"),
    [
        (GOOD, standing(1_000_000, 18_000, 3_000), bid(9_790)),
        (CONDITIONAL, standing(1_000_000, 53_000, 32_000), bid(9_150)),
        (EXCLUDED, standing(1_000_000, 63_000, 124_000), no_bid(Reason.CRM_GATE)),
    ],
    ids=["qualified", "conditional", "excluded"],
)
def test_the_published_cases_hold(aim: Any, stands: Standing, pinged: Candidate) -> None:
    line, faults = judge(aim, "C", stands, pinged)
    assert not faults
    assert line.holds and line.price_cents == aim.price_cents and line.verdict == aim.verdict


@pytest.mark.parametrize(
    ("aim", "stands", "pinged", "told"),
    [
        (GOOD, standing(1_000_000, 18_200, 3_000), bid(9_788), "price of a .* is \\$97.88"),
        (GOOD, standing(1_000_000, 19_000, 2_000), bid(9_790), "CRM rate is 0.2 %"),
        (CONDITIONAL, standing(1_000_000, 63_000, 32_000), bid(9_050), "overall rate is 9.5 %"),
        (EXCLUDED, standing(499_999, 31_500, 62_000), bid(9_370), "verdict is conditional"),
        (GOOD, standing(1_000_000, 18_000, 3_000), bid(10_000), r"prices .* at \$100.00"),
        (GOOD, standing(1_000_000, 18_000, 3_000), None, "was not in the ping"),
        (EXCLUDED, standing(1_000_000, 63_000, 124_000), bid(8_130), "bid .* and is excluded"),
        (
            EXCLUDED,
            standing(1_000_000, 63_000, 124_000),
            no_bid(Reason.BUDGET),
            "the ping says no_bid budget",
        ),
    ],
    ids=[
        "two cents off",
        "another CRM rate",
        "another overall rate",
        "still protected",
        "charged the base",
        "no bid found",
        "bids although excluded",
        "another reason",
    ],
)
def test_a_rule_that_does_not_hold_is_told(
    aim: Any, stands: Standing, pinged: Candidate | None, told: str
) -> None:
    line, faults = judge(aim, "C", stands, pinged)
    assert not line.holds
    assert any(re.search(told, fault) for fault in faults), faults
    assert all(fault.startswith("C: ") for fault in faults)


def test_every_rate_is_of_the_published_three() -> None:
    assert [(a.overall_tenths, a.crm_tenths, a.price_cents) for a in AIMS] == [
        (21, 3, 9_790),
        (85, 32, 9_150),
        (187, 124, 8_130),
    ]
