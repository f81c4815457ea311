"""What a handler is given: the call, and the site it comes to.

Neither knows HTTP's mechanics; reading and answering are the server's.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeVar

import msgspec
from msgspec import Struct

from exchange.core.model import CompanyId, SellerId
from exchange.core.verticals import Kind, Vertical
from exchange.flow.dialects import DialectDesk
from exchange.flow.doors import Doors
from exchange.flow.faults import Invalid, NotFound
from exchange.flow.ports import Role
from exchange.flow.registry import Caller
from exchange.web.amounts import check_amounts
from exchange.web.attributes import AttributesReader
from exchange.web.bodies import check_text, decode
from exchange.web.metrics import Metrics

T = TypeVar("T")

MAX_PAGE: Final = 200
DEFAULT_PAGE: Final = 50
_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
_PLACE: Final = re.compile(r"(?=.{1,64}\Z)[0-9A-Za-z]+-[0-9A-Za-z_-]+")
"""An id as lists give it for their next page. A number or a word is none, and would end the list
as if there were no more."""

UrlCheck = Callable[[str], Awaitable[str | None]]
"""Says what is wrong with a delivery URL (a private address, say), or None."""


class Log(Protocol):
    """As much of a structured logger as is used here."""

    def error(self, event: str, **facts: object) -> object:
        """Log an error with facts."""
        ...

    def warning(self, event: str, **facts: object) -> object:
        """Log a warning with facts."""
        ...


class WebLimits(Struct, frozen=True, kw_only=True):
    """The wire's bounds. ``hash_key`` keys the hashes of contacts; ``max_pings`` and
    ``max_posts`` bound those answered at once: beyond, latency would only grow. Pings that wait
    for companies' own bidders count by themselves, against ``max_asking``; with less than
    ``min_bidder_ms`` no bidder is asked. Without a ``desk`` campaigns have no dialects.
    """

    hash_key: bytes
    max_body_bytes: int = 65_536
    max_upload_bytes: int = 268_435_456
    max_json_depth: int = 32
    body_timeout_s: float = 10.0
    default_timeout_ms: int = 500
    min_timeout_ms: int = 50
    max_timeout_ms: int = 5_000
    max_buyers: int = 5
    clock_skew_s: int = 300
    implausible_age_days: int = 365
    max_pings: int = 500
    max_asking: int = 5_000
    max_posts: int = 1_000
    min_bidder_ms: int = 20
    max_bulk_bytes: int = 4_194_304
    max_bulk_lines: int = 10_000
    check_url: UrlCheck | None = None
    desk: DialectDesk | None = None

    def __repr__(self) -> str:
        return "WebLimits(hidden)"


class Site:
    """What stays the same from call to call: the doors, the bounds, the verticals' readers."""

    def __init__(
        self,
        doors: Doors,
        limits: WebLimits,
        metrics: Metrics,
        *,
        calls: tuple[str, ...],
        build_document: Callable[[], bytes],
    ) -> None:
        self.doors = doors
        self.limits = limits
        self.metrics = metrics
        self.draining = False
        self.calls = calls
        self._build_document = build_document
        self._document: bytes | None = None
        self.readers = {
            name: AttributesReader(vertical) for name, vertical in doors.market.verticals.items()
        }
        self.attribute_kinds = _merge_kinds(doors.market.verticals)

    def document(self) -> bytes:
        """The OpenAPI document, built when first asked for."""
        if self._document is None:
            self._document = self._build_document()
        return self._document

    def reader(self, vertical: str) -> AttributesReader:
        """The reader of a vertical's attributes. Raises Invalid for an unknown vertical."""
        try:
            return self.readers[vertical]
        except KeyError:
            known = ", ".join(sorted(self.readers))
            raise Invalid(
                f"The exchange does not trade this vertical; it trades {known}.",
                field="vertical",
                code="unknown_vertical",
            ) from None

    def waiting_for(self) -> tuple[str, ...]:
        """What keeps this worker from being ready; nothing if it is."""
        found = self.doors.ready()
        return tuple(["draining", *found] if self.draining and "draining" not in found else found)


def _merge_kinds(verticals: Mapping[str, Vertical]) -> dict[str, Kind | None]:
    """Each attribute's kind; None where two verticals do not agree on it."""
    kinds: dict[str, Kind | None] = {}
    for vertical in verticals.values():
        for name, spec in vertical.attributes.items():
            kinds[name] = spec.kind if kinds.get(name, spec.kind) == spec.kind else None
    return kinds


class Page(Struct, frozen=True):
    """Which part of a list is wanted: at most ``limit`` items behind the id ``after``."""

    after: str
    limit: int

    def cut(self, items: list[T], key: Callable[[T], str]) -> tuple[tuple[T, ...], str | None]:
        """The page's items of the one more that was asked for, and where the next begins."""
        page = tuple(items[: self.limit])
        return page, key(page[-1]) if len(items) > self.limit else None


