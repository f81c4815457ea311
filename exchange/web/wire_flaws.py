"""A lead's quality as answers to pings and receipts show it."""

from __future__ import annotations

from msgspec import Struct


class FlawAnswer(Struct, frozen=True, kw_only=True):
    """One thing found wrong with a lead: the check, what it takes off the score, and why."""

    check: str
    points: int
    message: str


class QualityAnswer(Struct, frozen=True, kw_only=True):
    """A quality score, 100 at best, and the flaws that make it less."""

    score: int
    flaws: tuple[FlawAnswer, ...]
