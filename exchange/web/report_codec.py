"""A report between the wire and the core: its query into what is asked, its rows into JSON or CSV.

Source: RFC 4180 (CSV: lines end in CR LF, a header line), RFC 9110 §12.5.1 (Accept).
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from datetime import date, timedelta
from typing import Final, cast

from exchange.core.report_rows import Cell, Row
from exchange.core.reports import (
    MAX_DAYS,
    REPORTS,
    Column,
    Level,
    Reader,
    ReportAsk,
    ReportSpec,
    Spell,
)
from exchange.core.words import with_article
from exchange.flow.faults import Forbidden, Invalid, NotFound
from exchange.web.calls import Call, is_id
from exchange.web.wire import JSON, dollars
from exchange.web.wire_reports import REPORT_QUERY, ColumnAnswer, ReportHead

DEFAULT_DAYS: Final = 30
"""Days a report is over where none are named: as many as rates look back (rules §4)."""

Format = str
"""json or csv."""

_KNOWN: Final = frozenset(parameter.name for parameter in REPORT_QUERY)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def read_ask(call: Call, today: date) -> ReportAsk:
    """What a call asks for. Raises NotFound, Forbidden or Invalid with the field."""
    reader: Reader = call.who.role
    spec = _spec(call.params["report"], reader)
    _check_names(call.query, spec, reader)
    level, party = _party(call, spec, reader)
    by = _one_of(call.query, "by", spec.cuts_for(reader))
    if by == "source" and level == "company":
        raise Invalid("A company's leads are not told by source.", field="by")
    spell = _one_of(call.query, "period", spec.spells)
    first, last = _days(call.query, spec, today)
    return ReportAsk(
        spec=spec,
        reader=reader,
        level=level,
        party=party,
        first=first,
        last=last,
        spell=cast(Spell, spell or "week"),
        by=by,
        vertical=_vertical(call),
    )


def _spec(name: str, reader: Reader) -> ReportSpec:
    spec = REPORTS.get(name)
    known = ", ".join(spec.name for spec in REPORTS.values() if reader in spec.readers)
    if spec is None:
        raise NotFound(f"There is no such report; there are {known}.", code="unknown_report")
    if reader not in spec.readers:
        raise Forbidden(f"This report is not for {with_article(reader)}; there are {known}.")
    return spec


def _check_names(query: Mapping[str, str], spec: ReportSpec, reader: Reader) -> None:
    taken = parameters_of(spec, reader)
    for name in query:
        if name not in taken:
            what = "is not taken by this report" if name in _KNOWN else "is not known here"
            raise Invalid(
                f"{name[:100]} {what}; it takes {', '.join(taken)}.",
                field=name[:100],
            )


def parameters_of(spec: ReportSpec, reader: Reader) -> tuple[str, ...]:
    """The names of what a report's query may ask, for a reader."""
    names = ["to", "vertical", "format"]
    if spec.spells:
        names[:0] = ["from"]
        names[2:2] = ["period"]
    if spec.by:
        names.append("by")
    if reader == "operator":
        names += [f"{side}_id" for side in ("seller", "company") if side in spec.readers]
    return tuple(names)


def _party(call: Call, spec: ReportSpec, reader: Reader) -> tuple[Level, str | None]:
    if reader != "operator":
        return reader, call.who.subject_id
    given = {
        name: call.query[f"{name}_id"]
        for name in ("seller", "company")
        if f"{name}_id" in call.query
    }
    if len(given) > 1:
        raise Invalid("Give either seller_id or company_id.", field="seller_id")
    for side, party in given.items():
        if not is_id(party):
            raise Invalid(f"{side}_id is not an id.", field=f"{side}_id")
        return cast(Level, side), party
    return "market", None


def _one_of(query: Mapping[str, str], name: str, known: tuple[str, ...]) -> str | None:
    if not known:
        return None
    value = query.get(name, known[0])
    if value not in known:
        raise Invalid(f"{name} must be one of {', '.join(known)}.", field=name)
    return value


def _days(query: Mapping[str, str], spec: ReportSpec, today: date) -> tuple[date, date]:
    last = _date(query, "to")
    if not spec.spells:
        # The last whole week, where none is named.
        day = last or today - timedelta(days=7)
        monday = _back(day, day.weekday())
        return monday, monday + timedelta(days=6)
    last = last or today
    first = _date(query, "from") or _back(last, DEFAULT_DAYS - 1)
    if first > last:
        raise Invalid("from must not be after to.", field="from")
    if (last - first).days >= MAX_DAYS:
        raise Invalid(f"A report is over {MAX_DAYS} days at most.", field="from", code="too_long")
    return first, last


