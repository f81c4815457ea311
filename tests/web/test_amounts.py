"""An amount in a text is taken as it is plainly written, or not at all (the wire's contract)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.flow.faults import Invalid
from exchange.web.amounts import check_amounts
from tests.web.bodies import CAMPAIGN, PING, changed
from tests.web.conftest import Wire

ODD = [
    "1e3",
    "1E3",
    " 5 ",
    "5 ",
    "+5",
    "1_000",
    "\u0661\u0662",
    "\uff15",
    "NaN",
    "1.2.3",
    ".",
    "-",
    "",
]


class Inner(msgspec.Struct):
    price: Decimal | None = None
    note: str = ""


class Outer(msgspec.Struct):
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    named: dict[int, Decimal] = {}
    outer: Outer | None = None


PLACES: dict[str, Callable[[str], object]] = {
    "inner.price": lambda text: {"inner": {"price": text}},
    "many[1].price": lambda text: {"many": [{}, {"price": text}]},
    "named.2": lambda text: {"named": {"2": text}},
}


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("place", PLACES)
def test_a_text_that_is_no_plain_number_is_refused_with_its_place(place: str, text: str) -> None:
    with pytest.raises(Invalid) as fault:
        check_amounts(Outer, msgspec.json.encode(PLACES[place](text)))
    assert fault.value.field == place


@given(st.decimals(-(10**9), 10**9, places=2))
def test_plain_numbers_are_taken_as_texts_and_as_numbers(amount: Decimal) -> None:
    for written in (amount, f"{amount:f}"):
        check_amounts(Outer, msgspec.json.encode({"inner": {"price": written}}))


@pytest.mark.parametrize(
    ("number", "field"),
    [
        pytest.param(b"1e400", "min_price", id="no float"),
        pytest.param(b"1e" + b"9" * 99, "min_price", id="no number of any kind"),
        pytest.param(b"-" + b"9" * 400, "min_price", id="hundreds of digits"),
        pytest.param(b"9" * 5_000, None, id="more digits than are read"),
    ],
)
async def test_a_number_of_any_size_is_the_callers_fault(
    wire: Wire, number: bytes, field: str | None
) -> None:
    raw = b'{"vertical":"roofing","min_price":%s,"attributes":{"zip":"94107"}}' % number
    answer = await wire.call("POST", "/v1/ping", raw=raw)
    assert (answer.status, answer.json.get("field")) == (422, field)


async def test_what_was_left_undecoded_is_told_as_malformed(wire: Wire) -> None:
    raw = rb'{"vertical":"roofing","min_price":"5","attributes":{"zip":"\ud800"}}'
    assert (await wire.call("POST", "/v1/ping", raw=raw)).status == 400


def test_other_texts_are_nobodys_amounts() -> None:
    body = {"inner": {"note": "1e3", "price": 1e3}, "named": {}, "many": [{"note": " "}]}
    check_amounts(Outer, msgspec.json.encode(body))


@pytest.mark.parametrize("text", ODD)
async def test_a_pings_price_is_plain_whichever_way_it_comes(wire: Wire, text: str) -> None:
    answer = await wire.call("POST", "/v1/ping", changed(PING, "min_price", text))
    assert (answer.status, answer.json["field"]) == (422, "min_price")


@pytest.mark.parametrize("text", ["12.00", "12", "12.5"])
async def test_a_pings_price_may_be_a_plain_text(wire: Wire, text: str) -> None:
    assert (await wire.call("POST", "/v1/ping", changed(PING, "min_price", text))).status == 200
    form = f"vertical=roofing&zip=94107&min_price={text}"
    assert (await wire.form("/v1/ping", form)).status == 200


async def test_a_forms_price_is_plain_too(wire: Wire) -> None:
    answer = await wire.form("/v1/ping", "vertical=roofing&zip=94107&min_price=1e1")
    assert (answer.status, answer.json["field"]) == (422, "min_price")


@pytest.mark.parametrize(
    ("place", "field"),
    [
        ("bid.exclusive", "bid.exclusive"),
        ("bid.shared.2", "bid.shared.2"),
        ("bid.modifiers.1.multiply", "bid.modifiers[1].multiply"),
        ("caps.1.spend", "caps[1].spend"),
    ],
)
async def test_a_campaigns_amounts_are_plain(wire: Wire, place: str, field: str) -> None:
    body = changed(CAMPAIGN, place, "1e1")
    answer = await wire.call("POST", "/v1/campaigns", body, key="company")
    assert (answer.status, answer.json["field"]) == (422, field)


@pytest.mark.parametrize(
    "half", [rb"\ud800", rb"\udc00", rb"\ud83d\ud83d", rb"\ud83d and on and on"]
)
async def test_half_of_a_surrogate_pair_is_told_as_what_it_is(wire: Wire, half: bytes) -> None:
    for raw in (b'{"name":"%s"}' % half, rb'{"name":"\\ud83d\u0041%s"}' % half):
        answer = await wire.call("POST", "/v1/sellers", raw=raw, key="operator")
        assert (answer.status, answer.json["code"]) == (400, "malformed")
        assert "half of a surrogate pair" in answer.json["detail"]
    cut = await wire.call(
        "POST", "/v1/sellers", raw=rb'{"name":"\ud83d\ude00\\ud800', key="operator"
    )
    assert "surrogate" not in cut.json["detail"]
