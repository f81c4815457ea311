"""A lead's score goes to bidders and companies, its proof of consent to who bought it (§3.1)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from msgspec.structs import replace

from bidders.kit.wire import Lead as KitLead
from bidders.kit.wire import Ping as KitPing
from exchange.buyers.bid_wire import PingWriter
from exchange.buyers.courier import encode_parcel
from exchange.buyers.lead_fields import Allowed, FieldFault, post_values
from exchange.buyers.letters import list_fields
from exchange.buyers.mapping import compile_mapping
from exchange.buyers.templates import compile_template
from exchange.core.model import CampaignId, DeliveryId, LeadId
from exchange.flow.ports import Contact, Parcel
from tests.buyers.speaking import asked, question, remote

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
CONSENT = {"trustedform_url": "https://cert.trustedform.com/1", "text": "I agree\nto all"}
POST = Allowed("post", None, frozenset())


def parcel(**changes: Any) -> Parcel:
    values: dict[str, Any] = {
        "delivery_id": DeliveryId("d-1"),
        "lead_id": LeadId("l-1"),
        "campaign_id": CampaignId("c-1"),
        "vertical": "solar",
        "price_cents": 45_75,
        "attributes": Raw(b'{"zip":"94107"}'),
        "contact": Contact(first_name="Ann", last_name="Lee", phone="+14155551234"),
        "test": False,
        "consent": CONSENT,
        "quality_score": 60,
    }
    return Parcel(**(values | changes))


def test_a_companys_system_is_sent_consent_and_score() -> None:
    body = json.loads(encode_parcel(parcel()))
    assert (body["consent"], body["quality_score"]) == (CONSENT, 60)


def test_a_lead_without_consent_or_flaw_is_sent_as_before() -> None:
    body = json.loads(encode_parcel(parcel(consent={}, quality_score=100)))
    assert "consent" not in body and "quality_score" not in body


def test_a_mapping_and_a_template_may_name_them_on_a_post() -> None:
    values = post_values(parcel(), {}, NOW)
    write = compile_mapping(
        {"cert": "consent.trustedform_url", "none": "consent.jornaya", "q": "quality_score"}, POST
    )
    assert write(values) == {"cert": CONSENT["trustedform_url"], "q": 60}
    template = compile_template("{{ consent.trustedform_url }} {{ quality_score }}", "text", POST)
    assert template.render(values) == f"{CONSENT['trustedform_url']} 60"


@pytest.mark.parametrize("field", ["consent", "consent.", "consent.a.b", "consent.a b"])
def test_a_part_of_consent_is_named_by_its_name(field: str) -> None:
    with pytest.raises(FieldFault):
        POST.check(field)


def test_no_ping_names_consent_whose_page_may_show_who_gave_it() -> None:
    on_ping = Allowed("ping", None, frozenset())
    on_ping.check("quality_score")
    with pytest.raises(FieldFault):
        on_ping.check("consent.trustedform_url")


def test_a_mail_lists_consent_one_line_a_part() -> None:
    text = list_fields(post_values(parcel(), {}, NOW))
    assert "consent trustedform_url: https://cert.trustedform.com/1\n" in text
    assert "consent text: I agree to all\n" in text


@pytest.mark.parametrize(("score", "said"), [(100, None), (60, 60)])
def test_a_bidder_is_told_a_score_that_is_not_the_best(score: int, said: int | None) -> None:
    one = replace(question(), quality_score=score)
    body = json.loads(PingWriter().write(one, asked(remote()), 300))
    assert body.get("quality_score") == said and "consent" not in body


def test_the_bidders_kit_reads_what_is_sent() -> None:
    lead = msgspec.json.decode(encode_parcel(parcel()), type=KitLead)
    assert (lead.consent, lead.quality_score) == (CONSENT, 60)
    one = replace(question(), quality_score=60)
    ping = msgspec.json.decode(PingWriter().write(one, asked(remote()), 300), type=KitPing)
    assert ping.quality_score == 60
