"""Settings: the config file and the environment, read once into frozen structs.

Decides what may be set, within which bounds, and reports every fault at once. The sections below
are the single table of it: type, bounds, default and meaning of each key; the file's comments, the
list for ``--help`` and the checks all come from them. Must not know what the settings are used for.
The market's numbers come from the rules (rules: the whole of it, defaults §4 to §8).
"""

from __future__ import annotations

import base64
import binascii
import difflib
import fcntl
import os
import re
import secrets as randomness
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, Struct

from exchange.core.model import Policy

PACKAGED_CONFIG: Final = Path(__file__).resolve().parent.parent / "config"
"""The config directory beside the package, wherever the exchange is started from."""

SECRETS_FILE: Final = "secrets.toml"


class Fault(Struct, frozen=True, kw_only=True):
    """One thing wrong: the key or variable, what is wrong with it, and what is allowed."""

    key: str
    problem: str
    allowed: str = ""

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}" + (
            f"; allowed: {self.allowed}" if self.allowed else ""
        )


class SettingsError(Exception):
    """Settings that cannot be used; ``faults`` has all of them. No fault tells a secret."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


# --- the sections --------------------------------------------------------------------------------
# One line per key: its type, bounds or reader, meaning and default.


def _whole(least: int, most: int, meaning: str) -> Meta:
    return Meta(ge=least, le=most, description=meaning)


def _read_as(reader: str, meaning: str, env: str | None = None) -> Meta:
    """A value with a reader of its own (`_READERS`), and perhaps a short environment name."""
    return Meta(description=meaning, extra={"as": reader, "env": env})


class MarketSettings(Struct, frozen=True, kw_only=True):
    """The market's policy in people's units, as the file has it; `Policy` is what is used."""

    take_rate_pct: Annotated[
        Decimal, _read_as("percent", "The operator's margin, in percent of what a company pays")
    ] = Decimal("15")
    rectify: Annotated[
        Literal["rank_and_charge", "rank_only"],
        Meta(description="Whether the rectified price ranks and is charged, or only ranks"),
    ] = "rank_and_charge"
    unclear: Annotated[
        Literal["hold", "resell"],
        Meta(description="What becomes of an exclusive lead whose delivery stays unclear"),
    ] = "hold"
    window_days: Annotated[int, _whole(1, 365, "Days a lead counts in rates, today included")] = 30
    half_life_days: Annotated[
        int, _whole(0, 3_650, "Age in days at which a day weighs half in a rate; 0 is off")
    ] = 0
    crm_threshold_pct: Annotated[
        Decimal, _read_as("percent", "CRM rejection rate above which a company is excluded")
    ] = Decimal("10")
    conditional_overall_pct: Annotated[
        Decimal, _read_as("percent", "Overall rejection rate from which a company is conditional")
    ] = Decimal("5")
    protection: Annotated[
        Decimal, _read_as("dollars", "Dollars assigned before a company's CRM rejections count")
    ] = Decimal("5000.00")
    reset_interval_days: Annotated[int, _whole(0, 365, "Days between a company's CRM resets")] = 30
    rejection_window_hours: Annotated[
        int, _whole(24, 720, "Hours after delivery in which a lead can be rejected")
    ] = 48
    max_ranks: Annotated[int, _whole(1, 100, "Companies kept in line for a lead")] = 5
    market_timezone: Annotated[str, _read_as("timezone", "Timezone of the market's day")] = "UTC"


class HttpSettings(Struct, frozen=True, kw_only=True):
    """Where and how the exchange listens."""

    host: Annotated[str, _read_as("host", "The address listened on")] = "127.0.0.1"
    port: Annotated[int, _whole(0, 65_535, "The port listened on; 0 takes a free one")] = 8080
    workers: Annotated[int, _whole(1, 256, "Processes that share the port")] = 1
    max_body_bytes: Annotated[int, _whole(1_024, 2**24, "The largest request body taken")] = 65_536
    drain_s: Annotated[int, _whole(1, 60, "Seconds that open requests get when stopping")] = 8


class PingSettings(Struct, frozen=True, kw_only=True):
    """What a ping may ask for, and how old or how new its lead may be."""

    default_timeout_ms: Annotated[int, _whole(10, 60_000, "Time of a ping that names none")] = 500
    max_timeout_ms: Annotated[int, _whole(10, 60_000, "The most time a ping may ask for")] = 5_000
    max_buyers: Annotated[int, _whole(1, 20, "The most companies a ping may ask for")] = 5
    clock_skew_s: Annotated[
        int, _whole(0, 86_400, "Seconds in the future a lead may seem to be captured")
    ] = 300
    implausible_age_days: Annotated[
        int, _whole(1, 36_500, "Age from which a capture time is taken for an error")
    ] = 365
    duplicate_window_days_market: Annotated[
        int, _whole(0, 365, "Days a contact is a duplicate whoever sent it; 0 is off")
    ] = 30
    duplicate_window_days_seller: Annotated[
        int, _whole(0, 365, "Days a contact is a duplicate of the same seller's; 0 is off")
    ] = 30
    max_inflight: Annotated[int, _whole(1, 100_000, "Pings a worker takes at once")] = 1_000


class PostSettings(Struct, frozen=True, kw_only=True):
    """How long a post may take, and how long a late one is understood."""

    limit_s: Annotated[int, _whole(1, 600, "Seconds after which a lead is timed out")] = 30
    grace_s: Annotated[int, _whole(0, 604_800, "Seconds an expired offer is still known")] = 86_400


class DeliverySettings(Struct, frozen=True, kw_only=True):
    """How leads are handed to companies' systems."""

    backoff_ms: Annotated[int, _whole(0, 10_000, "Pause before a second attempt")] = 100
    max_answer_bytes: Annotated[int, _whole(1_024, 2**24, "The longest answer read")] = 65_536
    allow_private_addresses: Annotated[
        bool,
        Meta(
            description="Whether companies' systems may be at private or local addresses",
            extra={"env": "EXCHANGE_ALLOW_PRIVATE_ADDRESSES"},
        ),
    ] = False


