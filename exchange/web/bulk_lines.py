"""The lines of a bulk return, read from CSV or JSON; and their results, written as they come about.

A line that cannot be read is a line with a fault, and stops no other. A quoted cell may hold line
breaks (RFC 4180); where its quote is never closed, that costs its own line only.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import asdict

from exchange.core.reasons import REJECTION_REASONS
from exchange.flow.faults import Fault, Invalid
from exchange.flow.returning import Line, LineResult
from exchange.web.bodies import decode
from exchange.web.calls import is_id
from exchange.web.problems import Malformed
from exchange.web.returns_codec import show_line
from exchange.web.wire import JSON, dollars
from exchange.web.wire_returns import BulkLine, LineAnswer

Form = Literal["csv", "json", "ndjson"]

CSV_TYPE: Final = "text/csv"
NDJSON_TYPE: Final = "application/x-ndjson"

MAX_WORDS: Final = 1_000
"""Characters of a text or a note, as in a single rejection."""

BLANK_FACTOR: Final = 2
"""Lines of a file, the blank ones too, for each that is taken."""

MOST_JOINED: Final = 50
"""Lines of text that one line of CSV may be spread over; past them a quote counts as forgotten."""

_COLUMNS: Final = ("lead_id", "reason", "note", "text", "review")
_PLAIN: Final = _COLUMNS[:3]
"""The columns of a file without a header."""

_FORMULA: Final = ("=", "+", "-", "@", "\t")
"""What a spreadsheet takes for the beginning of a formula."""


def read_csv(body: bytes, max_lines: int) -> Iterator[Line]:
    """Read ``lead_id,reason or text,note`` lines, with or without a header that names columns.

    Raises Malformed for what is no text, Invalid for a header with unknown columns, no lines or
    too many: before the first line is given.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Malformed("The body is not UTF-8.") from None
    if text.count("\n") > BLANK_FACTOR * max_lines:
        _check_count(text.count("\n"), max_lines)
    texts = [(n, line) for n, line in _join(_split(text)) if line.strip(" ,")]
    columns: tuple[str, ...] = _PLAIN
    if texts and _is_header(texts[0][1]):
        columns = _read_header(texts.pop(0)[1])
    _check_count(len(texts), max_lines)
    return (_read_text(number, line, columns) for number, line in texts)


def read_json(lines: Sequence[Raw], max_lines: int) -> Iterator[Line]:
    """Read the lines of a JSON body; their numbers are their places, from 1."""
    _check_count(len(lines), max_lines)
    return (_read_raw(number, line) for number, line in enumerate(lines, 1))


def _read_raw(number: int, raw: Raw) -> Line:
    try:
        line = decode(_decoder, raw)
    except Fault as fault:
        told = fault if fault.field else Invalid("This line is not an object.")
        return _faulty(number, _lead_id_in(raw), told)
    return _line(number, line.lead_id, line.reason, line.text, line.note, line.review)


def _lead_id_in(raw: Raw) -> str:
    """The lead of a line that cannot be read otherwise, where it names one."""
    try:
        return _decode_lead(raw).lead_id
    except msgspec.DecodeError:
        return ""


def _split(text: str) -> list[str]:
    return [line.removesuffix("\r") for line in text.split("\n")]


