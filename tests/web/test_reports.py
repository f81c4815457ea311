"""Reports on the wire: who reads what, what may be asked, JSON and CSV alike, written as read."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import date, timedelta
from typing import Any

import aiohttp
import pytest

from exchange.core.reports import MAX_DAYS, REPORTS
from exchange.flow.faults import Unavailable
from tests.web.conftest import Wire
from tests.web.doubles import TODAY

READERS = ("seller", "company", "operator")


async def get(wire: Wire, path: str, key: str = "operator", **headers: str) -> Any:
    return await wire.call("GET", f"/v1/reports/{path}", key=key, headers=headers)


@pytest.mark.parametrize("reader", READERS)
async def test_the_list_has_the_readers_reports_and_each_can_be_read(
    wire: Wire, reader: str
) -> None:
    listed = (await wire.call("GET", "/v1/reports", key=reader)).json["items"]
    assert [item["name"] for item in listed] == [
        spec.name for spec in REPORTS.values() if reader in spec.readers
    ]
    for item in listed:
        answer = await wire.call("GET", item["path"], key=reader)
        assert answer.status == 200
        assert answer.json["columns"] == item["columns"]
        for row in answer.json["rows"]:
            assert list(row) == [column["name"] for column in item["columns"]]


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize("reader", READERS)
async def test_a_report_is_for_its_readers_and_tells_them_of_themselves_alone(
    wire: Wire, report: str, reader: str
) -> None:
    answer = await get(wire, report, reader)
    if reader not in REPORTS[report].readers:
        assert (answer.status, answer.json["code"]) == (403, "forbidden")
        article = "an" if reader == "operator" else "a"
        assert f"not for {article} {reader};" in answer.json["detail"]
        assert wire.doors.read_reports.asked == []
        return
    (ask,) = wire.doors.read_reports.asked
    whose = {"seller": ("seller", "seller-1"), "company": ("company", "company-1")}
    assert (ask.level, ask.party) == whose.get(reader, ("market", None))


@pytest.mark.parametrize("name", ["seller_id", "company_id"])
@pytest.mark.parametrize("reader", ["seller", "company"])
async def test_nobody_but_an_operator_names_another(wire: Wire, reader: str, name: str) -> None:
    answer = await get(wire, f"contracts?{name}=seller-2", reader)
    assert (answer.status, answer.json["field"]) == (422, name)


async def test_an_operator_may_name_a_seller_or_a_company(wire: Wire) -> None:
    await get(wire, "contracts?seller_id=seller-2")
    await get(wire, "contracts?company_id=company-2")
    told = [(ask.level, ask.party) for ask in wire.doors.read_reports.asked]
    assert told == [("seller", "seller-2"), ("company", "company-2")]


async def test_money_columns_of_the_operator_are_shown_to_no_one_else(wire: Wire) -> None:
    row = (await get(wire, "sell-through", "seller")).json["rows"][0]
    assert {"charged", "margin"} & row.keys() == set()
    row = (await get(wire, "monthly-impact", "company")).json["rows"][0]
    assert {"margin", "gate_refused_campaigns"} & row.keys() == set()


@pytest.mark.parametrize("batches", [0, 1, 4])
@pytest.mark.parametrize("report", REPORTS)
async def test_csv_and_json_tell_the_same(wire: Wire, report: str, batches: int) -> None:
    wire.doors.read_reports.batches = batches
    told = (await get(wire, report)).json
    answer = await get(wire, f"{report}?format=csv")
    lines = list(csv.reader(io.StringIO(answer.body.decode(), newline="")))
    assert lines[0] == [column["name"] for column in told["columns"]]
    kinds = [column["kind"] for column in told["columns"]]
    assert len(lines) == 1 + len(told["rows"]) == 1 + 2 * batches

    def in_csv(cell: Any, kind: str) -> str:
        if cell is None:
            return ""
        if kind in ("money", "percent"):
            return f"{cell:.2f}"
        return f"'{cell}" if str(cell).startswith("=") else str(cell)

    for line, row in zip(lines[1:], told["rows"], strict=True):
        assert line == [in_csv(cell, kind) for cell, kind in zip(row.values(), kinds, strict=True)]


async def test_csv_is_named_as_a_file_and_lines_end_as_they_should(wire: Wire) -> None:
    answer = await get(wire, "sell-through?from=2026-10-01&to=2026-10-31&format=csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    named = 'attachment; filename="sell-through_2026-10-01_2026-10-31.csv"'
    assert answer.headers["Content-Disposition"] == named
    assert answer.body.endswith(b"\r\n")


@pytest.mark.parametrize(
    ("accept", "query", "csv_comes"),
    [
        ("text/csv", "", True),
        ("text/csv;q=0.9, application/json", "", True),
        ("application/json, text/csv", "", False),
        ("*/*", "", False),
        ("text/csv", "?format=json", False),
        ("application/json", "?format=csv", True),
    ],
)
async def test_accept_asks_for_the_format_and_the_query_decides(
    wire: Wire, accept: str, query: str, csv_comes: bool
) -> None:
    answer = await get(wire, f"contracts{query}", Accept=accept)
    assert answer.headers["Content-Type"].startswith("text/csv") == csv_comes
    assert answer.headers["Vary"] == "Accept"


async def test_without_days_a_report_is_over_the_thirty_that_rates_look_back(wire: Wire) -> None:
    told = (await get(wire, "contracts")).json
    assert (told["from"], told["to"]) == (str(TODAY - timedelta(days=29)), str(TODAY))
    assert (told["period"], told["by"], told["vertical"]) == ("month", None, None)


@pytest.mark.parametrize(
    ("query", "monday"),
    [("", TODAY - timedelta(days=7 + TODAY.weekday())), ("?to=2026-11-18", date(2026, 11, 16))],
)
async def test_a_weekly_summary_is_of_a_whole_week(wire: Wire, query: str, monday: date) -> None:
    told = (await get(wire, f"weekly-summary{query}")).json
    assert (told["from"], told["to"]) == (str(monday), str(monday + timedelta(days=6)))


@pytest.mark.parametrize(
    ("path", "status", "code", "field"),
    [
        ("nothing", 404, "unknown_report", None),
        ("contracts?colour=red", 422, "invalid", "colour"),
        ("contracts?by=reason", 422, "invalid", "by"),
        ("weekly-summary?period=day", 422, "invalid", "period"),
        ("sell-through?company_id=c", 422, "invalid", "company_id"),
        ("contracts?period=year", 422, "invalid", "period"),
        ("refusals-and-returns?by=colour", 422, "invalid", "by"),
        ("refusals-and-returns?by=source&company_id=c", 422, "invalid", "by"),
        ("contracts?format=xml", 422, "invalid", "format"),
        ("contracts?from=yesterday", 422, "invalid", "from"),
        ("contracts?from=20261101", 422, "invalid", "from"),
        ("contracts?to=2026-02-30", 422, "invalid", "to"),
        ("contracts?to=0001-01-01", 422, "invalid", "to"),
        ("contracts?from=2026-11-02&to=2026-11-01", 422, "invalid", "from"),
        ("contracts?vertical=boats", 422, "unknown_vertical", "vertical"),
        ("contracts?seller_id=a%20b", 422, "invalid", "seller_id"),
        ("contracts?seller_id=a&company_id=b", 422, "invalid", "seller_id"),
        ("contracts?company_id=nope", 422, "invalid", "company_id"),
        ("contracts?seller_id=company-1", 422, "invalid", "seller_id"),
    ],
)
async def test_what_cannot_be_asked_is_told_with_its_field(
    wire: Wire, path: str, status: int, code: str, field: str | None
) -> None:
    answer = await get(wire, path)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.json.get("field") == field
    assert wire.doors.read_reports.asked == []


async def test_a_report_is_over_so_many_days_at_most(wire: Wire) -> None:
    last = date(2026, 11, 1)
    for days, status in ((MAX_DAYS, 200), (MAX_DAYS + 1, 422)):
        first = last - timedelta(days=days - 1)
        assert (await get(wire, f"contracts?from={first}&to={last}")).status == status


async def test_a_fault_before_the_first_row_is_a_problem(wire: Wire) -> None:
    wire.doors.read_reports.fault = Unavailable("too many reports are being read", retry_after_s=2)
    answer = await get(wire, "contracts")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")


@pytest.mark.parametrize("format", ["json", "csv"])
async def test_a_report_that_breaks_off_is_not_taken_for_a_whole_one(
    wire: Wire, format: str
) -> None:
    wire.doors.read_reports.batches = 3
    wire.doors.read_reports.late_fault = Unavailable("the database is away")
    with pytest.raises(aiohttp.ClientError):
        await get(wire, f"contracts?format={format}")
    assert [event for event, _ in wire.log.lines] == ["request failed"]
    assert wire.doors.read_reports.closed == 1


async def test_head_reads_no_report_to_its_end(wire: Wire) -> None:
    wire.doors.read_reports.batches = 1_000
    answer = await wire.call("HEAD", "/v1/reports/contracts", key="operator")
    assert (answer.status, answer.body) == (200, b"")
    assert wire.doors.read_reports.closed == 1


async def test_a_reader_that_leaves_ends_its_report(wire: Wire) -> None:
    wire.doors.read_reports.batches = 1_000_000
    url = f"http://127.0.0.1:{wire.port}/v1/reports/contracts"
    async with aiohttp.ClientSession() as session:
        answer = await session.get(url, headers={"Authorization": "Bearer key-of-operator"})
        await answer.content.readexactly(100)
        answer.close()
    async with asyncio.timeout(5):
        while not wire.doors.read_reports.closed:  # noqa: ASYNC110 - a fact, not an event
            await asyncio.sleep(0.01)
    assert wire.log.lines == []


async def test_the_document_tells_the_query_and_both_formats(wire: Wire) -> None:
    document = (await wire.call("GET", "/openapi.json", key=None)).json
    operation = document["paths"]["/v1/reports/{report}"]["get"]
    named = {parameter["name"] for parameter in operation["parameters"]}
    assert {"report", "from", "to", "period", "by", "vertical", "format"} <= named
    assert set(operation["responses"]["200"]["content"]) == {"application/json", "text/csv"}
