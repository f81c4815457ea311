"""Requests in a company's dialect: compiled once, written for each lead.

The scheme and host of a URL are never made of a lead's values, and no value leaves its place in a
URL, a header or a body. Knows no sockets; time and the company's signing secret are given.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from msgspec import Struct

from exchange import __version__
from exchange.buyers.lead_fields import Allowed, FieldFault
from exchange.buyers.mapping import MappingFault, Write, compile_mapping
from exchange.buyers.speech import Outgoing
from exchange.buyers.templates import Template, Unwritable, compile_template
from exchange.buyers.writing import CONTENT_TYPES, WriteBody, compile_body, form_pairs
from exchange.core.dialect import MASK, Basic, Bearer, HeaderKey, Hmac, QueryKey, Signed, Speech

TIMESTAMP_HEADER: Final = "X-Exchange-Timestamp"
SIGNATURE_HEADER: Final = "X-Exchange-Signature"
USER_AGENT: Final = f"exchange/{__version__}"
MAX_URL_CHARS: Final = 2_048

_BASE: Final = re.compile(r"https?://[^/?#{}\s@\\]+(?=[/?#]|\Z)", re.IGNORECASE)
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]*")
# The connection's own, and what the exchange itself says.
_RESERVED: Final = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "accept-encoding",
        "idempotency-key",
        TIMESTAMP_HEADER.lower(),
        SIGNATURE_HEADER.lower(),
    }
)

Headers = tuple[tuple[str, str], ...]


class Signing(Struct, frozen=True):
    """What a signature needs: the company's secret, and the Unix time in seconds."""

    secret: str
    timestamp: int

    def headers(self, body: bytes) -> Headers:
        """The exchange's own signature of a body."""
        stamp = str(self.timestamp)
        signed = hmac.digest(self.secret.encode(), f"{stamp}.".encode() + body, "sha256").hex()
        return ((TIMESTAMP_HEADER, stamp), (SIGNATURE_HEADER, f"v1={signed}"))


class Request:
    """One way of asking or telling, compiled. ``base`` is its scheme and host.

    ``fallback`` is the URL of the campaign's own, for a speech without one. Raises MappingFault
    with the path within the speech.
    """

    def __init__(self, speech: Speech, fallback: str | None, allowed: Allowed) -> None:
        self._method = speech.method
        source = speech.url or fallback
        if not source:
            raise MappingFault("url", "is missing")
        self.base = base_of(source)
        self._url = source
        self._url_template = (
            _template(source, "url", "url", allowed) if speech.url and "{" in source else None
        )
        self._query = _compile_query(speech, allowed)
        self._body = _compile_body(speech, allowed)
        self._auth = speech.auth
        self._fixed, self._made = _compile_headers(speech, allowed)
        # The same object each time, so that whoever sends it can keep what it made of it.
        self._always = self._fixed if not self._made else None

    @property
    def checkable(self) -> str:
        """The URL as far as it is the same for every lead: where it goes can be looked at."""
        return self._url if self._url_template is None else f"{self.base}/"

    @property
    def is_signed(self) -> bool:
        """Whether it carries the exchange's own signature."""
        return isinstance(self._auth, Signed)

    def write(
        self, values: Mapping[str, Any], timestamp: int, own_body: Callable[[], bytes]
    ) -> Outgoing:
        """Write the request; ``own_body`` gives the exchange's own for a dialect without one.

        Raises Unwritable for a lead it cannot be written for.
        """
        body = b""
        if self._method != "GET":
            body = self._body(values) if self._body is not None else own_body()
        headers = self._always or self._fixed + tuple(
            (name, _ascii(template.render(values))) for name, template in self._made
        )
        if isinstance(self._auth, Hmac):
            headers = headers + _hmac_headers(self._auth, timestamp, body)
        return Outgoing(self._method, self._write_url(values), headers, body)

    def _write_url(self, values: Mapping[str, Any]) -> str:
        url = self._url if self._url_template is None else self._url_template.render(values)
        if self._query:
            pairs = [pair for write in self._query for pair in form_pairs(write(values))]
            url = _with_query(url, urlencode(pairs, quote_via=quote, safe="*"))
        if len(url) > MAX_URL_CHARS:
            raise Unwritable(f"the URL is longer than {MAX_URL_CHARS} characters")
        return url


def base_of(url: str) -> str:
    """The scheme and host of a URL, which no template may make. Raises MappingFault."""
    found = _BASE.match(url)
    if found is None:
        raise MappingFault("url", "must begin with https:// and a host that are written out")
    return found[0]


