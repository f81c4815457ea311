"""What may be set, where, and how faults are told."""

from __future__ import annotations

import base64
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.pretty import pretty_repr

from exchange.core.model import Policy
from exchange.settings import (
    PACKAGED_CONFIG,
    SETTINGS,
    Fault,
    Settings,
    SettingsError,
    describe_settings,
    read_settings,
)

KEY = base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without a config."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(directory: Path, text: str = "", environ: Mapping[str, str] | None = None) -> Settings:
    path = directory / "exchange.toml"
    path.write_text(text, "utf-8")
    return read_settings(path, environ or {})


def faults_of(
    directory: Path, text: str = "", environ: Mapping[str, str] | None = None
) -> tuple[Fault, ...]:
    with pytest.raises(SettingsError) as caught:
        read(directory, text, environ)
    return caught.value.faults


def test_the_packaged_file_has_every_key_at_its_default_with_its_meaning() -> None:
    text = (PACKAGED_CONFIG / "exchange.toml").read_text("utf-8")
    keys = {
        f"{section}.{key}": value
        for section, table in tomllib.loads(text).items()
        for key, value in table.items()
    }
    expected = [setting for setting in SETTINGS if setting.section != "secrets"]
    assert list(keys) == [setting.name for setting in expected]
    for setting in expected:
        default = "" if setting.default is None else setting.default
        plain = default if isinstance(default, bool | int) else str(default)
        assert keys[setting.name] == plain, setting.name
        assert f"# {setting.meaning}.\n{setting.key} = " in text, setting.name


def test_an_empty_file_and_the_packaged_file_mean_the_same(nowhere: Path) -> None:
    empty, packaged = read(nowhere), read_settings(None, {})
    for part in ("market", "http", "ping", "post", "delivery", "stores", "secrets", "log"):
        assert getattr(empty, part) == getattr(packaged, part)


def test_the_default_market_is_the_rules(nowhere: Path) -> None:
    assert read(nowhere).market == Policy()


def test_the_packaged_config_is_found_from_any_directory(nowhere: Path) -> None:
    settings = read_settings(None, {})
    assert settings.config == PACKAGED_CONFIG / "exchange.toml"
    assert settings.verticals == PACKAGED_CONFIG / "verticals"


def test_a_config_in_the_working_directory_comes_before_the_packaged_one(nowhere: Path) -> None:
    (nowhere / "config" / "verticals").mkdir(parents=True)
    (nowhere / "config" / "exchange.toml").write_text("[http]\nport = 9001\n")
    settings = read_settings(None, {})
    assert settings.http.port == 9001
    assert settings.verticals == nowhere / "config" / "verticals"


def test_the_variable_names_the_file_and_the_argument_overrules_it(nowhere: Path) -> None:
    (nowhere / "named.toml").write_text("[http]\nport = 9002\n")
    environ = {"EXCHANGE_CONFIG": str(nowhere / "named.toml")}
    assert read_settings(None, environ).http.port == 9002
    assert read(nowhere, "[http]\nport = 9003\n", environ).http.port == 9003


