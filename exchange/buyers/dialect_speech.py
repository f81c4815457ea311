"""Asking companies' bidders in their own dialects: the speech of campaigns that have one."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

from exchange.buyers.dialects import Dialects, Spoken
from exchange.buyers.hearing import OWN_BID, bid_of
from exchange.buyers.lead_fields import ping_values
from exchange.buyers.speech import BidRead, Incoming, Outgoing
from exchange.core.model import CampaignId, PingId
from exchange.flow.bidding import Asked, Question


class _OwnPing(Struct, frozen=True, kw_only=True):
    """The exchange's own body of a ping; the order is the design's."""

    ping_id: PingId
    campaign_id: CampaignId
    vertical: str
    attributes: Raw
    mode: str
    shares: int
    timeout_ms: int
    test: bool


_encode: Final = msgspec.json.Encoder().encode


class DialectSpeech:
    """Writes and reads by each campaign's dialect or preset; a `BidSpeech`.

    ``write`` raises `Unwritable` for a lead the company's own template does not come out with, and
    `DialectFault` for a dialect that no longer compiles.
    """

    def __init__(self, dialects: Dialects) -> None:
        self._dialects = dialects

    def write(self, question: Question, asked: Asked, timeout_ms: int) -> Outgoing:
        """Write the request."""
        return write_ping(
            self._dialects, self._dialects.ping(asked.remote), question, asked, timeout_ms
        )

    def read(self, question: Question, asked: Asked, answer: Incoming) -> BidRead:
        """Read an answer; never raises for what a bidder answered."""
        return read_bid(self._dialects.ping(asked.remote), question, asked, answer)


def write_ping(
    dialects: Dialects, spoken: Spoken, question: Question, asked: Asked, timeout_ms: int
) -> Outgoing:
    """Write a ping as a compiled dialect has it."""
    now = dialects.clock()
    values = ping_values(question, asked, timeout_ms, spoken.secrets, now)

    def own_body() -> bytes:
        return _encode(
            _OwnPing(
                ping_id=question.ping_id,
                campaign_id=asked.campaign_id,
                vertical=question.vertical,
                attributes=question.attributes,
                mode=values["mode"],
                shares=asked.share,
                timeout_ms=timeout_ms,
                test=question.test,
            )
        )

    return spoken.request.write(values, int(now.timestamp()), own_body)


def read_bid(spoken: Spoken, question: Question, asked: Asked, answer: Incoming) -> BidRead:
    """Read a bid as a compiled dialect has it."""
    assert spoken.listener is not None  # a ping's answer is always read by rules
    return bid_of(
        spoken.listener.hear(answer),
        answer.status,
        spoken.reading or OWN_BID,
        ping_id=question.ping_id,
        max_price_cents=asked.remote.max_price_cents,
    )
