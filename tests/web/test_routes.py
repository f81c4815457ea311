"""The table of calls: who may make each, and that the document tells the same."""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from exchange.web.openapi import fault_statuses
from exchange.web.routes import ROUTES, Route
from tests.web.bodies import CAMPAIGN, CONTRACT, PING, POST
from tests.web.conftest import Wire

CALLERS = (
    None,
    "unknown",
    "seller",
    "other-seller",
    "company",
    "other-company",
    "operator",
)
ROLE_OF = {
    "seller": "seller",
    "other-seller": "seller",
    "company": "company",
    "other-company": "company",
    "operator": "operator",
}
BODIES: dict[str, Any] = {
    "PingBody": PING,
    "PostBody": POST,
    "CampaignBody": CAMPAIGN,
    "CampaignReplacement": CAMPAIGN,
    "RejectionBody": {"reason": "invalid_contact"},
    "SellerBody": {"name": "New"},
    "CompanyBody": {"name": "New"},
    "AccountChange": {"active": True},
    "DepositBody": {"amount": 5, "key": "k"},
    "ProbeBody": {},
    "BulkBody": {"lines": [{"lead_id": "lead-1", "reason": "invalid_contact"}]},
    "ReviewBody": {"decision": "approved", "reason": "seasonal"},
    "DisputeBody": {"statement": "She answered me."},
    "DisputeDecisionBody": {"decision": "upheld", "sentence": "She did not."},
    "ReversalBody": {"sentence": "She did."},
    "ContractBody": CONTRACT,
    "VersionBody": {"terms": {}},
    "ContractEndBody": {},
    "ConnectionTestsBody": {"enabled": False},
    "AlertSettingsBody": {},
}

# What belongs to somebody: the others of the same role do not find it, and one may not create in
# another's name. All other calls answer every caller of their roles alike.
ANOTHERS = {
    ("GET /v1/pings/{ping_id}", "other-seller"): 404,
    ("GET /v1/pings/{ping_id}/quality", "other-seller"): 404,
    ("GET /v1/leads/{lead_id}", "other-company"): 404,
    ("POST /v1/leads/{lead_id}/rejections", "other-company"): 404,
    ("GET /v1/returns/{rejection_id}", "other-seller"): 404,
    ("GET /v1/returns/{rejection_id}", "other-company"): 404,
    ("POST /v1/returns/{rejection_id}/dispute", "other-seller"): 404,
    ("POST /v1/campaigns", "other-company"): 403,
    ("GET /v1/campaigns/{campaign_id}", "other-company"): 404,
    ("PUT /v1/campaigns/{campaign_id}", "other-company"): 404,
    ("DELETE /v1/campaigns/{campaign_id}", "other-company"): 404,
    ("POST /v1/campaigns/{campaign_id}/probe", "other-company"): 404,
    ("GET /v1/contracts/{contract_id}", "other-seller"): 404,
    ("GET /v1/contracts/{contract_id}", "other-company"): 404,
    ("GET /v1/contracts/{contract_id}/refusals", "other-seller"): 404,
    ("GET /v1/contracts/{contract_id}/refusals", "other-company"): 404,
    ("GET /v1/companies/{company_id}", "other-company"): 404,
    ("GET /v1/companies/{company_id}/standing", "other-company"): 404,
    ("GET /v1/companies/{company_id}/standing/history", "other-company"): 404,
    ("GET /v1/companies/{company_id}/what-if", "other-company"): 404,
    ("GET /v1/companies/{company_id}/signing-secret", "other-company"): 404,
    # The campaign there is bids from a list: its own company reads that it has no bidder.
    ("GET /v1/campaigns/{campaign_id}/bidder", "company"): 404,
    ("GET /v1/campaigns/{campaign_id}/bidder", "other-company"): 404,
    ("GET /v1/campaigns/{campaign_id}/bidder", "operator"): 404,
    **{
        (f"{method} /v1/companies/{{company_id}}/suppressions", "other-company"): 404
        for method in ("GET", "POST", "PUT", "DELETE")
    },
    ("POST /v1/companies/{company_id}/suppressions/removals", "other-company"): 404,
    ("GET /v1/campaigns/{campaign_id}/connections", "other-company"): 404,
    ("PUT /v1/campaigns/{campaign_id}/connections", "other-company"): 404,
    ("POST /v1/campaigns/{campaign_id}/connection-test", "other-company"): 404,
    ("GET /v1/alerts/{alert_id}", "other-company"): 404,
    ("POST /v1/alerts/{alert_id}/acknowledge", "other-company"): 404,
    ("GET /v1/companies/{company_id}/alerts", "other-company"): 404,
    ("PUT /v1/companies/{company_id}/alerts", "other-company"): 404,
    ("POST /v1/companies/{company_id}/alerts/trial", "other-company"): 404,
    ("POST /v1/companies/{company_id}/crm-resets", "other-company"): 404,
    ("GET /v1/companies/{company_id}/crm-resets", "other-company"): 404,
}


