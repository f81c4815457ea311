"""Each check of the soak finds what it is there to find: evidence in order, then spoilt one way."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from tests.e2e.wire import Account
from tests.soak.books import Books
from tests.soak.checks import Evidence, violations
from tests.soak.companies import Returned
from tests.soak.market import WAYS, Delivered, Shop
from tests.soak.sellers import Posted

SELLER = Account(id="s", key="")
ROOFS = Shop(account=Account(id="roofs", key=""), name="roofs", systems=("crm",))
INBOX = Shop(account=Account(id="inbox", key=""), name="inbox", most_leads=1, is_prepaid=True)
SOLD = Posted(
    number=0,
    way=WAYS[0],
    seller=SELLER,
    ping_id="p0",
    legs=1,
    outcome={
        "status": "sold",
        "lead_id": "l0",
        "price": Decimal("85.00"),
        "legs": [{"status": "sold", "price": Decimal("85.00")}],
    },
)
UNSOLD = Posted(
    number=1,
    way=WAYS[0],
    seller=SELLER,
    ping_id="p1",
    legs=1,
    outcome={
        "status": "unsold",
        "lead_id": "l1",
        "reason": {"code": "delivery_unclear"},
        "legs": [{"status": "unsold", "reason": {"code": "delivery_unclear"}}],
    },
)
SEEN = Delivered(system="crm", delivery_id="d0", lead_id="l0", price_cents=100_00, accepted=True)


def delivery(number: int, state: str, company: str = "roofs") -> dict[str, Any]:
    ids = {"id": f"d{number}", "lead_id": f"l{number}", "leg": 0, "company_id": company}
    return {**ids, "state": state, "charged": 100_00, "seller_cents": 85_00}


def sale(number: int, company: str = "roofs") -> dict[str, Any]:
    ids = {"delivery_id": f"d{number}", "lead_id": f"l{number}", "leg": 0, "company_id": company}
    return {**ids, "seller_id": "s", "charged": 100_00, "seller_cents": 85_00}


def lead(number: int) -> dict[str, Any]:
    return {"id": f"l{number}", "ping_id": f"p{number}", "done": True}


def standing(assigned: str, manual: str, crm: str) -> dict[str, Any]:
    sums = {"assigned": assigned, "rejected_manual": manual, "rejected_crm": crm}
    return {**{name: Decimal(text) for name, text in sums.items()}, "protected": True}


def in_order() -> Evidence:
    """One lead sold to a company's CRM, which may have taken another that is held; no returns."""
    read = {"lead_id": "l0", "delivery_id": "d0", "price": Decimal("100.00")}
    return Evidence(
        posted=[SOLD, UNSOLD],
        returned=[],
        shops=[ROOFS, INBOX],
        seen={
            "roofs": [SEEN, replace(SEEN, delivery_id="d1", lead_id="l1")],
            "inbox": [],
        },
        odd_requests={"roofs": 0, "inbox": 0},
        inboxes={"roofs": [read], "inbox": []},
        balances={"roofs": Decimal("-100.00"), "inbox": Decimal("150.00")},
        deposits={"inbox": Decimal("150.00")},
        standings={
            "roofs": standing("200.00", "0.00", "100.00"),
            "inbox": standing("0.00", "0.00", "0.00"),
        },
        rates={"roofs": {1: "0/20000", 2: "0/20000"}},
        books=Books(
            leads=[lead(0), lead(1)],
            legs=[
                {"lead_id": "l0", "leg": 0, "state": "sold", "seller_cents": 85_00},
                {"lead_id": "l1", "leg": 0, "state": "unsold", "seller_cents": None},
            ],
            deliveries=[delivery(0, "accepted"), delivery(1, "unclear")],
            sales=[sale(0)],
            rejections=[
                {
                    "delivery_id": "d1",
                    "lead_id": "l1",
                    "company_id": "roofs",
                    "kind": "crm",
                    "value": 100_00,
                }
            ],
            ledger=[
                {"account": "company:roofs", "cents": -100_00},
                {"account": "seller:s", "cents": 85_00},
                {"account": "operator", "cents": 15_00},
                {"account": "company:inbox", "cents": 150_00},
                {"account": "cash", "cents": -150_00},
            ],
            companies=[{"id": "roofs", "balance": -100_00, "held": 0}],
        ),
    )


