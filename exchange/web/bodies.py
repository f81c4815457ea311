"""Bodies: bytes read within bounds, and decoded into structs with the field named that is wrong.

Source: the wire's contract (UTF-8, JSON or form, at most so many bytes and so deep).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import ClientPayloadError
from aiohttp.web import BaseRequest, RequestPayloadError

from exchange.flow.faults import Invalid
from exchange.web.problems import Malformed, TooLarge, TooSlow, WrongMedia

T = TypeVar("T")

_AT: Final = re.compile(r" - at `(?:key` in `)?\$(.*)`\Z", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`\Z", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`\Z", re.DOTALL)
_MAX_FIELD: Final = 200
"""A field's name comes from the caller; this much of it is said back."""


async def read_bytes(request: BaseRequest, max_bytes: int, timeout_s: float) -> bytes:
    """Read a whole body. Raises TooLarge, TooSlow, or Malformed for a broken transfer."""
    declared = request.content_length
    if declared is not None and declared > max_bytes:
        raise _too_large(max_bytes)
    content = request.content
    try:
        if content.is_eof():
            # Small bodies come in with their headers: nothing to wait for, so no timer.
            body = await content.readany()
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
            return body if content.at_eof() else body + await _read_rest(content, max_bytes)
        async with asyncio.timeout(timeout_s):
            if request.headers.get("Expect", "").lower() == "100-continue":
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0
            return await _read_rest(content, max_bytes)
    except TimeoutError:
        raise TooSlow(f"The body did not arrive within {timeout_s:g} seconds.") from None
    except (RequestPayloadError, ClientPayloadError, ConnectionError):
        raise Malformed(_CUT_OFF) from None


async def read_chunks(
    request: BaseRequest, max_bytes: int, pause_s: float, timeout_s: float
) -> AsyncIterator[bytes]:
    """Read a body piece by piece as it comes; what is not asked for yet stays with its sender.

    Raises TooLarge, Malformed for a broken transfer, and TooSlow where nothing comes for
    ``pause_s`` seconds, or the whole takes longer than ``timeout_s``.
    """
    declared = request.content_length
    if declared is not None and declared > max_bytes:
        raise _too_large(max_bytes)
    content, read = request.content, 0
    loop = asyncio.get_running_loop()
    ends = loop.time() + timeout_s
    try:
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        while True:
            async with asyncio.timeout_at(min(ends, loop.time() + pause_s)):
                chunk = await content.readany()
            if not chunk:
                return
            read += len(chunk)
            if read > max_bytes:
                raise _too_large(max_bytes)
            yield chunk
    except TimeoutError:
        raise TooSlow("The body came too slowly.") from None
    except (RequestPayloadError, ClientPayloadError, ConnectionError):
        raise Malformed(_CUT_OFF) from None


_CUT_OFF: Final = "The body was cut off or is not what its headers say."


async def _read_rest(content: Any, max_bytes: int) -> bytes:
    body = bytearray()
    while chunk := await content.readany():
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"The body is larger than {max_bytes} bytes.", details={"max_bytes": max_bytes})


def is_csv(headers: Mapping[str, str]) -> bool:
    """Whether a body says that it is CSV."""
    return headers.get("Content-Type", "").lower().partition(";")[0].strip() == "text/csv"


def is_form(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether a body is a form rather than JSON. Raises WrongMedia if it is neither.

    JSON sent under the form type (what some clients say when told nothing) is taken as JSON: no
    form begins with a brace.
    """
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise WrongMedia("Bodies are taken uncompressed only.")
    given = headers.get("Content-Type")
    if given is None or given == "application/json":
        return False
    media, _, parameters = given.lower().partition(";")
    media = media.strip()
    charset = parameters.partition("charset=")[2].split(";")[0].strip(' "')
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise WrongMedia("Bodies are taken in UTF-8 only.")
    if media == "application/x-www-form-urlencoded":
        return body.lstrip()[:1] != b"{"
    if media == "application/json" or (
        media.startswith("application/") and media.endswith("+json")
    ):
        return False
    raise WrongMedia("A body is application/json; pings and posts may be forms.")


def check_text(body: bytes, max_depth: int) -> None:
    """Refuse JSON that is not UTF-8, nests too deep, or hides a NUL, before it is decoded."""
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            raise Malformed("The body is not UTF-8.") from None
    if body.count(b"{") + body.count(b"[") > max_depth and _depth(body) > max_depth:
        raise Malformed(f"The body is nested deeper than {max_depth}.")
    if b"\\u0000" in body and _has_nul(body):
        raise Invalid("A text must not contain NUL characters.")


_OUTSIDE_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)


def _depth(body: bytes) -> int:
    depth = deepest = 0
    for match in _OUTSIDE_TEXT.finditer(body):
        token = match.group()[:1]
        if token in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in b"]}":
            depth -= 1
    return deepest


def _has_nul(body: bytes) -> bool:
    # An escaped backslash before u0000 is text, so whole escapes are looked at, in their order.
    return any(escape == b"\\u0000" for escape in re.findall(rb"\\(?:u[0-9a-fA-F]{4}|.)", body))


def _has_half_pair(body: bytes) -> bool:
    r"""Whether an escape of ``\ud800`` to ``\udfff`` stands without its other half."""
    return any(
        len(escape) == 6 and b"d8" <= escape[2:4].lower() <= b"df"
        for escape in _ESCAPES.findall(body)
    )


_ESCAPES: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\."
)
"""Escapes in their order, a surrogate pair as one."""


def decode(decoder: msgspec.json.Decoder[T], body: bytes, prefix: str = "") -> T:
    """Decode JSON. Raises Malformed for what is no JSON, Invalid for what is not of the type.

    ``prefix`` is where in the whole body these bytes stand.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise explain(str(error), prefix) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if not body.strip():
            raise Malformed("A JSON body is needed.") from None
        detail = str(error) if isinstance(error, msgspec.DecodeError) else "not readable"
        if _has_half_pair(body):
            detail = "a text has half of a surrogate pair in it, such as \\ud83d alone"
        raise Malformed(f"The body is not JSON: {detail}.") from None


def explain(message: str, prefix: str = "") -> Invalid:
    """Turn a decoder's message into a fault with a code and the field in our own words."""
    path = prefix
    if at := _AT.search(message):
        message = message[: at.start()]
        # An entry of a free object is shown as [...]; the object itself is what can be named.
        path = _join(prefix, at.group(1).replace("[...]", ""))
    if unknown := _UNKNOWN.match(message):
        field = _join(path, "." + unknown.group(1))
        return Invalid(f"{field} is not known here.", field=field, code="unknown_field")
    if missing := _MISSING.match(message):
        field = _join(path, "." + missing.group(1))
        return Invalid(f"{field} is missing.", field=field, code="missing_field")
    wanted = message.replace("`", "")
    return Invalid(f"{path or 'The body'}: {wanted}.", field=path or None)


def _join(prefix: str, path: str) -> str:
    joined = prefix + path if prefix else path.lstrip(".")
    return joined[:_MAX_FIELD]
