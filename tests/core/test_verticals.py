"""A vertical's attributes are checked in one step with their decoding (rules: §3.1)."""

from typing import Any

import msgspec
import pytest

from exchange.core.verticals import (
    CONTACT_FIELDS,
    AttributeSpec,
    VerticalError,
    find_contact_data,
)
from tests.core.making import LEAD, attributes, solar

SOLAR = solar()


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"zip": "9410"}, id="four digits"),
        pytest.param({"zip": "94107\n"}, id="a line end behind the digits"),
        pytest.param({"zip": "९४१०७"}, id="digits of another script"),
        pytest.param({"zip": 94107}, id="a ZIP as number"),
        pytest.param({"state": "XX"}, id="not a state"),
        pytest.param({"credit_score": 299}, id="below its bound"),
        pytest.param({"credit_score": 851}, id="above its bound"),
        pytest.param({"credit_score": 700.5}, id="not whole"),
        pytest.param({"credit_score": "700"}, id="a text for a number"),
        pytest.param({"owns_home": 1}, id="a number for a boolean"),
        pytest.param({"roof": "straw"}, id="not one of the choices"),
        pytest.param({"remark": ""}, id="an empty text"),
        pytest.param({"remark": "x" * 101}, id="a long text"),
        pytest.param({"phone": "+15551234567"}, id="an attribute nobody described"),
        pytest.param({"zip": None}, id="null"),
    ],
)
def test_an_invalid_attribute_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        attributes(SOLAR, **values)


def test_what_a_lead_does_not_have_is_not_among_its_values() -> None:
    assert msgspec.to_builtins(attributes(SOLAR, **LEAD)) == LEAD


def test_a_required_attribute_must_be_there() -> None:
    strict = solar(attributes={"zip": AttributeSpec(kind="zip", required=True)})
    with pytest.raises(msgspec.ValidationError):
        attributes(strict)


@pytest.mark.parametrize("name", sorted(CONTACT_FIELDS))
def test_contact_data_cannot_be_an_attribute(name: str) -> None:
    with pytest.raises(VerticalError):
        solar(attributes={name: AttributeSpec(kind="text")})


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"name": "Solar Power"}, id="a name with a space"),
        pytest.param({"offer_life_s": 0}, id="an offer that never lives"),
        pytest.param({"floor": "-1.00"}, id="a negative floor"),
        pytest.param({"floor": "1.005"}, id="a floor of half cents"),
        pytest.param({"attributes": {"Zip": AttributeSpec(kind="zip")}}, id="upper case"),
        pytest.param({"attributes": {"roof": AttributeSpec(kind="choice")}}, id="no choices"),
        pytest.param({"attributes": {"n": AttributeSpec(kind="integer", min=0.5)}}, id="half"),
    ],
)
def test_a_description_that_cannot_work_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(VerticalError):
        solar(**changes)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("call 415-555-0134 please", True, id="a phone number"),
        pytest.param("+1 (415) 555.0134", True, id="a phone number with signs"),
        pytest.param("jo@example.com", True, id="an email address"),
        pytest.param("two storeys, built 1987", False, id="neither"),
    ],
)
def test_contact_data_in_a_text_is_found(text: str, found: bool) -> None:
    assert (find_contact_data({"remark": text}) == "remark") is found
