"""The command line: what an operator types. A command is a function; a fault becomes one line."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, cast

from rich.console import Console
from rich.table import Table

from exchange import __version__
from exchange.app import Exchange
from exchange.bench.bounds import BenchError
from exchange.core.money import format_cents
from exchange.core.words import counted
from exchange.embedded import StoreFailed
from exchange.flow.faults import Fault
from exchange.flow.ports import Role
from exchange.serving.parent import ServeError
from exchange.serving.running import stores_of
from exchange.serving.serve import serve
from exchange.serving.worker import open_exchange, run_worker, set_up_logs
from exchange.settings import (
    Settings,
    SettingsError,
    describe_settings,
    load_or_make_secrets,
    read_settings,
)
from exchange.stores.postgres_migrations import MigrationError, migrate

MOST_RECEIPTS: Final = 10_000
"""Receipts recomputed by one command; of many campaigns that is an hour's work."""

OK: Final = 0
FAILED: Final = 1
MISUSED: Final = 2

# A pipe has no width; tables are read by programs there, and must not be cut.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 250)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code: 0 done, 1 failed, 2 misused."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        return cast(int, options.run(options))
    except SettingsError as error:
        for line in str(error).splitlines():
            print(f"exchange: {line}", file=sys.stderr)
        return MISUSED
    except (ServeError, StoreFailed, MigrationError, BenchError, Fault) as error:
        print(f"exchange: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(
        prog="exchange",
        description="An open lead exchange: sellers ping and post leads, companies bid for them.",
        epilog="Settings: config/exchange.toml and EXCHANGE_… variables; see exchange settings",
    )
    parser.add_argument("--version", action="version", version=f"exchange {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(
        name: str, run: Callable[[argparse.Namespace], int], help: str
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help, description=help)
        command.add_argument(
            "--config", type=Path, metavar="FILE", help="instead of config/exchange.toml"
        )
        command.add_argument(
            "--home",
            type=Path,
            metavar="FOLDER",
            help="where embedded stores and made secrets are kept",
        )
        command.set_defaults(run=run)
        return command

    serving = add("serve", run_serve, "Serve the exchange until Ctrl-C.")
    serving.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    serving.add_argument("--port", type=int, help="port to listen on (default 8080; 0 for any)")
    serving.add_argument("--workers", type=int, help="worker processes on that port (default 1)")
    serving.add_argument(
        "--demo-market", action="store_true", help="open a market of demo companies and a seller"
    )
    demo = add("demo", run_demo_command, "Live through a month of the demo market, in a minute.")
    demo.add_argument("--seed", type=int, default=7, help="which month (default 7)")
    add("migrate", run_migrate, "Bring the database schema up to this version.")
    checking = add(
        "check",
        run_check,
        "Compare the stores to the cent, sum the ledger; 1 on a fault.",
    )
    checking.add_argument(
        "--receipts",
        type=_receipts,
        metavar="COUNT",
        help="recompute so many of the newest receipts, every campaign of them, instead",
    )
    rebuilding = add("rebuild", run_rebuild, "Write the fast store anew from the database.")
    rebuilding.add_argument(
        "--summaries", action="store_true", help="make the day summaries of reports anew instead"
    )
    for option, dest, text in (("--from", "first", "first"), ("--to", "last", "last")):
        rebuilding.add_argument(
            option,
            dest=dest,
            type=date.fromisoformat,
            metavar="DAY",
            help=f"summaries: the {text} day, as 2026-11-21",
        )
    keys = add("keys", run_keys, "Issue, list or revoke API keys.")
    keys.add_argument("action", choices=("issue", "list", "revoke"))
    keys.add_argument("--role", choices=("seller", "company", "operator"), help="issue: for whom")
    keys.add_argument("--id", help="issue, list: whose; list without it: the operator's")
    keys.add_argument("--hash", help="revoke: the key's hash, as list shows it")
    add("settings", run_settings, "Show every setting: its key, variable, default and meaning.")
    bench = commands.add_parser("bench", help=(text := "Load a running exchange with pings."))
    bench.description = text
    bench.add_argument("url", metavar="URL", help="where it runs, as http://127.0.0.1:8080")
    bench.add_argument("--seller-key", required=True, help="the API key of a seller there")
    bench.add_argument("--vertical", default="solar", help="what is pinged (default solar)")
    bench.add_argument("--seconds", type=float, default=10.0, help="how long (default 10)")
    bench.add_argument("--connections", type=int, help="kept open (default 64; 512 with --rate)")
    bench.add_argument("--rate", type=float, help="pings a second, whatever the answers do")
    bench.add_argument(
        "--allow-remote", action="store_true", help="load another machine; it must be yours"
    )
    bench.set_defaults(run=run_bench)
    # Started by serve, not by people: without a help text it is not listed.
    commands.add_parser("worker").set_defaults(run=lambda options: run_worker())
    return parser


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings, with what the command line says above them. Raises SettingsError."""
    given = {
        "EXCHANGE_CONFIG": options.config,
        "EXCHANGE_HOME": options.home,
        "EXCHANGE_HTTP_HOST": getattr(options, "host", None),
        "EXCHANGE_HTTP_PORT": getattr(options, "port", None),
        "EXCHANGE_HTTP_WORKERS": getattr(options, "workers", None),
    }
    os.environ.update({name: str(value) for name, value in given.items() if value is not None})
    return read_settings()


def run_serve(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    settings = settings_of(options)
    return serve(settings, demo_market=options.demo_market, say=out.print)


def run_demo_command(options: argparse.Namespace) -> int:
    """A month of the demo market."""
    from exchange.demo.month import run_demo

    return int(run_demo(settings_of(options), seed=options.seed))


def run_migrate(options: argparse.Namespace) -> int:
    """Apply the migrations that are missing."""

    async def apply(exchange: Exchange) -> int:
        applied = await migrate(exchange.postgres)
        for name in applied:
            out.print(f"applied {name}")
        out.print("the schema is up to date")
        return OK

    return _with_exchange(options, apply, migrated=False)


def run_check(options: argparse.Namespace) -> int:
    """Compare the stores, or recompute receipts."""
    if options.receipts:
        return _with_exchange(options, lambda exchange: _check_receipts(exchange, options.receipts))

    async def look(exchange: Exchange) -> int:
        checked = await exchange.check()
        out.print(
            f"{counted(checked.companies, 'company', 'companies')}, "
            f"{counted(checked.leads, 'lead', 'leads')} ({checked.open_leads} open), "
            f"{counted(checked.sales, 'sale', 'sales')}, "
            f"{counted(checked.rejections, 'rejection', 'rejections')}"
        )
        out.print(
            f"ledger: {counted(checked.ledger_entries, 'entry', 'entries')}, "
            f"sum {format_cents(checked.ledger_cents)}"
        )
        for finding in checked.findings:
            out.print(f"FAULT {finding}", markup=False)
        faults = len(checked.findings)
        out.print("clean" if not faults else counted(faults, "fault", "faults"))
        return FAILED if checked.findings else OK

    return _with_exchange(options, look)


async def _check_receipts(exchange: Exchange, count: int) -> int:
    checked = await exchange.check_receipts(count)
    out.print(f"{checked.read} receipts, {checked.exact} of them known to the last campaign")
    for finding in checked.findings:
        out.print(f"DIFFERS {finding}", markup=False)
    return FAILED if checked.findings else OK


def _receipts(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MOST_RECEIPTS:
        raise argparse.ArgumentTypeError(f"must be from 1 to {MOST_RECEIPTS}")
    return int(text)


def run_rebuild(options: argparse.Namespace) -> int:
    """Write the fast store, or the day summaries, anew."""
    if options.summaries:
        return _with_exchange(
            options, lambda exchange: _rebuild_summaries(exchange, options.first, options.last)
        )
    if options.first or options.last:
        return _misused("--from and --to go with --summaries")

    async def write(exchange: Exchange) -> int:
        rebuilt = await exchange.rebuild()
        out.print(
            f"wrote {counted(rebuilt.companies, 'company', 'companies')}, "
            f"{counted(rebuilt.contacts, 'sold contact', 'sold contacts')} and "
            f"{counted(rebuilt.suppressed, 'suppressed one', 'suppressed ones')}, "
            f"removed {counted(rebuilt.removed, 'unknown company', 'unknown companies')}"
        )
        return OK

    return _with_exchange(options, write)


async def _rebuild_summaries(exchange: Exchange, first: date | None, last: date | None) -> int:
    await exchange.summaries.catch_up()
    days = await exchange.summaries.days()
    if days is None:
        out.print("there is nothing to make summaries of")
        return OK
    made = rows = 0
    async for day, count in exchange.summaries.rebuild(first or days[0], last or days[1]):
        made, rows = made + 1, rows + count
        if day.day == 1:
            out.print(f"made everything before {day}")
    days_made, rows_made = counted(made, "day", "days"), counted(rows, "row", "rows")
    out.print(f"made the summaries of {days_made}: {rows_made}")
    return OK


def run_keys(options: argparse.Namespace) -> int:
    """Issue, list or revoke API keys."""

    async def act(exchange: Exchange) -> int:
        now = datetime.now(UTC)
        if options.action == "issue":
            if options.role is None or (options.role != "operator" and not options.id):
                return _misused("issue needs --role, and --id for a seller or company")
            key = await exchange.registry.issue_key(
                cast(Role, options.role), options.id or "operators", now
            )
            out.print(key)
        elif options.action == "list":
            table = Table("hash", "role", "of", "issued", "revoked")
            of = [options.id] if options.id else ["operator", "operators"]
            for row in [r for who in of for r in await exchange.registry.keys_of(who)]:
                revoked = str(row["revoked_at"] or "")
                table.add_row(
                    row["hash"], row["role"], row["subject_id"], str(row["created_at"]), revoked
                )
            out.print(table)
        else:
            try:
                hashed = bytes.fromhex(options.hash or "")
            except ValueError:
                hashed = b""
            if len(hashed) != 32:
                return _misused("revoke needs --hash, 64 hex digits as list shows them")
            subject = await exchange.registry.revoke_key(hashed, now)
            if subject is None:
                print("exchange: no key in force has this hash", file=sys.stderr)
                return FAILED
            out.print(f"revoked a key of {subject}; every worker forgets it within 5 s")
        return OK

    return _with_exchange(options, act)


def run_bench(options: argparse.Namespace) -> int:
    """Load a running exchange."""
    from exchange.bench.command import Asked, rows_of, run_load

    given = {name: getattr(options, name) for name in Asked.__struct_fields__}
    table = Table("measured", "found")
    for what, found in rows_of(run_load(Asked(**given))):
        table.add_row(what, found)
    out.print(table)
    return OK


def run_settings(options: argparse.Namespace) -> int:
    """Show every setting."""
    table = Table("key", "variable", "default", "meaning")
    for key, variable, default, meaning in describe_settings():
        table.add_row(key, variable, str(default), meaning)
    out.print(table)
    return OK


def _misused(problem: str) -> int:
    print(f"exchange: {problem}", file=sys.stderr)
    return MISUSED


@asynccontextmanager
async def _opened(settings: Settings, migrated: bool) -> AsyncIterator[Exchange]:
    secrets = load_or_make_secrets(settings.stores.home, settings.secrets)
    exchange = open_exchange(settings, secrets)
    await exchange.open_stores()
    try:
        if migrated:
            await migrate(exchange.postgres)
        yield exchange
    finally:
        await exchange.close()


def _with_exchange(
    options: argparse.Namespace, act: Callable[[Exchange], Awaitable[int]], *, migrated: bool = True
) -> int:
    settings = settings_of(options)
    set_up_logs(settings)

    async def run(ready: Settings) -> int:
        async with _opened(ready, migrated) as exchange:
            return await act(exchange)

    with stores_of(settings) as ready:
        return asyncio.run(run(ready))
