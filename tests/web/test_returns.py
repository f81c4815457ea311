"""Returns on the wire: previews, many at once in CSV and JSON, lists, reviews, disputes (rules: §8,
§12).
"""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec
import pytest

from tests.web.conftest import Answer, Wire

PATH = "/v1/returns"


async def send(wire: Wire, text: str | bytes, accept: str = "", query: str = "") -> Answer:
    """Return the leads of a CSV file."""
    raw = text.encode() if isinstance(text, str) else text
    headers = {"Content-Type": "text/csv", "Accept": accept}
    return await wire.call("POST", PATH + query, key="company", raw=raw, headers=headers)


async def test_a_dry_run_tells_outcome_dollars_rates_and_prices(wire: Wire) -> None:
    body = {"reason": "invalid_contact", "dry_run": True}
    answer = await wire.call("POST", "/v1/leads/lead-1/rejections", body, key="company")
    told = answer.json
    assert (told["dry_run"], told["outcome"], told["value"]) == (True, "accepted", 45.75)
    assert told["before"]["overall_pct"] == 8.5
    assert told["after"]["verdict"] == "conditional" and told["after"]["price_of_100"] == 91.5
    assert told["bids"] == [
        {
            "campaign_id": "campaign-1",
            "name": "Roofs",
            "base": 50.0,
            "price_before": 45.75,
            "price_after": 40.0,
        }
    ]


async def test_a_dry_run_tells_the_rule_that_refuses(wire: Wire) -> None:
    body = {"reason": "seasonal", "dry_run": True}
    answer = await wire.call("POST", "/v1/leads/lead-1/rejections", body, key="company")
    assert answer.status == 200
    assert answer.json["outcome"] == "refused"
    assert answer.json["refusal"] == {"code": "window_closed", "message": "too late"}


CSV = """\
lead-1,invalid_contact,called twice
lead-2,"the number is disconnected, really",

lead-3
"lead-4,seasonal
lead/5,seasonal,
lead-6,seasonal,note,more
lead-7,,
"""
STATUSES = ["accepted", "accepted", "refused", "refused", "refused", "refused", "refused"]


async def test_a_file_is_answered_line_by_line_with_the_lines_own_numbers(wire: Wire) -> None:
    answer = await send(wire, CSV)
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
    told = answer.json
    assert [line["line"] for line in told["lines"]] == [1, 2, 4, 5, 6, 7, 8]
    assert [line["status"] for line in told["lines"]] == STATUSES
    assert (told["accepted"], told["refused"], told["value"]) == (2, 5, 91.5)
    assert told["lines"][0]["rejection_id"] == "rejection-of-lead-1"
    assert told["lines"][0]["price_of_100"] == 91.5
    refused = [(line["lead_id"], line["code"], bool(line["message"])) for line in told["lines"][2:]]
    assert refused == [
        ("lead-3", "invalid", True),
        ("", "malformed", True),
        ("", "invalid", True),
        ("lead-6", "malformed", True),
        ("lead-7", "invalid", True),
    ]


async def test_a_lead_returned_before_is_told_so_and_counted_nowhere(wire: Wire) -> None:
    told = (await send(wire, "lead-1,seasonal\nlead-again,seasonal\n")).json
    assert [line["status"] for line in told["lines"]] == ["accepted", "returned_before"]
    assert (told["accepted"], told["returned_before"], told["value"]) == (1, 1, 45.75)
    assert (told["lines"][1]["value"], told["lines"][1]["price_of_100"]) == (0, 91.5)
    assert b'exchange_rejections_total{category="quality"} 1.0' in wire.metrics.write()


async def test_a_cell_that_is_no_reasons_code_is_free_text(wire: Wire) -> None:
    await send(wire, CSV)
    first, second, *_ = wire.doors.returns.lines
    assert (first.reason_code, first.text, first.note) == ("invalid_contact", None, "called twice")
    assert (second.reason_code, second.text) == (None, "the number is disconnected, really")


async def test_a_header_names_the_columns_in_any_order(wire: Wire) -> None:
    await send(wire, "\ufefflead_id,review,text,note\r\nlead-1,true,hm,why\r\n")
    (line,) = wire.doors.returns.lines
    assert (line.number, line.lead_id, line.text, line.note) == (2, "lead-1", "hm", "why")
    assert line.review


