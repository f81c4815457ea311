"""What is told, and how often: raised once, reminded of, over once (rules §12)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from exchange.core.alert_kinds import COMPANY_KINDS, MANNERS, AlertKind
from exchange.core.alert_terms import AlertSettings, Terms, terms_under, wants
from exchange.core.alerts import MARK_GAP, Event, Fact, Judged, Level, Watch, judge, key_of
from exchange.core.model import CompanyId

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ACME = CompanyId("acme")
LEVELS: tuple[Level, ...] = get_args(Level)
DAY = timedelta(hours=24)
MINUTE = timedelta(minutes=1)


class Subject:
    """One subject, looked at again and again; ``events`` are what was told of it."""

    def __init__(self, kind: AlertKind, remind: timedelta | None = DAY) -> None:
        self.kind = kind
        self.remind = remind
        self.now = NOON
        self.watch: Watch | None = None
        self.events: list[Event] = []
        self._made = 0

    def look(
        self, level: Level | None, *, after: timedelta = MINUTE, mark: str | None = None
    ) -> Event | None:
        """Look ``after`` the last look; None is a subject that is gone."""
        self.now += after
        self._made += 1
        fact = None
        if level is not None:
            fact = Fact(kind=self.kind, company_id=ACME, level=level, text="so", mark=mark)
        judged: Judged = judge(
            key_of(self.kind, ACME),
            fact,
            self.watch,
            self.now,
            remind=self.remind,
            fresh_id=f"alert-{self._made}",
        )
        self.watch = judged.watch
        if judged.event is not None:
            self.events.append(judged.event)
        return judged.event

    @property
    def told(self) -> list[str]:
        return [event.what for event in self.events]


def test_codes_and_severities_are_permanent() -> None:
    kept = json.loads((Path(__file__).parent / "alert_codes.json").read_text())
    assert {kind.value: MANNERS[kind].severity for kind in AlertKind} == kept


def test_section_12_a_figure_over_its_threshold_is_told_once() -> None:
    subject = Subject(AlertKind.CRM_OVER)
    for _ in range(100):
        subject.look("over")
    assert subject.told == ["raised"]


def test_section_12_a_reminder_comes_every_so_many_hours_until_it_is_acknowledged() -> None:
    subject = Subject(AlertKind.CRM_OVER)
    subject.look("over")
    assert subject.look("over", after=DAY - MINUTE) is None
    assert subject.look("over", after=MINUTE) is not None
    assert subject.told == ["raised", "renewed"]
    assert subject.watch is not None
    subject.watch = replace(subject.watch, acknowledged=True)
    assert subject.look("over", after=3 * DAY) is None


def test_section_12_what_is_over_is_told_once_and_forgotten() -> None:
    subject = Subject(AlertKind.CRM_OVER)
    subject.look("over")
    assert subject.look("under") is None
    assert subject.look("under") is not None
    assert (subject.told, subject.watch) == (["raised", "recovered"], None)
    assert subject.look("under") is None


def test_section_12_what_flaps_around_its_threshold_is_told_once() -> None:
    subject = Subject(AlertKind.OVERALL_OVER)
    for level in ("over", "between", "over", "between", "under", "between", "under", "over") * 5:
        subject.look(level)
    assert subject.told == ["raised"]


def test_a_kind_that_needs_two_looks_is_not_told_of_one() -> None:
    subject = Subject(AlertKind.BIDDER_RESTING)
    for level in ("over", "under", "over", "between", "over", "over"):
        subject.look(level)
        if level != "over":
            assert subject.watch is None
    assert len(subject.events) == 1


def test_what_is_gone_is_over_at_once_and_has_nobody_to_be_told() -> None:
    subject = Subject(AlertKind.CRM_OVER)
    subject.look("over")
    event = subject.look(None)
    assert event is not None
    assert (event.what, event.fact, subject.watch) == ("recovered", None, None)


def test_section_12_a_changed_verdict_is_told_with_every_change_that_lasts() -> None:
    subject = Subject(AlertKind.VERDICT_CHANGED)
    assert subject.look("over", mark="qualified") is None
    assert subject.look("over", mark="excluded") is not None
    assert subject.look("over", mark="excluded") is None
    # To and fro within the hour is told as what it came to.
    for mark in ("qualified", "conditional", "excluded", "qualified"):
        assert subject.look("over", mark=mark) is None
    assert subject.look("over", after=MARK_GAP, mark="qualified") is not None
    assert subject.look("over", after=MARK_GAP, mark="qualified") is None
    assert (subject.told, subject.watch) == (["raised", "raised"], None)


_LOOKS = st.lists(
    st.tuples(st.sampled_from([*LEVELS, None]), st.integers(1, 3_000), st.booleans()), max_size=60
)
_LASTING = [kind for kind in AlertKind if not MANNERS[kind].momentary]


@given(st.sampled_from(_LASTING), _LOOKS)
def test_whatever_happens_each_alert_is_raised_once_and_over_once(
    kind: AlertKind, looks: list[tuple[Level | None, int, bool]]
) -> None:
    subject = Subject(kind)
    manners = MANNERS[kind]
    seen: list[Level | None] = []
    open_id, told_at, count, silenced = None, NOON, 0, False
    for level, minutes, acknowledges in looks:
        if acknowledges and subject.watch is not None and open_id is not None:
            subject.watch, silenced = replace(subject.watch, acknowledged=True), True
        seen.append(level)
        event = subject.look(level, after=timedelta(minutes=minutes))
        if event is None:
            continue
        if event.what == "raised":
            assert open_id is None and event.number == 1
            assert seen[-manners.raise_after :] == ["over"] * manners.raise_after
            open_id, count, silenced = event.alert_id, 1, False
        else:
            count += 1
            assert (event.alert_id, event.number) == (open_id, count)
        if event.what == "renewed":
            assert level in ("over", "between") and not silenced
            assert subject.now - told_at >= DAY
        if event.what == "recovered":
            unders = ["under"] * manners.clear_after
            assert level is None or seen[-manners.clear_after :] == unders
            open_id = None
        told_at = subject.now
    assert (open_id is None) == (subject.watch is None or subject.watch.alert_id is None)


# --- terms ----------------------------------------------------------------------------------------


def test_a_companys_own_thresholds_come_before_the_operators_and_the_configured() -> None:
    company = AlertSettings(near_pct=90)
    operator = AlertSettings(near_pct=70, balance_low_cents=5_00)
    terms = terms_under(Terms(), company, operator)
    assert (terms.near_pct, terms.balance_low_cents, terms.cap_pct) == (90, 5_00, 80)


@pytest.mark.parametrize("kind", list(AlertKind), ids=str)
def test_nobody_but_the_operator_hears_of_the_exchange_itself(kind: AlertKind) -> None:
    asked = AlertSettings(kinds=tuple(AlertKind))
    assert wants(asked, kind, is_operator=True)
    assert wants(asked, kind, is_operator=False) == (kind in COMPANY_KINDS)
    assert wants(AlertSettings(), kind, is_operator=False) == (kind in COMPANY_KINDS)
    is_critical = MANNERS[kind].severity == "critical"
    assert wants(AlertSettings(), kind, is_operator=True) == is_critical
    assert not wants(AlertSettings(kinds=()), kind, is_operator=True)
