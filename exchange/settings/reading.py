"""Reading: the config file, then the environment over it, checked into one frozen `Settings`.

Decides which file is read and what comes before what, and reports every fault at once. Must not
know what the settings are used for.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from exchange.core.dynamic import Bounds, DynamicPolicy
from exchange.core.model import Policy
from exchange.settings.faults import Fault, SettingsError, unknown
from exchange.settings.readers import READERS, URL_SCHEMES
from exchange.settings.sections import (
    PACKAGED_CONFIG,
    DynamicSettings,
    EmailSettings,
    MarketSettings,
    PingSettings,
    Settings,
    StoreSettings,
)
from exchange.settings.table import BY_NAME, SECRET_KEYS, SECTIONS, SETTINGS, Setting

_OTHER_VARIABLES: Final = ("EXCHANGE_CONFIG", "EXCHANGE_READY_FD")
_TEST_PREFIX: Final = "EXCHANGE_TEST_"
_MOST_TREND_PCT: Final = 25
"""The most of a penalty a trend may let off (rules: §10)."""


def read_settings(config: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the config file, then what the environment sets over it.

    The file is ``config``, else ``EXCHANGE_CONFIG``, else ``config/exchange.toml`` of the working
    directory, else the one beside the package; with none of them the defaults hold. A variable
    that is empty counts as not given. Raises SettingsError with every fault.
    """
    faults: list[Fault] = []
    path = _find_config(config, environ)
    given = _read_file(path, faults) if path is not None else {}
    given |= _read_environment(environ, faults)
    sections = {
        section: struct(**{key: value for (of, key), value in given.items() if of == section})
        for section, struct in SECTIONS.items()
    }
    market, ping = sections["market"], sections["ping"]
    assert isinstance(market, MarketSettings) and isinstance(ping, PingSettings)
    faults.extend(_contradictions(market, ping))
    dynamic = sections["dynamic"]
    assert isinstance(dynamic, DynamicSettings)
    if dynamic.trend_max_pct > _MOST_TREND_PCT:
        problem = f"is {dynamic.trend_max_pct}"
        faults.append(Fault(key="dynamic.trend_max_pct", problem=problem, allowed='"0" to "25"'))
    email = sections["email"]
    assert isinstance(email, EmailSettings)
    if email.relay_url is not None and email.from_address is None:
        allowed = "an email address, as there is a relay"
        faults.append(Fault(key="email.from_address", problem="is empty", allowed=allowed))
    if faults:
        raise SettingsError(faults)
    return msgspec.structs.replace(
        Settings(),
        **sections
        | {
            "market": _policy(market),
            "dynamic": _dynamic(dynamic),
            "stores": _at_home(sections["stores"]),
        },
        config=path,
        verticals=_find_verticals(path),
    )


def _find_config(config: Path | None, environ: Mapping[str, str]) -> Path | None:
    if config is not None:
        return config.absolute()
    if named := environ.get("EXCHANGE_CONFIG"):
        return Path(named).expanduser().absolute()
    places = (Path.cwd() / "config", PACKAGED_CONFIG)
    return next((f for place in places if (f := place / "exchange.toml").is_file()), None)


def _find_verticals(path: Path | None) -> Path:
    own = path.parent / "verticals" if path is not None else None
    return own if own is not None and own.is_dir() else PACKAGED_CONFIG / "verticals"


def _read_file(path: Path, faults: list[Fault]) -> dict[tuple[str, str], object]:
    tables = _read_toml(path, faults)
    given: dict[tuple[str, str], object] = {}
    for section, table in tables.items():
        if section == "secrets" or section in SECRET_KEYS:
            faults.append(_misplaced(section))
        elif section not in SECTIONS:
            faults.append(unknown(section, (s for s in SECTIONS if s != "secrets")))
        elif not isinstance(table, dict):
            faults.append(Fault(key=section, problem="is not a table", allowed=f"[{section}]"))
        else:
            for key, value in table.items():
                _take_from_file(section, key, value, given, faults)
    return given


def _read_toml(path: Path, faults: list[Fault]) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        problem = "is not UTF-8"
    except tomllib.TOMLDecodeError as error:
        problem = f"is not TOML: {error}"
    faults.append(Fault(key=str(path), problem=problem, allowed="a TOML file"))
    return {}