class StoreSettings(Struct, frozen=True, kw_only=True):
    """Where the exchange remembers. A URL that is None means the embedded server."""

    postgres_url: Annotated[
        str | None,
        _read_as("postgres_url", "PostgreSQL; empty is an embedded one", "EXCHANGE_POSTGRES_URL"),
    ] = None
    redis_url: Annotated[
        str | None,
        _read_as("redis_url", "Redis or Valkey; empty is an embedded one", "EXCHANGE_REDIS_URL"),
    ] = None
    home: Annotated[
        Path, _read_as("path", "The directory of the exchange's own files", "EXCHANGE_HOME")
    ] = Path("~/.local/share/exchange")
    postgres_pool: Annotated[int, _whole(1, 200, "PostgreSQL connections of each worker")] = 8
    receipt_days: Annotated[int, _whole(1, 3_650, "Days a receipt is kept")] = 90

    def __repr__(self) -> str:
        return f"StoreSettings({', '.join(f'{n}={v!r}' for n, v in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [
            ("postgres_url", _without_password(self.postgres_url)),
            ("redis_url", _without_password(self.redis_url)),
            ("home", self.home),
            ("postgres_pool", self.postgres_pool),
            ("receipt_days", self.receipt_days),
        ]


class LogSettings(Struct, frozen=True, kw_only=True):
    """What is logged, and in which form."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least that is logged")
    ] = "info"
    format: Annotated[
        Literal["json", "console"], Meta(description="Lines for machines or for people")
    ] = "json"


class _Hidden(Struct, frozen=True, kw_only=True):
    """A struct whose values never show."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hidden)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("values", "hidden")]


class ContactKey(_Hidden, frozen=True, kw_only=True):
    """A key of 32 bytes for contact data; its id, 1 to 255, is stored with the data."""

    key_id: int
    key: bytes


