"""The verticals that ship, and what a vertical's file may not say."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from exchange.core.filters import compile_filter
from exchange.core.verticals import Vertical
from exchange.settings import PACKAGED_CONFIG, SettingsError
from exchange.verticals_file import read_verticals

SHIPPED = {vertical.name: vertical for vertical in read_verticals(PACKAGED_CONFIG / "verticals")}

HEAD = 'name = "boats"\ntitle = "Boats"\n'
ZIP = '[attributes.zip]\nkind = "zip"\n'


def faults_of(directory: Path, text: str, name: str = "boats") -> list[tuple[str, str]]:
    (directory / f"{name}.toml").write_text(text, "utf-8")
    with pytest.raises(SettingsError) as caught:
        read_verticals(directory)
    return [(fault.key, fault.problem) for fault in caught.value.faults]


def test_four_verticals_ship() -> None:
    assert list(SHIPPED) == ["auto_insurance", "home_improvement", "mortgage", "solar"]


def test_a_solar_ping_of_five_attributes_is_complete_and_two_are_enough() -> None:
    solar = SHIPPED["solar"]
    for text in (
        b'{"zip":"94107","state":"CA","credit_score":710,"owns_home":true,"monthly_bill":150}',
        b'{"zip":"94107","state":"CA"}',
    ):
        msgspec.json.decode(text, type=solar.attributes_type)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"zip":"94107"}', type=solar.attributes_type)
    assert not solar.consent_required


@pytest.mark.parametrize(
    ("credit_score", "owns_home", "premium"),
    [(760, True, True), (759, True, False), (800, False, False)],
)
def test_solar_is_premium_for_owners_with_good_credit(
    credit_score: int, owns_home: bool, premium: bool
) -> None:
    solar = SHIPPED["solar"]
    lead = msgspec.convert(
        {"zip": "94107", "state": "CA", "credit_score": credit_score, "owns_home": owns_home},
        solar.attributes_type,
    )
    assert compile_filter(solar.premium, solar)(lead) is premium


@pytest.mark.parametrize("vertical", SHIPPED.values(), ids=SHIPPED)
def test_a_shipped_vertical_leaves_no_room_for_contact_data(vertical: Vertical) -> None:
    assert all(spec.kind != "text" for spec in vertical.attributes.values())
    assert all(spec.description for spec in vertical.attributes.values())
    assert vertical.attributes["zip"].kind == "zip"
    assert vertical.attributes["state"].kind == "state"
    assert vertical.premium is not None


def test_a_file_carries_the_name_of_its_vertical(tmp_path: Path) -> None:
    assert faults_of(tmp_path, HEAD + ZIP, "ships") == [("ships.toml: name", "is 'boats'")]


def test_a_directory_without_verticals_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="has no verticals"):
        read_verticals(tmp_path)
    with pytest.raises(SettingsError, match="has no verticals"):
        read_verticals(tmp_path / "none")


def test_every_fault_of_every_file_is_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / "cars.toml").write_text("name = ")
    text = f"""{HEAD}
    flor = "1.00"
    offer_life_s = "long"
    [attributes.zip]
    kind = "zap"
    [attributes.email]
    kind = "text"
    [attributes.length]
    kind = "decimal"
    min = 9
    max = 8
    [attributes.hull]
    kind = "choice"
    """
    keys = [key for key, _ in faults_of(tmp_path, text)]
    assert keys == [
        "boats.toml: offer_life_s",
        "boats.toml: flor",
        "boats.toml: attributes.zip.kind",
        "boats.toml: attributes.length",
        "boats.toml: attributes.email",
        "boats.toml: attributes.hull.allowed",
        "cars.toml: file",
    ]
    mended = f"""{HEAD}
    floor = "x"
    offer_life_s = 0
    [attributes.email]
    kind = "text"
    [attributes.hull]
    kind = "choice"
    """
    (tmp_path / "cars.toml").unlink()
    assert [key for key, _ in faults_of(tmp_path, mended)] == [
        "boats.toml: attributes.email",
        "boats.toml: attributes.hull.allowed",
        "boats.toml: offer_life_s",
        "boats.toml: floor",
    ]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (HEAD, "attributes"),
        (HEAD + "attributes = 3\n", "attributes"),
        ('name = "boats"\n' + ZIP, "title"),
        (HEAD + 'floor = "1.001"\n' + ZIP, "floor"),
        (HEAD + "floor = 1.00\n" + ZIP, "floor"),
        (HEAD + "offer_life_s = 0\n" + ZIP, "offer_life_s"),
        (HEAD + "max_age_s = 0\n" + ZIP, "max_age_s"),
        (HEAD + "[attributes]\nzip = 3\n", "attributes.zip"),
        (HEAD + ZIP + "min = 3\n", "attributes.zip"),
        (HEAD + ZIP + 'allowed = ["1"]\n', "attributes.zip.allowed"),
        (HEAD + ZIP + "requierd = true\n", "attributes.zip.requierd"),
        (HEAD + '[attributes.n]\nkind = "integer"\nmin = 0.5\n', "attributes.n"),
        (HEAD + '[attributes.n]\nkind = "decimal"\nmax = inf\n', "attributes.n"),
        (HEAD + '[attributes.n]\nkind = "choice"\nallowed = ["a", "a"]\n', "attributes.n.allowed"),
        (HEAD + '[attributes.n]\nkind = "text"\nmax_length = 0\n', "attributes.n.max_length"),
        (HEAD + '[attributes."Zip Code"]\nkind = "zip"\n', "attributes.Zip Code"),
        (HEAD + 'premium = {field = "sail", op = "=", value = true}\n' + ZIP, "premium.field"),
        (HEAD + 'premium = {field = "zip", op = ">=", value = "9"}\n' + ZIP, "premium.op"),
        (HEAD + 'premium = {all = [{field = "zip", op = "="}]}\n' + ZIP, "premium.all[0].value"),
        (HEAD + "premium = {al = []}\n" + ZIP, "premium"),
        (HEAD + 'quality = {refuse = ["zap"]}\n' + ZIP, "quality.refuse"),
        (HEAD + "quality = {refuse_score_below = 101}\n" + ZIP, "quality.refuse_score_below"),
        (HEAD + "quality = {refuze = []}\n" + ZIP, "quality"),
        (HEAD + "consent = {max_age_s = 60}\n" + ZIP, "consent.max_age_s"),
        (HEAD + 'consent = {given_at = "at", max_age_s = 0}\n' + ZIP, "consent.max_age_s"),
        (HEAD + 'consent = {text_versions = ["1"]}\n' + ZIP, "consent.text_versions"),
        (HEAD + "consent = {needed = true}\n" + ZIP, "consent"),
        (
            HEAD + 'impossible = [{when = {field = "sail", op = "exists"}, message = "x"}]\n' + ZIP,
            "impossible[0].when.field",
        ),
        (
            HEAD + 'impossible = [{when = {field = "zip", op = "exists"}, message = ""}]\n' + ZIP,
            "impossible[0].message",
        ),
        (
            HEAD
            + 'impossible = [{when = {field = "zip", op = "exists"}, message = "x",'
            + " points = 101}]\n"
            + ZIP,
            "impossible[0].points",
        ),
    ],
)
def test_a_description_that_cannot_work_is_a_fault(tmp_path: Path, text: str, key: str) -> None:
    assert [key for key, _ in faults_of(tmp_path, text)] == [f"boats.toml: {key}"]
