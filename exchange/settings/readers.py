"""Readers of single values: those whose bounds a type cannot say.

Decides what such a value may be, and says it in words. A reader takes what the file or a variable
gave, returns the value checked, and raises ValueError without quoting it: it may be a secret.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from exchange.core.quality.flaws import CHECKS
from exchange.settings.sections import ContactKey

_TWO_DECIMALS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,2})?")
_EMAIL: Final = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
_OPERATOR_KEY: Final = re.compile(r"[A-Za-z0-9._~+/=-]{16,256}")
URL_SCHEMES: Final = {
    "postgres_url": ("postgresql", "postgres"),
    "redis_url": ("redis", "rediss", "unix"),
    "relay_url": ("smtp", "smtps"),
}


def _hundredths(value: object, most: int) -> Decimal:
    # A number of the file arrives as int or Decimal; both print the digits that were written.
    if not _TWO_DECIMALS.fullmatch(str(value)) or Decimal(str(value)) > most:
        raise ValueError
    return Decimal(str(value))


def _read_percent(value: object) -> Decimal:
    return _hundredths(value, 100)


def _read_dollars(value: object) -> Decimal:
    return _hundredths(value, 100_000_000)


def _read_timezone(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    try:
        ZoneInfo(value)
    except (OSError, LookupError):
        # An unknown zone is a LookupError, a directory of zones an OSError.
        raise ValueError from None
    return value


def _read_host(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9.:_-]{1,255}", value):
        raise ValueError
    return value


def _read_path(value: object) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError
    return Path(value)


def _read_url(value: object, kind: str) -> str | None:
    if not isinstance(value, str):
        raise ValueError
    if value and urlsplit(value).scheme not in URL_SCHEMES[kind]:
        raise ValueError
    return value or None


def _read_relay_url(value: object) -> str | None:
    url = _read_url(value, "relay_url")
    if url is not None and (not urlsplit(url).hostname or urlsplit(url).port == 0):
        raise ValueError
    return url


def _read_email(value: object) -> str | None:
    if not isinstance(value, str) or (value and not _EMAIL.fullmatch(value)):
        raise ValueError
    return value or None


def _read_checks(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, str):
        raise ValueError
    names = tuple(name.strip() for name in value.split(",")) if value.strip() else ()
    if not CHECKS.keys() >= set(names):
        raise ValueError
    return names or None


MOST_DOMAINS_BYTES: Final = 2**24
"""The largest file of domains read: some million lines."""

_DOMAIN: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")


def _read_domains_file(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    if not value:
        return None
    path = Path(value).expanduser()
    try:
        if path.stat().st_size > MOST_DOMAINS_BYTES:
            raise ValueError
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ValueError from None
    words = [line.partition("#")[0].strip().lower().rstrip(".") for line in lines]
    domains = tuple(dict.fromkeys(word for word in words if word))
    if not all(_DOMAIN.fullmatch(domain) for domain in domains):
        raise ValueError
    return domains


def _read_operator_key(value: object) -> str:
    if not isinstance(value, str) or not _OPERATOR_KEY.fullmatch(value):
        raise ValueError
    return value


def _read_contact_keys(value: object) -> tuple[ContactKey, ...]:
    if not isinstance(value, str):
        raise ValueError
    keys = []
    for part in value.split(","):
        key_id, _, key = part.strip().partition(":")
        if not re.fullmatch(r"[0-9]{1,3}", key_id) or not 1 <= int(key_id) <= 255:
            raise ValueError
        keys.append(ContactKey(key_id=int(key_id), key=_read_key(key, 32, 32)))
    if len({key.key_id for key in keys}) != len(keys):
        raise ValueError
    return tuple(keys)


def _read_key(value: object, least_bytes: int, most_bytes: int) -> bytes:
    if not isinstance(value, str):
        raise ValueError
    try:
        key = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError from None
    if not least_bytes <= len(key) <= most_bytes:
        raise ValueError
    return key


READERS: Final[dict[str, tuple[Callable[[object], object], str]]] = {
    "percent": (_read_percent, '"0" to "100", with at most two decimals'),
    "dollars": (_read_dollars, '"0" to "100000000", with at most two decimals'),
    "timezone": (_read_timezone, "a timezone such as America/New_York"),
    "host": (_read_host, "an address or a host name"),
    "path": (_read_path, "a directory"),
    "postgres_url": (lambda value: _read_url(value, "postgres_url"), "a postgresql:// URL"),
    "redis_url": (
        lambda value: _read_url(value, "redis_url"),
        "a redis://, rediss:// or unix:// URL",
    ),
    "relay_url": (_read_relay_url, "an smtp:// or smtps:// URL with a host"),
    "email": (_read_email, "an email address"),
    "checks": (_read_checks, f"names of checks apart by commas: {', '.join(CHECKS)}"),
    "domains_file": (_read_domains_file, "a readable file of domains, one a line, # for remarks"),
    "operator_key": (_read_operator_key, "16 to 256 letters, digits and . _ ~ + / = -"),
    "contact_keys": (
        _read_contact_keys,
        "id:key,id:key with ids from 1 to 255, each once, and keys of 32 bytes in base64",
    ),
    "hash_key": (lambda value: _read_key(value, 32, 1_024), "32 to 1024 bytes in base64"),
    "draw_key": (lambda value: _read_key(value, 32, 64), "32 to 64 bytes in base64"),
}
"""Each reader by its name in the sections, with what it allows."""
