"""A ping is refused as a whole before any campaign is asked (rules: §3.1)."""

from datetime import timedelta

import pytest

from exchange.core.model import CompanyId
from exchange.core.reasons import Reason
from exchange.core.screen import DuplicateWindows, SeenContact, bought_before, screen
from tests.core.making import NOW, ping, solar

SOLAR = solar(max_age_s=3600)
NEVER_SEEN = SeenContact()


def seen(days_ago: int, by_seller: bool = False) -> SeenContact:
    sold_at = NOW - timedelta(days=days_ago)
    return SeenContact(seller_sold_at=sold_at) if by_seller else SeenContact(market_sold_at=sold_at)


@pytest.mark.parametrize(
    ("age_s", "reason"),
    [pytest.param(3600, None, id="the age"), pytest.param(3601, Reason.LEAD_TOO_OLD, id="beyond")],
)
def test_a_lead_beyond_its_verticals_age_is_refused(age_s: int, reason: Reason | None) -> None:
    one = ping(SOLAR, captured_at=NOW - timedelta(seconds=age_s))
    assert screen(one, SOLAR, NEVER_SEEN, DuplicateWindows(), NOW) is reason


@pytest.mark.parametrize(
    ("required", "consent", "reason"),
    [
        pytest.param(True, {}, Reason.CONSENT_MISSING, id="demanded and missing"),
        pytest.param(True, {"trustedform_url": "certificate"}, None, id="demanded and there"),
        pytest.param(True, {"given_at": " "}, Reason.CONSENT_MISSING, id="demanded and blank"),
        pytest.param(False, {}, None, id="not demanded"),
    ],
)
def test_consent_is_needed_where_the_vertical_demands_it(
    required: bool, consent: dict[str, str], reason: Reason | None
) -> None:
    vertical = solar(consent_required=required)
    one = ping(vertical, consent=consent)
    assert screen(one, vertical, NEVER_SEEN, DuplicateWindows(), NOW) is reason


@pytest.mark.parametrize("by_seller", [False, True], ids=["market-wide", "this seller's"])
@pytest.mark.parametrize(
    ("days_ago", "reason"), [(0, Reason.DUPLICATE), (29, Reason.DUPLICATE), (30, None)]
)
def test_a_contact_sold_inside_a_window_is_a_duplicate(
    by_seller: bool, days_ago: int, reason: Reason | None
) -> None:
    windows = DuplicateWindows(market_days=30, seller_days=30)
    assert screen(ping(SOLAR), SOLAR, seen(days_ago, by_seller), windows, NOW) is reason


@pytest.mark.parametrize(
    ("windows", "by_seller", "reason"),
    [
        pytest.param(DuplicateWindows(market_days=0), False, None, id="market-wide is off"),
        pytest.param(DuplicateWindows(seller_days=0), True, None, id="the seller's is off"),
        pytest.param(DuplicateWindows(market_days=0), True, Reason.DUPLICATE, id="the other holds"),
    ],
)
def test_a_window_of_no_days_is_off(
    windows: DuplicateWindows, by_seller: bool, reason: Reason | None
) -> None:
    assert screen(ping(SOLAR), SOLAR, seen(1, by_seller), windows, NOW) is reason


def test_age_is_told_before_consent_and_consent_before_a_duplicate() -> None:
    vertical = solar(max_age_s=3600, consent_required=True)
    old = ping(vertical, captured_at=NOW - timedelta(days=1))
    found = [
        screen(old, vertical, seen(1), DuplicateWindows(), NOW),
        screen(ping(vertical), vertical, seen(1), DuplicateWindows(), NOW),
    ]
    assert found == [Reason.LEAD_TOO_OLD, Reason.CONSENT_MISSING]


def test_a_contact_its_seller_pinged_moments_ago_is_a_repeat_even_where_it_was_sold() -> None:
    known = SeenContact(is_repeat=True, market_sold_at=NOW)
    assert screen(ping(SOLAR), SOLAR, known, DuplicateWindows(), NOW) is Reason.REPEATED_PING


def test_a_test_ping_is_no_duplicate() -> None:
    known = SeenContact(is_repeat=True, market_sold_at=NOW, sold_to={CompanyId("roofs"): NOW})
    one = ping(SOLAR, test=True)
    assert screen(one, SOLAR, known, DuplicateWindows(), NOW) is None
    assert not bought_before(one, known, DuplicateWindows(), NOW)


@pytest.mark.parametrize(
    ("days_ago", "window", "is_barred"), [(9, 10, True), (10, 10, False), (0, 0, False)]
)
def test_a_company_is_not_sold_a_contact_it_bought_within_its_window(
    days_ago: int, window: int, is_barred: bool
) -> None:
    known = SeenContact(sold_to={CompanyId("roofs"): NOW - timedelta(days=days_ago)})
    barred = bought_before(ping(SOLAR), known, DuplicateWindows(company_days=window), NOW)
    assert barred == ({"roofs"} if is_barred else frozenset())
