"""Patterns in answers: regular expressions that take time in proportion to the text, whatever both.

Python's own matcher backtracks, and a pattern such as ``(a+)+$`` can keep it busy for ever. This
one follows all ways at once (Thompson's construction, with captures as Pike has them): each
character is looked at once for each part of the pattern, and both are bounded. It knows literals,
classes, groups, alternatives, repeats and the anchors; no references back and no looking around.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any, Final

MAX_PATTERN_CHARS: Final = 200
MAX_PARTS: Final = 300
"""Instructions a pattern may come to; counted repeats are written out."""

MAX_INPUT_CHARS: Final = 2_000
MAX_STEPS: Final = 150_000
"""Work on one text, under a tenth of a second; beyond it, nothing was found."""

_Match = Callable[[str], bool]
_parser: Any = importlib.import_module("re._parser")
_names: Any = importlib.import_module("re._constants")

# Instructions: what they do, and their two operands.
_CHAR, _SPLIT, _JUMP, _SAVE, _START, _END, _WORD_EDGE, _DONE = range(8)


class PatternError(ValueError):
    """A pattern that cannot be used; says why."""


class Pattern:
    """A compiled pattern. Letters match whatever their case."""

    def __init__(self, source: str) -> None:
        """Raises PatternError."""
        if len(source) > MAX_PATTERN_CHARS:
            raise PatternError(f"a pattern has at most {MAX_PATTERN_CHARS} characters")
        try:
            parsed = _parser.parse(source)
        except (re.error, RecursionError, OverflowError) as fault:
            message = fault.msg if isinstance(fault, re.error) else "nested too deep"
            raise PatternError(f"is no pattern: {message}") from None
        if parsed.state.flags & ~re.UNICODE:
            raise PatternError("a pattern takes no flags")
        self._code: list[tuple[int, Any, Any]] = []
        self._emitted = 0
        self._groups: int = parsed.state.groups - 1
        try:
            self._emit(parsed)
        except RecursionError:
            raise PatternError("is nested too deep") from None
        self._add(_DONE)

    def find(self, text: str) -> str | None:
        """The first match's first group, or the whole match without one; None if there is none."""
        saved = self._search(text[:MAX_INPUT_CHARS])
        if saved is None:
            return None
        if self._groups == 0:
            return text[saved[0] : saved[1]]
        # A group on a way not taken holds nothing.
        return text[saved[2] : saved[3]] if 2 in saved and 3 in saved else ""

    def matches(self, text: str) -> bool:
        """Whether the pattern is found in a text."""
        return self._search(text[:MAX_INPUT_CHARS]) is not None

    def _search(self, text: str) -> dict[int, int] | None:
        best: dict[int, int] | None = None
        waiting: list[tuple[int, dict[int, int]]] = []
        steps = 0
        for at in range(len(text) + 1):
            char = text[at] if at < len(text) else ""
            seen: set[int] = set()
            threads: list[tuple[int, dict[int, int]]] = []
            for place, saved in waiting:
                steps += self._follow(place, saved, text, at, seen, threads)
            if best is None:
                steps += self._follow(0, {0: at}, text, at, seen, threads)
            if steps > MAX_STEPS:
                return None
            waiting = []
            for place, saved in threads:
                what, matches, _ = self._code[place]
                steps += 1
                if what == _DONE:
                    # Later threads are worse ways of matching.
                    best = {**saved, 1: at}
                    break
                if char and matches(char):
                    waiting.append((place + 1, saved))
            if best is not None and not waiting:
                break
        return best

    def _follow(
        self,
        place: int,
        saved: dict[int, int],
        text: str,
        at: int,
        seen: set[int],
        threads: list[tuple[int, dict[int, int]]],
    ) -> int:
        """Go on from a place to all that wait for a character, best first; gives the steps."""
        stack = [(place, saved)]
        steps = 0
        while stack:
            place, saved = stack.pop()
            if place in seen:
                continue
            seen.add(place)
            steps += 1
            what, one, other = self._code[place]
            if what == _SPLIT:
                stack.append((other, saved))
                stack.append((one, saved))
            elif what == _JUMP:
                stack.append((one, saved))
            elif what == _SAVE:
                stack.append((place + 1, {**saved, one: at}))
            elif what in (_CHAR, _DONE):
                threads.append((place, saved))
            elif _holds(what, one, text, at):
                stack.append((place + 1, saved))
        return steps

    # --- compiling --------------------------------------------------------------------------------

    def _add(self, what: int, one: Any = None, other: Any = None) -> int:
        if len(self._code) >= MAX_PARTS:
            raise PatternError("a pattern with fewer or shorter repeats is needed")
        self._code.append((what, one, other))
        return len(self._code) - 1

    def _emit(self, parsed: Any) -> None:
        for operation, argument in parsed:
            self._emit_one(str(operation), argument)

    def _emit_one(self, operation: str, argument: Any) -> None:
        # Repeats of nothing make no instructions, and could be written out for ever.
        self._emitted += 1
        if self._emitted > 4 * MAX_PARTS:
            raise PatternError("a pattern with fewer or shorter repeats is needed")
        match operation:
            case "LITERAL" | "NOT_LITERAL" | "IN" | "ANY":
                self._add(_CHAR, _matcher(operation, argument))
            case "SUBPATTERN":
                group, added, removed, inner = argument
                if added or removed:
                    raise PatternError("a pattern takes no flags")
                # Only the first group is asked for.
                if group == 1:
                    self._add(_SAVE, 2)
                self._emit(inner)
                if group == 1:
                    self._add(_SAVE, 3)
            case "BRANCH":
                self._emit_branches(argument[1])
            case "MAX_REPEAT" | "MIN_REPEAT":
                self._emit_repeat(*argument, greedy=operation == "MAX_REPEAT")
            case "AT":
                self._emit_anchor(str(argument))
            case _:
                raise PatternError("looks around or back, which patterns here cannot")

    def _emit_branches(self, branches: list[Any]) -> None:
        jumps = []
        for i, branch in enumerate(branches):
            last = i == len(branches) - 1
            split = None if last else self._add(_SPLIT)
            self._emit(branch)
            if split is not None:
                jumps.append(self._add(_JUMP))
                self._code[split] = (_SPLIT, split + 1, len(self._code))
        for jump in jumps:
            self._code[jump] = (_JUMP, len(self._code), None)

    def _emit_repeat(self, least: int, most: int, inner: Any, *, greedy: bool) -> None:
        if least > MAX_PARTS:
            raise PatternError("a pattern with fewer or shorter repeats is needed")
        for _ in range(least):
            self._emit(inner)
        if most == _names.MAXREPEAT:
            split = self._add(_SPLIT)
            self._emit(inner)
            self._add(_JUMP, split)
            self._set_split(split, greedy)
            return
        splits = []
        for _ in range(most - least):
            splits.append(self._add(_SPLIT))
            self._emit(inner)
        for split in splits:
            self._set_split(split, greedy)

    def _set_split(self, split: int, greedy: bool) -> None:
        go_on, leave = split + 1, len(self._code)
        self._code[split] = (_SPLIT, go_on, leave) if greedy else (_SPLIT, leave, go_on)

    def _emit_anchor(self, anchor: str) -> None:
        match anchor:
            case "AT_BEGINNING" | "AT_BEGINNING_STRING":
                self._add(_START)
            case "AT_END" | "AT_END_STRING":
                self._add(_END)
            case "AT_BOUNDARY" | "AT_NON_BOUNDARY":
                self._add(_WORD_EDGE, anchor == "AT_BOUNDARY")
            case _:
                raise PatternError("has an anchor that is not known here")


