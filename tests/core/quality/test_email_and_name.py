"""An address and a name are looked at by their words alone (rules: §3.1)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.quality.disposable import DISPOSABLE_DOMAINS
from exchange.core.quality.email import email_flaws, is_disposable
from exchange.core.quality.person import address_flaws, name_flaws


@pytest.mark.parametrize(
    ("email", "found"),
    [
        pytest.param("ann.lee@gmail.com", [], id="a person's"),
        pytest.param(" Ann@Mail.Lee.Org ", [], id="in capitals and blanks"),
        pytest.param("ann@mailinator.com", ["email_disposable"], id="thrown away"),
        pytest.param("ann@MX.Mailinator.com", ["email_disposable"], id="below such a domain"),
        pytest.param("ann@notmailinator.org", [], id="only ends like one"),
        pytest.param("info@roofs.com", ["email_role"], id="a function's"),
        pytest.param("sales+leads@roofs.com", ["email_role"], id="a function's with a tag"),
        pytest.param("salesman@roofs.com", [], id="only begins like one"),
        pytest.param("ann@example.com", ["email_undeliverable"], id="kept for examples"),
        pytest.param("ann@sub.example.org", ["email_undeliverable"], id="below one of those"),
        pytest.param("ann@mail.invalid", ["email_undeliverable"], id="a top that is none"),
        pytest.param("ann@x.y", ["email_undeliverable"], id="a top of one letter"),
        pytest.param("ann@mail.12", ["email_undeliverable"], id="a top of digits"),
        pytest.param("a" * 64 + "@lee.org", [], id="the longest there may be"),
        pytest.param("a" * 65 + "@lee.org", ["email_undeliverable"], id="longer than may be"),
        pytest.param("ä" * 33 + "@lee.org", ["email_undeliverable"], id="longer in octets"),
        pytest.param("ann@lee.xn--p1ai", [], id="a top of another script"),
        pytest.param("test@test.com", ["email_undeliverable"], id="made up"),
        pytest.param("test@gmail.com", [], id="odd, but there may be one"),
        pytest.param("admin@yopmail.com", ["email_disposable", "email_role"], id="both at once"),
    ],
)
def test_an_address_that_is_no_persons_own_has_its_flaws(email: str, found: list[str]) -> None:
    assert [flaw.check for flaw in email_flaws(email)] == found


def test_an_operators_own_domains_count_beside_the_known_ones() -> None:
    assert not is_disposable("burner.example.io")
    assert is_disposable("burner.example.io", {"example.io"})


def test_the_known_domains_are_written_as_they_are_compared() -> None:
    assert len(DISPOSABLE_DOMAINS) > 500
    assert all(domain == domain.lower() and "." in domain for domain in DISPOSABLE_DOMAINS)


@given(st.text(max_size=60))
def test_any_text_is_looked_at(text: str) -> None:
    assert len(email_flaws(text)) <= 3


@pytest.mark.parametrize(
    ("first", "last", "flawed"),
    [
        pytest.param("Ann", "Lee", False, id="a name"),
        pytest.param("Test", "Lee", False, id="one such word may be a name"),
        pytest.param("Test", "Test", True, id="two are none"),
        pytest.param("asdf", "QWERTY", True, id="typed at random"),
        pytest.param("123", "-", True, id="no letters"),
        pytest.param("李", "安", False, id="letters of any script"),
    ],
)
def test_a_name_that_stands_where_none_is_known_is_a_flaw(
    first: str, last: str, flawed: bool
) -> None:
    assert [f.check for f in name_flaws(first, last)] == (["name_placeholder"] if flawed else [])


@pytest.mark.parametrize(
    ("address", "flawed"),
    [
        pytest.param(None, False, id="none"),
        pytest.param("1 Main St, Austin TX 78701", False, id="a text is not read"),
        pytest.param({"street": "1 Main St"}, False, id="without a place"),
        pytest.param({"zip": "94107-1234", "state": "ca"}, False, id="the pinged place"),
        pytest.param({"postal_code": "78701"}, True, id="another ZIP code"),
        pytest.param({"State": "TX"}, True, id="another state"),
        pytest.param({"zip": "unknown", "state": "Texas"}, False, id="what cannot be compared"),
    ],
)
def test_an_address_elsewhere_than_pinged_is_a_flaw(
    address: str | Mapping[str, str] | None, flawed: bool
) -> None:
    found = address_flaws(address, frozenset({"94107"}), frozenset({"CA"}))
    assert [flaw.check for flaw in found] == (["address_place"] if flawed else [])
