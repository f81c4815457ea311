"""A dozen companies' systems, each with a posting spec of its own, spoken to over real sockets."""

from __future__ import annotations

import hashlib
import hmac
import json
from asyncio import StreamReader, StreamWriter
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.etree.ElementTree import fromstring

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from exchange.buyers.courier import Couriers, HttpCourier, write_post
from exchange.buyers.dialect_speech import DialectSpeech
from exchange.buyers.dialects import Dialects
from exchange.buyers.sender import HttpSender
from exchange.buyers.speech import BidRead, Incoming
from exchange.core.dialect import PresetUse
from exchange.core.model import DeliveryTarget
from exchange.core.reasons import Reason
from exchange.core.remote import Remote
from exchange.flow.dialects import DialectFault
from exchange.flow.ports import Answer, Contact, Parcel
from tests.buyers.speaking import (
    ATTRIBUTES,
    NOW,
    SOLAR,
    asked,
    make_dialects,
    post_of,
    question,
    remote,
    target,
)
from tests.buyers.systems import a_parcel, answer, read_request, system


class Seen:
    """A request as a company's system read it."""

    def __init__(self, headers: dict[str, str], body: bytes) -> None:
        self.method, self.path, _ = headers[""].split(" ")
        self.headers = headers
        self.body = body

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True))

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def a_lead(**changes: Any) -> Parcel:
    return msgspec.structs.replace(
        a_parcel(), attributes=Raw(msgspec.json.encode(ATTRIBUTES)), **changes
    )


async def post_to(
    reply: bytes, one: Any, parcel: Parcel | None = None, *, kind: str = "http"
) -> tuple[Seen, Answer]:
    """Hand a lead to a system that gives this reply; ``one`` makes the target of its URL."""
    seen: list[Seen] = []

    async def handle(reader: StreamReader, writer: StreamWriter) -> None:
        seen.append(Seen(*await read_request(reader)))
        writer.write(reply)
        await writer.drain()

    dialects = make_dialects()
    async with (
        system(handle) as url,
        Couriers(allow_private_addresses=True, dialects=dialects) as couriers,
    ):
        told = await couriers.hand_over(one(url), parcel or a_lead(), 5.0)
    return seen[0], told


async def ping_to(reply: bytes, one: Any, share: int = 1) -> tuple[Seen, BidRead]:
    """Ask a system that gives this reply for a bid; ``one`` makes the bidder of its URL."""
    seen: list[Seen] = []

    async def handle(reader: StreamReader, writer: StreamWriter) -> None:
        seen.append(Seen(*await read_request(reader)))
        writer.write(reply)
        await writer.drain()

    speech = DialectSpeech(make_dialects())
    async with system(handle) as url, HttpSender(allow_private_addresses=True) as sender:
        of = asked(one(url), share)
        came = await sender.send(speech.write(question(), of, 310), 5.0)
        assert isinstance(came, Incoming)
        return seen[0], speech.read(question(), of, came)


# --- pings ----------------------------------------------------------------------------------------


async def test_ping_json_with_renamed_nested_fields_and_a_token() -> None:
    seen, read = await ping_to(
        answer(b'{"status":"success","ping_token":"T-9","bid":"$12.50"}'),
        lambda url: remote(
            url,
            secrets={"key": "s3cret"},
            headers={"X-Campaign": "{{ campaign_id }}"},
            auth={"kind": "basic", "user": "ex", "password": "pw"},
            fields={
                "apiKey": "secrets.key",
                "version": 2,
                "lead": {
                    "zipCode": "attributes.zip",
                    "stateName": {"from": "attributes.state", "format": "state_name"},
                    "homeOwner": {"from": "attributes.owns_home", "format": "boolean:Y/N"},
                    "creditTier": {
                        "from": "attributes.credit_score",
                        "ranges": [{"up_to": 619, "then": "Poor"}, {"up_to": 719, "then": "Good"},
                                   {"then": "Excellent"}],
                    },
                    "roof": {"from": "attributes.roof_type", "map": {"asphalt_shingle": 7}},
                    "bill": {"from": "attributes.monthly_bill", "format": "decimals:2"},
                    "remarks": "attributes.remarks",
                },
            },
            answer={
                "outcomes": [{"when": {"path": "status", "equals": "success"},
                              "then": "accepted"}],
                "price": "bid",
                "token": "ping_token",
            },
        ),
    )  # fmt: skip
    assert seen.json == {
        "apiKey": "s3cret",
        "version": 2,
        "lead": {"zipCode": "94107", "stateName": "California", "homeOwner": "Y",
                 "creditTier": "Good", "roof": 7, "bill": 150.50},
    }  # fmt: skip
    assert b'"bill":150.50' in seen.body
    assert seen.headers["authorization"] == "Basic ZXg6cHc="
    assert seen.headers["x-campaign"] == "c-1"
    assert read == BidRead(cents=1_250, token="T-9")


