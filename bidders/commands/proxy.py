"""`python -m bidders proxy`: a fault proxy, told over HTTP what to do."""

from __future__ import annotations

import argparse
import asyncio
import sys

from aiohttp import web

from bidders.process import read_pid, read_port, wait_for_end, watch_signals, write_address
from bidders.proxy import fault_proxy
from bidders.proxy.control import control_app


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "proxy",
        help="stand between a client and a server, and let TCP fail",
        description="Pass connections on to a server, and let them be late, slow, cut, reset, "
        "refused or swallowed, as PUT /faults on the control port says.",
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("--to", type=_address, required=True, metavar="HOST:PORT", help="the server")
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=read_port, default=0, help="port to listen on (any free one)")
    add("--control-port", type=read_port, default=0, help="port of the control (any free one)")
    add("--parent-pid", type=read_pid, metavar="PID", help="stop when this process is gone")


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop; return the exit status."""
    try:
        asyncio.run(_serve(options))
    except OSError as fault:
        print(f"bidders: cannot serve: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0  # came before the signals were ours
    return 0


async def _serve(options: argparse.Namespace) -> None:
    stop = watch_signals()
    to_host, to_port = options.to
    passing = fault_proxy(to_host, to_port, host=options.host, port=options.port)
    async with passing as proxy:
        runner = web.AppRunner(control_app(proxy), access_log=None, shutdown_timeout=0.3)
        await runner.setup()
        try:
            await web.TCPSite(runner, options.host, options.control_port).start()
            control = write_address(options.host, int(runner.addresses[0][1]))
            print(f"proxy    {write_address(proxy.host, proxy.port)}")
            print(f"control  http://{control}/faults", flush=True)
            await wait_for_end(stop, options.parent_pid)
        finally:
            await runner.cleanup()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host:
        raise argparse.ArgumentTypeError("must be HOST:PORT")
    return host.strip("[]"), read_port(port)
