"""What proof of the consumer's consent a vertical demands, and what a ping's proof lacks.

A proof is named texts: a certificate's address, when consent was given, which text was agreed to.
Whether a certificate's service confirms it is not asked. Source: rules §3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from exchange.core.quality.flaws import Flaw
from exchange.core.reasons import Reason

CLOCK_SKEW_S: Final = 300
"""Seconds in the future a consent may seem to be given."""


class ConsentRules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A vertical's demands of consent, as its file has them.

    ``required`` are names that must be there. ``certificates`` are names whose text must be an
    https address, at one of ``hosts`` or below one (any host where there are none). ``given_at``
    names the time of consent (RFC 3339), at most ``max_age_s`` seconds ago. ``text_version`` names
    the version of the text agreed to, one of ``text_versions``.
    """

    required: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    given_at: str | None = None
    max_age_s: int | None = None
    text_version: str | None = None
    text_versions: tuple[str, ...] = ()


class ConsentFault(Struct, frozen=True):
    """What is wrong with a proof: why it is refused, the name at fault, and a sentence."""

    reason: Reason
    name: str
    message: str

    def as_flaw(self) -> Flaw:
        """The fault as a flaw, which takes nothing off a score: it refuses."""
        return Flaw(check=f"consent.{self.name}", points=0, message=self.message)


def parts_given(consent: Mapping[str, str]) -> frozenset[str]:
    """The names of a proof's parts; one without a text is not there."""
    return frozenset([name for name, text in consent.items() if text and not text.isspace()])


def judge_consent(
    consent: Mapping[str, str], rules: ConsentRules, now: datetime
) -> ConsentFault | None:
    """The first thing wrong with a proof of consent; None if nothing is."""
    given = parts_given(consent)
    for name in rules.required:
        if name not in given:
            return _fault(Reason.CONSENT_INCOMPLETE, name, "is missing")
    for name in rules.certificates:
        if name in given and (why := _why_no_certificate(consent[name], rules.hosts)):
            return _fault(Reason.CONSENT_CERTIFICATE, name, why)
    if rules.given_at is not None and rules.given_at in given:
        fault = _judge_time(consent[rules.given_at], rules.given_at, rules.max_age_s, now)
        if fault is not None:
            return fault
    name = rules.text_version or ""
    if name in given and rules.text_versions and consent[name] not in rules.text_versions:
        known = ", ".join(rules.text_versions)
        return _fault(Reason.CONSENT_TEXT, name, f"is none of {known}")
    return None


def _fault(reason: Reason, name: str, problem: str) -> ConsentFault:
    return ConsentFault(reason, name, f"consent.{name} {problem}.")


def _why_no_certificate(text: str, hosts: tuple[str, ...]) -> str | None:
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").rstrip(".")
        sound = parts.scheme == "https" and bool(host) and parts.port in (None, 443)
    except ValueError:
        sound, host = False, ""
    if not sound or "@" in parts.netloc or not text.isprintable() or " " in text:
        return "is not an https address"
    if len(parts.path) < 2:
        return "names no certificate"
    if hosts and not any(host == one or host.endswith(f".{one}") for one in hosts):
        return f"is at another host than {', '.join(hosts)}"
    return None


def _judge_time(text: str, name: str, max_age_s: int | None, now: datetime) -> ConsentFault | None:
    try:
        given_at = datetime.fromisoformat(text)
    except ValueError:
        given_at = None
    if given_at is None or given_at.tzinfo is None:
        return _fault(Reason.CONSENT_TIME, name, "is not a time such as 2026-11-21T22:40:08Z")
    if given_at > now + timedelta(seconds=CLOCK_SKEW_S):
        return _fault(Reason.CONSENT_TIME, name, "is in the future")
    if max_age_s is not None and given_at < now - timedelta(seconds=max_age_s):
        return _fault(Reason.CONSENT_TOO_OLD, name, f"is more than {_span(max_age_s)} ago")
    return None


def _span(seconds: int) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length and seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} seconds"
