"""Decides what a bid counts for: each rule a bid can break has its own reason.

Pure: values in, a `BidRead` out, the same for every way a bid can come. Rules: §7; design, Wire.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Raw, Struct

from exchange.buyers.speech import BidRead
from exchange.core.model import PingId
from exchange.core.money import MoneyError, parse_cents
from exchange.core.reasons import Reason

MAX_TOKEN_CHARS: Final = 1_024
"""The longest token kept with an offer; it goes back to the bidder with the post."""

CURRENCY: Final = "USD"

_REMEMBERED_BYTES: Final = 16  # any plain price; longer ones would fill the memory

MAX_KNOWN_BIDS: Final = 4_096
_KNOWN_BYTES: Final = 64

known_bids: Final[dict[bytes, BidRead]] = {}
"""Bids of a price and nothing of their auction, by their bytes: they are the same in any other."""

_BOM: Final = b"\xef\xbb\xbf"  # some systems begin their JSON with it

_NUMBER_BEGINS: Final = tuple(bytes((byte,)) for byte in b"-0123456789")

DECLINED: Final = BidRead(reason=Reason.BIDDER_DECLINED)


class _Bid(Struct, frozen=True):
    """A bid as it came; what is judged later is not typed, so that each fault has its reason."""

    price: Raw = Raw(b"null")
    currency: object = None
    token: object = None
    ping_id: object = None


_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_read_bid = msgspec.json.Decoder(_Bid).decode
_read_text = msgspec.json.Decoder(str).decode


def read_bid(body: bytes, *, ping_id: PingId, max_price_cents: int) -> BidRead:
    """Read the design's own answer: a JSON object, or nothing at all for no bid."""
    known = known_bids.get(body)
    if known is not None and known.cents is not None and known.cents <= max_price_cents:
        return known
    try:
        bid = _read_bid(body)
    except _UNREADABLE:
        text = body.removeprefix(_BOM).strip()
        if not text:
            return DECLINED
        try:
            bid = _read_bid(text)
        except _UNREADABLE:
            return unreadable("not a JSON object")
    read = judge_cents(
        read_cents(bid.price),
        currency=bid.currency,
        token=bid.token,
        auction=bid.ping_id,
        ping_id=ping_id,
        max_price_cents=max_price_cents,
    )
    if len(body) <= _KNOWN_BYTES and read.cents and bid.token is None and bid.ping_id is None:
        if len(known_bids) >= MAX_KNOWN_BIDS:
            known_bids.clear()
        known_bids[body] = read
    return read


def judge_cents(
    cents: int | str,
    *,
    ping_id: PingId,
    max_price_cents: int,
    currency: object = None,
    token: object = None,
    auction: object = None,
) -> BidRead:
    """Judge a bid whose price was read: ``cents``, 0 to decline, or what is wrong with it."""
    if auction is not None and auction != ping_id:
        return BidRead(reason=Reason.BID_AUCTION, detail="another auction's id")
    if isinstance(cents, str):
        return BidRead(reason=Reason.BID_PRICE, detail=cents)
    if cents == 0:
        return DECLINED
    if cents > max_price_cents:
        return BidRead(reason=Reason.BID_PRICE, detail="the price is above the campaign's bound")
    if currency is not None and currency != CURRENCY and not _is_dollars(currency):
        return BidRead(reason=Reason.BID_CURRENCY, detail="the currency is not USD")
    if token is not None:
        if not isinstance(token, str):
            return unreadable("the token is not a text")
        if len(token) > MAX_TOKEN_CHARS:
            return unreadable(f"the token is over {MAX_TOKEN_CHARS} characters")
    return BidRead(cents=cents, token=token)


def read_cents(price: Raw) -> int | str:
    """Read a price out of its JSON, exactly: cents, 0 for null, or what is wrong with it."""
    text = bytes(price)
    return _remembered(text) if len(text) <= _REMEMBERED_BYTES else _cents_of(_read_value(text))


@lru_cache(maxsize=4_096)
def _remembered(text: bytes) -> int | str:
    """Bids are of few prices, and reading one exactly is dearer than knowing it."""
    return _cents_of(_read_value(text))


def _cents_of(price: object) -> int | str:
    if price is None:
        return 0
    try:
        return parse_cents(price)  # type: ignore[arg-type]  # it refuses what is no amount
    except MoneyError as fault:
        return f"the price {fault}"


def _read_value(text: bytes) -> object:
    """A price's JSON as a decimal, a text or None; False, which is no price, for the rest."""
    if text[:1] == b'"':
        try:
            return _read_text(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
    if text == b"null":
        return None
    if text[:1] not in _NUMBER_BEGINS:
        return False
    try:
        return Decimal(text.decode())
    except InvalidOperation:  # an exponent beyond what a decimal holds
        return False


def unreadable(detail: str) -> BidRead:
    """Judge an answer nobody can read."""
    return BidRead(reason=Reason.BID_UNREADABLE, detail=detail)


def _is_dollars(currency: object) -> bool:
    return isinstance(currency, str) and currency.strip().upper() == CURRENCY
