"""What the pings of a batch of receipts add to the day summaries, as they are written.

A seller's pings are counted whole. A company's are those a receipt names it in, each once: as won,
or by the reason that came nearest to a bid. A receipt over more than 50 campaigns names few of
them (see `flow.ping`); what it only counts is told by campaigns, at the seller. Test pings count
nowhere. Source: rules §12.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from operator import add
from typing import Final

import msgspec
from msgspec import Raw, Struct

from exchange.core.model import Offer
from exchange.core.reasons import Reason
from exchange.flow.ports import Receipt

MAX_VALUE: Final = 64
"""Characters kept of a source or area; the same bound is in the SQL that counts leads."""

Line = tuple[str, str, str, date, str, str, int, int, int, int, int, int, int]
"""Level, axis, party, day, vertical, value; pings, offers, refused, cents, bids, won, campaigns."""

_NUMBERS: Final = {reason.code: str(int(reason)) for reason in Reason if reason < 500}

_NEAREST: Final = (
    *(Reason.INACTIVE, Reason.FILTER, Reason.SCHEDULE, Reason.CAP, Reason.BUDGET, Reason.BALANCE),
    *(Reason.LEAD_AGE, None, Reason.SUPPRESSED, Reason.SOLD_BEFORE, Reason.SHARE_MODE),
    *(Reason.CONTRACT, Reason.CRM_GATE),
    *(reason for reason in Reason if 230 <= reason < 250),
    *(Reason.SAME_COMPANY, Reason.BELOW_FLOOR, Reason.BELOW_MIN_PRICE, Reason.SHARE_COUNT),
    *(Reason.FIRST_LOOK, Reason.OUTBID),
)
"""Reasons in the order in which a campaign meets them (rules §3, §7); None for those not listed."""

_SEPARATOR: Final = "\x1f"

LINES_AT_ONCE: Final = 64
"""Lines in a row of ping_tally at most: to fold so many takes the database two milliseconds."""

_STEP: Final = 1_000
"""Above every reason's number."""

_PLACES: Final = {reason: place for place, reason in enumerate(_NEAREST)}


def _nearness(reason: Reason) -> int:
    """How near to a bid a reason is: the higher the nearer, and its number in the last digits."""
    place = _PLACES.get(reason)
    if place is None:
        place = _PLACES[None] if reason < 300 else _PLACES[Reason.BELOW_MIN_PRICE]
    return (place + 1) * _STEP + reason


_NEAR: Final = {reason: _nearness(reason) for reason in Reason}
_OUTBID: Final = _NEAR[Reason.OUTBID]
_FIRST_LOOK: Final = _NEAR[Reason.FIRST_LOOK]
_WON: Final = max(_NEAR.values()) + 1


class _Place(Struct):
    state: str = ""


_place_of: Final = msgspec.json.Decoder(_Place).decode


class _Group:
    """What the pings of one seller, vertical and day come to so far.

    By area and source: pings, offers, refused, cents. By reason's code: pings, offers, refused,
    campaigns. By company and nearness: pings. ``won`` and ``outbid`` name a company for each ping
    it was in line for, to be counted together.
    """

    __slots__ = ("areas", "companies", "outbid", "reasons", "sources", "won")

    def __init__(self) -> None:
        self.areas: dict[str, list[int]] = {}
        self.sources: dict[str, list[int]] = {}
        self.reasons: dict[str, list[int]] = {}
        self.companies: dict[tuple[str, int], int] = {}
        self.won: list[str] = []
        self.outbid: list[str] = []

    def merge(self, other: _Group) -> None:
        """Count in what another group counted."""
        for own, others in (
            (self.areas, other.areas),
            (self.sources, other.sources),
            (self.reasons, other.reasons),
        ):
            for value, counts in others.items():
                before = own.get(value)
                own[value] = counts if before is None else list(map(add, before, counts))
        companies = self.companies
        for company_id, near, count in other.by_company():
            companies[company_id, near] = companies.get((company_id, near), 0) + count

    def by_company(self) -> Iterator[tuple[str, int, int]]:
        """Each company, a nearness, and its pings."""
        for (company_id, near), count in self.companies.items():
            yield company_id, near, count
        for near, named in ((_WON, self.won), (_OUTBID, self.outbid)):
            for company_id, count in Counter(named).items():
                yield company_id, near, count


class Tally:
    """Adds receipts up; ``today`` is the market's day of a time."""

    __slots__ = ("_groups", "_today")

    def __init__(self, today: Callable[[datetime], date]) -> None:
        self._today = today
        self._groups: dict[tuple[str, str, date], _Group] = {}

    def add(self, receipt: Receipt) -> None:
        """Count a receipt in."""
        if is_test(receipt):
            return
        key = (receipt.seller_id, receipt.vertical, self._today(receipt.decided_at))
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group()
        _count_seller(receipt, group)
        _count_companies(receipt, group)

    def merge(self, other: Tally) -> None:
        """Count in all that another tally counted; that one is used no more."""
        for key, group in other._groups.items():
            own = self._groups.setdefault(key, group)
            if own is not group:
                own.merge(group)

    def lines(self) -> list[Line]:
        """What was added so far, as the lines of ping_tally."""
        rows: list[Line] = []
        companies: dict[tuple[str, date, str, int], int] = {}
        for (seller_id, vertical, day), group in self._groups.items():
            rows.extend(_seller_rows(seller_id, day, vertical, group))
            for company_id, near, count in group.by_company():
                whose = (company_id, day, vertical, near)
                companies[whose] = companies.get(whose, 0) + count
        rows.extend(_company_rows(companies))
        return rows