@pytest.mark.parametrize("head", ["reason,lead_id", '"note", LEAD_ID', "text,review,lead_id"])
async def test_a_header_is_known_wherever_it_names_the_lead(wire: Wire, head: str) -> None:
    values = {"lead_id": "lead-1", "reason": "seasonal", "note": "why", "text": "hm"}
    names = [name.strip(' "').lower() for name in head.split(",")]
    await send(wire, f"{head}\n{','.join(values.get(name, '') for name in names)}\n")
    (line,) = wire.doors.returns.lines
    assert (line.number, line.lead_id) == (2, "lead-1")


async def test_a_header_without_the_lead_is_refused(wire: Wire) -> None:
    refused = await send(wire, "reason,note\nseasonal,why\n")
    assert (refused.status, refused.json["field"]) == (422, "lead_id")


async def test_a_quoted_cell_may_hold_line_breaks(wire: Wire) -> None:
    file = 'lead-1,seasonal,"called\r\n""twice"",\nno answer"\r\nlead-2,seasonal,\r\n'
    told = (await send(wire, file)).json
    assert [line["line"] for line in told["lines"]] == [1, 4]
    first, second = wire.doors.returns.lines
    assert (first.note, second.lead_id) == ('called\n"twice",\nno answer', "lead-2")


@pytest.mark.parametrize("last", ["", 'lead-4,seasonal,"why"\n', 'lead-4,seasonal,"why\n'])
async def test_a_forgotten_quote_costs_its_own_line_only(wire: Wire, last: str) -> None:
    file = f'lead-1,seasonal,"why\nlead-2,seasonal,\nlead-3,seasonal,\n{last}'
    told = (await send(wire, file)).json
    statuses = [line["status"] for line in told["lines"]]
    assert statuses[:3] == ["refused", "accepted", "accepted"]
    assert len(statuses) == (4 if last else 3)


async def test_a_line_of_json_that_cannot_be_read_stops_no_other(wire: Wire) -> None:
    lines = [
        {"lead_id": "lead-1", "reason": "seasonal"},
        {"lead_id": "lead-2", "reason": 5},
        {"lead_id": 3, "reason": "seasonal"},
        {"lead_id": "lead-4", "why": "seasonal"},
        {"reason": "seasonal"},
        "lead-6",
        {"lead_id": "lead-7", "text": "hm", "review": True},
    ]
    answer = await wire.call("POST", PATH, {"lines": lines}, key="company")
    assert answer.status == 200
    told = answer.json["lines"]
    assert [line["status"] for line in told] == ["accepted", *["refused"] * 5, "accepted"]
    assert [(line["lead_id"], line["code"], line.get("field")) for line in told[1:6]] == [
        ("lead-2", "invalid", "reason"),
        ("", "invalid", "lead_id"),
        ("lead-4", "unknown_field", "why"),
        ("", "missing_field", "lead_id"),
        ("", "invalid", None),
    ]


