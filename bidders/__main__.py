"""The command line: `python -m bidders serve`, and the others."""

import argparse
import sys

from bidders.commands import fast, proxy, serve


def build_parser() -> argparse.ArgumentParser:
    """Make what reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bidders",
        description="Companies' systems for the demo, the tests and the benchmarks.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serve.add_parser(commands)
    fast.add_parser(commands)
    proxy.add_parser(commands)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = build_parser().parse_args(arguments)
    status: int = options.run(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
