"""The people whose leads are traded in the demo: drawn from a seed, each only once."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from exchange.flow.ports import Contact
from exchange.web.contacts import digest, normalise_email, normalise_phone

REGIONS: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    "california": (("CA", "94107"), ("CA", "94110"), ("CA", "90026"), ("CA", "95814")),
    "southwest": (("AZ", "85004"), ("AZ", "85281"), ("NM", "87102")),
    "gulf": (("FL", "33130"), ("FL", "32801"), ("LA", "70112"), ("TX", "77002")),
    "mountain": (("CO", "80202"), ("UT", "84101")),
}
"""States and ZIP codes by region."""

_FIRST_NAMES: Final = ("Ada", "Ben", "Cora", "Dan", "Eve", "Finn", "Gail", "Hugo", "Iris", "Jon")
_LAST_NAMES: Final = ("Lovell", "Meyer", "Nolan", "Ortiz", "Park", "Quinn", "Reyes", "Stone")
_AREA_CODES: Final = (415, 510, 602, 505, 305, 504, 713, 303, 801, 916)


class Consumer(Struct, frozen=True, kw_only=True):
    """One person: what a ping says, what a post says, and the digests that tie the two."""

    attributes: dict[str, Any]
    contact: Contact
    contact_hashes: dict[str, str]


class Consumers:
    """An endless row of people."""

    def __init__(self, draw: random.Random, tag: str) -> None:
        self._draw = draw
        self._tag = tag
        self._count = 0

    def next(self, region: str) -> Consumer:
        """Someone of a region who asks for solar panels."""
        draw = self._draw
        self._count += 1
        state, zip_code = draw.choice(REGIONS[region])
        attributes = {
            "zip": zip_code,
            "state": state,
            "credit_score": draw.randrange(600, 790),
            "owns_home": draw.random() < 0.8,
            "monthly_bill": draw.randrange(90, 340),
            "property_type": "single_family",
            "roof_age_years": draw.randrange(0, 26),
            "roof_shade": draw.choice(("none", "some", "heavy")),
            "wants_battery": draw.random() < 0.4,
            "has_ev": draw.random() < 0.3,
        }
        contact = self._contact()
        return Consumer(
            attributes=attributes,
            contact=contact,
            contact_hashes={
                "phone": digest(normalise_phone(contact.phone or "", "phone")),
                "email": digest(normalise_email(contact.email or "", "email")),
            },
        )

    def _contact(self) -> Contact:
        first, last = self._draw.choice(_FIRST_NAMES), self._draw.choice(_LAST_NAMES)
        area, line = self._draw.choice(_AREA_CODES), self._count
        return Contact(
            first_name=first,
            last_name=last,
            # Every one of them another number, at exchanges and a domain that belong to nobody.
            phone=f"+1{area}555{line:04d}",
            email=f"{first}.{last}.{line}.{self._tag}@example.com".lower(),
        )