class GivenSecrets(_Hidden, frozen=True, kw_only=True):
    """The secrets the environment gives; `load_or_make_secrets` completes them."""

    operator_key: Annotated[
        str | None, _read_as("operator_key", "The first operator key", "EXCHANGE_OPERATOR_KEY")
    ] = None
    contact_keys: Annotated[
        tuple[ContactKey, ...] | None,
        _read_as("contact_keys", "The first encrypts, all decrypt", "EXCHANGE_CONTACT_KEYS"),
    ] = None
    hash_key: Annotated[
        bytes | None, _read_as("hash_key", "Key of the contacts' hashes", "EXCHANGE_HASH_KEY")
    ] = None
    draw_key: Annotated[
        bytes | None, _read_as("draw_key", "Key of the draw among ties", "EXCHANGE_DRAW_KEY")
    ] = None


class Secrets(_Hidden, frozen=True, kw_only=True):
    """Every secret the exchange works with; the first of ``contact_keys`` encrypts."""

    operator_key: str
    contact_keys: tuple[ContactKey, ...]
    hash_key: bytes
    draw_key: bytes


class Settings(Struct, frozen=True, kw_only=True):
    """All settings. ``config`` is the file that was read, ``verticals`` the directory of theirs."""

    market: Policy = Policy()
    http: HttpSettings = HttpSettings()
    ping: PingSettings = PingSettings()
    post: PostSettings = PostSettings()
    delivery: DeliverySettings = DeliverySettings()
    stores: StoreSettings = StoreSettings()
    secrets: GivenSecrets = GivenSecrets()
    log: LogSettings = LogSettings()
    config: Path | None = None
    verticals: Path = PACKAGED_CONFIG / "verticals"


# --- the table -----------------------------------------------------------------------------------


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


_SECTIONS: Final[dict[str, type[Struct]]] = {
    "market": MarketSettings,
    "http": HttpSettings,
    "ping": PingSettings,
    "post": PostSettings,
    "delivery": DeliverySettings,
    "stores": StoreSettings,
    "secrets": GivenSecrets,
    "log": LogSettings,
}
_OTHER_VARIABLES: Final = ("EXCHANGE_CONFIG", "EXCHANGE_READY_FD")
_TEST_PREFIX: Final = "EXCHANGE_TEST_"


def _rows() -> Iterator[Setting]:
    for section, struct in _SECTIONS.items():
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
                hidden=section == "secrets" or extra.get("as") in _URL_SCHEMES,
                envs=short + long,
                default=field.default,
                meaning=meta.description or "",
                allowed=_allowed(hints[field.name], meta, extra.get("as")),
            )


def _allowed(hint: Any, meta: Meta, reader: str | None) -> str:
    if reader is not None:
        return _READERS[reader][1]
    kind = get_args(hint)[0]
    if get_origin(kind) is Literal:
        return " or ".join(get_args(kind))
    if kind is bool:
        return "true or false"
    return f"a whole number from {meta.ge} to {meta.le}"


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


