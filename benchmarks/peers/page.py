"""The page of a run beside the peers: one file, plots as SVG drawn here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from benchmarks.findings import Verdict
from benchmarks.page import verdict_table, whole_page
from benchmarks.peers.findings import Field, Hanging, PeerFindings, is_ours
from benchmarks.peers.judge import over
from benchmarks.plots import Bar, Spread, bars, spreads

TITLE: Final = "The same auction, beside others"


def write_page(found: PeerFindings, verdicts: Sequence[Verdict], text: str) -> str:
    """The whole page; ``text`` is the run's JSON, to be shown as it is."""
    machine, plan = found.machine, found.plan
    where = "server and load on cores of their own" if machine.apart else "all on one core"
    disturbed = f" <b>{escape(found.disturbance)}</b>" if found.disturbance else ""
    sections = [
        f"<h1>{TITLE}</h1>",
        f"<p>{escape(found.at)} · {escape(plan.name)} run of {found.seconds:.0f} s · "
        f"{escape(machine.system)}, {machine.cores} cores, {where} · machine's load "
        f"{machine.load_before} before. Every server has one core, the bidders and the load "
        f"another; medians of {plan.rounds} rounds that took turns, at the number of connections "
        "that served each best. Only right answers count: those that name the price of the best "
        f"bid. Only figures of one run compare.{disturbed}</p>",
        "<h2>What is asked of the exchange</h2>",
        verdict_table(verdicts),
        "<h2>Auctions a second</h2>",
        *(_rates(found, size) for size in plan.sizes),
        "<h2>What an auction costs its server</h2>",
        *(_cpu(found, size) for size in plan.sizes),
        _calls(found),
        "<h2>Latency at that rate</h2>",
        *(_latency(found, size) for size in plan.sizes),
    ]
    if found.hanging:
        sections += ["<h2>One bidder hanging</h2>", _hanging(found.hanging)]
    sections += [
        "<h2>Who took part</h2>",
        _who(found),
        f"<details><summary>All figures</summary><pre>{escape(text)}</pre></details>",
    ]
    return whole_page(TITLE, sections)


def _title(size: int) -> str:
    return f"{size} bidder{'s' if size > 1 else ''}"


def _bar(field: Field, value: float, text: str, dots: tuple[float, ...]) -> Bar:
    return Bar(
        label=field.name, value=value, text=text, dots=dots, is_floor=not is_ours(field.name)
    )


def _rates(found: PeerFindings, size: int) -> str:
    best = found.best_peer(size)
    return bars(
        f"{_title(size)}; each dot a round, the bar their median"
        + ("; beside it the ratio to the best peer" if best is not None else ""),
        [
            _bar(
                field,
                field.rate,
                f"{field.rate:,.0f}"
                + (f" · {field.rate / best.rate:.2f}" if best is not None and best.rate else ""),
                tuple(one.rate for one in field.rounds),
            )
            for field in found.of_size(size)
        ],
    )


def _cpu(found: PeerFindings, size: int) -> str:
    return bars(
        f"CPU for one auction with {_title(size)}, in microseconds",
        [
            _bar(
                field,
                field.cpu_us,
                f"{field.cpu_us:,.0f}",
                tuple(one.cpu_us for one in field.rounds),
            )
            for field in found.of_size(size)
        ],
    )


def _calls(found: PeerFindings) -> str:
    costs = [(name, us) for name in found.made_of if (us := found.call_us(name)) is not None]
    if not costs:
        return ""
    return bars(
        "CPU for each further outgoing call, in microseconds",
        [
            Bar(label=name, value=us, text=f"{us:,.1f}", is_floor=not is_ours(name))
            for name, us in sorted(costs, key=lambda cost: cost[1])
        ],
    )


def _latency(found: PeerFindings, size: int) -> str:
    return spreads(
        f"{_title(size)}: p50, p90 and p99 of a closed loop",
        [
            Spread(
                label=f"{field.name} ({field.connections})",
                marks=(
                    ("p50", field.latency.p50_us / 1_000),
                    ("p90", field.latency.p90_us / 1_000),
                    ("p99", field.latency.p99_us / 1_000),
                ),
                is_floor=not is_ours(field.name),
            )
            for field in found.of_size(size)
        ],
    )


def _hanging(hanging: Sequence[Hanging]) -> str:
    first = hanging[0]
    rows = "".join(
        f"<tr><td>{escape(one.name)}</td><td>{one.offered_rate:,.0f}</td>"
        f"<td>{over(one.over_p50_us)}</td><td>{over(one.over_p99_us)}</td>"
        f"<td>{one.right_share:.2%}</td><td>{one.unanswered:,}</td><td>{one.cpu_us:,.0f}</td>"
        f"<td>{one.others_share:.0%}</td></tr>"
        for one in hanging
    )
    return (
        f"<p>The best of {first.size} bidders takes every call and never answers; pings with a "
        f"deadline of {first.timeout_ms} ms at half of each one's rate. Kept is the share of "
        "answers that name the best bid that came.</p><table><tr><th></th><th>a second</th>"
        "<th>p50 after the deadline</th><th>p99</th><th>kept</th><th>unanswered</th>"
        "<th>CPU µs</th><th>its core, by others</th></tr>"
        f"{rows}</table>"
    )


def _who(found: PeerFindings) -> str:
    rows = [(name, made_of) for name, made_of in found.made_of.items() if name not in found.out]
    rows += list(found.out.items())
    body = "".join(f"<tr><td>{escape(n)}</td><td>{escape(t)}</td></tr>" for n, t in rows)
    return f"<table>{body}</table>"
