"""The reference bidders: what they bid, and the arithmetic of a budget paced over the day."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidders.kit import Bid, Lead, Ping
from bidders.reference import AreaPrices, Day, PacedBudget, day_of, flat_price, spendable
from bidders.reference.pacing import HOLD_S

MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC).timestamp()
DAY = Day(MIDNIGHT, MIDNIGHT + 86_400)


def a_ping(number: int = 1, *, test: bool = False, **attributes: Any) -> Ping:
    return Ping(ping_id=f"p-{number}", campaign_id="c-1", attributes=attributes, test=test)


def a_lead(bid: Bid, cents: int | None = None, *, test: bool = False) -> Lead:
    price = bid.price if cents is None else Decimal(cents).scaleb(-2)
    return Lead(
        delivery_id=f"d-{bid.token}",
        lead_id="l-1",
        campaign_id="c-1",
        vertical="solar",
        price=price,
        attributes={},
        contact={},
        token=bid.token,
        test=test,
    )


def price_of(bid: Bid | None) -> str | None:
    return None if bid is None else str(bid.price)


# --- flat, and by area ----------------------------------------------------------------------------


def test_a_flat_price_is_bid_for_every_ping() -> None:
    assert flat_price("42.50")(a_ping(zip="94107")) == Bid("42.50")


@pytest.mark.parametrize(
    ("attributes", "price"),
    [
        pytest.param({"zip": "94107", "state": "CA"}, "60.00", id="the longest prefix"),
        pytest.param({"zip": "94055", "state": "CA"}, "50.00", id="a shorter prefix"),
        pytest.param({"zip": "90001", "state": "CA"}, "40.00", id="the state"),
        pytest.param({"state": "CA"}, "40.00", id="no ZIP"),
        pytest.param({"zip": 94107}, "60.00", id="a ZIP sent as a number"),
        pytest.param({"zip": "9", "state": "NY"}, "10.00", id="all else"),
        pytest.param({}, "10.00", id="nothing known"),
    ],
)
def test_an_area_is_priced_by_its_longest_prefix_then_its_state_then_as_all_else(
    attributes: dict[str, Any], price: str
) -> None:
    prices = AreaPrices(
        by_zip_prefix={"941": "60", "94": "50"}, by_state={"CA": "40"}, otherwise="10"
    )
    assert price_of(prices(a_ping(**attributes))) == price


def test_an_area_in_no_table_gets_no_bid() -> None:
    assert AreaPrices(by_state={"CA": "40"})(a_ping(zip="10001", state="NY")) is None


# --- the pace -------------------------------------------------------------------------------------


@given(st.integers(0, 10**9), st.floats(-1e5, 2e5), st.floats(0, 1e5), st.integers(0, 10**6))
def test_what_may_be_spent_only_grows_and_stays_within_the_budget(
    budget: int, at_s: float, later_s: float, ahead: int
) -> None:
    now = MIDNIGHT + at_s
    first = spendable(budget, DAY, now, ahead)
    assert 0 <= first <= spendable(budget, DAY, now + later_s, ahead) <= budget


@given(st.integers(0, 10**9), st.integers(0, 86_400_000))
def test_what_may_be_spent_is_the_part_of_the_day_that_has_passed(budget: int, ms: int) -> None:
    earned = spendable(budget, DAY, MIDNIGHT + ms / 1_000)
    assert 0 <= budget * ms - earned * 86_400_000 < 86_400_000  # rounded down, by under a cent


def test_nothing_is_earned_before_the_day_and_all_of_it_after() -> None:
    assert spendable(50_000, DAY, DAY.start_s) == 0
    assert spendable(50_000, DAY, DAY.start_s + 43_200) == 25_000
    assert spendable(50_000, DAY, DAY.end_s) == spendable(50_000, DAY, DAY.end_s + 1) == 50_000


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)),
    st.sampled_from(["UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
)
def test_every_moment_is_in_its_own_day(moment: datetime, zone_name: str) -> None:
    zone = ZoneInfo(zone_name)
    now = moment.replace(tzinfo=UTC).timestamp()
    day = day_of(now, zone)
    assert day.start_s <= now < day.end_s
    assert (
        datetime.fromtimestamp(day.start_s, zone).date() == datetime.fromtimestamp(now, zone).date()
    )
    assert day_of(day.end_s, zone).start_s == day.end_s


@pytest.mark.parametrize(
    ("noon", "hours"),
    [
        pytest.param(datetime(2026, 3, 8, 12), 23, id="spring"),
        pytest.param(datetime(2026, 11, 1, 12), 25, id="autumn"),
        pytest.param(datetime(2026, 7, 1, 12), 24, id="summer"),
    ],
)
def test_a_day_is_as_long_as_the_clock_on_the_wall_makes_it(noon: datetime, hours: int) -> None:
    zone = ZoneInfo("America/New_York")
    day = day_of(noon.replace(tzinfo=zone).timestamp(), zone)
    assert day.end_s - day.start_s == hours * 3_600


# --- the paced bidder -----------------------------------------------------------------------------


def paced(hold_s: float = HOLD_S) -> PacedBudget:
    return PacedBudget(price="10.00", budget="240.00", zone=UTC, hold_s=hold_s)


def test_a_lead_an_hour_is_bought_where_the_budget_is_one_an_hour() -> None:
    budget, bought = paced(), []
    for minute in range(24 * 60):
        now = MIDNIGHT + minute * 60
        if (bid := budget.price(a_ping(minute), now)) is not None:
            budget.take(a_lead(bid), now)
            bought.append(minute)
    assert bought == [hour * 60 for hour in range(24)]
    assert budget.spent_cents == 24_000


def test_bids_that_may_yet_win_hold_their_money_until_they_cannot() -> None:
    budget = paced(hold_s=60)
    assert budget.price(a_ping(1), MIDNIGHT) is not None
    assert budget.price(a_ping(2), MIDNIGHT + 59) is None
    assert budget.price(a_ping(3), MIDNIGHT + 60) is not None
    assert budget.spent_cents == 0


def test_a_test_ping_is_bid_on_and_costs_nothing() -> None:
    budget = paced()
    bid = budget.price(a_ping(test=True), MIDNIGHT)
    assert bid == Bid("10.00")
    budget.take(a_lead(bid, test=True), MIDNIGHT)
    assert (budget.spent_cents, budget.held_cents) == (0, 0)


def test_a_new_day_begins_with_nothing_spent() -> None:
    budget = paced()
    bid = budget.price(a_ping(), MIDNIGHT)
    assert bid is not None
    budget.take(a_lead(bid), MIDNIGHT)
    assert budget.price(a_ping(), MIDNIGHT + 1) is None
    assert budget.price(a_ping(), MIDNIGHT + 86_400) is not None
    assert budget.spent_cents == 0


steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(1, 20_000)),
        st.tuples(st.just("ping"), st.integers(1, 5)),
        st.tuples(st.just("win"), st.integers(0, 1_000)),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 30_000), st.integers(1, 5_000), st.floats(0, 20_000))
def test_whatever_is_bid_and_won_the_budget_holds_and_bids_keep_to_the_pace(
    steps: list[tuple[str, int]], budget_cents: int, price_cents: int, hold_s: float
) -> None:
    budget = PacedBudget(
        price=Decimal(price_cents).scaleb(-2),
        budget=Decimal(budget_cents).scaleb(-2),
        zone=UTC,
        hold_s=hold_s,
    )
    now, bids = MIDNIGHT, list[tuple[float, Bid]]()
    for step, number in steps:
        if step == "wait":
            now += number
        elif step == "ping":
            for _ in range(number):
                if (bid := budget.price(a_ping(), now)) is not None:
                    bids.append((now + hold_s, bid))
                    used = budget.spent_cents + budget.held_cents
                    assert used <= spendable(budget_cents, day_of(now, UTC), now, price_cents)
        else:
            bids = [(until, bid) for until, bid in bids if now < until]
            if bids:  # charged what was bid, or less
                _, bid = bids.pop(number % len(bids))
                budget.take(a_lead(bid, max(0, price_cents - number)), now)
        assert budget.spent_cents + budget.held_cents <= budget_cents
