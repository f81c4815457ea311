"""Judges what was found against what was told before: raised, renewed, recovered, or nothing new.

Pure: facts, what is remembered of them and the present in; what to remember and what to tell out.
One notice when something is wrong, a reminder now and then, one notice when it is over. Facts have
three levels, so that a figure on the edge does not flap: what is ``between`` changes nothing.
Source: rules §12.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from exchange.core.alert_kinds import MANNERS, AlertKind
from exchange.core.model import CampaignId, CompanyId

Level = Literal["over", "between", "under"]
Happening = Literal["raised", "renewed", "recovered"]
Value = int | str | Decimal

CALM_MARK: Final = "qualified"
"""What a momentary kind is taken to have been before anything is remembered of it."""

MARK_GAP: Final = timedelta(hours=1)
"""Least time between two notices of one momentary kind: what goes to and fro is told once, and
what it came to after it."""


class Fact(Struct, frozen=True, kw_only=True):
    """How one thing stands now. ``text`` is for people, ``arithmetic`` shows how it was computed.

    ``detail`` tells apart what has the same company and campaign; ``mark`` is a momentary kind's
    present state. Rates in ``values`` are percents, amounts dollars.
    """

    kind: AlertKind
    company_id: CompanyId | None = None
    campaign_id: CampaignId | None = None
    detail: str = ""
    level: Level = "over"
    text: str
    arithmetic: str = ""
    values: Mapping[str, Value] = {}
    mark: str | None = None

    @property
    def key(self) -> str:
        """What it is remembered under."""
        return key_of(self.kind, self.company_id, self.campaign_id, self.detail)


def key_of(
    kind: AlertKind,
    company_id: CompanyId | None = None,
    campaign_id: CampaignId | None = None,
    detail: str = "",
) -> str:
    """What a subject's alert of a kind is remembered under."""
    return f"{kind.value}|{company_id or ''}|{campaign_id or ''}|{detail}"


def kind_of(key: str) -> AlertKind:
    """The kind in a key."""
    return AlertKind(key.partition("|")[0])


class Watch(Struct, frozen=True, kw_only=True):
    """What is remembered of one subject between two looks.

    Without ``alert_id`` nothing was raised yet; ``streak`` counts the looks in a row that speak
    for a change. ``events`` were told of the alert, the last at ``told_at``.
    """

    key: str
    streak: int = 0
    alert_id: str | None = None
    events: int = 0
    told_at: datetime | None = None
    acknowledged: bool = False
    mark: str | None = None


class Event(Struct, frozen=True, kw_only=True):
    """Something to tell; ``number`` counts the events of one alert from 1.

    Without a fact the subject is gone, and there is nobody to tell.
    """

    what: Happening
    key: str
    alert_id: str
    number: int
    fact: Fact | None


class Judged(Struct, frozen=True):
    """What to remember from now on (None: nothing), and what to tell, if anything."""

    watch: Watch | None
    event: Event | None = None


def judge(
    key: str,
    fact: Fact | None,
    watch: Watch | None,
    now: datetime,
    *,
    remind: timedelta | None,
    fresh_id: str,
) -> Judged:
    """Judge one subject. ``fact`` is None where it is gone; ``fresh_id`` names a new alert.

    ``remind`` is the time between two reminders of what was not acknowledged; None is never.
    """
    if MANNERS[kind_of(key)].momentary:
        return _judge_mark(key, fact, watch, now, fresh_id)
    level: Level = "under" if fact is None else fact.level
    if watch is None or watch.alert_id is None:
        return _judge_calm(key, fact, level, watch, now, fresh_id)
    return _judge_raised(key, fact, level, watch, watch.alert_id, now, remind)


def _judge_calm(
    key: str, fact: Fact | None, level: Level, watch: Watch | None, now: datetime, fresh_id: str
) -> Judged:
    if level != "over":
        return Judged(None)
    streak = 1 if watch is None else watch.streak + 1
    if streak < MANNERS[kind_of(key)].raise_after:
        return Judged(Watch(key=key, streak=streak))
    return Judged(
        Watch(key=key, alert_id=fresh_id, events=1, told_at=now),
        Event(what="raised", key=key, alert_id=fresh_id, number=1, fact=fact),
    )


def _judge_raised(
    key: str,
    fact: Fact | None,
    level: Level,
    watch: Watch,
    alert_id: str,
    now: datetime,
    remind: timedelta | None,
) -> Judged:
    number = watch.events + 1
    if level == "under":
        streak = watch.streak + 1
        if fact is None or streak >= MANNERS[kind_of(key)].clear_after:
            over = Event(what="recovered", key=key, alert_id=alert_id, number=number, fact=fact)
            return Judged(None, over)
        return Judged(replace(watch, streak=streak))
    kept = replace(watch, streak=0) if watch.streak else watch
    is_due = remind is not None and watch.told_at is not None and now - watch.told_at >= remind
    if is_due and not watch.acknowledged:
        again = Event(what="renewed", key=key, alert_id=alert_id, number=number, fact=fact)
        return Judged(replace(kept, events=number, told_at=now), again)
    return Judged(kept)


def _judge_mark(
    key: str, fact: Fact | None, watch: Watch | None, now: datetime, fresh_id: str
) -> Judged:
    """Tell of a change, but of what goes to and fro within `MARK_GAP` only what it came to."""
    if fact is None:
        return Judged(None)
    told_at = None if watch is None else watch.told_at
    is_settled = told_at is None or now - told_at >= MARK_GAP
    if fact.mark == mark_of(watch):
        return Judged(None if is_settled and fact.mark == CALM_MARK else watch)
    if not is_settled:
        return Judged(watch)
    return Judged(
        Watch(key=key, told_at=now, mark=fact.mark),
        Event(what="raised", key=key, alert_id=fresh_id, number=1, fact=fact),
    )


def mark_of(watch: Watch | None) -> str:
    """What a momentary kind was told to be last."""
    return CALM_MARK if watch is None or watch.mark is None else watch.mark
