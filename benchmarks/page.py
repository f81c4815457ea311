"""The page of a run: everything in one file, plots as SVG drawn here, nothing loaded from afar."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from benchmarks.findings import Findings, Rounds, Verdict
from benchmarks.judge import MEMORY_MB
from benchmarks.plots import Bar, Spread, bars, spreads
from exchange.bench.latency import Latency

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #68707a; --line: #d7dbe0;
  --ours: #1f6feb; --floor: #a8b0ba; --good: #1a7f37; --bad: #cf222e; --page: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #98a1ab; --line: #343a41;
  --ours: #58a6ff; --floor: #565f69; --good: #3fb950; --bad: #f85149; --page: #14171b; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 780px; margin: 2.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: 0; } h2 { font-size: 1.05rem; margin-top: 2.2rem; }
p, figcaption { color: var(--soft); } figcaption { margin-bottom: .4rem; }
figure { margin: 1.2rem 0; } svg { width: 100%; height: auto; }
svg text { font-size: 12.5px; fill: var(--ink); } svg .label { text-anchor: end; }
svg .axis { text-anchor: middle; fill: var(--soft); font-size: 11px; }
rect.ours, circle.ours { fill: var(--ours); } rect.floor, circle.floor { fill: var(--floor); }
circle { fill: var(--ink); } line.ours { stroke: var(--ours); stroke-width: 2; }
line.floor { stroke: var(--floor); stroke-width: 2; } line.grid { stroke: var(--line); }
line.limit { stroke: var(--bad); stroke-dasharray: 4 3; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; } th { color: var(--soft); font-weight: 500; }
.yes { color: var(--good); } .no { color: var(--bad); }
pre { overflow: auto; max-height: 30rem; font-size: 12px; }
"""
_WORDS: Final = {True: ("yes", "yes"), False: ("no", "no"), None: ("", "–")}


def write_page(found: Findings, verdicts: Sequence[Verdict], text: str) -> str:
    """The whole page; ``text`` is the run's JSON, to be shown as it is."""
    machine = found.machine
    where = "server and load on cores of their own" if machine.apart else "all on one core"
    disturbed = f" · <b>{escape(found.disturbance)}</b>" if found.disturbance else ""
    sections = [
        "<h1>How fast the exchange answers</h1>",
        f"<p>{escape(found.at)} · {escape(found.plan.name)} run of {found.seconds:.0f} s · Python "
        f"{escape(machine.python)} on {escape(machine.system)}, {machine.cores} cores, {where} · "
        f"machine's load {machine.load_before} before{disturbed}. Ratios of medians of rounds that "
        "took turns; only figures of one run compare.</p>",
        "<h2>What is asked of it</h2>",
        verdict_table(verdicts),
        "<h2>Pings</h2>",
        _rates(found),
        _stages(found),
    ]
    if found.open:
        pauses = "; ".join(map(str, found.machine.pauses))
        told = f"<p>The machine itself, with every core busy: {escape(pauses)}.</p>"
        sections += ["<h2>Latency</h2>", _latencies(found), told if pauses else ""]
    if found.posts is not None:
        sections += ["<h2>Posts</h2>", _posts(found)]
    if found.returns is not None:
        sections += ["<h2>From a rejection to the next price</h2>", _returns(found)]
    sections += [
        "<h2>Memory of a worker</h2>",
        bars(
            f"MB held after the rounds; the line is {MEMORY_MB:g} MB",
            [
                Bar(label=name_of(r), value=r.resident_mb, text=f"{r.resident_mb:.0f}")
                for r in found.pings.values()
            ],
            limit=MEMORY_MB,
        ),
        f"<details><summary>All figures</summary><pre>{escape(text)}</pre></details>",
    ]
    return whole_page("How fast the exchange answers", sections)


def whole_page(title: str, sections: Sequence[str]) -> str:
    """A page that needs nothing but itself."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style>{''.join(sections)}</html>\n"
    )


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """What was asked, what was found, and whether it holds."""
    rows = [
        f"<tr><td>{escape(v.asked)}</td><td>{escape(v.found)}</td>"
        f'<td class="{_WORDS[v.holds][0]}">{_WORDS[v.holds][1]}</td></tr>'
        for v in verdicts
    ]
    return f"<table><tr><th>asked</th><th>found</th><th>holds</th></tr>{''.join(rows)}</table>"


def name_of(rounds: Rounds) -> str:
    """A server's name, for people."""
    if rounds.name == "echo":
        return "bare aiohttp echo"
    return f"{int(rounds.name):,} campaign{'s' if rounds.name != '1' else ''}"


