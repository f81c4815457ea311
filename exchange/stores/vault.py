"""Contact data at rest: AES-256-GCM, one nonce a lead, bound to the lead's id.

Keys have ids, so that they can be rotated: the first seals, every one opens.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from exchange.core.model import LeadId
from exchange.flow.ports import Contact, Sealed

_NONCE_BYTES: Final = 12
"""The nonce length GCM is made for; random, as no key seals 2^32 leads."""


_NOTE: Final = ":note"
"""What a note is bound to beside its lead."""


class VaultError(Exception):
    """Sealed data that cannot be opened. Says nothing of what was in it."""


class ContactVault:
    """Seals and opens contact data with keys of 32 bytes by their id (1–255)."""

    def __init__(self, keys: Sequence[tuple[int, bytes]]) -> None:
        if not keys:
            raise VaultError("no contact key is configured")
        self._keys = {key_id: AESGCM(key) for key_id, key in keys}
        self._sealing = keys[0][0]
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Contact).decode

    def seal(self, contact: Contact, lead_id: LeadId) -> Sealed:
        """Encrypt for one lead."""
        return self._encrypt(self._encode(contact), lead_id)

    def open(self, sealed: Sealed, lead_id: LeadId) -> Contact:
        """Decrypt. Raises VaultError if the key is not configured or the data were changed."""
        try:
            return self._decode(self._decrypt(sealed, lead_id))
        except msgspec.MsgspecError:
            raise VaultError(f"the contact of lead {lead_id} cannot be opened") from None

    def seal_note(self, note: str, lead_id: LeadId) -> Sealed:
        """Encrypt what a company wrote of a lead; it does not open as the lead's contact."""
        return self._encrypt(note.encode(), f"{lead_id}{_NOTE}")

    def open_note(self, sealed: Sealed, lead_id: LeadId) -> str:
        """Decrypt a note. Raises VaultError like `open`."""
        return self._decrypt(sealed, f"{lead_id}{_NOTE}").decode()

    def _encrypt(self, data: bytes, bound_to: str) -> Sealed:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._keys[self._sealing].encrypt(nonce, data, bound_to.encode())
        return Sealed(self._sealing, nonce + sealed)

    def _decrypt(self, sealed: Sealed, bound_to: str) -> bytes:
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise VaultError(f"contact key {sealed.key_id} is not configured")
        nonce, data = sealed.data[:_NONCE_BYTES], sealed.data[_NONCE_BYTES:]
        try:
            return key.decrypt(nonce, data, bound_to.encode())
        except (InvalidTag, ValueError):
            raise VaultError(f"what is sealed for {bound_to} cannot be opened") from None
