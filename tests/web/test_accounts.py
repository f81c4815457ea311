"""Accounts, standings, leads, rejections and resets on the wire."""

from __future__ import annotations

import pytest

from tests.web.conftest import Wire


async def test_a_new_seller_gets_its_key_once(wire: Wire) -> None:
    answer = await wire.call("POST", "/v1/sellers", {"name": "Leads & Co"}, key="operator")
    assert answer.status == 201
    assert answer.json == {
        "id": "seller-5",
        "name": "Leads & Co",
        "active": True,
        "created_at": "2026-11-21T22:40:00Z",
        "api_key": "new-key-5",
    }
    shown = await wire.call("GET", "/v1/sellers/seller-5", key="operator")
    assert "api_key" not in shown.json


async def test_a_company_can_be_prepaid(wire: Wire) -> None:
    body = {"name": "Roofs", "prepaid": True}
    answer = await wire.call("POST", "/v1/companies", body, key="operator")
    assert b'"prepaid":true,"balance":0.00,"available":0.00' in answer.body
    answer = await wire.call("POST", "/v1/companies", {"name": "Roofs"}, key="operator")
    assert answer.json["available"] is None


@pytest.mark.parametrize(
    "body",
    [{}, {"name": ""}, {"name": "  "}, {"name": "a\nb"}, {"name": "a", "colour": 1}, [], None],
    ids=str,
)
@pytest.mark.parametrize("path", ["/v1/sellers", "/v1/companies"])
async def test_a_wrong_account_is_refused(wire: Wire, path: str, body: object) -> None:
    before = len(wire.doors.accounts.kept)
    answer = await wire.call("POST", path, body, key="operator")
    assert answer.status == (400 if body is None else 422)
    assert len(wire.doors.accounts.kept) == before


async def test_an_account_is_blocked_and_unblocked(wire: Wire) -> None:
    for path in ("/v1/sellers/seller-1", "/v1/companies/company-1"):
        for active in (False, True):
            answer = await wire.call("PATCH", path, {"active": active}, key="operator")
            assert (answer.status, answer.json["active"]) == (200, active)
    answer = await wire.call("PATCH", "/v1/sellers/nobody", {"active": False}, key="operator")
    assert answer.status == 404


async def test_accounts_are_listed_by_page(wire: Wire) -> None:
    page = (await wire.call("GET", "/v1/companies?limit=1", key="operator")).json
    assert [item["id"] for item in page["items"]] == ["company-1"]
    page = (await wire.call("GET", f"/v1/companies?after={page['next']}", key="operator")).json
    assert [item["id"] for item in page["items"]] == ["company-2"] and page["next"] is None


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "limit=-1",
        "after=a%20b",
        "after=zzz",
        "after=50",
        "colour=red",
    ],
)
async def test_a_wrong_page_is_refused_with_its_name(wire: Wire, query: str) -> None:
    answer = await wire.call("GET", f"/v1/leads?{query}", key="company")
    assert (answer.status, answer.json["field"]) == (422, query.partition("=")[0])


async def test_a_deposit_is_booked_once_per_key(wire: Wire) -> None:
    path = "/v1/companies/company-1/deposits"
    for _ in range(2):
        answer = await wire.call(
            "POST", path, {"amount": 500.00}, key="operator", headers={"Idempotency-Key": "k1"}
        )
        assert (answer.status, answer.json["balance"]) == (200, 500)
    answer = await wire.call("POST", path, {"amount": "20.50", "key": "k2"}, key="operator")
    assert b'"balance":520.50' in answer.body
    answer = await wire.call("POST", path, {"amount": 1, "key": "k2"}, key="operator")
    assert answer.status == 409


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"amount": 500}, "key"),
        ({"amount": 0, "key": "k"}, "amount"),
        ({"amount": -1, "key": "k"}, "amount"),
        ({"amount": 0.001, "key": "k"}, "amount"),
        ({"key": "k"}, "amount"),
    ],
    ids=str,
)
async def test_a_wrong_deposit_is_refused(wire: Wire, body: object, field: str) -> None:
    answer = await wire.call("POST", "/v1/companies/company-1/deposits", body, key="operator")
    assert (answer.status, answer.json["field"]) == (422, field)
    assert wire.doors.accounts.deposits == {}


async def test_leads_are_shown_to_the_company_that_took_them(wire: Wire) -> None:
    page = (await wire.call("GET", "/v1/leads?limit=2", key="company")).json
    assert [lead["lead_id"] for lead in page["items"]] == ["lead-1", "lead-2"]
    assert page["next"] == "lead-2"
    lead = (await wire.call("GET", "/v1/leads/lead-1", key="company")).json
    assert lead == page["items"][0]
    assert lead["contact"] == {
        "first_name": "Ann",
        "last_name": "Lee",
        "email": "ann@example.com",
    }
    assert (lead["price"], lead["rejection"]) == (45.75, None)
    assert (await wire.call("GET", "/v1/leads/lead-1", key="other-company")).status == 404


