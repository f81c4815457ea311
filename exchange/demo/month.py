"""`exchange demo`: a month of the demo market on a simulated clock, through the same flows.

Three companies come to the rates of rules §5 by real sales, real failing deliveries and real
returns; what the exchange makes of it is then held against the published prices and verdicts.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

import aiohttp
import uvloop
from rich.console import Console

from exchange.app import Exchange
from exchange.core.model import SellerId
from exchange.demo.consumers import Consumers
from exchange.demo.crms import CrmControl, start_crms
from exchange.demo.days import START, Days
from exchange.demo.market_file import read_market_file
from exchange.demo.people import DemoSeller, enrol
from exchange.demo.report import WIDE, Teller
from exchange.demo.stage import MovedClock, open_exchange, open_stores, quiet_logs
from exchange.demo.verdicts import look_at_check, look_at_receipts, look_at_table
from exchange.embedded import StoreFailed
from exchange.flow.faults import Fault
from exchange.settings import Settings

LIMIT_S: Final = 55.0
"""Longest the month may take, from the first ping to the last figure; it takes about fifteen."""

SLOW_CRM_MS: Final = 10
"""The slow CRM's delay here: a month of real slowness would take too long to watch."""

INTERRUPTED: Final = 130


def run_demo(settings: Settings, *, seed: int = 7, console: Console | None = None) -> int:
    """Live through the month; gives 0 if every rule of it held, 1 if not, 130 if interrupted.

    Starts stores of its own, or makes a database of its own on those the settings name. Everything
    it started is stopped and removed at the end, however it ends.
    """
    teller = Teller(console or _console())
    teller.say("A month of the demo market on a simulated clock, on stores of its own.")
    try:
        with quiet_logs(), open_stores(settings.stores) as stores:
            options = ["--slow-ms", str(SLOW_CRM_MS), "--fail-rate", "0", "--seed", str(seed)]
            with start_crms(options) as crm_urls:
                clock = MovedClock(START)

                async def live() -> list[str]:
                    async with open_exchange(stores, clock) as exchange:
                        return await _live(exchange, clock, crm_urls, random.Random(seed), teller)

                faults = _run(live())
    except (KeyboardInterrupt, asyncio.CancelledError):
        teller.say("stopped")
        return INTERRUPTED
    except TimeoutError:
        faults = [f"the month did not end within {LIMIT_S:.0f} s"]
    except (Fault, StoreFailed) as error:
        faults = [str(error)]
    for fault in faults:
        print(f"exchange demo: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _console() -> Console:
    console = Console(highlight=False)
    # What is no terminal, a pipe or a file, has room for the whole table.
    return console if console.is_terminal else Console(highlight=False, width=WIDE)


def _run(work: Coroutine[Any, Any, list[str]]) -> list[str]:
    """Run in a loop of its own; SIGTERM ends it as Ctrl-C does."""

    async def watched() -> list[str]:
        task = asyncio.current_task()
        assert task is not None
        with suppress(ValueError, RuntimeError):  # Only the main thread hears signals.
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(watched())


async def _live(
    exchange: Exchange,
    clock: MovedClock,
    crm_urls: dict[str, str],
    draw: random.Random,
    teller: Teller,
) -> list[str]:
    async with asyncio.timeout(LIMIT_S), aiohttp.ClientSession() as session:
        market = read_market_file()
        account, _ = await exchange.registry.create_account(
            "seller", market.seller, prepaid=False, now=clock.now()
        )
        seller = DemoSeller(exchange, SellerId(account.id))
        companies = await enrol(exchange, market.companies, crm_urls)
        days = Days(
            clock=clock,
            seller=seller,
            companies=companies,
            consumers=Consumers(draw, "demo"),
            control=CrmControl(session, crm_urls),
            draw=draw,
            teller=teller,
        )
        with teller.progress([company.name for _, company in days.cases]):
            await days.live()
        names = {company.company_id: company.name for company in companies}
        probe, faults = await look_at_table(days.cases, days.edge, seller, teller)
        faults += await look_at_receipts(exchange, seller, probe.ping_id, names, teller)
        faults += await look_at_check(exchange, teller)
        return faults
