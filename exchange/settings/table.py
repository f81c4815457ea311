"""The table of settings: one row for each key of the sections, and the list for people.

Decides the variables' names and the words for what is allowed; the sections decide the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from exchange.settings.readers import READERS, URL_SCHEMES
from exchange.settings.sections import (
    AlertsSettings,
    BiddingSettings,
    ConnectionTestSettings,
    DeliverySettings,
    DynamicSettings,
    EmailSettings,
    GivenSecrets,
    HttpSettings,
    LogSettings,
    MarketSettings,
    PingSettings,
    PostSettings,
    QualitySettings,
    ReturnSettings,
    StoreSettings,
    SuppressionSettings,
)


class Setting(Struct, frozen=True, kw_only=True):
    """One row of the table. ``envs`` are its variables, the one to show first."""

    section: str
    key: str
    type: Any
    reader: str | None
    hidden: bool
    envs: tuple[str, ...]
    default: object
    meaning: str
    allowed: str

    @property
    def name(self) -> str:
        """The key as people write it: ``http.port``."""
        return f"{self.section}.{self.key}"


SECTIONS: Final[dict[str, type[Struct]]] = {
    "market": MarketSettings,
    "dynamic": DynamicSettings,
    "http": HttpSettings,
    "ping": PingSettings,
    "quality": QualitySettings,
    "suppression": SuppressionSettings,
    "post": PostSettings,
    "returns": ReturnSettings,
    "delivery": DeliverySettings,
    "bidding": BiddingSettings,
    "email": EmailSettings,
    "alerts": AlertsSettings,
    "connection_tests": ConnectionTestSettings,
    "stores": StoreSettings,
    "secrets": GivenSecrets,
    "log": LogSettings,
}


def _rows() -> Iterator[Setting]:
    for section, struct in SECTIONS.items():
        hints = get_type_hints(struct, include_extras=True)
        for field in msgspec.structs.fields(struct):
            meta: Meta = hints[field.name].__metadata__[0]
            extra = meta.extra or {}
            short = (extra["env"],) if extra.get("env") else ()
            long = (f"EXCHANGE_{section}_{field.name}".upper(),) if section != "secrets" else ()
            yield Setting(
                section=section,
                key=field.name,
                type=hints[field.name],
                reader=extra.get("as"),
                hidden=section == "secrets" or extra.get("as") in URL_SCHEMES,
                envs=short + long,
                default=field.default,
                meaning=meta.description or "",
                allowed=_allowed(hints[field.name], meta, extra.get("as")),
            )


def _allowed(hint: Any, meta: Meta, reader: str | None) -> str:
    if reader is not None:
        return READERS[reader][1]
    kind = get_args(hint)[0]
    if get_origin(kind) is Literal:
        return " or ".join(get_args(kind))
    if kind is bool:
        return "true or false"
    return f"a whole number from {meta.ge} to {meta.le}"


SETTINGS: Final = tuple(_rows())
"""Every setting there is, in the file's order."""

BY_NAME: Final = {(s.section, s.key): s for s in SETTINGS if s.section != "secrets"}
SECRET_KEYS: Final = frozenset(s.key for s in SETTINGS if s.section == "secrets")


def describe_settings() -> list[tuple[str, str, str, str]]:
    """List every setting as (key, environment name, default, meaning), in the file's order.

    A secret's default is that it is made and kept in the home directory.
    """
    return [
        (
            setting.name,
            setting.envs[0],
            "made and kept" if setting.section == "secrets" else _as_text(setting.default),
            setting.meaning,
        )
        for setting in SETTINGS
    ]


def _as_text(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default is None else str(default)
