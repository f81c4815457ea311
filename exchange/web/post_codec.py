"""A post between the wire and the flow: body into `PostRequest`, result into answer."""

from __future__ import annotations

import json
from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import to_builtins
from msgspec.structs import fields

from exchange.core.model import AttributeValue, PingId
from exchange.core.reasons import Reason
from exchange.flow.faults import Invalid, NotFound
from exchange.flow.ports import Contact, LegResult, PostRequest, PostResult
from exchange.web.calls import Call, decoder_of, idempotency_key, is_id, read_body
from exchange.web.contacts import digest, key_hashes, normalise_email, normalise_phone
from exchange.web.forms import read_value, to_json
from exchange.web.wire import (
    LARGEST_INTEGER,
    ContactBody,
    LegAnswer,
    PostAnswer,
    PostBody,
    ReasonAnswer,
    dollars,
    give_reason,
)

_OWN_FIELDS = frozenset(field.name for field in fields(PostBody))
_encode_sorted: Final = msgspec.json.Encoder(order="sorted").encode
_CONTACT_FIELDS = frozenset(field.name for field in fields(ContactBody))


def read_post(call: Call, now: datetime) -> PostRequest:
    """Read a post's body and its idempotency key. Raises Invalid, NotFound or Malformed."""
    body = _decode(call)
    if not is_id(body.ping_id):
        reason = Reason.OFFER_UNKNOWN
        raise NotFound(reason.message, field="ping_id", code=reason.code)
    attributes = _attributes(call, body)
    contact = _contact(body.contact)
    phone = None if contact.phone is None else normalise_phone(contact.phone, "contact.phone")
    hashes = key_hashes(_hashes(contact, phone), call.site.limits.hash_key)
    return PostRequest(
        ping_id=PingId(body.ping_id),
        seller_id=call.seller_id,
        idempotency_key=idempotency_key(call.headers, body.ping_id) or body.ping_id,
        body_hash=_body_hash(body.ping_id, attributes, contact),
        contact=contact,
        contact_hashes=hashes,
        contact_keys=tuple(hashes.values()),
        attributes={**attributes},
        received_at=now,
        phone=phone,
    )


def _decode(call: Call) -> PostBody:
    if not call.is_form:
        return call.read(PostBody)
    text = to_json(call.body, _OWN_FIELDS, call.site.attribute_kinds, _CONTACT_FIELDS)
    return read_body(decoder_of(PostBody, strict=False), text, call.site.limits.max_json_depth)


def _attributes(call: Call, body: PostBody) -> dict[str, AttributeValue]:
    attributes = body.attributes
    if call.is_form:
        kinds = call.site.attribute_kinds
        return {
            name: read_value(text, kinds.get(name)) if isinstance(text, str) else text
            for name, text in attributes.items()
        }
    for name, value in attributes.items():
        if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
            field = f"attributes.{name}"
            raise Invalid(f"{field} is too large a number.", field=field)
    return attributes


def _contact(given: ContactBody) -> Contact:
    address = given.address
    contact = Contact(
        first_name=given.first_name.strip(),
        last_name=given.last_name.strip(),
        phone=(given.phone or "").strip() or None,
        email=(given.email or "").strip() or None,
        address=(address.strip() or None) if isinstance(address, str) else address,
    )
    for name in ("first_name", "last_name"):
        if not getattr(contact, name):
            raise Invalid(f"contact.{name} is empty.", field=f"contact.{name}")
    if contact.phone is None and contact.email is None:
        raise Invalid("contact needs a phone or an email.", field="contact", code="missing_field")
    return contact


def _hashes(contact: Contact, phone: str | None) -> dict[str, str]:
    hashes = {}
    if phone is not None:
        hashes["phone"] = digest(phone)
    if contact.email is not None:
        hashes["email"] = digest(normalise_email(contact.email, "contact.email"))
    return hashes


def _body_hash(ping_id: str, attributes: dict[str, AttributeValue], contact: Contact) -> bytes:
    """The SHA-256 of what the body says, however it was spaced, ordered or encoded."""
    plain = {
        "ping_id": ping_id,
        "attributes": {name: _plain(value) for name, value in attributes.items()},
        "contact": contact,
    }
    text = _encode_sorted(plain)
    floats = any(isinstance(value, float) for value in attributes.values())
    if floats or b"\x7f" in text or not text.isascii():
        # Kept hashes are of Python's JSON, which writes these otherwise than the quick encoder.
        text = json.dumps(to_builtins(plain), sort_keys=True, separators=(",", ":")).encode()
    return sha256(text).digest()


def _plain(value: AttributeValue) -> AttributeValue:
    # 150 and 150.0 are one number, written by different systems.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def answer_post(result: PostResult) -> PostAnswer:
    """Write what became of a posted lead."""
    sold = result.price_cents is not None and result.status == "sold"
    return PostAnswer(
        ping_id=result.ping_id,
        status=result.status,
        lead_id=result.lead_id,
        price=dollars(result.price_cents or 0) if sold else None,
        legs=tuple(_leg(leg) for leg in result.legs),
        reason=_reason(result),
        test=result.test,
    )


def _reason(result: PostResult) -> ReasonAnswer | None:
    """Why a lead was not sold. Its clause is its first leg's, as the reason is."""
    if result.reason is None:
        return None
    # What keeps a campaign from bidding has no category that says more of a post.
    with_category = result.reason.category != "no_bid"
    clause = result.legs[0].clause if result.legs else None
    return give_reason(result.reason, with_category=with_category, clause=clause)


def _leg(leg: LegResult) -> LegAnswer:
    return LegAnswer(
        leg_id=leg.leg_id,
        status=leg.status,
        price=dollars(leg.price_cents) if leg.price_cents is not None else None,
        reason=give_reason(leg.reason, clause=leg.clause) if leg.reason is not None else None,
        redirect_url=leg.redirect_url,
    )
