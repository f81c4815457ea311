"""`make bench`: starts everything, measures it in turns, judges it, and writes JSON and a page.

`python -m benchmarks.run --quick` gives only the rates of pings beside the echo, in a minute.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.findings import Findings, Plan, Verdict, median, median_latency
from benchmarks.judge import judge
from benchmarks.measure import Run, steps_of
from benchmarks.page import name_of, write_page
from benchmarks.processes import BenchFailed
from benchmarks.running import Bench
from exchange.embedded import StoreFailed

RESULTS: Final = Path(__file__).parent / "results"

QUICK: Final = Plan(
    name="quick",
    sizes=(100, 1_000, 10_000),
    rounds=3,
    seconds=1.0,
    warmup_s=0.3,
    post_rounds=0,
    post_seconds=0,
    post_leads=0,
    open_rounds=0,
    open_seconds=0,
    overload_seconds=0,
    returns=0,
)
NORMAL: Final = Plan(
    name="normal",
    sizes=(1, 100, 1_000, 10_000),
    rounds=5,
    seconds=1.5,
    warmup_s=0.4,
    post_rounds=3,
    post_seconds=2.0,
    post_leads=2_500,
    open_rounds=3,
    open_seconds=2.0,
    overload_seconds=4.0,
    returns=100,
)
FULL: Final = Plan(
    name="full",
    sizes=(1, 100, 1_000, 10_000),
    rounds=9,
    seconds=4.0,
    warmup_s=1.0,
    post_rounds=7,
    post_seconds=5.0,
    post_leads=8_000,
    open_rounds=7,
    open_seconds=8.0,
    overload_seconds=20.0,
    returns=500,
)


def main() -> int:
    """Run the bench; 0 when it ran, whatever it found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only pings beside the echo")
    parser.add_argument("--full", action="store_true", help="longer rounds, and more of them")
    options = parser.parse_args()
    full = options.full or os.environ.get("BENCH") == "full"
    plan = QUICK if options.quick else FULL if full else NORMAL
    # A pipe has no width; what reads it must get whole lines.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    try:
        found = _measure(plan, console)
    except (BenchFailed, StoreFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: stopped, and everything it had started", file=sys.stderr)
        return 130
    verdicts = judge(found)
    tell(found, verdicts, console)
    json_path, page_path = keep(found, verdicts)
    console.print(f"\nwrote {json_path} and {page_path}", markup=False)
    return 0


def _measure(plan: Plan, console: Console) -> Findings:
    columns = (TextColumn("{task.description:<42}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("starting PostgreSQL and Valkey", total=steps_of(plan) + 1)

        def told(what: str) -> None:
            progress.update(task, description=what, advance=1)
            if not console.is_terminal:
                console.print(f"… {what}", markup=False)

        with Bench() as bench:
            return Run(bench, plan, told).measure()


def keep(found: Findings, verdicts: list[Verdict]) -> tuple[Path, Path]:
    """Write the JSON and the page; gives their paths."""
    RESULTS.mkdir(exist_ok=True)
    stem = found.at.replace(":", "").replace("-", "")
    json_path, page_path = RESULTS / f"{stem}.json", RESULTS / f"{stem}.html"
    whole = {"findings": found, "verdicts": verdicts}
    text = msgspec.json.format(msgspec.json.encode(whole), indent=1)
    json_path.write_bytes(text)
    page_path.write_text(write_page(found, verdicts, text.decode()), "utf-8")
    return json_path, page_path


def tell(found: Findings, verdicts: list[Verdict], console: Console) -> None:
    """Print what was found."""
    console.print(_rates(found))
    if found.open:
        console.print(_latencies(found))
    if found.posts is not None:
        posts = found.posts
        console.print(
            f"posts: {posts.rate:,.0f} a second beside {posts.floor_rate:,.0f} bare inserts; "
            f"{sum(p.sold for p in posts.posted):,} sold; {median(posts.cpu_us):,.0f} µs of the "
            "worker's CPU each"
        )
    table = Table("requirement", "found", "holds", title="what issue 3 asks")
    words = {True: "[green]yes[/]", False: "[red]no[/]", None: "–"}
    for verdict in verdicts:
        table.add_row(verdict.asked, verdict.found, words[verdict.holds])
    console.print(table)
    machine = found.machine
    if not machine.apart:
        console.print("server and load shared one core: rates say little")
    if found.disturbance:
        console.print(f"[bold]{found.disturbance}[/]; trust the CPU per answer more than the rates")


def _rates(found: Findings) -> Table:
    table = Table(
        "server", "a second", "of echo", "p50 ms", "p99 ms", "CPU µs", "of echo", "core",
        "stages µs", "MB", title="pings, closed loop",
    )  # fmt: skip
    echo = found.echo
    for rounds in (echo, *found.pings.values()):
        calm = median_latency([m.latency for m in rounds.measured])
        stages = ", ".join(f"{name} {us:.0f}" for name, us in rounds.stages_us.items())
        table.add_row(
            name_of(rounds),
            f"{rounds.rate:,.0f}",
            f"{rounds.rate / echo.rate:.3f}" if echo.rate else "–",
            f"{calm.p50_us / 1_000:.2f}",
            f"{calm.p99_us / 1_000:.2f}",
            f"{rounds.cpu:.0f}",
            f"{echo.cpu / rounds.cpu:.3f}" if rounds.cpu else "–",
            f"{rounds.core_share:.0%}",
            stages,
            f"{rounds.resident_mb:.0f}",
        )
    return table


def _latencies(found: Findings) -> Table:
    table = Table(
        "open loop", "a second", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "statuses",
        title="latency from the intended time",
    )  # fmt: skip
    rows = [
        (
            f"{'echo' if o.name == 'echo' else 'pings'} at {o.share * 100:.0f} %",
            o.latency,
            o.measured[0].offered_rate or 0.0,
            _statuses([m.statuses for m in o.measured]),
        )
        for o in found.open
    ]
    if found.overload is not None:
        over = found.overload.measured
        rows.append(
            ("pings at 200 %", over.latency, over.offered_rate or 0, _statuses([over.statuses]))
        )
    for name, latency, rate, statuses in rows:
        table.add_row(
            name,
            f"{rate:,.0f}",
            *(
                f"{us / 1_000:.2f}"
                for us in (latency.p50_us, latency.p99_us, latency.p999_us, latency.max_us)
            ),
            statuses,
        )
    return table


def _statuses(found: list[dict[str, int]]) -> str:
    sums: dict[str, int] = {}
    for statuses in found:
        for status, count in statuses.items():
            sums[status] = sums.get(status, 0) + count
    return ", ".join(f"{status}: {count:,}" for status, count in sorted(sums.items()))


if __name__ == "__main__":
    sys.exit(main())
