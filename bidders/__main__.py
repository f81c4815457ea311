"""The command line: `python -m bidders serve`."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import get_args

import msgspec

from bidders.crm import READY_MADE, Behaviour, CrmServer, Failure, crm_server

PARENT_POLL_SECONDS = 1.0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bidders",
        description="Buyers' systems for the demo, the tests and the benchmarks.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser(
        "serve",
        help="serve CRMs that take, delay, refuse or fail lead deliveries",
        description="Serve the CRMs good, slow, failing and refusing, and any made later with "
        "PUT /crm/{name}. Prints each CRM's name and URL once ready; stops on SIGINT or SIGTERM.",
    )
    _add_server_options(serve)
    _add_behaviour_options(serve)
    return parser


def _add_server_options(serve: argparse.ArgumentParser) -> None:
    add = serve.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add(
        "--port",
        type=_port,
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
    add("--parent-pid", type=_pid, metavar="PID", help="stop when this process is gone")


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


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError("must be from 0 to 65535")
    return port


def _pid(text: str) -> int:
    pid = int(text)
    if pid < 1:  # 0 and below mean groups of processes
        raise argparse.ArgumentTypeError("must be at least 1")
    return pid


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
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server = crm_server(
        seed=options.seed, host=options.host, port=options.port, behaviours=behaviours
    )
    async with server as crm:
        _announce(crm, options.ready_file)
        if options.parent_pid is None:
            await stop.wait()
        else:
            await _wait_while_alive(options.parent_pid, stop)


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


async def _wait_while_alive(pid: int, stop: asyncio.Event) -> None:
    # A child is told of its parent's end by getting another, even while the parent is a zombie.
    is_parent = os.getppid() == pid
    while os.getppid() == pid if is_parent else _is_alive(pid):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), PARENT_POLL_SECONDS)
            return


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is there, and somebody else's
    return True


def _remove(ready_file: Path | None) -> None:
    if ready_file is not None:
        with contextlib.suppress(OSError):
            ready_file.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
