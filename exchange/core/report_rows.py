"""Sums of day summaries into the rows of a report: rates, averages, and what a saving is worth.

Money is cents, percentages hundredths; each is rounded once, half to even, for display alone.
Source: rules §4 (rates by value), §12.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Final

from exchange.core.money import divide_half_even, percent_hundredths
from exchange.core.reasons import Reason
from exchange.core.reports import LEAST_PEERS, Reader

Sums = Mapping[str, object]
"""One row of sums as the store gives it, by name; a missing or null sum is zero."""

Cell = str | int | date | Decimal | None
"""A cell: cents where the column is money, hundredths where it is a percentage."""

Row = dict[str, Cell]

_UNWANTED: Final = frozenset(
    {
        Reason.INACTIVE,
        Reason.FILTER,
        Reason.SCHEDULE,
        Reason.SHARE_MODE,
        *(reason for reason in Reason if 230 <= reason < 250),
    }
)
"""Why a campaign did not bid although nothing was refused: it did not want the lead, or its bidder
did not."""

SAVING_REASONS: Final = tuple(
    reason for reason in Reason if 200 <= reason < 300 and reason not in _UNWANTED
)
"""What counts as refused in real time at the ping."""


def row_of(report: str, sums: Sums, reader: Reader) -> Row:
    """A report's row, with every column any reader sees."""
    return _ROWS[report](_Sums(sums), reader)


class _Sums:
    """Sums by name."""

    def __init__(self, sums: Sums) -> None:
        self._sums = sums

    def __call__(self, name: str) -> int:
        found = self._sums.get(name)
        return found if isinstance(found, int) else 0

    def text(self, name: str) -> str:
        found = self._sums.get(name)
        return found if isinstance(found, str) else ""

    def day(self, name: str) -> date | None:
        found = self._sums.get(name)
        return found if isinstance(found, date) else None


def average(cents: int, count: int) -> int | None:
    """Cents a piece, half to even; None of nothing."""
    return divide_half_even(cents, count) if count else None


def rate(part: int, whole: int) -> int | None:
    """A part in hundredths of a percent; None of nothing."""
    return percent_hundredths(part, whole) if whole > 0 else None


def name_reason(number: str) -> tuple[str, str]:
    """A reason's code and sentence by its number; one nobody knows here is told as its number."""
    try:
        reason = Reason(int(number))
    except ValueError:
        return number, ""
    return reason.code, reason.message


def _impact(sums: _Sums, reader: Reader) -> Row:
    charged, credited, lost = sums("charged"), sums("manual_cents"), sums("crm_cents")
    in_review = sums("review_cents")
    assigned = charged + lost
    kept = charged - credited
    return {
        "period": sums.day("period"),
        "leads": sums("sales"),
        "revenue": charged,
        "assigned": assigned,
        "returned": sums("manual"),
        "credited": credited,
        "in_review": in_review,
        "failed": sums("crm"),
        "lost": lost,
        "rejections_cost": credited + lost,
        "rejection_pct": rate(credited + in_review + lost, assigned),
        "crm_pct": rate(lost, assigned),
        "net_revenue": kept,
        "margin": kept - (sums("pay") - sums("manual_pay")),
        "gate_refused": sums("gate_refused"),
        "gate_refused_campaigns": sums("gate_campaigns"),
    }


def _savings(sums: _Sums, reader: Reader) -> Row:
    at_post = sums.text("stage") == "post"
    refused, mean = sums("refused"), average(sums("charged"), sums("sales"))
    estimate = None if mean is None else refused * mean
    return {
        "period": sums.day("period"),
        "company_id": sums.text("party"),
        "stage": sums.text("stage"),
        "reason": name_reason(sums.text("value"))[0],
        "refused": refused,
        "average_charge": mean,
        "value": sums("cents") if at_post else estimate,
        "basis": "exact" if at_post else "estimate",
    }


