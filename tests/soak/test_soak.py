"""The soak in its small form, and proof that what it checks can fail. Source: rules §2, §4, §8."""

from __future__ import annotations

import pytest

from tests.soak.bad import AT_ONCE, soak_bad
from tests.soak.kills import soak_kills

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

BAD = ("hanging", "resetting", "dripping", "huge", "nan")


def _say(line: str) -> None:
    print(line)


async def test_whatever_is_killed_each_lead_is_sold_once_or_has_its_reason() -> None:
    report = await soak_kills(posts=150, kills=8, seed=3, limit_s=60.0, say=_say)
    assert not report.violations, "\n".join((*report.lines, *report.violations))


async def test_bad_bidders_together_leave_nothing_behind() -> None:
    report = await soak_bad(
        seconds=0, names=BAD, alone=False, together_s=3.0, warm_up_s=1.0, kept=AT_ONCE, say=_say
    )
    assert not report.violations, "\n".join((*report.lines, *report.violations))
