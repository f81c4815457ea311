"""What README, ARCHITECTURE, CHANGELOG and the guides name exists: targets, commands, files, calls,
settings, reasons; and their JSON can be read.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exchange.cli import build_parser
from exchange.core.reasons import Reason
from exchange.settings import describe_settings
from exchange.web.routes import ROUTES

ROOT = Path(__file__).resolve().parent.parent
GUIDES = ("docs/sellers.md", "docs/companies.md", "docs/operators.md")
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", *GUIDES)
TEXTS = {name: (ROOT / name).read_text("utf-8") for name in DOCUMENTS}

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FILE_NAME = re.compile(r"[\w.-]+\.(?:md|py|sql|lua|toml|json|txt)")
_OUTSIDE = frozenset({"secrets.toml", "running.json", "openapi.json"})
"""Files that are named, and are not of this folder: the home's, and one that is served."""

_OTHER_VARIABLES = frozenset({"EXCHANGE_CONFIG"})

_FORM_FAULTS = frozenset({"missing_field"})
"""Codes of problems that are of a body's form, and no reasons."""

each_document = pytest.mark.parametrize("name", DOCUMENTS)


def prose(name: str) -> str:
    """A document without its fenced blocks."""
    return _FENCE.sub("", TEXTS[name])


def spans(name: str) -> list[str]:
    """What a document sets as code within its sentences."""
    return _SPAN.findall(prose(name))


def blocks(name: str, language: str) -> list[str]:
    """A document's fenced blocks of one language."""
    return [text for tongue, text in _FENCE.findall(TEXTS[name]) if tongue == language]


def commands(name: str) -> list[str]:
    """What a document gives to be typed: code in sentences, and the lines of its blocks."""
    lines = [line for _, text in _FENCE.findall(TEXTS[name]) for line in text.splitlines()]
    return spans(name) + lines


def _subcommands() -> dict[str, argparse.ArgumentParser]:
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError("the command has no subcommands")


def _anchor(heading: str) -> str:
    """A heading's anchor, as code hosts make it."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


def _anchors(document: Path) -> set[str]:
    text = _FENCE.sub("", document.read_text("utf-8"))
    return {_anchor(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


def _reasons_in(value: Any) -> Iterator[str]:
    """The reason codes of an answer: those given, and those counted."""
    if isinstance(value, list):
        for item in value:
            yield from _reasons_in(item)
    elif isinstance(value, dict):
        if isinstance(value.get("reasons"), dict):
            yield from value["reasons"]
        if isinstance(value.get("reason"), str):
            yield value["reason"]
        if "code" in value:
            yield value["code"]
        for item in value.values():
            yield from _reasons_in(item)


@each_document
def test_every_make_target_named_exists(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = {
        match[1]
        for text in commands(name)
        if (match := re.match(r"make (?:[A-Z]+=\S+ )*([a-z]+)\b", text))
    }
    assert named <= targets


def test_the_readme_names_every_make_target_a_newcomer_needs() -> None:
    named = {word for text in commands("README.md") for word in text.split()}
    assert {"run", "test", "demo", "check"} <= named


@each_document
def test_every_subcommand_named_exists(name: str) -> None:
    known = _subcommands()
    for text in commands(name):
        match = re.match(r"(?:\.venv/bin/)?exchange ([a-z]+)\b(.*)", text)
        if match is not None:
            assert match[1] in known, text
            options = {o for action in known[match[1]]._actions for o in action.option_strings}
            assert set(re.findall(r"--[a-z-]+", match[2])) <= options, text


def test_the_readme_names_every_subcommand() -> None:
    named = {text.removeprefix("exchange ") for text in spans("README.md")}
    # A worker is started by the parent process, never by hand.
    assert _subcommands().keys() - {"worker"} <= named


@each_document
def test_every_file_named_exists(name: str) -> None:
    tops = {entry.name for entry in ROOT.iterdir() if entry.is_dir()}
    named = set()
    for text in spans(name):
        top, slash, _ = text.partition("/")
        is_path = slash and top in tops and not re.search(r"[\s{}<>*=]", text)
        if is_path or (_FILE_NAME.fullmatch(text) and text not in _OUTSIDE):
            named.add(text)
    assert not [path for path in sorted(named) if not (ROOT / path).exists()]


@each_document
def test_every_link_leads_somewhere(name: str) -> None:
    for link in _LINK.findall(prose(name)):
        path, _, anchor = link.partition("#")
        if not link.startswith("https://"):
            linked = (ROOT / name).parent / path if path else ROOT / name
            assert linked.exists(), link
            assert not anchor or anchor in _anchors(linked), link


@each_document
def test_every_call_named_exists(name: str) -> None:
    known = {route.label for route in ROUTES}
    paths = {route.path for route in ROUTES}
    for text in spans(name):
        if re.match(r"(GET|POST|PUT|PATCH|DELETE) /", text):
            assert text in known
        elif re.fullmatch(r"/[a-z0-9_./{}-]*", text):
            assert text in paths


def test_the_readme_names_every_call() -> None:
    assert {route.label for route in ROUTES} - set(spans("README.md")) == {"GET /"}


@each_document
def test_every_setting_and_variable_named_exists(name: str) -> None:
    rows = describe_settings()
    keys, sections = {row[0] for row in rows}, {row[0].partition(".")[0] for row in rows}
    variables = {row[1] for row in rows} | _OTHER_VARIABLES
    for text in spans(name):
        key = text.partition(" ")[0]
        is_key = re.fullmatch(r"[a-z_]+\.[a-z_]+", key) and key.partition(".")[0] in sections
        if is_key and key not in _OUTSIDE:
            assert key in keys
    for variable in re.findall(r"EXCHANGE_[A-Z_]*[A-Z]", TEXTS[name]):
        assert variable in variables


@each_document
def test_every_reason_has_the_number_it_is_named_with(name: str) -> None:
    for code, number in re.findall(r"`(\w+)` \((\d{3})\)", TEXTS[name]):
        assert Reason(int(number)).code == code


def test_the_readme_names_every_rejection_reason() -> None:
    named = {int(number) for _, number in re.findall(r"`(\w+)` \((\d{3})\)", TEXTS["README.md"])}
    assert {reason for reason in Reason if reason // 100 == 5} <= named


@each_document
def test_every_json_block_can_be_read_and_gives_reasons_that_exist(name: str) -> None:
    known = {reason.code for reason in Reason} | _FORM_FAULTS
    for text in blocks(name, "json"):
        assert set(_reasons_in(json.loads(text))) <= known


@each_document
def test_json_to_be_pasted_can_be_read(name: str) -> None:
    for text in blocks(name, "sh"):
        bodies = re.findall(r"-d '(\{.*?\})'(?:\)|$| \|)", text, re.MULTILINE | re.DOTALL)
        assert len(bodies) == text.count("-d '")
        for body in bodies:
            # What the shell puts in between stands for any text.
            json.loads(re.sub(r"'(?:\"?\$\w+\"?)'", "x", body))


@each_document
def test_no_table_has_a_row_of_another_width(name: str) -> None:
    for table in re.findall(r"(?:^\|.*\|$\n?)+", prose(name), re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(widths) == 1, table
