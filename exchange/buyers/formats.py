"""Formats: how companies want phones, dates, booleans, numbers and texts written.

Each is a function of a value and one argument. A value that does not fit is given back as it is
(a phone that is no phone, a date that is no date): what the lead says is never replaced by a guess.
Used by mappings (``"format": "phone_national"``) and, as filters, by templates.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Final
from urllib.parse import quote

import msgspec

MAX_TEXT_CHARS: Final = 8_192
"""The longest text a format makes; no field of a lead comes near it."""

Value = object
Format = Callable[[Value], Value]

ENCODER: Final = msgspec.json.Encoder(decimal_format="number", enc_hook=str)

_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,10})?")
_DATE_LETTERS: Final = re.compile(r"(?:[^%]|%-?[YymdBbHIMSpjeAaTFDfzZ%])*")
_TRUE: Final = frozenset({"true", "yes", "y", "1", "on", "t"})
_FALSE: Final = frozenset({"false", "no", "n", "0", "off", "f", ""})

STATE_NAMES: Final = {
    "AL": "Alabama", "AK": "Alaska", "AZ": "Arizona", "AR": "Arkansas", "CA": "California",
    "CO": "Colorado", "CT": "Connecticut", "DE": "Delaware", "DC": "District of Columbia",
    "FL": "Florida", "GA": "Georgia", "HI": "Hawaii", "ID": "Idaho", "IL": "Illinois",
    "IN": "Indiana", "IA": "Iowa", "KS": "Kansas", "KY": "Kentucky", "LA": "Louisiana",
    "ME": "Maine", "MD": "Maryland", "MA": "Massachusetts", "MI": "Michigan", "MN": "Minnesota",
    "MS": "Mississippi", "MO": "Missouri", "MT": "Montana", "NE": "Nebraska", "NV": "Nevada",
    "NH": "New Hampshire", "NJ": "New Jersey", "NM": "New Mexico", "NY": "New York",
    "NC": "North Carolina", "ND": "North Dakota", "OH": "Ohio", "OK": "Oklahoma", "OR": "Oregon",
    "PA": "Pennsylvania", "PR": "Puerto Rico", "RI": "Rhode Island", "SC": "South Carolina",
    "SD": "South Dakota", "TN": "Tennessee", "TX": "Texas", "UT": "Utah", "VT": "Vermont",
    "VA": "Virginia", "WA": "Washington", "WV": "West Virginia", "WI": "Wisconsin",
    "WY": "Wyoming",
}  # fmt: skip


class FormatError(ValueError):
    """A format nobody knows, or an argument it cannot take."""


def text_of(value: Value) -> str:
    """Write a value as text: booleans as true and false, whole floats without a fraction."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, dict | list | tuple):
        return ENCODER.encode(value).decode()
    return str(value)


def bounded(text: str) -> str:
    """The text, if it is not longer than any can be. Raises FormatError."""
    if len(text) > MAX_TEXT_CHARS:
        raise FormatError("makes too long a text")
    return text


def compile_format(written: str) -> Format:
    """Read a format such as ``upper`` or ``date:%m/%d/%Y``. Raises FormatError."""
    name, colon, argument = written.partition(":")
    if name in PLAIN and not colon:
        return PLAIN[name]
    if name in WITH_ARGUMENT:
        return WITH_ARGUMENT[name](argument)
    raise FormatError(f"{written[:60]!r} is no format")


# --- texts ----------------------------------------------------------------------------------------


def _on_text(change: Callable[[str], str]) -> Format:
    return lambda value: None if value is None else bounded(change(text_of(value)))


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isascii() and char.isdigit())


def _word(at: int) -> Callable[[str], str]:
    def pick(text: str) -> str:
        words = text.split()
        return (words[0] if at == 0 else " ".join(words[1:])) if words else ""

    return pick


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text)
    return plain.encode("ascii", "ignore").decode()


def _hashed(algorithm: str) -> Format:
    # In the manner of the trade: trimmed and in lower case, in hex.
    return _on_text(
        lambda text: hashlib.new(
            algorithm, text.strip().lower().encode(), usedforsecurity=False
        ).hexdigest()
    )


# --- phones ---------------------------------------------------------------------------------------


def _national(text: str) -> str | None:
    digits = _digits(text)
    if len(digits) == 11 and digits[0] == "1":
        digits = digits[1:]
    return digits if len(digits) == 10 else None


def _phone(pattern: str) -> Format:
    def write(value: Value) -> Value:
        number = _national(text_of(value))
        if number is None:
            return value
        return pattern.format(number[:3], number[3:6], number[6:])

    return write


def _e164(value: Value) -> Value:
    text = text_of(value).strip()
    if text.startswith("+"):
        return "+" + _digits(text)
    number = _national(text)
    return value if number is None else f"+1{number}"


# --- dates ----------------------------------------------------------------------------------------


def _moment(value: Value) -> datetime | date | None:
    if isinstance(value, datetime | date):
        return value
    text = text_of(value).strip()
    for read in (date.fromisoformat, datetime.fromisoformat):
        try:
            return read(text)
        except ValueError:
            continue
    for pattern in ("%m/%d/%Y", "%m-%d-%Y"):
        try:
            return datetime.strptime(text, pattern).date()
        except ValueError:
            continue
    return None


def _dated(pattern: str) -> Format:
    if not pattern or len(pattern) > 60 or not _DATE_LETTERS.fullmatch(pattern):
        raise FormatError(f"{pattern[:60]!r} is no date pattern such as %m/%d/%Y")

    def write(value: Value) -> Value:
        moment = _moment(value)
        return value if moment is None else moment.strftime(pattern)

    return write


