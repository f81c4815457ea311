"""Filters: conditions over a vertical's attributes, checked when saved and compiled to predicates.

An attribute the lead does not have matches no comparison, so ``not`` of a comparison is true for
it. Source: rules §3.2. Must not know campaigns or prices.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import Any, Final

from msgspec import UNSET, Struct

from exchange.core.model import AttributeValue, Condition
from exchange.core.verticals import STATES, AttributeSpec, Vertical

Predicate = Callable[[Struct], bool]

MAX_DEPTH: Final = 8
MAX_CONDITIONS: Final = 200
MAX_VALUES: Final = 50_000
"""Values of one ``in`` list; every ZIP code of the country fits."""

_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
}
_SYNONYMS: Final = {
    "==": "=",
    "eq": "=",
    "ne": "!=",
    "gte": ">=",
    "gt": ">",
    "lte": "<=",
    "lt": "<",
}
_ZIP: Final = re.compile(r"[0-9]{5}")
OPERATORS: Final = ("=", "!=", ">=", ">", "<=", "<", "in", "not_in", "between", "prefix", "exists")


def normal_operator(op: str | None) -> str:
    """The operator a synonym stands for; anything else as it is."""
    return _SYNONYMS.get(op or "", op or "")


class FilterError(ValueError):
    """A filter that cannot be evaluated; ``path`` names the place in the condition."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message


def compile_filter(
    condition: Condition | None, vertical: Vertical, path: str = "filter"
) -> Predicate:
    """Check a condition against a vertical and build its predicate. None matches every lead."""
    if condition is None:
        return _always
    budget = [MAX_CONDITIONS]
    return _compile(condition, vertical, path, 1, budget)


def _always(_attributes: Struct) -> bool:
    return True


def _compile(
    condition: Condition, vertical: Vertical, path: str, depth: int, budget: list[int]
) -> Predicate:
    if depth > MAX_DEPTH:
        raise FilterError(path, f"is nested deeper than {MAX_DEPTH}")
    budget[0] -= 1
    if budget[0] < 0:
        raise FilterError(path, f"has more than {MAX_CONDITIONS} conditions")
    present = [
        name
        for name, value in (
            ("all", condition.all),
            ("any", condition.any),
            ("not", condition.not_),
            ("field", condition.field),
        )
        if value is not None
    ]
    if len(present) != 1:
        raise FilterError(path, "must have exactly one of all, any, not, field")
    if condition.field is not None:
        return _compile_comparison(condition, vertical, path)
    if condition.op is not None or condition.value is not None:
        raise FilterError(path, "op and value belong to a field")
    if condition.not_ is not None:
        inner = _compile(condition.not_, vertical, f"{path}.not", depth + 1, budget)
        return lambda attributes: not inner(attributes)
    name, nodes = present[0], condition.all if condition.all is not None else condition.any
    parts = [
        _compile(node, vertical, f"{path}.{name}[{i}]", depth + 1, budget)
        for i, node in enumerate(nodes or ())
    ]
    if not parts:
        raise FilterError(f"{path}.{name}", "must not be empty")
    if len(parts) == 1:
        return parts[0]
    return _every(parts) if name == "all" else _some(parts)


def _every(parts: list[Predicate]) -> Predicate:
    # Plain loops: half the cost of all() over a generator, on the way of every ping.
    def every(attributes: Struct) -> bool:
        for part in parts:  # noqa: SIM110
            if not part(attributes):
                return False
        return True

    return every


def _some(parts: list[Predicate]) -> Predicate:
    def some(attributes: Struct) -> bool:
        for part in parts:  # noqa: SIM110
            if part(attributes):
                return True
        return False

    return some


def _compile_comparison(condition: Condition, vertical: Vertical, path: str) -> Predicate:
    field = condition.field or ""
    spec = vertical.attributes.get(field)
    if spec is None:
        known = ", ".join(sorted(vertical.attributes))
        message = f"{field!r} is not an attribute of {vertical.name}: {known}"
        raise FilterError(f"{path}.field", message)
    op = normal_operator(condition.op)
    if op not in OPERATORS:
        raise FilterError(f"{path}.op", f"must be one of {', '.join(OPERATORS)}")
    get = operator.attrgetter(field)
    value = condition.value
    at = f"{path}.value"
    match op:
        case "exists":
            wanted = True if value is None else value
            if not isinstance(wanted, bool):
                raise FilterError(at, "must be true or false")
            return lambda attributes: (get(attributes) is not UNSET) is wanted
        case "in" | "not_in":
            wanted_set = frozenset(_check_list(value, spec, at, 1, MAX_VALUES))
            if op == "in":
                return lambda attributes: get(attributes) in wanted_set
            return lambda attributes: (v := get(attributes)) is not UNSET and v not in wanted_set
        case "between":
            _check_ordered(spec, f"{path}.op")
            low, high = _check_list(value, spec, at, 2, 2)
            if low > high:
                raise FilterError(at, "must have the lower bound first")
            return lambda attributes: (v := get(attributes)) is not UNSET and low <= v <= high
        case "prefix":
            if not isinstance(value, str) or not value or spec.kind not in ("text", "zip"):
                raise FilterError(at, "prefix takes a text, and a text or ZIP attribute")
            return lambda attributes: (v := get(attributes)) is not UNSET and v.startswith(value)
    if op in _ORDERS:
        _check_ordered(spec, f"{path}.op")
    checked = _check_value(value, spec, at)
    if op == "=":
        return lambda attributes: get(attributes) == checked
    if op == "!=":
        return lambda attributes: (v := get(attributes)) is not UNSET and v != checked
    compare = _ORDERS[op]
    return lambda attributes: (v := get(attributes)) is not UNSET and compare(v, checked)


def _check_ordered(spec: AttributeSpec, path: str) -> None:
    if spec.kind not in ("integer", "decimal"):
        raise FilterError(path, f"does not apply to a {spec.kind} attribute")


def _check_list(value: object, spec: AttributeSpec, path: str, least: int, most: int) -> list[Any]:
    if not isinstance(value, tuple):
        raise FilterError(path, "must be a list")
    if not least <= len(value) <= most:
        wanted = f"{least} to {most}" if most != least else f"{least}"
        raise FilterError(path, f"must have {wanted} values")
    return [_check_value(item, spec, f"{path}[{i}]") for i, item in enumerate(value)]


def _check_value(value: object, spec: AttributeSpec, path: str) -> AttributeValue:
    match spec.kind:
        case "boolean":
            if isinstance(value, bool):
                return value
            raise FilterError(path, "must be true or false")
        case "integer" | "decimal":
            if isinstance(value, float) and math.isfinite(value):
                return value
            if isinstance(value, int) and not isinstance(value, bool):
                return value
            raise FilterError(path, "must be a number")
        case "choice":
            if isinstance(value, str) and value in spec.allowed:
                return value
            raise FilterError(path, f"must be one of {', '.join(spec.allowed)}")
        case "state":
            if isinstance(value, str) and value in STATES:
                return value
            raise FilterError(path, "must be the two-letter postal code of a state")
        case "zip":
            if isinstance(value, str) and _ZIP.fullmatch(value):
                return value
            raise FilterError(path, "must be a ZIP code of five digits")
        case "text":
            if isinstance(value, str):
                return value
            raise FilterError(path, "must be a text")
