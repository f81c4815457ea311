"""Mappings: a company's names for the exchange's fields, compiled into what writes them.

A mapping is an object of the company's names. What stands for a value:

- a text: a field of the lead (``"attributes.zip"``);
- a number, true, false or null: itself;
- an object with ``from``, ``const`` or ``template``: a value with its treatment, in the order
  ``default``, ``ranges``, ``map``, ``format``;
- any other object or a list: nested names and values.

What a lead does not have is left out, unless ``absent`` says ``null`` or ``empty``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from exchange.buyers.formats import Format, FormatError, compile_format, number_of, text_of
from exchange.buyers.lead_fields import Allowed, FieldFault
from exchange.buyers.templates import compile_template

Write = Callable[[Mapping[str, Any]], Any]
"""Makes a value of a lead's values; None where there is none."""

MAX_DEPTH: Final = 8
MAX_FIELDS: Final = 300
_MAX_NAME_CHARS: Final = 100
_FIELD_KEYS: Final = frozenset({"from", "const", "template"})


class Absent(Struct, frozen=True):
    """Stands for what is left out."""


ABSENT: Final = Absent()

_Scalar = str | int | float | bool | None
_OneFormat = Annotated[str, Meta(max_length=100)]


class _Range(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step of ``ranges``: numbers up to and including ``up_to`` become ``then``."""

    up_to: float | None = None
    then: _Scalar


class _Field(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}
):
    """A value with its treatment, as it is written."""

    from_: str | Annotated[tuple[str, ...], Meta(min_length=1, max_length=5)] | None = None
    const: Any = UNSET
    template: str | None = None
    default: _Scalar = None
    ranges: Annotated[tuple[_Range, ...], Meta(max_length=30)] = ()
    map: Annotated[dict[str, _Scalar], Meta(max_length=300)] = {}
    otherwise: _Scalar | UnsetType = UNSET
    format: _OneFormat | Annotated[tuple[_OneFormat, ...], Meta(max_length=5)] = ()
    absent: Literal["omit", "null", "empty"] = "omit"


class MappingFault(ValueError):
    """A mapping that cannot be used: where, why, and the field it is about, if it is one."""

    def __init__(self, path: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.message = message
        self.field = field


def compile_mapping(fields: Mapping[str, Any], allowed: Allowed) -> Write:
    """Compile an object of names into what writes a dict of values. Raises MappingFault."""
    return _Compiler(allowed).tree(fields, "", 0)


class _Compiler:
    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._count = 0

    def tree(self, node: Any, path: str, depth: int) -> Write:
        """Compile whatever may stand for a value."""
        self._count += 1
        if depth > MAX_DEPTH or self._count > MAX_FIELDS:
            raise MappingFault(path, "is nested too deep or has too many fields")
        if isinstance(node, str):
            return self._from(node, path)
        if isinstance(node, list):
            return _list_of(
                [
                    _unless_bare(self.tree(item, f"{path}[{i}]", depth + 1), item)
                    for i, item in enumerate(node)
                ]
            )
        if not isinstance(node, Mapping):
            return lambda values: node
        if _FIELD_KEYS & node.keys():
            return self._field(node, path)
        for name in node:
            if not name or len(name) > _MAX_NAME_CHARS or not name.isprintable():
                raise MappingFault(_join(path, name[:40]), "is no name for a field")
        return _object_of(
            [(name, self.tree(item, _join(path, name), depth + 1)) for name, item in node.items()]
        )

    def _from(self, field: str, path: str) -> Write:
        try:
            self._allowed.check(field)
        except FieldFault as fault:
            raise MappingFault(path, fault.message, fault.field) from None
        group, dot, name = field.partition(".")
        if dot:
            return lambda values: _present(values[group].get(name))
        if group == "contact":
            return lambda values: {k: v for k, v in values[group].items() if v is not None}
        return lambda values: _present(values[group])

    def _field(self, node: Mapping[str, Any], path: str) -> Write:
        try:
            field = msgspec.convert(node, _Field)
        except msgspec.ValidationError as fault:
            raise MappingFault(path, f"is not understood: {fault}".replace("`", "")) from None
        if len(_FIELD_KEYS & node.keys()) > 1:
            raise MappingFault(path, "takes one of from, const and template")
        write = _with_default(self._source(field, path), field.default)
        if field.ranges:
            write = _ranged(write, field.ranges)
        if field.map or field.otherwise is not UNSET:
            write = _mapped(write, field.map, field.otherwise)
        written = (field.format,) if isinstance(field.format, str) else field.format
        for i, name in enumerate(written):
            try:
                write = _formatted(write, compile_format(name))
            except FormatError as error:
                at = f".format[{i}]" if len(written) > 1 else ".format"
                raise MappingFault(path + at, str(error)) from None
        return _when_absent(write, field.absent)

    def _source(self, field: _Field, path: str) -> Write:
        if field.const is not UNSET:
            constant = field.const
            return lambda values: constant
        if field.template is not None:
            try:
                template = compile_template(field.template, "text", self._allowed)
            except FieldFault as fault:
                raise MappingFault(f"{path}.template", fault.message, fault.field) from None
            # What comes out empty is not there.
            return lambda values: template.render(values) or ABSENT
        names = (field.from_,) if isinstance(field.from_, str) else field.from_ or ()
        if not names:
            raise MappingFault(f"{path}.from", "names no field")
        writes = [self._from(name, f"{path}.from") for name in names]
        return writes[0] if len(writes) == 1 else _first_of(writes)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _present(value: Any) -> Any:
    return ABSENT if value is None or value == "" else value


def _first_of(writes: list[Write]) -> Write:
    def write(values: Mapping[str, Any]) -> Any:
        for one in writes:
            if (value := one(values)) is not ABSENT:
                return value
        return ABSENT

    return write


def _list_of(writes: list[Write]) -> Write:
    def write(values: Mapping[str, Any]) -> Any:
        made = [one(values) for one in writes]
        return [value for value in made if value is not ABSENT]

    return write


def _unless_bare(write: Write, node: Any) -> Write:
    """Leave an object out of a list where nothing of the lead is in it.

    Of ``{"name": {"const": "phone"}, "value": "contact.phone"}`` a lead without a phone would leave
    only the name.
    """
    if not isinstance(node, Mapping) or _FIELD_KEYS & node.keys():
        return write
    constant = sum(
        not isinstance(item, str | Mapping | list)
        or (isinstance(item, Mapping) and "const" in item)
        for item in node.values()
    )
    if constant == len(node):
        return write

    def write_unless(values: Mapping[str, Any]) -> Any:
        made = write(values)
        return made if len(made) > constant else ABSENT

    return write_unless


def _object_of(writes: list[tuple[str, Write]]) -> Write:
    def write(values: Mapping[str, Any]) -> Any:
        made = {}
        for name, one in writes:
            if (value := one(values)) is not ABSENT:
                made[name] = value
        return made

    return write


def _with_default(write: Write, default: Any) -> Write:
    if default is None:
        return write

    def fill(values: Mapping[str, Any]) -> Any:
        value = write(values)
        return default if value is ABSENT else value

    return fill


def _ranged(write: Write, ranges: tuple[_Range, ...]) -> Write:
    def place(values: Mapping[str, Any]) -> Any:
        value = write(values)
        number = None if value is ABSENT else number_of(value)
        if number is None:
            return value
        for step in ranges:
            if step.up_to is None or number <= step.up_to:
                return step.then
        return value

    return place


def _mapped(write: Write, table: Mapping[str, Any], otherwise: Any) -> Write:
    folded = {name.strip().lower(): value for name, value in table.items()}

    def look(values: Mapping[str, Any]) -> Any:
        value = write(values)
        if value is ABSENT:
            return value
        return folded.get(
            text_of(value).strip().lower(), value if otherwise is UNSET else otherwise
        )

    return look


def _formatted(write: Write, change: Format) -> Write:
    def form(values: Mapping[str, Any]) -> Any:
        value = write(values)
        return value if value is ABSENT else change(value)

    return form


def _when_absent(write: Write, absent: str) -> Write:
    if absent == "omit":
        return write
    instead = None if absent == "null" else ""

    def stand_in(values: Mapping[str, Any]) -> Any:
        value = write(values)
        return instead if value is ABSENT else value

    return stand_in
