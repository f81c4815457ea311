"""A phone number is looked at by what the North American plan says of it (rules: §3.1)."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.quality.area_codes import ABROAD, PERSONAL, PREMIUM, STATE_OF_AREA, TOLL_FREE
from exchange.core.quality.phone import phone_flaws
from exchange.core.verticals import STATES

NOWHERE: frozenset[str] = frozenset()


def checks(phone: str, *states: str) -> list[str]:
    return [flaw.check for flaw in phone_flaws(phone, frozenset(states))]


@pytest.mark.parametrize(
    ("phone", "check"),
    [
        pytest.param("+14155551234", None, id="a person's"),
        pytest.param("415-555-1234", None, id="as people write it"),
        pytest.param("1 (415) 555-1234", None, id="with the long-distance 1"),
        pytest.param("+14155550100", "phone_fictitious", id="the first kept for fiction"),
        pytest.param("+14155550199", "phone_fictitious", id="the last kept for fiction"),
        pytest.param("+14155550200", None, id="the one behind"),
        pytest.param("+18005551234", "phone_service", id="toll-free"),
        pytest.param("+18885550100", "phone_service", id="toll-free in its fiction range too"),
        pytest.param("+19005551234", "phone_service", id="premium"),
        pytest.param("+15005551234", "phone_service", id="of no place"),
        pytest.param("+14159111234", "phone_invalid", id="an N11 exchange"),
        pytest.param("+14151231234", "phone_invalid", id="an exchange that begins with 1"),
        pytest.param("+14150231234", "phone_invalid", id="an exchange that begins with 0"),
        pytest.param("+15554561234", "phone_invalid", id="an area code nobody has"),
        pytest.param("+1415555123", "phone_invalid", id="nine digits"),
        pytest.param("+14165551234", "phone_abroad", id="Canada"),
        pytest.param("+442079460958", "phone_abroad", id="another plan"),
    ],
)
def test_a_number_that_cannot_be_a_persons_has_its_flaw(phone: str, check: str | None) -> None:
    assert checks(phone) == ([] if check is None else [check])


@pytest.mark.parametrize(
    ("states", "found"),
    [
        pytest.param((), [], id="the lead says no state"),
        pytest.param(("CA",), [], id="of its state"),
        pytest.param(("TX", "CA"), [], id="of one of its states"),
        pytest.param(("TX",), ["phone_area"], id="of another"),
    ],
)
def test_an_area_code_of_another_state_is_a_sign(states: tuple[str, ...], found: list[str]) -> None:
    assert checks("+14155551234", *states) == found


def test_every_area_code_of_the_plan_stands_in_one_table() -> None:
    tables = [set(STATE_OF_AREA), set(TOLL_FREE), set(PREMIUM), set(PERSONAL), set(ABROAD)]
    assert sum(map(len, tables)) == len(set().union(*tables))
    assert set(STATE_OF_AREA.values()) == set(STATES)


@given(st.integers(2_000_000_000, 9_999_999_999))
def test_no_number_the_library_takes_for_valid_here_is_called_invalid(national: int) -> None:
    number = phonenumbers.PhoneNumber(country_code=1, national_number=national)
    # The library's patterns let N11 exchanges pass, and in the Dominican Republic 0XX and 1XX,
    # which the plan does not give out.
    exchange = str(national)[3:6]
    is_given_out = exchange[0] not in "01" and exchange[1:] != "11"
    if phonenumbers.is_valid_number(number) and is_given_out:
        assert "phone_invalid" not in checks(f"+1{national}")


@given(st.text(max_size=40))
def test_any_text_is_looked_at(text: str) -> None:
    assert len(phone_flaws(text, NOWHERE)) <= 1
