"""A post on the wire: contact and key as they are read, and what became of the lead."""

from __future__ import annotations

import hashlib
from urllib.parse import urlencode

import pytest
from msgspec.structs import replace

from exchange.core.reasons import Reason
from exchange.flow.faults import Conflict, Fault, Forbidden, Gone, Invalid, NotFound, Unavailable
from exchange.web.contacts import key_hashes
from tests.web.bodies import POST, REMOVE, changed
from tests.web.conftest import HASH_KEY, Wire


async def test_a_sold_post_says_the_price_of_every_leg(wire: Wire) -> None:
    answer = await wire.call("POST", "/v1/post", POST)
    ping_id = POST["ping_id"]
    assert answer.status == 200
    assert answer.body.decode() == (
        f'{{"ping_id":"{ping_id}","status":"sold","lead_id":"lead-9","price":38.89,'
        f'"legs":[{{"leg_id":"{ping_id}-1","status":"sold","price":38.89}}]}}'
    )


async def test_an_unsold_post_says_why(wire: Wire) -> None:
    wire.doors.refusal = Reason.COMPANY_REFUSED
    answer = (await wire.call("POST", "/v1/post", POST)).json
    assert answer["status"] == "unsold" and answer["reason"]["code"] == "company_refused"
    assert "price" not in answer
    assert answer["legs"][0]["reason"]["code"] == "company_refused"


async def test_contact_is_hashed_as_e164_and_lower_case(wire: Wire) -> None:
    await wire.call("POST", "/v1/post", POST)
    request = wire.doors.posts[0]
    hashes = {
        "phone": hashlib.sha256(b"+14155550100").hexdigest(),
        "email": hashlib.sha256(b"ann@example.com").hexdigest(),
    }
    assert request.contact_hashes == key_hashes(hashes, HASH_KEY)
    assert set(request.contact_keys) == set(request.contact_hashes.values())
    assert request.contact.email == "Ann@Example.com"
    assert request.attributes == POST["attributes"]


async def test_a_post_has_the_contact_keys_of_its_ping(wire: Wire) -> None:
    await wire.call("POST", "/v1/post", POST)
    request = wire.doors.posts[0]
    ping = {
        "vertical": "solar",
        "attributes": {"zip": "94107", "state": "CA"},
        "contact_hashes": {
            "phone": hashlib.sha256(b"+14155550100").hexdigest(),
            "email": hashlib.sha256(b"ann@example.com").hexdigest(),
        },
    }
    await wire.call("POST", "/v1/ping", ping)
    assert wire.doors.pings[0].contact_hashes == request.contact_hashes
    assert set(wire.doors.pings[0].contact_keys) == set(request.contact_keys)


async def test_the_ping_is_the_idempotency_key_unless_one_is_given(wire: Wire) -> None:
    await wire.call("POST", "/v1/post", POST)
    await wire.call("POST", "/v1/post", POST, headers={"Idempotency-Key": "order-7"})
    assert [p.idempotency_key for p in wire.doors.posts] == [POST["ping_id"], "order-7"]


@pytest.mark.parametrize("key", ["", "x" * 201, "two words", "é"])
async def test_an_idempotency_key_has_1_to_200_visible_characters(wire: Wire, key: str) -> None:
    answer = await wire.call("POST", "/v1/post", POST, headers={"Idempotency-Key": key})
    assert (answer.status, answer.json["field"]) == (422, "Idempotency-Key")


