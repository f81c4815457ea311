"""Returns foreseen, and many at once (rules: §8)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from exchange.core.model import CompanyId, LeadId
from exchange.core.reasons import Reason
from exchange.embedded import StoreUrls
from exchange.flow.faults import NotFound, Unavailable
from exchange.flow.returning import Line
from exchange.flow.returns import MOST_FILES
from exchange.stores.postgres import Postgres
from exchange.stores.redis_pipe import RedisPipe
from tests.flow.market import Desk, open_desk
from tests.flow.returning import (
    VAGUE,
    bulk,
    mixed,
    refused,
    returned,
    sold_leads,
)
from tests.flow.test_rejection import snapshot, sold_lead


async def preview(desk: Desk, company: CompanyId, lead: LeadId, **facts: Any) -> Any:
    """A preview, which must change nothing."""
    before = await snapshot(desk)
    asked = {"reason_code": "invalid_contact", "text": None, "review": False} | facts
    found = await desk.exchange.returning.preview(company, lead, **asked)
    assert await snapshot(desk) == before
    return found


async def test_section_8_a_preview_tells_what_the_rejection_then_does(desk: Desk) -> None:
    seller, company, lead = await sold_lead(desk, 60_00)
    await desk.sell(seller)
    before = await desk.standing(company)
    foreseen = await preview(desk, company, lead)
    rejected, after = await desk.reject(company, lead)
    assert (foreseen.before, foreseen.after) == (before, after)
    assert foreseen.foreseen.outcome == rejected.status == "accepted"
    assert foreseen.foreseen.value_cents == rejected.value_cents == 60_00
    (bid,) = foreseen.bids
    assert (bid.base_cents, bid.before_cents, bid.after_cents) == (60_00, 60_00, 30_00)
    assert await desk.price(seller) == bid.after_cents


async def test_section_8_a_preview_names_the_rule_that_refuses(desk: Desk) -> None:
    _, company, lead = await sold_lead(desk)
    unclear = await preview(desk, company, lead, reason_code=None, text=VAGUE)
    assert unclear.refusal.code == Reason.REASON_UNCLEAR.code
    assert unclear.before == unclear.after
    reviewed = await preview(desk, company, lead, reason_code=None, text=VAGUE, review=True)
    assert reviewed.foreseen.outcome == "in_review" and reviewed.after != reviewed.before
    desk.clock.forward(hours=48)
    late = await preview(desk, company, lead)
    assert late.refusal.code == Reason.WINDOW_CLOSED.code and late.foreseen is None
    both = await preview(desk, company, lead, reason_code=None, text=VAGUE)
    fault = await refused(
        desk.exchange.reject(company, lead, reason_code=None, text=VAGUE, note=None)
    )
    assert both.refusal.code == fault.code == Reason.REASON_UNCLEAR.code


async def test_section_8_a_preview_of_a_returned_lead_says_so(desk: Desk) -> None:
    _, company, rejected = await returned(desk)
    again = await preview(desk, company, rejected.lead_id, reason_code=None, text=VAGUE)
    assert again.foreseen.outcome == "returned_before" and again.before == again.after
    assert again.foreseen.value_cents == 0
    await desk.exchange.returning.reverse(rejected.rejection_id, "It works.")
    reversed_ = await preview(desk, company, rejected.lead_id)
    assert reversed_.refusal.code == Reason.RETURN_REVERSED.code


async def test_section_12_a_preview_of_anothers_lead_finds_none(desk: Desk) -> None:
    _, _, lead = await sold_lead(desk)
    stranger = await desk.company("Stranger")
    assert isinstance(await refused(preview(desk, stranger, lead)), NotFound)


async def test_section_8_one_bad_line_never_stops_the_others(desk: Desk) -> None:
    seller, company, leads = await sold_leads(desk, 4)
    told = await bulk(desk, company, mixed(leads))
    assert [(line.number, line.status) for line in told] == [
        (1, "accepted"),
        (2, "refused"),
        (3, "refused"),
        (4, "refused"),
        (5, "in_review"),
        (6, "accepted"),
        (7, "returned_before"),
    ]
    codes = [line.fault.code for line in told if line.fault is not None]
    assert codes == ["invalid", "not_found", Reason.REASON_UNCLEAR.code]
    assert (told[6].rejection_id, told[6].reason) == (told[0].rejection_id, told[0].reason)
    assert (told[6].value_cents, told[6].standing) == (0, told[5].standing)
    assert await desk.price(seller) == 25_00


async def test_section_8_a_file_sent_again_returns_nothing_twice_and_says_so(desk: Desk) -> None:
    _, company, leads = await sold_leads(desk, 4)
    first = await bulk(desk, company, mixed(leads))
    before = await snapshot(desk)
    again = await bulk(desk, company, mixed(leads))
    assert await snapshot(desk) == before
    repeated = [again[n] for n in (0, 3, 4, 5, 6)]
    assert {(r.status, r.value_cents) for r in repeated} == {("returned_before", 0)}
    # The unclear text of line 4 is of a lead that waits for its review by now.
    ids = [first[n].rejection_id for n in (0, 4, 4, 5, 0)]
    assert [r.rejection_id for r in repeated] == ids
    # What holds now, not what held when each was returned.
    assert {r.standing for r in repeated} == {first[6].standing}
    assert [again[n].status for n in (1, 2)] == ["refused", "refused"]
    foreseen = await bulk(desk, company, mixed(leads), dry_run=True)
    assert [replace(r, rejection_id=None) for r in repeated] == [
        foreseen[n] for n in (0, 3, 4, 5, 6)
    ]


async def test_section_8_a_dry_run_of_a_file_foresees_each_line_after_those_before(
    desk: Desk,
) -> None:
    _, company, leads = await sold_leads(desk, 4)
    before = await snapshot(desk)
    foreseen = await bulk(desk, company, mixed(leads), dry_run=True)
    assert await snapshot(desk) == before
    done = await bulk(desk, company, mixed(leads))
    facts = [(r.status, r.value_cents, r.standing) for r in foreseen]
    assert facts == [(r.status, r.value_cents, r.standing) for r in done]


async def test_section_8_lines_are_told_as_they_are_done(desk: Desk) -> None:
    _, company, leads = await sold_leads(desk, 2)
    lines = [Line(number=n, lead_id=lead, reason_code="seasonal") for n, lead in enumerate(leads)]
    results = desk.exchange.returning.bulk(company, lines, dry_run=False)
    assert (await anext(results)).status == "accepted"
    assert await desk.value("select count(*) from rejection") == 1


async def test_section_8_lines_are_not_tried_while_the_books_are_away(
    stores: StoreUrls, database: str
) -> None:
    async with open_desk(stores, database) as away:
        _, company, leads = await sold_leads(away, 1)
        lines = [Line(number=n, lead_id=leads[0], reason_code="seasonal") for n in range(6)]
        await away.exchange.postgres.close()
        told = await bulk(away, company, lines)
        assert {r.status for r in told} == {"not_tried"}
        for result in told:
            assert result.fault is not None and result.fault.code == "unavailable"
            assert result.fault.message == (
                "The database is away; send this line again: none is booked twice."
            )
        await away.exchange.postgres.start()


async def test_a_store_that_is_away_is_told_without_the_names_of_classes() -> None:
    with pytest.raises(Unavailable) as database:
        await Postgres("postgresql://127.0.0.1:1/exchange").start()
    assert database.value.message == "The database is away; try again."
    with pytest.raises(Unavailable) as fast_store:
        await RedisPipe("redis://127.0.0.1:1/0").call("PING")
    assert fast_store.value.message == "The fast store is away; try again."


async def test_section_8_more_files_than_a_worker_takes_are_refused(desk: Desk) -> None:
    _, company, leads = await sold_leads(desk, 1)
    line = Line(number=1, lead_id=leads[0], reason_code="seasonal")
    bulk_of = desk.exchange.returning.bulk
    under_way = [bulk_of(company, [line, line], dry_run=True) for _ in range(MOST_FILES)]
    for results in under_way:
        await anext(results)
    with pytest.raises(Unavailable):
        bulk_of(company, [line], dry_run=True)
    for results in under_way:
        await results.aclose()
    assert [r.status async for r in bulk_of(company, [line], dry_run=True)] == ["accepted"]