def test_a_named_file_that_is_missing_is_a_fault(nowhere: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read"):
        read_settings(nowhere / "none.toml", {})


def test_a_file_that_is_not_toml_is_a_fault(nowhere: Path) -> None:
    assert faults_of(nowhere, "[http")[0].problem.startswith("is not TOML")


def test_people_write_percents_dollars_and_hours_and_the_market_gets_exact_integers(
    nowhere: Path,
) -> None:
    market = read(
        nowhere,
        """
        [market]
        take_rate_pct = "12.5"
        crm_threshold_pct = 10.12
        conditional_overall_pct = 4
        protection = "2500.50"
        rejection_window_hours = 24
        half_life_days = 7
        market_timezone = "America/New_York"
        """,
    ).market
    assert market.take_rate_bp == 1_250
    assert market.crm_threshold_bp == 1_012
    assert market.conditional_overall_bp == 400
    assert market.protection_cents == 250_050
    assert market.rejection_window_s == 86_400
    assert market.half_life_days == 7
    assert market.market_timezone == "America/New_York"


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("market", 'take_rate_pct = "15.001"'),
        ("market", "take_rate_pct = 100.01"),
        ("market", "take_rate_pct = -1"),
        ("market", "take_rate_pct = nan"),
        ("market", "take_rate_pct = true"),
        ("market", 'protection = "5,000"'),
        ("market", "rejection_window_hours = 23"),
        ("market", 'market_timezone = "Mars/Base"'),
        ("market", 'market_timezone = "../UTC"'),
        ("market", 'rectify = "none"'),
        ("http", 'port = "8080"'),
        ("http", "port = 65536"),
        ("http", "drain_s = 0"),
        ("http", "drain_s = 61"),
        ("http", 'host = ""'),
        ("delivery", "allow_private_addresses = 1"),
        ("stores", 'postgres_url = "mysql://db/exchange"'),
        ("stores", 'redis_url = "http://[bad"'),
        ("stores", 'home = ""'),
        ("log", 'level = "loud"'),
    ],
    ids=lambda value: value,
)
def test_a_value_out_of_bounds_is_a_fault_that_says_what_is_allowed(
    nowhere: Path, section: str, line: str
) -> None:
    (fault,) = faults_of(nowhere, f"[{section}]\n{line}\n")
    assert fault.key == f"{section}.{line.split(' =')[0]}"
    assert fault.allowed


def test_every_fault_is_reported_at_once(nowhere: Path) -> None:
    faults = faults_of(
        nowhere,
        "htp = 1\n[http]\nport = -1\nprot = 1\n[log]\nlevel = 3\n",
        {"EXCHANGE_PING_MAX_BUYERS": "none", "EXCHANGE_HTTP_PROT": "1", "EXCHANGE_HASH_KEY": "x"},
    )
    assert {fault.key for fault in faults} == {
        "htp",
        "http.port",
        "http.prot",
        "log.level",
        "EXCHANGE_PING_MAX_BUYERS",
        "EXCHANGE_HTTP_PROT",
        "EXCHANGE_HASH_KEY",
    }


def test_an_unknown_key_or_variable_is_told_the_nearest_known_one(nowhere: Path) -> None:
    section, key, variable = faults_of(
        nowhere, "[htpp]\n[http]\nprot = 1\n", {"EXCHANGE_OPERATER_KEY": "x" * 16}
    )
    assert section.problem == "is not known; did you mean http?"
    assert key.problem == "is not known; did you mean http.port?"
    assert variable.problem == "is not known; did you mean EXCHANGE_OPERATOR_KEY?"


def test_the_variables_of_others_and_of_tests_are_nobodys_fault(nowhere: Path) -> None:
    read(nowhere, "", {"PATH": "x", "EXCHANGE_TEST_POSTGRES_URL": "x", "EXCHANGED": "x"})


def test_the_environment_sets_over_the_file(nowhere: Path) -> None:
    environ = {"EXCHANGE_HTTP_PORT": "9005", "EXCHANGE_MARKET_TAKE_RATE_PCT": "20"}
    settings = read(nowhere, "[http]\nport = 9004\nworkers = 2\n", environ)
    assert (settings.http.port, settings.http.workers) == (9005, 2)
    assert settings.market.take_rate_bp == 2_000


def test_an_empty_variable_counts_as_not_given(nowhere: Path) -> None:
    settings = read(nowhere, "[http]\nport = 9004\n", {"EXCHANGE_HTTP_PORT": ""})
    assert settings.http.port == 9004


@pytest.mark.parametrize(
    ("text", "expected"), [("1", True), ("true", True), ("0", False), ("false", False)]
)
def test_a_variable_says_yes_or_no_as_digit_or_word(
    nowhere: Path, text: str, expected: bool
) -> None:
    settings = read(nowhere, "", {"EXCHANGE_ALLOW_PRIVATE_ADDRESSES": text})
    assert settings.delivery.allow_private_addresses is expected


def test_a_variable_that_says_neither_is_a_fault(nowhere: Path) -> None:
    (fault,) = faults_of(nowhere, "", {"EXCHANGE_ALLOW_PRIVATE_ADDRESSES": "maybe"})
    assert fault.allowed == "true or false"


