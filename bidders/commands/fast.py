"""`python -m bidders fast`: bidders that cost next to nothing, for benchmarks."""

from __future__ import annotations

import argparse
import asyncio
import sys
from decimal import Decimal, InvalidOperation

import uvloop

from bidders.fast import fast_bidders
from bidders.process import read_pid, read_port, wait_for_end, watch_signals


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "fast",
        help="serve many bidders with answers made beforehand, for benchmarks",
        description="Serve bidders from one process, each on a port of its own: bidder I, from 0, "
        "on PORT + I, bidding PRICE + I dollars on every ping over HTTP, and over the bid stream "
        "at /stream. Nothing is verified. Prints 'ready' once all of them listen.",
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("--count", type=int, default=10, help="how many bidders (%(default)s)")
    add("--port", type=read_port, required=True, help="the first bidder's port")
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add(
        "--price",
        type=_price,
        default=Decimal("20.00"),
        help="the first bidder's price in dollars (%(default)s)",
    )
    add(
        "--hang",
        type=int,
        action="append",
        default=[],
        metavar="I",
        help="a bidder that takes pings and never answers; may be given several times",
    )
    add("--parent-pid", type=read_pid, metavar="PID", help="stop when this process is gone")


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop; return the exit status."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(options))
    except ValueError as fault:
        print(f"bidders: {fault}", file=sys.stderr)
        return 2
    except OSError as fault:
        print(f"bidders: cannot serve: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0  # came before the signals were ours
    return 0


async def _serve(options: argparse.Namespace) -> None:
    stop = watch_signals()
    bidders = fast_bidders(
        count=options.count,
        port=options.port,
        host=options.host,
        price=options.price,
        hanging=options.hang,
    )
    async with bidders as ports:
        # With port 0 whoever started us must be told where they are.
        print("ready" if options.port else f"ready {' '.join(map(str, ports))}", flush=True)
        await wait_for_end(stop, options.parent_pid)


def _price(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError("must be an amount in dollars") from None
