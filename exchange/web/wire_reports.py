"""What reports look like on the wire, and what their query may ask."""

from __future__ import annotations

from datetime import date
from typing import Final

from exchange.core.reports import MAX_DAYS, REPORTS, SPELLS
from exchange.web.queries import DAY, ID, Asked
from exchange.web.wire import Answer

REPORT_QUERY: Final = (
    Asked(
        name="from",
        meaning=f"The first day, in the market's timezone; by default 29 days before to. A report "
        f"is over {MAX_DAYS} days at most.",
        shape=DAY,
    ),
    Asked(name="to", meaning="The last day, itself included; by default today.", shape=DAY),
    Asked(
        name="period",
        meaning="What a row is of; weeks begin on Monday.",
        shape={"type": "string", "enum": list(SPELLS)},
    ),
    Asked(
        name="by",
        meaning="How rows are cut, where the report can be cut.",
        shape={"type": "string", "enum": sorted({by for r in REPORTS.values() for by in r.by})},
    ),
    Asked(
        name="vertical", meaning="Only this vertical.", shape={"type": "string", "maxLength": 100}
    ),
    Asked(name="seller_id", meaning="Only this seller; for operators.", shape=ID),
    Asked(name="company_id", meaning="Only this company; for operators.", shape=ID),
    Asked(
        name="format",
        meaning="json or csv; by default what Accept asks for, and JSON where it does not say.",
        shape={"type": "string", "enum": ["json", "csv"]},
    ),
)


class ColumnAnswer(Answer, frozen=True, kw_only=True):
    """A column. Money and percentages are numbers with two decimals, dates are ISO 8601."""

    name: str
    kind: str
    meaning: str


class ParameterAnswer(Answer, frozen=True, kw_only=True):
    """A parameter of a report's query, with the values it takes where they are few."""

    name: str
    meaning: str
    values: tuple[str, ...] | None
    default: str | None


class ReportListItem(Answer, frozen=True, kw_only=True):
    """A report that may be asked for: the columns are those the caller sees."""

    name: str
    title: str
    description: str
    path: str
    parameters: tuple[ParameterAnswer, ...]
    columns: tuple[ColumnAnswer, ...]
    notes: tuple[str, ...]


class ReportList(Answer, frozen=True, kw_only=True):
    """Every report the caller may read."""

    items: tuple[ReportListItem, ...]


class ReportHead(Answer, frozen=True, kw_only=True, rename={"from_": "from"}):
    """What a report is of."""

    report: str
    title: str
    from_: date
    to: date
    period: str | None
    by: str | None
    vertical: str | None
    party: str | None
    columns: tuple[ColumnAnswer, ...]
    notes: tuple[str, ...]


class ReportAnswer(ReportHead, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A report: each row has the columns named. As CSV it is a line of names and a line a row."""

    rows: tuple[dict[str, str | float | None], ...]
