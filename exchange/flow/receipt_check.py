"""Receipts held against the books and the rules: every campaign recomputed, every winner audited.

A receipt that agrees was decided by what the books say was there. One that does not is told with
what differs: more than was on its way then, or settings that were others. Source: rules §7.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from exchange.core.audit import AuditError, Limits, recompute
from exchange.core.market import Market
from exchange.core.model import PingId
from exchange.core.retell import Difference
from exchange.flow.retelling import Retelling, RetoldReceipt


class CheckedReceipts(Struct, frozen=True, kw_only=True):
    """How many receipts were looked at, how many are known to the last campaign, what differs."""

    read: int
    exact: int
    findings: tuple[str, ...]


async def check_receipts(
    retelling: Retelling, market: Market, pings: Iterable[PingId]
) -> CheckedReceipts:
    """Recompute the receipts of these pings; one that is gone by now is passed over."""
    read = exact = 0
    findings: list[str] = []
    for ping_id in pings:
        told = await retelling.tell(ping_id)
        if told is None:
            continue
        read += 1
        exact += told.exact
        findings += [f"receipt {ping_id}: {what}" for what in _faults(told, market)]
    return CheckedReceipts(read=read, exact=exact, findings=tuple(findings))


def _faults(told: RetoldReceipt, market: Market) -> list[str]:
    faults = [_tell(one) for one in told.retold.differences]
    if not faults and told.exact and (fault := _audit(told, market)) is not None:
        faults.append(fault)
    return faults


def _audit(told: RetoldReceipt, market: Market) -> str | None:
    """Compute the winners from the whole receipt by the rules written a second time."""
    receipt, vertical = told.receipt, market.verticals.get(told.receipt.vertical)
    candidates = told.retold.candidates
    if vertical is None or any(c.outcome == "lost" and c.base_cents is None for c in candidates):
        # A bid whose price nobody kept cannot be audited.
        return None
    offer = receipt.offer
    limits = Limits(
        floor_cents=vertical.floor_cents,
        min_price_cents=receipt.min_price_cents,
        take_rate_bp=market.policy.take_rate_bp if offer is None else offer.take_rate_bp,
    )
    try:
        winners = recompute(candidates, max_buyers=receipt.max_buyers, limits=limits)
    except AuditError as error:
        return str(error)
    ranks = () if offer is None else offer.ranks[: len(offer.legs_cents)]
    if winners != tuple(ranked.campaign_id for ranked in ranks):
        return f"{', '.join(winners) or 'nobody'} should have won"
    return None


def _tell(one: Difference) -> str:
    if one.kind == "count":
        what = "campaigns" if one.reason is None else f"campaigns kept away by {one.reason}"
        return f"it counts {one.told} {what}, and {one.found} follow from the books"
    if one.campaign_id is None:
        return f"{one.told} won by it, and {one.found} follow from the books"
    if one.kind == "line":
        found = "is not in line" if one.found is None else f"belongs at {one.found}"
        return f"campaign {one.campaign_id} is at {one.told} in line, and by the books {found}"
    return (
        f"campaign {one.campaign_id} fell short by {one.told}, and by the books it is {one.found}"
    )
