"""A ping between the wire and the core: body into `Ping`, receipt into answer.

Source: rules §3.1 (what a ping may not be) and the wire's contract.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final, Literal
from urllib.parse import unquote

from msgspec import UNSET, Struct
from msgspec.structs import fields
from uuid_utils import uuid7

from exchange.core.model import Ping, PingId, SellerId
from exchange.core.reasons import Reason
from exchange.flow.faults import Invalid
from exchange.flow.ports import Receipt
from exchange.web.attributes import (
    contact_in_clear,
    refuse_contact_data,
    refuse_contact_fields,
)
from exchange.web.calls import Call, WebLimits, decoder_of, read_body
from exchange.web.contacts import key_hashes
from exchange.web.forms import to_json
from exchange.web.quality_codec import show_refused_quality
from exchange.web.wire import (
    JSON,
    ContactHashes,
    LegPrice,
    NoOfferAnswer,
    OfferAnswer,
    PingAnswer,
    PingBody,
    RefusedAnswer,
    cents,
    dollars,
    give_reason,
)

REMEMBERED_SOURCES: Final = 4_096
"""Names and values of sources remembered as free of contact data."""

_EMAIL_IN_URL: Final = re.compile(r"[\w.+-]@[\w-]+\.\w")
"""An @ with a name before it and a domain behind it; one that only begins a part of a path, as in
``/@roofs``, is nobody's address."""

_HARMLESS: Final[set[str]] = set()
_TEST: Final = ',"test":true'
_OWN_FIELDS = frozenset(field.name for field in fields(PingBody))


def read_ping(call: Call, now: datetime) -> Ping:
    """Read a ping's body. Raises Invalid or Malformed."""
    site = call.site
    try:
        body = _decode(call)
        reader = site.reader(body.vertical)
        attributes = reader.read(body.attributes, is_form=call.is_form)
    except Invalid as fault:
        raise refuse_contact_fields(fault) from None
    least = cents(body.min_price, "min_price")
    return make_ping(body, body.vertical, attributes, least, call.seller_id, now, site.limits)


def make_ping(
    body: PingBody,
    vertical: str,
    attributes: Struct,
    min_price_cents: int,
    seller_id: SellerId,
    now: datetime,
    limits: WebLimits,
) -> Ping:
    """The ping of a decoded body: its bounds, its times, no contact data. Raises Invalid."""
    if body.source:
        _check_source(body.source)
    if body.consent:
        _check_consent(body.consent)
    hashes = key_hashes(_hashes(body.contact_hashes), limits.hash_key)
    return Ping(
        ping_id=PingId(str(uuid7())),
        seller_id=seller_id,
        vertical=vertical,
        attributes=attributes,
        contact_hashes=hashes,
        contact_keys=tuple(hashes.values()),
        captured_at=_captured_at(body.captured_at, now, limits),
        received_at=now,
        source=body.source,
        consent=body.consent,
        max_buyers=_bounded("max_buyers", body.max_buyers, 1, limits.max_buyers),
        min_price_cents=min_price_cents,
        cascade=body.cascade,
        timeout_ms=_timeout_ms(body.timeout_ms, limits),
        test=body.test,
    )


def _check_source(source: dict[str, str]) -> None:
    # Sellers have few sources: what was found free of contact data is not looked at again.
    if _HARMLESS.issuperset(source) and _HARMLESS.issuperset(source.values()):
        return
    refuse_contact_data(source, "source")
    refuse_contact_data(dict(zip(source, source, strict=True)), "source")
    if len(_HARMLESS) >= REMEMBERED_SOURCES:
        _HARMLESS.clear()
    _HARMLESS.update(source, source.values())


def _check_consent(consent: dict[str, str]) -> None:
    for name, text in consent.items():
        if not text.startswith(("https://", "http://")):
            refuse_contact_data({name: text}, "consent")
        # A certificate's address is full of digits; an email address in it is no accident.
        elif ("@" in text or "%" in text) and _EMAIL_IN_URL.search(unquote(text)):
            field = f"consent.{name}"
            message = f"{field} has what looks like an email address in it; send it without."
            raise contact_in_clear(field, message)


