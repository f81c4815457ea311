"""A vertical's attributes as a ping has them: decoded, bounded, and free of contact data.

Source: rules §3.1 (attributes valid, no contact data in clear).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

import msgspec
from msgspec import UNSET, Raw, Struct

from exchange.core.reasons import Reason
from exchange.core.verticals import (
    CONTACT_FIELDS,
    Vertical,
    find_contact_data,
    looks_like_contact,
)
from exchange.flow.faults import Invalid
from exchange.web.bodies import decode
from exchange.web.wire import LARGEST_INTEGER

_PLACES: Final = ("", "attributes")
"""Where a ping may not have a field of contact data."""

_CONTACT_NAMES: Final = frozenset(name.replace("_", "") for name in CONTACT_FIELDS)

# Digits that are no phone number, however long: ids of clicks and consents, times, addresses of
# machines. One in ten random UUIDs would else be taken for a phone number.
_HARMLESS: Final = re.compile(
    r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"
    r"|[0-9]{16,}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{5,15}(?:Z| ?[+-][0-9]{2}:?[0-9]{2})?"
    r"|(?:[0-9]{1,3}\.){3}[0-9]{1,3}",
    re.IGNORECASE | re.ASCII,
)


class AttributesReader:
    """Decodes one vertical's attributes, from JSON or from the texts of a form."""

    def __init__(self, vertical: Vertical) -> None:
        self.vertical = vertical
        self._strict = msgspec.json.Decoder(vertical.attributes_type)
        self._loose = msgspec.json.Decoder(vertical.attributes_type, strict=False)
        specs = vertical.attributes.items()
        self._texts = tuple(name for name, spec in specs if spec.kind == "text")
        self._unbounded = tuple(
            name
            for name, spec in specs
            if spec.kind in ("integer", "decimal") and (spec.min is None or spec.max is None)
        )

    def read(self, raw: Raw, *, is_form: bool) -> Struct:
        """Decode attributes. Raises Invalid with the attribute named."""
        decoder = self._loose if is_form else self._strict
        attributes = decode(decoder, bytes(raw), "attributes")
        self.check(attributes)
        return attributes

    def check(self, attributes: Struct) -> None:
        """Look for what a type cannot say: numbers too large, contact data. Raises Invalid."""
        for name in self._unbounded:
            value = getattr(attributes, name)
            if value is not UNSET and abs(value) > LARGEST_INTEGER:
                field = f"attributes.{name}"
                raise Invalid(f"{field} is too large a number.", field=field)
        if self._texts:
            found = {name: getattr(attributes, name) for name in self._texts}
            refuse_contact_data(
                {name: text for name, text in found.items() if text is not UNSET}, "attributes"
            )


def refuse_contact_data(texts: Mapping[str, str], prefix: str) -> None:
    """Raise Invalid where a text looks like a phone number or an email address, encoded or not."""
    for text in texts.values():
        if "%" in text or looks_like_contact(text):
            break
    else:
        return
    texts = {name: unquote(text) for name, text in texts.items()}
    while name := find_contact_data(texts):
        if not _HARMLESS.fullmatch(texts[name].strip()):
            raise contact_in_clear(f"{prefix}.{name}")
        texts = {other: text for other, text in texts.items() if other != name}


def refuse_contact_fields(fault: Invalid) -> Invalid:
    """The fault to raise for an unknown field: another, if it is one of contact data."""
    if fault.code != "unknown_field" or fault.field is None:
        return fault
    head, _, name = fault.field.rpartition(".")
    folded = re.sub(r"[^a-z]", "", name.lower())
    return contact_in_clear(fault.field) if head in _PLACES and folded in _CONTACT_NAMES else fault


def contact_in_clear(field: str, message: str | None = None) -> Invalid:
    """The fault of a ping that is not anonymous; ``message`` where that can be said better."""
    reason = Reason.CONTACT_IN_CLEAR
    return Invalid(message or reason.message, field=field, code=reason.code)
