"""Secrets nobody gave: made once, kept for their owner only."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from exchange.settings import (
    ContactKey,
    GivenSecrets,
    Secrets,
    SettingsError,
    load_or_make_secrets,
)


def test_secrets_are_made_once_and_then_kept(tmp_path: Path) -> None:
    made = load_or_make_secrets(tmp_path / "home")
    assert load_or_make_secrets(tmp_path / "home") == made
    assert load_or_make_secrets(tmp_path / "other") != made
    assert len(made.operator_key) >= 16
    assert [(key.key_id, len(key.key)) for key in made.contact_keys] == [(1, 32)]
    assert len(made.hash_key) == len(made.draw_key) == 32
    assert made.hash_key != made.draw_key


def test_only_the_owner_can_read_them(tmp_path: Path) -> None:
    home = tmp_path / "home"
    load_or_make_secrets(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "secrets.toml").stat().st_mode) == 0o600


def test_a_file_others_can_read_is_refused(tmp_path: Path) -> None:
    load_or_make_secrets(tmp_path)
    (tmp_path / "secrets.toml").chmod(0o644)
    with pytest.raises(SettingsError, match="can be read by others; allowed: mode 0600"):
        load_or_make_secrets(tmp_path)


def test_a_given_secret_is_taken_and_not_kept(tmp_path: Path) -> None:
    given = GivenSecrets(operator_key="given-operator-key")
    assert load_or_make_secrets(tmp_path, given).operator_key == "given-operator-key"
    assert "operator" not in (tmp_path / "secrets.toml").read_text()


def test_a_secret_no_longer_given_is_made_beside_those_that_are_kept(tmp_path: Path) -> None:
    before = load_or_make_secrets(tmp_path, GivenSecrets(operator_key="given-operator-key"))
    after = load_or_make_secrets(tmp_path)
    assert after.operator_key != before.operator_key
    assert after.contact_keys == before.contact_keys
    assert (after.hash_key, after.draw_key) == (before.hash_key, before.draw_key)


def test_the_home_is_not_touched_when_every_secret_is_given(tmp_path: Path) -> None:
    given = GivenSecrets(
        operator_key="given-operator-key",
        contact_keys=(ContactKey(key_id=3, key=b"k" * 32),),
        hash_key=b"h" * 32,
        draw_key=b"d" * 32,
    )
    assert load_or_make_secrets(tmp_path / "home", given).hash_key == b"h" * 32
    assert not (tmp_path / "home").exists()


def test_processes_that_start_together_get_the_same(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("fork")) as pool:
        made = list(pool.map(load_or_make_secrets, [tmp_path / "home"] * 8))
    assert all(secrets == made[0] for secrets in made)


def test_what_a_dead_writer_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "secrets.toml.new").write_text("operator_k")
    made = load_or_make_secrets(tmp_path)
    assert load_or_make_secrets(tmp_path) == made
    assert not (tmp_path / "secrets.toml.new").exists()


@pytest.mark.parametrize(
    "text",
    [
        'hash_key = "very-secret-words"',
        'draw_key = "very-secret-words',
        'hash_kay = "very-secret-words"',
        "operator_key = 5",
    ],
)
def test_a_damaged_file_is_a_fault_that_tells_nothing_and_is_left_as_it_is(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "secrets.toml"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(text)
    with pytest.raises(SettingsError) as caught:
        load_or_make_secrets(tmp_path)
    assert "very-secret-words" not in str(caught.value)
    assert path.read_text() == text


def test_a_home_that_cannot_be_made_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be read or written"):
        load_or_make_secrets(tmp_path / "file" / "home")


def test_no_secret_shows_in_a_repr(tmp_path: Path) -> None:
    made = load_or_make_secrets(tmp_path)
    assert repr(made) == str(made) == "Secrets(hidden)"
    assert isinstance(made, Secrets)
    assert repr(made.contact_keys[0]) == "ContactKey(hidden)"