def test_two_names_of_one_setting_must_agree(nowhere: Path) -> None:
    environ = {"EXCHANGE_HOME": "/a", "EXCHANGE_STORES_HOME": "/a"}
    assert read(nowhere, "", environ).stores.home == Path("/a")
    (fault,) = faults_of(nowhere, "", environ | {"EXCHANGE_HOME": "/b"})
    assert fault.key == "EXCHANGE_HOME and EXCHANGE_STORES_HOME"


def test_the_home_stays_where_it_is_when_the_directory_changes(nowhere: Path) -> None:
    assert read(nowhere, '[stores]\nhome = "mine"\n').stores.home == nowhere / "mine"


def test_no_store_is_named_when_the_urls_are_empty(nowhere: Path) -> None:
    stores = read(nowhere, '[stores]\npostgres_url = ""\nredis_url = ""\n').stores
    assert stores.postgres_url is None
    assert stores.redis_url is None


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[ping]\ndefault_timeout_ms = 900\nmax_timeout_ms = 800\n", "ping.default_timeout_ms"),
        ("[ping]\nmax_buyers = 5\n[market]\nmax_ranks = 4\n", "ping.max_buyers"),
    ],
)
def test_settings_that_contradict_each_other_are_a_fault(
    nowhere: Path, text: str, key: str
) -> None:
    (fault,) = faults_of(nowhere, text)
    assert fault.key == key


@pytest.mark.parametrize(
    "text",
    [
        '[secrets]\noperator_key = "very-secret-words"\n',
        'operator_key = "very-secret-words"\n',
        '[http]\noperator_key = "very-secret-words"\n',
        '[stores]\npostgres_url = "postgresql://u:very-secret-words@db/x"\n',
        '[stores]\npostgres_url = "postgresql://db/x?password=very-secret-words"\n',
        '[stores]\nredis_url = "redis://:very-secret-words@cache"\n',
    ],
    ids=["section", "top", "elsewhere", "postgres", "parameter", "redis"],
)
def test_a_secret_in_the_file_is_refused_by_pointing_to_the_environment(
    nowhere: Path, text: str
) -> None:
    (fault,) = faults_of(nowhere, text)
    assert "the environment" in fault.allowed
    assert "very-secret-words" not in str(fault)


def test_secrets_come_from_the_environment(nowhere: Path) -> None:
    newer = base64.b64encode(b"n" * 32).decode()
    secrets = read(
        nowhere,
        "",
        {
            "EXCHANGE_OPERATOR_KEY": "sixteen-letters!"[:15] + "x",
            "EXCHANGE_CONTACT_KEYS": f"2:{newer},1:{KEY}",
            "EXCHANGE_HASH_KEY": KEY,
            "EXCHANGE_DRAW_KEY": KEY,
        },
    ).secrets
    assert secrets.operator_key == "sixteen-lettersx"
    assert secrets.contact_keys is not None
    assert [(key.key_id, key.key) for key in secrets.contact_keys] == [
        (2, b"n" * 32),
        (1, b"k" * 32),
    ]
    assert secrets.hash_key == secrets.draw_key == b"k" * 32


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EXCHANGE_OPERATOR_KEY", "short-key-of-15"),
        ("EXCHANGE_OPERATOR_KEY", "with a space in it"),
        ("EXCHANGE_CONTACT_KEYS", KEY),
        ("EXCHANGE_CONTACT_KEYS", f"0:{KEY}"),
        ("EXCHANGE_CONTACT_KEYS", f"256:{KEY}"),
        ("EXCHANGE_CONTACT_KEYS", f"1:{KEY},1:{KEY}"),
        ("EXCHANGE_CONTACT_KEYS", f"1:{KEY},"),
        ("EXCHANGE_CONTACT_KEYS", "1:" + base64.b64encode(b"k" * 31).decode()),
        ("EXCHANGE_HASH_KEY", base64.b64encode(b"k" * 31).decode()),
        ("EXCHANGE_HASH_KEY", "not base64 at all, but long enough to be one"),
        ("EXCHANGE_DRAW_KEY", base64.b64encode(b"k" * 65).decode()),
        ("EXCHANGE_POSTGRES_URL", "mysql://u:pass@db/x"),
    ],
)
def test_an_unusable_secret_is_a_fault_that_does_not_tell_it(
    nowhere: Path, name: str, value: str
) -> None:
    (fault,) = faults_of(nowhere, "", {name: value})
    assert fault.key == name
    assert fault.allowed
    assert value not in str(fault)


