"""The requirements, and whether a run meets them: ratios of medians within the run only."""

from __future__ import annotations

from typing import Final

from benchmarks.findings import Findings, Verdict

PING_TO_ECHO: Final = 0.50
PING_TO_ECHO_AIM: Final = 0.60
LARGE_TO_SMALL: Final = 0.75
POST_TO_FLOOR: Final = 0.25
P99_TO_P50: Final = 5.0
MEMORY_MB: Final = 250.0
SEEN_ELSEWHERE_MS: Final = 50.0
UNANSWERED: Final = 0.01
"""Requests without an answer, for each that has one, that are put down to the end of the run."""

ANSWERED_MS: Final = 400.0
"""What the bench's pings name as their timeout: an answer later than that is worth nothing."""


def judge(found: Findings) -> list[Verdict]:
    """Every requirement with its figure."""
    return [
        _ping_to_echo(found),
        _large_to_small(found),
        _post_to_floor(found),
        _calm_at_half(found),
        *_overload(found),
        _memory(found),
        *_returns(found),
        Verdict(
            asked="exchange check finds nothing afterwards",
            found=(found.books_said.strip().splitlines() or ["not measured"])[-1],
            holds=found.books_clean,
        ),
    ]


def _ping_to_echo(found: Findings) -> Verdict:
    asked = f"pings at 1,000 campaigns ≥ {PING_TO_ECHO:.2f} of the echo (aim {PING_TO_ECHO_AIM})"
    pings = found.pings.get("1000")
    if pings is None or not found.echo.rate:
        return _missing(asked)
    ratio = pings.rate / found.echo.rate
    return Verdict(
        asked=asked,
        found=f"{ratio:.3f} ({pings.rate:,.0f} of {found.echo.rate:,.0f} a second)"
        + (f"; {found.disturbance}" if found.disturbance else ""),
        holds=ratio >= PING_TO_ECHO,
    )


def _large_to_small(found: Findings) -> Verdict:
    asked = f"pings at 10,000 campaigns ≥ {LARGE_TO_SMALL:.2f} of those at 100"
    large, small = found.pings.get("10000"), found.pings.get("100")
    if large is None or small is None or not small.rate:
        return _missing(asked)
    ratio = large.rate / small.rate
    return Verdict(
        asked=asked,
        found=f"{ratio:.3f} ({large.rate:,.0f} of {small.rate:,.0f} a second)",
        holds=ratio >= LARGE_TO_SMALL,
    )


def _post_to_floor(found: Findings) -> Verdict:
    asked = f"durable posts ≥ {POST_TO_FLOOR:.2f} of one durable insert each"
    posts = found.posts
    if posts is None or not posts.floor_rate:
        return _missing(asked)
    ratio = posts.rate / posts.floor_rate
    return Verdict(
        asked=asked,
        found=f"{ratio:.3f} ({posts.rate:,.0f} of {posts.floor_rate:,.0f} a second)",
        holds=ratio >= POST_TO_FLOOR,
    )


def _calm_at_half(found: Findings) -> Verdict:
    asked = f"at 50 % load, p99 of a ping ≤ {P99_TO_P50:g} × its p50"
    half = next((o for o in found.open if o.name == "1000" and o.share == 0.5), None)
    if half is None or not half.latency.p50_us:
        return _missing(asked)
    latency = half.latency
    ratio = latency.p99_us / latency.p50_us
    beside = next((o.latency for o in found.open if o.name == "echo" and o.share == 0.5), None)
    missing = sum(m.unanswered + m.broken for m in half.measured)
    return Verdict(
        asked=asked,
        found=f"{ratio:.1f} × ({_ms(latency.p99_us)} of {_ms(latency.p50_us)})"
        + (f"; the echo {beside.p99_us / beside.p50_us:.1f} ×" if beside else "")
        + (f", {missing:,} without an answer" if missing else "")
        + "".join(f"; {pauses}" for pauses in found.machine.pauses if pauses.count),
        holds=ratio <= P99_TO_P50 and not missing,
    )


def _overload(found: Findings) -> list[Verdict]:
    asked = (
        "at 200 % load nothing crashes",
        "at 200 % load the excess gets 503",
        f"at 200 % load what is answered is so within {ANSWERED_MS:g} ms (p99.9)",
    )
    over = found.overload
    if over is None:
        return [_missing(text) for text in asked]
    measured = over.measured
    strange = sorted(set(measured.statuses) - {"200", "503"})
    whole = over.alive and not strange and not measured.broken
    shed = measured.statuses.get("503", 0)
    late = measured.latency.p999_us
    return [
        Verdict(
            asked=asked[0],
            found=f"{'alive' if over.alive else 'dead'}, {measured.broken} connections broken, "
            f"other statuses {', '.join(strange) or 'none'}; after it {over.rate_after:,.0f} a "
            "second",
            holds=whole,
        ),
        Verdict(
            asked=asked[1],
            found=f"{shed:,} with 503, {measured.statuses.get('200', 0):,} with 200, "
            f"{measured.unanswered:,} without an answer",
            holds=shed > 0 and measured.unanswered <= measured.answered * UNANSWERED,
        ),
        Verdict(
            asked=asked[2],
            found=f"p50 {_ms(measured.latency.p50_us)}, p99.9 {_ms(late)}",
            holds=0 < late <= ANSWERED_MS * 1_000,
        ),
    ]


def _memory(found: Findings) -> Verdict:
    asked = f"a worker with 10,000 campaigns stays under {MEMORY_MB:g} MB"
    large = found.pings.get("10000")
    if large is None:
        return _missing(asked)
    return Verdict(
        asked=asked, found=f"{large.resident_mb:.0f} MB", holds=large.resident_mb < MEMORY_MB
    )


def _returns(found: Findings) -> list[Verdict]:
    asked = (
        "a rejection is in the next price on the same worker",
        f"and on another within {SEEN_ELSEWHERE_MS:g} ms (p99)",
    )
    returns = found.returns
    if returns is None:
        return [_missing(text) for text in asked]
    limit_us = SEEN_ELSEWHERE_MS * 1_000
    here, there = returns.same, returns.others[0]
    return [
        Verdict(
            asked=asked[0],
            found=f"p50 {_ms(here.p50_us)}, p99 {_ms(here.p99_us)}, {returns.count} rejections",
            holds=returns.unseen == 0 and here.p99_us <= limit_us,
        ),
        Verdict(
            asked=asked[1],
            found=f"p50 {_ms(there.p50_us)}, p99 {_ms(there.p99_us)}",
            holds=returns.unseen == 0 and there.p99_us <= limit_us,
        ),
    ]


def _missing(asked: str) -> Verdict:
    return Verdict(asked=asked, found="not measured", holds=None)


def _ms(us: float) -> str:
    return f"{us / 1_000:.2f} ms"
