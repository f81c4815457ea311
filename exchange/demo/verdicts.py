"""The month held against the rules: the published table, the receipts, the stores.

Every look gives the faults it found, as sentences; none is what must be. Source: rules §5 to §7.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from exchange.app import Exchange
from exchange.core.auction import Candidate
from exchange.core.audit import AuditError, Limits, explain_receipt, recompute
from exchange.core.model import CompanyId, PingId
from exchange.core.pricing import rectify
from exchange.core.reasons import Reason
from exchange.core.standing import Standing, Verdict
from exchange.demo.days import Edge
from exchange.demo.faults import DemoFailed
from exchange.demo.people import DemoCompany, DemoSeller
from exchange.demo.report import Line, Teller, dollars, percent
from exchange.demo.steering import HUNDRED_DOLLARS, Aim, tenths
from exchange.flow.ports import Receipt

BATCH: Final = 50
"""Receipts read at once."""

PROBE: Final = {
    "zip": "85004",
    "state": "AZ",
    "credit_score": 710,
    "owns_home": True,
    "monthly_bill": 150,
    "property_type": "commercial",
}
"""A lead for which each of the three companies bids $100.00."""


async def look_at_table(
    cases: Sequence[tuple[Aim, DemoCompany]], edge: Edge | None, seller: DemoSeller, teller: Teller
) -> tuple[Receipt, list[str]]:
    """Price a $100.00 lead by each company's standing and by a ping; tell the table."""
    receipt = await seller.ping(PROBE)
    bids = {
        candidate.company_id: candidate
        for candidate in receipt.candidates
        if candidate.reason is not Reason.FILTER
    }
    lines, faults = [], []
    for aim, company in cases:
        line, wrong = judge(aim, company.name, company.standing, bids.get(company.company_id))
        lines.append(line)
        faults += wrong
    if edge is not None:
        _tell_edge(cases[-1][1], edge, teller)
    teller.show_table(lines)
    return receipt, faults


def judge(aim: Aim, name: str, standing: Standing, bid: Candidate | None) -> tuple[Line, list[str]]:
    """Hold a company's standing, and its $100.00 bid in a ping, against the published case."""
    overall = tenths(standing.rejected, standing.assigned)
    crm = tenths(standing.crm_rejected, standing.crm_assigned)
    price = rectify(HUNDRED_DOLLARS, standing)
    wrong = [
        f"{what} is {found}, and {expected} was published"
        for what, found, expected in (
            ("the overall rate", percent(overall), percent(aim.overall_tenths)),
            ("the CRM rate", percent(crm), percent(aim.crm_tenths)),
            ("the verdict", standing.verdict.value, aim.verdict.value),
            ("the price of a $100.00 lead", dollars(price), dollars(aim.price_cents)),
        )
        if found != expected
    ]
    pinged, fault = _read_bid(aim, bid)
    wrong += [fault] if fault else []
    line = Line(
        name=name,
        assigned=standing.assigned,
        rejected=standing.rejected,
        overall_tenths=overall,
        crm_tenths=crm,
        verdict=standing.verdict.value,
        price_cents=price,
        pinged=pinged,
        holds=not wrong,
    )
    return line, [f"{name}: {fault}" for fault in wrong]


def _read_bid(aim: Aim, bid: Candidate | None) -> tuple[str, str | None]:
    """What a ping made of a company's $100.00 bid, in words; and the fault, if it is one."""
    if bid is None:
        return "not asked", "its $100.00 campaign was not in the ping"
    if bid.outcome == "no_bid":
        told = f"no_bid {bid.reason.code if bid.reason else ''}".strip()
        expected = aim.verdict is Verdict.EXCLUDED and bid.reason is Reason.CRM_GATE
        return told, None if expected else f"the ping says {told}"
    told = dollars(bid.charged_cents or 0)
    fault = None
    if aim.verdict is Verdict.EXCLUDED:
        fault = f"it bid {told} in the ping, and is excluded"
    elif (bid.base_cents, bid.charged_cents) != (HUNDRED_DOLLARS, aim.price_cents):
        fault = f"the ping prices its $100.00 bid at {told}"
    return told, fault


def _tell_edge(company: DemoCompany, edge: Edge, teller: Teller) -> None:
    before, after = edge.before, company.standing
    price = dollars(rectify(HUNDRED_DOLLARS, before))
    teller.say(
        f"{company.name} had been assigned {dollars(before.raw_assigned)} and was protected: "
        f"{dollars(before.raw_crm_rejected)} that its CRM had failed to take counted for nothing, "
        f"and it was {before.verdict.value}, with {price} for a $100.00 lead. One more lead, of "
        f"{dollars(edge.last_lead_cents)}, made it {dollars(after.raw_assigned)}: now they all "
        f"count, and it is {after.verdict.value}."
    )
    teller.say()


async def look_at_receipts(
    exchange: Exchange,
    seller: DemoSeller,
    told: PingId,
    names: Mapping[CompanyId, str],
    teller: Teller,
) -> list[str]:
    """Tell one receipt in words; recompute it and every other of the month from itself."""
    await exchange.receipts.flush()
    receipt = await exchange.receipt(told)
    if receipt is None:
        raise DemoFailed(f"the receipt of ping {told} is gone")
    wanted = [c for c in receipt.candidates if c.reason is not Reason.FILTER]
    teller.say()
    teller.say(f"The receipt of ping {told}, a commercial roof in {PROBE['state']}:")
    for sentence in explain_receipt(wanted, names):
        teller.say(f"  {sentence}")
    rest = len(receipt.candidates) - len(wanted)
    teller.say(f"  The filters of {rest} other campaigns do not match such a lead.")
    faults, recomputed = [], 0
    for start in range(0, len(seller.pings), BATCH):
        batch = seller.pings[start : start + BATCH]
        for ping_id, found in zip(
            batch, await asyncio.gather(*map(exchange.receipt, batch)), strict=True
        ):
            fault = "it is gone" if found is None else _recompute(exchange, found)
            faults += [f"the receipt of ping {ping_id}: {fault}"] if fault else []
            recomputed += fault is None
    teller.say(
        f"Its winner follows from it alone; so do those of all {recomputed} receipts of the month."
        if not faults
        else f"{len(faults)} receipts do not follow from the rules."
    )
    return faults[:10]


def _recompute(exchange: Exchange, receipt: Receipt) -> str | None:
    """Hold the auction again from its receipt; gives what is wrong with it, or None."""
    vertical = exchange.market.verticals[receipt.vertical]
    limits = Limits(
        floor_cents=vertical.floor_cents,
        min_price_cents=receipt.min_price_cents,
        take_rate_bp=exchange.settings.market.take_rate_bp,
    )
    try:
        winners = recompute(receipt.candidates, max_buyers=receipt.max_buyers, limits=limits)
    except AuditError as error:
        return str(error)
    ranks = receipt.offer.ranks if receipt.offer is not None else ()
    sold_to = tuple(ranked.campaign_id for ranked in ranks[: len(receipt.legs_cents)])
    return None if winners == sold_to else f"{winners} should have won, not {sold_to}"


async def look_at_check(exchange: Exchange, teller: Teller) -> list[str]:
    """Compare the stores, as `exchange check` does."""
    checked = await exchange.check()
    teller.say()
    teller.say(
        f"exchange check: {checked.leads} leads, {checked.sales} sales, {checked.rejections} "
        f"rejections, {checked.companies} companies; {checked.ledger_entries} ledger entries, "
        f"which sum to {dollars(checked.ledger_cents)}; {len(checked.findings)} findings"
    )
    return [f"exchange check: {finding}" for finding in checked.findings]
