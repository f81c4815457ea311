"""What suppression lists look like on the wire."""

from __future__ import annotations

from datetime import datetime

from exchange.web.wire import Answer


class SuppressionAnswer(Answer, frozen=True, kw_only=True):
    """How many contacts are on a company's list, and when that last changed."""

    company_id: str
    contacts: int
    changed_at: datetime | None


class InvalidLine(Answer, frozen=True, kw_only=True):
    """A line that names no contact, by its number from 1."""

    line: int
    problem: str


class LinesAnswer(Answer, frozen=True, kw_only=True):
    """What was read: ``lines`` that are not empty, and the first of the ``invalid`` ones."""

    company_id: str
    lines: int
    invalid: int
    invalid_lines: tuple[InvalidLine, ...]
    contacts: int


class UploadAnswer(LinesAnswer, frozen=True, kw_only=True):
    """What an upload put on a list; ``contacts`` are all on it now."""

    accepted: int
    already_there: int


class RemovalAnswer(LinesAnswer, frozen=True, kw_only=True):
    """What was taken off a list; ``contacts`` are all on it now."""

    removed: int
    not_there: int


class DroppedAnswer(Answer, frozen=True, kw_only=True):
    """How many contacts were on a list that has ended."""

    company_id: str
    removed: int
