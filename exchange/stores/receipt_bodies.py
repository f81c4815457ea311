"""Receipts as they are stored, in JSON: one with an offer says only what its offer does not."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

from exchange.core.auction import Candidate
from exchange.core.reasons import Reason
from exchange.flow.ports import KeptFacts, Receipt
from exchange.stores.offer_bodies import read_offer


class _Beside(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a receipt with an offer says beside it: the rest stands in the offer already."""

    max_buyers: int = 1
    reason: Reason | None = None
    reasons: dict[str, int] = {}
    premium: bool = False
    candidates: tuple[Candidate, ...] = ()
    timings_us: dict[str, int] = {}
    market: int = 0
    facts: KeptFacts | None = None
    offer: Raw = Raw()


encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Receipt).decode
_decode_beside: Final = msgspec.json.Decoder(_Beside).decode


def write_receipt(receipt: Receipt, offer: bytes) -> bytes:
    """A receipt as it is stored. With an offer, given as JSON, nothing is written twice."""
    if not offer:
        return encode(receipt)
    return encode(
        _Beside(
            max_buyers=receipt.max_buyers,
            reason=receipt.reason,
            reasons=receipt.reasons,
            premium=receipt.premium,
            candidates=receipt.candidates,
            timings_us=receipt.timings_us,
            market=receipt.market,
            facts=receipt.facts,
            offer=Raw(offer),
        )
    )


def read_receipt(body: bytes) -> Receipt:
    """A stored receipt, whole; also one that was written with its offer's facts beside it."""
    beside = _decode_beside(body)
    if not bytes(beside.offer):
        return _decode(body)
    offer = read_offer(beside.offer)
    return Receipt(
        ping_id=offer.ping_id,
        seller_id=offer.seller_id,
        vertical=offer.vertical,
        attributes=offer.attributes,
        status="offer",
        decided_at=offer.decided_at,
        max_buyers=beside.max_buyers,
        min_price_cents=offer.min_price_cents,
        share=offer.share,
        legs_cents=offer.legs_cents,
        expires_at=offer.expires_at,
        reason=beside.reason,
        reasons=beside.reasons,
        premium=beside.premium,
        candidates=beside.candidates,
        timings_us=beside.timings_us,
        offer=offer,
        test=offer.test,
        quality_score=offer.quality_score,
        flaws=offer.flaws,
        market=beside.market,
        facts=beside.facts,
    )
