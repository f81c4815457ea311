"""Bodies: what a mapping or a template made of a lead, written as JSON, form, XML or text.

Names are the company's, checked when the campaign is saved; values are escaped for where they go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal
from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr

import msgspec

from exchange.buyers.formats import ENCODER, text_of
from exchange.buyers.lead_fields import Allowed, FieldFault
from exchange.buyers.mapping import MappingFault, compile_mapping
from exchange.buyers.templates import MAX_RENDERED_CHARS, Unwritable, compile_template, xml_text

BodyFormat = Literal["json", "form", "xml", "text"]
WriteBody = Callable[[Mapping[str, Any]], bytes]

CONTENT_TYPES: Final[dict[BodyFormat, str]] = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "xml": "text/xml; charset=utf-8",
    "text": "text/plain; charset=utf-8",
}
_XML_NAME: Final = re.compile(r"[A-Za-z_][\w.-]*(?::[A-Za-z_][\w.-]*)?", re.ASCII)
_XML_HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'


def compile_body(
    format: BodyFormat,
    fields: Mapping[str, Any] | None,
    template: str | None,
    root: str,
    allowed: Allowed,
) -> WriteBody | None:
    """Compile a body; None where neither fields nor template say what is in it.

    Raises MappingFault, with the path below the body's own.
    """
    if fields is not None and template is not None:
        raise MappingFault("template", "stands instead of fields, not beside them")
    if template is not None:
        return _from_template(format, template, allowed)
    if fields is None:
        return None
    try:
        write = compile_mapping(fields, allowed)
    except MappingFault as fault:
        raise MappingFault(f"fields.{fault.path}", fault.message, fault.field) from None
    match format:
        case "json":
            return lambda values: ENCODER.encode(write(values))
        case "form":
            return lambda values: encode_form(write(values))
        case "xml":
            _check_names(fields, "fields")
            if not _XML_NAME.fullmatch(root):
                raise MappingFault("root", "is no name of an XML element")
            return lambda values: encode_xml(write(values), root)
        case "text":
            raise MappingFault("fields", "cannot be text; write a template")


def _from_template(format: BodyFormat, template: str, allowed: Allowed) -> WriteBody:
    try:
        compiled = compile_template(template, format, allowed)
    except FieldFault as fault:
        raise MappingFault("template", fault.message, fault.field) from None
    if format == "json":
        return lambda values: _checked_json(compiled.render(values))
    return lambda values: compiled.render(values).encode()


def _checked_json(text: str) -> bytes:
    body = text.encode()
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as fault:
        raise Unwritable(f"the template does not make JSON: {fault}") from None
    return body


def encode_form(made: Mapping[str, Any]) -> bytes:
    """Write a form: nested names as ``a[b]``, lists as repeated names."""
    return urlencode(list(form_pairs(made)), safe="*").encode()


def form_pairs(made: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """A mapping's names and texts, nested names as ``a[b]``."""
    for name, value in made.items():
        key = f"{prefix}[{name}]" if prefix else name
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                yield from form_pairs(item, key)
            else:
                yield key, text_of(item)


def encode_xml(made: Mapping[str, Any], root: str) -> bytes:
    """Write XML: ``@name`` is an attribute, ``#text`` the element's text, a list repeats it."""
    parts: list[str] = [_XML_HEAD]
    _write_element(root, made, parts)
    text = "".join(parts)
    if len(text) > MAX_RENDERED_CHARS:
        raise Unwritable(f"it is longer than {MAX_RENDERED_CHARS} characters")
    return text.encode()


def _write_element(name: str, value: Any, parts: list[str]) -> None:
    if isinstance(value, list):
        for item in value:
            _write_element(name, item, parts)
        return
    if not isinstance(value, Mapping):
        parts.append(f"<{name}>{escape(xml_text(text_of(value)))}</{name}>")
        return
    attributes = "".join(
        f" {key[1:]}={quoteattr(xml_text(text_of(item)))}"
        for key, item in value.items()
        if key.startswith("@")
    )
    parts.append(f"<{name}{attributes}>")
    for key, item in value.items():
        if key == "#text":
            parts.append(escape(xml_text(text_of(item))))
        elif not key.startswith("@"):
            _write_element(key, item, parts)
    parts.append(f"</{name}>")


def _check_names(node: Any, path: str) -> None:
    """Refuse names that XML does not allow, before a lead would show them."""
    if isinstance(node, list):
        for i, item in enumerate(node):
            _check_names(item, f"{path}[{i}]")
    elif isinstance(node, Mapping) and not node.keys() & {"from", "template"}:
        if "const" in node:
            # What a mapping puts in as it is, names included.
            _check_names(node["const"], f"{path}.const")
            return
        for name, item in node.items():
            if name != "#text" and not _XML_NAME.fullmatch(name.removeprefix("@")):
                raise MappingFault(f"{path}.{name}", "is no name of an XML element or attribute")
            _check_names(item, f"{path}.{name}")
