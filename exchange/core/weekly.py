"""A week beside the week before: figures, their change, and a sentence for each. Source: rules §12.

Figures are exact decimals: counts whole, dollars and percentages with two decimals.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, Literal

from msgspec import Struct

from exchange.core.money import format_cents, percent_hundredths
from exchange.core.report_rows import Row, average, rate
from exchange.core.reports import Reader

Unit = Literal["count", "dollars", "percent"]


class Figure(Struct, frozen=True):
    """A figure of a week: a count, cents, or hundredths of a percent; None where there is none.

    ``one`` are the words where the count is 1.
    """

    name: str
    words: str
    unit: Unit
    amount: int | None
    one: str | None = None


def weekly_rows(week: Mapping[str, int], before: Mapping[str, int], reader: Reader) -> list[Row]:
    """The rows of a weekly summary from the sums of both weeks."""
    pairs = zip(_figures(week, reader), _figures(before, reader), strict=True)
    return [_row(now, then) for now, then in pairs]


def _figures(sums: Mapping[str, int], reader: Reader) -> list[Figure]:
    def of(name: str) -> int:
        return sums.get(name, 0)

    pings = [
        Figure("pings", "pings decided", "count", of("pings"), "ping decided"),
        Figure("offers", "offers made", "count", of("offers"), "offer made"),
        Figure("posts", "leads posted", "count", of("posts"), "lead posted"),
        Figure("sold", "leads sold", "count", of("sold"), "lead sold"),
    ]
    returned = Figure("returned", "legs returned", "count", of("manual"), "leg returned")
    if reader == "seller":
        net = of("pay") - of("manual_pay")
        return [
            *pings,
            Figure(
                "sold_pct", "of the posted leads sold", "percent", rate(of("sold"), of("posts"))
            ),
            Figure("revenue", "earned", "dollars", of("pay")),
            Figure("average_price", "earned for a leg", "dollars", average(of("pay"), of("sales"))),
            returned,
            Figure("taken_back", "taken back for returns", "dollars", of("manual_pay")),
            Figure("net_revenue", "left after returns", "dollars", net),
        ]
    assigned = of("charged") + of("crm_cents")
    # As in the rates: a return under review counts, and is not credited.
    rejected = of("manual_cents") + of("review_cents") + of("crm_cents")
    costs = [
        Figure("legs", "legs sold", "count", of("sales"), "leg sold"),
        Figure("charged", "charged", "dollars", of("charged")),
        Figure(
            "average_price", "charged for a leg", "dollars", average(of("charged"), of("sales"))
        ),
        returned,
        Figure("credited", "credited for returns", "dollars", of("manual_cents")),
        Figure(
            "failed", "deliveries failed for good", "count", of("crm"), "delivery failed for good"
        ),
        Figure("lost", "lost by failed deliveries", "dollars", of("crm_cents")),
        Figure(
            "rejection_pct", "of what was assigned rejected", "percent", rate(rejected, assigned)
        ),
        Figure(
            "refused_at_post",
            "legs refused at the post",
            "count",
            of("refused_at_post"),
            "leg refused at the post",
        ),
    ]
    if reader == "company":
        return [
            Figure(
                "pings",
                "pings the company is named in",
                "count",
                of("pings"),
                "ping the company is named in",
            ),
            Figure("bids", "pings bid for", "count", of("bids"), "ping bid for"),
            Figure("won", "auctions won", "count", of("won"), "auction won"),
            *costs,
        ]
    kept = of("charged") - of("manual_cents") - of("pay") + of("manual_pay")
    return [*pings, *costs, Figure("margin", "kept as margin", "dollars", kept)]


_SIGNS: Final = {True: "up", False: "down"}


def _row(now: Figure, then: Figure) -> Row:
    change = None if now.amount is None or then.amount is None else now.amount - then.amount
    change_pct = None
    if change is not None and then.amount is not None and then.amount > 0:
        change_pct = percent_hundredths(change, then.amount)
    return {
        "figure": now.name,
        "unit": now.unit,
        "week": _decimal(now.amount, now.unit),
        "week_before": _decimal(then.amount, now.unit),
        "change": _decimal(change, now.unit),
        "change_pct": _decimal(change_pct, "percent"),
        "sentence": _sentence(now, then, change, change_pct),
    }


def _decimal(amount: int | None, unit: Unit) -> Decimal | None:
    if amount is None:
        return None
    return Decimal(amount) if unit == "count" else Decimal(amount).scaleb(-2)


def _words(amount: int | None, unit: Unit) -> str:
    if amount is None:
        return "nothing"
    if unit == "count":
        return f"{amount:,}"
    text = format_cents(abs(amount))
    whole, _, part = text.partition(".")
    grouped = f"{int(whole):,}.{part}"
    sign = "-" if amount < 0 else ""
    return f"{sign}${grouped}" if unit == "dollars" else f"{sign}{grouped} %"


def _sentence(now: Figure, then: Figure, change: int | None, change_pct: int | None) -> str:
    words = now.one if now.one is not None and now.amount == 1 else now.words
    begin = f"{_words(now.amount, now.unit)} {words}"
    if change is None:
        return f"{begin}, against {_words(then.amount, then.unit)} the week before."
    if not change:
        return f"{begin}, as in the week before."
    moved = f"{_SIGNS[change > 0]} from {_words(then.amount, then.unit)}"
    if now.unit == "percent":
        return f"{begin}, {moved} ({_words(abs(change), 'percent')[:-2]} points)."
    if change_pct is None:
        return f"{begin}, {moved}."
    return f"{begin}, {moved} ({_words(abs(change_pct), 'percent')})."
