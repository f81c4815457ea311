"""The reports there are: who may read each, what may be asked, what its columns mean.

Values only; the figures come from day summaries, the arithmetic is in `core.report_rows`.
Source: rules §12 (what each side sees), §4 (days and dollars).
"""

from __future__ import annotations

from datetime import date
from typing import Final, Literal

from msgspec import Struct

Reader = Literal["seller", "company", "operator"]
"""Who reads a report."""

Spell = Literal["day", "week", "month"]
"""How long a row's time is; weeks begin on Monday."""

SPELLS: Final[tuple[Spell, ...]] = ("day", "week", "month")

MAX_DAYS: Final = 400
"""Days a report may be over: a year, and what makes its months and weeks whole."""

MAX_ROWS: Final = 30_000
"""Rows a report may have; more is refused, with the advice to ask for less."""

LEAST_PEERS: Final = 5
"""Other companies there must be before the market's figures are shown beside one's own."""

Kind = Literal["text", "date", "count", "money", "percent", "figure"]
"""What a cell holds; a figure is a count, dollars or a percentage, as its row says."""

Level = Literal["market", "seller", "company"]

EVERYONE: Final[frozenset[Reader]] = frozenset({"seller", "company", "operator"})
_BUYING: Final[frozenset[Reader]] = frozenset({"company", "operator"})
_SELLING: Final[frozenset[Reader]] = frozenset({"seller", "operator"})
_OPERATOR: Final[frozenset[Reader]] = frozenset({"operator"})


class Column(Struct, frozen=True, kw_only=True):
    """A column: its name on the wire, what it holds, what that means, and who sees it."""

    name: str
    kind: Kind
    meaning: str
    readers: frozenset[Reader] = EVERYONE


class ReportSpec(Struct, frozen=True, kw_only=True):
    """A report: ``by`` are the ways its rows may be cut, the first is taken where none is named.

    ``spells`` are the lengths of time its rows may be of, likewise; none where it has a fixed one.
    ``notes`` say what its figures are, and are not.
    """

    name: str
    title: str
    description: str
    readers: frozenset[Reader]
    columns: tuple[Column, ...]
    spells: tuple[Spell, ...] = ("month", "week", "day")
    by: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def columns_for(self, reader: Reader) -> tuple[Column, ...]:
        """The columns a reader sees."""
        return tuple(column for column in self.columns if reader in column.readers)

    def cuts_for(self, reader: Reader) -> tuple[str, ...]:
        """The ways a reader may cut its rows: a seller's sources are not a company's."""
        return tuple(by for by in self.by if by != "source" or reader != "company")


class ReportAsk(Struct, frozen=True, kw_only=True):
    """A report as it is asked for, all of it judged: days are inclusive, in the market's timezone.

    ``party`` is the seller or company it is of; None, for an operator alone, is the whole market.
    """

    spec: ReportSpec
    reader: Reader
    level: Level
    party: str | None
    first: date
    last: date
    spell: Spell
    by: str | None = None
    vertical: str | None = None


def _text(name: str, meaning: str, readers: frozenset[Reader] = EVERYONE) -> Column:
    return Column(name=name, kind="text", meaning=meaning, readers=readers)


def _count(name: str, meaning: str, readers: frozenset[Reader] = EVERYONE) -> Column:
    return Column(name=name, kind="count", meaning=meaning, readers=readers)


def _money(name: str, meaning: str, readers: frozenset[Reader] = EVERYONE) -> Column:
    return Column(name=name, kind="money", meaning=meaning, readers=readers)


def _percent(name: str, meaning: str, readers: frozenset[Reader] = EVERYONE) -> Column:
    return Column(name=name, kind="percent", meaning=meaning, readers=readers)


_PERIOD: Final = Column(
    name="period", kind="date", meaning="the first day of the row's day, week or month"
)
_COMPANY: Final = _text("company_id", "the company")
_SELLER: Final = _text("seller_id", "the seller")
_SALES: Final = _count("leads", "legs of leads that were sold; a lead shared by three has three")
_ASSIGNED_DAY: Final = (
    "A lead counts on the day it was assigned, in the market's timezone; so does its rejection, "
    "however late it came."
)
_BEHIND: Final = "Figures follow sales and returns by a few seconds."
_NAMED: Final = (
    "Pings count for a company where the receipt names it. Where a vertical has more than 50 "
    "campaigns, a receipt names those in line for the lead and up to 50 that fell short by price, "
    "room or their own bidder's answer, and only counts the others: what filters, schedules and "
    "the gate kept out there is not in a company's figures."
)