def test_no_secret_and_no_password_shows_in_a_repr(nowhere: Path) -> None:
    environ = {
        "EXCHANGE_OPERATOR_KEY": "very-secret-words",
        "EXCHANGE_HASH_KEY": KEY,
        "EXCHANGE_CONTACT_KEYS": f"1:{KEY}",
        "EXCHANGE_POSTGRES_URL": "postgresql://me:very-secret-words@db:5432/leads",
        "EXCHANGE_REDIS_URL": "redis://cache/0?password=very-secret-words",
    }
    settings = read(nowhere, "", environ)
    for shown in (repr(settings), str(settings), pretty_repr(settings)):
        assert "very-secret-words" not in shown
        assert "kkkk" not in shown and KEY not in shown
        assert "postgresql://db:5432/leads" in shown


def test_every_setting_is_described() -> None:
    rows = describe_settings()
    assert len({name for name, *_ in rows}) == len(rows) == len(SETTINGS)
    for name, env, _, meaning in rows:
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", name)
        assert re.fullmatch(r"EXCHANGE_[A-Z_]+", env)
        assert meaning
    assert ("http.port", "EXCHANGE_HTTP_PORT", "8080") in [row[:3] for row in rows]


def test_a_mail_relay_comes_from_the_environment_and_needs_a_sender(nowhere: Path) -> None:
    given = {"EXCHANGE_SMTP_URL": "smtp://u:very-secret-words@mail.example:587"}
    with pytest.raises(SettingsError, match=r"email\.from_address"):
        read_settings(environ=given)
    email = read_settings(
        environ=given | {"EXCHANGE_EMAIL_FROM_ADDRESS": "leads@exchange.example"}
    ).email
    assert email.relay_url == given["EXCHANGE_SMTP_URL"]
    assert "very-secret-words" not in repr(email)
    with pytest.raises(SettingsError) as raised:
        read(nowhere, f'[email]\nrelay_url = "{given["EXCHANGE_SMTP_URL"]}"\n')
    assert "very-secret-words" not in str(raised.value)


@pytest.mark.parametrize(
    "line",
    ['relay_url = "http://x"', 'relay_url = "smtp://"', 'from_address = "a b"', 'security = "x"'],
)
def test_a_mail_relay_that_cannot_be_is_refused(nowhere: Path, line: str) -> None:
    with pytest.raises(SettingsError):
        read(nowhere, f"[email]\n{line}\n")


def test_checks_that_refuse_are_named_apart_by_commas_and_must_be_known(nowhere: Path) -> None:
    text = '[quality]\nrefuse = "zip_state, phone_invalid"'
    assert read(nowhere, text).quality.refuse == ("zip_state", "phone_invalid")
    environ = {"EXCHANGE_QUALITY_REFUSE": "county"}
    assert read(nowhere, text, environ).quality.refuse == ("county",)
    (fault,) = faults_of(nowhere, '[quality]\nrefuse = "zip_state,zap"')
    assert fault.key == "quality.refuse" and "email_disposable" in fault.allowed


def test_domains_of_throw_away_mail_come_from_a_file_one_a_line(nowhere: Path) -> None:
    more = nowhere / "more.txt"
    more.write_text("# our own\nBurner.Example.\n\nburn.test # seen in May\nburn.test\n", "utf-8")
    text = f'[quality]\ndisposable_domains_file = "{more}"'
    assert read(nowhere, text).quality.disposable_domains_file == ("burner.example", "burn.test")
    for line in ("not a domain", "http://burn.test", "*.burn.test"):
        more.write_text(line, "utf-8")
        assert [fault.key for fault in faults_of(nowhere, text)] == [
            "quality.disposable_domains_file"
        ]
    more.unlink()
    assert faults_of(nowhere, text)
