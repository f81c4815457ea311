"""`python -m bidders serve`: companies' systems to try the exchange against."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import msgspec

from bidders.bad import MANNERS, bad_bidders
from bidders.crm import READY_MADE, Behaviour, CrmServer, Failure, crm_server
from bidders.process import read_pid, read_port, wait_for_end, watch_signals
from bidders.reference import reference_bidders


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    serve = commands.add_parser(
        "serve",
        help="serve bidders, good and bad, and CRMs that take, delay, refuse or fail leads",
        description="Serve the CRMs good, slow, failing and refusing, any made later with "
        "PUT /crm/{name}, reference bidders, and bad bidders on a port of their own. Prints each "
        "one's name, URL and what it does once ready; stops on SIGINT or SIGTERM.",
    )
    serve.set_defaults(run=run)
    _add_server_options(serve)
    _add_behaviour_options(serve)


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop; return the exit status."""
    try:
        behaviours = _behaviours(options)
        bad_port = _bad_port(options)
    except ValueError as fault:
        print(f"bidders: {fault}", file=sys.stderr)
        return 2
    ready_file: Path | None = options.ready_file
    try:
        _remove(ready_file)  # a leftover would call us ready too early
        asyncio.run(_serve(options, behaviours, bad_port))
    except OSError as fault:
        print(f"bidders: cannot serve: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0  # came before the signals were ours
    finally:
        _remove(ready_file)
    return 0


def _add_server_options(serve: argparse.ArgumentParser) -> None:
    add = serve.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add(
        "--port",
        type=read_port,
        default=8090,
        help="port to listen on, 0 for any free one (%(default)s)",
    )
    add(
        "--bad-port",
        type=read_port,
        help="port of the bad bidders (the one after PORT; with --port 0 any free one)",
    )
    add("--secret", help="what the reference bidders verify pings with; without it they do not")
    add(
        "--seed",
        type=int,
        default=7,
        help="decides, with the delivery's id, each lead's fate (%(default)s)",
    )
    add(
        "--ready-file",
        type=Path,
        metavar="PATH",
        help="write host, port and URLs here as JSON once ready; removed at the end",
    )
    add("--parent-pid", type=read_pid, metavar="PID", help="stop when this process is gone")


def _add_behaviour_options(serve: argparse.ArgumentParser) -> None:
    add = serve.add_argument
    add(
        "--slow-ms",
        type=int,
        default=READY_MADE["slow"].delay_ms,
        metavar="MS",
        help="how long the CRM slow takes (%(default)s)",
    )
    add(
        "--fail-rate",
        type=float,
        default=READY_MADE["failing"].fail_rate,
        metavar="RATE",
        help="share of deliveries, 0 to 1, that the CRM failing fails (%(default)s)",
    )
    add(
        "--failure",
        choices=get_args(Failure),
        default=READY_MADE["failing"].failure,
        help="how the CRM failing fails (%(default)s)",
    )
    add(
        "--refuse-rate",
        type=float,
        default=READY_MADE["refusing"].refuse_rate,
        metavar="RATE",
        help="share of deliveries, 0 to 1, that the CRM refusing refuses (%(default)s)",
    )


def _behaviours(options: argparse.Namespace) -> dict[str, Behaviour]:
    given = {
        "slow": {"delay_ms": options.slow_ms},
        "failing": {"fail_rate": options.fail_rate, "failure": options.failure},
        "refusing": {"refuse_rate": options.refuse_rate},
    }
    return {
        name: msgspec.convert(msgspec.to_builtins(usual) | given.get(name, {}), Behaviour)
        for name, usual in READY_MADE.items()
    }


def _bad_port(options: argparse.Namespace) -> int:
    if options.bad_port is not None or not options.port:
        return options.bad_port or 0
    if options.port == 65_535:
        raise ValueError("after port 65535 there is none for the bad bidders: give --bad-port")
    next_port: int = options.port + 1
    return next_port


async def _serve(
    options: argparse.Namespace, behaviours: dict[str, Behaviour], bad_port: int
) -> None:
    stop = watch_signals()
    reference = reference_bidders(secret=options.secret)
    served = crm_server(
        seed=options.seed,
        host=options.host,
        port=options.port,
        behaviours=behaviours,
        bidders={name: each.bidder for name, each in reference.items()},
    )
    async with (
        served as crm,
        bad_bidders(seed=options.seed, host=options.host, port=bad_port) as bad,
    ):
        groups = (
            _Group("crms", "CRMs take leads", _crms(crm, behaviours)),
            _Group(
                "bidders",
                "Bidders take pings, and beside /ping leads at /leads and streams at /stream",
                {
                    name: (f"{crm.base_url}/bidder/{name}/ping", each.does)
                    for name, each in reference.items()
                },
            ),
            _Group(
                "bad_bidders",
                "Bad bidders have the same three, and verify nothing",
                {name: (bad.ping_url(name), manner.does) for name, manner in MANNERS.items()},
            ),
        )
        _announce(crm, groups, options.ready_file)
        await wait_for_end(stop, options.parent_pid)


class _Group(NamedTuple):
    """Systems of a kind: each one's URL, and what it does."""

    key: str
    heading: str
    systems: dict[str, tuple[str, str]]


def _crms(crm: CrmServer, behaviours: dict[str, Behaviour]) -> dict[str, tuple[str, str]]:
    return {name: (crm.leads_url(name), each.does) for name, each in behaviours.items()}


def _announce(crm: CrmServer, groups: Sequence[_Group], ready_file: Path | None) -> None:
    width = max(len(url) for group in groups for url, _ in group.systems.values())
    for group in groups:
        print(f"{group.heading}:")
        for name, (url, does) in group.systems.items():
            print(f"  {name:<12}{url:<{width}}  {does}")
    sys.stdout.flush()
    if ready_file:
        ready: dict[str, object] = {"host": crm.host, "port": crm.port, "base_url": crm.base_url}
        for group in groups:
            ready[group.key] = {name: url for name, (url, _) in group.systems.items()}
        # Written aside and moved, so that whoever waits for it never reads half of it.
        aside = ready_file.with_name(f"{ready_file.name}.{os.getpid()}")
        aside.write_bytes(msgspec.json.encode(ready) + b"\n")
        aside.replace(ready_file)


def _remove(ready_file: Path | None) -> None:
    if ready_file is not None:
        with contextlib.suppress(OSError):
            ready_file.unlink(missing_ok=True)