async def _prepare(wire: Wire) -> dict[str, str]:
    """One of each thing, of the first seller and company."""
    ping = await wire.call("POST", "/v1/ping", PING)
    campaign = await wire.call("POST", "/v1/campaigns", CAMPAIGN, key="company")
    contract = await wire.call("POST", "/v1/contracts", CONTRACT, key="operator")
    await wire.call("POST", "/v1/companies/company-1/crm-resets", key="company")
    return {
        "ping_id": ping.json["ping_id"],
        "campaign_id": campaign.json["campaign_id"],
        "contract_id": contract.json["contract_id"],
        "lead_id": "lead-1",
        "seller_id": "seller-1",
        "company_id": "company-1",
        "reset_id": "reset-1",
        "rejection_id": "rejection-1",
        "dispute_id": "dispute-1",
        "alert_id": "alert-2",
        "report": "weekly-summary",
    }


@pytest.mark.parametrize("caller", CALLERS, ids=str)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.label)
async def test_each_call_answers_its_roles_only(
    wire: Wire, route: Route, caller: str | None
) -> None:
    path = route.path.format(**await _prepare(wire))
    body = BODIES[route.body.__name__] if route.body is not None else None
    raw = b"+14155550101" if route.streamed else None
    answer = await wire.call(route.method, path, body, key=caller, raw=raw)
    if not route.roles:
        expected = route.status
    elif caller not in ROLE_OF:
        expected = 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    elif ROLE_OF[caller] not in route.roles:
        expected = 403
    else:
        expected = ANOTHERS.get((route.label, caller), route.status)
    assert answer.status == expected, answer.body


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.label)
async def test_another_method_is_405_with_those_allowed(wire: Wire, route: Route) -> None:
    path = route.path.format(**await _prepare(wire))
    answer = await wire.call("TRACE", path, key="operator")
    assert answer.status == 405
    assert route.method in answer.headers["Allow"].split(", ")


async def test_a_parameter_no_call_knows_is_refused_before_anything_is_done(wire: Wire) -> None:
    ids = await _prepare(wire)
    for route in [route for route in ROUTES if route.roles]:
        body = BODIES[route.body.__name__] if route.body is not None else None
        raw = b"+14155550101" if route.streamed else None
        path, key = f"{route.path.format(**ids)}?dryrun=true", min(route.roles)
        answer = await wire.call(route.method, path, body, key=key, raw=raw)
        assert (answer.status, answer.json["field"]) == (422, "dryrun"), route.label
    assert (len(wire.doors.pings), wire.doors.posts, wire.doors.listed.lists) == (1, [], {})
    assert list(wire.doors.accounts.records) == [ids["campaign_id"]]


async def test_a_parameter_that_is_given_twice_is_refused(wire: Wire) -> None:
    answer = await wire.call("GET", "/v1/leads?limit=2&limit=3", key="company")
    assert (answer.status, answer.json["detail"]) == (422, "limit is given twice.")