async def test_ping_by_get_with_a_query_and_an_xml_answer_called_html() -> None:
    seen, read = await ping_to(
        answer(
            b"<response><result>success</result><bid>1,012.00</bid></response>",
            extra="Content-Type: text/html\r\n",
        ),
        lambda url: msgspec.structs.replace(
            remote(
                f"{url}?v=1",
                method="GET",
                url=f"{url}?v=1&z={{{{ attributes.zip }}}}",
                auth={"kind": "query", "name": "key", "value": "a b&c"},
                fields={"zip": "attributes.zip", "mode": {"const": "ping"}},
                answer={
                    "outcomes": [{"when": {"path": "result", "equals": "success"},
                                  "then": "accepted"}],
                    "price": "bid",
                },
            ),
            max_price_cents=2_000_00,
        ),
    )  # fmt: skip
    assert (seen.method, seen.body) == ("GET", b"")
    assert seen.query == {
        "v": "1", "z": "94107", "zip": "94107", "mode": "ping", "key": "a b&c"
    }  # fmt: skip
    assert read.cents == 101_200


async def test_ping_form_with_a_text_answer_of_pairs() -> None:
    seen, read = await ping_to(
        answer(b"result=1|price=12.00|id=A77"),
        lambda url: remote(
            url,
            format="form",
            fields={"lead[zip]": "attributes.zip", "lead": {"own": "attributes.owns_home"}},
            answer={
                "format": "pairs",
                "outcomes": [{"when": {"path": "result", "equals": 1}, "then": "accepted"},
                             {"when": {"path": "result", "equals": 0}, "then": "rejected"}],
                "price": "price",
                "token": "id",
            },
        ),
    )  # fmt: skip
    assert seen.form == {"lead[zip]": "94107", "lead[own]": "true"}
    assert read == BidRead(cents=1_200, token="A77")


async def test_ping_with_an_array_of_bids_in_cents_takes_the_highest() -> None:
    _, read = await ping_to(
        answer(b'{"bids":[{"cents":900,"ok":true},{"cents":1500,"ok":true},{"cents":9999}]}'),
        lambda url: remote(
            url,
            answer={"price": "bids[?ok].cents", "price_unit": "cents", "price_pick": "max"},
        ),
    )
    assert read.cents == 1_500


async def test_ping_in_the_exchanges_own_json_where_a_dialect_only_adds_a_key() -> None:
    seen, read = await ping_to(
        answer(b'{"price":7.25,"currency":"USD","token":"t"}'),
        lambda url: remote(url, auth={"kind": "header", "name": "X-Key", "value": "k"}),
        share=2,
    )
    assert seen.headers["x-key"] == "k"
    assert seen.json == {
        "ping_id": "p-1", "campaign_id": "c-1", "vertical": "solar", "attributes": ATTRIBUTES,
        "mode": "shared", "shares": 2, "timeout_ms": 310, "test": False,
    }  # fmt: skip
    assert read == BidRead(cents=725, token="t")