async def test_the_results_come_as_csv_where_that_is_accepted(wire: Wire) -> None:
    answer = await send(wire, CSV, "text/csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert [row["status"] for row in rows] == STATUSES
    assert (rows[0]["value"], rows[0]["overall_pct"]) == ("45.75", "8.50")


async def test_no_cell_begins_as_a_formula(wire: Wire) -> None:
    answer = await send(wire, "-1-2,seasonal,\n", "text/csv")
    (row,) = csv.DictReader(io.StringIO(answer.body.decode()))
    assert row["lead_id"] == "'-1-2"


async def test_the_results_come_as_lines_of_json_where_that_is_accepted(wire: Wire) -> None:
    answer = await send(wire, CSV, "application/x-ndjson")
    lines = [msgspec.json.decode(line) for line in answer.body.splitlines()]
    assert [line["status"] for line in lines] == STATUSES


async def test_a_json_body_may_be_sent_as_well(wire: Wire) -> None:
    lines = [{"lead_id": "lead-1", "reason": "seasonal"}, {"lead_id": "lead-2", "text": ""}]
    answer = await wire.call("POST", PATH, {"lines": lines}, key="company")
    assert [line["status"] for line in answer.json["lines"]] == ["accepted", "refused"]


async def test_a_dry_run_of_a_file_says_so(wire: Wire) -> None:
    answer = await send(wire, CSV, query="?dry_run=true")
    assert answer.json["dry_run"] is True
    assert "rejection_id" not in answer.json["lines"][0]


async def test_one_return_and_many_may_be_tried_by_query_or_body(wire: Wire) -> None:
    one, line = "/v1/leads/lead-1/rejections", {"lead_id": "lead-1", "reason": "seasonal"}
    reason = {"reason": "invalid_contact"}
    for path, body in (
        (f"{one}?dry_run=true", reason),
        (one, {**reason, "dry_run": True}),
        (f"{one}?dry_run=true", {**reason, "dry_run": False}),
        (f"{PATH}?dry_run=true", {"lines": [line]}),
        (PATH, {"lines": [line], "dry_run": True}),
    ):
        answer = await wire.call("POST", path, body, key="company")
        assert (answer.status, answer.json["dry_run"]) == (200, True), path
    assert not wire.doors.returned
    answer = await wire.call("POST", f"{one}?dry_run=yes", reason, key="company")
    assert (answer.status, answer.json["field"]) == (422, "dry_run")


@pytest.mark.parametrize(
    ("body", "query", "status", "code"),
    [
        pytest.param("", "", 422, "missing_field", id="nothing"),
        pytest.param("lead_id,reason\n", "", 422, "missing_field", id="a header only"),
        pytest.param("lead_id,price\nlead-1,1\n", "", 422, "unknown_field", id="unknown column"),
        pytest.param("lead-1,seasonal\n" * 10_001, "", 422, "too_many_lines", id="too many"),
        pytest.param("\n" * 20_001, "", 422, "too_many_lines", id="too many empty ones"),
        pytest.param(b"\xff\xfe", "", 400, "malformed", id="no UTF-8"),
        pytest.param("lead-1,seasonal\n", "?dry_run=yes", 422, "invalid", id="dry_run"),
        pytest.param("lead-1,seasonal\n", "?dryrun=true", 422, "invalid", id="no such option"),
        pytest.param("x" * 4_194_305, "", 413, "body_too_large", id="too large"),
    ],
)
async def test_a_file_that_cannot_be_read_is_refused_whole(
    wire: Wire, body: str | bytes, query: str, status: int, code: str
) -> None:
    answer = await send(wire, body, query=query)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert wire.doors.returns.lines == []


async def test_csv_is_read_where_it_is_meant_only(wire: Wire) -> None:
    headers = {"Content-Type": "text/csv"}
    path = "/v1/leads/lead-1/rejections"
    answer = await wire.call("POST", path, key="company", raw=b"seasonal", headers=headers)
    assert answer.status == 415


async def test_a_stream_that_fails_is_cut_off_and_the_next_call_answered(wire: Wire) -> None:
    with pytest.raises(Exception, match=r"payload|closed|disconnect|reset"):
        await send(wire, "lead-1,seasonal\nlead-boom,seasonal\n")
    assert [line for line, _ in wire.log.lines] == ["request failed"]
    assert (await send(wire, "lead-1,seasonal\n")).status == 200


async def test_a_line_is_told_before_the_next_is_done(wire: Wire) -> None:
    headers = {
        "Authorization": "Bearer key-of-company",
        "Content-Type": "text/csv",
        "Accept": "application/x-ndjson",
    }
    url = f"http://127.0.0.1:{wire.port}{PATH}"
    file = b"lead-1,seasonal\nlead-slow,seasonal\n"
    async with wire.session.post(url, data=file, headers=headers) as answer:
        first = await answer.content.readline()
        assert msgspec.json.decode(first)["line"] == 1
        assert not wire.doors.returns.slow.is_set()
        wire.doors.returns.slow.set()
        second = await answer.content.readline()
        assert msgspec.json.decode(second)["line"] == 2


async def items(wire: Wire, key: str, path: str = PATH) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await wire.call("GET", path, key=key)).json["items"]
    return found


async def test_section_12_a_seller_sees_reason_note_and_pay_and_no_company(wire: Wire) -> None:
    first = (await items(wire, "seller"))[0]
    assert (first["lead_id"], first["ping_id"]) == ("lead-1", "ping-1")
    assert (first["reason"], first["category"]) == ("invalid_contact", "quality")
    assert (first["note"], first["pay"], first["pay_reversed"]) == (
        "Ann never answered.",
        38.89,
        38.89,
    )
    assert first["disputable_until"] == "2026-11-28T22:40:00Z"
    assert first["dispute"]["statement"] == "She answered me."
    hidden = {"company_id", "campaign_id", "seller_id", "value", "credited"}
    assert not hidden & first.keys()


