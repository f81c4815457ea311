"""Whether a lead's ZIP code, state, timezone and county belong together.

A vertical's places are found by the names and kinds of its attributes: a ``zip`` attribute, and
``state``, ``timezone`` and ``county`` with the same beginning (``from_zip`` and ``from_state``).
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET, Struct

from exchange.core.quality.counties import counties_of_states, fold_county
from exchange.core.quality.flaws import Flaw, flaw
from exchange.core.quality.zip_prefixes import STATES_OF_PREFIX, ZONES_OF_STATE
from exchange.core.verticals import Vertical

_SOUND: Final[tuple[Flaw, ...]] = ()
_NO_STATES: Final[frozenset[str]] = frozenset()


class Place(Struct, frozen=True):
    """The attributes that say one place of a lead; empty for what the vertical does not ask."""

    zip: str = ""
    state: str = ""
    timezone: str = ""
    county: str = ""


def places_of(vertical: Vertical) -> tuple[Place, ...]:
    """The places a vertical's leads have; those that say but one thing are left out."""
    kinds = {name: spec.kind for name, spec in vertical.attributes.items()}
    found = []
    for name, kind in kinds.items():
        if kind != "state" or not name.endswith("state"):
            continue
        before = name[: -len("state")]
        place = Place(
            zip=before + "zip" if kinds.get(before + "zip") == "zip" else "",
            state=name,
            timezone=before + "timezone" if _is_text(kinds, before + "timezone") else "",
            county=before + "county" if _is_text(kinds, before + "county") else "",
        )
        if place.zip or place.timezone or place.county:
            found.append(place)
    return tuple(found)


def _is_text(kinds: dict[str, Any], name: str) -> bool:
    return kinds.get(name) in ("text", "choice")


class PlaceCheck:
    """Looks at the places of one vertical's leads."""

    def __init__(self, vertical: Vertical) -> None:
        places = places_of(vertical)
        self._zips = tuple((place.zip, place.state) for place in places if place.zip)
        self._zones = tuple((place.timezone, place.state) for place in places if place.timezone)
        self._counties = tuple((place.county, place.state) for place in places if place.county)
        self._known = counties_of_states() if self._counties else {}

    def look(self, attributes: Struct) -> tuple[Flaw, ...]:
        """What does not belong together; nothing is said of what the lead leaves out."""
        found = _SOUND
        for zip_name, state_name in self._zips:
            zip_code, state = getattr(attributes, zip_name), getattr(attributes, state_name)
            if zip_code is UNSET or state is UNSET:
                continue
            if state not in STATES_OF_PREFIX.get(zip_code[:3], _NO_STATES):
                found += (_zip_flaw(zip_code, state),)
        for zone_name, state_name in self._zones:
            zone, state = getattr(attributes, zone_name), getattr(attributes, state_name)
            if zone is not UNSET and state is not UNSET and zone not in ZONES_OF_STATE[state]:
                found += (flaw("timezone", f"No part of {state} keeps the time of {zone}."),)
        for county_name, state_name in self._counties:
            county, state = getattr(attributes, county_name), getattr(attributes, state_name)
            if county is UNSET or state is UNSET:
                continue
            if fold_county(county) not in self._known[state]:
                found += (flaw("county", f"{state} has no such county."),)
        return found


def _zip_flaw(zip_code: str, state: str) -> Flaw:
    prefix = zip_code[:3]
    states = STATES_OF_PREFIX.get(prefix)
    if states is None:
        return flaw("zip_state", f"No ZIP code begins with {prefix}.")
    where = " and ".join(sorted(states)) or "no state"
    return flaw("zip_state", f"ZIP codes from {prefix} are of {where}, not {state}.")
