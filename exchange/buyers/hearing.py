"""What a company's words come to: a bid or none, a lead taken, refused, or not delivered.

Pure: what was heard in a dialect in, the exchange's own values out. Rules: §7, §8.
"""

from __future__ import annotations

from typing import Final

from exchange.buyers.addresses import read_url
from exchange.buyers.answers import Heard
from exchange.buyers.bid_reading import judge_cents
from exchange.buyers.outcome import judge_status
from exchange.buyers.prices import PriceFault, is_dollars, read_price
from exchange.buyers.redaction import clean_reference, redact
from exchange.buyers.speech import BidRead
from exchange.core.dialect import Reading, Rule, Test
from exchange.core.model import PingId
from exchange.core.reasons import Reason
from exchange.flow.ports import Answer, Contact

OWN_BID: Final = Reading(
    outcomes=(
        Rule(when=Test(status=204), then="rejected"),
        Rule(when=Test(status="200-299", path="price", exists=True), then="accepted"),
    ),
    price="price",
    currency="currency",
    token="token",
    ping_id="ping_id",
)
"""How a bid is read where a dialect does not say: as the exchange's own wire has it."""


def bid_of(
    heard: Heard, status: int, reading: Reading, *, ping_id: str, max_price_cents: int
) -> BidRead:
    """Judge what a bidder said. Nothing of its words is in the detail."""
    if heard.ping_id is not None and heard.ping_id != ping_id:
        return BidRead(reason=Reason.BID_AUCTION, detail="another auction's id")
    if heard.outcome in ("rejected", "duplicate"):
        return BidRead(reason=Reason.BIDDER_DECLINED)
    if heard.outcome == "error":
        if status >= 300 or heard.matched:
            return BidRead(reason=Reason.BIDDER_ERROR, detail=f"HTTP {status}")
        detail = "no rule understands the answer" if heard.readable else "the answer is unreadable"
        return BidRead(reason=Reason.BID_UNREADABLE, detail=detail)
    if not is_dollars(heard.currency):
        return BidRead(reason=Reason.BID_CURRENCY, detail="the currency is not USD")
    try:
        cents = read_price(heard.price, reading.price_unit)
    except PriceFault as fault:
        return BidRead(reason=fault.reason, detail=str(fault))
    return judge_cents(
        cents, ping_id=PingId(ping_id), max_price_cents=max_price_cents, token=heard.token
    )


def answer_of(heard: Heard, status: int, contact: Contact) -> Answer:
    """Judge what a company's system said of a lead; its words are kept without contact data."""
    said = None if heard.said is None else redact(heard.said, contact) or None
    if heard.outcome == "accepted":
        reference = heard.reference and clean_reference(heard.reference, contact)
        return Answer(
            result="accepted", reference=reference or None, redirect_url=_link(heard.redirect_url)
        )
    if heard.outcome == "duplicate":
        return Answer(result="refused", reason=heard.reason or Reason.DUPLICATE_LEAD, detail=said)
    if heard.outcome == "rejected":
        reason = heard.reason or Reason.COMPANY_REFUSED
        return Answer(result="refused", reason=reason, detail=said)
    by_status = judge_status(status)
    if heard.reason is not None and heard.reason.category == "technical":
        reason = heard.reason
    elif by_status is not None and by_status.reason is not None:
        reason = by_status.reason
    else:
        reason = Reason.DATA_FORMAT
    return Answer(result="failed", reason=reason, detail=said or _describe(heard, status))


def _describe(heard: Heard, status: int) -> str:
    if not heard.readable:
        return f"HTTP {status}, unreadable answer"
    if not heard.matched:
        return f"HTTP {status}, no rule understands the answer"
    return f"HTTP {status}"


def _link(url: str | None) -> str | None:
    """A link the consumer may be sent to; None for what is none."""
    if url is None:
        return None
    try:
        return str(read_url(url))
    except ValueError:
        return None
