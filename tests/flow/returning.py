"""Short words for what tests of returns do all the time."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.core.model import CompanyId, LeadId, SellerId
from exchange.flow.faults import Fault, Invalid
from exchange.flow.ports import Rejected
from exchange.flow.returning import Line, LineResult, Return, Statement
from tests.flow.market import Desk
from tests.flow.test_rejection import sold_lead

SAID = Statement(statement="I reached Ada at once.", evidence=("https://calls.example/1",))
VAGUE = "We did not like it"


async def asked(desk: Desk, company: CompanyId, lead: LeadId, text: str = VAGUE) -> Rejected:
    """Return a lead with words that fit no reason, and ask for a review."""
    rejected, _ = await desk.exchange.reject(
        company, lead, reason_code=None, text=text, note=None, review=True
    )
    return rejected


async def returned(desk: Desk, cents: int = 100_00) -> tuple[SellerId, CompanyId, Rejected]:
    """A lead sold and returned."""
    seller, company, lead = await sold_lead(desk, cents)
    return seller, company, (await desk.reject(company, lead))[0]


async def disputed(desk: Desk) -> tuple[SellerId, CompanyId, Return]:
    """A lead sold, returned and disputed."""
    seller, company, rejected = await returned(desk)
    found = await desk.exchange.returning.dispute(rejected.rejection_id, seller, SAID)
    return seller, company, found


async def decide(desk: Desk, rejection_id: str, *, approved: bool = True, **more: Any) -> Return:
    facts = {"reason": None, "sentence": None} | more
    return await desk.exchange.returning.decide_review(rejection_id, approved=approved, **facts)


async def overturn(desk: Desk, found: Return, sentence: str = "The call was recorded.") -> Return:
    assert found.dispute is not None
    return await desk.exchange.returning.decide_dispute(
        found.dispute.dispute_id, overturned=True, sentence=sentence
    )


async def balances(desk: Desk) -> dict[str, int]:
    rows = await desk.rows(
        "select account, sum(cents)::bigint as cents from ledger_entry group by 1"
    )
    return {row["account"].partition(":")[0]: row["cents"] for row in rows}


async def states(desk: Desk) -> set[str]:
    """Every state of the one lead: its own, its leg's, its sale's."""
    rows = await desk.rows(
        "select state from lead union select state from leg union select state from sale"
    )
    return {row["state"] for row in rows}


async def refused(call: Any) -> Fault:
    with pytest.raises(Fault) as fault:
        await call
    return fault.value


async def bulk(
    desk: Desk, company: CompanyId, lines: list[Line], *, dry_run: bool = False
) -> list[LineResult]:
    results = desk.exchange.returning.bulk(company, lines, dry_run=dry_run)
    return [result async for result in results]


async def sold_leads(desk: Desk, count: int) -> tuple[SellerId, CompanyId, list[LeadId]]:
    seller, company = await desk.seller(), await desk.company()
    await desk.campaign(company, 100_00)
    return seller, company, [(await desk.sell(seller)).lead_id for _ in range(count)]


def mixed(leads: list[LeadId]) -> list[Line]:
    """Good lines among bad ones."""
    bad = Invalid("lead_id is not the id of a lead.", field="lead_id")
    return [
        Line(number=1, lead_id=leads[0], reason_code="invalid_contact"),
        Line(number=2, fault=bad),
        Line(number=3, lead_id="no-such-lead", reason_code="seasonal"),
        Line(number=4, lead_id=leads[1], text=VAGUE),
        Line(number=5, lead_id=leads[1], text=VAGUE, review=True),
        Line(number=6, lead_id=leads[2], text="the number is disconnected", note="called twice"),
        Line(number=7, lead_id=leads[0], reason_code="seasonal"),
    ]
