"""A vertical, a bidder's question and dialects for the tests of how companies are spoken to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Raw

from exchange.buyers.dialects import Dialects, Spoken
from exchange.buyers.speech import Incoming
from exchange.core.dialect import Dialect
from exchange.core.model import CampaignId, CompanyId, DeliveryTarget, PingId
from exchange.core.remote import Remote
from exchange.core.verticals import AttributeSpec, Vertical, VerticalSpec, compile_vertical
from exchange.flow.bidding import Asked, Question

NOW = datetime(2026, 11, 21, 22, 40, tzinfo=UTC)
URL = "https://crm.example/in"

SOLAR: Vertical = compile_vertical(
    VerticalSpec(
        name="solar",
        title="Solar",
        attributes={
            "zip": AttributeSpec(kind="zip", required=True),
            "state": AttributeSpec(kind="state", required=True),
            "credit_score": AttributeSpec(kind="integer", min=300, max=850),
            "owns_home": AttributeSpec(kind="boolean"),
            "monthly_bill": AttributeSpec(kind="decimal", min=0, max=10_000),
            "roof_type": AttributeSpec(kind="choice", allowed=("tile", "asphalt_shingle")),
            "remarks": AttributeSpec(kind="text"),
        },
    )
)
ATTRIBUTES: dict[str, Any] = {
    "zip": "94107",
    "state": "CA",
    "credit_score": 710,
    "owns_home": True,
    "monthly_bill": 150.5,
    "roof_type": "asphalt_shingle",
}


def make_dialects() -> Dialects:
    """Dialects at a fixed time; every company's secret is its id's."""
    return Dialects(
        keys=[(1, b"k" * 32)],
        secret_of=lambda company_id: f"secret-of-{company_id}",
        company_of=lambda campaign_id: CompanyId("company-1"),
        clock=lambda: NOW,
    )


def dialect(**parts: Any) -> Dialect:
    """A dialect from what a company would write."""
    return msgspec.convert(parts, Dialect)


def target(url: str | None = URL, /, **post: Any) -> DeliveryTarget:
    """A delivery whose dialect's post this is; ``secrets`` are the dialect's."""
    secrets = post.pop("secrets", {})
    return DeliveryTarget(kind="http", url=url, dialect=dialect(secrets=secrets, post=post))


def remote(url: str | None = URL, /, **ping: Any) -> Remote:
    """A bidder whose dialect's ping this is; ``secrets`` are the dialect's."""
    secrets = ping.pop("secrets", {})
    return Remote(url=url, dialect=dialect(secrets=secrets, ping=ping))


def question(**attributes: Any) -> Question:
    """A ping with these attributes besides the usual."""
    return Question(
        ping_id=PingId("p-1"),
        vertical="solar",
        attributes=Raw(msgspec.json.encode(ATTRIBUTES | attributes)),
        max_buyers=2,
        test=False,
    )


def asked(of: Remote, share: int = 1) -> Asked:
    """A campaign to be asked."""
    return Asked(
        campaign_id=CampaignId("c-1"), company_id=CompanyId("company-1"), remote=of, share=share
    )


def said(body: str | bytes, status: int = 200, **headers: str) -> Incoming:
    """An answer as it came in."""
    data = body.encode() if isinstance(body, str) else body
    return Incoming(status, tuple((k.replace("_", "-"), v) for k, v in headers.items()), data)


def post_of(one: DeliveryTarget) -> Spoken:
    """A delivery's dialect, checked against the vertical and compiled."""
    spoken = make_dialects().compile_post(one, SOLAR)
    assert spoken is not None
    return spoken