_IMPACT: Final = ReportSpec(
    name="monthly-impact",
    title="Monthly impact",
    description="What was sold, what rejections cost, and what the gate refused.",
    readers=_BUYING,
    columns=(
        _PERIOD,
        _SALES,
        _money("revenue", "what companies were charged, before returns"),
        _money("assigned", "charged, and what failed deliveries would have been charged"),
        _count("returned", "leads companies returned, those under review too"),
        _money("credited", "what was credited for them"),
        _money("in_review", "of those under review: in the rate, and credited when approved"),
        _count("failed", "deliveries that failed for good"),
        _money("lost", "what they would have been charged"),
        _money("rejections_cost", "credited and lost together"),
        _percent("rejection_pct", "credited, in_review and lost, of assigned"),
        _percent("crm_pct", "lost of assigned"),
        _money("net_revenue", "revenue less what was credited"),
        _money("margin", "the operator's part of net_revenue", _OPERATOR),
        _count(
            "gate_refused",
            "pings on which a company was kept out by its CRM rejection rate; counted where the "
            "receipt names the company, so not in verticals of more than 50 campaigns",
        ),
        _count(
            "gate_refused_campaigns",
            "campaigns kept out by it, over all pings; counted from every receipt",
            _OPERATOR,
        ),
    ),
    notes=(_ASSIGNED_DAY, _NAMED, _BEHIND),
)

_SAVINGS: Final = ReportSpec(
    name="savings",
    title="Savings from real-time refusal",
    description="What leads refused in real time would have cost each company, by reason.",
    readers=_BUYING,
    columns=(
        _PERIOD,
        _COMPANY,
        _text("stage", "ping: kept out of an auction; post: refused by the company's system"),
        _text("reason", "why"),
        _count("refused", "how many"),
        _money("average_charge", "what the company was charged for a lead on average, that period"),
        _money("value", "what they would have cost; empty where the company bought nothing"),
        _text("basis", "estimate: refused times average_charge; exact: the prices refused"),
    ),
    notes=(
        "At the ping the value is an estimate: the count times the company's average charge per "
        "lead in the same period. It is a most: not every lead bid for is won.",
        "At the post it is exact: the sum of what the refused leads would have been charged.",
        "What a campaign's filter, schedule or share count left out is not counted: those leads "
        "were not wanted.",
        _NAMED,
        _BEHIND,
    ),
)

_SELL_THROUGH: Final = ReportSpec(
    name="sell-through",
    title="Sell-through",
    description="How far a seller's leads came: pings, offers, posts, sales, returns, revenue.",
    readers=_SELLING,
    columns=(
        _PERIOD,
        _SELLER,
        _count("pings", "pings decided, test leads left out"),
        _count("refused", "of them, refused whole"),
        _count("no_offers", "of them, without an offer"),
        _count("offers", "of them, with an offer"),
        _percent("offer_pct", "offers of pings"),
        _count("posts", "leads posted"),
        _count("sold", "of them, sold to at least one company"),
        _percent("sold_pct", "sold of posts"),
        _count("legs", "legs sold; a lead shared by three has three"),
        _money("revenue", "the seller's pay for them, before returns"),
        _money("average_price", "revenue for a leg"),
        _count("returned", "legs returned, those under review too"),
        _percent("returned_pct", "returned of legs"),
        _money("taken_back", "pay reversed for them; of those under review, when approved"),
        _money("net_revenue", "revenue less taken_back"),
        _money("charged", "what companies were charged for the legs", _OPERATOR),
        _money("margin", "the operator's part of it, after returns", _OPERATOR),
    ),
    notes=(
        "Pings and posts count on their own day; sales and returns on the day the lead was "
        "assigned. Pings whose body could not be read left no receipt, and do not count.",
        _BEHIND,
    ),
)

