"""Whether a name and an address can be a person's, and belong to the lead that was pinged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from exchange.core.quality.flaws import Flaw, flaw

_PLACEHOLDERS: Final = """
abc abcd anonymous asd asdf asdfasdf blah customer dummy fake firstname foo lastname lead na n/a
name noname none null qwerty sample test tester testing unknown user xxx
"""
PLACEHOLDERS: Final = frozenset(_PLACEHOLDERS.split())
"""Words people and programs write where a name is asked for."""

_ZIP_KEYS: Final = ("zip", "zip_code", "zipcode", "postal_code", "postcode")


def name_flaws(first_name: str, last_name: str) -> list[Flaw]:
    """What is wrong with a name: a placeholder in both places, or no letters at all.

    One place alone may be anybody's: Test and Fake are surnames.
    """
    first, last = first_name.strip().lower(), last_name.strip().lower()
    has_letters = any(char.isalpha() for char in first + last)
    if has_letters and not (first in PLACEHOLDERS and last in PLACEHOLDERS):
        return []
    return [flaw("name_placeholder", "The name is what stands where no name is known.")]


def address_flaws(
    address: str | Mapping[str, str] | None, zips: frozenset[str], states: frozenset[str]
) -> list[Flaw]:
    """Whether an address given in parts is in another place than was pinged."""
    if not isinstance(address, Mapping):
        return []
    parts = {str(key).lower(): value.strip() for key, value in address.items()}
    zip_code = next((parts[key] for key in _ZIP_KEYS if parts.get(key)), "")[:5]
    state = parts.get("state", "").upper()
    if zips and len(zip_code) == 5 and zip_code.isdigit() and zip_code not in zips:
        return [flaw("address_place", "The address has another ZIP code than was pinged.")]
    if states and len(state) == 2 and state not in states:
        return [flaw("address_place", "The address is in another state than was pinged.")]
    return []
