"""What both FastAPI peers share: the ping, the answer, and who wins; nothing that goes out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

import orjson
from pydantic import BaseModel, Field

OFFER_LIFE = timedelta(seconds=300)
SELLER_SHARE = 0.85
HEADERS = {"Content-Type": "application/json"}


class Ping(BaseModel):
    """A lead on offer; what else a seller sends is let through unread."""

    vertical: str
    attributes: dict[str, Any]
    timeout_ms: int = Field(default=400, ge=1, le=5_000)


class Leg(BaseModel):
    """One buyer's part."""

    leg_id: str
    price: float


class Offer(BaseModel):
    """The price that stands."""

    ping_id: str
    status: Literal["offer"] = "offer"
    price: float
    currency: str = "USD"
    mode: str = "exclusive"
    legs: list[Leg]
    expires_at: datetime


class NoOffer(BaseModel):
    """Nobody bid."""

    ping_id: str
    status: Literal["no_offer"] = "no_offer"


def new_ping_id() -> str:
    """A random UUID."""
    return str(uuid4())


def bid_request(ping: Ping, ping_id: str, index: int) -> bytes:
    """What a bidder is sent."""
    return orjson.dumps(
        {
            "ping_id": ping_id,
            "campaign_id": f"campaign-{index}",
            "vertical": ping.vertical,
            "attributes": ping.attributes,
            "mode": "exclusive",
            "shares": 1,
            "timeout_ms": ping.timeout_ms,
        }
    )


def read_bid(status: int, body: bytes) -> float | None:
    """The price of a bidder's answer; None if it is no bid. Raises ValueError for no JSON."""
    if status != 200:
        return None
    answer = orjson.loads(body)
    price = answer.get("price")
    if isinstance(price, int | float) and price > 0 and answer.get("currency") == "USD":
        return float(price)
    return None


def decide(ping_id: str, bids: list[tuple[int, float]]) -> Offer | NoOffer:
    """The answer to the bids that came, each a bidder's index and its price."""
    if not bids:
        return NoOffer(ping_id=ping_id)
    _, best = min(bids, key=lambda bid: (-bid[1], bid[0]))
    price = round(best * SELLER_SHARE, 2)
    return Offer(
        ping_id=ping_id,
        price=price,
        legs=[Leg(leg_id=f"{ping_id}-1", price=price)],
        expires_at=datetime.now(UTC) + OFFER_LIFE,
    )