# --- reading -------------------------------------------------------------------------------------


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
        for section, struct in _SECTIONS.items()
    }
    market, ping = sections["market"], sections["ping"]
    assert isinstance(market, MarketSettings) and isinstance(ping, PingSettings)
    faults.extend(_contradictions(market, ping))
    if faults:
        raise SettingsError(faults)
    return msgspec.structs.replace(
        Settings(),
        **sections | {"market": _policy(market), "stores": _at_home(sections["stores"])},
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
        if section == "secrets" or section in _SECRET_KEYS:
            faults.append(_misplaced(section))
        elif section not in _SECTIONS:
            faults.append(_unknown(section, (s for s in _SECTIONS if s != "secrets")))
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
    setting = _BY_NAME.get((section, key))
    if setting is None:
        if key in _SECRET_KEYS:
            faults.append(_misplaced(f"{section}.{key}"))
        else:
            known = (s.name for s in SETTINGS if s.section == section)
            faults.append(_unknown(f"{section}.{key}", known))
    elif setting.reader in _URL_SCHEMES and isinstance(value, str) and _has_password(value):
        faults.append(
            Fault(
                key=setting.name,
                problem="has a password, which does not belong in this file",
                allowed=f"the environment, as {setting.envs[0]}",
            )
        )
    else:
        _take(setting, setting.name, value, False, given, faults)


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
            faults.append(_unknown(name, known))
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
            checked = _READERS[setting.reader][0](value)
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


def _unknown(key: str, known: Iterable[str]) -> Fault:
    near = difflib.get_close_matches(key, sorted(known), n=1)
    return Fault(key=key, problem="is not known" + (f"; did you mean {near[0]}?" if near else ""))


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


def _at_home(stores: Struct) -> Struct:
    """Make the home absolute, so that it stays the same place for whoever changes directory."""
    assert isinstance(stores, StoreSettings)
    return msgspec.structs.replace(stores, home=stores.home.expanduser().absolute())


# --- readers of single values --------------------------------------------------------------------

_TWO_DECIMALS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,2})?")
_OPERATOR_KEY: Final = re.compile(r"[A-Za-z0-9._~+/=-]{16,256}")
_URL_SCHEMES: Final = {
    "postgres_url": ("postgresql", "postgres"),
    "redis_url": ("redis", "rediss", "unix"),
}


def _hundredths(value: object, most: int) -> Decimal:
    # A number of the file arrives as int or Decimal; both print the digits that were written.
    if not _TWO_DECIMALS.fullmatch(str(value)) or Decimal(str(value)) > most:
        raise ValueError
    return Decimal(str(value))


def _read_percent(value: object) -> Decimal:
    return _hundredths(value, 100)


def _read_dollars(value: object) -> Decimal:
    return _hundredths(value, 100_000_000)