def _rates(found: Findings) -> str:
    every = (found.echo, *found.pings.values())
    rates = bars(
        "Answers a second, closed loop; each dot a round, the bar their median",
        [
            Bar(
                label=name_of(r),
                value=r.rate,
                text=f"{r.rate:,.0f}"
                + (f" · {r.rate / found.echo.rate:.2f}" if r is not found.echo else ""),
                dots=tuple(m.ok_rate for m in r.measured),
                is_floor=r is found.echo,
            )
            for r in every
        ],
    )
    cpu = bars(
        "CPU of the server for one answer, in microseconds, and how much of its core it had",
        [
            Bar(
                label=name_of(r),
                value=r.cpu,
                text=f"{r.cpu:.0f} · {r.core_share:.0%}",
                dots=r.cpu_us,
                is_floor=r is found.echo,
            )
            for r in every
        ],
    )
    return rates + cpu


def _stages(found: Findings) -> str:
    names = list(dict.fromkeys(s for r in found.pings.values() for s in r.stages_us))
    if not names:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = "".join(
        f"<tr><td>{name_of(r)}</td>"
        + "".join(
            f"<td>{r.stages_us[name]:,.1f}</td>" if name in r.stages_us else "<td>–</td>"
            for name in names
        )
        + "</tr>"
        for r in found.pings.values()
    )
    return (
        "<p>Time of a ping's stages by the server's own counters, in microseconds of its CPU. "
        "Only wait is none: it is for the store, and shared by all that wait. Left out are reading "
        "and writing HTTP, and the receipts behind.</p>"
        f"<table><tr><th></th>{head}</tr>{rows}</table>"
    )


def _latencies(found: Findings) -> str:
    rows = [
        (
            f"{'echo' if o.name == 'echo' else 'pings'} at {o.share * 100:.0f} %",
            o.latency,
            o.name == "echo",
        )
        for o in found.open
    ]
    if found.overload is not None:
        rows.append(("pings at 200 %", found.overload.measured.latency, False))
    plot = spreads(
        "p50, p90, p99 and p99.9 from the time each was meant to be sent",
        [
            Spread(label=label, marks=_marks(latency), is_floor=is_floor)
            for label, latency, is_floor in rows
        ],
    )
    body = "".join(
        f"<tr><td>{escape(label)}</td>"
        + "".join(f"<td>{ms:,.2f}</td>" for _, ms in _marks(latency))
        + f"<td>{latency.max_us / 1_000:,.1f}</td></tr>"
        for label, latency, _ in rows
    )
    head = "".join(f"<th>{t}</th>" for t in ("ms", "p50", "p90", "p99", "p99.9", "most"))
    return f"{plot}<table><tr>{head}</tr>{body}</table>"


def _marks(latency: Latency) -> tuple[tuple[str, float], ...]:
    return (
        ("p50", latency.p50_us / 1_000),
        ("p90", latency.p90_us / 1_000),
        ("p99", latency.p99_us / 1_000),
        ("p99.9", latency.p999_us / 1_000),
    )


def _posts(found: Findings) -> str:
    posts = found.posts
    assert posts is not None
    return bars(
        "Durable posts a second with an instant delivery, beside one durable insert each",
        [
            Bar(
                label="one insert each",
                value=posts.floor_rate,
                text=f"{posts.floor_rate:,.0f}",
                dots=tuple(p.measured.ok_rate for p in posts.floor),
                is_floor=True,
            ),
            Bar(
                label="posts",
                value=posts.rate,
                text=f"{posts.rate:,.0f}"
                + (f" · {posts.rate / posts.floor_rate:.2f}" if posts.floor_rate else ""),
                dots=tuple(p.measured.ok_rate for p in posts.posted),
            ),
        ],
    )


def _returns(found: Findings) -> str:
    returns = found.returns
    assert returns is not None
    rows = [("on the same worker", returns.same)]
    rows += [("on another worker", latency) for latency in returns.others]
    return spreads(
        f"p50, p90, p99 and p99.9 of {returns.count} rejections, to the answer so priced",
        [Spread(label=label, marks=_marks(latency)) for label, latency in rows],
    )
