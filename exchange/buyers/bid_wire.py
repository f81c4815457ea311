"""The design's own speech: a ping as JSON, a bid as JSON. Source: design, Wire.

Much of a ping is the same for every campaign asked, so that part is written once a question.
"""

from __future__ import annotations

from typing import Final

import msgspec

from exchange.buyers.bid_reading import DECLINED, read_bid, unreadable
from exchange.buyers.speech import BidRead, Incoming, Outgoing
from exchange.core.model import PingId
from exchange.core.quality.flaws import BEST_SCORE
from exchange.core.reasons import Reason
from exchange.flow.bidding import Asked, Question

_HEADERS: Final = (("Content-Type", "application/json"), ("Accept", "application/json"))
_NO_CONTENT: Final = 204

_encode = msgspec.json.Encoder().encode


class PingWriter:
    """Writes pings. Remembers the last question's parts, as its bidders are asked one by one."""

    __slots__ = ("_after", "_before", "_ended", "_ending", "_question")

    def __init__(self) -> None:
        self._question: Question | None = None
        self._before = self._after = b""
        self._ending = (0, 0)  # the share count and time of the ending in ``_ended``
        self._ended = b""

    def write(self, question: Question, asked: Asked, timeout_ms: int) -> bytes:
        """Write the JSON object one campaign is asked with."""
        if question is not self._question:
            self._begin(question)
        if self._ending != (asked.share, timeout_ms):
            self._end(question, asked.share, timeout_ms)
        return b"".join((self._before, _encode(asked.campaign_id), self._ended))

    def _begin(self, question: Question) -> None:
        self._question = question
        self._before = b'{"ping_id":%b,"campaign_id":' % _encode(question.ping_id)
        self._after = b',"vertical":%b,"attributes":%b,' % (
            _encode(question.vertical),
            bytes(question.attributes),
        )
        if question.quality_score < BEST_SCORE:
            self._after += b'"quality_score":%d,' % question.quality_score
        self._ending = (0, 0)

    def _end(self, question: Question, share: int, timeout_ms: int) -> None:
        mode = b"exclusive" if share == 1 else b"shared"
        test = b"true" if question.test else b"false"
        self._ending = share, timeout_ms
        self._ended = b'%b"mode":"%b","shares":%d,"timeout_ms":%d,"test":%b}' % (
            self._after,
            mode,
            share,
            timeout_ms,
            test,
        )


class PlainSpeech:
    """POSTs pings to a campaign's URL. One serves every campaign that has no other speech."""

    __slots__ = ("pings",)

    def __init__(self) -> None:
        self.pings = PingWriter()

    def write(self, question: Question, asked: Asked, timeout_ms: int) -> Outgoing:
        """Write the request."""
        return request_of(asked, self.pings.write(question, asked, timeout_ms))

    def read(self, question: Question, asked: Asked, answer: Incoming) -> BidRead:
        """Read a whole answer."""
        return read_answer(answer, question.ping_id, asked.remote.max_price_cents)


def request_of(asked: Asked, body: bytes) -> Outgoing:
    """The request a campaign is asked with."""
    return Outgoing("POST", asked.remote.url or "", _HEADERS, body)


def read_answer(answer: Incoming, ping_id: PingId, max_price_cents: int) -> BidRead:
    """Judge by the head, then by the body."""
    told = why_no_bid(answer)
    if told is not None:
        return told
    return read_bid(answer.body, ping_id=ping_id, max_price_cents=max_price_cents)


def why_no_bid(answer: Incoming) -> BidRead | None:
    """Judge an answer by its head, None where there may be a bid in its body.

    A redirect is an error: a ping goes nowhere else.
    """
    status = answer.status
    if status == _NO_CONTENT:
        return DECLINED
    if not 200 <= status <= 299:
        return BidRead(reason=Reason.BIDDER_ERROR, detail=f"HTTP {status}")
    for name, value in answer.headers:
        # Nothing is unpacked, so that a small answer cannot become a large one.
        if name == "content-encoding" and value.strip().lower() not in ("", "identity"):
            return unreadable("a packed answer")
    return None
