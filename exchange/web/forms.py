"""Forms: flat names and texts, brought into the shape of the JSON body and read by its decoder.

Sellers' systems send ``zip=94107``, ``attributes[zip]=94107`` or ``contact.first_name=…``; all mean
the same. Texts become numbers and booleans only where the field's type says so.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any, Final
from urllib.parse import parse_qsl

from exchange.core.model import AttributeValue
from exchange.core.verticals import Kind
from exchange.flow.faults import Invalid
from exchange.web.problems import Malformed
from exchange.web.wire import JSON, LARGEST_INTEGER

MAX_FIELDS: Final = 300
MAX_DEPTH: Final = 3

_BRACKET: Final = re.compile(r"\[([^\[\]]*)\]")
_INTEGER: Final = re.compile(r"-?[0-9]{1,16}", re.ASCII)
_DECIMAL: Final = re.compile(r"-?[0-9]{1,16}(\.[0-9]{1,16})?", re.ASCII)
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


def to_json(
    body: bytes, own: Container[str], attributes: Container[str], contact: Container[str] = ()
) -> bytes:
    """Write a form as the JSON body it stands for. Raises Malformed and Invalid.

    ``own`` are the body's own fields; a flat name that is none of them goes to ``attributes`` or
    ``contact`` if it is one of theirs, and stays where it is, to be refused, if not. Empty values
    count as not given.
    """
    tree: dict[str, Any] = {}
    for name, value in _pairs(body):
        path = _BRACKET.sub(r".\1", name).split(".")
        if len(path) == 1 and name not in own:
            if name in contact:
                path = ["contact", name]
            elif name in attributes:
                path = ["attributes", name]
        if len(path) > MAX_DEPTH:
            raise Invalid(f"{name} is nested deeper than {MAX_DEPTH}.", field=name)
        _put(tree, path, value)
    return JSON.encode(tree)


def _pairs(body: bytes) -> list[tuple[str, str]]:
    try:
        pairs = parse_qsl(
            body.decode().strip(),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except UnicodeDecodeError:
        raise Malformed("The form is not UTF-8.") from None
    except ValueError:
        raise Malformed(f"The body is not a form of at most {MAX_FIELDS} fields.") from None
    if any("\0" in name or "\0" in value for name, value in pairs):
        raise Invalid("A text must not contain NUL characters.")
    return [(name, value) for name, value in pairs if value.strip()]


def _put(tree: dict[str, Any], path: list[str], value: str) -> None:
    field = ".".join(path)
    for step in path[:-1]:
        inner = tree.setdefault(step, {})
        if not isinstance(inner, dict):
            raise Invalid(f"{field} is both a value and a group.", field=field)
        tree = inner
    if path[-1] in tree:
        raise Invalid(f"{field} is given twice.", field=field)
    tree[path[-1]] = value


def read_value(text: str, kind: Kind | None) -> AttributeValue:
    """Read a form's text as a vertical's attribute; text it stays where it does not fit."""
    if kind in ("integer", "decimal") and _INTEGER.fullmatch(text):
        return int(text) if abs(int(text)) <= LARGEST_INTEGER else text
    if kind == "decimal" and _DECIMAL.fullmatch(text):
        return float(text)
    if kind == "boolean":
        return _BOOLEANS.get(text.lower(), text)
    return text
