"""Amounts in texts: a number of a body may be sent as a string, and must then be written plainly.

The decoder takes whatever Python reads as a decimal: exponents, blanks, digits of other scripts. A
seller's mistake must not be money, so what was written is looked at once more. Source: the wire's
contract (money as numbers with two decimals, strings accepted).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import inspect

from exchange.flow.faults import Invalid
from exchange.web.bodies import decode

_PLAIN: Final = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)", re.ASCII)
_ANYTHING: Final = msgspec.json.Decoder(Any, float_hook=lambda written: None)
"""Reads the same bodies without their types; what stands as a number is as large as it likes."""

_EACH: Final = "*"
"""Stands for every item of a list, and every value of an object."""

Places = Mapping[str, Any]
"""Where a type has amounts: by a field's name or `_EACH`, places further in; none is an amount."""

_AMOUNT: Final[Places] = {}
_PLACES: Final[dict[Any, Places | None]] = {}


def check_amounts(kind: Any, body: bytes) -> None:
    """Refuse amounts in texts that are not plain. Raises Invalid with the field.

    ``body`` was decoded as the type already; what that left undecoded may be Malformed here.
    """
    if kind not in _PLACES:
        _PLACES[kind] = _places(inspect.type_info(kind), ())
    places = _PLACES[kind]
    if places is None:
        return
    for path, text in _texts(places, decode(_ANYTHING, body), ""):
        if not _PLAIN.fullmatch(text):
            message = f"{path} must be a plain number such as 12.50: digits and at most one point."
            raise Invalid(message, field=path)


def _places(kind: inspect.Type, within: tuple[type, ...]) -> Places | None:
    """Where a type has amounts; None if nowhere. ``within`` are the structs it stands in."""
    if isinstance(kind, inspect.DecimalType):
        return _AMOUNT
    if isinstance(kind, inspect.Metadata):
        return _places(kind.type, within)
    inner: dict[str, Places] = {}
    if isinstance(kind, inspect.StructType) and kind.cls not in within:
        for field in kind.fields:
            if (found := _places(field.type, (*within, kind.cls))) is not None:
                inner[field.encode_name] = found
    elif isinstance(kind, inspect.UnionType):
        for part in kind.types:
            found = _places(part, within)
            if found is _AMOUNT:
                return _AMOUNT
            inner.update(found or {})
    elif isinstance(kind, inspect.VarTupleType | inspect.ListType | inspect.DictType):
        each = kind.value_type if isinstance(kind, inspect.DictType) else kind.item_type
        if (found := _places(each, within)) is not None:
            inner[_EACH] = found
    return inner or None


def _texts(places: Places, value: Any, path: str) -> Iterator[tuple[str, str]]:
    """The texts that stand for amounts in a decoded body, with their paths."""
    if places is _AMOUNT:
        if isinstance(value, str):
            yield path, value
    elif isinstance(value, list):
        for i, one in enumerate(value):
            if _EACH in places:
                yield from _texts(places[_EACH], one, f"{path}[{i}]")
    elif isinstance(value, dict):
        for name, one in value.items():
            further = places.get(name, places.get(_EACH))
            if further is not None:
                yield from _texts(further, one, f"{path}.{name}" if path else name)