def _back(day: date, days: int) -> date:
    try:
        return day - timedelta(days=days)
    except OverflowError:
        raise Invalid("to is too early.", field="to") from None


def _date(query: Mapping[str, str], name: str) -> date | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = None
    # Two centuries are every day there can be leads on, with room for the weeks about them.
    if found is None or len(text) != 10 or not 2000 <= found.year < 2200:
        raise Invalid(f"{name} must be a day such as 2026-11-21.", field=name)
    return found


def _vertical(call: Call) -> str | None:
    vertical = call.query.get("vertical")
    if vertical is not None:
        call.site.reader(vertical)
    return vertical


def read_format(call: Call) -> Format:
    """How the answer is wanted: the query says, else Accept, else JSON. Raises Invalid."""
    asked = call.query.get("format")
    if asked is None:
        accepted = [
            part.split(";")[0].strip() for part in call.headers.get("Accept", "").split(",")
        ]
        wanted = [media for media in accepted if media in ("text/csv", "application/json")]
        return "csv" if wanted[:1] == ["text/csv"] else "json"
    if asked not in ("json", "csv"):
        raise Invalid("format must be json or csv.", field="format")
    return asked


def show_columns(spec: ReportSpec, reader: Reader) -> tuple[ColumnAnswer, ...]:
    """The columns a reader sees."""
    return tuple(
        ColumnAnswer(name=column.name, kind=column.kind, meaning=column.meaning)
        for column in spec.columns_for(reader)
    )


async def write_json(
    ask: ReportAsk, batches: AsyncGenerator[list[Row], None]
) -> AsyncGenerator[bytes, None]:
    """A report as one JSON object, its rows last."""
    head = JSON.encode(
        ReportHead(
            report=ask.spec.name,
            title=ask.spec.title,
            from_=ask.first,
            to=ask.last,
            period=ask.spell if ask.spec.spells else None,
            by=ask.by,
            vertical=ask.vertical,
            party=ask.party,
            columns=show_columns(ask.spec, ask.reader),
            notes=ask.spec.notes,
        )
    )
    cells = _cells(ask)
    chunk = head[:-1] + b',"rows":['
    between = b""
    async with aclosing(batches):
        async for rows in batches:
            lines = b",".join(
                JSON.encode({name: show(row[name]) for name, show in cells}) for row in rows
            )
            if lines:
                yield chunk + between + lines
                chunk, between = b"", b","
    yield chunk + b"]}"


async def write_csv(
    ask: ReportAsk, batches: AsyncGenerator[list[Row], None]
) -> AsyncGenerator[bytes, None]:
    """A report as CSV: a line of names, and a line a row; what is empty is null."""
    cells = _cells(ask)
    held = io.StringIO()
    writer = csv.writer(held)
    writer.writerow([name for name, _ in cells])
    async with aclosing(batches):
        async for rows in batches:
            writer.writerows([[_plain(show(row[name])) for name, show in cells] for row in rows])
            yield held.getvalue().encode()
            held.seek(0)
            held.truncate()
    if rest := held.getvalue():
        yield rest.encode()


def _cells(ask: ReportAsk) -> list[tuple[str, Callable[[Cell], object]]]:
    """The names of the columns, and how the cells of each are shown."""
    return [(column.name, _shown(column)) for column in ask.spec.columns_for(ask.reader)]


def _shown(column: Column) -> Callable[[Cell], object]:
    return _hundredths if column.kind in ("money", "percent") else _as_it_is


def _hundredths(cell: Cell) -> object:
    """Cents as dollars, and hundredths of a percent as percent: both have two decimals."""
    return dollars(cell) if isinstance(cell, int) else cell


def _as_it_is(cell: Cell) -> object:
    return cell


def _plain(cell: object) -> object:
    """A cell of CSV; a text that a spreadsheet would run as a formula is quoted with '."""
    if isinstance(cell, str) and cell.startswith(_FORMULA):
        return f"'{cell}"
    return cell


def head_of(ask: ReportAsk, format: Format) -> dict[str, str]:
    """The headers a report is sent with: CSV is named as a file."""
    if format != "csv":
        return {"Vary": "Accept"}
    name = f"{ask.spec.name}_{ask.first}_{ask.last}.csv"
    return {"Vary": "Accept", "Content-Disposition": f'attachment; filename="{name}"'}
