"""Templates a company writes: a small part of Jinja, that can neither reach out nor run away.

What may stand in one is a list: every node of the parsed template must be on it, every field must
be named plainly and be allowed, no call is possible, loops go over what is short and never within
each other, and every text made on the way is bounded. So a template is known to be harmless when
the campaign is saved. Each kind of text escapes what is put into it, so that no value can leave its
place. The sandbox's own guards stay on beneath all that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, Literal
from urllib.parse import quote, quote_plus

from jinja2 import TemplateError, Undefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from exchange.buyers.formats import (
    ENCODER,
    PLAIN,
    WITH_ARGUMENT,
    FormatError,
    bounded,
    compile_format,
    text_of,
)
from exchange.buyers.lead_fields import GROUPS, Allowed, FieldFault
from exchange.core.dialect import MAX_TEMPLATE_CHARS

Kind = Literal["json", "form", "xml", "text", "url", "line"]
"""What a template makes; ``line`` is a header or a subject: one line, no control characters."""

MAX_RENDERED_CHARS: Final = 65_536
MAX_NODES: Final = 2_000
MAX_LOOP_NODES: Final = 150
MAX_LOOP_ITEMS: Final = 50
MAX_LOOPS: Final = 5
MAX_DEPTH: Final = 60
_LARGEST: Final = 10**15  # numbers a template may reckon with

_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_ALLOWED_NODES: Final = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Filter,
    nodes.Test,
    nodes.If,
    nodes.For,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Concat,
    nodes.Neg,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Mod,
    nodes.List,
    nodes.Tuple,
    nodes.Dict,
    nodes.Pair,
    nodes.Keyword,
)
_LOOP_FIELDS: Final = frozenset({"index", "index0", "first", "last", "length"})
_TESTS: Final = (
    "defined", "undefined", "none", "string", "number", "boolean", "true", "false", "in",
    "eq", "equalto", "ne", "lt", "le", "gt", "ge", "even", "odd",
)  # fmt: skip


class Unwritable(ValueError):
    """A request that cannot be written for this lead; the text is for the company."""


class _Json(str):
    """A text that is JSON already."""

    __slots__ = ()


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Reckon with plain numbers only, and not with large ones."""
        operands: tuple[object, object] = (left, right)
        for value in operands:
            if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
                raise SecurityError(f"{operator} takes numbers; texts are joined by ~")
        if not -_LARGEST <= left <= _LARGEST or not -_LARGEST <= right <= _LARGEST:
            raise SecurityError("too large a number")
        if isinstance(left, Decimal) or isinstance(right, Decimal):
            left, right = Decimal(str(left)), Decimal(str(right))
        return super().call_binop(context, operator, left, right)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """A field, and never a method of what holds it."""
        if isinstance(obj, Mapping):
            return obj[argument] if argument in obj else self.undefined(name=str(argument))
        return super().getitem(obj, argument)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """As `getitem`: both ways of writing mean the same."""
        if isinstance(obj, Mapping):
            return self.getitem(obj, attribute)
        return super().getattr(obj, attribute)


class Template:
    """A compiled template of one kind."""

    def __init__(self, compiled: Any) -> None:
        self._new_context = compiled.new_context
        self._pieces = compiled.root_render_func

    def render(self, values: Mapping[str, Any]) -> str:
        """Fill in the values. Raises Unwritable for what does not come out, or is too long."""
        parts: list[str] = []
        size = 0
        try:
            for piece in self._pieces(self._new_context(values, shared=True)):
                size += len(piece)
                if size > MAX_RENDERED_CHARS:
                    raise Unwritable(f"it is longer than {MAX_RENDERED_CHARS} characters")
                parts.append(piece)
        except Unwritable:
            raise
        except TemplateError as fault:
            raise Unwritable(str(fault.message or "a field is not there")[:200]) from None
        except FormatError as fault:
            raise Unwritable(str(fault)) from None
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError):
            raise Unwritable("a value does not fit what is done with it") from None
        return "".join(parts)


def compile_template(source: str, kind: Kind, allowed: Allowed) -> Template:
    """Check a template and compile it. Raises FieldFault, naming the field where it is one."""
    if len(source) > MAX_TEMPLATE_CHARS:
        raise FieldFault("", f"is longer than {MAX_TEMPLATE_CHARS} characters")
    environment = _environment(kind)
    try:
        parsed = environment.parse(source)
        _Check(allowed).look(parsed, 0)
        return Template(environment.from_string(source))
    except TemplateError as fault:
        raise FieldFault("", f"is no template: {(fault.message or '')[:160]}") from None
    except (SyntaxError, RecursionError, MemoryError, ValueError, OverflowError) as fault:
        if isinstance(fault, FieldFault):
            raise
        raise FieldFault("", "is nested too deep or cannot be compiled") from None


