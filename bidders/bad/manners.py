"""The bad bidders: each one's name, what it does wrong, and what that is made of.

A manner is what is said (`says`), what is said of it (`status`, `fields`, `opcode`), and how it
is sent (`send`). The same ways of sending serve HTTP and the bid stream. 999.99 is a price that
no one may ever come to believe.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from typing import Final

import msgspec

from bidders import frames
from bidders.bad import sending
from bidders.bad.sending import Sending
from bidders.bad.speech import Asked, Words

JSON_TYPE: Final = b"Content-Type: application/json"
TRAP: Final = "trap"
_BOMB_BYTES: Final = 32 << 20


def _say(words: bytes) -> Words:
    return lambda asked: words


def _as_it_is(body: bytes) -> bytes:
    return body


def _cut_off(body: bytes) -> bytes:
    return body[:-3]


def _blow_up(body: bytes) -> bytes:
    begun, packer = _packed_blanks()
    rest = packer.copy()
    return begun + rest.compress(body) + rest.flush()


@functools.cache
def _packed_blanks() -> tuple[bytes, zlib._Compress]:
    """Begin a gzip stream with 32 MiB of blanks; once, as it takes a while."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(b" " * _BOMB_BYTES), packer


BID: Final = _say(b'"price":42.50,"currency":"USD","token":"bad-1"')
TRAPPED: Final = _say(b'"price":999.99,"currency":"USD"')
ACCEPTED: Final = b'{"status":"accepted","reference":"bad-1"}'


def _another_ping(asked: Asked) -> bytes:
    return b'"price":999.99,"currency":"USD","ping_id":"another-ping"'


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """A way of being bad, told in ``does``; ``packs`` changes a body before it is sent."""

    name: str
    does: str
    says: tuple[Words, ...] = (BID,)
    says_of_leads: bytes = ACCEPTED
    packs: Callable[[bytes], bytes] = _as_it_is
    status: bytes = b"200 OK"
    fields: tuple[bytes, ...] = (JSON_TYPE,)
    redirects_to: str | None = None
    opcode: int = frames.TEXT
    send: Sending = sending.whole

    @property
    def upgrades(self) -> bool:
        """Whether it takes a bid stream at all."""
        return self.status.startswith(b"2")


_ALL: Final = (
    Manner(name="good", does="bids 42.50 and takes leads, for comparison"),
    # In time
    Manner(name="hanging", does="takes the request and never answers", send=sending.never),
    Manner(
        name="slow",
        does="answers after a while, drawn from a distribution "
        "(?distribution=lognormal&median_ms=200&spread=0.5)",
        send=sending.late,
    ),
    Manner(name="dripping", does="sends its answer a byte every 100 ms", send=sending.drop_by_drop),
    # In transport
    Manner(
        name="erring",
        does="answers 500; takes no stream",
        status=b"500 Internal Server Error",
        packs=lambda body: b'{"error":"internal error"}',
    ),
    Manner(
        name="resetting",
        does="resets the connection in the middle of its answer",
        send=sending.half_then_reset,
    ),
    Manner(
        name="cutting",
        does="ends the connection in the middle of its answer",
        send=sending.half_then_close,
    ),
    Manner(
        name="closing",
        does="takes the request and hangs up without an answer",
        send=sending.nothing_then_close,
    ),
    Manner(
        name="leaving",
        does="answers well and hangs up unannounced, so that a kept connection is dead",
        send=sending.whole_then_close,
    ),
    Manner(name="garbage", does="answers bytes that are no protocol", send=sending.noise),
    Manner(name="huge", does="answers with 64 MiB: a good bid, and blanks", send=sending.too_much),
    Manner(name="headless", does="sends headers without end", send=sending.endless_head),
    Manner(
        name="bomb",
        does="answers 32 KiB of gzip nobody asked for, 32 MiB when unpacked",
        packs=_blow_up,
        fields=(JSON_TYPE, b"Content-Encoding: gzip"),
        opcode=frames.BINARY,
    ),
    Manner(
        name="overstating",
        does="announces 100 bytes more than it sends, then waits",
        send=sending.less_than_said,
    ),
    Manner(
        name="doubling",
        does="answers every request twice, the second time with 999.99",
        says=(BID, TRAPPED),
    ),
    Manner(
        name="redirecting",
        does="answers 307 to a bidder that bids 999.99; takes no stream",
        status=b"307 Temporary Redirect",
        redirects_to=TRAP,
    ),
    Manner(
        name=TRAP, does="where redirecting sends those who follow: bids 999.99", says=(TRAPPED,)
    ),
    # In content
    Manner(
        name="mistyped",
        does="says its JSON is a picture; in a stream, sends it as binary",
        fields=(b"Content-Type: image/png",),
        opcode=frames.BINARY,
    ),
    Manner(
        name="page",
        does="says its web page is JSON",
        packs=lambda body: b"<html><body>Welcome back!</body></html>",
    ),
    Manner(name="truncated", does="answers JSON that lacks its end", packs=_cut_off),
    Manner(
        name="euro",
        does="bids in another currency",
        says=(_say(b'"price":999.99,"currency":"EUR"'),),
    ),
    Manner(
        name="negative",
        does="bids a price below zero",
        says=(_say(b'"price":-42.50,"currency":"USD"'),),
    ),
    Manner(name="free", does="bids 0.00", says=(_say(b'"price":0.00,"currency":"USD"'),)),
    Manner(name="nan", does="bids NaN", says=(_say(b'"price":NaN,"currency":"USD"'),)),
    Manner(name="infinite", does="bids 1e999", says=(_say(b'"price":1e999,"currency":"USD"'),)),
    Manner(
        name="enormous",
        does="bids 99999999999999999999.99",
        says=(_say(b'"price":99999999999999999999.99,"currency":"USD"'),),
    ),
    Manner(
        name="finer",
        does="bids 42.505, a price finer than a cent",
        says=(_say(b'"price":42.505,"currency":"USD"'),),
    ),
    Manner(name="wordy", does='bids "a lot"', says=(_say(b'"price":"a lot","currency":"USD"'),)),
    Manner(name="empty", does="answers {} without a price", says=(_say(b'"currency":"USD"'),)),
    Manner(
        name="mistaken",
        does="names another ping in its bid of 999.99",
        says=(_another_ping,),
    ),
    Manner(
        name="regretting",
        does="bids 42.50 and takes the lead for 1.00",
        says_of_leads=b'{"status":"accepted","reference":"bad-1","price":1.00}',
    ),
)

MANNERS: Final = {manner.name: manner for manner in _ALL}
