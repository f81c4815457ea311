"""A campaign is kept as it was given: its company's fields go out in the order it gave them."""

from __future__ import annotations

from exchange.core.dialect import Dialect, Speech
from exchange.core.model import DeliveryTarget
from tests.flow.market import Desk

NAMES = ("zeta_first", "b", "middle", "a")


async def test_fields_of_a_dialect_keep_their_order_in_the_books(desk: Desk) -> None:
    fields = {name: "attributes.zip" for name in NAMES}
    dialect = Dialect(post=Speech(format="xml", fields=fields))
    target = DeliveryTarget(kind="http", url="http://127.0.0.1:9/leads", dialect=dialect)
    company_id = await desk.company()
    campaign_id = await desk.campaign(company_id, 10_00, delivery=(target,))
    kept = await desk.exchange.registry.campaign(campaign_id)
    changes = await desk.exchange.snapshots.campaigns(0)
    [loaded] = [c.campaign for c in changes if c.campaign_id == campaign_id]
    assert kept is not None and loaded is not None
    for campaign in (kept.campaign, loaded):
        found = campaign.delivery[0].dialect
        assert found is not None and found.post is not None
        assert isinstance(found.post.fields, dict)
        assert tuple(found.post.fields) == NAMES
