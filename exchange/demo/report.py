"""What the demo's month tells: its progress, the table at the end, and what was looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from msgspec import Struct
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID
from rich.table import Table
from rich.text import Text

from exchange.core.money import format_cents
from exchange.core.standing import Standing, Verdict
from exchange.demo.people import DemoCompany
from exchange.demo.steering import Aim, tenths

DAYS: Final = 30
_RATES_WIDTH: Final = 17
WIDE: Final = 104
"""Columns for the whole table."""


class Line(Struct, frozen=True, kw_only=True):
    """One company's line of the table; rates in tenths of a percent, money in cents.

    ``pinged`` is what became of its $100.00 bid in a real ping, in words.
    """

    name: str
    assigned: int
    rejected: int
    overall_tenths: int
    crm_tenths: int
    verdict: str
    price_cents: int
    pinged: str
    holds: bool


class Teller:
    """Tells the month on a console: a bar where it is a terminal, else a line a day."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def say(self, sentence: str = "") -> None:
        """Print a sentence as it is."""
        self._console.print(Text(sentence), soft_wrap=True)

    @contextmanager
    def progress(self, names: Sequence[str]) -> Iterator[None]:
        """Show the days as they pass, with the rates of the companies of these names."""
        self.say("Rates are overall / CRM; in brackets the CRM failures that protection keeps out.")
        heads = "".join(f"  {name:<{_RATES_WIDTH}}" for name in names)
        self.say(f"{'day':<10}  sold{heads}".rstrip())
        if not self._console.is_terminal:
            yield
            return
        with Progress("{task.description}", BarColumn(10), console=self._console) as bar:
            self._bar, self._task = bar, bar.add_task("", total=DAYS)
            yield
            self._bar = None

    def tell_day(
        self, day: int, at: datetime, sold: int, cases: Sequence[tuple[Aim, DemoCompany]]
    ) -> None:
        """Tell a day that has passed: leads sold, and each company's rates, overall and CRM."""
        rates = "".join(f"  {_rates(company.standing):<{_RATES_WIDTH}}" for _, company in cases)
        told = f"{at:%Y-%m-%d}  {sold:>4}{rates}"
        if self._bar is not None:
            self._bar.update(self._task, completed=day + 1, description=told)
        else:
            self.say(told.rstrip())

    def show_table(self, lines: Sequence[Line]) -> None:
        """Print the table of the companies; on a wide console with what the rates are over."""
        wide = self._console.width >= WIDE
        table = Table(box=SIMPLE, collapse_padding=True, pad_edge=False)
        table.add_column("after 30 days", no_wrap=True)
        for name in ("assigned", "rejected") if wide else ():
            table.add_column(name, justify="right")
        for name in ("overall", "CRM"):
            table.add_column(name, justify="right")
        table.add_column("verdict")
        table.add_column("$100.00 lead", justify="right")
        table.add_column("in a ping")
        for line in lines:
            price = dollars(line.price_cents)
            sums = (dollars(line.assigned), dollars(line.rejected)) if wide else ()
            table.add_row(
                line.name,
                *sums,
                percent(line.overall_tenths),
                percent(line.crm_tenths),
                line.verdict,
                f"({price})" if line.verdict == Verdict.EXCLUDED else price,
                line.pinged,
                style=None if line.holds else "red",
            )
        self._console.print(table)


def _rates(standing: Standing) -> str:
    """Overall and CRM rate as they count, and in brackets what protection keeps from counting."""
    overall = tenths(standing.rejected, standing.assigned)
    crm = tenths(standing.crm_rejected, standing.crm_assigned)
    if not standing.protected:
        return f"{number(overall)} / {number(crm)} %"
    failed = tenths(standing.raw_crm_rejected, standing.raw_crm_assigned)
    return f"{number(overall)} / {number(crm)} ({number(failed)}) %"


def dollars(cents: int) -> str:
    """Cents as people write them."""
    whole, _, part = format_cents(cents).partition(".")
    return f"${int(whole):,}.{part}"


def percent(rate_tenths: int) -> str:
    """A rate in tenths of a percent as people write it."""
    return f"{number(rate_tenths)} %"


def number(rate_tenths: int) -> str:
    """A rate in tenths of a percent, without the sign."""
    return f"{rate_tenths // 10}.{rate_tenths % 10}"
