"""A ping on the wire: what is taken, what is refused with which field, and what is answered."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from exchange.core.reasons import Reason
from exchange.flow.faults import Unavailable
from tests.web.bodies import PHONE_HASH, PING, REMOVE, changed
from tests.web.conftest import HASH_KEY, Wire
from tests.web.doubles import NOW


async def test_the_printed_ping_is_answered_with_an_offer_to_the_cent(wire: Wire) -> None:
    answer = await wire.call("POST", "/v1/ping", PING)
    ping_id = answer.json["ping_id"]
    assert answer.status == 200
    assert answer.body.decode() == (
        f'{{"ping_id":"{ping_id}","status":"offer","price":38.89,"currency":"USD",'
        f'"mode":"exclusive","legs":[{{"leg_id":"{ping_id}-1","price":38.89}}],'
        '"expires_at":"2026-11-21T22:45:00Z"}'
    )


async def test_a_ping_reaches_the_flow_with_hashes_keyed_and_money_in_cents(wire: Wire) -> None:
    await wire.call("POST", "/v1/ping", PING)
    ping = wire.doors.pings[0]
    key = hashlib.blake2b(f"phone:{PHONE_HASH}".encode(), key=HASH_KEY, digest_size=32).hexdigest()
    assert ping.seller_id == "seller-1"
    assert ping.min_price_cents == 1_200
    assert ping.contact_hashes["phone"] == key and set(ping.contact_hashes) == {"phone", "email"}
    assert key in ping.contact_keys and len(ping.contact_keys) == 2
    assert PHONE_HASH not in str(ping)
    assert ping.captured_at == datetime(2026, 11, 21, 22, 35, 8, tzinfo=UTC)
    assert ping.timeout_ms == 400
    assert re.fullmatch("[0-9a-f-]{36}", ping.ping_id) and ping.ping_id[14] == "7"


async def test_only_vertical_and_its_required_attributes_are_needed(wire: Wire) -> None:
    body = {"vertical": "solar", "attributes": {"zip": "94107", "state": "CA"}}
    assert (await wire.call("POST", "/v1/ping", body)).status == 200
    ping = wire.doors.pings[0]
    assert (ping.captured_at, ping.max_buyers, ping.min_price_cents) == (NOW, 1, 0)
    assert (ping.timeout_ms, ping.cascade, ping.contact_keys) == (500, "promised", ())


async def test_a_shared_offer_prices_its_legs_and_their_sum(wire: Wire) -> None:
    wire.doors.legs_cents = (3_000, 2_000)
    answer = await wire.call("POST", "/v1/ping", changed(PING, "max_buyers", 2))
    assert b'"price":50.00,"currency":"USD","mode":"shared"' in answer.body
    assert b'"price":30.00}' in answer.body and b'"price":20.00}' in answer.body


async def test_no_offer_says_why_and_counts_the_reasons(wire: Wire) -> None:
    wire.doors.legs_cents = ()
    answer = await wire.call("POST", "/v1/ping", PING)
    assert answer.json == {
        "ping_id": answer.json["ping_id"],
        "status": "no_offer",
        "reason": {"code": "no_bid", "message": Reason.NO_BID.message},
        "reasons": {"filter": 41, "schedule": 2, "outbid": 1},
    }


async def test_a_refused_ping_says_its_reason_and_category(wire: Wire) -> None:
    wire.doors.refusal = Reason.DUPLICATE
    answer = await wire.call("POST", "/v1/ping", PING)
    assert answer.json == {
        "ping_id": answer.json["ping_id"],
        "status": "refused",
        "reason": {
            "code": "duplicate",
            "category": "quality",
            "message": Reason.DUPLICATE.message,
        },
    }


REFUSED: list[tuple[str, object, str, str]] = [
    ("vertical", "boats", "vertical", "unknown_vertical"),
    ("vertical", REMOVE, "vertical", "missing_field"),
    ("vertical", 7, "vertical", "invalid"),
    ("attributes", REMOVE, "attributes", "missing_field"),
    ("attributes", None, "attributes", "invalid"),
    ("attributes", [], "attributes", "invalid"),
    ("attributes.zip", REMOVE, "attributes.zip", "missing_field"),
    ("attributes.zip", "9410", "attributes.zip", "invalid"),
    ("attributes.zip", 94107, "attributes.zip", "invalid"),
    ("attributes.state", "XX", "attributes.state", "invalid"),
    ("attributes.credit_score", 851, "attributes.credit_score", "invalid"),
    ("attributes.credit_score", "710", "attributes.credit_score", "invalid"),
    ("attributes.credit_score", 710.5, "attributes.credit_score", "invalid"),
    ("attributes.owns_home", "yes", "attributes.owns_home", "invalid"),
    ("attributes.panels", 2**60, "attributes.panels", "invalid"),
    ("attributes.area", 2**60, "attributes.area", "invalid"),
    ("attributes.height", 3, "attributes.height", "unknown_field"),
    ("attributes.remarks", "call 415-555-0100", "attributes.remarks", "contact_in_clear"),
    ("attributes.remarks", "ann@example.com", "attributes.remarks", "contact_in_clear"),
    ("attributes.phone", "x", "attributes.phone", "contact_in_clear"),
    ("phone", "+14155550100", "phone", "contact_in_clear"),
    ("firstName", "Ann", "firstName", "contact_in_clear"),
    ("contact", {"first_name": "Ann"}, "contact", "contact_in_clear"),
    ("source.sub_id", "4155550100", "source.sub_id", "contact_in_clear"),
    ("consent.text", "I am ann@example.com", "consent.text", "contact_in_clear"),
    ("consent.url", "https://c.example/?e=a@b.example", "consent.url", "contact_in_clear"),
    ("consent.url", "https://c.example/?e=a%40b.example", "consent.url", "contact_in_clear"),
    ("source.sub_id", "ann%40example.com", "source.sub_id", "contact_in_clear"),
    ("source", {"ann@example.com": "x"}, "source.ann@example.com", "contact_in_clear"),
    ("colour", "red", "colour", "unknown_field"),
    ("contact_hashes.fax", "a" * 64, "contact_hashes.fax", "unknown_field"),
    ("contact_hashes.phone", "a" * 63, "contact_hashes.phone", "invalid"),
    ("contact_hashes.phone", "a" * 64 + "\n", "contact_hashes.phone", "invalid"),
    ("contact_hashes.email", "g" * 64, "contact_hashes.email", "invalid"),
    ("captured_at", "yesterday", "captured_at", "invalid"),
    ("captured_at", "2026-11-21T22:35:08", "captured_at", "invalid"),
    ("captured_at", 1_700_000_000, "captured_at", "invalid"),
    ("captured_at", "2026-11-21T22:45:01Z", "captured_at", "clock_off"),
    ("captured_at", "2025-11-21T22:39:59Z", "captured_at", "clock_off"),
    ("captured_at", "9999-12-31T23:59:59-12:00", "captured_at", "clock_off"),
    ("captured_at", "0001-01-01T00:00:00+12:00", "captured_at", "clock_off"),
    ("source", {str(n): "x" for n in range(11)}, "source", "invalid"),
    ("source.sub_id", "x" * 101, "source", "invalid"),
    ("source.sub_id", 7, "source", "invalid"),
    ("consent.text", "x" * 501, "consent", "invalid"),
    ("max_buyers", 0, "max_buyers", "invalid"),
    ("max_buyers", 6, "max_buyers", "invalid"),
    ("max_buyers", 1.5, "max_buyers", "invalid"),
    ("max_buyers", True, "max_buyers", "invalid"),
    ("min_price", -1, "min_price", "invalid"),
    ("min_price", 12.345, "min_price", "invalid"),
    ("min_price", "NaN", "min_price", "invalid"),
    ("min_price", "Infinity", "min_price", "invalid"),
    ("min_price", "twelve", "min_price", "invalid"),
    ("min_price", 1e300, "min_price", "invalid"),
    ("min_price", True, "min_price", "invalid"),
    ("timeout_ms", 49, "timeout_ms", "invalid"),
    ("timeout_ms", 5_001, "timeout_ms", "invalid"),
    ("cascade", "lowest", "cascade", "invalid"),
    ("test", 1, "test", "invalid"),
]


@pytest.mark.parametrize(
    ("path", "value", "field", "code"), REFUSED, ids=[f"{r[0]}={r[1]!r:.25}" for r in REFUSED]
)
async def test_a_wrong_ping_is_refused_with_the_field_named(
    wire: Wire, path: str, value: object, field: str, code: str
) -> None:
    answer = await wire.call("POST", "/v1/ping", changed(PING, path, value))
    assert (answer.status, answer.json["field"], answer.json["code"]) == (422, field, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert wire.doors.pings == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("min_price", "12.50"),
        ("min_price", 0),
        ("captured_at", "2026-11-21T14:35:08-08:00"),
        ("captured_at", None),
        ("contact_hashes.phone", "A" * 64),
        ("source.click", "120208411234560123"),
        ("source.click", "12345678-1234-4123-8123-123456789012"),
        ("consent.ip", "192.168.100.200"),
        ("consent.at", "2026-11-21 22:35:08"),
        ("consent.url", "https://cert.example/4155550100"),
        ("consent.url", "https://cert.example/@roofs/4155550100?at=@noon&v=1%402"),
        ("cascade", "min_price"),
        ("max_buyers", 5),
        ("test", True),
    ],
    ids=str,
)
async def test_what_the_contract_allows_is_taken(wire: Wire, path: str, value: object) -> None:
    answer = await wire.call("POST", "/v1/ping", changed(PING, path, value))
    assert answer.status == 200, answer.body


async def test_an_elided_money_string_is_read_to_the_cent(wire: Wire) -> None:
    await wire.call("POST", "/v1/ping", changed(PING, "min_price", "12.50"))
    assert wire.doors.pings[0].min_price_cents == 1_250


FORM = {
    "vertical": "solar",
    "zip": "94107",
    "attributes[state]": "CA",
    "attributes.credit_score": "710",
    "owns_home": "true",
    "monthly_bill": "150",
    "contact_hashes.phone": PHONE_HASH,
    "contact_hashes[email]": "B" * 64,
    "captured_at": "2026-11-21T22:35:08Z",
    "source[sub_id]": "fb-123",
    "consent.trustedform_url": "https://…",
    "max_buyers": "1",
    "min_price": "12.00",
    "timeout_ms": "400",
    "test": "false",
    "roof": "",
}


async def test_a_form_is_the_same_ping_as_its_json(wire: Wire) -> None:
    as_json = await wire.call("POST", "/v1/ping", PING)
    as_form = await wire.form("/v1/ping", urlencode(FORM))
    assert (as_json.status, as_form.status) == (200, 200), as_form.body
    one, other = wire.doors.pings
    assert replace(one, ping_id=other.ping_id) == other


async def test_a_forms_decimal_is_read_as_a_number(wire: Wire) -> None:
    for text, number in (("150", 150), ("150.50", 150.5), ("-0.25", -0.25)):
        await wire.form("/v1/ping", f"vertical=solar&zip=94107&state=CA&area={text}")
        assert getattr(wire.doors.pings[-1].attributes, "area") == number  # noqa: B009 - made at run time


@pytest.mark.parametrize(
    ("form", "status", "field"),
    [
        ("vertical=solar&zip=94107&state=CA&phone=4155550100", 422, "phone"),
        ("vertical=solar&zip=94107&zip=94108&state=CA", 422, "attributes.zip"),
        ("vertical=solar&zip=94107&state=CA&credit_score=high", 422, "attributes.credit_score"),
        ("vertical=solar&zip=94107&state=CA&colour=red", 422, "colour"),
        ("vertical=solar&a.b.c.d=1", 422, "a.b.c.d"),
        ("source=x&source.a=y", 422, "source.a"),
        ("source.a=y&source=x", 422, "source"),
        ("vertical=solar&attributes=zip", 422, "attributes"),
        ("vertical=%ff", 400, None),
        ("vertical=%00", 422, None),
        ("nonsense", 400, None),
        ("", 422, "vertical"),
        ("&".join(f"a{n}=1" for n in range(301)), 400, None),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_wrong_form_is_refused(
    wire: Wire, form: str, status: int, field: str | None
) -> None:
    answer = await wire.form("/v1/ping", form)
    assert (answer.status, answer.json.get("field")) == (status, field)


async def test_json_sent_under_the_form_type_is_taken_as_json(wire: Wire) -> None:
    answer = await wire.form(
        "/v1/ping", '{"vertical":"solar","attributes":{"zip":"94107","state":"CA"}}'
    )
    assert answer.status == 200


async def test_a_store_that_is_away_is_503_with_retry_after(wire: Wire) -> None:
    wire.doors.fault = Unavailable("redis is away", retry_after_s=3)
    answer = await wire.call("POST", "/v1/ping", PING)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "3")


async def test_an_unexpected_failure_tells_an_incident_and_logs_no_data(wire: Wire) -> None:
    wire.doors.fault = RuntimeError("secret 94107")
    answer = await wire.call("POST", "/v1/ping", PING)
    assert answer.status == 500
    (event, facts), *others = wire.log.lines
    assert not others and facts["incident"] == answer.json["incident"]
    assert (event, facts["route"], facts["error"]) == (
        "request failed",
        "POST /v1/ping",
        "RuntimeError",
    )
    assert "94107" not in str(facts) and b"94107" not in answer.body
    assert b'exchange_http_incidents_total{route="POST /v1/ping"} 1.0' in wire.metrics.write()


async def test_a_receipt_shows_its_seller_no_company_and_an_operator_all(wire: Wire) -> None:
    ping_id = (await wire.call("POST", "/v1/ping", PING)).json["ping_id"]
    path = f"/v1/pings/{ping_id}"
    own = await wire.call("GET", path)
    assert own.status == 200 and own.json["price"] == 38.89
    assert b"company" not in own.body and "candidates" not in own.json
    whole = (await wire.call("GET", path, key="operator")).json
    assert whole["candidates"][0] == {
        "campaign_id": "campaign-1",
        "company_id": "company-1",
        "outcome": "won",
        "base": 50.00,
        "overall_pct": 8.50,
        "overall_ratio": "85/1000",
        "rectified": 45.75,
        "charged": 45.75,
        "rank": 1,
        "share": 1,
        "draw": 7,
    }
    assert whole["candidates"][1]["reason"] == "crm_gate"
    assert (await wire.call("GET", path, key="other-seller")).status == 404


async def test_a_ping_is_counted_by_outcome_and_stage(wire: Wire) -> None:
    await wire.call("POST", "/v1/ping", PING)
    written = (await wire.call("GET", "/metrics", key=None)).body.decode()
    for line in (
        'exchange_pings_total{outcome="offer",vertical="solar"} 1.0',
        'exchange_bids_total{outcome="won"} 1.0',
        'exchange_bids_total{outcome="no_bid"} 43.0',
        'exchange_bids_total{outcome="lost"} 1.0',
        'exchange_stage_seconds_count{call="ping",stage="auction"} 1.0',
        'exchange_http_requests_total{route="POST /v1/ping",status="200"} 1.0',
        "exchange_http_in_flight 1.0",
    ):
        assert line in written


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
_paths = st.sampled_from(
    [
        *PING,
        *(f"attributes.{name}" for name in ("zip", "state", "credit_score", "remarks", "panels")),
        "contact_hashes.phone",
        "source.a",
        "consent.b",
        "extra",
    ]
)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    changes=st.lists(st.tuples(_paths, _json), min_size=1, max_size=3), noise=st.binary(max_size=40)
)
async def test_no_body_makes_a_ping_fail(
    wire: Wire, changes: list[tuple[str, Any]], noise: bytes
) -> None:
    body = PING
    for path, value in changes:
        try:
            body = changed(body, path, value)
        except (AttributeError, TypeError, ValueError, KeyError, IndexError):
            continue
    text = json.dumps(body).encode("utf-8", "surrogatepass")
    json_type = {"Content-Type": "application/json"}
    form_type = {"Content-Type": "application/x-www-form-urlencoded"}
    for raw, headers in (
        (text, json_type),
        (text[: len(text) // 2] + noise, json_type),
        (noise, json_type),
        (b"vertical=solar&" + noise, form_type),
    ):
        answer = await wire.call("POST", "/v1/ping", raw=raw, headers=headers)
        assert answer.status in (200, 400, 422), (raw, answer.body)


async def test_a_capture_time_at_either_bound_is_taken(wire: Wire) -> None:
    for age in (timedelta(seconds=-300), timedelta(days=365)):
        moment = (NOW - age).isoformat()
        assert (
            await wire.call("POST", "/v1/ping", changed(PING, "captured_at", moment))
        ).status == 200


async def test_an_email_address_in_a_certificates_address_is_told_as_what_it_is(wire: Wire) -> None:
    ping = changed(PING, "consent", {"page": "https://c.example/?e=a%40b.example"})
    told = (await wire.call("POST", "/v1/ping", ping)).json["detail"]
    assert told == "consent.page has what looks like an email address in it; send it without."
