"""Plots as SVG: bars with the dots of their rounds, and percentiles on a scale of powers of ten."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from msgspec import Struct

WIDTH: Final = 720
LABEL: Final = 190
ROW: Final = 30
RIGHT: Final = 110
_TRACK: Final = WIDTH - LABEL - RIGHT


class Bar(Struct, frozen=True, kw_only=True):
    """One bar: its length, the rounds it is the median of, and whether it is a floor."""

    label: str
    value: float
    text: str
    dots: tuple[float, ...] = ()
    is_floor: bool = False


class Spread(Struct, frozen=True, kw_only=True):
    """One row of percentiles, as (name, milliseconds), rising."""

    label: str
    marks: tuple[tuple[str, float], ...]
    is_floor: bool = False


def bars(title: str, rows: Sequence[Bar], *, limit: float | None = None) -> str:
    """Horizontal bars from 0; ``limit`` is drawn as a line."""
    most = max([1e-9, *(row.value for row in rows), *(d for row in rows for d in row.dots)])
    most = max(most, limit or 0.0) * 1.02
    parts = []
    for number, row in enumerate(rows):
        y = ROW * number + 6
        length = _TRACK * row.value / most
        kind = "floor" if row.is_floor else "ours"
        parts.append(_label(row.label, y))
        parts.append(f'<rect class="{kind}" x="{LABEL}" y="{y}" width="{length:.1f}" height="18"/>')
        parts.extend(
            f'<circle cx="{LABEL + _TRACK * dot / most:.1f}" cy="{y + 9}" r="2.5"/>'
            for dot in row.dots
        )
        end = max([length, *(_TRACK * dot / most for dot in row.dots)])
        parts.append(f'<text x="{LABEL + end + 8:.1f}" y="{y + 14}">{escape(row.text)}</text>')
    if limit is not None:
        x = LABEL + _TRACK * limit / most
        parts.append(
            f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{ROW * len(rows)}"/>'
        )
    return _frame(title, parts, ROW * len(rows) + 4)


def spreads(title: str, rows: Sequence[Spread]) -> str:
    """Percentiles in milliseconds as marks on a line, each power of ten as wide as the next."""
    values = [ms for row in rows for _, ms in row.marks if ms > 0] or [1.0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    height = ROW * len(rows)

    def place(ms: float) -> float:
        return LABEL + _TRACK * (math.log10(max(ms, 10.0**low)) - low) / (high - low)

    parts = []
    for power in range(low, high + 1):
        x = place(10.0**power)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}"/>')
        parts.append(f'<text class="axis" x="{x:.1f}" y="{height + 14}">{10.0**power:g} ms</text>')
    for number, row in enumerate(rows):
        y = ROW * number + 6
        parts.append(_label(row.label, y))
        if not row.marks:
            continue
        first, last = place(row.marks[0][1]), place(row.marks[-1][1])
        kind = "floor" if row.is_floor else "ours"
        parts.append(
            f'<line class="{kind}" x1="{first:.1f}" x2="{last:.1f}" y1="{y + 9}" y2="{y + 9}"/>'
        )
        parts.extend(
            f'<circle class="{kind}" cx="{place(ms):.1f}" cy="{y + 9}" r="4">'
            f"<title>{escape(name)} {ms:.2f} ms</title></circle>"
            for name, ms in row.marks
        )
    return _frame(title, parts, height + 20)


def _label(text: str, y: int) -> str:
    return f'<text class="label" x="{LABEL - 8}" y="{y + 14}">{escape(text)}</text>'


def _frame(title: str, parts: Sequence[str], height: int) -> str:
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="{escape(title, quote=True)}">{"".join(parts)}</svg></figure>'
    )