def _with_query(url: str, query: str) -> str:
    if not query:
        return url
    head, sign, fragment = url.partition("#")
    joint = "" if head.endswith(("?", "&")) else "&" if "?" in head else "?"
    return f"{head}{joint}{query}{sign}{fragment}"


def _template(source: str, kind: Any, path: str, allowed: Allowed) -> Template:
    try:
        return compile_template(source, kind, allowed)
    except FieldFault as fault:
        raise MappingFault(path, fault.message, fault.field) from None


def _compile_query(speech: Speech, allowed: Allowed) -> list[Write]:
    writes = []
    mappings = [("query", speech.query)]
    if speech.method == "GET":
        if speech.template is not None:
            raise MappingFault("template", "is a body, which a GET does not have")
        mappings.append(("fields", speech.fields or {}))
    for path, mapping in mappings:
        if mapping:
            try:
                writes.append(compile_mapping(mapping, allowed))
            except MappingFault as fault:
                raise MappingFault(f"{path}.{fault.path}", fault.message, fault.field) from None
    if isinstance(speech.auth, QueryKey):
        key = {speech.auth.name: speech.auth.value}
        writes.append(lambda values: key)
    return writes


def _compile_body(speech: Speech, allowed: Allowed) -> WriteBody | None:
    if speech.method == "GET":
        return None
    body = compile_body(speech.format, speech.fields, speech.template, speech.root, allowed)
    if body is None and speech.format != "json":
        raise MappingFault("fields", f"or a template is needed for {speech.format}")
    return body


def _compile_headers(
    speech: Speech, allowed: Allowed
) -> tuple[Headers, tuple[tuple[str, Template], ...]]:
    fixed: dict[str, tuple[str, str]] = {}
    made: list[tuple[str, Template]] = []

    def put(name: str, value: str) -> None:
        fixed[name.lower()] = (name, value)

    if speech.method != "GET":
        put("Content-Type", speech.content_type or CONTENT_TYPES[speech.format])
    put("Accept", "*/*")
    put("User-Agent", USER_AGENT)
    for name, source in speech.headers.items():
        path = f"headers.{name[:60]}"
        check_header_name(name, path)
        if "{" in source:
            fixed.pop(name.lower(), None)
            made.append((name, _template(source, "line", path, allowed)))
        else:
            put(name, _checked(source, path))
    if speech.content_type is not None:
        _checked(speech.content_type, "content_type")
    match speech.auth:
        case HeaderKey(name=name, value=value):
            check_header_name(name, "auth.name")
            put(name, _checked(value, "auth.value"))
        case Bearer(token=token):
            put("Authorization", _checked(f"Bearer {token}", "auth.token"))
        case Basic(user=user, password=password):
            if ":" in user:
                raise MappingFault("auth.user", "must hold no colon")
            pair = base64.b64encode(f"{user}:{password}".encode()).decode()
            put("Authorization", f"Basic {pair}")
        case Hmac(header=header, timestamp_header=timestamp_header, prefix=prefix):
            check_header_name(header, "auth.header")
            check_header_name(timestamp_header or header, "auth.timestamp_header")
            _checked(prefix, "auth.prefix")
    return tuple(fixed.values()), tuple(made)


def check_header_name(name: str, path: str) -> None:
    """Raise MappingFault for what cannot be a header, or is not a dialect's to set."""
    if not _HEADER_NAME.fullmatch(name):
        raise MappingFault(path, "is no name of a header")
    if name.lower() in _RESERVED:
        raise MappingFault(path, "is a header the exchange sets itself")


def _checked(value: str, path: str) -> str:
    if not _HEADER_VALUE.fullmatch(value):
        raise MappingFault(path, "holds what a header cannot")
    return value.strip()


def _ascii(text: str) -> str:
    """What of a text can stand in a header; its letters are ASCII's."""
    return "".join(char if " " <= char <= "~" else "?" for char in text).strip()


def _hmac_headers(auth: Hmac, timestamp: int, body: bytes) -> Headers:
    stamp = str(timestamp)
    over = body if auth.over == "body" else f"{stamp}.".encode() + body
    digest = hmac.digest(auth.secret.encode(), over, getattr(hashlib, auth.algorithm))
    written = digest.hex() if auth.encoding == "hex" else base64.b64encode(digest).decode()
    if auth.secret == MASK:
        written = MASK  # made without the secret, it would only mislead whoever looks at it
    headers: Headers = ((auth.header, f"{auth.prefix}{written}"),)
    if auth.timestamp_header is not None:
        headers += ((auth.timestamp_header, stamp),)
    return headers
