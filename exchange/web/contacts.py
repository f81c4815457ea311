"""Contact data as it is hashed: the phone in E.164, the email trimmed and in lower case.

Source: the wire's contract (SHA-256 of the normalised field on ping); the market keeps only keyed
hashes of these, since a bare hash of a phone number is found by trying them all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b, sha256
from typing import Final

import phonenumbers
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from exchange.flow.faults import Invalid

DEFAULT_REGION: Final = "US"
"""Where a phone number without a country code is taken to be."""


_PLAIN_PHONE: Final = re.compile(r"\+1[2-9][0-9]{9}")
"""North American numbers in E.164, as nearly all of them come: possible, and written already."""

_PLAIN_EMAIL: Final = re.compile(
    r"[a-z0-9_]+(?:[.+-][a-z0-9_]+)*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+(?P<top>[a-z]{2,})"
)
"""Addresses no rule has anything against, if their top domain is not a special one."""

_PLAIN_LENGTH: Final = 63
"""Within this no part of an address can be too long."""

_SPECIAL_TOPS: Final = frozenset(SPECIAL_USE_DOMAIN_NAMES) - {"test"}


def normalise_phone(text: str, field: str) -> str:
    """Write a phone number in E.164. Raises Invalid for what cannot be one."""
    if _PLAIN_PHONE.fullmatch(text):
        return text
    try:
        number = phonenumbers.parse(text, DEFAULT_REGION)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_possible_number(number):
        raise Invalid(f"{field} is not a phone number.", field=field)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def normalise_email(text: str, field: str) -> str:
    """Trim an email address and lower its case. Raises Invalid for what cannot be one."""
    email = text.strip().lower()
    plain = _PLAIN_EMAIL.fullmatch(email) if len(email) <= _PLAIN_LENGTH else None
    if plain is not None and plain["top"] not in _SPECIAL_TOPS:
        return email
    try:
        # Names such as example.test are for tests, which the exchange takes too.
        validate_email(email, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise Invalid(f"{field} is not an email address.", field=field) from None
    return email


def digest(normalised: str) -> str:
    """The SHA-256 of a normalised contact field, in hex, as sellers send it on ping."""
    return sha256(normalised.encode()).hexdigest()


def key_hashes(hashes: Mapping[str, str], hash_key: bytes) -> dict[str, str]:
    """The keyed hashes (BLAKE2b, 256 bits, hex) of digests by field: what is stored."""
    keyed = {}
    for field, value in sorted(hashes.items()):
        hashing = _begun(hash_key).copy()
        hashing.update(f"{field}:{value}".encode())
        keyed[field] = hashing.hexdigest()
    return keyed


@lru_cache(maxsize=8)
def _begun(hash_key: bytes) -> blake2b:
    """A hash with its key taken in, which is half of its work."""
    return blake2b(key=hash_key[:64], digest_size=32)
