"""Bodies as the contract prints them, and small changes to them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

PHONE_HASH = "a" * 64

PING: dict[str, Any] = {
    "vertical": "solar",
    "attributes": {
        "zip": "94107",
        "state": "CA",
        "credit_score": 710,
        "owns_home": True,
        "monthly_bill": 150,
    },
    "contact_hashes": {"phone": PHONE_HASH, "email": "B" * 64},
    "captured_at": "2026-11-21T22:35:08Z",
    "source": {"sub_id": "fb-123"},
    "consent": {"trustedform_url": "https://…"},
    "max_buyers": 1,
    "min_price": 12.00,
    "timeout_ms": 400,
    "test": False,
}

POST: dict[str, Any] = {
    "ping_id": "01a200a6-e884-74bf-be17-4c1ffc3ef422",
    "attributes": {"zip": "94107", "credit_score": 710, "owns_home": True, "monthly_bill": 150},
    "contact": {
        "first_name": "Ann",
        "last_name": "Lee",
        "phone": "(415) 555-0100",
        "email": " Ann@Example.com ",
        "address": "1 Main St",
    },
}

CAMPAIGN: dict[str, Any] = {
    "company_id": "company-1",
    "name": "CA roofs",
    "vertical": "solar",
    "filter": {
        "all": [
            {"field": "state", "op": "in", "value": ["CA", "NV"]},
            {"field": "credit_score", "op": ">=", "value": 650},
        ]
    },
    "bid": {
        "exclusive": 45.75,
        "shared": {"2": 30.00, "3": 24.00},
        "modifiers": [
            {"when": {"field": "zip", "op": "prefix", "value": "941"}, "add": 5.00},
            {"when": {"field": "state", "op": "=", "value": "NV"}, "multiply": 1.1},
        ],
    },
    "caps": [{"period": "day", "leads": 100}, {"period": "month", "spend": 10000.00}],
    "schedule": {
        "timezone": "America/Los_Angeles",
        "windows": [{"days": ["mon", "tue"], "from": "09:00", "to": "24:00"}],
    },
    "delivery": [{"kind": "http", "url": "https://crm.example/leads"}, {"kind": "inbox"}],
}


class _Removed:
    """Stands for a place that is taken away; named, so that a test's id is the same everywhere."""

    def __repr__(self) -> str:
        return "removed"


REMOVE = _Removed()


def changed(body: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """The body with one place changed, added or (`REMOVE`) taken away; ``a.0.b`` names it."""
    copy = deepcopy(body)
    at: Any = copy
    *steps, last = path.split(".")
    for step in steps:
        at = at[int(step)] if isinstance(at, list) else at.setdefault(step, {})
    if value is REMOVE:
        del at[last]
    elif isinstance(at, list):
        at[int(last)] = value
    else:
        at[last] = value
    return copy


CONTRACT: dict[str, Any] = {
    "seller_id": "seller-1",
    "company_id": "company-1",
    "terms": {"return_window_h": 24},
}