def test_evidence_in_order_violates_nothing() -> None:
    assert violations(in_order()) == []


def _books(found: Evidence, **changed: Any) -> Evidence:
    return replace(found, books=replace(found.books, **changed))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        pytest.param(
            lambda e: replace(e, posted=[replace(SOLD, outcome=None), UNSOLD]),
            "post 0 has no outcome",
            id="a post without an outcome",
        ),
        pytest.param(
            lambda e: _books(e, leads=[lead(0)]), "post 1 was answered", id="a lead that is lost"
        ),
        pytest.param(
            lambda e: _books(e, leads=[*e.books.leads, lead(9)]),
            "lead l9 is of no post",
            id="a lead nobody posted",
        ),
        pytest.param(
            lambda e: replace(
                e,
                posted=[
                    SOLD,
                    replace(
                        UNSOLD, outcome={**(UNSOLD.outcome or {}), "legs": [{"status": "unsold"}]}
                    ),
                ],
            ),
            "unsold without a reason",
            id="an unsold leg without a reason",
        ),
        pytest.param(
            lambda e: _books(e, sales=[sale(0), {**sale(0, "inbox"), "delivery_id": "d7"}]),
            "is sold with 2 sales",
            id="a leg sold twice",
        ),
        pytest.param(
            lambda e: replace(e, inboxes={**e.inboxes, "roofs": []}),
            "roofs reads 0 leads and bought 1",
            id="a buyer that does not have its lead",
        ),
        pytest.param(
            lambda e: replace(e, seen={**e.seen, "roofs": []}),
            "which its systems did not take",
            id="a sale its CRM never saw",
        ),
        pytest.param(
            lambda e: replace(e, seen={**e.seen, "roofs": [replace(SEEN, delivery_id="d8")]}),
            "booked None",
            id="a delivery nobody booked",
        ),
        pytest.param(
            lambda e: replace(e, odd_requests={"roofs": 1, "inbox": 0}),
            "1 requests that were no lead",
            id="a delivery id with another lead",
        ),
        pytest.param(
            lambda e: _books(e, deliveries=[delivery(0, "accepted"), delivery(1, "failed")]),
            "took delivery d1, booked as failed",
            id="a lead taken and booked as failed",
        ),
        pytest.param(
            lambda e: _books(
                e, deliveries=[*e.books.deliveries, {**delivery(1, "accepted", "inbox"), "id": "x"}]
            ),
            "exclusive lead l1 was taken by inbox, roofs",
            id="an exclusive lead with two companies",
        ),
        pytest.param(
            lambda e: _books(e, ledger=e.books.ledger[:-1]),
            "the ledger sums to 15000 cents",
            id="a ledger that does not sum to zero",
        ),
        pytest.param(
            lambda e: replace(e, balances={**e.balances, "roofs": Decimal("-99.99")}),
            "roofs reads a balance",
            id="a balance a cent off",
        ),
        pytest.param(
            lambda e: _books(e, companies=[{"id": "roofs", "balance": 0, "held": 1}]),
            "still has 1 cents held",
            id="money that stays held",
        ),
        pytest.param(
            lambda e: replace(
                e,
                returned=[
                    Returned(shop=ROOFS, lead_id="l0", rejection_id="r", value=Decimal("100.00"))
                ],
            ),
            "told 10000 cents, booked None",
            id="a return that was answered and is not booked",
        ),
        pytest.param(
            lambda e: replace(
                e, standings={**e.standings, "roofs": standing("100.00", "0.00", "100.00")}
            ),
            "deliveries make 20000",
            id="a window that lacks a delivery",
        ),
        pytest.param(
            lambda e: replace(e, rates={"roofs": {1: "0/20000", 2: "0/10000"}}),
            "weighed differently by workers",
            id="a worker whose market lags",
        ),
    ],
)
def test_what_is_spoilt_is_told(spoil: Callable[[Evidence], Evidence], told: str) -> None:
    found = violations(spoil(in_order()))
    assert any(told in sentence for sentence in found), found