def _decode(call: Call) -> PingBody:
    if not call.is_form:
        return call.read(PingBody)
    text = to_json(call.body, _OWN_FIELDS, call.site.attribute_kinds)
    return read_body(decoder_of(PingBody, strict=False), text, call.site.limits.max_json_depth)


def _hashes(given: ContactHashes) -> dict[str, str]:
    hashes = {}
    if given.phone is not None:
        hashes["phone"] = given.phone.lower()
    if given.email is not None:
        hashes["email"] = given.email.lower()
    return hashes


def _captured_at(given: datetime | None, now: datetime, limits: WebLimits) -> datetime:
    if given is None:
        return now
    age = now - given
    if age < timedelta(seconds=-limits.clock_skew_s) or age > timedelta(
        days=limits.implausible_age_days
    ):
        reason = Reason.CLOCK_OFF
        raise Invalid(reason.message, field="captured_at", code=reason.code)
    return given.astimezone(now.tzinfo)


def _timeout_ms(given: int | None, limits: WebLimits) -> int:
    if given is None:
        return limits.default_timeout_ms
    return _bounded("timeout_ms", given, limits.min_timeout_ms, limits.max_timeout_ms)


def _bounded(field: str, value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise Invalid(f"{field} must be from {least} to {most}.", field=field)
    return value


# --- answers --------------------------------------------------------------------------------------


def write_ping_answer(receipt: Receipt) -> bytes:
    """Write a decided ping's answer as JSON.

    An offer, the answer that must be quick, is put together from its few parts.
    """
    if receipt.status != "offer" or receipt.expires_at is None:
        return JSON.encode(answer_ping(receipt))
    ping_id = receipt.ping_id
    prices = [f"{price // 100}.{price % 100:02d}" for price in receipt.legs_cents]
    legs = ",".join(
        [f'{{"leg_id":"{ping_id}-{n}","price":{price}}}' for n, price in enumerate(prices, 1)]
    )
    total = sum(receipt.legs_cents)
    expires_at = JSON.encode(receipt.expires_at).decode()
    return (
        f'{{"ping_id":"{ping_id}","status":"offer","price":{total // 100}.{total % 100:02d},'
        f'"currency":"USD","mode":"{mode_of(receipt.share)}","legs":[{legs}],'
        f'"expires_at":{expires_at}{_TEST if receipt.test else ""}}}'
    ).encode()


def answer_ping(receipt: Receipt) -> PingAnswer:
    """Write a decided ping for its seller."""
    if receipt.status == "offer" and receipt.expires_at is not None:
        return OfferAnswer(
            ping_id=receipt.ping_id,
            price=dollars(sum(receipt.legs_cents)),
            mode=mode_of(receipt.share),
            legs=legs_of(receipt),
            expires_at=receipt.expires_at,
            test=receipt.test or UNSET,
        )
    if receipt.status == "refused":
        return RefusedAnswer(
            ping_id=receipt.ping_id,
            reason=give_reason(receipt.reason or Reason.BLOCKED, with_category=True),
            quality=show_refused_quality(receipt) or UNSET,
            test=receipt.test or UNSET,
        )
    return NoOfferAnswer(
        ping_id=receipt.ping_id,
        reason=give_reason(receipt.reason or Reason.NO_BID),
        reasons=receipt.reasons,
        test=receipt.test or UNSET,
    )


def mode_of(share: int | None) -> Literal["exclusive", "shared"]:
    """How a lead is sold at a share count."""
    return "exclusive" if share == 1 else "shared"


def legs_of(receipt: Receipt) -> tuple[LegPrice, ...]:
    """What each leg of an offer is sold for."""
    return tuple(
        LegPrice(leg_id=f"{receipt.ping_id}-{number}", price=dollars(price_cents))
        for number, price_cents in enumerate(receipt.legs_cents, start=1)
    )
