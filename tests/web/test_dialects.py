"""Dialects on the wire: refused with the place named, secrets never shown, tried out by a probe."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bidders.crm import crm_server
from exchange.buyers.sealing import is_sealed
from exchange.core.dialect import secrets_of
from exchange.core.model import Campaign
from tests.web.bodies import CAMPAIGN, changed
from tests.web.conftest import Wire

PATH = "/v1/campaigns"
URL = "https://bidder.example/ping"


def remote(**parts: Any) -> dict[str, Any]:
    """The campaign with a bidder of its own instead of prices."""
    return changed(CAMPAIGN, "bid", {"remote": {"url": URL, **parts}})


def delivery(**parts: Any) -> dict[str, Any]:
    """The campaign with one delivery."""
    return changed(CAMPAIGN, "delivery", [{"kind": "http", **parts}])


PING = {
    "fields": {"zip": "attributes.zip", "key": "secrets.key"},
    "auth": {"kind": "bearer", "token": "t0ken"},
    "answer": {"price": "bid", "token": "id"},
}
POST = {
    "format": "form",
    "fields": {"name": "contact.full_name", "token": "token"},
    "auth": {"kind": "hmac", "secret": "hm4c"},
    "answer": {
        "outcomes": [{"when": {"path": "ok", "equals": 1}, "then": "accepted"}],
        "reference": "id",
    },
}


async def test_a_remote_bidder_is_shown_as_it_was_given(wire: Wire) -> None:
    given = {
        "url": URL,
        "timeout_ms": 250,
        "max_price": 100.00,
        "max_per_s": 50,
        "shares": [1, 2],
        "simulate": True,
    }
    created = await wire.call("POST", PATH, remote(**given), key="company")
    assert created.status == 201, created.body
    assert created.json["bid"]["remote"] == given
    (record,) = wire.doors.accounts.records.values()
    bidder = record.campaign.bid.remote
    assert bidder is not None and bidder.max_price_cents == 100_00
    plain = await wire.call("POST", PATH, remote(), key="company")
    assert plain.json["bid"] == {"remote": {"url": URL}}


async def test_a_bidder_over_a_stream_is_dialled_at_a_ws_url(wire: Wire) -> None:
    body = remote(stream=True, url="wss://bidder.example/stream")
    assert (await wire.call("POST", PATH, body, key="company")).status == 201
    for given in ({}, {"url": "https://bidder.example/stream"}):
        body = changed(CAMPAIGN, "bid", {"remote": {"stream": True, **given}})
        refused = await wire.call("POST", PATH, body, key="company")
        assert (refused.status, refused.json["field"]) == (422, "bid.remote.url")


async def test_a_bidder_whose_preset_has_the_url_gets_it(wire: Wire) -> None:
    preset = {
        "name": "ping_post_xml",
        "params": {"campaign": "c", "url": "https://x.example/p?a=1"},
        "secrets": {"key": "k"},
    }
    body = changed(CAMPAIGN, "bid", {"remote": {"preset": preset}})
    answer = await wire.call("POST", PATH, body, key="company")
    assert answer.json["bid"]["remote"]["url"] == "https://x.example/p?a=1"


def _ping(**parts: Any) -> dict[str, Any]:
    return remote(dialect={"ping": parts})


def _post(**parts: Any) -> dict[str, Any]:
    return delivery(url="https://crm.example/", dialect={"post": {**POST, **parts}})


R, D = "bid.remote", "delivery[0]"
REFUSED: list[tuple[dict[str, Any], str]] = [
    (changed(remote(), "bid.exclusive", 5), "bid.exclusive"),
    (changed(remote(), "bid.shared", {"2": 5}), "bid.shared"),
    (changed(CAMPAIGN, "bid", {"remote": {}}), f"{R}.url"),
    (remote(url="ftp://x.example"), f"{R}.url"),
    (remote(url="wss://x.example"), f"{R}.url"),
    (remote(url="http://10.0.0.1/"), f"{R}.url"),
    (remote(url="ws://10.0.0.1/", stream=True), f"{R}.url"),
    (remote(shares=[0]), f"{R}.shares"),
    (remote(shares=[1, 1]), f"{R}.shares"),
    (remote(shares=[6]), f"{R}.shares"),
    (remote(max_price=0), f"{R}.max_price"),
    (remote(timeout_ms=1), f"{R}.timeout_ms"),
    (remote(stream=True, dialect={"ping": {}}), f"{R}.dialect"),
    (remote(preset="plain_json", dialect={"ping": {}}), f"{R}.preset"),
    (remote(preset="nope"), f"{R}.preset.name"),
    (remote(preset="ping_post_xml"), f"{R}.preset.params.campaign"),
    (remote(preset={"name": "plain_json", "params": {"x": "y"}}), f"{R}.preset.params.x"),
    (remote(dialect={"post": {}}), f"{R}.dialect.ping"),
    (remote(dialect={"ping": {}, "colour": 1}), f"{R}.dialect.colour"),
    (_ping(fields={"p": "contact.phone"}), f"{R}.dialect.ping.fields.p"),
    (_ping(template="{{ [contact.email] | tojson }}"), f"{R}.dialect.ping.template"),
    (_ping(fields={"p": "attributes.nope"}), f"{R}.dialect.ping.fields.p"),
    (_ping(url="https://other.example/"), f"{R}.url"),
    (_ping(url="http://10.0.0.1/{{ attributes.zip }}"), f"{R}.url"),
    (_ping(template='{"a":}'), f"{R}.dialect.ping"),
    (_ping(template='{"a":{{ attributes.credit_score }}}'), f"{R}.dialect.ping"),
    (_ping(auth={"kind": "bearer", "token": "***"}), f"{R}.dialect.ping.auth.token"),
    (_ping(answer={"outcomes": [{"then": "accepted"}]}),
     f"{R}.dialect.ping.answer.outcomes[0].when"),
    (_post(answer={"price": "x"}), f"{D}.dialect.post.answer.outcomes"),
    (_post(fields={"a": "contact.shoe_size"}), f"{D}.dialect.post.fields.a"),
    (delivery(kind="webhook"), f"{D}.url"),
    (delivery(url="https://x.example/", to=["a@x.example"]), f"{D}.to"),
    (delivery(kind="email"), f"{D}.to"),
    (delivery(kind="email", to=["nobody"]), f"{D}.to[0]"),
    (delivery(kind="email", to=["a@x.example\r\nBcc: b@x.example"]), f"{D}.to[0]"),
    (delivery(kind="email", to=["a@x.example"], url="https://x.example/"), f"{D}.url"),
    (delivery(kind="email", to=["a@x.example"]), f"{D}.kind"),
    (delivery(kind="inbox", preset="webhook"), f"{D}.preset"),
    (delivery(kind="inbox", to=["a@x.example"]), f"{D}.to"),
    (delivery(url="http://10.0.0.1/", preset="webhook"), f"{D}.url"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "field"), REFUSED, ids=[str(n) for n in range(len(REFUSED))])
async def test_what_cannot_work_is_refused_with_its_place(
    wire: Wire, body: dict[str, Any], field: str
) -> None:
    answer = await wire.call("POST", PATH, body, key="company")
    assert (answer.status, answer.json["field"]) == (422, field), answer.body
    assert wire.doors.accounts.records == {}


async def _create(wire: Wire, body: dict[str, Any]) -> tuple[str, Any]:
    created = await wire.call("POST", PATH, body, key="company")
    assert created.status == 201, created.body
    return f"{PATH}/{created.json['campaign_id']}", created.json


def _both() -> dict[str, Any]:
    secrets = {"key": "s3cret"}
    body = remote(dialect={"secrets": secrets, "ping": PING})
    target = {"kind": "http", "url": "https://crm.example/in", "dialect": {"post": POST}}
    return changed(body, "delivery", [target, {"kind": "inbox"}])


def _kept(wire: Wire) -> Campaign:
    (record,) = wire.doors.accounts.records.values()
    return record.campaign


async def test_secrets_are_never_shown_and_rest_sealed(wire: Wire) -> None:
    path, created = await _create(wire, _both())
    shown = await wire.call("GET", path, key="company")
    probed = await wire.call("POST", f"{path}/probe", {}, key="company")
    stored = msgspec.json.encode(_kept(wire))
    for text in (shown.body, probed.body, stored):
        for secret in (b"s3cret", b"t0ken", b"hm4c"):
            assert secret not in text
    assert created["bid"]["remote"]["dialect"]["secrets"] == {"key": "***"}
    kept = _kept(wire).bid.remote
    assert kept is not None and kept.dialect is not None
    assert all(map(is_sealed, secrets_of(kept.dialect).values()))


@pytest.mark.parametrize(("chars", "status"), [(4_000, 201), (5_000, 422), (6_001, 422)])
async def test_a_secret_is_no_longer_than_can_be_read_back(
    wire: Wire, chars: int, status: int
) -> None:
    body = _post(auth={"kind": "hmac", "secret": "x" * chars})
    assert (await wire.call("POST", PATH, body, key="company")).status == status
    for record in wire.doors.accounts.records.values():
        stored = msgspec.json.encode(record.campaign)
        assert msgspec.json.decode(stored, type=Campaign) == record.campaign


async def test_a_mask_put_back_keeps_the_secret(wire: Wire) -> None:
    path, created = await _create(wire, _both())
    before = _kept(wire)
    assert (await wire.call("PUT", path, created, key="company")).status == 200
    assert _kept(wire) == before
    moved = changed(created, "delivery", created["delivery"][::-1])
    assert (await wire.call("PUT", path, moved, key="company")).status == 200
    assert _kept(wire).delivery == before.delivery[::-1]


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        ("bid.remote.url", "https://evil.example/", "bid.remote.dialect.secrets.key"),
        ("delivery.0.url", "https://evil.example/", "delivery[0].dialect.post.auth.secret"),
        ("delivery.0.url", "http://crm.example/in", "delivery[0].dialect.post.auth.secret"),
    ],
)
async def test_a_mask_keeps_no_secret_for_another_host(
    wire: Wire, place: str, value: str, field: str
) -> None:
    path, created = await _create(wire, _both())
    answer = await wire.call("PUT", path, changed(created, place, value), key="company")
    assert (answer.status, answer.json["field"]) == (422, field)


async def test_campaigns_saved_before_dialects_still_read() -> None:
    old = (
        b'{"campaign_id":"c","company_id":"d","name":"n","vertical":"solar","active":true,'
        b'"filter":null,"bid":{"exclusive_cents":500,"shared_cents":{},"modifiers":[]},"caps":[],'
        b'"schedule":{"timezone":"UTC","windows":[]},"max_age_s":null,'
        b'"delivery":[{"kind":"http","url":"https://x.example/","timeout_ms":5000,"attempts":2}]}'
    )
    campaign = msgspec.json.decode(old, type=Campaign)
    assert campaign.bid.remote is None
    assert campaign.delivery[0].dialect is None and campaign.delivery[0].to == ()


# --- probes ---------------------------------------------------------------------------------------


async def test_a_probe_shows_both_requests_and_no_contact_on_the_ping(wire: Wire) -> None:
    path, _ = await _create(wire, _both())
    probed = (await wire.call("POST", f"{path}/probe", {}, key="company")).json
    ping, post = probed["ping"], probed["post"]
    assert (ping["kind"], post["kind"]) == ("bidder", "http")
    assert ping["request"]["body"] == '{"zip":"94107","key":"***"}'
    headers = dict(ping["request"]["headers"])
    assert headers["Authorization"] == "Bearer ***"
    assert headers["X-Exchange-Signature"].startswith("v1=")
    assert "Jordan" not in str(ping)
    assert post["request"]["body"] == "name=Jordan+Sample&token=sample-token"
    assert dict(post["request"]["headers"])["X-Signature"] == "***"
    assert ping["answer"] is ping["understood"] is post["understood"] is None


@pytest.mark.parametrize(
    ("side", "reply", "understood"),
    [
        ("ping", {"body": '{"bid":"$12.50","id":7}'},
         {"result": "bid", "price": 12.5, "token": "7"}),
        ("ping", {"status": 204}, {"result": "no_bid", "reason": "bidder_declined"}),
        ("ping", {"body": "OK"}, {"result": "no_bid", "reason": "bid_unreadable"}),
        ("post", {"body": "ok=1&id=9"}, {"result": "accepted", "reference": "9"}),
        ("post", {"body": "OK"}, {"result": "failed", "reason": "data_format"}),
    ],
)  # fmt: skip
async def test_a_probe_says_how_an_answer_is_understood(
    wire: Wire, side: str, reply: dict[str, Any], understood: dict[str, Any]
) -> None:
    path, _ = await _create(wire, _both())
    body = {"side": side, "answer": reply}
    answer = await wire.call("POST", f"{path}/probe", body, key="company")
    told = answer.json[side]["understood"]
    told["reason"] = told["reason"]["code"] if "reason" in told else None
    assert {name: told[name] for name in understood} == understood
    assert answer.json["post" if side == "ping" else "ping"] is None


async def test_a_probe_takes_a_lead_of_its_own(wire: Wire) -> None:
    path, _ = await _create(wire, _both())
    lead = {
        "attributes": {"zip": "10001", "state": "NY"},
        "contact": {"first_name": "Kim", "last_name": "Test", "phone": "415 555 0100"},
        "token": "t",
    }
    probed = (await wire.call("POST", f"{path}/probe", {"lead": lead}, key="company")).json
    assert '"zip":"10001"' in probed["ping"]["request"]["body"]
    assert probed["post"]["request"]["body"] == "name=Kim+Test&token=t"
    wrong = {"lead": {"attributes": {"zip": "1"}}}
    answer = await wire.call("POST", f"{path}/probe", wrong, key="company")
    assert (answer.status, answer.json["field"]) == (422, "attributes.zip")


async def test_a_probe_really_sends_where_it_is_told_to(wire: Wire) -> None:
    async with crm_server(seed=7) as crm:
        path, _ = await _create(wire, delivery(url=crm.leads_url("good")))
        probe = {"send": True}
        probed = (await wire.call("POST", f"{path}/probe", probe, key="company")).json["post"]
        assert probed["understood"]["result"] == "accepted"
        assert probed["answer"]["status"] == 200
        assert crm.leads("good")[0].decode_payload()["test"] is True


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"side": "ping"}, "side"),
        ({"delivery": 4}, "delivery"),
        ({"send": True, "answer": {}}, "answer"),
    ],
)
async def test_a_probe_of_what_is_not_there_is_refused(
    wire: Wire, body: dict[str, Any], field: str
) -> None:
    path, _ = await _create(wire, CAMPAIGN)
    answer = await wire.call("POST", f"{path}/probe", body, key="company")
    assert (answer.status, answer.json["field"]) == (422, field)


async def test_presets_are_listed_and_a_probe_shows_one_filled_in(wire: Wire) -> None:
    listed = (await wire.call("GET", "/v1/presets", key="company")).json["items"]
    names = {preset["name"] for preset in listed}
    assert {"plain_json", "ping_post_xml", "salesforce_web_to_lead", "hubspot_form", "adf_email",
            "webhook"} <= names  # fmt: skip
    use = {"name": "salesforce_web_to_lead", "params": {"oid": "00D9"}}
    path, created = await _create(wire, delivery(preset=use))
    assert created["delivery"][0]["preset"] == use
    post = (await wire.call("POST", f"{path}/probe", {}, key="company")).json["post"]
    assert post["dialect"]["post"]["fields"]["oid"] == {"const": "00D9"}
    assert post["request"]["url"].startswith("https://webto.salesforce.com/")
