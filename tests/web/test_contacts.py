"""Contact data is hashed as its senders hash it, whichever way it is read here."""

from __future__ import annotations

import json
from hashlib import sha256

import phonenumbers
import pytest
from email_validator import validate_email
from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins

from exchange.flow.faults import Invalid
from exchange.flow.ports import Contact
from exchange.web.contacts import normalise_email, normalise_phone
from exchange.web.post_codec import _body_hash

label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
local = st.from_regex(r"[A-Za-z0-9_+.-]{1,20}", fullmatch=True)
top = st.sampled_from(["com", "test", "local", "invalid", "onion", "arpa", "a1", "museum", "c-d"])
emails = st.builds(lambda a, b, c: f"{a}@{'.'.join([*b, c])}", local, st.lists(label), top)
words = st.text(max_size=20)


@given(st.from_regex(r"\+1[0-9]{8,11}", fullmatch=True))
def test_a_north_american_number_is_read_as_the_phone_library_reads_it(text: str) -> None:
    number = phonenumbers.parse(text, "US")
    if not phonenumbers.is_possible_number(number):
        with pytest.raises(Invalid):
            normalise_phone(text, "phone")
        return
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    assert normalise_phone(text, "phone") == written


@given(emails)
def test_an_address_is_taken_just_where_the_email_library_takes_it(email: str) -> None:
    try:
        validate_email(email.lower(), check_deliverability=False, test_environment=True)
    except ValueError:
        with pytest.raises(Invalid):
            normalise_email(email, "email")
        return
    assert normalise_email(email, "email") == email.lower()


@pytest.mark.parametrize(
    "email",
    ["ada@mail.local", "ada@xn--a.com", "ada@nowhere", "a" * 260 + "@mail.com", "a..b@mail.com"],
)
def test_an_address_the_email_library_refuses_is_refused(email: str) -> None:
    with pytest.raises(Invalid):
        normalise_email(email, "email")


@given(
    st.dictionaries(words, words | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)),
    st.builds(
        Contact,
        first_name=words,
        last_name=words,
        phone=st.none() | words,
        address=words | st.dictionaries(words, words),
    ),
)
def test_a_body_is_known_again_by_the_hash_of_its_sorted_json(
    attributes: dict[str, str | int | float | bool], contact: Contact
) -> None:
    plain = {
        "ping_id": "p",
        "attributes": {
            name: int(v) if isinstance(v, float) and v.is_integer() else v
            for name, v in attributes.items()
        },
        "contact": to_builtins(contact),
    }
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    assert _body_hash("p", attributes, contact) == sha256(text.encode()).digest()
