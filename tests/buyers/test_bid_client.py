"""A connection to a bidder reads every answer as the parser does, also those it knows the head of.

Rules: §7 (a hostile bidder costs only its own bid); RFC 9112.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.buyers import bid_client
from exchange.buyers.bid_client import KNOWN_HEADS, HttpConnection
from exchange.buyers.bid_outbox import Outbox
from exchange.buyers.bid_round import Call
from exchange.buyers.speech import BidRead, Incoming, KnownHead

MAX_BODY = 40


class Letter:
    """Reads nothing, and keeps what there was to read."""

    def __init__(self, read: list[Incoming | BidRead]) -> None:
        self.got = read

    def read(self, call: Call, answer: Incoming) -> BidRead:
        self.got.append(answer)
        return BidRead(cents=1)

    def read_known(self, call: Call, known: KnownHead, body: bytes) -> BidRead:
        return self.read(call, Incoming(known.status, known.headers, body))


class Seat:
    """The letter's place."""

    def __init__(self, letter: Letter) -> None:
        self.letter = letter


class Asked:
    """A call, as far as a connection knows of it."""

    def __init__(self, letter: Letter) -> None:
        self.seat = Seat(letter)
        self.is_open = True
        self.holder: object = None

    def settle(self, read: BidRead) -> None:
        self.is_open = False
        if read.cents is None:
            self.seat.letter.got.append(read)


class Transport:
    """Where requests go; keeps them."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abort(self) -> None:
        """End."""


class Owner:
    """Counts how often the connection was free again, and whether it has ended."""

    def __init__(self) -> None:
        self.freed_times = 0
        self.has_ended = False

    def freed(self, connection: HttpConnection) -> None:
        self.freed_times += 1

    def ended(self, connection: HttpConnection) -> None:
        self.has_ended = True

    def try_again(self, call: Call) -> None:
        raise AssertionError("nothing was used before")


class Forgetful(dict[bytes, KnownHead]):
    """Remembers no head: every answer is the parser's to read."""

    def __setitem__(self, head: bytes, known: KnownHead) -> None:
        pass


def talk(
    wires: list[list[bytes]], heads: dict[bytes, KnownHead]
) -> tuple[list[Incoming | BidRead], int, bool]:
    """Ask and be answered in these pieces; what was read, how often it was free, whether it ended.

    Where an answer needs no more, the pieces left of it come unasked.
    """
    got: list[Incoming | BidRead] = []
    owner = Owner()
    loop = asyncio.new_event_loop()
    try:
        outbox = Outbox(loop)
        line = HttpConnection(
            owner, loop=loop, outbox=outbox, max_body_bytes=MAX_BODY, late_s=1.0, heads=heads
        )
        line.connection_made(cast(Any, Transport()))
        for pieces in wires:
            if line.is_ended:
                break
            line.send(cast(Call, Asked(Letter(got))), b"")
            for piece in pieces:
                line.data_received(piece)
            if line._is_busy and not line.is_ended:
                line.eof_received()
                line.connection_lost(None)
    finally:
        loop.close()
    return got, owner.freed_times, owner.has_ended


bodies = st.sampled_from([b"", b'{"price":1.00}', b'{"price":42.50}', b"\r\n\r\n", b"x" * 41])


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """An answer as bidders send it, or nearly; half of them have the same head."""
    if draw(st.booleans()):
        body = draw(st.sampled_from([b'{"price":1.00}', b'{"price":2.50}', b"nothing at all"]))
        return b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n" + body
    status = draw(st.sampled_from([b"200 OK", b"204 No Content", b"500 Oh", b"304 Same"]))
    body = draw(bodies)
    start = b"HTTP/1.1 " + status + b"\r\n"
    if draw(st.integers(0, 9)) == 0:
        start = b"HTTP/1.1 100 Continue\r\n\r\n" + start
    said = draw(st.sampled_from([0, 0, 0, 0, 1, -1])) + len(body)
    lines = draw(
        st.sampled_from(
            [
                [b"Content-Length: %d" % said],
                [b"Content-Length: %d" % said, b"Date: today"],
                [b"content-length: %d" % said, b"Connection: close"],
                [b"Content-Length: %d" % said, b"Content-Length: %d" % said],
                [b"Transfer-Encoding: chunked"],
                [b"Date: today"],
                [],
            ]
        )
    )
    if b"Transfer-Encoding: chunked" in lines and body:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return start + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


@st.composite
def wires(draw: st.DrawFn) -> list[list[bytes]]:
    """Answers, many of them whole, others in pieces or with the next one behind them."""
    known = draw(st.lists(answers(), min_size=1, max_size=3))
    talked = []
    for _ in range(draw(st.integers(1, 8))):
        wire = draw(st.sampled_from(known))
        if draw(st.integers(0, 7)) == 0:
            wire += draw(st.sampled_from(known))
        cuts = draw(st.sampled_from([0, 0, 0, 0, 1, 2]))
        places = sorted(draw(st.lists(st.integers(0, len(wire)), min_size=cuts, max_size=cuts)))
        ends = [0, *places, len(wire)]
        pieces = [wire[a:b] for a, b in pairwise(ends)]
        talked.append([piece for piece in pieces if piece])
    return talked


@settings(max_examples=400, deadline=None)
@given(wires())
def test_an_answer_whose_head_is_known_is_read_as_the_parser_reads_it(
    talked: list[list[bytes]],
) -> None:
    heads: dict[bytes, KnownHead] = {}
    for _ in range(2):
        assert talk(talked, heads) == talk(talked, Forgetful())


def test_the_heads_of_clean_answers_are_known_again(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: dict[bytes, KnownHead] = {}
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"
    first = talk([[wire]], heads)
    assert list(heads) == [wire[:-2]]

    def refuse(*_: object) -> None:
        raise AssertionError("it was read anew")

    monkeypatch.setattr(bid_client.HttpConnection, "_answer", refuse)
    assert talk([[wire]], heads) == first
    assert talk([[wire[:-2] + b"cd"]], heads)[0] == [
        Incoming(200, (("content-length", "2"),), b"cd")
    ]


def test_no_more_heads_are_known_than_may_be() -> None:
    heads: dict[bytes, KnownHead] = {}
    for number in range(3 * KNOWN_HEADS):
        talk([[b"HTTP/1.1 200 OK\r\nDate: %d\r\nContent-Length: 0\r\n\r\n" % number]], heads)
        assert len(heads) <= KNOWN_HEADS
    long = b"HTTP/1.1 200 OK\r\nLong: %b\r\nContent-Length: 0\r\n\r\n" % (b"x" * 1_100)
    talk([[long]], heads)
    assert long not in heads


@pytest.mark.parametrize("ends", [False, True])
async def test_a_request_is_written_unless_its_connection_has_ended_since(ends: bool) -> None:
    loop, transport = asyncio.get_running_loop(), Transport()
    line = HttpConnection(
        Owner(), loop=loop, outbox=Outbox(loop), max_body_bytes=MAX_BODY, late_s=1.0
    )
    line.connection_made(cast(Any, transport))
    line.send(cast(Call, Asked(Letter([]))), b"a request")
    assert not transport.written
    if ends:
        line.drop()
    await asyncio.sleep(0)
    assert transport.written == ([] if ends else [b"a request"])
