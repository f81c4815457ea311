"""Reviews and disputes of returns, as values (rules: §8, §11)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from exchange.core.reasons import Reason
from exchange.core.rejection import Terms
from exchange.core.returning import ReturnPolicy, ReturnStatus, judge_dispute, judge_silence
from tests.core.making import NOW

POLICY = ReturnPolicy()
WEEK = timedelta(days=7)
MOMENT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("status", "age", "refused"),
    [
        pytest.param("accepted", WEEK - MOMENT, None, id="the last moment inside"),
        pytest.param("accepted", WEEK, Reason.DISPUTE_TOO_LATE, id="the end itself"),
        pytest.param("in_review", None, Reason.RETURN_UNDECIDED, id="nothing taken back yet"),
        pytest.param("declined", None, Reason.RETURN_DECLINED, id="declined"),
        pytest.param("reversed", MOMENT, Reason.RETURN_REVERSED, id="reversed already"),
    ],
)
def test_section_8_a_return_is_disputed_while_it_stands_and_in_time(
    status: ReturnStatus, age: timedelta | None, refused: Reason | None
) -> None:
    accepted_at = None if age is None else NOW - age
    assert judge_dispute(status, accepted_at, NOW, POLICY) is refused


def test_section_8_a_review_ends_by_itself_after_three_days_by_default() -> None:
    assert POLICY.review_ends_at(NOW) - NOW == timedelta(hours=72)


@pytest.mark.parametrize(
    ("reason", "names_reasons", "declined"),
    [
        (Reason.REASON_UNCLEAR, True, Reason.REASON_NOT_ALLOWED),
        (Reason.REASON_UNCLEAR, False, None),
        (Reason.SEASONAL, True, None),
    ],
)
def test_section_9_silence_approves_all_but_what_nobody_read_under_named_reasons(
    reason: Reason, names_reasons: bool, declined: Reason | None
) -> None:
    assert judge_silence(reason, Terms(names_reasons=names_reasons)) is declined


@pytest.mark.parametrize(
    ("review", "asked", "takes_unclear"),
    [
        ("asked", False, False),
        ("asked", True, True),
        ("unclear", False, True),
        ("all", False, True),
    ],
)
def test_section_11_an_unclear_text_is_reviewed_where_somebody_wants_it(
    review: str, asked: bool, takes_unclear: bool
) -> None:
    policy = ReturnPolicy(review=review)  # type: ignore[arg-type]
    assert policy.takes_unclear(asked=asked) is takes_unclear
    assert policy.reviews(Reason.REASON_UNCLEAR)
    assert policy.reviews(Reason.SEASONAL) is (review == "all")
