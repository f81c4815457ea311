"""Templates: what companies may write in them, and that nothing in one reaches out or runs away."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl
from xml.etree.ElementTree import fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.buyers.lead_fields import Allowed, FieldFault
from exchange.buyers.templates import (
    MAX_RENDERED_CHARS,
    Kind,
    Unwritable,
    compile_template,
)
from tests.buyers.speaking import ATTRIBUTES, NOW, SOLAR

SECRETS = frozenset({"key"})
POST = Allowed("post", SOLAR, SECRETS)
PING = Allowed("ping", SOLAR, SECRETS)
VALUES: dict[str, Any] = {
    "attributes": ATTRIBUTES | {"remarks": "said"},
    "contact": {"first_name": "Ann", "phone": "+14155550100", "email": None},
    "secrets": {"key": "s3cret"},
    "price": Decimal("45.75"),
    "now": NOW,
    "token": None,
}


def render(source: str, kind: Kind = "text", **attributes: Any) -> str:
    values = VALUES | {"attributes": VALUES["attributes"] | attributes}
    return compile_template(source, kind, POST).render(values)


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("{{ attributes.zip }}", "94107"),
        ("{{ attributes['zip'] }}", "94107"),
        ("{{ contact.phone | phone_national }}", "(415) 555-0100"),
        ("{{ contact.email }}|{{ token }}", "|"),
        ("{{ contact.email | default('none') }}", "none"),
        ("{{ attributes.owns_home | boolean('Y', 'N') }}", "Y"),
        ("{{ attributes.roof_type | lookup({'asphalt_shingle': 'A', 'tile': 'T'}) }}", "A"),
        ("{{ attributes.roof_type | lookup({'tile': 'T'}, 'other') }}", "other"),
        ("{{ attributes.state | state_name }}", "California"),
        ("{{ now | date('%m/%d/%Y') }}", "11/21/2026"),
        ("{{ 'good' if attributes.credit_score >= 700 else 'poor' }}", "good"),
        ("{% if attributes.owns_home %}own{% else %}rent{% endif %}", "own"),
        ("{{ price * 2 }}", "91.50"),
        ("{{ contact.first_name ~ '-' ~ secrets.key }}", "Ann-s3cret"),
        ("{% for n in ['a', 'b'] %}{{ n }}{{ loop.index }}{% endfor %}", "a1b2"),
        ("{{ attributes.remarks | replace('said', 'done') | upper }}", "DONE"),
        ("{# nothing #}x", "x"),
    ],
)
def test_what_posting_specs_ask_for_can_be_written(source: str, made: str) -> None:
    assert render(source) == made


def test_a_loop_over_the_attributes_writes_each() -> None:
    made = render("{% for name, value in attributes | items %}{{ name }}={{ value }};{% endfor %}")
    assert "zip=94107;" in made and "credit_score=710;" in made


def test_an_attribute_that_is_called_as_a_method_is_still_an_attribute() -> None:
    allowed = Allowed("post", None, frozenset())
    made = compile_template("{{ attributes.items }}{{ attributes.keys }}", "text", allowed)
    assert made.render({"attributes": {"items": 3}}) == "3"


REFUSED = [
    "{{ ''.__class__ }}",
    "{{ ''['__class__'] }}",
    "{{ attributes.__class__ }}",
    "{{ attributes.zip.__class__ }}",
    "{{ attributes | attr('__class__') }}",
    "{{ (contact or 1).phone }}",
    "{{ contact['ph' ~ 'one'] }}",
    "{{ contact[attributes.zip] }}",
    "{{ secrets }}",
    "{{ secrets | tojson }}",
    "{{ secrets.other }}",
    "{{ range(10) }}",
    "{{ attributes.items() }}",
    "{{ lipsum() }}",
    "{{ cycler }}",
    "{{ self }}",
    "{{ self._TemplateReference__context }}",
    "{{ config }}",
    "{{ loop }}",
    "{{ attributes.nope }}",
    "{{ nope }}",
    "{{ contact.ssn }}",
    "{{ 'a' * 10**9 }}",
    "{{ 'a' | center(1000000000) }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ 5 | round(-1000000000) }}",
    "{{ [1] | map('upper') }}",
    "{% for i in range(1000000) %}x{% endfor %}",
    "{% for a in [1] %}{% for b in [1] %}x{% endfor %}{% endfor %}",
    "{% for a in attributes recursive %}{{ loop(a) }}{% endfor %}",
    "{% for a in 'abc' %}x{% endfor %}",
    "{% for contact in [1] %}x{% endfor %}",
    "{% for x in [" + "1," * 60 + "] %}x{% endfor %}",
    "{% for x in attributes %}" + "{{ x }}" * 200 + "{% endfor %}",
    "{% set x = [1] %}",
    "{% set x %}{% endset %}",
    "{% macro m() %}{{ m() }}{% endmacro %}",
    "{% include 'x' %}",
    "{% import 'x' as y %}",
    "{% extends 'x' %}",
    "{% block a %}{% endblock %}",
    "{% filter upper %}x{% endfilter %}",
    "{% call x() %}{% endcall %}",
    "{% with %}{% endwith %}",
    "{{ x",
    "{% if %}",
    "{{ " + "(" * 5_000,
    "{{ " + "not " * 3_000 + "1 }}",
    "{{ " + "1" + " ~ 1" * 3_000 + " }}",
    "{% if 1 %}" * 100 + "{% endif %}" * 100,
    "x" * 20_000,
]


@pytest.mark.parametrize("source", REFUSED, ids=lambda source: source[:40])
def test_what_could_reach_out_or_run_away_is_refused_when_saved(source: str) -> None:
    with pytest.raises(FieldFault):
        compile_template(source, "text", POST)


@pytest.mark.parametrize(
    ("source", "field"),
    [
        ("{{ contact.phone }}", "contact.phone"),
        ("{{ contact }}", "contact"),
        ("{{ phone }}", "phone"),
        ("{{ 1 if (attributes.zip ~ contact['email']) else 2 }}", "contact.email"),
        ("{% if 0 %}{% for n in [contact.first_name] %}{% endfor %}{% endif %}",
         "contact.first_name"),
        ("{{ attributes.zip | default(contact.last_name | upper) }}", "contact.last_name"),
        ("{{ {'a': [contact.address]} | tojson }}", "contact.address"),
        ("{{ token }}", "token"),
        ("{{ price }}", "price"),
    ],
)  # fmt: skip
def test_a_ping_cannot_name_contact_data_however_deep_it_hides(source: str, field: str) -> None:
    with pytest.raises(FieldFault) as raised:
        compile_template(source, "text", PING)
    assert raised.value.field == field


@pytest.mark.parametrize(
    "source",
    [
        "{{ attributes.zip + attributes.zip }}",
        "{{ attributes.zip * 3 }}",
        "{{ attributes.credit_score" + " * 1000000" * 4 + " }}",
        "{{ 1 / 0 }}",
        "{{ attributes.zip < 3 }}",
        "{{ attributes.remarks" + " | tojson" * 30 + " }}",
        "{{ attributes.remarks | replace('', 'x')" + " | replace('a', 'aaaaaaaa')" * 9 + " }}",
        "{% for n in attributes %}" + "y" * 8_000 + "{% endfor %}{{ 'z' }}" + "w" * 4_000,
        "{{ attributes.remarks | date('%Q') }}",
    ],
    ids=lambda source: source[:40],
)
def test_what_grows_or_breaks_while_it_is_written_stops_at_a_bound(source: str) -> None:
    template = compile_template(source, "text", POST)
    many = {f"a{n}": "a" * 100 for n in range(20)}
    started = time.process_time()
    with pytest.raises(Unwritable):
        template.render(
            VALUES | {"attributes": VALUES["attributes"] | many | {"remarks": '"a' * 9}}
        )
    assert time.process_time() - started < 2.0  # minutes, without the bounds


NASTY = "a\"b'c<d>&\\e\r\nX-Evil: 1\0{{ x }}%&=ü€"


def test_a_value_stays_in_its_place_in_json() -> None:
    made = json.loads(
        render(
            '{"a":"{{ attributes.remarks }}","b":{{ price }},"c":{{ token | tojson }}}',
            "json",
            remarks=NASTY,
        )
    )
    assert made == {"a": NASTY, "b": 45.75, "c": None}


def test_a_value_stays_in_its_place_in_xml_and_what_xml_cannot_hold_is_left_out() -> None:
    made = fromstring(
        render("<a b='{{ attributes.remarks }}'>{{ attributes.remarks }}</a>", "xml", remarks=NASTY)
    )
    assert made.text == NASTY.replace("\0", "").replace("\r\n", "\n")
    assert not list(made)


def test_a_value_stays_in_its_place_in_a_form() -> None:
    made = render("a={{ attributes.remarks }}&b=1", "form", remarks=NASTY)
    assert parse_qsl(made, strict_parsing=True) == [("a", NASTY), ("b", "1")]


def test_a_value_stays_in_its_place_in_a_url() -> None:
    made = render("https://x.example/{{ attributes.remarks }}/y", "url", remarks="../../a?b#c/")
    assert made == "https://x.example/..%2F..%2Fa%3Fb%23c%2F/y"
    with pytest.raises(Unwritable):
        render("https://x.example/{{ attributes.remarks }}/y", "url", remarks="..")


@given(st.text(max_size=60))
def test_a_line_is_one_line_whatever_is_put_into_it(text: str) -> None:
    made = render("{{ attributes.remarks }}", "line", remarks=text)
    assert not set(made) & set("\r\n\0\x0b\x0c\x85\u2028\u2029")


@given(st.text(max_size=200))
def test_no_text_written_as_a_template_does_anything_but_render_or_be_refused(text: str) -> None:
    with suppress(FieldFault, Unwritable):
        assert len(render(text)) <= MAX_RENDERED_CHARS


@given(st.text(alphabet="{}%[]()|~.'\"_ abcontacphesrl0123456789*+-", max_size=80))
def test_no_expression_of_a_ping_holds_contact_data(text: str) -> None:
    try:
        made = compile_template("{{" + text + "}}", "text", PING).render(VALUES)
    except (FieldFault, Unwritable):
        return
    assert "415555" not in made