async def test_what_probes_and_scrapers_add_to_their_calls_is_let_through(wire: Wire) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/"):
        assert (await wire.call("GET", f"{path}?at=5", key=None)).status == 200


@pytest.mark.parametrize("path", ["/v1", "/v1/ping/", "/v2/ping", "/v1/pings/a/b", "//", "/%00"])
async def test_an_unknown_path_is_404(wire: Wire, path: str) -> None:
    answer = await wire.call("GET", path, key=None)
    assert (answer.status, answer.json["code"]) == (404, "not_found")


@pytest.mark.parametrize("value", ["a%20b", "%00", "x" * 65, "a.b", "..%2f..", "é"])
async def test_what_cannot_be_an_id_is_404(wire: Wire, value: str) -> None:
    assert (await wire.call("GET", f"/v1/pings/{value}")).status == 404


async def test_head_is_get_without_its_body(wire: Wire) -> None:
    answer = await wire.call("HEAD", "/healthz", key=None)
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    "header",
    ["key-of-seller", "Basic key-of-seller", "Bearer", "Bearer a b", "Bearer " + "x" * 600],
)
async def test_only_a_bearer_key_is_a_key(wire: Wire, header: str) -> None:
    answer = await wire.call("GET", "/v1/verticals", key=None, headers={"Authorization": header})
    assert answer.status == 401


async def _document(wire: Wire) -> Any:
    return (await wire.call("GET", "/openapi.json", key=None)).json


async def test_the_document_is_valid_openapi(wire: Wire) -> None:
    OpenAPIV31SpecValidator(await _document(wire)).validate()


async def test_the_document_has_every_route_and_no_other(wire: Wire) -> None:
    paths = (await _document(wire))["paths"]
    told = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}
    assert told == {route.label for route in ROUTES}
    for route in ROUTES:
        operation = paths[route.path][route.method.lower()]
        assert ("security" in operation) == bool(route.roles)
        assert ("requestBody" in operation) == (route.body is not None or bool(route.streamed))
        expected = {str(status) for status in fault_statuses(route) | {route.status}}
        assert set(operation["responses"]) == expected


async def test_the_document_describes_each_verticals_attributes(wire: Wire) -> None:
    schemas = (await _document(wire))["components"]["schemas"]
    refs = schemas["PingBody"]["properties"]["attributes"]["anyOf"]
    assert [ref["$ref"].rpartition("/")[2] for ref in refs] == [
        "SolarAttributes",
        "RoofingAttributes",
    ]
    score = schemas["SolarAttributes"]["properties"]["credit_score"]
    assert (score["minimum"], score["maximum"]) == (300, 850)
    assert schemas["OfferAnswer"]["properties"]["price"]["type"] == "number"
    assert schemas["PingBody"]["properties"]["min_price"]["type"] == ["number", "string"]


async def test_every_call_says_who_may_make_it_and_how(wire: Wire) -> None:
    paths = (await _document(wire))["paths"]
    assert paths["/v1/reviews"]["get"]["description"].startswith("For an operator. At most `limit`")
    assert paths["/v1/contracts"]["get"]["description"].startswith(
        "For a company, an operator or a seller."
    )
    assert paths["/healthz"]["get"]["description"] == "For anybody, without a key."
    for route in ROUTES:
        told = paths[route.path][route.method.lower()]["description"]
        assert ("Idempotency-Key" in told, "form" in told) == (route.keyed, route.forms)


async def test_operations_have_names_of_their_own(wire: Wire) -> None:
    paths = (await _document(wire))["paths"]
    names = [operation["operationId"] for item in paths.values() for operation in item.values()]
    assert len(set(names)) == len(names)


async def test_the_index_names_the_document(wire: Wire) -> None:
    answer = (await wire.call("GET", "/", key=None)).json
    assert answer["document"] == "/openapi.json"
    assert "POST /v1/ping" in answer["calls"]
