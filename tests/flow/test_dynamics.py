"""The day's factors: the same for all workers, in shadow or applied (rules: §10)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from fractions import Fraction

import pytest

from exchange.core.audit import recompute
from exchange.core.dynamic import Bounds, DynamicPolicy, Mode
from exchange.core.model import CompanyId
from exchange.core.standing import gate_threshold
from exchange.embedded import StoreUrls
from exchange.flow.standings import Explained
from exchange.stores.postgres_standings import PostgresFactors
from tests.flow.market import Desk, StillClock, buyer, open_desk, until

BOUNDS = Bounds(market_bp=2_000, seasonal_bp=2_000, least_cents=0)
TODAY = StillClock().now().date()


@asynccontextmanager
async def worker(
    stores: StoreUrls, database: str, mode: Mode, clock: StillClock | None = None
) -> AsyncIterator[Desk]:
    policy = DynamicPolicy(mode=mode, bounds=BOUNDS)
    async with open_desk(stores, database, dynamic=policy, clock=clock) as desk:
        yield desk


@pytest.fixture
async def past(desk: Desk) -> CompanyId:
    """A market of 10 % through the year, and a tenth more than that in the last 30 whole days.

    As its buckets alone stand for it, they are put there by hand and taken away at the end.
    """
    company = await desk.company("The market")
    last = TODAY - timedelta(days=2)
    for age, cents in ((0, 1_100_00), (60, 980_00), (120, 9_920_00)):
        assigned = 10_000_00 if age < 100 else 100_000_00
        await desk.value(
            "insert into bucket (company_id, day, era, assigned, manual) "
            "values ($1, $2, 0, $3, $4)",
            company,
            last - timedelta(days=age),
            assigned,
            cents,
        )
    return company


@pytest.fixture(autouse=True)
async def only_facts(desk: Desk) -> AsyncIterator[None]:
    """What was put by hand is no fact of the books."""
    yield
    await desk.value(
        "delete from bucket using company c where company_id = c.id and c.name = 'The market'"
    )


async def kept(desk: Desk) -> list[tuple[date, bool]]:
    return [
        (row["day"], row["applied"])
        for row in await desk.rows("select day, applied from dynamic_day order by day")
    ]


async def explained(desk: Desk, company_id: CompanyId) -> Explained:
    found = await desk.exchange.standings.explain(company_id)
    assert found is not None
    return found


def threshold(desk: Desk, day: date) -> Fraction:
    return Fraction(*gate_threshold(day, desk.exchange.market.policy))


async def test_section_10_off_computes_keeps_and_moves_nothing(desk: Desk, past: CompanyId) -> None:
    assert await kept(desk) == []
    assert desk.exchange.market.policy.adjustments == {}
    assert (await explained(desk, past)).shadow is None


async def test_section_10_today_s_and_tomorrow_s_factors_are_known_at_once(
    desk: Desk, past: CompanyId, stores: StoreUrls, database: str
) -> None:
    async with worker(stores, database, "apply") as applied:
        assert await kept(applied) == [(TODAY, True), (TODAY + timedelta(days=1), True)]
        factors = applied.exchange.dynamics.factors(TODAY)
        assert factors is not None
        # 11 % of the last 30 days against 2,080 / 20,000, which is 10.4 %.
        assert (factors.market.recent.rejected, factors.market.usual.rejected) == (110_000, 208_000)
        assert factors.market.bp == 577
        # November alone is 11 % too, and the year 10 %.
        assert (factors.seasonal.bp, factors.seasonal.usual.assigned) == (1_000, 12_000_000)
        assert threshold(applied, TODAY) == Fraction(1, 10) * Fraction(11_577, 10_000)


async def test_section_10_all_workers_use_what_the_first_computed(
    desk: Desk, past: CompanyId, stores: StoreUrls, database: str
) -> None:
    async with worker(stores, database, "apply") as first:
        await desk.value("update bucket set manual = 0 where company_id = $1", past)
        async with worker(stores, database, "apply", first.clock) as second:
            for day in (TODAY, TODAY + timedelta(days=1)):
                assert second.exchange.dynamics.factors(day) == first.exchange.dynamics.factors(day)
            assert threshold(second, TODAY) == threshold(first, TODAY) != Fraction(1, 10)


async def test_section_10_workers_turn_to_the_new_day_s_factors_with_midnight(
    desk: Desk, past: CompanyId, stores: StoreUrls, database: str
) -> None:
    async with worker(stores, database, "apply") as applied:
        company = await applied.company()
        await applied.campaign(company, 60_00)
        tomorrow = TODAY + timedelta(days=1)
        expected = threshold(applied, tomorrow)
        applied.clock.forward(hours=12)
        # Nothing was computed or read since: a ping alone moves the market to its day.
        await applied.ping(await applied.seller())
        assert applied.exchange.market.today == tomorrow
        assert threshold(applied, applied.exchange.market.today) == expected != Fraction(1, 10)
        await applied.exchange.following.adjust()
        assert [day for day, _ in await kept(applied)][-1] == tomorrow + timedelta(days=1)


async def test_section_10_many_workers_that_start_at_once_keep_one_row_a_day(
    desk: Desk, past: CompanyId, stores: StoreUrls, database: str
) -> None:
    async with worker(stores, database, "shadow") as a, worker(stores, database, "shadow") as b:
        for day_desk in (a, b):
            day_desk.clock.forward(days=5)
        await asyncio.gather(*(d.exchange.following.adjust() for d in (a, b) for _ in range(3)))
        await a.exchange.following.adjust()
        await b.exchange.following.adjust()
        days = [TODAY + timedelta(days=ahead) for ahead in (0, 1, 5, 6)]
        assert [day for day, _ in await kept(a)] == days
        for day in days:
            assert a.exchange.dynamics.factors(day) == b.exchange.dynamics.factors(day)


async def test_section_10_what_another_sums_up_this_moment_is_not_summed_up_twice(
    desk: Desk, past: CompanyId, stores: StoreUrls, database: str
) -> None:
    async with worker(stores, database, "shadow") as shadow:
        shadow.clock.forward(days=5)
        day = TODAY + timedelta(days=5)
        async with desk.exchange.postgres.connection() as connection, connection.transaction():
            await connection.execute("select pg_advisory_xact_lock(7260413)")
            await shadow.exchange.following.adjust()
            assert shadow.exchange.dynamics.factors(day) is None
        await shadow.exchange.following.adjust()
        assert shadow.exchange.dynamics.factors(day) is not None


async def test_section_10_a_worker_that_starts_begins_with_the_others_factors(
    desk: Desk, past: CompanyId, stores: StoreUrls, database: str
) -> None:
    held = asyncio.Event()

    async def hold() -> None:
        async with desk.exchange.postgres.connection() as connection, connection.transaction():
            await connection.execute("select pg_advisory_xact_lock(7260413)")
            held.set()
            await asyncio.sleep(0.3)

    holding = asyncio.create_task(hold())
    await held.wait()
    async with worker(stores, database, "apply") as applied:
        assert holding.done()
        assert threshold(applied, TODAY) != Fraction(1, 10)
    await holding


async def test_section_10_shadow_shows_what_it_would_have_changed_and_changes_nothing(
    desk: Desk, past: CompanyId, stores: StoreUrls, database: str
) -> None:
    async with worker(stores, database, "shadow") as shadow:
        company = await buyer(shadow, await shadow.seller())
        for _ in range(9):
            await company.buy(1_000_00)
        await shadow.reject(company.company_id, await company.buy(1_000_00))
        told = await explained(shadow, company.company_id)
        assert told.shadow is not None and not told.shadow.applied
        assert told.recovery.standing == told.shadow.without == await company.standing()
        assert told.recovery.standing.eased_bp == 0
        assert threshold(shadow, TODAY) == Fraction(1, 10)
        history = await shadow.exchange.standings.history(company.company_id, TODAY, TODAY)
        assert history is not None and history[0].shadow == told.shadow.standing
        assert await kept(shadow) == [(TODAY, False), (TODAY + timedelta(days=1), False)]


async def test_section_10_applied_it_opens_the_gate_eases_the_price_and_leaves_true_receipts(
    desk: Desk, past: CompanyId, stores: StoreUrls, database: str
) -> None:
    async with worker(stores, database, "apply") as applied:
        seller = await applied.seller()
        company = await buyer(applied, seller)
        lead = await company.buy(100_00)
        await company.buy(900_00)
        await applied.reject(company.company_id, lead)
        applied.clock.forward(days=15)
        await applied.exchange.following.adjust()
        # Nothing was bought lately, so that is no trend: it pays 90 % of $2,000.00.
        await company.buy(2_000_00)
        await company.bid(100_00, anywhere=True)
        standing = await company.standing()
        # $100 of $2,800 was returned, and nothing lately: a quarter of the penalty is let off.
        assert standing.eased_bp == 2_500
        assert standing.overall_rate == Fraction(100, 2_800) * Fraction(3, 4)
        receipt = await applied.ping(seller, zip="94107")
        assert receipt.offer is not None and receipt.offer.ranks[0].charged_cents == 97_32
        winners = recompute(receipt.candidates, max_buyers=1)
        assert winners == (company.campaign_id,)
        # A return moves the standing in the answer, the market and the explanation alike.
        lead = (await applied.sell(seller, zip="94107")).lead_id
        _, after = await applied.reject(company.company_id, lead)
        assert after == await company.standing()
        assert after == applied.exchange.market.standings[company.company_id]
        assert after == (await explained(applied, company.company_id)).recovery.standing


async def test_section_10_a_mode_that_is_changed_is_on_record_for_the_day(
    desk: Desk, past: CompanyId, stores: StoreUrls, database: str
) -> None:
    async with worker(stores, database, "shadow"):
        pass
    assert await kept(desk) == [(TODAY, False), (TODAY + timedelta(days=1), False)]
    async with worker(stores, database, "apply") as applied:
        assert threshold(applied, TODAY) != Fraction(1, 10)
        assert [used for _, used in await kept(applied)] == [True, True]
    clock = StillClock()
    clock.forward(days=1)
    async with worker(stores, database, "shadow", clock) as shadow:
        # Yesterday it was applied, and is told so; today it is not.
        assert threshold(shadow, TODAY) != Fraction(1, 10)
        assert threshold(shadow, TODAY + timedelta(days=1)) == Fraction(1, 10)
        assert [used for _, used in await kept(shadow)] == [True, False, False]
    async with worker(stores, database, "off", clock) as off:
        assert threshold(off, TODAY) != Fraction(1, 10)
        assert threshold(off, TODAY + timedelta(days=1)) == Fraction(1, 10)


async def test_a_worker_finds_the_next_day_by_itself(
    desk: Desk, past: CompanyId, stores: StoreUrls, database: str
) -> None:
    async with worker(stores, database, "shadow") as shadow:
        shadow.clock.forward(days=3)
        dynamics, day = shadow.exchange.dynamics, TODAY + timedelta(days=4)
        await until(lambda: dynamics.factors(day) is not None)
        assert [kept.factors.day for kept in dynamics.known(day, day)] == [day]


async def test_what_is_kept_of_a_day_stands(desk: Desk, stores: StoreUrls, database: str) -> None:
    async with worker(stores, database, "shadow") as shadow:
        factors = shadow.exchange.dynamics.factors(TODAY)
        assert factors is not None
        books, now = PostgresFactors(shadow.exchange.postgres), shadow.clock.now()
        other = Bounds(market_bp=1)
        again = await books.keep(
            type(factors)(
                day=factors.day, market=factors.market, seasonal=factors.seasonal, bounds=other
            ),
            False,
            now,
        )
        assert again.factors == factors
