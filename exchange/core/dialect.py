"""Dialects: how a company's system is spoken to, as plain data saved with a campaign.

Says what a request is made of and what an answer means, for ping, post and mail. What the words
do is `exchange.buyers`'; here is their shape, and where the secrets in them stand.
Source: rules §7 and §8 (what an answer may come to).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, TypeVar

from msgspec import Meta, Struct
from msgspec.structs import replace

MASK: Final = "***"
"""What stands for a secret wherever one is shown."""

MAX_TEMPLATE_CHARS: Final = 16_384
MAX_SECRET_CHARS: Final = 6_000
"""The longest secret as it is kept, sealed; one of 4,000 ASCII characters comes to less."""

Outcome = Literal["accepted", "rejected", "duplicate", "error"]

_Path = Annotated[str, Meta(min_length=1, max_length=200)]
_Short = Annotated[str, Meta(max_length=200)]
_Named = Annotated[str, Meta(min_length=1, max_length=100)]
_Secret = Annotated[str, Meta(min_length=1, max_length=MAX_SECRET_CHARS)]
_Template = Annotated[str, Meta(min_length=1, max_length=MAX_TEMPLATE_CHARS)]
_Literal = str | int | float | bool | None


class NoAuth(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="none"
):
    """Nothing to identify the exchange by."""


class HeaderKey(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="header"
):
    """A key in a header, such as ``X-Api-Key``."""

    name: _Named
    value: _Secret


class QueryKey(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="query"
):
    """A key in the query string."""

    name: _Named
    value: _Secret


class Bearer(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="bearer"
):
    """``Authorization: Bearer`` with a token."""

    token: _Secret


class Basic(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="basic"
):
    """``Authorization: Basic`` (RFC 7617)."""

    user: _Short
    password: _Secret


class Hmac(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    tag="hmac",
):
    """An HMAC over the body, in the manner a company's system checks.

    ``over`` is what is signed: the body, or the Unix time, a dot and the body. ``prefix`` stands
    before the digest (``sha256=``); the time goes into ``timestamp_header`` where one is named.
    """

    secret: _Secret
    header: _Named = "X-Signature"
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    over: Literal["body", "timestamp.body"] = "body"
    prefix: _Short = ""
    timestamp_header: _Named | None = None


class Signed(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="signed"
):
    """The exchange's own signature, with the company's signing secret."""


Auth = NoAuth | HeaderKey | QueryKey | Bearer | Basic | Hmac | Signed


class Test(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"not_": "not", "in_": "in"},
):
    """A condition on an answer: every part that is given must hold.

    ``status`` is a status, a range such as ``"200-299"``, or several of them. ``path`` is where to
    look (without one: the whole text); texts are compared without regard to case.
    """

    __test__ = False  # not a test of pytest's

    all: Annotated[tuple[Test, ...], Meta(min_length=1, max_length=20)] | None = None
    any: Annotated[tuple[Test, ...], Meta(min_length=1, max_length=20)] | None = None
    not_: Test | None = None
    status: (
        int | str | Annotated[tuple[int | str, ...], Meta(min_length=1, max_length=20)] | None
    ) = None
    path: _Path | None = None
    equals: _Literal = None
    in_: Annotated[tuple[str | int | float | bool, ...], Meta(max_length=50)] | None = None
    contains: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    matches: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    exists: bool | None = None
    above: float | None = None
    below: float | None = None


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an answer comes to where ``when`` holds (always, without one).

    ``reason`` is a reason code of the exchange's, for what the answer itself gives none.
    """

    when: Test | None = None
    then: Outcome
    reason: _Named | None = None


