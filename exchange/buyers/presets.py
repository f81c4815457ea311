"""Presets: dialects ready made, as files of this package, filled in with a few parameters.

A file names its parameters and secrets and holds a dialect in which ``${name}`` and
``${secret.name}`` stand for them. What is filled in is checked like a dialect written out, so a
preset can do nothing a company could not write itself.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

from exchange.core.dialect import Dialect, PresetUse

_PLACE: Final = re.compile(r"\$\{(secret\.)?([a-z0-9_]+)\}")
_TEMPLATES: Final = frozenset({"template", "subject"})
_to_text = msgspec.json.Encoder().encode


class Parameter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Something a preset has to know; required unless it has a default."""

    description: str
    default: str | None = None


class Preset(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A preset as its file has it. ``dialect`` holds places to be filled in.

    ``used_for`` says where it fits: a remote bidder, and the kinds of delivery. ``more`` and
    ``ping_more`` are where further fields go: a path to a mapping, or to a list of named values.
    """

    name: str
    title: str
    description: str
    used_for: tuple[str, ...]
    params: dict[str, Parameter] = {}
    secrets: dict[str, Parameter] = {}
    more: str | None = None
    ping_more: str | None = None
    dialect: dict[str, Any]


class PresetError(ValueError):
    """A preset that cannot be used as asked; ``path`` is the place in what asked for it."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message


@cache
def presets() -> Mapping[str, Preset]:
    """Every preset by its name, in the order of their names."""
    folder = resources.files(__package__) / "presets"
    found = {}
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".toml"):
            preset = msgspec.convert(tomllib.loads(file.read_text("utf-8")), Preset)
            found[preset.name] = preset
    return found


def expand(use: PresetUse) -> Dialect:
    """Fill a preset in. Raises PresetError."""
    preset = presets().get(use.name)
    if preset is None:
        raise PresetError("name", f"is no preset; there are {', '.join(presets())}")
    params = _given(preset.params, use.params, "params")
    secrets = _given(preset.secrets, use.secrets, "secrets")
    dialect: dict[str, Any] = _fill(preset.dialect, params, secrets) or {}
    for at, more, place in (
        ("ping_fields", use.ping_fields, preset.ping_more),
        ("fields", use.fields, preset.more),
    ):
        if more:
            if place is None:
                raise PresetError(at, "are not taken by this preset")
            _add(dialect, place.split("."), more)
    dialect["secrets"] = {name: value for name, value in secrets.items() if value}
    return msgspec.convert(dialect, Dialect)


def _given(known: Mapping[str, Parameter], given: Mapping[str, str], at: str) -> dict[str, str]:
    for name in given:
        if name not in known:
            names = ", ".join(known) or "none"
            raise PresetError(f"{at}.{name[:60]}", f"is not known here; there are {names}")
    values = {}
    for name, parameter in known.items():
        value = given.get(name, parameter.default)
        if value is None:
            raise PresetError(f"{at}.{name}", "is missing")
        values[name] = value
    return values


def _fill(node: Any, params: Mapping[str, str], secrets: Mapping[str, str], key: str = "") -> Any:
    """Fill in every place; what stands for an empty value is left out, an authentication whole."""
    if isinstance(node, list):
        filled = [_fill(item, params, secrets) for item in node]
        return [item for item in filled if item is not None]
    if isinstance(node, dict):
        made = {}
        for name, item in node.items():
            value = _fill(item, params, secrets, name)
            if value is not None:
                made[_PLACE.sub(lambda match: params[match[2]], name)] = value
            elif name in ("const", "value", "token", "password", "secret", "from"):
                return None
        return made
    if not isinstance(node, str):
        return node

    def put(match: re.Match[str]) -> str:
        value = (secrets if match[1] else params)[match[2]]
        if key in _TEMPLATES:
            # As an expression: escaped there like every other value.
            return f"{{{{ {_to_text(value).decode()} }}}}"
        # A part of a path stays one part.
        return quote(value, safe="") if key == "url" and match.start() else value

    whole = _PLACE.fullmatch(node)
    if whole is not None and not (secrets if whole[1] else params)[whole[2]]:
        return None
    return _PLACE.sub(put, node)


def _add(dialect: dict[str, Any], place: list[str], more: Mapping[str, Any]) -> None:
    target: Any = dialect
    for name in place:
        target = target[name]
    if isinstance(target, list):
        target.extend({"name": {"const": name}, "value": field} for name, field in more.items())
    else:
        target.update(more)
