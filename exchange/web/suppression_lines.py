"""Lines of contacts into keyed hashes: what is given in clear is gone once its line is read.

A line is a phone number, an email address, or the SHA-256 in hex of either as a ping has it. In
front of it may stand ``phone`` or ``email`` and a comma, semicolon or tab, and so may a line of
headings. Under the headings ``phone`` and ``email`` a line names one of either. Source: rules
§3.2, and the contacts' normal forms of `contacts`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from exchange.flow.faults import Invalid
from exchange.flow.suppressions import Keys
from exchange.web.contacts import digest, key_hashes, normalise_email, normalise_phone
from exchange.web.wire_suppressions import InvalidLine

MOST_TOLD: Final = 100
"""Invalid lines told one by one; the others are counted."""

LONGEST_LINE_BYTES: Final = 1_000
"""No contact is longer; what is, is read away without being kept."""

_FIELDS: Final = ("phone", "email")
_HEADINGS: Final = frozenset(
    {"contact", "contacts", "email", "hash", "kind", "phone", "sha256", "type", "value"}
)
_APART: Final = re.compile(r"[,;\t]")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_AMERICAN: Final = re.compile(r"[(]?([2-9][0-9]{2})[)]?[ .-]?([0-9]{3})[ .-]?([0-9]{4})")
"""North American numbers as people write them; any other is read by the library."""


class ContactLines:
    """Reads one upload. ``both``: a contact is known by its hash under either field.

    Without it one whose field is known has one key. ``lines`` and ``invalid`` count lines,
    ``named`` the contacts that valid ones name.
    """

    def __init__(self, hash_key: bytes, *, both: bool = False) -> None:
        self._hash_key = hash_key
        self._both = both
        self._rest = b""
        self._is_skipping = False
        self._number = 0
        self._field: str | None = None
        self._columns: tuple[str, ...] = ()
        self.lines = 0
        self.named = 0
        self.invalid = 0
        self.invalid_lines: list[InvalidLine] = []

    def feed(self, data: bytes) -> Iterator[Keys | None]:
        """The lines that end in some further bytes; None for one that names no contact."""
        *whole, rest = (self._rest + data).split(b"\n")
        self._rest = rest
        for line in whole:
            yield from self._read(line) or (None,)
        if len(self._rest) > LONGEST_LINE_BYTES:
            self._rest, self._is_skipping = b"", True

    def end(self) -> tuple[Keys, ...]:
        """What the last line names, if no line break ends it."""
        rest, self._rest = self._rest, b""
        return self._read(rest) if rest or self._is_skipping else ()

    def _read(self, raw: bytes) -> tuple[Keys, ...]:
        self._number += 1
        if self._is_skipping or len(raw) > LONGEST_LINE_BYTES:
            self._is_skipping = False
            self._refuse("is too long")
            return ()
        try:
            line = raw.decode("utf-8-sig" if self._number == 1 else "utf-8").strip()
        except UnicodeDecodeError:
            self._refuse("is not UTF-8")
            return ()
        if not line:
            return ()
        cells = [cell.strip(' "').strip() for cell in _APART.split(line)]
        while len(cells) > 1 and not cells[-1]:
            cells.pop()
        if self._number == 1 and all(cell.lower() in _HEADINGS for cell in cells):
            self._head(tuple([cell.lower() for cell in cells]))
            return ()
        try:
            named = tuple([self._keys(contact) for contact in self._contacts(cells)])
        except Invalid as fault:
            self._refuse(fault.message)
            return ()
        self.lines += 1
        self.named += len(named)
        return named

    def _head(self, names: tuple[str, ...]) -> None:
        """Take the headings in."""
        if sorted(names) == sorted(_FIELDS):
            self._columns = names
        elif names[0] in _FIELDS:
            self._field = names[0]

    def _contacts(self, cells: list[str]) -> list[list[str]]:
        """The contacts of a line, each as cells that name one."""
        columns = self._columns
        if len(cells) != len(columns) or cells[0].lower() in _FIELDS:
            return [cells]
        return [[name, cell] for name, cell in zip(columns, cells, strict=True) if cell]

    def _keys(self, cells: list[str]) -> Keys:
        """A contact's keys. Raises Invalid, saying what is wrong without saying what was given."""
        field = self._field
        if len(cells) == 2 and cells[0].lower() in _FIELDS:
            field, text = cells[0].lower(), cells[1]
        elif len(cells) == 1:
            text = cells[0]
        else:
            raise Invalid("has more than a contact in it")
        given = text.lower()
        if not _DIGEST.fullmatch(given):
            if field is None:
                field = "email" if "@" in text else "phone"
            given = digest(_normalise(field, text))
        fields = _FIELDS if self._both or field is None else (field,)
        hashes = key_hashes(dict.fromkeys(fields, given), self._hash_key)
        return tuple([bytes.fromhex(key) for key in hashes.values()])

    def _refuse(self, problem: str) -> None:
        self.lines += 1
        self.invalid += 1
        if len(self.invalid_lines) < MOST_TOLD:
            self.invalid_lines.append(InvalidLine(line=self._number, problem=problem))


def _normalise(field: str, text: str) -> str:
    if field == "phone" and (american := _AMERICAN.fullmatch(text)):
        return f"+1{american[1]}{american[2]}{american[3]}"
    try:
        return normalise_email(text, field) if field == "email" else normalise_phone(text, field)
    except Invalid:
        name = "an email address" if field == "email" else "a phone number"
        raise Invalid(f"is not {name}, nor a SHA-256 in hex") from None