class Reading(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How an answer is read, whatever its content type claims.

    The first of ``outcomes`` that holds decides; where none does, ``default``. Paths are jmespath
    in JSON, ``a/b[2]/@c`` in XML, keys of a form or of pairs, and patterns in text, whose first
    group is the value.
    """

    format: Literal["auto", "json", "xml", "form", "pairs", "text"] = "auto"
    pair_separator: Annotated[str, Meta(min_length=1, max_length=4)] = "|"
    value_separator: Annotated[str, Meta(min_length=1, max_length=4)] = "="
    outcomes: Annotated[tuple[Rule, ...], Meta(max_length=30)] = ()
    default: Literal["error", "rejected"] = "error"
    price: _Path | None = None
    price_unit: Literal["dollars", "cents"] = "dollars"
    price_pick: Literal["first", "max", "min"] = "first"
    currency: _Path | None = None
    ping_id: _Path | None = None
    reason: _Path | None = None
    reasons: Annotated[dict[str, str], Meta(max_length=100)] = {}
    reference: _Path | None = None
    token: _Path | None = None
    redirect_url: _Path | None = None


class Speech(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One request and the reading of its answer.

    ``url``, ``headers`` and ``template`` are templates; ``query`` and ``fields`` are mappings from
    the company's names to the exchange's fields, those of a GET making up its query. Without
    fields or template the body is the exchange's own JSON. ``root`` names the root of an XML body.
    """

    method: Literal["GET", "POST", "PUT"] = "POST"
    url: Annotated[str, Meta(min_length=1, max_length=2_000)] | None = None
    query: Annotated[dict[str, Any], Meta(max_length=200)] = {}
    headers: Annotated[dict[str, _Short], Meta(max_length=30)] = {}
    auth: Auth | None = None
    format: Literal["json", "form", "xml", "text"] = "json"
    fields: Annotated[dict[str, Any], Meta(max_length=200)] | None = None
    template: _Template | None = None
    root: _Named = "lead"
    content_type: _Named | None = None
    answer: Reading | None = None


class Attachment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A file that goes with a mail; written as a request's body is."""

    name: _Named
    format: Literal["json", "form", "xml", "text"] = "xml"
    fields: Annotated[dict[str, Any], Meta(max_length=200)] | None = None
    template: _Template | None = None
    root: _Named = "lead"
    content_type: _Named | None = None


class Mail(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A mail: ``subject`` and ``template`` are templates.

    ``format`` says what the body is made of, and so what its values are escaped for;
    without a template it lists the lead's fields in plain text. XML is sent as plain text, as
    readers of ADF expect it.
    """

    subject: Annotated[str, Meta(min_length=1, max_length=400)] = "Lead {{ lead_id }}"
    format: Literal["text", "html", "xml"] = "text"
    template: _Template | None = None
    attachment: Attachment | None = None


class Dialect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a company's systems are spoken to. ``secrets`` are for mappings and templates."""

    secrets: Annotated[dict[str, _Secret], Meta(max_length=20)] = {}
    ping: Speech | None = None
    post: Speech | None = None
    mail: Mail | None = None


class PresetUse(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A dialect that is ready made, by its name, with what it needs to know.

    ``ping_fields`` and ``fields`` are mappings of more fields, for its ping and its post.
    """

    name: _Named
    params: Annotated[dict[str, Annotated[str, Meta(max_length=2_000)]], Meta(max_length=30)] = {}
    ping_fields: Annotated[dict[str, Any], Meta(max_length=100)] = {}
    fields: Annotated[dict[str, Any], Meta(max_length=100)] = {}
    secrets: Annotated[dict[str, _Secret], Meta(max_length=20)] = {}


Spoken = TypeVar("Spoken", Dialect, PresetUse)


def change_secrets(spoken: Spoken, change: Callable[[str, str], str]) -> Spoken:
    """The same with every secret replaced by what ``change`` makes of its path and value."""
    secrets = {name: change(f"secrets.{name}", value) for name, value in spoken.secrets.items()}
    if isinstance(spoken, PresetUse):
        return replace(spoken, secrets=secrets)
    return replace(
        spoken,
        secrets=secrets,
        ping=_change_auth(spoken.ping, "ping", change),
        post=_change_auth(spoken.post, "post", change),
    )


_SECRET_OF_AUTH: Final[dict[type[Struct], str]] = {
    HeaderKey: "value",
    QueryKey: "value",
    Bearer: "token",
    Basic: "password",
    Hmac: "secret",
}


def _change_auth(
    speech: Speech | None, at: str, change: Callable[[str, str], str]
) -> Speech | None:
    if speech is None or speech.auth is None:
        return speech
    key = _SECRET_OF_AUTH.get(type(speech.auth))
    if key is None:
        return speech
    changed = change(f"{at}.auth.{key}", getattr(speech.auth, key))
    return replace(speech, auth=replace(speech.auth, **{key: changed}))


def secrets_of(spoken: Dialect | PresetUse) -> dict[str, str]:
    """Every secret by its path."""
    found: dict[str, str] = {}

    def note(path: str, value: str) -> str:
        found[path] = value
        return value

    if isinstance(spoken, Dialect):
        change_secrets(spoken, note)
    else:
        change_secrets(spoken, note)
    return found
