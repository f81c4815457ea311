"""The tables of a run beside the peers, for the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmarks.findings import Verdict
from benchmarks.peers.findings import LOAD_CORE_FULL, PeerFindings, is_ours
from benchmarks.peers.judge import over


def tell(found: PeerFindings, verdicts: list[Verdict], console: Console) -> None:
    """Print what was found."""
    console.print(_rates(found))
    if found.hanging:
        console.print(_hanging(found))
    for name, why in found.out.items():
        console.print(f"{name}: {why}", markup=False)
    table = Table("requirement", "found", "holds", title="the exchange beside its peers")
    words = {True: "[green]yes[/]", False: "[red]no[/]", None: "–"}
    for verdict in verdicts:
        table.add_row(verdict.asked, verdict.found, words[verdict.holds])
    console.print(table)
    if not found.machine.apart:
        console.print("server and load shared one core: rates say little")
    if found.disturbance:
        console.print(f"[bold]{found.disturbance}[/]; trust the CPU more than the rates")
    if any(field.load_core_share >= LOAD_CORE_FULL for field in found.fields):
        console.print("[bold]the load's core was full at times[/]: those rates are a lower bound")


def _rates(found: PeerFindings) -> Table:
    table = Table(
        "bidders", "contestant", "auctions/s", "of best peer", "p50 ms", "p99 ms", "connections",
        "CPU µs", "per call", "core", "others", "load's core", "right", "MB",
        title="auctions, closed loop",
    )  # fmt: skip
    for size in found.plan.sizes:
        table.add_section()
        best = found.best_peer(size)
        for field in found.of_size(size):
            call_us = found.call_us(field.name)
            name = f"[bold]{field.name}[/]" if is_ours(field.name) else field.name
            table.add_row(
                str(size),
                name,
                f"{field.rate:,.0f}",
                f"{field.rate / best.rate:.2f}" if best is not None and best.rate else "–",
                f"{field.latency.p50_us / 1_000:.1f}",
                f"{field.latency.p99_us / 1_000:.1f}",
                str(field.connections),
                f"{field.cpu_us:,.0f}",
                "–" if call_us is None else f"{call_us:.0f}",
                f"{field.core_share:.0%}",
                f"{field.others_share:.0%}",
                f"{field.load_core_share:.0%}",
                f"{field.right_share:.1%}",
                f"{field.resident_mb:.0f}",
            )
    return table


def _hanging(found: PeerFindings) -> Table:
    first = found.hanging[0]
    table = Table(
        "contestant", "a second", "p50 after it", "p99 after it", "bids kept", "unanswered",
        "CPU µs", "others",
        title=f"the best of {first.size} bidders hanging, at half load; deadline "
        f"{first.timeout_ms} ms",
    )  # fmt: skip
    for one in found.hanging:
        table.add_row(
            one.name,
            f"{one.offered_rate:,.0f}",
            over(one.over_p50_us),
            over(one.over_p99_us),
            f"{one.right_share:.2%}",
            f"{one.unanswered:,}",
            f"{one.cpu_us:,.0f}",
            f"{one.others_share:.0%}",
        )
    return table