def _epoch(factor: int) -> Format:
    def write(value: Value) -> Value:
        moment = _moment(value)
        if moment is None:
            return value
        if not isinstance(moment, datetime):
            moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * factor)

    return write


# --- booleans and numbers -------------------------------------------------------------------------


def truth_of(value: Value) -> bool | None:
    """Read a boolean from what people write for one; None for anything else."""
    if isinstance(value, bool):
        return value
    text = text_of(value).strip().lower()
    return True if text in _TRUE else False if text in _FALSE else None


def _boolean(argument: str) -> Format:
    words = argument.split("/") if "/" in argument else argument.split(",")
    if len(words) != 2:
        raise FormatError("boolean takes two words, such as boolean:Y/N")
    yes, no = words

    def write(value: Value) -> Value:
        truth = None if value is None else truth_of(value)
        return value if truth is None else yes if truth else no

    return write


def _one_zero(value: Value) -> Value:
    truth = None if value is None else truth_of(value)
    return value if truth is None else int(truth)


def number_of(value: Value) -> Decimal | None:
    """Read a plain number; None for anything else."""
    if isinstance(value, bool):
        return None
    text = text_of(value).strip().replace(",", "").removeprefix("$")
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return Decimal(text)
    except InvalidOperation:  # pragma: no cover - the pattern lets none through
        return None


def _number(value: Value) -> Value:
    number = number_of(value)
    if number is None:
        return value
    return int(number) if number == number.to_integral_value() else number


def _whole(value: Value) -> Value:
    number = number_of(value)
    return value if number is None else int(number.to_integral_value())


def _decimals(argument: str) -> Format:
    if not argument.isascii() or not argument.isdigit() or int(argument) > 6:
        raise FormatError("decimals takes how many, 0 to 6")
    step = Decimal(1).scaleb(-int(argument))

    def write(value: Value) -> Value:
        number = number_of(value)
        return value if number is None else number.quantize(step)

    return write


def _cents(value: Value) -> Value:
    number = number_of(value)
    return value if number is None else int((number * 100).to_integral_value())


def _length(argument: str, name: str) -> int:
    if not argument.isascii() or not argument.isdigit() or not 1 <= int(argument) <= MAX_TEXT_CHARS:
        raise FormatError(f"{name} takes a number of characters")
    return int(argument)


def _first(argument: str) -> Format:
    count = _length(argument, "first")
    return _on_text(lambda text: text[:count])


def _last(argument: str) -> Format:
    count = _length(argument, "last")
    return _on_text(lambda text: text[-count:])


def _affix(place: Callable[[str, str], str]) -> Callable[[str], Format]:
    return lambda argument: _on_text(lambda text: place(text, argument))


_STATE_CODES: Final = {name.lower(): code for code, name in STATE_NAMES.items()}

PLAIN: Final[dict[str, Format]] = {
    "text": _on_text(lambda text: text),
    "upper": _on_text(str.upper),
    "lower": _on_text(str.lower),
    "title": _on_text(str.title),
    "trim": _on_text(str.strip),
    "digits": _on_text(_digits),
    "ascii": _on_text(_ascii),
    "spaces": _on_text(lambda text: text.replace("_", " ")),
    "underscores": _on_text(lambda text: text.replace(" ", "_")),
    "first_word": _on_text(_word(0)),
    "other_words": _on_text(_word(1)),
    "zip5": _on_text(lambda text: _digits(text)[:5]),
    "urlencode": _on_text(lambda text: quote(text, safe="")),
    "base64": _on_text(lambda text: base64.b64encode(text.encode()).decode()),
    "md5": _hashed("md5"),
    "sha1": _hashed("sha1"),
    "sha256": _hashed("sha256"),
    "phone_e164": _e164,
    "phone_digits": _phone("{}{}{}"),
    "phone_11": _phone("1{}{}{}"),
    "phone_dashes": _phone("{}-{}-{}"),
    "phone_dots": _phone("{}.{}.{}"),
    "phone_national": _phone("({}) {}-{}"),
    "phone_area": _phone("{}"),
    "phone_prefix": _phone("{1}"),
    "phone_line": _phone("{2}"),
    "iso_date": _dated("%Y-%m-%d"),
    "us_date": _dated("%m/%d/%Y"),
    "epoch": _epoch(1),
    "epoch_ms": _epoch(1_000),
    "yes_no": _boolean("yes/no"),
    "Yes_No": _boolean("Yes/No"),
    "YES_NO": _boolean("YES/NO"),
    "y_n": _boolean("y/n"),
    "Y_N": _boolean("Y/N"),
    "true_false": _boolean("true/false"),
    "on_off": _boolean("on/off"),
    "one_zero": _one_zero,
    "number": _number,
    "integer": _whole,
    "cents": _cents,
    "state_name": lambda value: STATE_NAMES.get(text_of(value).strip().upper(), value),
    "state_code": lambda value: _STATE_CODES.get(text_of(value).strip().lower(), value),
}
"""The formats that take nothing, by their names."""

WITH_ARGUMENT: Final[dict[str, Callable[[str], Format]]] = {
    "date": _dated,
    "boolean": _boolean,
    "decimals": _decimals,
    "first": _first,
    "last": _last,
    "prefix": _affix(lambda text, argument: argument + text),
    "suffix": _affix(lambda text, argument: text + argument),
}
"""The formats that take one argument behind a colon."""
