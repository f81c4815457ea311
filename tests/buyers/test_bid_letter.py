"""Other speeches: what the client makes of their requests, and how far it lets them go."""

from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from exchange.buyers.bid_dialling import read_place
from exchange.buyers.bid_letter import Letter, PlainLetter
from exchange.buyers.bid_limits import BidLimits
from exchange.buyers.bid_round import Call, Round
from exchange.buyers.bid_seat import Seat
from exchange.buyers.bid_wire import PlainSpeech, why_no_bid
from exchange.buyers.fan_out import AllBidders
from exchange.buyers.signing import Signer
from exchange.buyers.speech import BidRead, Incoming, KnownHead, Outgoing
from exchange.core.reasons import Reason
from exchange.flow.bidding import Asked, Question, Said
from tests.buyers.asking import (
    NOW,
    Bidder,
    a_question,
    ask,
    ask_one,
    asking,
    outcome,
    secret_of,
)
from tests.buyers.systems import answer, system

PLAIN = (("Content-Type", "text/plain"),)


class Speech(Struct):
    """A speech that writes this, with ``suffix`` behind the campaign's URL, and reads cents."""

    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = PLAIN
    body: bytes = b"a question"
    suffix: str = ""
    url: str | None = None
    fault: type[Exception] | None = None
    answers: list[Incoming] = []

    def write(self, question: Question, asked: Asked, timeout_ms: int) -> Outgoing:
        if self.fault is not None:
            raise self.fault("a template's")
        url = self.url or (asked.remote.url or "") + self.suffix
        return Outgoing(self.method, url, self.headers, self.body)

    def read(self, question: Question, asked: Asked, answer: Incoming) -> BidRead:
        self.answers.append(answer)
        return BidRead(cents=int(answer.body))


async def asked_in(speech: Speech, body: bytes = b"700") -> tuple[Said, Bidder]:
    """Ask one bidder, that answers with this body, in a speech of its own."""
    bidder = Bidder(answer(body, status=203, extra="X-Bid: Yes\r\n"))
    async with (
        AllBidders(
            secret_of=secret_of,
            speech_for=lambda remote: speech,
            allow_private_addresses=True,
            clock=lambda: NOW,
        ) as among,
        system(bidder) as url,
    ):
        return await ask_one(among, asking(url)), bidder


async def test_a_speech_decides_what_is_sent_and_what_an_answer_means() -> None:
    speech = Speech(method="PUT", suffix="?q=50%25", headers=(*PLAIN, ("X-Key", "a%b")))
    said, bidder = await asked_in(speech)
    assert outcome(said) == 700
    headers, body = bidder.requests[0]
    assert headers[""] == "PUT /leads?q=50%25 HTTP/1.1"
    assert (headers["content-type"], headers["x-key"]) == ("text/plain", "a%b")
    assert body == b"a question"
    assert headers["x-exchange-signature"].startswith("v1=")
    (answered,) = speech.answers
    assert (answered.status, answered.body) == (203, b"700")
    assert ("x-bid", "Yes") in answered.headers


async def test_a_question_can_be_a_get_without_a_body() -> None:
    said, bidder = await asked_in(Speech(method="GET", body=b"", suffix="?zip=94107"))
    assert outcome(said) == 700
    assert bidder.requests[0][0][""] == "GET /leads?zip=94107 HTTP/1.1"


async def test_headers_of_the_clients_own_are_not_taken_from_a_speech() -> None:
    own = ("Host", "Content-Length", "Transfer-Encoding", "Connection", "X-Exchange-Signature")
    said, bidder = await asked_in(Speech(headers=tuple((name, "77") for name in own)))
    assert outcome(said) == 700
    assert "77" not in bidder.requests[0][0].values()


@pytest.mark.parametrize(
    "speech",
    [
        Speech(fault=ValueError),
        Speech(headers=(("X-Key", "a\r\nX-Other: b"),)),
        Speech(headers=(("X Key", "a"),)),
        Speech(headers=(("X-Key", "€"),)),
        Speech(method="POST / HTTP/1.1\r\n"),
        Speech(url="http://elsewhere.example/leads"),
        Speech(url="http://127.0.0.1:1/leads"),
        Speech(url="gopher://127.0.0.1/"),
        Speech(suffix="?a b\r\n"),
    ],
    ids=lambda speech: repr(speech)[:60],
)
async def test_what_cannot_be_sent_is_not_sent(speech: Speech) -> None:
    said, bidder = await asked_in(speech)
    assert outcome(said) is Reason.BIDDER_CONNECTION
    assert not bidder.requests