async def test_ping_whose_yes_is_a_number_in_plain_text() -> None:
    text = {
        "format": "text",
        "outcomes": [{"when": {"matches": "^bid:"}, "then": "accepted"},
                     {"when": {"matches": "^nobid"}, "then": "rejected"}],
        "price": r"^bid:\s*([0-9.,]+)",
    }  # fmt: skip
    _, read = await ping_to(answer(b"BID: 8.75 USD"), lambda url: remote(url, answer=text))
    assert read.cents == 875
    _, read = await ping_to(answer(b"NOBID"), lambda url: remote(url, answer=text))
    assert read.reason is Reason.BIDDER_DECLINED


# --- posts ----------------------------------------------------------------------------------------


async def test_post_xml_from_a_mapping_with_soap_in_answer() -> None:
    soap = (
        b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
        b'<AddLeadResult xmlns="urn:x"><Code>0</Code><LeadId>55</LeadId></AddLeadResult>'
        b"</s:Body></s:Envelope>"
    )
    seen, told = await post_to(
        answer(soap),
        lambda url: target(
            url,
            format="xml",
            root="Lead",
            fields={
                "@source": {"const": "exchange"},
                "Name": {"First": "contact.first_name", "Last": "contact.last_name"},
                "Phone": {"from": "contact.phone", "format": "phone_national"},
                "Dob": {"const": "1980-02-03"},
                "Tag": ["attributes.zip", "attributes.state"],
            },
            answer={
                "outcomes": [{"when": {"path": "//Code", "equals": 0}, "then": "accepted"}],
                "reference": "//LeadId",
            },
        ),
        a_lead(contact=Contact(first_name="A<b>&", last_name='"Q"', phone="+14155550100")),
    )
    root = fromstring(seen.body)
    assert (root.tag, root.attrib) == ("Lead", {"source": "exchange"})
    assert root.findtext("Name/First") == "A<b>&"
    assert root.findtext("Phone") == "(415) 555-0100"
    assert [tag.text for tag in root.findall("Tag")] == ["94107", "CA"]
    assert seen.headers["idempotency-key"] == "d-1"
    assert told == Answer(result="accepted", reference="55")


async def test_post_form_with_dates_flags_and_the_pings_token() -> None:
    seen, told = await post_to(
        answer(b"<r><status>ERROR</status><error>Duplicate lead</error></r>"),
        lambda url: target(
            url,
            format="form",
            fields={
                "ping_token": "token",
                "fname": "contact.first_name",
                "lname": {"from": "contact.last_name", "format": ["ascii", "upper"]},
                "name": {"template": "{{ contact.last_name }}, {{ contact.first_name }}"},
                "area": {"from": "contact.phone", "format": "phone_area"},
                "date": {"from": "now", "format": "date:%m/%d/%Y %H:%M"},
                "tcpa": {"const": True},
                "street2": {"from": "contact.street2", "absent": "empty"},
                "price": "price",
                "city": {"from": "contact.city", "default": "unknown"},
            },
            answer={
                "outcomes": [
                    {"when": {"path": "status", "equals": "SUCCESS"}, "then": "accepted"},
                    {"when": {"path": "error", "contains": "duplicate"}, "then": "duplicate"},
                    {"when": {"path": "status", "equals": "ERROR"}, "then": "rejected"},
                ],
                "reason": "error",
            },
        ),
        a_lead(token="T-9"),
    )
    assert seen.form == {
        "ping_token": "T-9", "fname": "Ann", "lname": "MULLER", "name": "Müller, Ann",
        "area": "415", "date": "11/21/2026 22:40", "tcpa": "true", "street2": "",
        "price": "45.75", "city": "Springwood",
    }  # fmt: skip
    assert told == Answer(result="refused", reason=Reason.DUPLICATE_LEAD, detail="Duplicate lead")


