"""Proof of consent is held against what the vertical demands (rules: §3.1)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.quality.consent import ConsentRules, judge_consent
from exchange.core.reasons import Reason
from exchange.core.screen import DuplicateWindows, SeenContact, screen
from tests.core.making import NOW, ping, solar

RULES = ConsentRules(
    required=("certificate", "version"),
    certificates=("certificate",),
    hosts=("trustedform.com", "leadid.com"),
    given_at="given_at",
    max_age_s=3_600,
    text_version="version",
    text_versions=("2026-10", "2026-11"),
)
CERTIFICATE = "https://cert.trustedform.com/0f3d2a"
SOUND = {"certificate": CERTIFICATE, "version": "2026-11", "given_at": NOW.isoformat()}


def fault(rules: ConsentRules = RULES, **changes: str | None) -> tuple[Reason, str] | None:
    given = {name: text for name, text in (SOUND | changes).items() if text is not None}
    found = judge_consent(given, rules, NOW)
    return None if found is None else (found.reason, found.name)


def test_a_whole_proof_is_taken() -> None:
    assert fault() is None


@pytest.mark.parametrize(
    ("changes", "reason", "name"),
    [
        pytest.param({"version": None}, Reason.CONSENT_INCOMPLETE, "version", id="missing"),
        pytest.param({"version": " "}, Reason.CONSENT_INCOMPLETE, "version", id="blank"),
        pytest.param({"version": "2025-01"}, Reason.CONSENT_TEXT, "version", id="another text"),
        pytest.param({"given_at": "today"}, Reason.CONSENT_TIME, "given_at", id="no time"),
        pytest.param({"given_at": "2026-11-21"}, Reason.CONSENT_TIME, "given_at", id="no zone"),
        pytest.param(
            {"given_at": (NOW + timedelta(minutes=6)).isoformat()},
            Reason.CONSENT_TIME,
            "given_at",
            id="in the future",
        ),
        pytest.param(
            {"given_at": (NOW - timedelta(seconds=3_601)).isoformat()},
            Reason.CONSENT_TOO_OLD,
            "given_at",
            id="too long ago",
        ),
    ],
)
def test_each_part_that_is_wrong_has_a_reason_of_its_own(
    changes: dict[str, str | None], reason: Reason, name: str
) -> None:
    assert fault(RULES, **changes) == (reason, name)


@pytest.mark.parametrize(
    "given_at",
    [NOW - timedelta(seconds=3_600), NOW + timedelta(seconds=300)],
    ids=["the oldest taken", "a clock that goes a little ahead"],
)
def test_a_time_at_its_bound_is_taken(given_at: object) -> None:
    assert fault(given_at=str(given_at)) is None


@pytest.mark.parametrize(
    ("text", "is_taken"),
    [
        (CERTIFICATE, True),
        ("https://TrustedForm.com/x", True),
        ("https://create.leadid.com:443/x", True),
        ("http://cert.trustedform.com/x", False),
        ("https://trustedform.com.evil.example/x", False),
        ("https://eviltrustedform.com/x", False),
        ("https://cert.trustedform.com", False),
        ("https://cert.trustedform.com/", False),
        ("https://cert.trustedform.com:8443/x", False),
        ("https://user@cert.trustedform.com/x", False),
        ("https://[/x", False),
        ("certificate", False),
        ("https://cert.trustedform.com/a b", False),
    ],
)
def test_a_certificate_is_an_https_address_at_a_known_host(text: str, is_taken: bool) -> None:
    reason = None if is_taken else (Reason.CONSENT_CERTIFICATE, "certificate")
    assert fault(certificate=text) == reason


def test_without_hosts_any_https_address_is_a_certificate() -> None:
    anywhere = ConsentRules(certificates=("certificate",))
    assert fault(anywhere, certificate="https://anybody.example/x") is None
    assert fault(anywhere, certificate=None) is None


@given(st.dictionaries(st.sampled_from(["certificate", "version", "given_at"]), st.text()))
def test_any_texts_are_judged(consent: dict[str, str]) -> None:
    judge_consent(consent, RULES, NOW)


def test_consent_is_screened_after_the_age_and_before_duplicates() -> None:
    vertical = solar(max_age_s=3_600, consent_required=True, consent=RULES)
    seen, windows = SeenContact(market_sold_at=NOW), DuplicateWindows()
    found = [
        screen(one, vertical, seen, windows, NOW)
        for one in (
            ping(vertical, captured_at=NOW - timedelta(days=1)),
            ping(vertical),
            ping(vertical, consent={"version": "2026-11"}),
            ping(vertical, consent=SOUND),
        )
    ]
    assert found == [
        Reason.LEAD_TOO_OLD,
        Reason.CONSENT_MISSING,
        Reason.CONSENT_INCOMPLETE,
        Reason.DUPLICATE,
    ]
