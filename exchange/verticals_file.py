"""Verticals' files: one TOML per vertical, read and compiled, with every fault reported at once.

Decides whether a vertical's description can be traded on, its premium condition included. Must not
know what the attributes mean. Source: rules §3.1, §9.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from pathlib import Path
from typing import Any, Final, TypeVar, get_type_hints

import msgspec
from msgspec import NODEFAULT, Struct

from exchange.core.filters import FilterError, compile_filter
from exchange.core.verticals import (
    AttributeSpec,
    Vertical,
    VerticalError,
    VerticalSpec,
    compile_vertical,
)
from exchange.settings import Fault, SettingsError

S = TypeVar("S", bound=Struct)

_BLANK: Final = VerticalSpec(name="blank", title="Blank", attributes={})
"""Nothing is wrong with it: compiled with one part of a description, it shows that part's fault."""


def read_verticals(directory: Path) -> list[Vertical]:
    """Read and compile every ``*.toml`` of a directory, by name.

    Raises SettingsError with every fault of every file; a fault's key is ``file: key``.
    """
    faults: list[Fault] = []
    paths = sorted(directory.glob("*.toml"))
    if not paths:
        faults.append(Fault(key=str(directory), problem="has no verticals", allowed="<name>.toml"))
    verticals = [_read_vertical(path, faults) for path in paths]
    if faults:
        raise SettingsError(faults)
    return [vertical for vertical in verticals if vertical is not None]


def _read_vertical(path: Path, faults: list[Fault]) -> Vertical | None:
    found: list[Fault] = []
    vertical = _compile(path, found)
    faults.extend(
        msgspec.structs.replace(fault, key=f"{path.name}: {fault.key}") for fault in found
    )
    return None if found else vertical


def _compile(path: Path, faults: list[Fault]) -> Vertical | None:
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        faults.append(Fault(key="file", problem=f"cannot be read: {error.strerror}"))
        return None
    except ValueError as error:
        # Not UTF-8, or not TOML; a vertical has nothing to hide.
        faults.append(Fault(key="file", problem=f"is not TOML: {error}", allowed="a TOML file"))
        return None
    described = table.pop("attributes", None)
    head = _convert(table | {"attributes": {}}, VerticalSpec, "", faults)
    attributes = _convert_attributes(described, faults)
    for name, attribute in attributes.items():
        _try_compile(msgspec.structs.replace(_BLANK, attributes={name: attribute}), faults)
    if head is not None:
        _check_head(head, path, faults)
    if head is None or faults:
        return None
    vertical = _try_compile(msgspec.structs.replace(head, attributes=attributes), faults)
    if vertical is not None:
        _check_conditions(vertical, faults)
    return vertical


def _convert_attributes(described: object, faults: list[Fault]) -> dict[str, AttributeSpec]:
    if not isinstance(described, dict) or not described:
        faults.append(
            Fault(key="attributes", problem="are missing", allowed="[attributes.<name>] tables")
        )
        return {}
    attributes = {}
    for name, value in described.items():
        key = f"attributes.{name}"
        if not isinstance(value, dict):
            faults.append(Fault(key=key, problem="is not a table", allowed=f"[{key}]"))
            continue
        attribute = _convert(value, AttributeSpec, f"{key}.", faults)
        if attribute is not None and _check_attribute(attribute, key, faults):
            attributes[name] = attribute
    return attributes


def _convert(table: dict[str, Any], struct: type[S], prefix: str, faults: list[Fault]) -> S | None:
    """Convert key by key, so that every fault is found and not only the first."""
    before = len(faults)
    hints = get_type_hints(struct)
    values = {}
    for field in msgspec.structs.fields(struct):
        key = f"{prefix}{field.name}"
        if field.name not in table:
            if field.default is NODEFAULT and field.default_factory is NODEFAULT:
                faults.append(Fault(key=key, problem="is missing"))
            continue
        try:
            values[field.name] = msgspec.convert(table[field.name], hints[field.name])
        except msgspec.ValidationError as error:
            faults.append(Fault(key=key, problem=f"{error}"))
    for name in sorted(table.keys() - hints.keys()):
        near = difflib.get_close_matches(name, sorted(hints), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        faults.append(Fault(key=f"{prefix}{name}", problem=f"is not known{hint}"))
    return struct(**values) if len(faults) == before else None


def _check_head(spec: VerticalSpec, path: Path, faults: list[Fault]) -> None:
    if spec.name != path.stem:
        faults.append(Fault(key="name", problem=f"is {spec.name!r}", allowed=repr(path.stem)))
    if spec.max_age_s < 1:
        faults.append(Fault(key="max_age_s", problem=f"is {spec.max_age_s}", allowed="1 or more"))
    for key in ("name", "offer_life_s", "floor", "consent", "quality", "impossible"):
        _try_compile(msgspec.structs.replace(_BLANK, **{key: getattr(spec, key)}), faults)


def _check_attribute(attribute: AttributeSpec, key: str, faults: list[Fault]) -> bool:
    """Refuse what would silently do nothing or let nothing through."""
    before = len(faults)
    bounds = [bound for bound in (attribute.min, attribute.max) if bound is not None]
    if bounds and attribute.kind not in ("integer", "decimal"):
        faults.append(Fault(key=key, problem=f"a {attribute.kind} has no min or max"))
    elif not all(math.isfinite(bound) for bound in bounds):
        faults.append(Fault(key=key, problem="min and max must be finite"))
    elif attribute.kind == "integer" and any(bound != int(bound) for bound in bounds):
        faults.append(Fault(key=key, problem="min and max of an integer must be whole"))
    elif len(bounds) == 2 and bounds[0] > bounds[1]:
        faults.append(Fault(key=key, problem="min is above max"))
    if attribute.allowed and attribute.kind != "choice":
        faults.append(
            Fault(key=f"{key}.allowed", problem=f"a {attribute.kind} has no list of values")
        )
    if len(set(attribute.allowed)) != len(attribute.allowed):
        faults.append(Fault(key=f"{key}.allowed", problem="names a value twice"))
    if not 1 <= attribute.max_length <= 1_000:
        faults.append(
            Fault(
                key=f"{key}.max_length", problem=f"is {attribute.max_length}", allowed="1 to 1000"
            )
        )
    return len(faults) == before


def _try_compile(spec: VerticalSpec, faults: list[Fault]) -> Vertical | None:
    try:
        return compile_vertical(spec)
    except VerticalError as error:
        key, _, problem = str(error).partition(": ")
        faults.append(Fault(key=key, problem=problem or "cannot work"))
        return None


def _check_conditions(vertical: Vertical, faults: list[Fault]) -> None:
    conditions = [("premium", vertical.premium)]
    conditions += [(f"impossible[{i}].when", one.when) for i, one in enumerate(vertical.impossible)]
    for path, condition in conditions:
        try:
            compile_filter(condition, vertical, path)
        except FilterError as fault:
            faults.append(Fault(key=fault.path, problem=fault.message))