async def test_section_12_a_company_sees_no_seller_and_not_what_it_said(wire: Wire) -> None:
    first = (await items(wire, "company"))[0]
    assert (first["value"], first["credited"]) == (45.75, 45.75)
    assert first["dispute"]["status"] == "open"
    assert not {"statement", "evidence"} & first["dispute"].keys()
    assert not {"seller_id", "ping_id", "pay", "pay_reversed"} & first.keys()


async def test_section_12_a_company_lists_its_failed_deliveries_where_it_asks(wire: Wire) -> None:
    (failed,) = await items(wire, "company", f"{PATH}?kind=crm&counting=true")
    assert (failed["kind"], failed["value"], failed["credited"]) == ("crm", 45.75, 0)
    assert {one["kind"] for one in await items(wire, "company")} == {"manual"}
    assert {one["kind"] for one in await items(wire, "operator", f"{PATH}?kind=crm")} == {"crm"}
    path = f"{PATH}/{failed['rejection_id']}"
    assert (await wire.call("GET", path, key="company")).status == 200
    assert (await wire.call("GET", path, key="seller")).status == 404


@pytest.mark.parametrize(
    ("key", "query", "field"),
    [
        pytest.param("seller", "kind=crm", "kind", id="no seller hears of failed deliveries"),
        pytest.param("company", "kind=both", "kind", id="no such kind"),
        pytest.param("operator", "counting=true", "counting", id="everybody's rates"),
        pytest.param("company", "counting=1", "counting", id="neither true nor false"),
    ],
)
async def test_a_list_of_returns_says_what_it_cannot_be_asked(
    wire: Wire, key: str, query: str, field: str
) -> None:
    answer = await wire.call("GET", f"{PATH}?{query}", key=key)
    assert (answer.status, answer.json["field"]) == (422, field)


async def test_section_12_the_operator_sees_all_and_the_failed_deliveries(wire: Wire) -> None:
    found = await items(wire, "operator")
    assert [one["kind"] for one in found] == ["manual"] * 5 + ["crm"]
    assert {"seller_id", "company_id", "pay", "value"} <= found[0].keys()


async def test_what_waits_is_not_credited_and_has_no_category(wire: Wire) -> None:
    (waiting,) = await items(wire, "operator", "/v1/reviews")
    assert (waiting["status"], waiting["reason"]) == ("in_review", "reason_unclear")
    assert (waiting["credited"], waiting["pay_reversed"]) == (0.0, 0.0)
    assert "category" not in waiting and waiting["review_until"] == "2026-11-24T22:40:00Z"


async def test_returns_are_paged_as_other_lists_are(wire: Wire) -> None:
    first = (await wire.call("GET", f"{PATH}?limit=2", key="company")).json
    assert [one["rejection_id"] for one in first["items"]] == ["rejection-1", "rejection-2"]
    path = f"{PATH}?limit=3&after={first['next']}"
    second = (await wire.call("GET", path, key="company")).json
    assert len(second["items"]) == 3 and second["next"] is None
    disputes = (await wire.call("GET", "/v1/disputes?limit=1", key="operator")).json
    assert disputes["items"][0]["dispute"]["dispute_id"] == "dispute-1"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({"decision": "declined"}, "sentence", id="declined without a word"),
        pytest.param(
            {"decision": "declined", "sentence": "No.", "reason": "seasonal"},
            "reason",
            id="declined with a reason",
        ),
        pytest.param({"decision": "approved", "reason": "why"}, "reason", id="no such reason"),
        pytest.param({"decision": "maybe"}, "decision", id="neither"),
    ],
)
async def test_a_review_is_decided_one_way(wire: Wire, body: dict[str, str], field: str) -> None:
    answer = await wire.call("POST", f"{PATH}/rejection-5/review", body, key="operator")
    assert (answer.status, answer.json["field"]) == (422, field)
    assert wire.doors.returns.decided == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"statement": ""}, id="nothing said"),
        pytest.param({"statement": "x" * 4_001}, id="too much said"),
        pytest.param({"statement": "x", "evidence": ["y"] * 11}, id="too much evidence"),
        pytest.param({"statement": "x", "evidence": ["y" * 1_001]}, id="too long evidence"),
    ],
)
async def test_a_dispute_is_bounded(wire: Wire, body: dict[str, Any]) -> None:
    answer = await wire.call("POST", f"{PATH}/rejection-2/dispute", body)
    assert answer.status == 422


async def test_a_reversal_while_the_books_are_away_is_503(wire: Wire) -> None:
    body = {"sentence": "away"}
    answer = await wire.call("POST", f"{PATH}/rejection-2/reversal", body, key="operator")
    assert answer.status == 503
