"""The reference bidders as they are served ready-made: their names, what they do, their prices."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC
from typing import NamedTuple

from bidders.kit.bidder import Bidder
from bidders.kit.wire import Accepted, Lead
from bidders.reference.pacing import PacedBudget
from bidders.reference.prices import AreaPrices, flat_price


class ReferenceBidder(NamedTuple):
    """A bidder, and what it does in a few words."""

    bidder: Bidder
    does: str


def reference_bidders(
    *, secret: str | None = None, now: Callable[[], float] = time.time
) -> dict[str, ReferenceBidder]:
    """Make each of them, by name; with a secret they verify what they are sent.

    Leads may be unsigned, as those of a plain HTTP delivery are.
    """

    def bidder() -> Bidder:
        return Bidder(secret=secret, allow_unsigned_leads=True, now=now)

    flat, area, paced = bidder(), bidder(), bidder()
    flat.price(flat_price("42.50"))
    area.price(
        AreaPrices(by_zip_prefix={"941": "55", "900": "50"}, by_state={"CA": "40", "NV": "35"})
    )
    for each in (flat, area):
        each.lead(_accept)
    budget = PacedBudget(price="30", budget="720", zone=UTC)
    paced.price(lambda ping: budget.price(ping, now()))
    paced.lead(lambda lead: budget.take(lead, now()))
    return {
        "flat": ReferenceBidder(flat, "bids 42.50 on every ping"),
        "area": ReferenceBidder(
            area, "bids 55 in ZIPs 941, 50 in 900, else 40 in CA, 35 in NV, and nowhere else"
        ),
        "paced": ReferenceBidder(paced, "bids 30.00, and spends 720.00 evenly over the UTC day"),
    }


def _accept(lead: Lead) -> Accepted:
    return Accepted(f"ref-{lead.lead_id}")
