"""Rejections: the window, the allowed reasons, and reading free text (rules: §8, §11)."""

from datetime import timedelta

import pytest

from exchange.core.reasons import REJECTION_REASONS, Reason
from exchange.core.rejection import CONFIDENT_PERCENT, Terms, classify, judge
from tests.core.making import NOW

STRICT = Terms(allowed=frozenset({Reason.INVALID_CONTACT}))


@pytest.mark.parametrize(
    ("seconds_left", "reason"),
    [
        pytest.param(1, None, id="a second before the end"),
        pytest.param(0, Reason.WINDOW_CLOSED, id="the end itself"),
        pytest.param(-1, Reason.WINDOW_CLOSED, id="a second after"),
    ],
)
def test_a_rejection_is_taken_inside_its_window_only(
    seconds_left: int, reason: Reason | None
) -> None:
    closes_at = NOW + timedelta(seconds=seconds_left)
    found = judge(
        window_closes_at=closes_at,
        is_test=False,
        reason=Reason.INVALID_CONTACT,
        now=NOW,
        terms=Terms(),
    )
    assert found is reason


@pytest.mark.parametrize(
    ("given", "terms", "refused"),
    [
        pytest.param(Reason.SEASONAL, Terms(), None, id="all are allowed by default"),
        pytest.param(Reason.INVALID_CONTACT, STRICT, None, id="one the terms allow"),
        pytest.param(Reason.SEASONAL, STRICT, Reason.REASON_NOT_ALLOWED, id="one they do not"),
        pytest.param(Reason.CAP, Terms(), Reason.REASON_NOT_ALLOWED, id="no rejection reason"),
    ],
)
def test_a_rejection_needs_a_reason_the_terms_allow(
    given: Reason, terms: Terms, refused: Reason | None
) -> None:
    closes_at = NOW + timedelta(hours=1)
    found = judge(window_closes_at=closes_at, is_test=False, reason=given, now=NOW, terms=terms)
    assert found is refused


def test_a_test_lead_cannot_be_rejected() -> None:
    closes_at = NOW + timedelta(hours=1)
    found = judge(
        window_closes_at=closes_at,
        is_test=True,
        reason=Reason.INVALID_CONTACT,
        now=NOW,
        terms=Terms(),
    )
    assert found is Reason.TEST_LEAD


PHRASES = {
    Reason.INVALID_CONTACT: [
        "number is disconnected",
        "Wrong number, a restaurant picked up",
        "The phone number is not in service",
        "email bounced",
        "fake name",
    ],
    Reason.DUPLICATE_LEAD: [
        "Duplicate",
        "we already have this person",
        "already in our database",
        "He is already a customer of ours",
        "dupe",
    ],
    Reason.INCOMPLETE_DETAILS: [
        "incomplete form",
        "Missing last name",
        "not enough information",
        "no phone number provided",
    ],
    Reason.OUTSIDE_SERVICE_AREA: [
        "outside our service area",
        "out of area",
        "We don't cover that ZIP",
        "Not in our territory",
        "out of service area",
    ],
    Reason.BUDGET_BELOW_MINIMUM: [
        "budget too low",
        "Bill is below what we need",
        "below our minimum",
        "cannot afford the system",
    ],
    Reason.CRM_TIMEOUT: [
        "our CRM timed out",
        "request timeout",
        "no answer from our system",
        "time-out while saving",
    ],
    Reason.AUTH_FAILURE: [
        "401? unauthorized",
        "authentication failed",
        "API key expired",
        "the credentials were rotated",
    ],
    Reason.DATA_FORMAT: [
        "could not parse the lead",
        "malformed JSON",
        "date in the wrong format",
        "validation error in our CRM",
    ],
    Reason.CONNECTIVITY: [
        "connection refused",
        "server error",
        "our CRM was down",
        "DNS failure",
    ],
    Reason.RATE_LIMITED: [
        "rate limit hit",
        "too many requests",
        "we were throttled",
        "HTTP 429",
    ],
    Reason.CAPACITY_REACHED: [
        "we are at capacity",
        "Fully booked until March",
        "no agents available",
        "overbooked",
    ],
    Reason.OFF_HOURS: [
        "came after hours",
        "off-hours lead",
        "Outside business hours",
        "the office is closed at that time",
    ],
    Reason.GEO_RESTRICTED: [
        "not licensed in Ohio",
        "geo-restricted",
        "restricted state",
        "a geographic restriction applies",
    ],
    Reason.INDUSTRY_EXCLUDED: [
        "we exclude this industry",
        "occupation excluded",
        "not our line of business",
    ],
    Reason.SEASONAL: [
        "off season",
        "seasonal closure",
        "we do not install in winter",
        "closed for the holidays",
    ],
}
SPOKEN = [(phrase, reason) for reason, phrases in PHRASES.items() for phrase in phrases]


def test_every_reason_is_tried_with_at_least_three_phrases() -> None:
    assert set(PHRASES) == set(REJECTION_REASONS.values())
    assert min(len(phrases) for phrases in PHRASES.values()) >= 3


@pytest.mark.parametrize(("phrase", "reason"), SPOKEN, ids=[phrase for phrase, _ in SPOKEN])
def test_a_phrase_is_read_as_its_reason(phrase: str, reason: Reason) -> None:
    found = classify(phrase)
    assert found is not None
    assert found.reason is reason and found.confidence_percent >= CONFIDENT_PERCENT


@pytest.mark.parametrize("change", [str.upper, str.title, lambda text: f"  {text}\n\n!!"])
def test_case_spaces_and_signs_do_not_matter(change: object) -> None:
    assert callable(change)
    found = classify(change("number is disconnected"))
    assert found is not None and found.reason is Reason.INVALID_CONTACT


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("bad lead", id="no reason in it"),
        pytest.param("customer not interested", id="not one of the reasons"),
        pytest.param("George asked for more information", id="a sign inside other words"),
        pytest.param("Mr Winters is a seasoned roofer", id="a sign inside a name"),
        pytest.param("\u65e0\u6548", id="another language"),
        pytest.param("x" * 10_000, id="a long text"),
    ],
)
def test_a_text_without_sign_of_a_reason_is_not_guessed(text: str) -> None:
    assert classify(text) is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("duplicate or disconnected, not sure", id="two reasons"),
        pytest.param("budget too low and outside our area", id="two good reasons"),
        pytest.param("timeout, then server error, then 401 unauthorized", id="three"),
    ],
)
def test_a_text_with_signs_of_several_reasons_is_not_sure(text: str) -> None:
    found = classify(text)
    assert found is not None and found.confidence_percent < CONFIDENT_PERCENT