@pytest.mark.parametrize(
    "body", [{"reason": "invalid_contact", "note": "rang twice"}, {"text": "disconnected"}], ids=str
)
async def test_a_rejection_shows_the_standing_it_led_to(wire: Wire, body: object) -> None:
    answer = await wire.call("POST", "/v1/leads/lead-1/rejections", body, key="company")
    assert answer.status == 200
    told = answer.json
    assert list(told) == [
        "rejection_id",
        "lead_id",
        "kind",
        "category",
        "reason",
        "value",
        "standing",
        "status",
    ]
    assert (told["kind"], told["category"], told["value"]) == ("manual", "quality", 45.75)
    assert "days" not in told["standing"] and told["standing"]["price_of_100"] == 91.50
    again = await wire.call("POST", "/v1/leads/lead-1/rejections", body, key="company")
    assert (again.status, again.body) == (200, answer.body)
    assert b'exchange_rejections_total{category="quality"} 1.0' in wire.metrics.write()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "reason"),
        ({"reason": "invalid_contact", "text": "x"}, "reason"),
        ({"reason": "bored"}, "reason"),
        ({"text": ""}, "text"),
        ({"text": "x" * 1_001}, "text"),
        ({"text": "x", "note": "x" * 1_001}, "note"),
        ({"text": "x", "colour": 1}, "colour"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_wrong_rejection_is_refused(wire: Wire, body: object, field: str) -> None:
    answer = await wire.call("POST", "/v1/leads/lead-1/rejections", body, key="company")
    assert (answer.status, answer.json["field"]) == (422, field)


async def test_a_reset_is_asked_for_and_approved(wire: Wire) -> None:
    path = "/v1/companies/company-1/crm-resets"
    asked = await wire.call("POST", path, key="company")
    assert (asked.status, asked.json["status"]) == (201, "asked")
    assert (await wire.call("GET", path, key="company")).json["items"] == [asked.json]
    assert (await wire.call("GET", "/v1/crm-resets", key="operator")).json["items"] == [asked.json]
    approved = await wire.call("POST", "/v1/crm-resets/reset-1/approval", key="operator")
    assert (approved.status, approved.json["status"]) == (200, "approved")
    assert (
        await wire.call("POST", "/v1/crm-resets/reset-2/approval", key="operator")
    ).status == 404


async def test_a_reset_asked_for_too_early_says_what_is_missing(wire: Wire) -> None:
    answer = await wire.call("POST", "/v1/companies/company-2/crm-resets", key="other-company")
    assert (answer.status, answer.json["code"]) == (409, "reset_too_early")
    assert answer.json["details"] == {"missing": "12.00"}


async def test_verticals_show_their_attributes_and_bounds(wire: Wire) -> None:
    items = (await wire.call("GET", "/v1/verticals")).json["items"]
    assert [item["name"] for item in items] == ["roofing", "solar"]
    solar = items[1]["attributes"]
    assert solar["credit_score"] == {"kind": "integer", "required": False, "min": 300, "max": 850}
    assert solar["zip"]["required"] is True and len(solar["state"]["allowed"]) == 52


async def test_a_company_reads_its_own_account_with_its_balance(wire: Wire) -> None:
    account = (await wire.call("GET", "/v1/companies/company-1", key="company")).json
    assert (account["id"], account["prepaid"], "balance" in account) == ("company-1", False, True)


async def test_a_seller_lists_its_sales_without_contact_or_company(wire: Wire) -> None:
    page = (await wire.call("GET", "/v1/sales?limit=2")).json
    assert [item["lead_id"] for item in page["items"]] == ["lead-1", "lead-2"]
    assert page["items"][0] == {
        "lead_id": "lead-1",
        "ping_id": "ping-1",
        "vertical": "solar",
        "source": {"sub_id": "roofs.example"},
        "sold_at": "2026-11-21T22:40:00Z",
        "price": 40.01,
        "pay_reversed": 20.01,
        "legs": [
            {
                "leg_id": f"ping-1-{leg}",
                "status": status,
                "price": price,
                "rejectable_until": "2026-11-23T22:40:00Z",
            }
            for leg, status, price in ((1, "sold", 20.0), (2, "rejected", 20.01))
        ],
    }
    last = (await wire.call("GET", "/v1/sales?after=lead-4")).json
    assert [item["lead_id"] for item in last["items"]] == ["lead-5"] and last["next"] is None
