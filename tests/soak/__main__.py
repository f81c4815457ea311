"""`python -m tests.soak`: see `--help`. Exit code 0 where nothing was violated, else 1."""

from __future__ import annotations

import argparse
import os
import sys
import time

import uvloop

from tests.soak.bad import soak_bad
from tests.soak.kills import Report, soak_kills


def main() -> int:
    """Run what was asked for, and tell of it."""
    asked = _read_arguments()
    began = time.monotonic()
    print(f"soak with seed {asked.seed}; the same seed draws the same posts and kills", flush=True)
    reports = uvloop.run(_run(asked))
    for report in reports:
        print("\n".join(report.lines))
    found = [told for report in reports for told in report.violations]
    print(f"{len(found)} violations after {time.monotonic() - began:.0f} s")
    for told in found[:50]:
        print(f"  {told[:600]}")
    return 1 if found else 0


async def _run(asked: argparse.Namespace) -> list[Report]:
    reports = []
    if asked.kills:
        reports.append(
            await soak_kills(
                posts=asked.posts,
                kills=asked.kills,
                seed=asked.seed,
                limit_s=asked.limit_s,
                say=_say,
            )
        )
    if asked.seconds:
        reports.append(await soak_bad(seconds=asked.seconds, say=_say))
    return reports


def _say(line: str) -> None:
    print(line, flush=True)


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--posts", type=int, default=10_000, help="posts (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=300, help="kills amid them; 0 leaves it out")
    parser.add_argument("--seed", type=int, default=1, help="of posts and kills")
    parser.add_argument(
        "--limit-s", type=float, default=2_400.0, help="the longest the kills may take"
    )
    seconds = float(os.environ.get("SOAK_SECONDS", "3"))
    parser.add_argument(
        "--seconds", type=float, default=seconds, help="of load on each bad bidder; 0 leaves it out"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