_REFUSALS: Final = ReportSpec(
    name="refusals-and-returns",
    title="Refusals and returns",
    description="What was refused and returned, by reason, by area or by source.",
    readers=EVERYONE,
    by=("reason", "area", "source"),
    columns=(
        _PERIOD,
        _text("party_id", "the seller whose source it is", _OPERATOR),
        _text("value", "the reason, the state, or the seller's sub_id; empty where unknown"),
        _text("meaning", "the reason as a sentence"),
        _count(
            "pings",
            "pings; by reason: those on which it kept at least one campaign from bidding or "
            "winning, whether or not another bought",
            _SELLING,
        ),
        _count("pings_refused", "pings refused whole", _SELLING),
        _count("posts", "leads posted; by reason: those not sold, for this reason", _SELLING),
        _count("sold", "of them, sold to somebody", _SELLING),
        _count("legs", "legs sold"),
        _money("amount", "a seller's pay for them; what others were charged"),
        _count("refused_at_post", "legs refused by companies' systems"),
        _count("failed", "legs whose delivery failed for good"),
        _count("returned", "legs returned, those under review too"),
        _money("returned_amount", "what that took back, or credited; under review, when approved"),
    ),
    notes=(
        "By reason a ping counts once for every reason one of its campaigns had, sold or not: the "
        "rows do not add up to the pings. How many were sold is in sell-through.",
        _ASSIGNED_DAY,
        "Area is the lead's state, source the seller's sub_id.",
        _BEHIND,
    ),
)

_CONTRACTS: Final = ReportSpec(
    name="contracts",
    title="Contracts by kind",
    description="Discount contracts beside quality contracts: volume, price and what came back.",
    readers=EVERYONE,
    columns=(
        _PERIOD,
        _text("kind", "the kind of contract the sale was made under; none where there was none"),
        _SALES,
        _money("amount", "a seller's pay for them; what others were charged"),
        _money("average_price", "amount for a leg"),
        _count("returned", "legs returned, those under review too"),
        _money("returned_amount", "what that took back, or credited; under review, when approved"),
        _percent("returned_pct", "returned_amount of amount"),
        _money("net_amount", "amount less returned_amount"),
        _money("net_average_price", "net_amount for a leg that was kept or is under review"),
    ),
    notes=(
        "A flat discount in place of returns rewards volume over quality: what it costs shows in "
        "average_price, what it hides does not show in returned_pct.",
        _ASSIGNED_DAY,
        _BEHIND,
    ),
)

_LOST: Final = ReportSpec(
    name="lost-bids",
    title="Lost bids",
    description="On how many pings a company won, lost or did not bid, and why.",
    readers=_BUYING,
    columns=(
        _PERIOD,
        _COMPANY,
        _text("outcome", "won, lost (it had a price) or no_bid"),
        _text("reason", "the reason that came nearest to a bid; empty where it won"),
        _text("meaning", "the reason as a sentence"),
        _count("pings", "pings, each counted once however many campaigns the company has"),
        _percent("pings_pct", "of all pings the company is named in, in the period"),
    ),
    notes=("Nobody else's bid is told: only that it was higher.", _NAMED, _BEHIND),
)

_WEEKLY: Final = ReportSpec(
    name="weekly-summary",
    title="Weekly summary",
    description="A week's figures against the week before, in numbers and in sentences.",
    readers=EVERYONE,
    spells=(),
    columns=(
        _text("figure", "what is compared"),
        _text("unit", "count, dollars or percent"),
        Column(name="week", kind="figure", meaning="in the week, which began on from"),
        Column(name="week_before", kind="figure", meaning="in the week before"),
        Column(name="change", kind="figure", meaning="the difference; of percents, in points"),
        Column(
            name="change_pct",
            kind="figure",
            meaning="the difference in percent of the week before; empty where that was zero",
        ),
        _text("sentence", "the same in words"),
    ),
    notes=(
        "The week is the one that to lies in, Monday to Sunday; without to, the last whole one.",
        _ASSIGNED_DAY,
        _BEHIND,
    ),
)

_COMPARISON: Final = ReportSpec(
    name="market-comparison",
    title="Beside the market",
    description="A company's rejection rate and price beside those of all companies together.",
    readers=_BUYING,
    columns=(
        _PERIOD,
        _COMPANY,
        _text("vertical", "what was traded"),
        _count("leads", "legs the company bought"),
        _percent("rejection_pct", "its rejections, by value, of what was assigned to it"),
        _percent("market_rejection_pct", "the same of all companies"),
        _money("average_price", "what it was charged for a leg"),
        _money("market_average_price", "the same of all companies"),
        _text("market", "shown, or too_few where fewer than five other companies bought"),
    ),
    notes=(
        "The market's figures are those of all companies together, and are shown only where at "
        "least five others bought in the same vertical and period: nobody's figures can be told.",
        _ASSIGNED_DAY,
        _BEHIND,
    ),
)

REPORTS: Final[dict[str, ReportSpec]] = {
    spec.name: spec
    for spec in (
        _IMPACT, _SAVINGS, _SELL_THROUGH, _REFUSALS, _CONTRACTS, _LOST, _WEEKLY, _COMPARISON,
    )
}  # fmt: skip
"""Every report by its name on the wire."""
