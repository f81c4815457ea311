"""Answers as documents: bytes read as JSON, XML, form, pairs or text, and places found in them.

What the content type claims is not asked: companies' systems send JSON as HTML and XML as nothing.
Reading never raises for what was answered; what cannot be read is told from what is empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal
from urllib.parse import parse_qsl
from xml.etree.ElementTree import Element, ParseError

import jmespath
import msgspec
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from jmespath.exceptions import JMESPathError

from exchange.buyers.patterns import Pattern, PatternError

Format = Literal["auto", "json", "xml", "form", "pairs", "text"]
Found = list[Any]
"""The values at a path, in the document's order; none where there is nothing."""

MAX_PAIRS: Final = 500
MAX_FOUND: Final = 200
MAX_XML_DEPTH: Final = 64
_MAX_PATH_PARTS: Final = 40

_BOM: Final = b"\xef\xbb\xbf"
_decode_json = msgspec.json.Decoder().decode
_XML_STEP: Final = re.compile(r"(\*|[A-Za-z_][\w.-]*(?::[\w.-]+)?)(?:\[([0-9]{1,3})\])?")
_LOOKS_LIKE_FORM: Final = re.compile(rb"[\w.\[\]-]{1,60}=[^\s]*(?:&|\Z)")
_FUNCTIONS: Final = frozenset(
    {
        "abs", "avg", "ceil", "contains", "ends_with", "floor", "keys", "length", "max", "max_by",
        "min", "min_by", "not_null", "reverse", "sort", "sort_by", "starts_with", "sum",
        "to_number", "type", "values",
    }
)  # fmt: skip
# What can double a document again and again, or hold another query.
_GROWING: Final = frozenset({"multi_select_list", "multi_select_dict"})


class PathError(ValueError):
    """A path that cannot be used; says why."""


class Document:
    """An answer that was read. ``root`` is what its format makes of it, ``text`` all of it."""

    __slots__ = ("format", "root", "text")

    def __init__(self, format: Format, root: Any, text: str) -> None:
        self.format = format
        self.root = root
        self.text = text


EMPTY: Final = Document("text", None, "")


def read_document(
    body: bytes, format: Format, *, pair_separator: str = "|", value_separator: str = "="
) -> Document | None:
    """Read an answer; `EMPTY` where there is nothing, None where it is not of the format."""
    raw = body.removeprefix(_BOM).strip()
    if not raw:
        return EMPTY
    if format == "auto":
        return _read_any(raw)
    text = _text(raw)
    if text is None:
        return None
    match format:
        case "json":
            root = _json(raw)
        case "xml":
            root = _xml(raw)
        case "form":
            root = _form(text)
        case "pairs":
            root = _pairs(text, pair_separator, value_separator)
        case _:
            root = text
    return None if root is None else Document(format, root, text)


def _read_any(raw: bytes) -> Document | None:
    """Read as what it looks like; a text that looks like nothing is not understood."""
    first = raw[:1]
    tries: tuple[Format, ...] = ("xml",) if first == b"<" else ("json", "form")
    for format in tries:
        if format == "form" and not _LOOKS_LIKE_FORM.match(raw):
            return None
        document = read_document(raw, format)
        if document is not None:
            return document
    return None


def _text(raw: bytes) -> str | None:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        # Older systems; every byte is a character there.
        text = raw.decode("latin-1")
    return None if "\0" in text else text


