"""The fields of a lead that dialects may name, and the values behind them.

A ping's fields hold nothing of the contact: the values of a ping are made without ever having seen
it, so that no mapping or template, however it is written, can say what is not there.
Source: rules §3.1 (pings are anonymous).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec

from exchange.core.verticals import CONTACT_FIELDS, AttributeSpec, Vertical
from exchange.flow.bidding import Asked, Question
from exchange.flow.ports import Contact, Parcel

Side = Literal["ping", "post"]
Values = dict[str, Any]

_BOTH: Final = ("campaign_id", "vertical", "test", "now", "quality_score")
PING_FIELDS: Final = frozenset({*_BOTH, "ping_id", "shares", "mode", "max_buyers", "timeout_ms"})
POST_FIELDS: Final = frozenset({*_BOTH, "delivery_id", "lead_id", "price", "price_cents", "token"})
CONTACT_KEYS: Final = frozenset(
    {
        "first_name",
        "last_name",
        "full_name",
        "phone",
        "email",
        "address",
        "street",
        "street2",
        "city",
        "state",
        "zip",
    }
)
"""What ``contact`` holds on a post; those a lead does not have are empty."""

GROUPS: Final = frozenset({"attributes", "consent", "contact", "secrets"})

_STREET_KEYS: Final = ("street", "street1", "address", "address1", "line1", "street_address")
_STREET2_KEYS: Final = ("street2", "address2", "line2", "unit", "apt")
_ZIP_KEYS: Final = ("zip", "zip_code", "zipcode", "postal_code", "postcode")

_CONSENT_NAME: Final = re.compile(r"[^.\s]{1,40}")

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class FieldFault(ValueError):
    """A field that may not be named; ``field`` is its name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class Allowed:
    """Which fields a dialect may name on one side, for a vertical and the dialect's secrets.

    Without a vertical every attribute is let through: it was checked when the campaign was saved.
    """

    def __init__(self, side: Side, vertical: Vertical | None, secrets: frozenset[str]) -> None:
        self.side = side
        self._attributes = None if vertical is None else frozenset(vertical.attributes)
        self._secrets = secrets
        self._top = PING_FIELDS if side == "ping" else POST_FIELDS

    def check(self, path: str) -> None:
        """Raise FieldFault unless a field may be named: ``attributes.zip``, ``ping_id`` …"""
        group, dot, name = path.partition(".")
        if group == "contact" or (not dot and group in CONTACT_FIELDS):
            self._check_contact(path, name)
        elif group == "attributes":
            if dot and self._attributes is not None and name not in self._attributes:
                raise FieldFault(path, f"{path} is no attribute of this vertical")
        elif group == "consent" and self.side == "post":
            # Not on a ping: a certificate's page may show who gave it.
            if not dot or not _CONSENT_NAME.fullmatch(name):
                raise FieldFault(path, f"{path} is no part of a proof of consent: consent.name")
        elif group == "secrets":
            if not dot or name not in self._secrets:
                raise FieldFault(path, f"{path} is not among the dialect's secrets")
        elif dot or group not in self._top:
            raise FieldFault(path, f"{path} is no field of a {self.side}")

    def _check_contact(self, path: str, name: str) -> None:
        if self.side == "ping":
            raise FieldFault(path, f"{path} is contact data, which a ping does not have")
        if name not in CONTACT_KEYS:
            raise FieldFault(path, f"{path} is no field of the contact")

    def roots(self) -> frozenset[str]:
        """The names a template may begin with."""
        posted = {"contact", "consent"} if self.side == "post" else set()
        return self._top | posted | {"attributes", "secrets"}


def ping_values(
    question: Question, asked: Asked, timeout_ms: int, secrets: Mapping[str, str], now: datetime
) -> Values:
    """The values a ping's dialect may name."""
    return {
        "ping_id": question.ping_id,
        "campaign_id": asked.campaign_id,
        "vertical": question.vertical,
        "attributes": _decode(question.attributes),
        "shares": asked.share,
        "mode": "exclusive" if asked.share == 1 else "shared",
        "max_buyers": question.max_buyers,
        "timeout_ms": timeout_ms,
        "test": question.test,
        "quality_score": question.quality_score,
        "now": now,
        "secrets": secrets,
    }


def post_values(parcel: Parcel, secrets: Mapping[str, str], now: datetime) -> Values:
    """The values a post's dialect may name."""
    return {
        "delivery_id": parcel.delivery_id,
        "lead_id": parcel.lead_id,
        "campaign_id": parcel.campaign_id,
        "vertical": parcel.vertical,
        "price": Decimal(parcel.price_cents).scaleb(-2),
        "price_cents": parcel.price_cents,
        "attributes": _decode(parcel.attributes),
        "contact": contact_values(parcel.contact),
        "token": parcel.token,
        "consent": parcel.consent,
        "quality_score": parcel.quality_score,
        "test": parcel.test,
        "now": now,
        "secrets": secrets,
    }


def contact_values(contact: Contact) -> Values:
    """A contact with its address in parts, as far as it was given in parts."""
    address = contact.address
    parts = (
        {str(key).lower(): value for key, value in address.items()}
        if isinstance(address, dict)
        else {}
    )
    street = address if isinstance(address, str) else _first_of(parts, _STREET_KEYS)
    together = ", ".join(parts.values()) if parts else address
    return {
        "first_name": contact.first_name,
        "last_name": contact.last_name,
        "full_name": f"{contact.first_name} {contact.last_name}".strip(),
        "phone": contact.phone,
        "email": contact.email,
        "address": together,
        "street": street,
        "street2": _first_of(parts, _STREET2_KEYS),
        "city": parts.get("city"),
        "state": parts.get("state"),
        "zip": _first_of(parts, _ZIP_KEYS),
    }


def _first_of(parts: Mapping[str, str], keys: tuple[str, ...]) -> str | None:
    return next((parts[key] for key in keys if parts.get(key)), None)


def sample_attributes(vertical: Vertical, *, whole: bool = True) -> Values:
    """Made-up attributes of a vertical: all of them, or only those it requires."""
    return {
        name: _sample(spec) for name, spec in vertical.attributes.items() if whole or spec.required
    }


def _sample(spec: AttributeSpec) -> object:
    match spec.kind:
        case "zip":
            return "94107"
        case "state":
            return "CA"
        case "boolean":
            return True
        case "choice":
            return spec.allowed[0]
        case "text":
            return "sample"[: spec.max_length]
        case "integer" | "decimal":
            low = 0 if spec.min is None else spec.min
            high = low + 1_000 if spec.max is None else spec.max
            return round((low + high) / 2)


SAMPLE_CONTACT: Final = Contact(
    first_name="Jordan",
    last_name="Sample",
    phone="+14155550123",  # 555-01xx is kept for fiction
    email="jordan.sample@mail.example",
    address={
        "street": "100 Example Street",
        "city": "San Francisco",
        "state": "CA",
        "zip": "94107",
    },
)
"""Made-up contact data for trying a dialect."""
