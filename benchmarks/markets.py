"""Made-up markets of any size for the bench: filters, caps, schedules and rates as real ones have.

Deterministic by seed. Gives core values for micro measurements and wire bodies for a running
exchange; both from the same drawing.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from typing import Any, Final

STATES: Final = ("CA", "TX", "FL", "NY", "AZ", "NV", "NJ", "MA", "CO", "NC", "GA", "WA")
_ZIPS: Final = {
    "CA": (900, 961), "TX": (750, 799), "FL": (320, 339), "NY": (100, 149), "AZ": (850, 865),
    "NV": (889, 898), "NJ": (70, 89), "MA": (10, 27), "CO": (800, 816), "NC": (270, 289),
    "GA": (300, 319), "WA": (980, 994),
}  # fmt: skip
"""The first three digits of each state's ZIP codes, from and to: a lead's place is of one piece."""

CAMPAIGNS_PER_COMPANY: Final = 5
"""Companies of the field run a handful of campaigns each."""

RETURNER_ZIP: Final = "00501"
"""Where one company of a market buys alone: its price is the market's, for `returns`."""


def campaign_bodies(count: int, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Solar campaigns as the wire takes them, without company_id and delivery."""
    draw = random.Random(seed)
    for number in range(count):
        parts: list[dict[str, Any]] = [
            {"field": "state", "op": "in", "value": draw.sample(STATES, draw.randint(1, 5))}
        ]
        if draw.random() < 0.8:
            low = draw.choice((580, 600, 620, 640, 650, 660, 680, 700, 720))
            parts.append({"field": "credit_score", "op": ">=", "value": low})
        if draw.random() < 0.5:
            parts.append(
                {"field": "monthly_bill", "op": ">=", "value": draw.choice((80, 100, 150))}
            )
        if draw.random() < 0.4:
            parts.append({"field": "owns_home", "op": "=", "value": True})
        if draw.random() < 0.2:
            zips = [str(draw.randint(0, 999)).zfill(3) for _ in range(3)]
            parts.append({"any": [{"field": "zip", "op": "prefix", "value": z} for z in zips]})
        bid: dict[str, Any] = {"exclusive": round(draw.uniform(15, 95), 2)}
        if draw.random() < 0.3:
            bid["shared"] = {"2": round(bid["exclusive"] * 0.6, 2)}
        if draw.random() < 0.3:
            when = {"field": "credit_score", "op": ">=", "value": 720}
            bid["modifiers"] = [{"when": when, "add": 5.00}]
        caps: list[dict[str, Any]] = []
        if draw.random() < 0.5:
            caps.append({"period": "day", "leads": 1_000_000})
        if draw.random() < 0.5:
            caps.append({"period": "month", "spend": 90_000_000.00})
        zone = draw.choice(("America/Los_Angeles", "America/New_York", "America/Chicago"))
        days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
        windows = [{"days": days, "from": "00:00", "to": "24:00"}] if draw.random() < 0.5 else []
        yield {
            "name": f"campaign {number}",
            "vertical": "solar",
            "filter": {"all": parts},
            "bid": bid,
            "caps": caps,
            "schedule": {"timezone": zone, "windows": windows},
        }


def ping_bodies(count: int, seed: int = 11) -> Iterator[dict[str, Any]]:
    """Solar pings as sellers send them: about 600 bytes of JSON with their hashes and consent."""
    draw = random.Random(seed)
    for _ in range(count):
        state = draw.choice(STATES)
        yield {
            "vertical": "solar",
            "attributes": {
                "zip": f"{draw.randint(*_ZIPS[state]):03d}{draw.randint(1, 99):02d}",
                "state": state,
                "credit_score": draw.randint(560, 820),
                "owns_home": draw.random() < 0.8,
                "monthly_bill": draw.randint(60, 400),
            },
            "contact_hashes": {
                "phone": draw.randbytes(32).hex(),
                "email": draw.randbytes(32).hex(),
            },
            "source": {"sub_id": f"fb-{draw.randint(1, 99)}"},
            "consent": {"trustedform_url": f"https://cert.example/{draw.randbytes(20).hex()}"},
            "max_buyers": 1,
            "min_price": 5.00,
            "timeout_ms": 400,
            "test": False,
        }


def lead_bodies(count: int, seed: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Pings as above, each with the contact its hashes are of, for the post that follows.

    Two seeds give no contact in common: a contact sold once would be a duplicate.
    """
    for number, ping in enumerate(ping_bodies(count, seed)):
        contact = {
            "first_name": "Ada",
            "last_name": f"Bench {number}",
            "phone": f"+1{2_000_000_000 + (seed * 1_000_003 + number) % 7_999_999_999}",
            "email": f"lead-{seed}-{number}@consumers.test",
            "address": {"street": f"{number} Main Street", "city": "Springfield"},
        }
        ping["contact_hashes"] = {
            "phone": _digest(str(contact["phone"])),
            "email": _digest(str(contact["email"])),
        }
        yield ping, contact


def _digest(normalised: str) -> str:
    return hashlib.sha256(normalised.encode()).hexdigest()