async def test_post_by_put_from_a_json_template_that_is_accepted_with_201() -> None:
    seen, told = await post_to(
        answer(b'{"id":4711,"redirectUrl":"https://x.example/t"}', status=201),
        lambda url: target(
            url,
            method="PUT",
            url=f"{url}/{{{{ lead_id }}}}",
            auth={"kind": "bearer", "token": "tok"},
            template='{"n":"{{ contact.first_name }}","h":{{ attributes.owns_home | tojson }},'
            '"z":{% if attributes.zip %}"{{ attributes.zip }}"{% else %}null{% endif %}}',
            answer={
                "outcomes": [{"when": {"status": 201, "path": "id", "exists": True},
                              "then": "accepted"}],
                "reference": "id",
                "redirect_url": "redirectUrl",
            },
        ),
    )  # fmt: skip
    assert (seen.method, seen.path) == ("PUT", "/leads/l-1")
    assert seen.headers["authorization"] == "Bearer tok"
    assert seen.json == {"n": "Ann", "h": True, "z": "94107"}
    assert told == Answer(result="accepted", reference="4711", redirect_url="https://x.example/t")


async def test_post_with_a_companys_own_hmac() -> None:
    seen, _ = await post_to(
        answer(),
        lambda url: target(
            url,
            auth={
                "kind": "hmac", "secret": "k3y", "header": "X-Hub-Signature", "prefix": "sha256=",
                "over": "timestamp.body", "timestamp_header": "X-Time",
            },
        ),
    )  # fmt: skip
    stamp = str(int(NOW.timestamp()))
    over = stamp.encode() + b"." + seen.body
    digest = hmac.new(b"k3y", over, hashlib.sha256).hexdigest()
    assert seen.headers["x-hub-signature"] == f"sha256={digest}"
    assert seen.headers["x-time"] == stamp


async def test_webhook_is_signed_and_carries_the_delivery_id() -> None:
    seen, told = await post_to(answer(), lambda url: DeliveryTarget(kind="webhook", url=url))
    stamp = seen.headers["x-exchange-timestamp"]
    over = stamp.encode() + b"." + seen.body
    digest = hmac.new(b"secret-of-company-1", over, hashlib.sha256).hexdigest()
    assert seen.headers["x-exchange-signature"] == f"v1={digest}"
    assert seen.headers["idempotency-key"] == "d-1"
    assert seen.json["contact"]["first_name"] == "Ann"
    assert told == Answer(result="accepted")


async def test_post_answered_by_a_rejection_under_a_failing_status() -> None:
    _, told = await post_to(
        answer(b'{"success":0,"errors":["Outside area"]}', status=400),
        lambda url: target(
            url,
            answer={
                "outcomes": [{"when": {"path": "success", "equals": 1}, "then": "accepted"},
                             {"when": {"path": "success", "equals": 0}, "then": "rejected"}],
                "reason": "errors[0]",
                "reasons": {"outside area": "outside_service_area"},
            },
        ),
    )  # fmt: skip
    assert (told.result, told.reason) == ("refused", Reason.OUTSIDE_SERVICE_AREA)


# --- presets --------------------------------------------------------------------------------------


def preset(name: str, url: str | None = None, **more: Any) -> PresetUse:
    params = more.pop("params", {}) | ({} if url is None else {"url": url})
    return PresetUse(name=name, params=params, **more)


async def test_ping_and_post_in_the_manner_of_the_common_platforms() -> None:
    def use(url: str) -> PresetUse:
        return preset(
            "ping_post_xml", url, params={"campaign": "C1"}, secrets={"key": "k"},
            ping_fields={"owner": {"from": "attributes.owns_home", "format": "one_zero"}},
            fields={"roof": "attributes.roof_type"},
        )  # fmt: skip

    bid = b"<response><result>success</result><price>14.00</price><id>XX1</id></response>"
    seen, read = await ping_to(answer(bid), lambda url: Remote(preset=use(url)))
    assert seen.form == {
        "campaign_id": "C1", "campaign_key": "k", "source": "exchange", "mode": "ping",
        "is_test": "0", "zip_code": "94107", "state": "CA", "owner": "1",
    }  # fmt: skip
    assert read == BidRead(cents=1_400, token="XX1")
    sold = b"<response><result>success</result><lead_id>9</lead_id></response>"
    seen, told = await post_to(
        answer(sold),
        lambda url: DeliveryTarget(kind="http", preset=use(url)),
        a_lead(token=read.token),
    )
    assert seen.form["ping_id"] == "XX1" and seen.form["mode"] == "post"
    assert seen.form["phone_home"] == "4155550100" and seen.form["roof"] == "asphalt_shingle"
    assert told == Answer(result="accepted", reference="9")