async def test_spacing_order_and_form_do_not_change_what_a_post_says(wire: Wire) -> None:
    await wire.call("POST", "/v1/post", POST)
    reordered = dict(reversed(list(changed(POST, "attributes.monthly_bill", 150.0).items())))
    await wire.call("POST", "/v1/post", reordered)
    form = {
        "ping_id": POST["ping_id"],
        "attributes[zip]": "94107",
        "credit_score": "710",
        "owns_home": "1",
        "monthly_bill": "150.0",
        "first_name": "Ann",
        "contact.last_name": "Lee",
        "contact[phone]": "(415) 555-0100",
        "email": "Ann@Example.com",
        "address": "1 Main St",
    }
    answer = await wire.form("/v1/post", urlencode(form))
    assert answer.status == 200, answer.body
    first, second, third = wire.doors.posts
    assert first.body_hash == second.body_hash == third.body_hash
    assert replace(third, attributes=first.attributes) == first


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("contact.first_name", "Anne"),
        ("contact.phone", "+14155550101"),
        ("contact.address", REMOVE),
        ("attributes.zip", "94108"),
        ("attributes.owns_home", 1),
        ("attributes", REMOVE),
    ],
    ids=str,
)
async def test_another_body_has_another_hash(wire: Wire, path: str, value: object) -> None:
    await wire.call("POST", "/v1/post", POST)
    await wire.call("POST", "/v1/post", changed(POST, path, value))
    assert wire.doors.posts[0].body_hash != wire.doors.posts[1].body_hash


@pytest.mark.parametrize(
    ("path", "value", "status", "field", "code"),
    [
        ("ping_id", REMOVE, 422, "ping_id", "missing_field"),
        ("ping_id", "no/id", 404, "ping_id", "offer_unknown"),
        ("ping_id", "x" * 65, 422, "ping_id", "invalid"),
        ("contact", REMOVE, 422, "contact", "missing_field"),
        ("contact.last_name", REMOVE, 422, "contact.last_name", "missing_field"),
        ("contact.first_name", "  ", 422, "contact.first_name", "invalid"),
        ("contact.first_name", "x" * 101, 422, "contact.first_name", "invalid"),
        ("contact.phone", "12", 422, "contact.phone", "invalid"),
        ("contact.phone", "not a phone", 422, "contact.phone", "invalid"),
        ("contact.email", "ann@", 422, "contact.email", "invalid"),
        ("contact.email", "ann example.com", 422, "contact.email", "invalid"),
        ("contact.ssn", "1", 422, "contact.ssn", "unknown_field"),
        ("contact.address", {"city": 7}, 422, "contact.address", "invalid"),
        ("attributes.zip", None, 422, "attributes", "invalid"),
        ("attributes.zip", ["94107"], 422, "attributes", "invalid"),
        ("attributes.credit_score", 2**70, 422, "attributes.credit_score", "invalid"),
        ("price", 3, 422, "price", "unknown_field"),
    ],
    ids=str,
)
async def test_a_wrong_post_is_refused_with_the_field_named(
    wire: Wire, path: str, value: object, status: int, field: str, code: str
) -> None:
    answer = await wire.call("POST", "/v1/post", changed(POST, path, value))
    assert (answer.status, answer.json["field"], answer.json["code"]) == (status, field, code)
    assert wire.doors.posts == []


async def test_a_contact_needs_a_phone_or_an_email(wire: Wire) -> None:
    body = changed(changed(POST, "contact.phone", None), "contact.email", " ")
    answer = await wire.call("POST", "/v1/post", body)
    assert (answer.status, answer.json["field"]) == (422, "contact")


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Invalid("x", field="attributes.zip", code="attribute_changed"), 422),
        (NotFound("x", field="ping_id", code="offer_unknown"), 404),
        (Forbidden("x"), 403),
        (Conflict("x", code="posted_before"), 409),
        (Gone("x", field="ping_id", code="offer_expired"), 410),
        (Unavailable("x", retry_after_s=2), 503),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_every_fault_is_a_problem_with_its_code(
    wire: Wire, fault: Fault, status: int
) -> None:
    wire.doors.fault = fault
    answer = await wire.call("POST", "/v1/post", POST)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json
    assert problem["code"] == fault.code and problem.get("field") == fault.field
    assert problem["status"] == status and problem["title"] and problem["type"].startswith("urn:")


async def test_posts_are_counted_expired_ones_too(wire: Wire) -> None:
    await wire.call("POST", "/v1/post", POST)
    wire.doors.fault = Gone("late", code="offer_expired")
    await wire.call("POST", "/v1/post", POST)
    written = wire.metrics.write()
    assert b'exchange_posts_total{status="sold"} 1.0' in written
    assert b'exchange_posts_total{status="expired"} 1.0' in written
