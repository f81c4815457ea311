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
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._keys[self._sealing].encrypt(nonce, self._encode(contact), lead_id.encode())
        return Sealed(self._sealing, nonce + sealed)

    def open(self, sealed: Sealed, lead_id: LeadId) -> Contact:
        """Decrypt. Raises VaultError if the key is not configured or the data were changed."""
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise VaultError(f"contact key {sealed.key_id} is not configured")
        nonce, data = sealed.data[:_NONCE_BYTES], sealed.data[_NONCE_BYTES:]
        try:
            return self._decode(key.decrypt(nonce, data, lead_id.encode()))
        except (InvalidTag, msgspec.MsgspecError):
            raise VaultError(f"the contact of lead {lead_id} cannot be opened") from None
