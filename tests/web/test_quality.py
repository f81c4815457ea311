"""A lead's quality on the wire: what is wrong with it, what a campaign demands, what is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from exchange.core.model import LeadId, Offer, PingId, SellerId
from exchange.core.quality.flaws import flaw
from exchange.core.reasons import Reason
from exchange.flow.faults import Invalid
from exchange.flow.ports import Receipt
from exchange.flow.registry import PostedOffer
from tests.web.bodies import CAMPAIGN, PING, POST, REMOVE, changed
from tests.web.conftest import Wire
from tests.web.doubles import NOW

ODD = flaw("zip_state", "ZIP codes from 941 are of CA, not TX.")
SHOWN = {"check": "zip_state", "points": 40, "message": ODD.message}
REQUIRES = {"min_score": 70, "consent": ["trustedform_url"], "phone_valid": True}


def offer(**changes: Any) -> Offer:
    values: dict[str, Any] = {
        "ping_id": PingId("ping-1"),
        "seller_id": SellerId("seller-1"),
        "vertical": "solar",
        "attributes": Raw(b"{}"),
        "contact_hashes": {},
        "source": {},
        "share": 1,
        "legs_cents": (38_89,),
        "ranks": (),
        "min_price_cents": 0,
        "cascade": "promised",
        "take_rate_bp": 1_500,
        "test": False,
        "captured_at": NOW,
        "decided_at": NOW,
        "expires_at": NOW + timedelta(minutes=5),
        "consent": {"trustedform_url": "https://cert.trustedform.com/1"},
        "quality_score": 60,
        "flaws": (ODD,),
    }
    return Offer(**(values | changes))


def receipt(**changes: Any) -> Receipt:
    one = offer()
    values: dict[str, Any] = {
        "ping_id": one.ping_id,
        "seller_id": one.seller_id,
        "vertical": one.vertical,
        "attributes": one.attributes,
        "status": "no_offer",
        "decided_at": NOW,
        "quality_score": 60,
        "flaws": (ODD,),
    }
    return Receipt(**(values | changes))


async def test_a_seller_reads_what_a_ping_was_refused_for(wire: Wire) -> None:
    wire.doors.refusal, wire.doors.flaws = Reason.PLACE_MISMATCH, (ODD,)
    answer = (await wire.call("POST", "/v1/ping", PING)).json
    assert answer["reason"]["code"] == "place_mismatch"
    assert answer["reason"]["category"] == "quality"
    assert answer["quality"] == {"score": 60, "flaws": [SHOWN]}
    seen = (await wire.call("GET", f"/v1/pings/{answer['ping_id']}")).json
    assert seen["quality"] == answer["quality"]


async def test_of_an_offer_the_operator_sees_the_quality_and_the_seller_does_not(
    wire: Wire,
) -> None:
    wire.doors.flaws = (ODD,)
    answer = (await wire.call("POST", "/v1/ping", PING)).json
    assert "quality" not in answer
    path = f"/v1/pings/{answer['ping_id']}"
    assert (await wire.call("GET", path)).json["quality"] is None
    whole = (await wire.call("GET", path, key="operator")).json
    assert whole["quality"] == {"score": 60, "flaws": [SHOWN]}


@pytest.mark.parametrize("test", [True, False])
async def test_a_test_is_marked_wherever_it_is_shown(wire: Wire, test: bool) -> None:
    pinged = (await wire.call("POST", "/v1/ping", changed(PING, "test", test))).json
    assert pinged.get("test", False) is test
    assert (await wire.call("GET", f"/v1/pings/{pinged['ping_id']}")).json["test"] is test


async def test_a_campaigns_demands_are_kept_as_they_were_given(wire: Wire) -> None:
    made = await wire.call(
        "POST", "/v1/campaigns", changed(CAMPAIGN, "requires", REQUIRES), key="company"
    )
    assert made.status == 201 and made.json["requires"] == REQUIRES
    campaign_id = made.json["campaign_id"]
    (record,) = wire.doors.accounts.records.values()
    assert record.campaign.requires is not None
    assert record.campaign.requires.min_score == 70
    path = f"/v1/campaigns/{campaign_id}"
    kept = (await wire.call("GET", path, key="company")).json
    assert (await wire.call("PUT", path, kept, key="company")).json["requires"] == REQUIRES


@pytest.mark.parametrize("given", [REMOVE, None, {}], ids=["left out", "null", "empty"])
async def test_a_campaign_that_demands_nothing_has_no_demands(wire: Wire, given: object) -> None:
    body = changed(CAMPAIGN, "requires", {}) if given is REMOVE else CAMPAIGN
    made = await wire.call("POST", "/v1/campaigns", changed(body, "requires", given), key="company")
    assert made.status == 201 and made.json["requires"] is None
    (record,) = wire.doors.accounts.records.values()
    assert record.campaign.requires is None


@pytest.mark.parametrize(
    ("requires", "field"),
    [
        ({"min_score": 101}, "requires.min_score"),
        ({"min_score": -1}, "requires.min_score"),
        ({"min_score": 70.5}, "requires.min_score"),
        ({"consent": ["a", "a"]}, "requires.consent"),
        ({"consent": [""]}, "requires.consent[0]"),
        ({"consent": ["x"] * 11}, "requires.consent"),
        ({"phone": True}, "requires.phone"),
        ({"phone_valid": "yes"}, "requires.phone_valid"),
    ],
)
async def test_a_demand_that_cannot_be_names_its_field(
    wire: Wire, requires: object, field: str
) -> None:
    body = changed(CAMPAIGN, "requires", requires)
    answer = await wire.call("POST", "/v1/campaigns", body, key="company")
    assert (answer.status, answer.json["field"]) == (422, field)


async def test_a_refused_contact_is_a_problem_with_its_flaws(wire: Wire) -> None:
    wire.doors.fault = Invalid(
        Reason.PHONE_INVALID.message,
        field="contact.phone",
        code="phone_invalid",
        details={"category": "quality", "score": 50, "flaws": [SHOWN]},
    )
    answer = await wire.call("POST", "/v1/post", POST)
    assert (answer.status, answer.json["code"]) == (422, "phone_invalid")
    assert answer.json["details"]["flaws"] == [SHOWN]


async def test_a_posts_phone_reaches_the_flow_in_e164(wire: Wire) -> None:
    await wire.call("POST", "/v1/post", POST)
    assert wire.doors.posts[0].phone == "+14155550100"


async def test_the_quality_of_a_posted_lead_and_its_consent_are_kept(wire: Wire) -> None:
    service = flaw("phone_service", "Area code 800 is toll-free.")
    one = offer(contact_flaws=(service,))
    wire.doors.kept_leads.posts[one.ping_id] = PostedOffer(lead_id=LeadId("lead-1"), offer=one)
    for key in ("seller", "operator"):
        answer = await wire.call("GET", "/v1/pings/ping-1/quality", key=key)
        assert answer.json == {
            "ping_id": "ping-1",
            "test": False,
            "score": 60,
            "flaws": [SHOWN],
            "consent": {"trustedform_url": "https://cert.trustedform.com/1"},
            "posted": {
                "lead_id": "lead-1",
                "score": 20,
                "flaws": [{"check": "phone_service", "points": 40, "message": service.message}],
            },
        }
    other = await wire.call("GET", "/v1/pings/ping-1/quality", key="other-seller")
    assert other.status == 404


@pytest.mark.parametrize("offered", [True, False])
async def test_the_quality_of_a_ping_that_was_not_posted_comes_from_its_receipt(
    wire: Wire, offered: bool
) -> None:
    wire.doors.receipts["ping-1"] = receipt(offer=offer() if offered else None)
    answer = (await wire.call("GET", "/v1/pings/ping-1/quality")).json
    assert (answer["score"], answer["flaws"], answer["posted"]) == (60, [SHOWN], None)
    assert bool(answer["consent"]) is offered
    other = await wire.call("GET", "/v1/pings/ping-1/quality", key="other-seller")
    assert other.status == 404


async def test_a_vertical_says_what_consent_it_demands(wire: Wire) -> None:
    items = (await wire.call("GET", "/v1/verticals")).json["items"]
    assert {item["name"]: item["consent"] for item in items}["solar"] is None


def test_the_offers_of_before_can_be_read() -> None:
    plain = offer(consent={}, quality_score=100, flaws=())
    written = msgspec.json.encode(plain)
    assert b"quality" not in written and b"consent" not in written and b"flaws" not in written
    assert msgspec.json.decode(written, type=Offer) == plain
