"""Answers in a company's dialect: rules over what was read, compiled once.

An answer that no rule understands is an error, and so is one that cannot be read: nothing is taken
for a bid or a sale because it looks like none of the refusals. Rules: §7, §8.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from exchange.buyers.documents import Document, Path, PathError, read_document
from exchange.buyers.formats import number_of, text_of
from exchange.buyers.mapping import MappingFault
from exchange.buyers.patterns import Pattern, PatternError
from exchange.buyers.speech import Incoming
from exchange.core.dialect import Outcome, Reading, Rule, Test
from exchange.core.reasons import REJECTION_REASONS, Reason

Holds = Callable[[int, Document], bool]

MAX_TEST_DEPTH: Final = 6
MAX_REASON_CHARS: Final = 2_000
_RANGE: Final = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")


class Heard(Struct, frozen=True, kw_only=True):
    """What an answer says, not yet judged: texts and values as they were found.

    ``reason`` is of the exchange's own, ``said`` the company's words. ``readable`` is False for
    what is not of the dialect's format, ``matched`` False where no rule held.
    """

    outcome: Outcome
    matched: bool
    readable: bool
    reason: Reason | None = None
    said: str | None = None
    price: Any = None
    currency: Any = None
    ping_id: Any = None
    reference: str | None = None
    token: str | None = None
    redirect_url: str | None = None


class Listener:
    """Reads answers as a dialect says. Raises MappingFault with the path within ``answer``."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._rules = tuple(
            _compile_rule(rule, reading, f"outcomes[{i}]")
            for i, rule in enumerate(reading.outcomes)
        )
        self._price = self._path("price")
        self._currency = self._path("currency")
        self._ping_id = self._path("ping_id")
        self._reason = self._path("reason")
        self._reference = self._path("reference")
        self._token = self._path("token")
        self._redirect_url = self._path("redirect_url")
        self._reasons: dict[str, Reason] = {}
        for words, code in reading.reasons.items():
            self._reasons[words.strip().lower()] = read_reason(code, f"reasons.{words[:60]}")

    def _path(self, name: str) -> Path | None:
        source = getattr(self._reading, name)
        return None if source is None else compile_path(source, self._reading, name)

    def hear(self, answer: Incoming) -> Heard:
        """Read an answer; never raises for what it is."""
        reading = self._reading
        document = (
            None
            if _is_packed(answer)
            else read_document(
                answer.body,
                reading.format,
                pair_separator=reading.pair_separator,
                value_separator=reading.value_separator,
            )
        )
        readable = document is not None
        if document is None:
            # Rules may still look for words in it; none of them can make it a yes.
            document = Document("text", None, answer.body[:MAX_REASON_CHARS].decode("latin-1"))
        outcome, reason, matched = self._decide(answer.status, document, readable)
        said = _text_at(self._reason, document, MAX_REASON_CHARS)
        if said is not None:
            reason = self._reasons.get(said.strip().lower(), reason)
        if reason is None and said is not None:
            reason = REJECTION_REASONS.get(said.strip().lower())
        return Heard(
            outcome=outcome,
            matched=matched,
            readable=readable,
            reason=reason,
            said=said,
            price=self._find_price(document),
            currency=_first(self._currency, document),
            ping_id=_first(self._ping_id, document),
            reference=_text_at(self._reference, document, 200),
            token=_text_at(self._token, document, 1_024),
            redirect_url=_text_at(self._redirect_url, document, 2_048),
        )

    def _decide(
        self, status: int, document: Document, readable: bool
    ) -> tuple[Outcome, Reason | None, bool]:
        for holds, outcome, reason in self._rules:
            if not holds(status, document):
                continue
            if outcome == "accepted" and (not readable or status >= 400):
                # Whatever it is, it is not what the company describes as a yes.
                continue
            return outcome, reason, True
        return self._reading.default if readable and status < 400 else "error", None, False

    def _find_price(self, document: Document) -> Any:
        if self._price is None:
            return None
        found = [value for value in self._price.find(document) if value not in (None, "")]
        if not found or self._reading.price_pick == "first":
            return found[0] if found else None
        numbers = [(number, value) for value in found if (number := number_of(value)) is not None]
        if len(numbers) < len(found):
            # One that cannot be compared: which is the highest is not to be guessed.
            return next(value for value in found if number_of(value) is None)
        pick = max if self._reading.price_pick == "max" else min
        return pick(numbers, key=lambda pair: pair[0])[1]


def compile_path(source: str, reading: Reading, at: str) -> Path:
    """Compile a path of an answer. Raises MappingFault."""
    try:
        return Path(source, reading.format)
    except PathError as fault:
        raise MappingFault(at, str(fault)) from None


def read_reason(code: str, at: str) -> Reason:
    """One of the rejection reasons, by its code. Raises MappingFault."""
    reason = REJECTION_REASONS.get(code)
    if reason is None:
        raise MappingFault(at, f"{code[:60]!r} is no reason of a rejection, such as duplicate")
    return reason