@pytest.mark.parametrize(
    ("page", "result"),
    [(b"", "accepted"), (b"<html>thanks", "accepted"), (b"<p>Error: oid invalid", "failed")],
)
async def test_web_to_lead_is_taken_unless_its_page_says_not(page: bytes, result: str) -> None:
    seen, told = await post_to(
        answer(page),
        lambda url: DeliveryTarget(
            kind="http",
            preset=preset("salesforce_web_to_lead", url, params={"oid": "00D1"},
                          fields={"00N1": "attributes.credit_score"}),
        ),
    )  # fmt: skip
    assert seen.form["oid"] == "00D1" and seen.form["00N1"] == "710"
    assert told.result == result


async def test_a_form_of_hubspots_has_a_list_of_fields() -> None:
    seen, told = await post_to(
        answer(b'{"inlineMessage":"Thanks"}'),
        lambda url: DeliveryTarget(
            kind="http",
            preset=preset("hubspot_form", url, params={"portal_id": "1/2", "form_guid": "g"},
                          fields={"score": "attributes.credit_score"}),
        ),
        a_lead(contact=Contact(first_name="Ann", last_name="Lee", email="a@mail.example")),
    )  # fmt: skip
    assert seen.path == "/leads/1%2F2/g"
    assert "authorization" not in seen.headers
    fields = {field["name"]: field["value"] for field in seen.json["fields"]}
    assert fields == {"email": "a@mail.example", "firstname": "Ann", "lastname": "Lee",
                      "state": "CA", "zip": "94107", "score": 710}  # fmt: skip
    assert told.result == "accepted"


# --- what cannot be saved, and what cannot get out of its place -----------------------------------


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        ({"fields": {"phone": "contact.phone"}}, "dialect.ping.fields.phone"),
        ({"fields": {"a": {"b": [{"from": ["attributes.zip", "contact.email"]}]}}},
         "dialect.ping.fields.a.b[0].from"),
        ({"fields": {"a": {"template": "{{ contact.zip }}"}}}, "dialect.ping.fields.a.template"),
        ({"headers": {"X-A": "{{ contact.phone }}"}}, "dialect.ping.headers.X-A"),
        ({"query": {"q": "contact.first_name"}}, "dialect.ping.query.q"),
        ({"url": "https://crm.example/{{ contact.phone }}"}, "dialect.ping.url"),
        ({"template": "{{ contact.phone }}"}, "dialect.ping.template"),
        ({"fields": {"a": "attributes.colour"}}, "dialect.ping.fields.a"),
        ({"fields": {"a": "secrets.none"}}, "dialect.ping.fields.a"),
        ({"fields": {"a": {"from": "attributes.zip", "format": "rot13"}}},
         "dialect.ping.fields.a.format"),
        ({"fields": {"a": {"from": "attributes.zip", "colour": 1}}}, "dialect.ping.fields.a"),
        ({"url": "https://{{ attributes.state }}.example/"}, "dialect.ping.url"),
        ({"url": "https://crm.example{{ attributes.zip }}/"}, "dialect.ping.url"),
        ({"url": "{{ attributes.zip }}"}, "dialect.ping.url"),
        ({"url": "https://a@crm.example/"}, "dialect.ping.url"),
        ({"headers": {"Host": "x"}}, "dialect.ping.headers.Host"),
        ({"headers": {"Idempotency-Key": "x"}}, "dialect.ping.headers.Idempotency-Key"),
        ({"headers": {"A b": "x"}}, "dialect.ping.headers.A b"),
        ({"headers": {"A": "x\r\nB: y"}}, "dialect.ping.headers.A"),
        ({"auth": {"kind": "bearer", "token": "a\r\nb"}}, "dialect.ping.auth.token"),
        ({"auth": {"kind": "basic", "user": "a:b", "password": "x"}}, "dialect.ping.auth.user"),
        ({"format": "xml", "fields": {"a b": "attributes.zip"}}, "dialect.ping.fields.a b"),
        ({"format": "xml", "root": "a b", "fields": {}}, "dialect.ping.root"),
        ({"format": "text", "fields": {"a": "attributes.zip"}}, "dialect.ping.fields"),
        ({"format": "form"}, "dialect.ping.fields"),
        ({"method": "GET", "template": "x"}, "dialect.ping.template"),
        ({"template": "x", "fields": {}}, "dialect.ping.template"),
        ({"answer": {"price": "a["}}, "dialect.ping.answer.price"),
        ({"answer": {"token": "a"}}, "dialect.ping.answer.price"),
    ],
    ids=str,
)  # fmt: skip
def test_a_dialect_that_cannot_work_is_refused_with_its_place(
    parts: dict[str, Any], path: str
) -> None:
    with pytest.raises(DialectFault) as raised:
        make_dialects().compile_ping(remote(**parts), SOLAR)
    assert raised.value.path == path


