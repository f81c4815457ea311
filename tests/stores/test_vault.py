"""Contact data is sealed for one lead, and opens with its key alone (design: Stores)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.model import LeadId
from exchange.flow.ports import Contact, Sealed
from exchange.stores.vault import ContactVault, VaultError

OLD, NEW = (1, b"o" * 32), (2, b"n" * 32)
LEAD = LeadId("lead-1")
ADA = Contact(
    first_name="Ada",
    last_name="Lovelace",
    phone="+14155550123",
    email="ada@mail.example",
    address={"street": "12 St James's Square", "city": "London"},
)


def test_what_is_sealed_opens_as_it_was() -> None:
    vault = ContactVault([OLD])
    assert vault.open(vault.seal(ADA, LEAD), LEAD) == ADA


@given(
    first=st.text(max_size=50),
    phone=st.none() | st.text(max_size=20),
    address=st.none() | st.text(max_size=50) | st.dictionaries(st.text(), st.text(), max_size=3),
)
def test_any_contact_comes_back_whole(
    first: str, phone: str | None, address: str | dict[str, str] | None
) -> None:
    vault = ContactVault([OLD])
    contact = Contact(first_name=first, last_name="", phone=phone, address=address)
    assert vault.open(vault.seal(contact, LEAD), LEAD) == contact


def test_nothing_of_the_contact_shows_in_what_is_sealed() -> None:
    data = ContactVault([OLD]).seal(ADA, LEAD).data
    assert not any(part in data for part in (b"Ada", b"Lovelace", b"415555", b"mail", b"phone"))


def test_the_same_contact_is_never_sealed_alike_twice() -> None:
    vault = ContactVault([OLD])
    assert len({vault.seal(ADA, LEAD).data for _ in range(50)}) == 50


def test_another_key_under_the_same_id_does_not_open_it() -> None:
    sealed = ContactVault([OLD]).seal(ADA, LEAD)
    with pytest.raises(VaultError):
        ContactVault([(1, b"x" * 32)]).open(sealed, LEAD)


def test_a_key_that_is_not_configured_is_named() -> None:
    sealed = ContactVault([OLD]).seal(ADA, LEAD)
    with pytest.raises(VaultError, match="contact key 1 is not configured"):
        ContactVault([NEW]).open(sealed, LEAD)


def test_after_a_rotation_the_new_key_seals_and_the_old_still_opens() -> None:
    sealed_before = ContactVault([OLD]).seal(ADA, LEAD)
    rotated = ContactVault([NEW, OLD])
    assert rotated.open(sealed_before, LEAD) == ADA
    assert rotated.seal(ADA, LEAD).key_id == 2


def test_a_sealed_contact_does_not_open_for_another_lead() -> None:
    vault = ContactVault([OLD])
    with pytest.raises(VaultError):
        vault.open(vault.seal(ADA, LEAD), LeadId("lead-2"))


def test_every_changed_byte_is_noticed() -> None:
    vault = ContactVault([OLD])
    sealed = vault.seal(ADA, LEAD)
    for place in range(len(sealed.data)):
        changed = bytearray(sealed.data)
        changed[place] ^= 1
        with pytest.raises(VaultError):
            vault.open(Sealed(sealed.key_id, bytes(changed)), LEAD)


def test_every_lost_end_is_noticed() -> None:
    vault = ContactVault([OLD])
    sealed = vault.seal(ADA, LEAD)
    for length in range(len(sealed.data)):
        with pytest.raises(VaultError):
            vault.open(Sealed(sealed.key_id, sealed.data[:length]), LEAD)


def test_the_fault_says_nothing_of_what_was_sealed() -> None:
    vault = ContactVault([OLD])
    with pytest.raises(VaultError) as fault:
        vault.open(vault.seal(ADA, LEAD), LeadId("lead-2"))
    assert "Ada" not in str(fault.value) and fault.value.__cause__ is None


def test_a_note_opens_as_it_was() -> None:
    vault = ContactVault([OLD])
    assert vault.open_note(vault.seal_note("called twice", LEAD), LEAD) == "called twice"


def test_a_note_does_not_open_as_a_contact_nor_a_contact_as_a_note() -> None:
    vault = ContactVault([OLD])
    with pytest.raises(VaultError):
        vault.open(vault.seal_note('{"first_name":"Ada","last_name":"L"}', LEAD), LEAD)
    with pytest.raises(VaultError):
        vault.open_note(vault.seal(ADA, LEAD), LEAD)


def test_a_vault_without_a_key_is_refused() -> None:
    with pytest.raises(VaultError):
        ContactVault([])