def _read_timezone(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    try:
        ZoneInfo(value)
    except (OSError, LookupError):
        # An unknown zone is a LookupError, a directory of zones an OSError.
        raise ValueError from None
    return value


def _read_host(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9.:_-]{1,255}", value):
        raise ValueError
    return value


def _read_path(value: object) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError
    return Path(value)


def _read_url(value: object, kind: str) -> str | None:
    if not isinstance(value, str):
        raise ValueError
    if value and urlsplit(value).scheme not in _URL_SCHEMES[kind]:
        raise ValueError
    return value or None


def _read_operator_key(value: object) -> str:
    if not isinstance(value, str) or not _OPERATOR_KEY.fullmatch(value):
        raise ValueError
    return value


def _read_contact_keys(value: object) -> tuple[ContactKey, ...]:
    if not isinstance(value, str):
        raise ValueError
    keys = []
    for part in value.split(","):
        key_id, _, key = part.strip().partition(":")
        if not re.fullmatch(r"[0-9]{1,3}", key_id) or not 1 <= int(key_id) <= 255:
            raise ValueError
        keys.append(ContactKey(key_id=int(key_id), key=_read_key(key, 32, 32)))
    if len({key.key_id for key in keys}) != len(keys):
        raise ValueError
    return tuple(keys)


def _read_key(value: object, least_bytes: int, most_bytes: int) -> bytes:
    if not isinstance(value, str):
        raise ValueError
    try:
        key = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError from None
    if not least_bytes <= len(key) <= most_bytes:
        raise ValueError
    return key


def _has_password(url: str) -> bool:
    try:
        # PostgreSQL takes a password as a parameter too.
        return urlsplit(url).password is not None or "password=" in urlsplit(url).query
    except ValueError:
        return False


def _without_password(url: str | None) -> str | None:
    if url is None:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return "hidden"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


_READERS: Final[dict[str, tuple[Callable[[object], object], str]]] = {
    "percent": (_read_percent, '"0" to "100", with at most two decimals'),
    "dollars": (_read_dollars, '"0" to "100000000", with at most two decimals'),
    "timezone": (_read_timezone, "a timezone such as America/New_York"),
    "host": (_read_host, "an address or a host name"),
    "path": (_read_path, "a directory"),
    "postgres_url": (lambda value: _read_url(value, "postgres_url"), "a postgresql:// URL"),
    "redis_url": (
        lambda value: _read_url(value, "redis_url"),
        "a redis://, rediss:// or unix:// URL",
    ),
    "operator_key": (_read_operator_key, "16 to 256 letters, digits and . _ ~ + / = -"),
    "contact_keys": (
        _read_contact_keys,
        "id:key,id:key with ids from 1 to 255, each once, and keys of 32 bytes in base64",
    ),
    "hash_key": (lambda value: _read_key(value, 32, 1_024), "32 to 1024 bytes in base64"),
    "draw_key": (lambda value: _read_key(value, 32, 64), "32 to 64 bytes in base64"),
}

SETTINGS: Final = tuple(_rows())
"""Every setting there is, in the file's order."""

_BY_NAME: Final = {(s.section, s.key): s for s in SETTINGS if s.section != "secrets"}
_SECRET_KEYS: Final = frozenset(s.key for s in SETTINGS if s.section == "secrets")


# --- secrets that were not given -----------------------------------------------------------------


def load_or_make_secrets(home: Path, given: GivenSecrets | None = None) -> Secrets:
    """Complete the given secrets from ``home/secrets.toml``, making and keeping those not in it.

    Safe to call from several processes at once: all get the same. When every secret is given the
    home is not touched. Raises SettingsError when the file is unusable or others may read it.
    """
    kept = {} if given is None else msgspec.structs.asdict(given)
    kept = {key: value for key, value in kept.items() if value is not None}
    path = home / SECRETS_FILE
    try:
        # The file only ever appears whole, so that a look without the lock is enough if it is.
        if missing := _SECRET_KEYS - kept.keys() - _read_secrets(path).keys():
            _make_secrets(home, missing)
        return Secrets(**_read_secrets(path) | kept if _SECRET_KEYS - kept.keys() else kept)
    except OSError as error:
        fault = Fault(key=str(path), problem=f"cannot be read or written: {error.strerror}")
        raise SettingsError([fault]) from None


def _read_secrets(path: Path) -> dict[str, Any]:
    """Read the file's secrets by key; none when there is no file."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read()
    except FileNotFoundError:
        return {}
    if mode & 0o077:
        fault = Fault(key=str(path), problem="can be read by others", allowed="mode 0600")
        raise SettingsError([fault])
    try:
        table = tomllib.loads(content.decode())
    except ValueError:
        # The reader's own message could quote a line of the file.
        raise SettingsError([Fault(key=str(path), problem="is not TOML")]) from None
    secrets: dict[str, Any] = {}
    faults: list[Fault] = []
    readers = {setting.key: setting for setting in SETTINGS if setting.section == "secrets"}
    for key, value in table.items():
        if key not in readers:
            faults.append(_unknown(f"{path}: {key}", ()))
            continue
        read, allowed = _READERS[readers[key].reader or ""]
        try:
            secrets[key] = read(value)
        except ValueError:
            faults.append(Fault(key=f"{path}: {key}", problem="is not allowed", allowed=allowed))
    if faults:
        raise SettingsError(faults)
    return secrets


def _make_secrets(home: Path, missing: Iterable[str]) -> None:
    """Add the missing secrets to the file, under a lock, replacing it in one step."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path, new = home / SECRETS_FILE, home / f"{SECRETS_FILE}.new"
    lock = os.open(home / f"{SECRETS_FILE}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = set(missing) - _read_secrets(path).keys()
        if not missing:
            return
        old = (
            path.read_text("utf-8") if path.exists() else "# Secrets of this exchange. Keep them.\n"
        )
        lines = [f'{key} = "{_new_secret(key)}"\n' for key in sorted(missing)]
        # One left by a process that died while writing; nobody else writes under the lock.
        new.unlink(missing_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(old if old.endswith("\n") else f"{old}\n")
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        directory = os.open(home, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        os.close(lock)


def _new_secret(key: str) -> str:
    if key == "operator_key":
        return randomness.token_urlsafe(32)
    text = base64.b64encode(randomness.token_bytes(32)).decode()
    return f"1:{text}" if key == "contact_keys" else text
