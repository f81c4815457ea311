"""The quick way reads a ping as the ordinary way does, or leaves it to that; it writes the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from exchange.core.model import Ping, PingId, SellerId
from exchange.flow.faults import Fault
from exchange.flow.ping_together import MANY
from exchange.flow.ports import Receipt
from exchange.flow.registry import Caller
from exchange.web import quick as quick_way
from exchange.web.calls import Call, Site, WebLimits
from exchange.web.dispatch import Said
from exchange.web.heads import read_head
from exchange.web.metrics import Metrics
from exchange.web.ping_codec import answer_ping, read_ping, write_ping_answer
from exchange.web.ping_reading import PingReader
from exchange.web.quick import Quick, QuickPings
from exchange.web.wire import JSON
from tests.web.bodies import PING
from tests.web.conftest import Wire
from tests.web.doubles import NOW, MemoryDoors

LIMITS = WebLimits(hash_key=b"k" * 32)
DOORS = MemoryDoors()
SITE = Site(DOORS, LIMITS, Metrics(), calls=(), build_document=lambda: b"")
READER = PingReader(DOORS.market.verticals, LIMITS)
SELLER = "seller-1"


def ordinary(body: bytes) -> Ping:
    caller = Caller(role="seller", subject_id=SELLER)
    return read_ping(Call(SITE, caller, {}, {}, {}, body, False), NOW)


def quick(body: bytes) -> Ping | None:
    try:
        return READER.read(body, SELLER, NOW)
    except (Fault, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def same(one: Ping, other: Ping) -> bool:
    return replace(one, ping_id=PingId("")) == replace(other, ping_id=PingId(""))


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 1_000),
    st.floats(0, 900, allow_nan=False),
    st.sampled_from(
        ["CA", "94107", "tile", "12.00", " 5 ", "1e1", "call +1 415 555 0100", "a@b.test", ""]
    ),
)
changes = st.dictionaries(
    st.sampled_from([*PING, "extra", "phone", "attributes.roof", "attributes.remarks"]),
    st.one_of(scalars, st.dictionaries(st.sampled_from(["sub_id", "zip", "phone"]), scalars)),
    max_size=3,
)


@given(changes=changes, dropped=st.sets(st.sampled_from(list(PING)), max_size=2))
def test_what_the_quick_way_reads_the_ordinary_way_reads_the_same(
    changes: dict[str, Any], dropped: set[str]
) -> None:
    body = json.loads(json.dumps(PING))
    # Attributes first: another change may replace them all.
    for name, value in sorted(changes.items(), key=lambda change: "." not in change[0]):
        head, _, tail = name.partition(".")
        if tail:
            body["attributes"][tail] = value
        else:
            body[head] = value
    for name in dropped:
        body.pop(name, None)
    raw = json.dumps(body).encode()
    read = quick(raw)
    if read is not None:
        assert same(read, ordinary(raw))


def test_a_ping_as_sellers_send_it_goes_the_quick_way() -> None:
    raw = json.dumps(PING).encode()
    read = quick(raw)
    assert read is not None and same(read, ordinary(raw))
    assert read.seller_id == SellerId(SELLER)


@pytest.mark.parametrize(
    ("written", "cents"),
    [("12", 1_200), ("12.5", 1_250), ("12.00", 1_200), ("1e1", 1_000), ("0", 0), ("12.500", 1_250),
     ('"12.00"', None), ("null", None), ("true", None), ("-1", None), ("0.001", None),
     ("1" * 17, None), ("{}", None)],
)  # fmt: skip
def test_a_least_price_is_read_exactly_and_what_is_none_is_left_to_the_ordinary_way(
    written: str, cents: int | None
) -> None:
    raw = json.dumps(PING | {"min_price": 7}).replace('"min_price": 7', f'"min_price": {written}')
    for _ in range(2):  # remembered the second time
        read = quick(raw.encode())
        assert (None if read is None else read.min_price_cents) == cents
        if read is not None:
            assert same(read, ordinary(raw.encode()))


def test_a_ping_that_names_its_vertical_twice_is_left_to_the_ordinary_way() -> None:
    raw = json.dumps(PING).encode()
    assert quick(raw[:-1] + b', "vertical": "roofing"}') is None


@pytest.mark.parametrize("text", [b"fb-\xff", b"fb-\\u0000"], ids=["no UTF-8", "NUL"])
async def test_what_no_text_may_hold_is_left_to_the_ordinary_way(wire: Wire, text: bytes) -> None:
    raw = json.dumps(PING).encode().replace(b"fb-123", text)
    assert quick(raw) is None
    answer = await wire.call("POST", "/v1/ping", key="seller", raw=raw)
    assert answer.status in (400, 422)


@given(
    legs=st.lists(st.integers(0, 10**9), min_size=1, max_size=5),
    late_us=st.integers(0, 10**9),
    test=st.booleans(),
)
def test_an_offer_is_written_as_its_answer_says(legs: list[int], late_us: int, test: bool) -> None:
    receipt = Receipt(
        ping_id=PingId("01a200a6-e884-74bf-be17-4c1ffc3ef422"),
        seller_id=SellerId(SELLER),
        vertical="solar",
        attributes=Raw(b"{}"),
        status="offer",
        decided_at=NOW,
        share=len(legs),
        legs_cents=tuple(legs),
        expires_at=NOW + timedelta(microseconds=late_us),
        test=test,
    )
    assert write_ping_answer(receipt) == JSON.encode(answer_ping(receipt))


async def test_what_fails_unexpectedly_is_an_incident_of_its_own_ping_alone(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = PingReader.read
    broken = json.dumps({**PING, "source": {"sub_id": "broken"}}).encode()

    def fail_on_one(self: PingReader, body: bytes, *more: Any) -> Ping:
        if body == broken:
            raise RuntimeError("a defect")
        return read(self, body, *more)

    monkeypatch.setattr(PingReader, "read", fail_on_one)
    answers = await asyncio.gather(
        wire.call("POST", "/v1/ping", raw=broken),
        *(wire.call("POST", "/v1/ping", PING) for _ in range(3)),
    )
    assert [answer.status for answer in answers] == [500, 200, 200, 200]
    assert answers[0].json["incident"]


async def test_a_turn_that_breaks_off_keeps_nobody_who_comes_later_waiting(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick_way, "GROUP", 1)
    begin, turns = QuickPings._begin_group, 0

    def fail_first(self: QuickPings, group: Sequence[Quick]) -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            raise RuntimeError("a defect")
        begin(self, group)

    monkeypatch.setattr(QuickPings, "_begin_group", fail_first)
    pings = QuickPings(wire.server._dispatcher)
    lines = ["POST /v1/ping HTTP/1.1", "Host: x", "Authorization: Bearer key-of-seller"]
    head = read_head("\r\n".join([*lines, "Content-Length: 9"]).encode())
    assert head is not None
    told: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
    raised: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, facts: raised.append(facts))
    # The second waits behind the first in one turn, and is what could be left lying.
    for _ in range(2):
        assert pings.take(head, json.dumps(PING).encode(), lambda _: None, lambda: None)
    await asyncio.sleep(0)
    assert pings.take(head, json.dumps(PING).encode(), told.set_result, lambda: None)
    assert (await asyncio.wait_for(told, 5)).status == 200
    assert len(raised) == 1


async def test_pings_gather_where_several_are_on_the_way_and_none_waits_where_few_are(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[int] = []

    def hold(_: QuickPings, group: Sequence[Quick]) -> None:
        groups.append(len(group))

    monkeypatch.setattr(QuickPings, "_begin_group", hold)
    monkeypatch.setattr(quick_way, "GATHER_S", 0.1)
    pings = QuickPings(wire.server._dispatcher)
    lines = ["POST /v1/ping HTTP/1.1", "Host: x", "Authorization: Bearer key-of-seller"]
    head = read_head("\r\n".join([*lines, "Content-Length: 9"]).encode())
    assert head is not None
    body = json.dumps(PING).encode()
    for number in range(1, MANY + 1):
        assert pings.take(head, body, lambda _: None, lambda: None)
        await asyncio.sleep(0)
        assert groups == [1] * number
    for _ in range(3):
        assert pings.take(head, body, lambda _: None, lambda: None)
        await asyncio.sleep(0)
    assert len(groups) == MANY
    await asyncio.sleep(0.3)
    assert groups[MANY:] == [3]
