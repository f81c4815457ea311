"""Calls for reports: which there are, and each of them as JSON or CSV."""

from __future__ import annotations

from typing import Final

from exchange.core.reports import REPORTS, Reader, ReportSpec
from exchange.web.calls import Call, Streamed
from exchange.web.report_codec import (
    DEFAULT_DAYS,
    head_of,
    parameters_of,
    read_ask,
    read_format,
    show_columns,
    write_csv,
    write_json,
)
from exchange.web.wire_reports import REPORT_QUERY, ParameterAnswer, ReportList, ReportListItem

_MEANINGS: Final = {parameter.name: parameter.meaning for parameter in REPORT_QUERY}


async def list_reports(call: Call) -> ReportList:
    """List the reports the caller may read, with their columns and parameters."""
    reader: Reader = call.who.role
    return ReportList(
        items=tuple(
            ReportListItem(
                name=spec.name,
                title=spec.title,
                description=spec.description,
                path=f"/v1/reports/{spec.name}",
                parameters=_parameters(spec, reader),
                columns=show_columns(spec, reader),
                notes=spec.notes,
            )
            for spec in REPORTS.values()
            if reader in spec.readers
        )
    )


async def get_report(call: Call) -> Streamed:
    """Give a report: the operator's is of the market, all others' of themselves."""
    doors = call.site.doors
    ask = read_ask(call, doors.market.today)
    if call.is_operator and ask.level != "market" and ask.party is not None:
        await call.check_party(ask.level, ask.party)
    format = read_format(call)
    batches = doors.reports.rows(ask)
    write, media = (
        (write_csv, "text/csv; charset=utf-8; header=present")
        if format == "csv"
        else (write_json, "application/json")
    )
    chunks = write(ask, batches)
    # What goes wrong before the first chunk can still be told.
    return Streamed(await anext(chunks), chunks, media, head_of(ask, format))


def _parameters(spec: ReportSpec, reader: Reader) -> tuple[ParameterAnswer, ...]:
    cuts = spec.cuts_for(reader)
    values = {"period": spec.spells, "by": cuts, "format": ("json", "csv")}
    defaults = {
        "from": f"{DEFAULT_DAYS - 1} days before to",
        "to": "today" if spec.spells else "the last whole week",
        "period": spec.spells[0] if spec.spells else None,
        "by": cuts[0] if cuts else None,
        "format": "json",
    }
    return tuple(
        ParameterAnswer(
            name=name,
            meaning=_MEANINGS[name],
            values=values.get(name),
            default=defaults.get(name),
        )
        for name in parameters_of(spec, reader)
    )