async def test_what_cannot_be_sent_keeps_nobody_else_waiting() -> None:
    good, bad = Speech(), Speech(fault=ValueError)
    async with (
        AllBidders(
            secret_of=secret_of,
            speech_for=lambda remote: bad if remote.simulate else good,
            limits=BidLimits(max_connections_per_bidder=1),
            allow_private_addresses=True,
        ) as among,
        system(Bidder(answer(b"700"))) as url,
    ):
        asked = [asking(url), asking(url, "c-2", simulate=True), asking(url, "c-3")]
        said = await ask(among, *asked, within_s=1.0)
    assert [outcome(one) for one in said] == [700, Reason.BIDDER_CONNECTION, 700]


async def test_an_answer_a_speech_breaks_over_is_unreadable() -> None:
    said, _ = await asked_in(Speech(), b"seven dollars")
    assert outcome(said) is Reason.BID_UNREADABLE


@pytest.mark.parametrize("cents", [b"0", b"-5", b"100001"])
async def test_no_speech_makes_a_bid_count_beyond_the_campaigns_bound(cents: bytes) -> None:
    said, _ = await asked_in(Speech(), cents)
    assert (said.cents, said.reason) == (None, Reason.BID_PRICE)


# --- the design's own speech ----------------------------------------------------------------------

PLACE = read_place("http://127.0.0.1:8080/leads?a=1%25")


def letters(clock: Callable[[], float] = lambda: NOW) -> tuple[Letter, PlainLetter]:
    """The same campaign's letters as any speech's are written and read, and by the quick way."""
    speech = PlainSpeech()
    return (
        Letter(speech, Signer("xs_1"), PLACE, clock),
        PlainLetter(speech, Signer("xs_1"), PLACE, clock),
    )


def a_call(ping_id: str = "p-1", share: int = 1, time_ms: int = 250) -> Call:
    asked = asking("http://127.0.0.1:8080/leads?a=1%25", share=share, max_price_cents=50_00)
    seat = cast(Seat, None)
    return Call(Round(1, lambda _: None), a_question(ping_id), 0, asked, seat, time_ms, 0.0)


def test_the_designs_own_requests_are_written_as_any_speechs() -> None:
    now = [0.0]
    slow, quick = letters(lambda: now[0])
    for now[0] in (1.0, 1.9, 2.0):
        for call in (a_call(), a_call("p-2"), a_call(share=3), a_call(time_ms=90)):
            assert quick.write(call) == slow.write(call)
    assert b"X-Exchange-Timestamp: 2\r\n" in quick.write(a_call())


heads = st.tuples(
    st.sampled_from([200, 201, 204, 302, 404, 500]),
    st.sampled_from([(), (("content-encoding", "gzip"),), (("content-encoding", " identity"),)]),
)
bodies = st.sampled_from(
    [
        b'{"price":12.50,"currency":"USD","token":"t","ping_id":"p-1"}',
        b'\xef\xbb\xbf {"price":"7.00"}\n\x0b',
        b'{"price":60}',
        b'{"price":null}',
        b'{"price":7,"ping_id":"p-2"}',
        b'{"price":7,"currency":"EUR"}',
        b'{"price":7,"token":7}',
        b"[]",
        b" ",
        b"",
        b"{" * 100_000,
    ]
)


@given(heads, bodies)
def test_an_answer_with_a_known_head_means_what_it_means_anew(
    head: tuple[int, tuple[tuple[str, str], ...]], body: bytes
) -> None:
    status, headers = head
    answer = Incoming(status, headers, body)
    known = KnownHead(status, headers, len(body), why_no_bid(answer) is None)
    slow, quick = letters()
    assert quick.read_known(a_call(), known, body) == slow.read(a_call(), answer)
