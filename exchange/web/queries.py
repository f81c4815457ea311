"""A call's query: its names known, its days and percentages read, and whether CSV is wanted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final

from msgspec import Struct

from exchange.core.money import MoneyError, parse_cents
from exchange.flow.faults import Invalid

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOST_PERCENT_HUNDREDTHS: Final = 100_00
_CSV: Final = "text/csv"
_JSON: Final = frozenset({"application/json", "application/*", "*/*"})


class Asked(Struct, frozen=True, kw_only=True):
    """A parameter of a call's query, as the document tells it."""

    name: str
    meaning: str
    shape: dict[str, Any]


PAGE_NAMES: Final = ("after", "limit")
"""What a list takes besides."""

ID: Final[dict[str, Any]] = {"type": "string", "pattern": "^[0-9A-Za-z_-]{1,64}$"}
DAY: Final[dict[str, Any]] = {"type": "string", "format": "date"}
PERCENT: Final[dict[str, Any]] = {"type": "number", "minimum": 0, "maximum": 100}


DRY_RUN: Final = Asked(
    name="dry_run",
    meaning="Say what would come of it, and change nothing",
    shape={"type": "boolean", "default": False},
)


def check_names(query: Mapping[str, str], known: tuple[str, ...]) -> None:
    """Refuse what the call does not take, and what is given twice. Raises Invalid."""
    seen = set[str]()
    for name, _ in query.items():
        shown = name[:100]
        if name not in known:
            taken = f"known are {', '.join(known)}" if known else "the call takes no parameters"
            message = f"{shown} is not known here; {taken}."
            raise Invalid(message, field=shown)
        if name in seen:
            raise Invalid(f"{shown} is given twice.", field=shown)
        seen.add(name)


def read_day(query: Mapping[str, str], name: str, default: date, today: date) -> date:
    """A day as ``2026-11-21``, ``today`` or ``yesterday``. Raises Invalid."""
    given = query.get(name)
    if given is None:
        return default
    if given in ("today", "yesterday"):
        return today if given == "today" else today - timedelta(days=1)
    try:
        if not _DAY.fullmatch(given):
            raise ValueError
        day = date.fromisoformat(given)
    except ValueError:
        example = "a day such as 2026-11-21, today or yesterday"
        raise Invalid(f"{name} must be {example}.", field=name) from None
    if day.year < 2000:
        raise Invalid(f"{name} must be a day since 2000.", field=name)
    return day


def read_percent(query: Mapping[str, str], name: str) -> int | None:
    """A percentage in hundredths of a percent; None where none is given. Raises Invalid."""
    given = query.get(name)
    if given is None:
        return None
    try:
        hundredths = parse_cents(given)
    except MoneyError:
        hundredths = _MOST_PERCENT_HUNDREDTHS + 1
    if hundredths > _MOST_PERCENT_HUNDREDTHS:
        raise Invalid(f"{name} must be from 0 to 100, with at most two decimals.", field=name)
    return hundredths


def wants_csv(headers: Mapping[str, str]) -> bool:
    """Whether the Accept header asks for CSV rather than for JSON (RFC 9110, section 12.5.1)."""
    csv = json = -1.0
    for part in headers.get("Accept", "").split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = _quality(parameters)
        if kind in (_CSV, "text/*"):
            csv = max(csv, quality)
        elif kind in _JSON:
            json = max(json, quality)
    return csv > 0 and csv > json


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0
