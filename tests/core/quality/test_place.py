"""ZIP code, state, timezone and county must belong together (rules: §3.1)."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

import pytest

from exchange.core.quality.counties import counties_of_states
from exchange.core.quality.place import PlaceCheck, places_of
from exchange.core.quality.zip_prefixes import STATES_OF_PREFIX, ZONES_OF_STATE
from exchange.core.verticals import STATES, AttributeSpec, Vertical, VerticalSpec, compile_vertical
from tests.core.making import attributes

TEXT = AttributeSpec(kind="text")
ZIP, STATE = AttributeSpec(kind="zip"), AttributeSpec(kind="state")


def vertical(**specs: AttributeSpec) -> Vertical:
    return compile_vertical(VerticalSpec(name="homes", title="Homes", attributes=specs))


HOMES = vertical(zip=ZIP, state=STATE, timezone=TEXT, county=TEXT)
MOVES = vertical(from_zip=ZIP, from_state=STATE, to_zip=ZIP, to_state=STATE)


def checks(of: Vertical, **values: Any) -> list[str]:
    return [flaw.check for flaw in PlaceCheck(of).look(attributes(of, **values))]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        pytest.param({"zip": "94107", "state": "CA"}, [], id="belong together"),
        pytest.param({"zip": "94107", "state": "TX"}, ["zip_state"], id="another state's"),
        pytest.param({"zip": "00012", "state": "NY"}, ["zip_state"], id="no such ZIP code"),
        pytest.param({"zip": "09012", "state": "NY"}, ["zip_state"], id="the military's"),
        pytest.param({"zip": "06390", "state": "NY"}, [], id="one of two states"),
        pytest.param({"zip": "06001", "state": "CT"}, [], id="the other of them"),
        pytest.param({"zip": "94107"}, [], id="the lead says no state"),
        pytest.param({"state": "CA"}, [], id="the lead says no ZIP code"),
        pytest.param({"state": "CA", "timezone": "America/Los_Angeles"}, [], id="its time"),
        pytest.param({"state": "CA", "timezone": "America/New_York"}, ["timezone"], id="not its"),
        pytest.param({"state": "IN", "timezone": "America/Chicago"}, [], id="one of two times"),
        pytest.param({"state": "AZ", "timezone": "America/Phoenix"}, [], id="a time of its own"),
        pytest.param({"state": "TX", "timezone": "Europe/Paris"}, ["timezone"], id="abroad"),
        pytest.param({"state": "CA", "county": "Los Angeles County"}, [], id="its county"),
        pytest.param({"state": "MO", "county": "saint louis"}, [], id="however it is written"),
        pytest.param({"state": "NM", "county": "Doña Ana County"}, [], id="with its accent"),
        pytest.param({"state": "NM", "county": "Dona Ana"}, [], id="without it"),
        pytest.param({"state": "VA", "county": "James City County"}, [], id="a city in its name"),
        pytest.param({"state": "CA", "county": "Cook"}, ["county"], id="another state's county"),
    ],
)
def test_what_does_not_belong_together_is_a_flaw(values: dict[str, str], found: list[str]) -> None:
    assert checks(HOMES, **values) == found


def test_each_place_of_a_lead_is_looked_at_by_itself() -> None:
    here = {"from_zip": "94107", "from_state": "CA"}
    assert checks(MOVES, **here, to_zip="10001", to_state="NY") == []
    assert checks(MOVES, **here, to_zip="10001", to_state="CA") == ["zip_state"]


def test_a_vertical_without_places_has_nothing_to_look_at() -> None:
    assert places_of(vertical(state=STATE, remark=TEXT)) == ()
    assert len(places_of(HOMES)) == 1 and len(places_of(MOVES)) == 2


def test_every_state_has_zip_codes_a_time_and_counties() -> None:
    served = {state for states in STATES_OF_PREFIX.values() for state in states}
    assert served == set(STATES) == set(ZONES_OF_STATE)
    counties = counties_of_states()
    assert set(counties) == set(STATES) and sum(map(len, counties.values())) > 3_100


def test_every_timezone_named_exists() -> None:
    assert set().union(*ZONES_OF_STATE.values()) <= available_timezones()
