"""What a bid counts for: each way it can be wrong has its own reason (design, Wire)."""

import json
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from exchange.buyers.answers import Heard
from exchange.buyers.bid_reading import (
    MAX_KNOWN_BIDS,
    MAX_TOKEN_CHARS,
    judge_cents,
    known_bids,
    read_bid,
    read_cents,
)
from exchange.buyers.bid_wire import read_answer
from exchange.buyers.hearing import OWN_BID, bid_of
from exchange.buyers.speech import BidRead, Incoming
from exchange.core.model import PingId
from exchange.core.reasons import Reason

PING = PingId("p-1")
BOUND = 1_000_00


def read(body: bytes, bound: int = BOUND) -> BidRead:
    return read_bid(body, ping_id=PING, max_price_cents=bound)


def priced(price: str) -> BidRead:
    """Read a bid whose price is this text of JSON."""
    return read(b'{"price":' + price.encode() + b"}")


@pytest.mark.parametrize(
    ("price", "cents"),
    [
        ("42.50", 4_250),
        ("42.5", 4_250),
        ("42", 4_200),
        ("0.01", 1),
        ("1000.00", BOUND),
        ("4.25e1", 4_250),
        ("42.500000000000000000000000000000000000", 4_250),
        ('"42.50"', 4_250),
        ('"\\u0034\\u0032"', 4_200),
    ],
)
def test_a_price_is_read_exactly(price: str, cents: int) -> None:
    assert priced(price) == BidRead(cents=cents)


@given(cents=st.integers(1, BOUND))
def test_every_amount_in_cents_comes_back_as_it_was(cents: int) -> None:
    text = f"{cents // 100}.{cents % 100:02}"
    assert priced(text).cents == priced(f'"{text}"').cents == cents


@given(
    price=st.decimals(
        allow_nan=False, allow_infinity=False, places=3, min_value=-10, max_value=2_000
    )
)
def test_a_price_counts_in_whole_cents_within_bounds_or_not_at_all(price: Decimal) -> None:
    told = priced(str(price))
    hundredfold = price * 100
    if price.is_zero() and not price.is_signed():
        assert told.reason is Reason.BIDDER_DECLINED
    elif hundredfold == hundredfold.to_integral_value() and 0 < hundredfold <= BOUND:
        assert told == BidRead(cents=int(hundredfold))
    else:
        assert (told.reason, told.cents) == (Reason.BID_PRICE, None)


@pytest.mark.parametrize(
    "price",
    [
        *("-1", "-0.01", '"-5"', "42.505", "0.001", "1000.01", "1e9", "1e-9", "1e999999999"),
        *("1e99999999999999999999", '"1e2"', '"NaN"', '"Infinity"', '" 42"', '"42,50"', '"$42"'),
        *('""', "true", "false", "[]", "[42]", "{}", '"٤٢"', "9" * 5_000),
    ],
)
def test_what_is_no_positive_amount_in_whole_cents_within_bounds_is_no_bid(price: str) -> None:
    assert (priced(price).cents, priced(price).reason) == (None, Reason.BID_PRICE)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \r\n",
        b"{}",
        b'{"price":null}',
        b'{"price":0}',
        b'{"price":0.00}',
        b'{"price":"0"}',
        b'{"price":null,"currency":"EUR"}',
        b'\xef\xbb\xbf{"price":0}',
    ],
)
def test_nothing_null_and_zero_decline(body: bytes) -> None:
    assert read(body) == BidRead(reason=Reason.BIDDER_DECLINED)


def test_a_key_given_twice_counts_as_the_last_one_says() -> None:
    assert read(b'{"price":1,"price":2}') == BidRead(cents=200)