def _json(raw: bytes) -> Any:
    try:
        return _decode_json(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _xml(raw: bytes) -> Element | None:
    try:
        root: Element = fromstring(raw, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError, RecursionError):
        return None
    # A page is no answer, even where it is well formed.
    return None if _local(root.tag).lower() == "html" or _too_deep(root) else root


def _too_deep(root: Element) -> bool:
    level = [root]
    for _ in range(MAX_XML_DEPTH):
        level = [child for element in level for child in element]
        if not level:
            return False
    return True


def _form(text: str) -> dict[str, list[str]] | None:
    try:
        pairs = parse_qsl(text.strip(), keep_blank_values=True, max_num_fields=MAX_PAIRS)
    except ValueError:
        return None
    return _gathered(pairs) if "=" in text else None


def _pairs(text: str, between: str, within: str) -> dict[str, list[str]] | None:
    parts = text.splitlines() if between == "\n" else text.split(between)
    found = [
        (name.strip(), value.strip())
        for name, given, value in (part.partition(within) for part in parts[:MAX_PAIRS])
        if given and name.strip()
    ]
    return _gathered(found) if found else None


def _gathered(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    gathered: dict[str, list[str]] = {}
    for name, value in pairs:
        gathered.setdefault(name.lower(), []).append(value)
    return gathered


# --- paths ----------------------------------------------------------------------------------------


class Path:
    """A path, compiled for each format it can be read in."""

    def __init__(self, source: str, format: Format) -> None:
        """Raises PathError where it is no path of the format."""
        self._ways: dict[str, Callable[[Any], Found]] = {}
        if format == "text":
            try:
                self._ways["text"] = _pattern_way(Pattern(source))
            except PatternError as fault:
                raise PathError(str(fault)) from None
            return
        first_fault: PathError | None = None
        makers = {"json": _json_way, "xml": _xml_way, "form": _key_way, "pairs": _key_way}
        for name, make in makers.items():
            if format in ("auto", name):
                try:
                    self._ways[name] = make(source)
                except PathError as error:
                    first_fault = first_fault or error
        # An answer of any format may come: whoever writes `auto` writes paths that mean one.
        if first_fault is not None and (format != "auto" or not {"json", "xml"} & set(self._ways)):
            raise first_fault

    def find(self, document: Document) -> Found:
        """The values at the path, at most `MAX_FOUND` of them."""
        way = self._ways.get(document.format)
        return [] if way is None or document.root is None else way(document.root)[:MAX_FOUND]


def _pattern_way(pattern: Pattern) -> Callable[[Any], Found]:
    def find(text: Any) -> Found:
        found = pattern.find(text)
        return [] if found is None else [found]

    return find


def _key_way(source: str) -> Callable[[Any], Found]:
    key = source.strip().lower()
    return lambda root: root.get(key, [])


def _json_way(source: str) -> Callable[[Any], Found]:
    try:
        compiled = jmespath.compile(source)
        parts, flattens = _look_at(compiled.parsed)
    except (JMESPathError, RecursionError, ValueError) as error:
        if isinstance(error, PathError):
            raise
        raise PathError("is no path such as bids[0].price") from None
    if parts > _MAX_PATH_PARTS or flattens > 3:
        raise PathError("has too many parts")

    def find(root: Any) -> Found:
        try:
            found = compiled.search(root)
        except (JMESPathError, TypeError, ValueError, RecursionError, ArithmeticError):
            return []
        return [] if found is None else found if isinstance(found, list) else [found]

    return find


def _look_at(node: Any) -> tuple[int, int]:
    """Count a parsed path's nodes and flattenings. Raises PathError for what may not be in one."""
    kind = node["type"]
    if kind in _GROWING:
        raise PathError("makes new lists or objects, which paths here cannot")
    if kind == "function_expression" and node["value"] not in _FUNCTIONS:
        raise PathError(f"uses {node['value']}(), which paths here cannot")
    parts, flattens = 1, int(kind == "flatten")
    for child in node.get("children", ()):
        # A slice's children are its bounds.
        if isinstance(child, dict):
            more, flat = _look_at(child)
            parts, flattens = parts + more, flattens + flat
    return parts, flattens


def _xml_way(source: str) -> Callable[[Any], Found]:
    anywhere = source.startswith("//")
    steps = source.strip("/").split("/")
    attribute = steps.pop()[1:] if steps[-1].startswith("@") else None
    if attribute is not None and not re.fullmatch(r"[\w:.-]{1,60}", attribute):
        raise PathError("is no path such as response/status or bid/@price")
    compiled: list[tuple[str, int | None]] = []
    for step in steps:
        match = _XML_STEP.fullmatch(step)
        if match is None or match[2] == "0":
            raise PathError("is no path such as response/status or bid/@price")
        name = match[1].rpartition(":")[2].lower()
        compiled.append((name, int(match[2]) if match[2] else None))
    if len(compiled) > _MAX_PATH_PARTS or (anywhere and not compiled):
        raise PathError("has too many parts, or too few")

    def find(root: Any) -> Found:
        if anywhere:
            found = _named(root.iter(), *compiled[0])
            rest = compiled[1:]
        else:
            # The root may be named or left out.
            rest = compiled[1:] if compiled and _is(root, compiled[0][0]) else compiled
            found = [root]
            if rest is not compiled and not _walk(found, rest, attribute):
                again = _walk(found, compiled, attribute)
                if again:
                    return again
        return _walk(found, rest, attribute)

    return find


def _walk(
    found: list[Element], steps: Sequence[tuple[str, int | None]], attribute: str | None
) -> Found:
    for name, index in steps:
        found = [match for element in found for match in _named(element, name, index)]
        found = found[:MAX_FOUND]
    if attribute is None:
        return ["".join(element.itertext()).strip() for element in found]
    wanted = attribute.rpartition(":")[2].lower()
    return [
        value.strip()
        for element in found
        for key, value in element.attrib.items()
        if _local(key).lower() == wanted
    ]


def _named(elements: Any, name: str, index: int | None) -> list[Element]:
    named = [element for element in elements if _is(element, name)]
    return named if index is None else named[index - 1 : index]


def _is(element: Element, name: str) -> bool:
    return name == "*" or _local(element.tag).lower() == name


def _local(tag: object) -> str:
    # Comments and instructions have functions for tags.
    return tag.rpartition("}")[2].rpartition(":")[2] if isinstance(tag, str) else ""
