"""Secrets of dialects at rest: AES-256-GCM with the keys that seal contact data.

A sealed secret is a text, ``sealed:<key id>:<base64 of nonce and ciphertext>``, so that a campaign
stays plain data wherever it is kept or copied. The first key seals, every one opens.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_PREFIX: Final = "sealed:"
_NONCE_BYTES: Final = 12
_BOUND_TO: Final = b"exchange dialect secret"  # never opens as a contact, whose key it shares


class SealError(ValueError):
    """A secret that cannot be opened. Says nothing of what is in it."""


class SecretBox:
    """Seals and opens secrets with keys of 32 bytes by their id (1–255)."""

    def __init__(self, keys: Sequence[tuple[int, bytes]]) -> None:
        if not keys:
            raise SealError("no key to seal secrets with")
        self._keys = {key_id: AESGCM(key) for key_id, key in keys}
        self._sealing = keys[0][0]

    def seal(self, secret: str) -> str:
        """Encrypt a secret; one that is sealed already stays as it is."""
        if is_sealed(secret):
            return secret
        nonce = os.urandom(_NONCE_BYTES)
        data = nonce + self._keys[self._sealing].encrypt(nonce, secret.encode(), _BOUND_TO)
        return f"{_PREFIX}{self._sealing}:{base64.b64encode(data).decode()}"

    def open(self, sealed: str) -> str:
        """Decrypt a secret. Raises SealError."""
        key_id, _, text = sealed.removeprefix(_PREFIX).partition(":")
        key = self._keys.get(int(key_id)) if key_id.isascii() and key_id.isdigit() else None
        if not is_sealed(sealed) or key is None:
            raise SealError("a secret is sealed with a key that is not configured")
        try:
            data = base64.b64decode(text, validate=True)
            return key.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], _BOUND_TO).decode()
        except (InvalidTag, binascii.Error, ValueError):
            raise SealError("a secret was changed after it was sealed") from None


def is_sealed(secret: str) -> bool:
    """Whether a text is a sealed secret."""
    return secret.startswith(_PREFIX)