class _Check:
    """Walks a parsed template; refuses whatever is not on the list."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._roots = allowed.roots()
        self._count = 0
        self._loops = 0

    def look(self, node: nodes.Node, depth: int, names: frozenset[str] = frozenset()) -> int:
        """Check a node and what is in it; gives how many nodes there were."""
        if depth > MAX_DEPTH:
            raise FieldFault("", "is nested too deep")
        self._count += 1
        if self._count > MAX_NODES:
            raise FieldFault("", "has too many parts")
        if not isinstance(node, _ALLOWED_NODES):
            what = type(node).__name__.lower()
            raise FieldFault("", f"holds what templates may not: {what}")
        before = self._count
        match node:
            case nodes.For():
                self._look_at_loop(node, depth, names)
            case nodes.Getattr() | nodes.Getitem():
                self._look_at_path(node, names)
            case nodes.Name():
                self._look_at_name(node.name, names)
            case _:
                self._look_at_use(node)
                for child in node.iter_child_nodes():
                    self.look(child, depth + 1, names)
        return self._count - before

    def _look_at_use(self, node: nodes.Node) -> None:
        if isinstance(node, nodes.Filter):
            if node.name not in _FILTERS:
                raise FieldFault("", f"{node.name} is no filter")
            if node.dyn_args is not None or node.dyn_kwargs is not None:
                raise FieldFault("", "a filter's arguments are written out")
        if isinstance(node, nodes.Test) and node.name not in _TESTS:
            raise FieldFault("", f"{node.name} is no test")

    def _look_at_name(self, name: str, names: frozenset[str]) -> None:
        if name in names:
            return
        if name not in self._roots:
            # Says why, where it is a field that cannot be had.
            self._allowed.check(name)
            raise FieldFault(name, f"{name} is no field")
        if name == "secrets":
            raise FieldFault(name, "secrets are named one by one")

    def _look_at_path(self, node: nodes.Getattr | nodes.Getitem, names: frozenset[str]) -> None:
        self._count += 1
        if isinstance(node, nodes.Getattr):
            key: object = node.attr
        elif isinstance(node.arg, nodes.Const):
            key = node.arg.value
        else:
            raise FieldFault("", "a field must be named plainly, as attributes.zip is")
        if not isinstance(node.node, nodes.Name) or not isinstance(key, str):
            raise FieldFault("", "a field must be named plainly, as attributes.zip is")
        root = node.node.name
        if root == "loop" and root in names:
            if key not in _LOOP_FIELDS:
                raise FieldFault("", f"loop.{key} is not to be had")
        elif root in GROUPS:
            self._allowed.check(f"{root}.{key}")
        else:
            raise FieldFault(f"{root}.{key}", f"{root}.{key} is no field")

    def _look_at_loop(self, node: nodes.For, depth: int, names: frozenset[str]) -> None:
        self._loops += 1
        if "loop" in names or node.recursive or self._loops > MAX_LOOPS:
            raise FieldFault("", "loops may not stand within each other, nor be many")
        if isinstance(node.iter, nodes.List | nodes.Tuple):
            if len(node.iter.items) > MAX_LOOP_ITEMS:
                raise FieldFault("", f"a loop goes over at most {MAX_LOOP_ITEMS} items")
        elif not _is_attributes(node.iter):
            raise FieldFault("", "a loop goes over a written list, or attributes | items")
        self.look(node.iter, depth + 1, names)
        targets = node.target.items if isinstance(node.target, nodes.Tuple) else [node.target]
        inner = set(names) | {"loop"}
        for target in targets:
            if not isinstance(target, nodes.Name) or target.name in self._roots | {"contact"}:
                raise FieldFault("", "a loop's names must be its own")
            inner.add(target.name)
        body = [*node.body, *([node.test] if node.test is not None else [])]
        known = frozenset(inner)
        if sum(self.look(child, depth + 1, known) + 1 for child in body) > MAX_LOOP_NODES:
            raise FieldFault("", "a loop's body has too many parts")
        for child in node.else_:
            self.look(child, depth + 1, names)


def _is_attributes(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Filter) and node.name == "items" and node.node is not None:
        node = node.node
    return isinstance(node, nodes.Name) and node.name == "attributes"


# --- filters --------------------------------------------------------------------------------------


def _keep_undefined(write: Callable[..., Any]) -> Callable[..., Any]:
    """What is not there stays so, whatever is done to it."""

    def apply(value: Any, *arguments: Any) -> Any:
        return value if isinstance(value, Undefined) else write(value, *arguments)

    return apply


@lru_cache(maxsize=1_000)
def _format_of(name: str, argument: str) -> Callable[[object], object]:
    return compile_format(f"{name}:{argument}")


def _with_argument(name: str) -> Callable[[Any, Any], Any]:
    def apply(value: Any, *arguments: Any) -> Any:
        return _format_of(name, "/".join(text_of(part) for part in arguments))(value)

    return apply


def _to_json(value: Any) -> _Json:
    return _Json(bounded(ENCODER.encode(None if isinstance(value, Undefined) else value).decode()))


def _default(value: Any, otherwise: Any = "") -> Any:
    return otherwise if isinstance(value, Undefined) or value is None or value == "" else value


def _lookup(value: Any, table: Any, *otherwise: Any) -> Any:
    if not isinstance(table, Mapping):
        raise FormatError("lookup takes a table such as {'tile': 1}")
    text = text_of(value).strip().lower()
    found = {text_of(key).lower(): result for key, result in table.items()}
    return found.get(text, otherwise[0] if otherwise else value)


def _replace(value: Any, old: Any, new: Any) -> str:
    text, old, new = text_of(value), text_of(old), text_of(new)
    if old and len(text) + text.count(old) * max(0, len(new) - len(old)) > MAX_RENDERED_CHARS:
        raise FormatError("makes too long a text")
    return bounded(text.replace(old, new)) if old else text


def _join(value: Any, separator: Any = "") -> str:
    return bounded(text_of(separator).join(text_of(part) for part in value))


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, Mapping) else []


_FILTERS: Final[dict[str, Callable[..., Any]]] = {
    **{name: _keep_undefined(write) for name, write in PLAIN.items()},
    **{name: _keep_undefined(_with_argument(name)) for name in WITH_ARGUMENT},
    "lookup": _keep_undefined(_lookup),
    "replace": _keep_undefined(_replace),
    "join": _keep_undefined(_join),
    "items": _items,
    "length": lambda value: len(value) if isinstance(value, str | dict | list | tuple) else 0,
    "default": _default,
    "tojson": _to_json,
}


# --- what each kind makes of a value --------------------------------------------------------------


def _plain(value: Any) -> str:
    return "" if isinstance(value, Undefined) else bounded(text_of(value))


def _in_json(value: Any) -> str:
    if isinstance(value, _Json):
        return value
    if isinstance(value, str):
        # Within the quotes that stand around it in the template.
        return ENCODER.encode(_plain(value)).decode()[1:-1]
    return "" if value is None or isinstance(value, Undefined) else ENCODER.encode(value).decode()


def _in_form(value: Any) -> str:
    return quote_plus(_plain(value), safe="*")


def _in_xml(value: Any) -> str:
    return _NOT_XML.sub("", _plain(value))


def _in_url(value: Any) -> str:
    text = _plain(value)
    if text in (".", ".."):
        raise FormatError("a part of a path cannot be dots")
    return quote(text, safe="*")


def one_line(text: str) -> str:
    """A text with every control character and line end made a space."""
    return _CONTROLS.sub(" ", text)


def xml_text(text: str) -> str:
    """A text without the characters XML cannot hold."""
    return _NOT_XML.sub("", text)


def _in_line(value: Any) -> str:
    return one_line(_plain(value))


_FINALIZE: Final[dict[Kind, Callable[[Any], str]]] = {
    "json": _in_json,
    "form": _in_form,
    "xml": _in_xml,
    "text": _plain,
    "url": _in_url,
    "line": _in_line,
}


@lru_cache(maxsize=len(_FINALIZE))
def _environment(kind: Kind) -> _Environment:
    # XML: the text without what XML cannot hold, then escaped by Jinja itself.
    environment = _Environment(
        autoescape=kind == "xml",
        finalize=_FINALIZE[kind],
        keep_trailing_newline=True,
        cache_size=0,
    )
    environment.globals.clear()
    environment.filters.clear()
    environment.filters.update(_FILTERS)
    environment.tests = {name: environment.tests[name] for name in _TESTS}
    return environment