class Reply(Struct, frozen=True):
    """An answer that is not simply a struct in JSON at the route's status.

    A ``stream`` comes behind the body, part by part.
    """

    body: bytes
    status: int = 200
    content_type: str = "application/json"


class Streamed(Struct, frozen=True):
    """An answer written as it is read; ``chunks``, behind the first, is closed by who writes it.

    ``within_s`` is the longest that may take.
    """

    first: bytes
    chunks: AsyncGenerator[bytes, None]
    content_type: str
    headers: Mapping[str, str] = {}
    within_s: float = 60.0


class Call:
    """One request, its caller known and its body read but not decoded."""

    __slots__ = ("body", "caller", "headers", "is_form", "params", "query", "site", "stream")

    def __init__(
        self,
        site: Site,
        caller: Caller | None,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        query: Mapping[str, str],
        body: bytes,
        is_form: bool,
    ) -> None:
        self.site = site
        self.caller = caller
        self.params = params
        self.headers = headers
        self.query = query
        self.body = body
        self.is_form = is_form
        self.stream: Callable[[], AsyncIterator[bytes]] | None = None

    @property
    def who(self) -> Caller:
        """The caller of a route that has roles."""
        assert self.caller is not None
        return self.caller

    @property
    def seller_id(self) -> SellerId:
        """The calling seller."""
        return SellerId(self.who.subject_id)

    @property
    def company_id(self) -> CompanyId:
        """The calling company."""
        return CompanyId(self.who.subject_id)

    @property
    def is_operator(self) -> bool:
        """Whether an operator is calling."""
        return self.who.role == "operator"

    def read(self, kind: type[T]) -> T:
        """Decode the JSON body."""
        return read_body(decoder_of(kind), self.body, self.site.limits.max_json_depth)

    def id(self, name: str) -> str:
        """An id from the path. Raises NotFound for what cannot be one."""
        value = self.params[name]
        if not _ID.fullmatch(value):
            raise NotFound("There is no such thing here.")
        return value

    def own_company(self, name: str) -> CompanyId:
        """A company's id from the path, if it is the caller's or an operator calls."""
        company_id = self.id(name)
        if not self.is_operator and company_id != self.who.subject_id:
            raise NotFound("There is no such company.")
        return CompanyId(company_id)

    async def check_party(self, role: Role, account_id: str) -> None:
        """See that there is the seller or company a query names. Raises Invalid."""
        if await self.site.doors.registry.account(role, account_id) is None:
            raise Invalid(f"There is no such {role}.", field=f"{role}_id")

    def option(self, name: str) -> bool:
        """An option of the query, false where it is not given. Raises Invalid."""
        value = self.query.get(name, "false")
        if value not in ("true", "false"):
            raise Invalid(f"{name} is true or false.", field=name)
        return value == "true"

    def page(self) -> Page:
        """The part of a list the query asks for. Raises Invalid."""
        after = self.query.get("after", "")
        if after and not _PLACE.fullmatch(after):
            raise Invalid("after is the next of a page before.", field="after")
        limit = self.query.get("limit", str(DEFAULT_PAGE))
        if not re.fullmatch("[0-9]{1,3}", limit, re.ASCII) or not 1 <= int(limit) <= MAX_PAGE:
            raise Invalid(f"limit must be from 1 to {MAX_PAGE}.", field="limit")
        return Page(after, int(limit))


def is_id(text: str) -> bool:
    """Whether a text can be an id of ours at all."""
    return _ID.fullmatch(text) is not None


_DECODERS: Final[dict[tuple[Any, bool], msgspec.json.Decoder[Any]]] = {}


def decoder_of(kind: type[T], *, strict: bool = True) -> msgspec.json.Decoder[T]:
    """The one decoder of a body's type; the one that is not strict reads texts as values."""
    decoder = _DECODERS.get((kind, strict))
    if decoder is None:
        decoder = _DECODERS[kind, strict] = msgspec.json.Decoder(kind, strict=strict)
    return decoder


def read_body(decoder: msgspec.json.Decoder[T], body: bytes, max_depth: int) -> T:
    """Decode a whole JSON body. Raises Malformed and Invalid."""
    check_text(body, max_depth)
    found = decode(decoder, body)
    check_amounts(decoder.type, body)
    return found


def idempotency_key(headers: Mapping[str, str], default: str | None) -> str | None:
    """The request's idempotency key: 1 to 200 visible characters. Raises Invalid."""
    key = headers.get("Idempotency-Key")
    if key is None:
        return default
    if not re.fullmatch(r"[\x21-\x7e]{1,200}", key):
        raise Invalid("Idempotency-Key takes 1 to 200 visible characters.", field="Idempotency-Key")
    return key
