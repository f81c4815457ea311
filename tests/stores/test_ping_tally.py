"""Pings are counted once, with the receipts that tell of them (rules §12)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec import Raw
from msgspec.structs import replace

from exchange.core.auction import Candidate
from exchange.core.hours import Days
from exchange.core.model import CampaignId, CompanyId, Ranked, SellerId
from exchange.core.reasons import Reason
from exchange.core.reports import Spell
from exchange.embedded import StoreUrls
from exchange.flow.ports import Receipt
from exchange.stores import postgres_summaries
from exchange.stores.ping_tally import Line, Tally
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_receipts import PostgresReceipts
from exchange.stores.postgres_summaries import PostgresSummaries
from tests.databases import fresh_database
from tests.stores.months import start_of
from tests.stores.test_receipts import ping_of, refuse
from tests.stores.test_receipts import receipt as offered
from tests.stores.test_reports import read

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
NAMES = ("level", "axis", "party", "day", "vertical", "value", "pings", "offers", "refused",
         "cents", "bids", "won", "campaigns")  # fmt: skip


def candidate(company: str, reason: Reason | None, **more: Any) -> Candidate:
    """What became of a campaign of a company."""
    outcome = "won" if reason is None else "lost" if reason >= 300 else "no_bid"
    return Candidate(
        campaign_id=CampaignId(f"campaign of {company}"),
        company_id=CompanyId(company),
        outcome=outcome,  # type: ignore[arg-type]
        reason=reason,
        **more,
    )


def told(number: int, *candidates: Candidate, **more: Any) -> Receipt:
    """A receipt without an offer."""
    return Receipt(
        ping_id=ping_of(number),
        seller_id=SellerId("seller"),
        vertical="solar",
        attributes=Raw(b'{"zip":"94107","state":"CA"}'),
        decided_at=more.pop("decided_at", NOON),
        status=more.pop("status", "no_offer"),
        candidates=candidates,
        **more,
    )


def tally(batch: Sequence[Receipt], zone: str) -> list[Line]:
    """What some receipts add up to, on the days of a timezone."""
    adding = Tally(Days(ZoneInfo(zone)))
    for one in batch:
        adding.add(one)
    return adding.lines()


def rows(batch: Sequence[Receipt], zone: str = "UTC") -> dict[tuple[Any, ...], dict[str, int]]:
    """A batch's rows by level, axis, party and value, without what is zero."""
    lines = tally(batch, zone)
    found: list[dict[str, Any]] = [dict(zip(NAMES, line, strict=True)) for line in lines]
    return {
        (row["level"], row["axis"], row["party"], row["value"]): {
            name: row[name] for name in NAMES[6:] if row[name]
        }
        for row in found
    }


def test_a_sellers_pings_are_counted_by_what_became_of_them() -> None:
    batch = [
        replace(offered(1), legs_cents=(85_00,)),
        told(2, reason=Reason.NO_BID, reasons={"filter": 41, "crm_gate": 2}),
        told(3, status="refused", reason=Reason.DUPLICATE, reasons={"duplicate": 1},
             source={"sub_id": "fb-1"}),
    ]  # fmt: skip
    found = rows(batch)
    assert found["seller", "", "seller", ""] == {
        "pings": 3, "offers": 1, "refused": 1, "cents": 85_00,
    }  # fmt: skip
    assert found["seller", "area", "seller", "CA"] == {"pings": 2, "refused": 1}
    assert found["seller", "source", "seller", "fb-1"] == {"pings": 1, "refused": 1}
    assert found["seller", "reason", "seller", "202"] == {"pings": 1, "campaigns": 41}
    assert found["seller", "reason", "seller", "107"] == {
        "pings": 1, "refused": 1, "campaigns": 1,
    }  # fmt: skip


def test_a_company_is_counted_once_by_the_reason_nearest_to_a_bid() -> None:
    found = rows(
        [
            told(
                1,
                candidate("near", Reason.FILTER),
                candidate("near", Reason.CRM_GATE),
                candidate("bidding", Reason.CRM_GATE),
                candidate("bidding", Reason.SAME_COMPANY),
                candidate("bidding", Reason.OUTBID),
                candidate("winning", Reason.SHARE_COUNT),
                candidate("winning", None, rank=1),
            )
        ]
    )
    companies = {key[2:]: row for key, row in found.items() if key[0] == "company"}
    assert companies == {
        ("near", "220"): {"pings": 1},
        ("near", ""): {"pings": 1},
        ("bidding", "301"): {"pings": 1, "bids": 1},
        ("bidding", ""): {"pings": 1, "bids": 1},
        ("winning", ""): {"pings": 1, "bids": 1, "won": 1},
    }


def test_every_reason_has_a_place_of_its_own() -> None:
    for reason in Reason:
        if 200 <= reason < 400:
            found = rows([told(1, candidate("c", reason))])
            bids = {"bids": 1} if reason >= 300 else {}
            assert found["company", "reason", "c", str(int(reason))] == {"pings": 1, **bids}