def _sell_through(sums: _Sums, reader: Reader) -> Row:
    pings, offers, refused = sums("pings"), sums("offers"), sums("refused")
    pay, charged = sums("pay"), sums("charged")
    net = pay - sums("manual_pay")
    return {
        "period": sums.day("period"),
        "seller_id": sums.text("party"),
        "pings": pings,
        "refused": refused,
        "no_offers": pings - offers - refused,
        "offers": offers,
        "offer_pct": rate(offers, pings),
        "posts": sums("posts"),
        "sold": sums("sold"),
        "sold_pct": rate(sums("sold"), sums("posts")),
        "legs": sums("sales"),
        "revenue": pay,
        "average_price": average(pay, sums("sales")),
        "returned": sums("manual"),
        "returned_pct": rate(sums("manual"), sums("sales")),
        "taken_back": sums("manual_pay"),
        "net_revenue": net,
        "charged": charged,
        "margin": charged - sums("manual_cents") - net,
    }


def _side(sums: _Sums, reader: Reader) -> tuple[int, int]:
    """What sales and returns came to, on the reader's side."""
    if reader == "seller":
        return sums("pay"), sums("manual_pay")
    return sums("charged"), sums("manual_cents")


def _refusals(sums: _Sums, reader: Reader) -> Row:
    amount, returned_amount = _side(sums, reader)
    return {
        "period": sums.day("period"),
        "party_id": sums.text("party"),
        "value": sums.text("value"),
        "meaning": "",
        "pings": sums("pings"),
        "pings_refused": sums("pings_refused"),
        "posts": sums("posts"),
        "sold": sums("sold"),
        "legs": sums("sales"),
        "amount": amount,
        "refused_at_post": sums("refused"),
        "failed": sums("crm"),
        "returned": sums("manual"),
        "returned_amount": returned_amount,
    }


def _reasons(sums: _Sums, reader: Reader) -> Row:
    row = _refusals(sums, reader)
    row["value"], row["meaning"] = name_reason(sums.text("value"))
    return row


def _contracts(sums: _Sums, reader: Reader) -> Row:
    amount, returned_amount = _side(sums, reader)
    sales, returned = sums("sales"), sums("manual")
    given_back = returned - sums("review")
    return {
        "period": sums.day("period"),
        "kind": sums.text("value"),
        "leads": sales,
        "amount": amount,
        "average_price": average(amount, sales),
        "returned": returned,
        "returned_amount": returned_amount,
        "returned_pct": rate(returned_amount, amount),
        "net_amount": amount - returned_amount,
        "net_average_price": average(amount - returned_amount, sales - given_back),
    }


def _lost(sums: _Sums, reader: Reader) -> Row:
    number = sums.text("value")
    code, meaning = name_reason(number) if number else ("", "")
    outcome = "won" if not number else "lost" if number.startswith("3") else "no_bid"
    return {
        "period": sums.day("period"),
        "company_id": sums.text("party"),
        "outcome": outcome,
        "reason": code,
        "meaning": meaning,
        "pings": sums("pings"),
        "pings_pct": rate(sums("pings"), sums("named")),
    }


def _comparison(sums: _Sums, reader: Reader) -> Row:
    shown = sums("others") >= LEAST_PEERS
    rejected, lost = sums("returned_cents") + sums("crm_cents"), sums("market_crm_cents")
    market_rejected = sums("market_returned_cents") + lost
    return {
        "period": sums.day("period"),
        "company_id": sums.text("party"),
        "vertical": sums.text("vertical"),
        "leads": sums("sales"),
        "rejection_pct": rate(rejected, sums("charged") + sums("crm_cents")),
        "market_rejection_pct": rate(market_rejected, sums("market_charged") + lost)
        if shown
        else None,
        "average_price": average(sums("charged"), sums("sales")),
        "market_average_price": average(sums("market_charged"), sums("market_sales"))
        if shown
        else None,
        "market": "shown" if shown else "too_few",
    }


_ROWS: Final[dict[str, Callable[[_Sums, Reader], Row]]] = {
    "monthly-impact": _impact,
    "savings": _savings,
    "sell-through": _sell_through,
    "refusals-and-returns": _refusals,
    "refusals-and-returns by reason": _reasons,
    "contracts": _contracts,
    "lost-bids": _lost,
    "market-comparison": _comparison,
}
