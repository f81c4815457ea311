"""What companies' systems answer, read in their dialects: never a yes by mistake (rules §7, §8)."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.buyers.answers import Listener
from exchange.buyers.dialect_speech import DialectSpeech
from exchange.buyers.documents import Path, PathError, read_document
from exchange.buyers.hearing import answer_of
from exchange.buyers.mapping import MappingFault
from exchange.buyers.patterns import Pattern, PatternError
from exchange.buyers.prices import PriceFault, read_price
from exchange.buyers.speech import BidRead
from exchange.core.dialect import Reading
from exchange.core.reasons import Reason
from exchange.flow.ports import Answer
from tests.buyers.speaking import asked, make_dialects, question, remote, said
from tests.buyers.systems import ANN


def reading(**parts: Any) -> Reading:
    return msgspec.convert(parts, Reading)


def hear(body: str | bytes, status: int = 200, **parts: Any) -> Answer:
    heard = Listener(reading(**parts)).hear(said(body, status))
    return answer_of(heard, status, ANN)


def bid(body: str | bytes, status: int = 200, max_cents: int = 1_000_00, **parts: Any) -> BidRead:
    of = msgspec.structs.replace(remote(answer=parts), max_price_cents=max_cents)
    return DialectSpeech(make_dialects()).read(question(), asked(of), said(body, status))


# --- prices ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "cents"),
    [
        (12.5, 1_250), (12, 1_200), (0, 0), (0.1 + 0.2, 30), (12.1, 1_210), (1e3, 100_000),
        ("12.50", 1_250), ("12.5", 1_250), ("12", 1_200), (" 12.50 ", 1_250), ("$12.50", 1_250),
        ("$ 12.50", 1_250), ("12.50$", 1_250), ("USD 12.50", 1_250), ("12.50 USD", 1_250),
        ("US$12.50", 1_250), ("usd12.5", 1_250), ("12.50 dollars", 1_250), ("1,250.00", 125_000),
        ("$1,250", 125_000), ("1,234,567.89", 123_456_789), (".50", 50), ("12.", 1_200),
        ("12.5000", 1_250), ("+3", 300), ("0.00", 0),
    ],
)  # fmt: skip
def test_a_price_is_read_however_it_is_written(written: object, cents: int) -> None:
    assert read_price(written) == cents


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("12.505", Reason.BID_PRICE), (12.505, Reason.BID_PRICE), ("-5", Reason.BID_PRICE),
        (-0.01, Reason.BID_PRICE), ("$-5", Reason.BID_PRICE), (10**16, Reason.BID_PRICE),
        (1e300, Reason.BID_PRICE), ("999999999999", Reason.BID_PRICE),
        ("EUR 12.50", Reason.BID_CURRENCY), ("€12", Reason.BID_CURRENCY),
        ("CA$12", Reason.BID_CURRENCY), ("12 CAD", Reason.BID_CURRENCY),
        ("12,50", Reason.BID_UNREADABLE), ("1,25,0", Reason.BID_UNREADABLE),
        ("1.250,00", Reason.BID_UNREADABLE), ("12 50", Reason.BID_UNREADABLE),
        ("1e3", Reason.BID_UNREADABLE), ("", Reason.BID_UNREADABLE), ("$", Reason.BID_UNREADABLE),
        (None, Reason.BID_UNREADABLE), (True, Reason.BID_UNREADABLE), ([1], Reason.BID_UNREADABLE),
        ("٣", Reason.BID_UNREADABLE), ("9" * 50, Reason.BID_UNREADABLE),
    ],
)  # fmt: skip
def test_what_is_no_price_in_dollars_is_not_guessed_at(written: object, reason: Reason) -> None:
    with pytest.raises(PriceFault) as raised:
        read_price(written)
    assert raised.value.reason is reason


def test_cents_are_cents() -> None:
    assert read_price(1250, "cents") == 1_250
    assert read_price("1250", "cents") == 1_250
    with pytest.raises(PriceFault):
        read_price("12.50", "cents")


@given(st.one_of(st.text(max_size=50), st.floats(), st.integers(), st.none(), st.booleans()))
def test_reading_a_price_gives_cents_or_says_why_not(written: object) -> None:
    try:
        assert read_price(written) >= 0
    except PriceFault as fault:
        assert fault.reason


# --- documents and paths --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "format", "path", "found"),
    [
        ('{"a":{"b":[{"c":1},{"c":2}]}}', "json", "a.b[1].c", [2]),
        ('{"a":[{"c":1},{"c":2}]}', "auto", "a[].c", [1, 2]),
        ('{"bid":null,"price":3}', "json", "bid || price", [3]),
        ('{"bids":[{"p":3,"won":true}]}', "json", "bids[?won].p", [3]),
        ("<r><s>OK</s></r>", "xml", "r/s", ["OK"]),
        ("<r><s>OK</s></r>", "auto", "s", ["OK"]),
        ("<r><R><s>OK</s></R></r>", "xml", "r/s", ["OK"]),
        ('<x:r xmlns:x="u"><x:S code="7"/></x:r>', "xml", "r/s/@code", ["7"]),
        ("<r><b><p>1</p></b><b><p>2</p></b></r>", "xml", "b[2]/p", ["2"]),
        ("<r><b><p>1</p></b><b><p>2</p></b></r>", "xml", "//p", ["1", "2"]),
        ("<r><![CDATA[ <i> ]]></r>", "xml", "r", ["<i>"]),
        ('\ufeff<?xml version="1.0"?><r><s>OK</s></r>', "xml", "s", ["OK"]),
        ("Result=1&Price=12.00", "form", "price", ["12.00"]),
        ("a=%C3%BC+x", "auto", "a", ["ü x"]),
        ("result=1|price=12.00|id=x", "pairs", "price", ["12.00"]),
        ("ACCEPTED: 42 at $12.50", "text", r"\$([0-9.]+)", ["12.50"]),
        ("ACCEPTED", "text", "(declined|accepted)", ["ACCEPTED"]),
    ],
)  # fmt: skip
def test_a_place_is_found_in_each_format(
    body: str, format: Any, path: str, found: list[object]
) -> None:
    document = read_document(body.encode(), format)
    assert document is not None
    assert Path(path, format).find(document) == found


@pytest.mark.parametrize(
    ("body", "format"),
    [
        ("OK", "json"), ("<html><body>It works</body></html>", "auto"), ("<p>x", "auto"),
        ("OK", "auto"), ("Error: a=1 went wrong", "auto"), ("[" * 50_000, "json"),
        ("<a>" * 5_000 + "</a>" * 5_000, "xml"), ('{"a":', "auto"), ("nothing here", "pairs"),
        ('<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><r>&b;</r>', "xml"),
        ('<!DOCTYPE r SYSTEM "file:///etc/passwd"><r/>', "xml"),
        ('<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>', "auto"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_what_is_not_of_its_format_is_not_understood(body: str, format: Any) -> None:
    assert read_document(body.encode(), format) is None


@pytest.mark.parametrize(
    ("path", "format"),
    [
        ("a[", "json"), ("[a, b]", "json"), ("{x: a}", "json"), ("to_string(@)", "json"),
        ("map(&a, b)", "json"), ("[][][][]", "json"), ("a || " * 40 + "a", "json"),
        ("a//b", "xml"), ("a/b[0]", "xml"), ("a b", "xml"), ("//", "xml"), ("(", "text"),
        (r"(a)\1", "text"), ("(?=a)", "text"), ("(?i)a", "text"), ("a{999}", "text"),
    ],
)  # fmt: skip
def test_a_path_that_cannot_be_used_is_refused_when_saved(path: str, format: Any) -> None:
    with pytest.raises(PathError):
        Path(path, format)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 1_999 + "b"),
        ("(a|a)*$", "a" * 1_999 + "b"),
        ("(.*)(.*)(.*)(.*)(.*)x", "a" * 2_000),
        (r"(\d{1,20}){1,6}!", "1" * 2_000),
        ("(a?){20}a{20}", "a" * 19),
        ("(.*a){8}", "a" * 2_000),
    ],
)
def test_no_pattern_takes_long(pattern: str, text: str) -> None:
    compiled = Pattern(pattern)
    started = time.process_time()
    compiled.find(text)
    assert time.process_time() - started < 2.0  # the age of the sun, where a matcher backtracks


def test_a_repeat_of_nothing_is_not_written_out_for_ever() -> None:
    with pytest.raises(PatternError):
        Pattern("(?:" * 6 + "a" * 0 + "){250}" * 6)


@given(
    st.from_regex(r"[ab.]{0,4}(\([ab]{1,3}\)|[ab])[*+?]?\??[ab$]{0,3}", fullmatch=True),
    st.text(alphabet="abc", max_size=8),
)
def test_patterns_find_what_pythons_do(pattern: str, text: str) -> None:
    found = re.search(pattern, text)
    expected = None if found is None else (found[1] or "") if found.re.groups else found[0]
    assert Pattern(pattern).find(text) == expected


# --- rules ----------------------------------------------------------------------------------------

SIMPLE: dict[str, Any] = {
    "format": "json",
    "outcomes": [
        {"when": {"path": "status", "in": ["success", "sold"]}, "then": "accepted"},
        {"when": {"path": "status", "equals": "dupe"}, "then": "duplicate"},
        {"when": {"path": "status", "equals": "failed"}, "then": "rejected"},
    ],
    "reason": "message",
    "reasons": {"Out of area": "outside_service_area"},
    "reference": "lead.id",
    "redirect_url": "url",
}


def test_an_accepted_lead_has_its_reference_and_redirect() -> None:
    body = '{"status":"Success","lead":{"id":77},"url":"https://x.example/thanks?a=1"}'
    assert hear(body, **SIMPLE) == Answer(
        result="accepted", reference="77", redirect_url="https://x.example/thanks?a=1"
    )


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://x.example", "//x", "https://", 7])
def test_a_redirect_that_is_no_link_is_dropped(url: object) -> None:
    body = json.dumps({"status": "success", "url": url})
    assert hear(body, **SIMPLE) == Answer(result="accepted")


def test_a_refusal_has_the_exchanges_reason_where_one_is_known() -> None:
    assert hear('{"status":"failed","message":"out of AREA"}', **SIMPLE) == Answer(
        result="refused", reason=Reason.OUTSIDE_SERVICE_AREA, detail="out of AREA"
    )
    assert hear('{"status":"failed","message":"capacity_reached"}', **SIMPLE).reason is (
        Reason.CAPACITY_REACHED
    )
    told = hear('{"status":"failed","message":"no Ann Müller please"}', **SIMPLE)
    assert told.reason is Reason.COMPANY_REFUSED
    assert "Ann" not in (told.detail or "")


def test_a_duplicate_is_a_refusal_as_a_duplicate() -> None:
    assert hear('{"status":"dupe"}', **SIMPLE) == Answer(
        result="refused", reason=Reason.DUPLICATE_LEAD
    )


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ('{"status":"queued"}', 200, Reason.DATA_FORMAT),
        ("", 200, Reason.DATA_FORMAT),
        ("<html>Success</html>", 200, Reason.DATA_FORMAT),
        ('{"status":"success"', 200, Reason.DATA_FORMAT),
        ('{"status":"success"}', 500, Reason.CONNECTIVITY),
        ("nonsense", 401, Reason.AUTH_FAILURE),
        ("{}", 429, Reason.RATE_LIMITED),
        ("{}", 302, Reason.CONNECTIVITY),
    ],
)
def test_an_answer_no_rule_understands_is_a_failed_delivery(
    body: str, status: int, reason: Reason
) -> None:
    told = hear(body, status, **SIMPLE)
    assert (told.result, told.reason) == ("failed", reason)


def test_a_rule_may_read_the_body_of_a_failing_status() -> None:
    assert hear('{"status":"failed"}', 422, **SIMPLE).result == "refused"


def test_a_packed_answer_is_not_unpacked() -> None:
    heard = Listener(reading(**SIMPLE)).hear(said('{"status":"success"}', content_encoding="gzip"))
    assert heard.outcome == "error" and not heard.readable


def test_rules_are_tried_in_their_order_and_combine() -> None:
    rules: dict[str, Any] = {
        "format": "json",
        "outcomes": [
            {"when": {"all": [{"status": "200-299"}, {"not": {"path": "errors", "exists": True}},
                              {"path": "score", "above": 5, "below": 10}]}, "then": "accepted"},
            {"when": {"any": [{"path": "errors[0]", "matches": "^dup"}, {"status": [409]}]},
             "then": "duplicate"},
            {"when": {"contains": "closed"}, "then": "error", "reason": "rate_limited"},
            {"then": "rejected"},
        ],
    }  # fmt: skip
    assert hear('{"score":6}', **rules).result == "accepted"
    assert hear('{"score":10}', **rules).result == "refused"
    assert hear('{"score":6,"errors":["Duplicate"]}', **rules).reason is Reason.DUPLICATE_LEAD
    assert hear("{}", 409, **rules).reason is Reason.DUPLICATE_LEAD
    assert hear('{"m":"We are CLOSED"}', **rules).reason is Reason.RATE_LIMITED


@pytest.mark.parametrize(
    ("body", "truth"), [("true", True), ("1", True), ('"TRUE"', True), ("false", False)]
)
def test_a_success_flag_is_true_or_what_is_written_for_it(body: str, truth: bool) -> None:
    rules: dict[str, Any] = {
        "outcomes": [{"when": {"path": "ok", "in": [True, 1]}, "then": "accepted"}]
    }
    assert (hear(f'{{"ok":{body}}}', **rules).result == "accepted") == truth


@pytest.mark.parametrize(
    "parts",
    [
        {"outcomes": [{"then": "accepted"}]},
        {"outcomes": [{"when": {}, "then": "accepted"}]},
        {"outcomes": [{"when": {"path": "a"}, "then": "accepted"}]},
        {"outcomes": [{"when": {"status": "2xx"}, "then": "accepted"}]},
        {"outcomes": [{"when": {"exists": True}, "then": "accepted"}]},
        {"outcomes": [{"when": {"matches": "("}, "then": "rejected"}]},
        {"outcomes": [{"then": "rejected", "reason": "whatever"}]},
        {"reasons": {"x": "whatever"}},
        {"format": "json", "price": "a["},
    ],
)
def test_rules_that_cannot_work_are_refused_when_saved(parts: dict[str, Any]) -> None:
    with pytest.raises(MappingFault):
        Listener(reading(**parts))


# --- bids -----------------------------------------------------------------------------------------

BIDS: dict[str, Any] = {
    "format": "json",
    "outcomes": [
        {"when": {"path": "status", "equals": "success"}, "then": "accepted"},
        {"when": {"path": "status", "equals": "no"}, "then": "rejected"},
    ],
    "price": "bid",
    "token": "ping_token",
    "currency": "cur",
    "ping_id": "pid",
}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"status":"success","bid":"12.50","ping_token":"t-1"}', (1_250, "t-1", None)),
        ('{"status":"success","bid":12.5,"ping_token":77}', (1_250, "77", None)),
        ('{"status":"success","bid":12.5,"cur":"usd","pid":"p-1"}', (1_250, None, None)),
        ('{"status":"success","bid":0}', (None, None, Reason.BIDDER_DECLINED)),
        ('{"status":"no","bid":9}', (None, None, Reason.BIDDER_DECLINED)),
        ('{"status":"success"}', (None, None, Reason.BID_UNREADABLE)),
        ('{"status":"success","bid":"lots"}', (None, None, Reason.BID_UNREADABLE)),
        ('{"status":"success","bid":-3}', (None, None, Reason.BID_PRICE)),
        ('{"status":"success","bid":1000.01}', (None, None, Reason.BID_PRICE)),
        ('{"status":"success","bid":5,"cur":"EUR"}', (None, None, Reason.BID_CURRENCY)),
        ('{"status":"success","bid":5,"pid":"p-2"}', (None, None, Reason.BID_AUCTION)),
        ('{"status":"hm","bid":5}', (None, None, Reason.BID_UNREADABLE)),
        ("success 12.50", (None, None, Reason.BID_UNREADABLE)),
        ("", (None, None, Reason.BID_UNREADABLE)),
    ],
)
def test_a_bid_counts_or_says_why_not(
    body: str, expected: tuple[int | None, str | None, Reason | None]
) -> None:
    read = bid(body, **BIDS)
    assert (read.cents, read.token, read.reason) == expected


@pytest.mark.parametrize(("pick", "cents"), [("first", 500), ("max", 900), ("min", 100)])
def test_of_several_prices_one_is_picked(pick: str, cents: int) -> None:
    read = bid('{"bids":[{"p":5},{"p":"9.00"},{"p":1}]}', price="bids[].p", price_pick=pick)
    assert read.cents == cents


def test_where_only_the_price_is_described_a_204_declines() -> None:
    assert bid('{"p":5}', price="p").cents == 500
    assert bid("", 204, price="p").reason is Reason.BIDDER_DECLINED
    assert bid('{"p":5}', 500, price="p").reason is Reason.BIDDER_ERROR
    assert bid("{}", price="p").reason is Reason.BID_UNREADABLE
    assert bid("{}", price="p", default="rejected").reason is Reason.BIDDER_DECLINED


def test_price_in_cents() -> None:
    assert bid('{"p":1250}', price="p", price_unit="cents").cents == 1_250


# --- garbage --------------------------------------------------------------------------------------

READINGS = [
    SIMPLE,
    SIMPLE | {"format": "auto"},
    {"format": "xml", "outcomes": [{"when": {"path": "//status", "equals": "success"},
                                    "then": "accepted"}]},
    {"format": "pairs", "outcomes": [{"when": {"path": "result", "equals": 1},
                                      "then": "accepted"}]},
    {"format": "form", "outcomes": [{"when": {"path": "result", "equals": 1},
                                     "then": "accepted"}]},
    {"format": "text", "outcomes": [{"when": {"matches": "^accepted$"}, "then": "accepted"}]},
]  # fmt: skip
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


@pytest.mark.parametrize("parts", READINGS, ids=lambda parts: parts["format"])
@given(
    body=st.binary(max_size=200)
    | st.text(alphabet='<>=/{}[]":,|&;! statusuccesresultaccepted1', max_size=80).map(str.encode)
    | JSON_VALUES.map(lambda value: json.dumps(value).encode()),
    status=st.integers(100, 599),
)
def test_garbage_is_never_accepted_and_never_raises(
    parts: dict[str, Any], body: bytes, status: int
) -> None:
    told = hear(body, status, **parts)
    text = body.decode("latin-1").lower()
    if told.result == "accepted":
        assert status < 400
        assert any(word in text for word in ("success", "sold", "result=1", "accepted"))


@given(body=st.binary(max_size=200), status=st.integers(100, 599))
def test_garbage_is_never_a_bid(body: bytes, status: int) -> None:
    read = bid(body, status, **BIDS)
    assert read.cents is None and read.reason is not None