def _is_packed(answer: Incoming) -> bool:
    # Nothing is unpacked, so that a small answer cannot become a large one.
    return any(
        name == "content-encoding" and value.strip().lower() not in ("", "identity")
        for name, value in answer.headers
    )


def _first(path: Path | None, document: Document) -> Any:
    found = [] if path is None else path.find(document)
    return next((value for value in found if value is not None and value != ""), None)


def _text_at(path: Path | None, document: Document, most_chars: int) -> str | None:
    """A text or number at a path, in print; None for anything else or too long."""
    value = _first(path, document)
    if value is None or isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = text_of(value).strip()
    if not text or (len(text) > most_chars and most_chars != MAX_REASON_CHARS):
        return None
    text = text[:most_chars]
    return text if text.isprintable() or most_chars == MAX_REASON_CHARS else None


# --- rules ----------------------------------------------------------------------------------------


def _compile_rule(rule: Rule, reading: Reading, at: str) -> tuple[Holds, Outcome, Reason | None]:
    holds = (
        (lambda status, document: True)
        if rule.when is None
        else _compile(rule.when, reading, f"{at}.when", 0)
    )
    if rule.then == "accepted" and rule.when is None:
        raise MappingFault(f"{at}.when", "is missing: not every answer can be a yes")
    reason = None if rule.reason is None else read_reason(rule.reason, f"{at}.reason")
    return holds, rule.then, reason


def _compile(test: Test, reading: Reading, at: str, depth: int) -> Holds:
    if depth > MAX_TEST_DEPTH:
        raise MappingFault(at, "is nested too deep")
    parts: list[Holds] = []
    if test.all is not None:
        inner = [_compile(t, reading, f"{at}.all[{i}]", depth + 1) for i, t in enumerate(test.all)]
        parts.append(_every(inner))
    if test.any is not None:
        some = [_compile(t, reading, f"{at}.any[{i}]", depth + 1) for i, t in enumerate(test.any)]
        parts.append(lambda status, document: any(holds(status, document) for holds in some))
    if test.not_ is not None:
        wrong = _compile(test.not_, reading, f"{at}.not", depth + 1)
        parts.append(lambda status, document: not wrong(status, document))
    if test.status is not None:
        parts.append(_compile_status(test.status, f"{at}.status"))
    parts += _compile_value(test, reading, at)
    if not parts:
        raise MappingFault(at, "says nothing to be held against an answer")
    return parts[0] if len(parts) == 1 else _every(parts)


def _every(parts: list[Holds]) -> Holds:
    return lambda status, document: all(holds(status, document) for holds in parts)


def _compile_status(wanted: int | str | tuple[int | str, ...], at: str) -> Holds:
    ranges = []
    for part in wanted if isinstance(wanted, tuple) else (wanted,):
        found = _RANGE.fullmatch(str(part).strip())
        if found is None:
            raise MappingFault(at, 'takes statuses such as 200 or "200-299"')
        ranges.append((int(found[1]), int(found[2] or found[1])))
    return lambda status, document: any(low <= status <= high for low, high in ranges)


def _compile_value(test: Test, reading: Reading, at: str) -> list[Holds]:
    checks: list[Callable[[Any], bool]] = []
    if test.equals is not None:
        wanted = _folded(test.equals)
        checks.append(lambda value: _folded(value) == wanted)
    if test.in_ is not None:
        several = frozenset(_folded(value) for value in test.in_)
        checks.append(lambda value: _folded(value) in several)
    if test.contains is not None:
        needle = test.contains.casefold()
        checks.append(lambda value: needle in text_of(value).casefold())
    if test.matches is not None:
        checks.append(_compile_pattern(test.matches, f"{at}.matches"))
    if test.above is not None:
        low = test.above
        checks.append(lambda value: (n := number_of(value)) is not None and n > low)
    if test.below is not None:
        high = test.below
        checks.append(lambda value: (n := number_of(value)) is not None and n < high)
    path = None if test.path is None else compile_path(test.path, reading, f"{at}.path")
    parts: list[Holds] = []
    if test.exists is not None:
        if path is None:
            raise MappingFault(f"{at}.path", "is missing")
        parts.append(_existing(path, test.exists))
    elif path is not None and not checks:
        raise MappingFault(at, "names a path, and nothing to be found there")
    if checks:
        parts.append(_checking(path, checks))
    return parts


def _compile_pattern(source: str, at: str) -> Callable[[Any], bool]:
    try:
        pattern = Pattern(source)
    except PatternError as fault:
        raise MappingFault(at, str(fault)) from None
    return lambda value: pattern.matches(text_of(value))


def _existing(path: Path, wanted: bool) -> Holds:
    def holds(status: int, document: Document) -> bool:
        found = [value for value in path.find(document) if value is not None and value != ""]
        return bool(found) == wanted

    return holds


def _checking(path: Path | None, checks: list[Callable[[Any], bool]]) -> Holds:
    """Hold if any value at the path passes every check; without a path, the whole text."""

    def holds(status: int, document: Document) -> bool:
        values = [document.text] if path is None else path.find(document)
        return any(all(check(value) for check in checks) for value in values)

    return holds


def _folded(value: Any) -> str:
    return text_of(value).strip().casefold()
