"""`make bench-peers`: the same auction by the exchange and by plain peers, in one run.

`python -m benchmarks.peers --quick` measures ten bidders only, in under a minute. Whoever cannot
take part here is left out, and the run says why. Writes a JSON and a page to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.findings import Verdict
from benchmarks.peers.arena import Arena
from benchmarks.peers.contestants import Contestant, every_contestant
from benchmarks.peers.findings import PeerFindings, PeerPlan
from benchmarks.peers.judge import judge
from benchmarks.peers.measure import Run, steps_of
from benchmarks.peers.page import write_page
from benchmarks.peers.tell import tell
from benchmarks.processes import BenchFailed

RESULTS: Final = Path(__file__).resolve().parent.parent / "results"

QUICK: Final = PeerPlan(
    name="quick",
    sizes=(10,),
    rounds=3,
    seconds=0.8,
    warmup_s=0.25,
    trial_s=0.3,
    hang_rounds=1,
    hang_seconds=1.5,
)
NORMAL: Final = PeerPlan(
    name="normal",
    sizes=(1, 5, 10, 20),
    rounds=5,
    seconds=0.8,
    warmup_s=0.2,
    trial_s=0.3,
    hang_rounds=3,
    hang_seconds=1.2,
)
FULL: Final = PeerPlan(
    name="full",
    sizes=(1, 5, 10, 20),
    rounds=9,
    seconds=3.0,
    warmup_s=0.5,
    connections=(4, 8, 16, 32, 64, 128),
    trial_s=0.8,
    hang_rounds=7,
    hang_seconds=4.0,
)


def main() -> int:
    """Run the bench; 0 when it ran, whatever it found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="ten bidders only, three rounds")
    parser.add_argument("--full", action="store_true", help="longer rounds, and more of them")
    parser.add_argument(
        "--only", metavar="WORD", action="append", help="only those whose name has this in it"
    )
    options = parser.parse_args()
    full = options.full or os.environ.get("PEERS") == "full"
    plan = QUICK if options.quick else FULL if full else NORMAL
    words = [word.lower() for word in options.only or [""]]
    contestants = [c for c in every_contestant() if any(word in c.name.lower() for word in words)]
    if not contestants:
        parser.error("there is no such contestant")
    # A pipe has no width; what reads it must get whole lines.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        found = _measure(plan, contestants, console)
    except BenchFailed as error:
        print(f"bench-peers: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench-peers: stopped, and everything it had started", file=sys.stderr)
        return 130
    verdicts = judge(found)
    tell(found, verdicts, console)
    json_path, page_path = keep(found, verdicts)
    console.print(f"\nwrote {json_path} and {page_path}", markup=False)
    return 0


def _measure(plan: PeerPlan, contestants: Sequence[Contestant], console: Console) -> PeerFindings:
    columns = (TextColumn("{task.description:<42}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("starting", total=steps_of(plan, len(contestants)))

        def told(what: str) -> None:
            progress.update(task, description=what, advance=1)
            if not console.is_terminal:
                console.print(f"… {what}", markup=False)

        with Arena() as arena:
            return Run(arena, plan, contestants, told).measure()


def keep(found: PeerFindings, verdicts: list[Verdict]) -> tuple[Path, Path]:
    """Write the JSON and the page; gives their paths."""
    RESULTS.mkdir(exist_ok=True)
    stem = f"peers-{found.at.replace(':', '').replace('-', '')}"
    json_path, page_path = RESULTS / f"{stem}.json", RESULTS / f"{stem}.html"
    text = msgspec.json.format(
        msgspec.json.encode({"findings": found, "verdicts": verdicts}), indent=1
    )
    json_path.write_bytes(text)
    page_path.write_text(write_page(found, verdicts, text.decode()), "utf-8")
    return json_path, page_path


if __name__ == "__main__":
    sys.exit(main())
