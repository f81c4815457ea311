"""What is asked of the exchange beside its peers, and whether a run shows it: ratios within the run
only, but for its CPU per call and its deadline.
"""

from __future__ import annotations

from typing import Final

from benchmarks.findings import Verdict
from benchmarks.peers.findings import LOAD_CORE_FULL, OURS, STREAM, Field, PeerFindings, is_ours

SIZE: Final = 10
TO_BEST_PEER: Final = 1.5
STREAM_TO_CALLS: Final = 3.0
CALL_US: Final = 25.0
OVER_MS: Final = 5.0
RIGHT: Final = 0.999
"""The least share of right answers that counts as all: the last ones of a round may be cut off."""


def judge(found: PeerFindings) -> list[Verdict]:
    """Every requirement with its figure."""
    return [
        _to_best_peer(found),
        _stream_to_calls(found),
        _call_us(found),
        *_hanging(found),
    ]


def _to_best_peer(found: PeerFindings) -> Verdict:
    asked = f"auctions with {SIZE} bidders ≥ {TO_BEST_PEER:g} × the best peer"
    ours, best = found.field(OURS, SIZE), found.best_peer(SIZE)
    if ours is None or best is None or not best.rate:
        return _missing(asked, found.out.get(OURS))
    ratio = ours.rate / best.rate
    return Verdict(
        asked=asked,
        found=f"{ratio:.2f} × {best.name} ({ours.rate:,.0f} of {best.rate:,.0f} a second)"
        + _by_cpu(best, ours)
        + "".join(f"; without {name}" for name in found.out if not is_ours(name))
        + _bounded(found, [ours, best]),
        holds=ratio >= TO_BEST_PEER,
    )


def _stream_to_calls(found: PeerFindings) -> Verdict:
    asked = f"auctions with {SIZE} bidders on bid streams ≥ {STREAM_TO_CALLS:g} × by calls"
    stream, calls = found.field(STREAM, SIZE), found.field(OURS, SIZE)
    if stream is None or calls is None or not calls.rate:
        return _missing(asked, found.out.get(STREAM) or found.out.get(OURS))
    ratio = stream.rate / calls.rate
    return Verdict(
        asked=asked,
        found=f"{ratio:.2f} × ({stream.rate:,.0f} of {calls.rate:,.0f} a second)"
        + _by_cpu(calls, stream)
        + _bounded(found, [stream, calls]),
        holds=ratio >= STREAM_TO_CALLS,
    )


def _call_us(found: PeerFindings) -> Verdict:
    asked = f"CPU of an outgoing call ≤ {CALL_US:g} µs"
    took_us = found.call_us(OURS)
    if took_us is None:
        return _missing(asked, found.out.get(OURS))
    return Verdict(
        asked=asked,
        found=f"{took_us:.1f} µs for each further bidder",
        holds=took_us <= CALL_US,
    )


def _hanging(found: PeerFindings) -> list[Verdict]:
    asked = (
        f"at half load with one bidder hanging, answered ≤ {OVER_MS:g} ms after the deadline (p99)",
        "and every bid that came is kept",
    )
    hanging = next((one for one in found.hanging if one.name == OURS), None)
    if hanging is None:
        return [_missing(text, found.out.get(OURS)) for text in asked]
    lost = hanging.unanswered
    wrong = ", ".join(f"{said}: {count:,}" for said, count in hanging.wrong.items())
    return [
        Verdict(
            asked=asked[0],
            found=f"p99 {over(hanging.over_p99_us)}, p50 {over(hanging.over_p50_us)}"
            + (f", {lost:,} without an answer" if lost else ""),
            holds=hanging.over_p99_us <= OVER_MS * 1_000 and not lost,
        ),
        Verdict(
            asked=asked[1],
            found=f"{hanging.right_share:.2%} right" + (f" ({wrong})" if wrong else ""),
            holds=hanging.right_share >= RIGHT,
        ),
    ]


def over(us: float) -> str:
    """A time beyond the deadline, for people."""
    return f"{us / 1_000:+.1f} ms" if us >= 0 else f"{-us / 1_000:.1f} ms before it"


def _by_cpu(dearer: Field, cheaper: Field) -> str:
    """The ratio of what an auction costs their servers: less moved by others than rates are."""
    return f"; {dearer.cpu_us / cheaper.cpu_us:.2f} × by CPU" if cheaper.cpu_us else ""


def _bounded(found: PeerFindings, fields: list[Field]) -> str:
    """What to say of rates that something else than the contestant may have bounded."""
    said = [
        f"the load's core was {field.load_core_share:.0%} full beside {field.name}"
        for field in fields
        if field.load_core_share >= LOAD_CORE_FULL
    ]
    if found.disturbance:
        said.append(found.disturbance)
    return "".join(f"; {text}" for text in said)


def _missing(asked: str, why: str | None) -> Verdict:
    return Verdict(asked=asked, found=why or "not measured", holds=None)