def _take_from_file(
    section: str,
    key: str,
    value: object,
    given: dict[tuple[str, str], object],
    faults: list[Fault],
) -> None:
    setting = BY_NAME.get((section, key))
    if setting is None:
        if key in SECRET_KEYS:
            faults.append(_misplaced(f"{section}.{key}"))
        else:
            known = (s.name for s in SETTINGS if s.section == section)
            faults.append(unknown(f"{section}.{key}", known))
    elif setting.reader in URL_SCHEMES and isinstance(value, str) and _has_password(value):
        faults.append(
            Fault(
                key=setting.name,
                problem="has a password, which does not belong in this file",
                allowed=f"the environment, as {setting.envs[0]}",
            )
        )
    else:
        _take(setting, setting.name, value, False, given, faults)


def _has_password(url: str) -> bool:
    try:
        # PostgreSQL takes a password as a parameter too.
        return urlsplit(url).password is not None or "password=" in urlsplit(url).query
    except ValueError:
        return False


def _read_environment(
    environ: Mapping[str, str], faults: list[Fault]
) -> dict[tuple[str, str], object]:
    given: dict[tuple[str, str], object] = {}
    for setting in SETTINGS:
        names = [name for name in setting.envs if environ.get(name)]
        if len({environ[name] for name in names}) > 1:
            faults.append(
                Fault(
                    key=" and ".join(names),
                    problem="name one setting and differ",
                    allowed="one of them",
                )
            )
        elif names:
            _take(setting, names[0], environ[names[0]], True, given, faults)
    known = {name for setting in SETTINGS for name in setting.envs} | set(_OTHER_VARIABLES)
    for name in sorted(environ):
        if name.startswith("EXCHANGE_") and name not in known and not name.startswith(_TEST_PREFIX):
            faults.append(unknown(name, known))
    return given


def _take(
    setting: Setting,
    name: str,
    value: object,
    is_text: bool,
    given: dict[tuple[str, str], object],
    faults: list[Fault],
) -> None:
    """Check one value and keep it; ``is_text`` when it comes from the environment."""
    try:
        if setting.reader is not None:
            checked = READERS[setting.reader][0](value)
        else:
            checked = msgspec.convert(value, setting.type, strict=not is_text)
    except (msgspec.ValidationError, ValueError):
        shown = "is not allowed" if setting.hidden else f"is {_shorten(value)}"
        faults.append(Fault(key=name, problem=shown, allowed=setting.allowed))
    else:
        given[setting.section, setting.key] = checked


def _shorten(value: object) -> str:
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _misplaced(key: str) -> Fault:
    names = ", ".join(setting.envs[0] for setting in SETTINGS if setting.section == "secrets")
    return Fault(
        key=key,
        problem="secrets do not belong in this file",
        allowed=f"the environment: {names}",
    )


def _contradictions(market: MarketSettings, ping: PingSettings) -> Iterator[Fault]:
    if ping.default_timeout_ms > ping.max_timeout_ms:
        yield Fault(
            key="ping.default_timeout_ms",
            problem=f"is {ping.default_timeout_ms}",
            allowed=f"at most ping.max_timeout_ms, {ping.max_timeout_ms}",
        )
    if ping.max_buyers > market.max_ranks:
        yield Fault(
            key="ping.max_buyers",
            problem=f"is {ping.max_buyers}",
            allowed=f"at most market.max_ranks, {market.max_ranks}",
        )


def _policy(market: MarketSettings) -> Policy:
    """Turn percents into basis points, dollars into cents, hours into seconds: all exact."""
    return Policy(
        take_rate_bp=int(market.take_rate_pct * 100),
        rectify=market.rectify,
        unclear=market.unclear,
        window_days=market.window_days,
        half_life_days=market.half_life_days or None,
        crm_threshold_bp=int(market.crm_threshold_pct * 100),
        conditional_overall_bp=int(market.conditional_overall_pct * 100),
        protection_cents=int(market.protection * 100),
        reset_interval_days=market.reset_interval_days,
        rejection_window_s=market.rejection_window_hours * 3600,
        max_ranks=market.max_ranks,
        market_timezone=market.market_timezone,
    )


def _dynamic(dynamic: DynamicSettings) -> DynamicPolicy:
    """Turn percents into basis points and dollars into cents: all exact."""
    return DynamicPolicy(
        mode=dynamic.mode,
        bounds=Bounds(
            market_bp=int(dynamic.market_max_pct * 100),
            seasonal_bp=int(dynamic.seasonal_max_pct * 100),
            trend_bp=int(dynamic.trend_max_pct * 100),
            least_cents=int(dynamic.least_assigned * 100),
        ),
    )


def _at_home(stores: Struct) -> Struct:
    """Make the home absolute, so that it stays the same place for whoever changes directory."""
    assert isinstance(stores, StoreSettings)
    return msgspec.structs.replace(stores, home=stores.home.expanduser().absolute())
