"""A CRM reset may be asked for once enough was assigned, and not too often (rules: §5)."""

from datetime import datetime, timedelta

import pytest

from exchange.core.model import Policy
from exchange.core.reasons import Reason
from exchange.core.reset import judge_reset, missing_cents
from tests.core.making import NOW, window


@pytest.mark.parametrize(
    ("assigned", "reset_at", "reason"),
    [
        pytest.param(500_000, None, None, id="$5,000.00 and never before"),
        pytest.param(499_999, None, Reason.RESET_TOO_EARLY, id="a cent is missing"),
        pytest.param(500_000, NOW - timedelta(days=30), None, id="exactly 30 days later"),
        pytest.param(
            500_000,
            NOW - timedelta(days=30) + timedelta(seconds=1),
            Reason.RESET_TOO_SOON,
            id="a second before 30 days",
        ),
        pytest.param(0, NOW, Reason.RESET_TOO_EARLY, id="both: the amount is told"),
    ],
)
def test_a_reset_needs_5000_dollars_and_30_days_since_the_last(
    assigned: int, reset_at: datetime | None, reason: Reason | None
) -> None:
    held = window(era_assigned=assigned, reset_at=reset_at)
    assert judge_reset(held, NOW, Policy()) is reason


@pytest.mark.parametrize(("assigned", "missing"), [(0, 500_000), (499_999, 1), (600_000, 0)])
def test_the_amount_still_missing_is_told(assigned: int, missing: int) -> None:
    assert missing_cents(window(era_assigned=assigned), Policy()) == missing