def _holds(what: int, wanted: Any, text: str, at: int) -> bool:
    if what == _START:
        return at == 0
    if what == _END:
        return at == len(text) or text[at:] == "\n"
    before = at > 0 and _is_word(text[at - 1])
    behind = at < len(text) and _is_word(text[at])
    return bool((before != behind) == wanted)


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


_CATEGORIES: Final[dict[str, _Match]] = {
    "CATEGORY_DIGIT": str.isdecimal,
    "CATEGORY_NOT_DIGIT": lambda char: not char.isdecimal(),
    "CATEGORY_SPACE": str.isspace,
    "CATEGORY_NOT_SPACE": lambda char: not char.isspace(),
    "CATEGORY_WORD": _is_word,
    "CATEGORY_NOT_WORD": lambda char: not _is_word(char),
}


def _matcher(operation: str, argument: Any) -> _Match:
    if operation == "ANY":
        return lambda char: char != "\n"
    if operation == "IN":
        return _class_matcher(argument)
    wanted = chr(argument).casefold()
    if operation == "LITERAL":
        return lambda char: char.casefold() == wanted
    return lambda char: char.casefold() != wanted


def _class_matcher(parts: list[Any]) -> _Match:
    negated = str(parts[0][0]) == "NEGATE"
    tests: list[_Match] = []
    for operation, argument in parts[negated:]:
        match str(operation):
            case "LITERAL":
                tests.append(_matcher("LITERAL", argument))
            case "RANGE":
                tests.append(_range_matcher(*argument))
            case _:
                tests.append(_CATEGORIES[str(argument)])
    return lambda char: any(test(char) for test in tests) != negated


def _range_matcher(low: int, high: int) -> _Match:
    def matches(char: str) -> bool:
        return any(
            low <= ord(form) <= high for form in (char, *char.lower()[:1], *char.upper()[:1])
        )

    return matches
