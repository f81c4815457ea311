"""`python -m bidders serve`: companies' systems to try the exchange against."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import get_args

import msgspec

from bidders.crm import READY_MADE, Behaviour, CrmServer, Failure, crm_server
from bidders.process import read_pid, read_port, wait_for_end, watch_signals


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    serve = commands.add_parser(
        "serve",
        help="serve CRMs that take, delay, refuse or fail lead deliveries",
        description="Serve the CRMs good, slow, failing and refusing, and any made later with "
        "PUT /crm/{name}. Prints each CRM's name and URL once ready; stops on SIGINT or SIGTERM.",
    )
    serve.set_defaults(run=run)
    _add_server_options(serve)
    _add_behaviour_options(serve)


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop; return the exit status."""
    try:
        behaviours = _behaviours(options)
    except ValueError as fault:
        print(f"bidders: {fault}", file=sys.stderr)
        return 2
    ready_file: Path | None = options.ready_file
    try:
        _remove(ready_file)  # a leftover would call us ready too early
        asyncio.run(_serve(options, behaviours))
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


async def _serve(options: argparse.Namespace, behaviours: dict[str, Behaviour]) -> None:
    stop = watch_signals()
    server = crm_server(
        seed=options.seed, host=options.host, port=options.port, behaviours=behaviours
    )
    async with server as crm:
        _announce(crm, options.ready_file)
        await wait_for_end(stop, options.parent_pid)


def _announce(crm: CrmServer, ready_file: Path | None) -> None:
    urls = {name: crm.leads_url(name) for name in crm.names}
    for name, url in urls.items():
        print(f"{name:<10}{url}", flush=True)
    if ready_file:
        ready = {"host": crm.host, "port": crm.port, "base_url": crm.base_url, "crms": urls}
        # Written aside and moved, so that whoever waits for it never reads half of it.
        aside = ready_file.with_name(f"{ready_file.name}.{os.getpid()}")
        aside.write_bytes(msgspec.json.encode(ready) + b"\n")
        aside.replace(ready_file)


def _remove(ready_file: Path | None) -> None:
    if ready_file is not None:
        with contextlib.suppress(OSError):
            ready_file.unlink(missing_ok=True)
