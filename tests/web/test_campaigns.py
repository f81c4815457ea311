"""Campaigns on the wire: given, shown in the same form, and refused with the field named."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from exchange.flow.bidding import BidderState, SimulatedBids
from tests.web.bodies import CAMPAIGN, REMOVE, changed
from tests.web.conftest import Wire

PATH = "/v1/campaigns"


async def test_the_printed_campaign_is_created_and_shown_as_it_was_given(wire: Wire) -> None:
    created = await wire.call("POST", PATH, CAMPAIGN, key="company")
    assert created.status == 201, created.body
    shown = await wire.call("GET", f"{PATH}/{created.json['campaign_id']}", key="company")
    assert shown.body == created.body
    answer = shown.json
    assert {name: answer[name] for name in CAMPAIGN} == CAMPAIGN
    assert answer["status"] == "active" and answer["active"] is True
    assert answer["created_at"] == answer["updated_at"] == "2026-11-21T22:40:00Z"
    assert b'"exclusive":45.75' in shown.body and b'"2":30.00' in shown.body


async def test_what_a_get_gave_can_be_put_back_and_changes_nothing(wire: Wire) -> None:
    created = await wire.call("POST", PATH, CAMPAIGN, key="company")
    path = f"{PATH}/{created.json['campaign_id']}"
    kept = dict(wire.doors.accounts.records)
    for key in ("company", "operator"):
        put = await wire.call("PUT", path, raw=created.body, key=key)
        assert put.status == 200, put.body
    for campaign_id, record in kept.items():
        assert wire.doors.accounts.records[campaign_id].campaign == record.campaign


async def test_an_exclusive_price_alone_is_shown_alone(wire: Wire) -> None:
    body = changed(CAMPAIGN, "bid", {"exclusive": 5})
    answer = await wire.call("POST", PATH, body, key="company")
    assert b'"bid":{"exclusive":5.00},' in answer.body


async def test_delivery_limits_are_shown_where_they_are_not_the_usual(wire: Wire) -> None:
    given = [{"kind": "inbox", "timeout_ms": 5_000}, {"kind": "inbox", "attempts": 5}]
    created = await wire.call("POST", PATH, changed(CAMPAIGN, "delivery", given), key="company")
    assert created.json["delivery"] == [{"kind": "inbox"}, {"kind": "inbox", "attempts": 5}]


async def test_a_paused_campaign_is_not_active(wire: Wire) -> None:
    for change in ("status", "paused"), ("active", False):
        answer = await wire.call("POST", PATH, changed(CAMPAIGN, *change), key="company")
        assert (answer.json["status"], answer.json["active"]) == ("paused", False)


async def test_a_window_may_end_at_midnight_and_run_over_it(wire: Wire) -> None:
    body = changed(CAMPAIGN, "schedule.windows.0.to", "02:30")
    answer = await wire.call("POST", PATH, body, key="company")
    assert answer.json["schedule"]["windows"][0]["to"] == "02:30"


async def test_a_company_may_leave_its_id_out_and_an_operator_may_not(wire: Wire) -> None:
    body = changed(CAMPAIGN, "company_id", REMOVE)
    answer = await wire.call("POST", PATH, body, key="company")
    assert answer.json["company_id"] == "company-1"
    answer = await wire.call("POST", PATH, body, key="operator")
    assert (answer.status, answer.json["field"]) == (422, "company_id")
    answer = await wire.call("POST", PATH, CAMPAIGN, key="operator")
    assert answer.status == 201
    unknown = changed(CAMPAIGN, "company_id", "company-77")
    answer = await wire.call("POST", PATH, unknown, key="operator")
    assert (answer.status, answer.json["field"]) == (422, "company_id")


async def test_a_company_cannot_create_in_anothers_name(wire: Wire) -> None:
    answer = await wire.call("POST", PATH, CAMPAIGN, key="other-company")
    assert (answer.status, answer.json["field"]) == (403, "company_id")
    assert wire.doors.accounts.records == {}


async def test_anothers_campaign_is_not_there(wire: Wire) -> None:
    created = await wire.call("POST", PATH, CAMPAIGN, key="company")
    path = f"{PATH}/{created.json['campaign_id']}"
    for method, body in (("GET", None), ("PUT", CAMPAIGN), ("DELETE", None)):
        assert (await wire.call(method, path, body, key="other-company")).status == 404
    assert (await wire.call("GET", path, key="company")).status == 200
    assert (await wire.call("GET", PATH, key="other-company")).json["items"] == []


async def test_a_deleted_campaign_is_gone(wire: Wire) -> None:
    created = await wire.call("POST", PATH, CAMPAIGN, key="company")
    path = f"{PATH}/{created.json['campaign_id']}"
    answer = await wire.call("DELETE", path, key="company")
    assert (answer.status, answer.body) == (204, b"")
    assert (await wire.call("DELETE", path, key="company")).status == 404


async def test_a_campaign_keeps_its_company_and_id(wire: Wire) -> None:
    created = await wire.call("POST", PATH, CAMPAIGN, key="company")
    path = f"{PATH}/{created.json['campaign_id']}"
    for field in ("company_id", "campaign_id"):
        body = changed(CAMPAIGN, field, "another")
        answer = await wire.call("PUT", path, body, key="operator")
        assert (answer.status, answer.json["field"]) == (422, field)


async def test_lists_are_paged_in_the_order_of_ids(wire: Wire) -> None:
    ids = [
        (await wire.call("POST", PATH, CAMPAIGN, key="company")).json["campaign_id"]
        for _ in range(5)
    ]
    seen: list[str] = []
    after = ""
    for _ in range(3):
        page = (await wire.call("GET", f"{PATH}?limit=2&after={after}", key="operator")).json
        seen += [item["campaign_id"] for item in page["items"]]
        after = page["next"]
    assert seen == sorted(ids) and after is None


WINDOW = {"days": ["mon"], "from": "09:00", "to": "18:00"}
MODIFIER = {"when": {"field": "zip", "op": "prefix", "value": "9"}}

REFUSED: list[tuple[str, Any, str]] = [
    ("name", "", "name"),
    ("name", "x" * 101, "name"),
    ("vertical", "boats", "vertical"),
    ("colour", "red", "colour"),
    ("filter.all.0.field", "height", "filter.all[0].field"),
    ("filter.all.0.value", ["XX"], "filter.all[0].value[0]"),
    ("filter.all.1.op", "~", "filter.all[1].op"),
    ("filter.all.1.value", "high", "filter.all[1].value"),
    ("filter.all.1.value", 2**60, "filter.all[1].value"),
    ("filter.all.1.colour", "red", "filter.all[1].colour"),
    ("filter", {}, "filter"),
    ("filter", {"all": []}, "filter.all"),
    ("bid", {}, "bid"),
    ("bid.remote", {"url": "https://x.example"}, "bid.exclusive"),
    ("bid.exclusive", 0, "bid.exclusive"),
    ("bid.exclusive", -5, "bid.exclusive"),
    ("bid.exclusive", 45.755, "bid.exclusive"),
    ("bid.exclusive", "NaN", "bid.exclusive"),
    ("bid.shared", {"1": 30}, "bid.shared"),
    ("bid.shared", {"6": 30}, "bid.shared"),
    ("bid.shared", {"two": 30}, "bid.shared"),
    ("bid.shared", {"2": 0}, "bid.shared.2"),
    ("bid.modifiers", [MODIFIER], "bid.modifiers[0]"),
    ("bid.modifiers", [{**MODIFIER, "add": 1.234}], "bid.modifiers[0].add"),
    ("bid.modifiers", [{**MODIFIER, "multiply": 0}], "bid.modifiers[0].multiply"),
    ("bid.modifiers", [{**MODIFIER, "multiply": 11}], "bid.modifiers[0].multiply"),
    ("bid.modifiers", [{**MODIFIER, "multiply": "NaN"}], "bid.modifiers[0].multiply"),
    ("bid.modifiers", [{**MODIFIER, "multiply": 1.00001}], "bid.modifiers[0].multiply"),
    ("bid.modifiers", [{"add": 1}], "bid.modifiers[0].when"),
    (
        "bid.modifiers",
        [{"when": {"field": "x", "op": "="}, "add": 1}],
        "bid.modifiers[0].when.field",
    ),
    ("caps", [{"period": "day"}], "caps[0]"),
    ("caps", [{"period": "year", "leads": 1}], "caps[0].period"),
    ("caps", [{"period": "day", "leads": 0}], "caps[0].leads"),
    ("caps", [{"period": "day", "spend": 0}], "caps[0].spend"),
    ("caps", [{"period": "day", "leads": 1}] * 11, "caps"),
    ("schedule.timezone", "Mars/Olympus", "schedule.timezone"),
    ("schedule.timezone", "../etc/passwd", "schedule.timezone"),
    ("schedule.timezone", "America", "schedule.timezone"),
    ("schedule.windows", [{**WINDOW, "days": []}], "schedule.windows[0].days"),
    ("schedule.windows", [{**WINDOW, "days": ["xmas"]}], "schedule.windows[0].days[0]"),
    ("schedule.windows", [{**WINDOW, "from": "24:00"}], "schedule.windows[0].from"),
    ("schedule.windows", [{**WINDOW, "to": "24:01"}], "schedule.windows[0].to"),
    ("schedule.windows", [{**WINDOW, "to": "9:00"}], "schedule.windows[0].to"),
    ("max_age_hours", 0, "max_age_hours"),
    ("delivery", [], "delivery"),
    ("delivery", [{"kind": "inbox"}] * 6, "delivery"),
    ("delivery", [{"kind": "http"}], "delivery[0].url"),
    ("delivery", [{"kind": "inbox", "url": "https://x.example"}], "delivery[0].url"),
    ("delivery.0.url", "ftp://x.example", "delivery[0].url"),
    ("delivery.0.url", "https://", "delivery[0].url"),
    ("delivery.0.url", "https://[", "delivery[0].url"),
    ("delivery.0.url", "https://x.example:99999/", "delivery[0].url"),
    ("delivery.0.url", "https://x.example/a b", "delivery[0].url"),
    ("delivery.0.url", "https://ann:secret@x.example/", "delivery[0].url"),
    ("delivery.0.url", "https://x.example/" + "x" * 2_000, "delivery[0].url"),
    ("delivery.0.url", "http://10.0.0.1/leads", "delivery[0].url"),
    ("delivery.0.timeout_ms", 99, "delivery[0].timeout_ms"),
    ("delivery.0.timeout_ms", 30_001, "delivery[0].timeout_ms"),
    ("delivery.0.attempts", 6, "delivery[0].attempts"),
    ("delivery.0.kind", "fax", "delivery[0].kind"),
    ("active", "yes", "active"),
    ("status", "deleted", "status"),
]


@pytest.mark.parametrize(
    ("path", "value", "field"), REFUSED, ids=[f"{r[0]}={r[1]!r:.30}" for r in REFUSED]
)
async def test_a_wrong_campaign_is_refused_and_nothing_is_stored(
    wire: Wire, path: str, value: object, field: str
) -> None:
    answer = await wire.call("POST", PATH, changed(CAMPAIGN, path, value), key="company")
    assert (answer.status, answer.json["field"]) == (422, field), answer.body
    assert wire.doors.accounts.records == {}


async def test_active_must_not_contradict_status(wire: Wire) -> None:
    body = changed(changed(CAMPAIGN, "active", True), "status", "paused")
    assert (await wire.call("POST", PATH, body, key="company")).status == 422


async def test_a_bidders_bids_on_trial_are_shown_to_its_company(wire: Wire) -> None:
    bid = {"remote": {"url": "https://bids.example/ping", "simulate": True}}
    made = await wire.call("POST", PATH, CAMPAIGN | {"bid": bid}, key="company")
    path = f"{PATH}/{made.json['campaign_id']}"
    state = BidderState(
        state="well",
        probability=1.0,
        bids=3,
        reasons={"bidder_simulated": 3},
        p50_ms=20.0,
        p99_ms=40.0,
        connections=1,
        waiting=0,
        simulated=SimulatedBids(
            count=3, total_cents=100_00, last_cents=30_00, last_at=1_800_000_000.0
        ),
    )
    assert (await wire.call("GET", f"{path}/bidder", key="company")).json["simulated"] is None
    wire.doors.bidder_states[made.json["campaign_id"]] = state
    shown = (await wire.call("GET", f"{path}/bidder", key="company")).json
    assert shown["simulated"] == {
        "bids": 3,
        "average": 33.33,
        "last": 30,
        "last_at": "2027-01-15T08:00:00Z",
    }


async def test_a_bidder_with_less_time_than_any_is_asked_with_is_refused(wire: Wire) -> None:
    wire.server._site.limits = replace(wire.server._site.limits, min_bidder_ms=50)
    remote = {"url": "https://bids.example/ping", "timeout_ms": 49}
    body = CAMPAIGN | {"bid": {"remote": remote}}
    refused = await wire.call("POST", PATH, body, key="company")
    assert (refused.status, refused.json["field"]) == (422, "bid.remote.timeout_ms")
    assert "under 50 ms" in refused.json["detail"]
    body = CAMPAIGN | {"bid": {"remote": remote | {"timeout_ms": 50}}}
    assert (await wire.call("POST", PATH, body, key="company")).status == 201