@given(text=st.text(max_size=40))
def test_nothing_in_a_lead_adds_a_header_or_leaves_its_place(text: str) -> None:
    spoken = post_of(
        target(
            format="form",
            url="https://crm.example/{{ contact.last_name }}/x?n={{ contact.last_name }}",
            headers={"X-Name": "{{ contact.first_name }}", "X-Zip": "{{ attributes.remarks }}"},
            fields={"n": "contact.first_name", "a": "attributes.zip"},
        )
    )
    contact = Contact(first_name=text, last_name=f"x{text}", phone=None)
    lead = a_lead(contact=contact)
    lead = msgspec.structs.replace(
        lead, attributes=Raw(msgspec.json.encode(ATTRIBUTES | {"remarks": text}))
    )
    out = write_post(make_dialects(), spoken, lead)
    assert all(set(value) <= set(map(chr, range(32, 127))) for _, value in out.headers)
    assert [name for name, _ in out.headers].count("X-Name") == 1
    parts = urlsplit(out.url)
    assert (parts.netloc, parts.path.count("/")) == ("crm.example", 2)
    assert dict(parse_qsl(parts.query)) == {"n": f"x{text}"}
    pairs = parse_qsl(out.body.decode(), keep_blank_values=True, strict_parsing=True)
    assert pairs == ([("n", text)] if text else []) + [("a", "94107")]


def test_a_dialect_is_compiled_once_and_its_next_version_anew() -> None:
    dialects = make_dialects()
    one, two = remote(), remote()
    assert dialects.ping(one) is dialects.ping(one)
    assert dialects.ping(one) is not dialects.ping(two)


async def test_a_lead_that_cannot_be_written_fails_and_nothing_is_sent() -> None:
    one = target(template='{"a": {{ attributes.remarks }} }')
    async with HttpCourier(dialects=make_dialects()) as courier:
        told = await courier.hand_over(one, a_lead(), 1.0)
    assert (told.result, told.reason) == ("failed", Reason.DATA_FORMAT)


def test_secrets_at_rest_open_with_their_key_only() -> None:
    sealed = make_dialects().seal("s3cret")
    assert "s3cret" not in sealed and make_dialects().seal(sealed) == sealed
    one = target(auth={"kind": "bearer", "token": sealed})
    out = write_post(make_dialects(), post_of(one), a_lead())
    assert ("Authorization", "Bearer s3cret") in out.headers
    other = Dialects(keys=[(1, b"x" * 32)], secret_of=str, company_of=lambda c: None,
                     clock=lambda: NOW)  # fmt: skip
    with pytest.raises(DialectFault):
        other.compile_post(one, None)