def _join(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Lines of CSV with the number of the first line of text of each."""
    at = 0
    while at < len(lines):
        taken = _spread(lines, at) if '"' in lines[at] else 1
        yield at + 1, "\n".join(lines[at : at + taken])
        at += taken


def _spread(lines: list[str], at: int) -> int:
    """Over how many lines of text a line of CSV is spread: one where its quote is never closed."""
    joined = lines[at]
    # Quotes that are doubled or closed come in pairs.
    open_quote = joined.count('"') % 2
    for more in range(at + 1, min(at + MOST_JOINED, len(lines))):
        if not open_quote:
            break
        joined += f"\n{lines[more]}"
        open_quote ^= lines[more].count('"') % 2
    taken = joined.count("\n") + 1
    if taken == 1 or open_quote:
        return 1
    try:
        _cells(joined)
    except csv.Error:
        return 1
    return taken


def _is_header(line: str) -> bool:
    """Whether a first line names columns: no line with a lead has a cell called so."""
    names = [cell.strip(' "').lower() for cell in line.split(",")]
    return "lead_id" in names or set(names) <= {"", *_COLUMNS}


def _check_count(count: int, max_lines: int) -> None:
    if not count:
        raise Invalid("There is no line with a lead.", field="lines", code="missing_field")
    if count > max_lines:
        raise Invalid(
            f"At most {max_lines} lines are taken at once; these are {count}.",
            field="lines",
            code="too_many_lines",
            details={"max_lines": max_lines},
        )


def _read_header(line: str) -> tuple[str, ...]:
    try:
        names = tuple(name.strip().lower() for name in _cells(line))
    except csv.Error as error:
        raise Invalid(f"The header is not CSV: {error}.", field="lines") from None
    for name in names:
        if name not in _COLUMNS or names.count(name) > 1:
            known = ", ".join(_COLUMNS)
            raise Invalid(
                f"The columns are {known}, each at most once.",
                field=name[:40] or "lines",
                code="unknown_field",
            )
    if "lead_id" not in names:
        raise Invalid("The header names no lead_id.", field="lead_id", code="missing_field")
    return names


def _read_text(number: int, line: str, columns: tuple[str, ...]) -> Line:
    try:
        cells = [cell.strip() for cell in _cells(line)]
    except csv.Error as error:
        return _faulty(number, "", Invalid(f"This line is not CSV: {error}.", code="malformed"))
    place = columns.index("lead_id")
    lead_id = cells[place] if place < len(cells) else ""
    if len(cells) > len(columns):
        wanted = ",".join(columns)
        message = f"A line has at most {len(columns)} cells: {wanted}."
        return _faulty(number, lead_id, Invalid(message, code="malformed"))
    found = {name: cell or None for name, cell in zip(columns, cells, strict=False)}
    review = (found.get("review") or "false").lower()
    if review not in ("true", "false"):
        fault = Invalid("review is true or false.", field="review")
        return _faulty(number, found.get("lead_id") or "", fault)
    reason, text = found.get("reason"), found.get("text")
    if reason is not None and text is None and reason not in REJECTION_REASONS:
        reason, text = None, reason
    return _line(
        number, found.get("lead_id") or "", reason, text, found.get("note"), review == "true"
    )


def _cells(line: str) -> list[str]:
    return next(csv.reader(io.StringIO(line, newline=""), strict=True))


def _line(
    number: int,
    lead_id: str,
    reason: str | None,
    text: str | None,
    note: str | None,
    review: bool,
) -> Line:
    fault = _fault_of(lead_id, reason, text, note)
    if fault is not None:
        return _faulty(number, lead_id, fault)
    return Line(
        number=number, lead_id=lead_id, reason_code=reason, text=text, note=note, review=review
    )


def _faulty(number: int, lead_id: str, fault: Fault) -> Line:
    return Line(number=number, lead_id=lead_id if is_id(lead_id) else "", fault=fault)


def _fault_of(
    lead_id: str, reason: str | None, text: str | None, note: str | None
) -> Invalid | None:
    if not is_id(lead_id):
        return Invalid("lead_id is not the id of a lead.", field="lead_id")
    if (reason is None) == (text is None):
        return Invalid("Give either a reason or a text.", field="reason")
    if reason is not None and reason not in REJECTION_REASONS:
        known = ", ".join(REJECTION_REASONS)
        return Invalid(f"reason must be one of {known}.", field="reason", code="unknown_reason")
    for name, words in (("text", text), ("note", note)):
        if words is not None and not (words and len(words) <= MAX_WORDS and "\0" not in words):
            return Invalid(f"{name} takes 1 to {MAX_WORDS} characters.", field=name)
    return None


class _Lead(Struct, frozen=True):
    """The part of a line that tells it apart."""

    lead_id: str


_decoder: Final = msgspec.json.Decoder(BulkLine)
_decode_lead: Final = msgspec.json.Decoder(_Lead).decode


def form_of(accept: str) -> Form:
    """The form of the results an Accept header asks for; JSON where it asks for none of ours."""
    for part in accept.lower().split(","):
        kind = part.partition(";")[0].strip()
        if kind == CSV_TYPE:
            return "csv"
        if kind == NDJSON_TYPE:
            return "ndjson"
        if kind == "application/json":
            return "json"
    return "json"


def content_type_of(form: Form) -> str:
    """The content type of results in a form."""
    return {"csv": f"{CSV_TYPE}; charset=utf-8", "ndjson": NDJSON_TYPE, "json": "application/json"}[
        form
    ]


async def write(
    results: AsyncGenerator[LineResult, None], form: Form, *, dry_run: bool
) -> AsyncGenerator[bytes, None]:
    """Write each result as it comes; JSON ends with how many there were of each status."""
    counts: Counter[str] = Counter()
    value_cents = 0
    if form == "csv":
        yield _row(LineAnswer.__struct_fields__)
    elif form == "json":
        yield b'{"dry_run":%s,"lines":[' % (b"true" if dry_run else b"false")
    async with aclosing(results):
        async for result in results:
            answer = show_line(result)
            if form == "csv":
                yield _row([_cell(value) for value in asdict(answer).values()])
            elif form == "ndjson":
                yield JSON.encode(answer) + b"\n"
            else:
                yield (b",\n" if counts else b"\n") + JSON.encode(answer)
            counts[result.status] += 1
            value_cents += result.value_cents or 0
    if form == "json":
        statuses = ("accepted", "in_review", "returned_before", "refused", "not_tried")
        ending = {status: counts[status] for status in statuses}
        yield b"\n]," + JSON.encode({**ending, "value": dollars(value_cents)})[1:]


def _row(cells: Sequence[str]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(cells)
    return written.getvalue().encode()


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    # Ids may begin with a minus; nothing else here that a spreadsheet would reckon with does.
    return f"'{text}" if text.startswith(_FORMULA) else text
