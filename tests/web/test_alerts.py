"""Alerts and connection tests on the wire: who sees what, and what may be set (rules §12)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.bodies import CAMPAIGN
from tests.web.conftest import Wire

MINE = "/v1/companies/company-1/alerts"
FULL: dict[str, Any] = {
    "webhook_url": "https://ops.example/alerts",
    "emails": [],
    "kinds": ["crm_over", "balance_low"],
    "recoveries": False,
    "near_pct": 90,
    "cap_pct": 75,
    "balance_low": 250.00,
    "crm_rejections": 2,
    "bidder_error_pct": 30,
    "reminder_hours": 4,
}


async def listed(wire: Wire, query: str = "", key: str = "company") -> list[str]:
    answer = await wire.call("GET", f"/v1/alerts{query}", key=key)
    assert answer.status == 200, answer.body
    return [item["alert_id"] for item in answer.json["items"]]


# --- alerts ---------------------------------------------------------------------------------------


async def test_section_12_no_one_sees_anothers_alerts(wire: Wire) -> None:
    assert await listed(wire) == ["alert-3", "alert-2", "alert-1"]
    assert await listed(wire, key="other-company") == []
    assert await listed(wire, key="operator") == ["alert-4", "alert-3", "alert-2", "alert-1"]
    assert (await wire.call("GET", "/v1/alerts/alert-4", key="company")).status == 404
    assert (await wire.call("GET", "/v1/alerts/alert-4", key="operator")).status == 200


async def test_alerts_are_listed_by_state_and_a_page_at_a_time(wire: Wire) -> None:
    assert await listed(wire, "?state=raised") == ["alert-3", "alert-2"]
    assert await listed(wire, "?state=recovered") == ["alert-1"]
    first = (await wire.call("GET", "/v1/alerts?limit=2", key="company")).json
    assert first["next"] == "alert-2"
    assert await listed(wire, "?limit=2&after=alert-2") == ["alert-1"]


@pytest.mark.parametrize("query", ["state=open", "state=", "kind=crm_over", "limit=0"])
async def test_a_query_that_is_not_known_is_refused_with_its_name(wire: Wire, query: str) -> None:
    answer = await wire.call("GET", f"/v1/alerts?{query}", key="company")
    assert (answer.status, answer.json["field"]) == (422, query.partition("=")[0])


async def test_an_alert_shows_its_title_arithmetic_and_values(wire: Wire) -> None:
    answer = (await wire.call("GET", "/v1/alerts/alert-2", key="company")).json
    assert answer["title"] == "CRM rejection rate over the gate"
    assert answer["arithmetic"] == "1240.00 rejected / 10000.00 assigned = 12.40 %"
    assert answer["values"] == {"crm_pct": 12.40}
    assert (answer["severity"], answer["state"]) == ("critical", "raised")


async def test_an_alert_is_acknowledged_by_whoever_sees_it_while_it_is_raised(wire: Wire) -> None:
    path = "/v1/alerts/alert-2/acknowledge"
    assert (await wire.call("POST", path, key="other-company")).status == 404
    answer = await wire.call("POST", path, key="company")
    assert answer.json["acknowledged_by"] == "company-1"
    over = await wire.call("POST", "/v1/alerts/alert-1/acknowledge", key="company")
    assert (over.status, over.json["code"]) == (409, "alert_over")


async def test_a_company_is_shown_the_kinds_it_may_be_told_of(wire: Wire) -> None:
    kinds = (await wire.call("GET", "/v1/alerts/kinds", key="company")).json["items"]
    all_kinds = (await wire.call("GET", "/v1/alerts/kinds", key="operator")).json["items"]
    assert {k["code"] for k in all_kinds} - {k["code"] for k in kinds} == {"stores_drift"}
    assert all(kind["title"] and kind["meaning"] for kind in all_kinds)


# --- settings -------------------------------------------------------------------------------------


async def test_settings_are_shown_as_they_were_given_with_what_holds(wire: Wire) -> None:
    before = (await wire.call("GET", MINE, key="company")).json
    assert (before["webhook_url"], before["near_pct"], before["kinds"]) == (None, None, None)
    assert before["terms"]["near_pct"] == 80
    put = await wire.call("PUT", MINE, FULL, key="company")
    assert put.status == 200, put.body
    assert {name: put.json[name] for name in FULL} == FULL
    assert b'"balance_low":250.00' in put.body
    assert put.json["terms"]["cap_pct"] == 75
    assert put.json["signing_secret"] == "xs_company-1"
    assert (await wire.call("GET", MINE, key="operator")).body == put.body


async def test_the_operators_thresholds_hold_for_companies_that_set_none(wire: Wire) -> None:
    await wire.call("PUT", "/v1/alerts/settings", {"near_pct": 60, "cap_pct": 60}, key="operator")
    await wire.call("PUT", MINE, {"near_pct": 95}, key="company")
    terms = (await wire.call("GET", MINE, key="company")).json["terms"]
    assert (terms["near_pct"], terms["cap_pct"], terms["balance_low"]) == (95, 60, 100.00)


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"near_pct": 49}, "near_pct", "invalid"),
        ({"near_pct": 100}, "near_pct", "invalid"),
        ({"cap_pct": 100}, "cap_pct", "invalid"),
        ({"balance_low": -1}, "balance_low", "invalid"),
        ({"balance_low": 1.005}, "balance_low", "invalid"),
        ({"crm_rejections": 0}, "crm_rejections", "invalid"),
        ({"bidder_error_pct": 101}, "bidder_error_pct", "invalid"),
        ({"reminder_hours": 721}, "reminder_hours", "invalid"),
        ({"webhook_url": "https://10.0.0.1/"}, "webhook_url", "url_refused"),
        ({"kinds": ["crm_over", "nothing"]}, "kinds[1]", "invalid"),
        ({"kinds": ["stores_drift"]}, "kinds[0]", "invalid"),
        ({"emails": ["a@b.example"]}, "emails", "not_available"),
        ({"emails": ["a@b.example"] * 6}, "emails", "invalid"),
        ({"sms": "+1"}, "sms", "unknown_field"),
    ],
    ids=str,
)
async def test_settings_out_of_bounds_are_refused_with_the_field(
    wire: Wire, body: dict[str, Any], field: str, code: str
) -> None:
    answer = await wire.call("PUT", MINE, body, key="company")
    assert (answer.status, answer.json["field"], answer.json["code"]) == (422, field, code)
    assert wire.doors.kept_alerts.saved == {}


async def test_the_operator_may_choose_its_own_kinds(wire: Wire) -> None:
    body = {"kinds": ["stores_drift"]}
    answer = await wire.call("PUT", "/v1/alerts/settings", body, key="operator")
    assert (answer.status, answer.json["receiver"]) == (200, "operator")


async def test_a_company_that_is_not_there_has_no_settings(wire: Wire) -> None:
    for method, body in (("GET", None), ("PUT", {})):
        path = "/v1/companies/nobody/alerts"
        assert (await wire.call(method, path, body, key="operator")).status == 404


# --- connections ----------------------------------------------------------------------------------


async def test_a_campaigns_connections_are_shown_tested_and_left_alone(wire: Wire) -> None:
    campaign = (await wire.call("POST", "/v1/campaigns", CAMPAIGN, key="company")).json
    path = f"/v1/campaigns/{campaign['campaign_id']}"
    shown = (await wire.call("GET", f"{path}/connections", key="company")).json
    assert (shown["enabled"], shown["every_s"]) == (True, 900)
    assert [(c["target"], c["kind"], c["tested"]) for c in shown["connections"]] == [
        ("delivery[0]", "http", True),
        ("delivery[1]", "inbox", False),
    ]
    assert shown["connections"][0]["last_24_h"] == {
        "tests": 0,
        "passed": 0,
        "uptime_pct": None,
        "p50_ms": None,
        "p95_ms": None,
        "p99_ms": None,
    }
    tested = await wire.call("POST", f"{path}/connection-test", key="company")
    assert [r["status"] for r in tested.json["results"]] == ["passed", "passed"]
    out = await wire.call("PUT", f"{path}/connections", {"enabled": False}, key="company")
    assert out.json["enabled"] is False
    again = await wire.call("PUT", f"{path}/connections", {"enabled": True}, key="company")
    assert again.json["enabled"] is True