@pytest.mark.parametrize(
    "body",
    [
        *(b"<html>no</html>", b"[]", b"42.50", b'"x"', b"null", b"\xff\xfe", b'{"price":NaN}'),
        *(b'{"price":Infinity}', b'{"price":42', b'{"price":042}', b'{"price":1}{"price":2}'),
        *(b'{"a":' + b"[" * 10_000, b'{"price":1,"token":7}', b'{"price":1,"token":{"a":1}}'),
        b'{"price":1,"token":"' + b"x" * (MAX_TOKEN_CHARS + 1) + b'"}',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_nobody_can_read_is_unreadable(body: bytes) -> None:
    assert read(body).reason is Reason.BID_UNREADABLE


@given(body=st.binary(max_size=200))
@example(b'{"price":1')
def test_no_answer_is_an_exception(body: bytes) -> None:
    told = read(body)
    assert (told.cents is None) != (told.reason is None)


plain_bids = st.builds(
    lambda price, more: json.dumps({"price": price} | more).encode(),
    st.integers(-1, 30) | st.sampled_from([None, "5.00", 5.001, "five"]),
    st.fixed_dictionaries(
        {},
        optional={
            "currency": st.sampled_from(["USD", "EUR", None]),
            "token": st.sampled_from(["t-1", None, 7]),
            "ping_id": st.sampled_from(["p-1", "p-2", None]),
        },
    ),
)


@given(
    body=plain_bids,
    asked=st.lists(
        st.tuples(st.sampled_from(["p-1", "p-2"]), st.sampled_from([5_00, 20_00])),
        min_size=2,
        max_size=4,
    ),
)
def test_the_same_bytes_are_judged_by_each_auction_and_bound_as_if_never_seen(
    body: bytes, asked: list[tuple[str, int]]
) -> None:
    for ping_id, bound in asked:
        bid = json.loads(body)
        alone = judge_cents(
            read_cents(Raw(json.dumps(bid["price"]).encode())),
            ping_id=PingId(ping_id),
            max_price_cents=bound,
            currency=bid.get("currency"),
            token=bid.get("token"),
            auction=bid.get("ping_id"),
        )
        assert read_bid(body, ping_id=PingId(ping_id), max_price_cents=bound) == alone


def test_of_bids_that_are_remembered_there_is_a_bound() -> None:
    for cents in range(1, 3 * MAX_KNOWN_BIDS, 2):
        assert priced(f"{cents // 100}.{cents % 100:02}").cents == (
            cents if cents <= BOUND else None
        )
    assert 0 < len(known_bids) <= MAX_KNOWN_BIDS


@pytest.mark.parametrize("currency", ["USD", "usd", " USD "])
def test_a_bid_in_us_dollars_counts_however_it_is_written(currency: str) -> None:
    assert read(json.dumps({"price": 5, "currency": currency}).encode()).cents == 500


@pytest.mark.parametrize("currency", ["EUR", "", 840, ["USD"], True])
def test_a_bid_in_another_currency_does_not_count(currency: object) -> None:
    told = read(json.dumps({"price": 5, "currency": currency}).encode())
    assert (told.cents, told.reason) == (None, Reason.BID_CURRENCY)


def test_the_auctions_id_must_be_right_if_it_is_given() -> None:
    assert read(b'{"price":5,"ping_id":"p-1"}').cents == 500
    assert read(b'{"price":5,"ping_id":null}').cents == 500
    for other in (b'"p-2"', b'"P-1"', b"7", b'""'):
        told = read(b'{"price":5,"ping_id":' + other + b"}")
        assert (told.cents, told.reason) == (None, Reason.BID_AUCTION)


def test_the_token_comes_with_the_bid() -> None:
    assert read('{"price":5,"token":"t-ü"}'.encode()) == BidRead(cents=500, token="t-ü")


def test_the_campaigns_own_bound_is_the_most_that_is_believed() -> None:
    assert read(b'{"price":5.00}', bound=500).cents == 500
    assert read(b'{"price":5.01}', bound=500).reason is Reason.BID_PRICE


@pytest.mark.parametrize("status", [199, 301, 302, 307, 400, 401, 404, 429, 500, 503])
def test_a_status_that_is_no_success_is_an_error(status: int) -> None:
    told = read_answer(Incoming(status, (), b'{"price":5}'), PING, BOUND)
    assert (told.cents, told.reason) == (None, Reason.BIDDER_ERROR)
    assert told.detail == f"HTTP {status}"


@pytest.mark.parametrize("status", [200, 201, 206])
def test_any_other_success_is_read(status: int) -> None:
    assert read_answer(Incoming(status, (), b'{"price":5}'), PING, BOUND).cents == 500


def test_no_content_declines_whatever_it_holds() -> None:
    assert read_answer(Incoming(204, (), b""), PING, BOUND).reason is Reason.BIDDER_DECLINED


def test_a_packed_answer_is_not_unpacked() -> None:
    packed = Incoming(200, (("content-encoding", "gzip"),), b"\x1f\x8b")
    assert read_answer(packed, PING, BOUND).reason is Reason.BID_UNREADABLE
    plain = Incoming(200, (("content-encoding", "identity"),), b'{"price":5}')
    assert read_answer(plain, PING, BOUND).cents == 500


def test_a_token_out_of_a_dialects_answer_is_bounded_too() -> None:
    token = "t" * (MAX_TOKEN_CHARS + 1)
    heard = Heard(outcome="accepted", matched=True, readable=True, price="5.00", token=token)
    told = bid_of(heard, 200, OWN_BID, ping_id=PING, max_price_cents=BOUND)
    assert (told.cents, told.reason) == (None, Reason.BID_UNREADABLE)