def columns_of(lines: Sequence[Line]) -> list[list[str]]:
    """Lines as rows of ping_tally: a text a column, its values apart by `_SEPARATOR`."""
    parts = [lines[start : start + LINES_AT_ONCE] for start in range(0, len(lines), LINES_AT_ONCE)]
    return [
        [_SEPARATOR.join(map(str, column)) for column in zip(*part, strict=True)] for part in parts
    ]


def is_test(receipt: Receipt) -> bool:
    """Whether a ping was for trying out only."""
    return receipt.test or (receipt.offer is not None and receipt.offer.test)


def area_of(attributes: Raw) -> str:
    """The state a lead is from; empty where its attributes have none that can be read."""
    try:
        return _place_of(attributes).state[:MAX_VALUE]
    except msgspec.MsgspecError:
        return ""


def source_of(receipt: Receipt) -> str:
    """The seller's own name for where a lead came from; empty where there is none."""
    source = receipt.source if receipt.offer is None else receipt.offer.source
    return source.get("sub_id", "")[:MAX_VALUE].replace(_SEPARATOR, " ") if source else ""


def _count_seller(receipt: Receipt, group: _Group) -> None:
    status = receipt.status
    offers = 1 if status == "offer" else 0
    refused = 1 if status == "refused" else 0
    cents = sum(receipt.legs_cents)
    _add(group.areas, area_of(receipt.attributes), offers, refused, cents)
    _add(group.sources, source_of(receipt), offers, refused, cents)
    reasons = group.reasons
    for code, campaigns in receipt.reasons.items():
        found = reasons.get(code)
        if found is None:
            reasons[code] = [1, offers, refused, campaigns]
        else:
            found[0] += 1
            found[1] += offers
            found[2] += refused
            found[3] += campaigns


def _add(counts: dict[str, list[int]], value: str, offers: int, refused: int, more: int) -> None:
    found = counts.get(value)
    if found is None:
        counts[value] = [1, offers, refused, more]
        return
    found[0] += 1
    found[1] += offers
    found[2] += refused
    found[3] += more


def _count_companies(receipt: Receipt, group: _Group) -> None:
    offer = receipt.offer
    if offer is not None and not receipt.candidates and not offer.ranks[0].first_look:
        # Most pings: those in line are a company each, and the winners come first.
        named = [bid.company_id for bid in offer.ranks]
        winners = len(offer.legs_cents)
        group.won += named[:winners]
        group.outbid += named[winners:]
        return
    companies = group.companies
    nearest: dict[str, int] = {}
    ranked = False
    for candidate in receipt.candidates:
        near = _WON if candidate.reason is None else _NEAR[candidate.reason]
        if candidate.rank == 1:
            ranked = True
        if near > nearest.get(candidate.company_id, 0):
            nearest[candidate.company_id] = near
    if offer is not None and not ranked:
        for company_id, near in _in_line(offer):
            if near > nearest.get(company_id, 0):
                nearest[company_id] = near
    for key in nearest.items():
        companies[key] = companies.get(key, 0) + 1


def _in_line(offer: Offer) -> Iterator[tuple[str, int]]:
    """The companies in line for an offer, each with its nearness."""
    winners = len(offer.legs_cents)
    first_look = bool(offer.ranks) and offer.ranks[0].first_look
    for place, bid in enumerate(offer.ranks):
        early = first_look and not bid.first_look
        yield bid.company_id, _WON if place < winners else _FIRST_LOOK if early else _OUTBID


def _seller_rows(seller_id: str, day: date, vertical: str, group: _Group) -> Iterator[Line]:
    totals = [sum(counts) for counts in zip(*group.areas.values(), strict=True)]
    for axis, by_value in (("", {"": totals}), ("area", group.areas), ("source", group.sources)):
        for value, (pings, offers, refused, cents) in by_value.items():
            yield ("seller", axis, seller_id, day, vertical, value, pings, offers, refused, cents,
                   0, 0, 0)  # fmt: skip
    for code, (pings, offers, refused, campaigns) in group.reasons.items():
        if (number := _NUMBERS.get(code)) is not None:
            yield ("seller", "reason", seller_id, day, vertical, number, pings, offers, refused, 0,
                   0, 0, campaigns)  # fmt: skip


def _company_rows(companies: dict[tuple[str, date, str, int], int]) -> list[Line]:
    """A row by reason, and one of all a company's pings."""
    rows: list[Line] = []
    totals: dict[tuple[str, date, str], list[int]] = {}
    for (company_id, day, vertical, near), count in companies.items():
        total = totals.setdefault((company_id, day, vertical), [0, 0, 0])
        total[0] += count
        if near == _WON:
            total[1] += count
            total[2] += count
            continue
        number = near % _STEP
        bids = count if number >= 300 else 0
        total[1] += bids
        value = str(number)
        rows.append(
            ("company", "reason", company_id, day, vertical, value, count, 0, 0, 0, bids, 0, 0)
        )
    rows.extend(
        ("company", "", company_id, day, vertical, "", total[0], 0, 0, 0, total[1], total[2], 0)
        for (company_id, day, vertical), total in totals.items()
    )
    return rows