def test_over_many_campaigns_those_in_line_are_counted_from_the_offer() -> None:
    receipt = offered(1)
    assert receipt.offer is not None
    ranks = tuple(
        Ranked(
            campaign_id=CampaignId(name),
            company_id=CompanyId(name),
            base_cents=1,
            rectified_cents=1,
            charged_cents=1,
        )
        for name in ("first", "second")
    )
    short = replace(
        receipt,
        candidates=(candidate("short", Reason.BELOW_FLOOR),),
        offer=replace(receipt.offer, ranks=ranks),
    )
    found = {key[2:]: row for key, row in rows([short]).items() if key[0] == "company"}
    assert found["first", ""] == {"pings": 1, "bids": 1, "won": 1}
    assert found["second", "301"] == {"pings": 1, "bids": 1}
    assert found["short", "303"] == {"pings": 1, "bids": 1}


def test_a_test_ping_counts_nowhere() -> None:
    receipt = offered(1)
    assert receipt.offer is not None
    of_test = replace(receipt, offer=replace(receipt.offer, test=True))
    assert rows([of_test, told(2, test=True)]) == {}


@pytest.mark.parametrize(
    "attributes", [b"{}", b'{"state":7}', b"no JSON"], ids=["none", "number", "unreadable"]
)
def test_a_ping_from_nowhere_is_counted_without_an_area(attributes: bytes) -> None:
    receipt = replace(told(1), attributes=Raw(attributes))
    assert rows([receipt])["seller", "area", "seller", ""] == {"pings": 1}


def test_a_ping_counts_on_the_markets_day() -> None:
    midnight = datetime(2026, 11, 1, tzinfo=ZoneInfo("America/Los_Angeles")).astimezone(UTC)
    batch = [told(1, decided_at=midnight - timedelta(microseconds=1)), told(2, decided_at=midnight)]
    lines = tally(batch, "America/Los_Angeles")
    assert {line[3] for line in lines} == {date(2026, 10, 31), date(2026, 11, 1)}


async def day_pings(postgres: Postgres) -> dict[tuple[str, ...], tuple[int, int]]:
    """What is kept of pings, once everything noted is counted."""
    while await PostgresSummaries(postgres, "UTC").turn():
        pass
    async with postgres.connection() as connection:
        found = await connection.fetch("select * from day_ping where grain = 'day'")
    return {(r["level"], r["axis"], r["party"], r["value"]): (r["pings"], r["bids"]) for r in found}


@pytest.mark.parametrize("few", [0, 64])
async def test_pings_add_up_over_batches_and_workers(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(postgres_summaries, "FEW_TALLIES", few)
    for worker in range(2):
        receipts = PostgresReceipts(postgres, refuse)
        receipts.start()
        for number in range(3):
            receipts.keep(told(10 * worker + number, candidate("c", Reason.CRM_GATE)))
            await receipts.flush()
        await receipts.stop()
    found = await day_pings(postgres)
    assert found["seller", "", "seller", ""] == (6, 0)
    assert found["company", "reason", "c", "220"] == (6, 0)


async def put(postgres: Postgres, *told: Receipt) -> None:
    """Write receipts, and count them."""
    receipts = PostgresReceipts(postgres, refuse)
    receipts.start()
    for one in told:
        receipts.keep(one)
    await receipts.flush()
    await receipts.stop()


async def test_pings_outlive_their_receipts(postgres: Postgres) -> None:
    await put(postgres, told(1))
    await postgres.run("drop_receipts", NOON + timedelta(days=400), 100)
    assert (await day_pings(postgres))["seller", "", "seller", ""] == (1, 0)


@pytest.mark.parametrize("spell", ["week", "month"])
@pytest.mark.parametrize(
    "span",
    [
        (date(2026, 9, 1), date(2026, 11, 30)),
        (date(2026, 9, 7), date(2026, 10, 4)),
        (date(2026, 9, 9), date(2026, 11, 17)),
        (date(2026, 10, 3), date(2026, 10, 5)),
        (date(2026, 10, 31), date(2026, 11, 1)),
        (date(2026, 9, 30), date(2026, 10, 31)),
    ],
    ids=lambda span: f"{span[0]}_{span[1]}",
)
async def test_weeks_and_months_are_the_sum_of_the_days_asked_for(
    year: Postgres, spell: Spell, span: tuple[date, date]
) -> None:
    days = await read(year, "sell-through", spell="day", span=span)
    longer = await read(year, "sell-through", spell=spell, span=span)
    sums: dict[date, int] = {}
    for row in days:
        assert isinstance(row["period"], date) and span[0] <= row["period"] <= span[1]
        start = start_of(row["period"], spell)
        sums[start] = sums.get(start, 0) + int(str(row["pings"]))
    assert {row["period"]: row["pings"] for row in longer} == sums


@pytest.fixture(scope="module")
async def year(stores: StoreUrls) -> AsyncIterator[Postgres]:
    """Three months of pings, each day another number of them."""
    async with fresh_database(stores) as url:
        postgres = Postgres(url, size=2)
        await postgres.start()
        first = datetime(2026, 9, 1, 12, tzinfo=UTC)
        pings = [
            told(1_000 * day + number, decided_at=first + timedelta(days=day))
            for day in range(91)
            for number in range(1 + day % 5)
        ]
        await put(postgres, *pings)
        await day_pings(postgres)
        yield postgres
        await postgres.close()
