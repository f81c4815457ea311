"""What the demo's month tells: its progress, the table at the end, and what was looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from exchange.core.money import format_cents
from exchange.core.standing import Standing
from exchange.demo.people import DemoCompany
from exchange.demo.steering import Aim, tenths

DAYS: Final = 30


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
    def progress(self) -> Iterator[None]:
        """Show the days as they pass."""
        if not self._console.is_terminal:
            yield
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as bar:
            self._bar, self._task = bar, bar.add_task("the first day", total=DAYS)
            yield
            self._bar = None

    def tell_day(
        self, day: int, at: datetime, sold: int, cases: Sequence[tuple[Aim, DemoCompany]]
    ) -> None:
        """Tell a day that has passed: leads sold, and each company's rates, overall and CRM."""
        rates = [f"{company.name} {_rates(company.standing)}" for _, company in cases]
        told = f"{at:%Y-%m-%d}  {sold:>2} sold  {'  '.join(rates)}"
        if self._bar is not None:
            self._bar.update(self._task, completed=day + 1, description=told)
        else:
            self.say(told)

    def show_table(self, lines: Sequence[Line]) -> None:
        """Print the table of the companies."""
        table = Table(title="After thirty days", title_justify="left")
        table.add_column("company")
        for name in ("assigned", "rejected", "overall", "CRM"):
            table.add_column(name, justify="right")
        table.add_column("verdict")
        table.add_column("a $100.00 lead", justify="right")
        table.add_column("in a ping just now")
        table.add_column("as published")
        for line in lines:
            price = dollars(line.price_cents)
            table.add_row(
                line.name,
                dollars(line.assigned),
                dollars(line.rejected),
                percent(line.overall_tenths),
                percent(line.crm_tenths),
                line.verdict,
                f"would be {price}" if line.verdict == "excluded" else price,
                line.pinged,
                "yes" if line.holds else "NO",
            )
        self._console.print(table)


def _rates(standing: Standing) -> str:
    """Overall and CRM rate as they count, and in brackets what protection keeps from counting."""
    overall = percent(tenths(standing.rejected, standing.assigned))
    crm = percent(tenths(standing.crm_rejected, standing.crm_assigned))
    failed = percent(tenths(standing.raw_crm_rejected, standing.raw_crm_assigned))
    return f"{overall} / {crm}" + (f" ({failed})" if standing.protected else "")


def dollars(cents: int) -> str:
    """Cents as people write them."""
    whole, _, part = format_cents(cents).partition(".")
    return f"${int(whole):,}.{part}"


def percent(rate_tenths: int) -> str:
    """A rate in tenths of a percent as people write it."""
    return f"{rate_tenths // 10}.{rate_tenths % 10} %"
