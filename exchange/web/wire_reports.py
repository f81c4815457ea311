"""What reports look like on the wire, and what their query may ask."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from msgspec import Struct

from exchange.core.reports import MAX_DAYS, REPORTS, SPELLS
from exchange.web.wire import Answer


class QueryParameter(Struct, frozen=True, kw_only=True):
    """A parameter of a query: its name, what it means, and its schema for the document."""

    name: str
    meaning: str
    schema: dict[str, Any]


_DATE: Final = {"type": "string", "format": "date"}
_ID: Final = {"type": "string", "pattern": "^[0-9A-Za-z_-]{1,64}$"}

REPORT_QUERY: Final = (
    QueryParameter(
        name="from",
        meaning=f"The first day, in the market's timezone; by default 29 days before to. A report "
        f"is over {MAX_DAYS} days at most.",
        schema=_DATE,
    ),
    QueryParameter(
        name="to", meaning="The last day, itself included; by default today.", schema=_DATE
    ),
    QueryParameter(
        name="period",
        meaning="What a row is of; weeks begin on Monday.",
        schema={"type": "string", "enum": list(SPELLS)},
    ),
    QueryParameter(
        name="by",
        meaning="How rows are cut, where the report can be cut.",
        schema={"type": "string", "enum": sorted({by for r in REPORTS.values() for by in r.by})},
    ),
    QueryParameter(
        name="vertical", meaning="Only this vertical.", schema={"type": "string", "maxLength": 100}
    ),
    QueryParameter(name="seller_id", meaning="Only this seller; for operators.", schema=_ID),
    QueryParameter(name="company_id", meaning="Only this company; for operators.", schema=_ID),
    QueryParameter(
        name="format",
        meaning="json or csv; by default what Accept asks for, and JSON where it does not say.",
        schema={"type": "string", "enum": ["json", "csv"]},
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
