"""What the pings of a batch of receipts add to the day summaries, as they are written.

A seller's pings are counted whole. A company's are those a receipt names it in, each once: as won,
or by the reason that came nearest to a bid. A receipt over more than 50 campaigns names few of
them (see `flow.ping`); what it only counts is told by campaigns, at the seller. Test pings count
nowhere. Source: rules §12.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from exchange.core.reasons import Reason
from exchange.flow.ports import Receipt

MAX_VALUE: Final = 64
"""Characters kept of a source or area; the same bound is in the SQL that counts leads."""

Columns = list[list[Any]]
"""The columns of ping_tally, in their order."""

_NUMBERS: Final = {reason.code: int(reason) for reason in Reason if reason < 500}

_NEAREST: Final = (
    *(Reason.INACTIVE, Reason.FILTER, Reason.SCHEDULE, Reason.CAP, Reason.BUDGET, Reason.BALANCE),
    *(Reason.LEAD_AGE, None, Reason.SUPPRESSED, Reason.SOLD_BEFORE, Reason.SHARE_MODE),
    *(Reason.CONTRACT, Reason.CRM_GATE),
    *(reason for reason in Reason if 230 <= reason < 250),
    *(Reason.SAME_COMPANY, Reason.BELOW_FLOOR, Reason.BELOW_MIN_PRICE, Reason.SHARE_COUNT),
    *(Reason.FIRST_LOOK, Reason.OUTBID),
)
"""Reasons in the order in which a campaign meets them (rules §3, §7); None for those not listed."""

_PLACES: Final = {reason: place for place, reason in enumerate(_NEAREST)}


def _nearness(reason: Reason) -> int:
    """How near to a bid a reason is: the higher the nearer, and its number in the last digits."""
    place = _PLACES.get(reason)
    if place is None:
        place = _PLACES[None] if reason < 300 else _PLACES[Reason.BELOW_MIN_PRICE]
    return (place + 1) * 100_000 + reason


_NEAR: Final = {reason: _nearness(reason) for reason in Reason}
_WON: Final = max(_NEAR.values()) + 1


class _Place(Struct):
    state: str = ""


_place_of: Final = msgspec.json.Decoder(_Place).decode


def area_of(attributes: Raw) -> str:
    """The state a lead is from; empty where its attributes have none that can be read."""
    try:
        return _place_of(attributes).state[:MAX_VALUE]
    except msgspec.MsgspecError:
        return ""


def source_of(receipt: Receipt) -> str:
    """The seller's own name for where a lead came from; empty where there is none."""
    source = receipt.source if receipt.offer is None else receipt.offer.source
    return source.get("sub_id", "")[:MAX_VALUE] if source else ""


def is_test(receipt: Receipt) -> bool:
    """Whether a ping was for trying out only."""
    return receipt.test or (receipt.offer is not None and receipt.offer.test)


def tally(batch: Sequence[Receipt], today: Callable[[datetime], date]) -> Columns:
    """Add a batch of receipts up, as the columns of ping_tally."""
    sellers: dict[tuple[str, str, date, str, str], list[int]] = {}
    companies: dict[tuple[str, date, str, int], int] = {}
    for receipt in batch:
        if not is_test(receipt):
            day = today(receipt.decided_at)
            _count_seller(receipt, day, sellers)
            _count_companies(receipt, day, companies)
    rows: list[tuple[Any, ...]] = [
        ("seller", *key, counts[0], counts[1], counts[2], counts[3], 0, 0, counts[4])
        for key, counts in sellers.items()
    ]
    rows.extend(_company_rows(companies))
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(13)]


def _count_seller(
    receipt: Receipt, day: date, sellers: dict[tuple[str, str, date, str, str], list[int]]
) -> None:
    seller_id, vertical = receipt.seller_id, receipt.vertical
    offers = 1 if receipt.status == "offer" else 0
    refused = 1 if receipt.status == "refused" else 0
    cents = sum(receipt.legs_cents)
    for axis, value in (
        ("", ""),
        ("area", area_of(receipt.attributes)),
        ("source", source_of(receipt)),
    ):
        counts = sellers.setdefault((axis, seller_id, day, vertical, value), [0, 0, 0, 0, 0])
        counts[0] += 1
        counts[1] += offers
        counts[2] += refused
        counts[3] += cents
    for code, campaigns in receipt.reasons.items():
        number = _NUMBERS.get(code)
        if number is None:
            continue
        key = ("reason", seller_id, day, vertical, str(number))
        counts = sellers.setdefault(key, [0, 0, 0, 0, 0])
        counts[0] += 1
        counts[1] += offers
        counts[2] += refused
        counts[4] += campaigns


def _count_companies(
    receipt: Receipt, day: date, companies: dict[tuple[str, date, str, int], int]
) -> None:
    nearest: dict[str, int] = {}
    ranked = False
    for candidate in receipt.candidates:
        near = _WON if candidate.reason is None else _NEAR[candidate.reason]
        ranked = ranked or candidate.rank is not None
        if near > nearest.get(candidate.company_id, 0):
            nearest[candidate.company_id] = near
    offer = receipt.offer
    if offer is not None and offer.ranks and not ranked:
        first_look = offer.ranks[0].first_look
        for place, bid in enumerate(offer.ranks):
            behind = Reason.FIRST_LOOK if first_look and not bid.first_look else Reason.OUTBID
            near = _WON if place < len(offer.legs_cents) else _NEAR[behind]
            if near > nearest.get(bid.company_id, 0):
                nearest[bid.company_id] = near
    vertical = receipt.vertical
    for company_id, near in nearest.items():
        key = (company_id, day, vertical, near)
        companies[key] = companies.get(key, 0) + 1


def _company_rows(
    companies: dict[tuple[str, date, str, int], int],
) -> list[tuple[Any, ...]]:
    """A row by reason, and one of all a company's pings."""
    rows: list[tuple[Any, ...]] = []
    totals: dict[tuple[str, date, str], list[int]] = {}
    for (company_id, day, vertical, near), count in companies.items():
        total = totals.setdefault((company_id, day, vertical), [0, 0, 0])
        total[0] += count
        if near == _WON:
            total[1] += count
            total[2] += count
            continue
        number = near % 100_000
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
