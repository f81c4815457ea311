"""A receipt over many campaigns is told whole again, exactly, from kept versions (rules: §3, §7)."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from uuid_utils import uuid7

from exchange.core.auction import Candidate, decide
from exchange.core.model import (
    Bid,
    Campaign,
    CampaignId,
    Cap,
    CompanyId,
    Condition,
    Modifier,
    OpenHours,
    Ping,
    Schedule,
    SellerId,
)
from exchange.core.quality.requires import Requires
from exchange.core.reasons import Reason
from exchange.flow.ports import Receipt
from exchange.flow.retelling import RetoldReceipt
from tests.flow.market import INBOX, NOON, SECRETS, Desk

MANY = 60
"""Campaigns of the market: more than a receipt spells out."""


class Town:
    """A market of many campaigns, and what the plain scan said of each lead when it was pinged."""

    def __init__(self, desk: Desk, seller_id: SellerId) -> None:
        self.desk = desk
        self.seller_id = seller_id
        self.campaigns: list[Campaign] = []
        self.scanned: list[tuple[Receipt, tuple[Candidate, ...]]] = []

    async def save(self, company_id: CompanyId, cents: int, **changes: Any) -> Campaign:
        """Open a campaign that takes leads in its inbox."""
        campaign = Campaign(
            campaign_id=CampaignId(str(uuid7())),
            company_id=company_id,
            name="test",
            vertical="solar",
            bid=Bid(exclusive_cents=cents),
            delivery=(INBOX,),
        )
        campaign = replace(campaign, **changes)
        await self.desk.exchange.registry.save_campaign(
            campaign, create=True, now=self.desk.clock.now()
        )
        self.campaigns.append(campaign)
        return campaign

    async def change(self, campaign: Campaign, **changes: Any) -> None:
        """Save a campaign again."""
        changed = replace(campaign, **changes)
        saved = await self.desk.exchange.registry.save_campaign(
            changed, create=False, now=self.desk.clock.now()
        )
        assert saved is not None

    async def ping(self, **options: Any) -> Receipt:
        """Ping a lead a second later; the plain scan over this worker's market is noted first."""
        self.desk.clock.forward(seconds=3)
        lead = self.desk.lead(self.seller_id, **options)
        return await self.hold(lead)

    async def hold(self, lead: Ping) -> Receipt:
        now, market = self.desk.clock.now(), self.desk.exchange.market
        market.move_to(self.desk.exchange.today(now))
        graded = self.desk.exchange.grading.ping(lead, now)
        scan = decide(market, graded, now, SECRETS.draw_key)
        receipt = await self.desk.exchange.ping(lead)
        self.scanned.append((receipt, scan.candidates))
        return receipt

    async def sell(self, **options: Any) -> None:
        """Ping a lead and sell it, a moment later."""
        receipt = await self.ping(**options)
        assert receipt.status == "offer", receipt
        self.desk.clock.forward(seconds=1)
        assert (await self.desk.post(receipt)).status == "sold"

    async def tell(self, receipt: Receipt) -> RetoldReceipt:
        """A receipt told whole, as it is written in the books."""
        await self.desk.exchange.receipts.flush()
        told = await self.desk.exchange.whole_receipt(receipt.ping_id)
        assert told is not None
        return told


def by_campaign(candidates: tuple[Candidate, ...]) -> list[tuple[Any, ...]]:
    """Everything told of each campaign, in one order."""
    return sorted(
        (
            (
                c.campaign_id, c.company_id, c.outcome, c.reason, c.share or 0, c.base_cents,
                c.rejected, c.assigned, c.rectified_cents, c.charged_cents, c.rank, c.draw,
                c.first_look,
            )
            for c in candidates
        ),
        key=lambda told: (told[0], told[4]),
    )  # fmt: skip


async def town_of(desk: Desk, companies: int = 6) -> tuple[Town, list[CompanyId]]:
    """A market of ``MANY`` campaigns with every kind of condition."""
    town = Town(desk, await desk.seller())
    ids = [await desk.company(f"Company {n}") for n in range(companies)]
    ids.append(await desk.company("Prepaid", prepaid=100_00))
    chance = random.Random(7)
    for n in range(MANY):
        await town.save(
            chance.choice(ids),
            20_00 + chance.randrange(40) * 1_00,
            **chance.choice(
                (
                    {},
                    {"filter": Condition(field="zip", op="prefix", value="9")},
                    {"filter": Condition(field="credit_score", op=">=", value=720)},
                    {"active": n % 2 == 0},
                    {"caps": (Cap(period="day", leads=1),)},
                    {"caps": (Cap(period="month", spend_cents=90_00),)},
                    {"schedule": Schedule(windows=(OpenHours(days=(5,), from_minute=0, to_minute=725),))},
                    {"max_age_s": 3_600},
                    {"requires": Requires(consent=("trustedform",))},
                    {"bid": Bid(exclusive_cents=30_00, shared_cents={2: 25_00, 3: 20_00})},
                    {"bid": Bid(exclusive_cents=30_00, modifiers=(
                        Modifier(when=Condition(field="state", op="=", value="CA"), add_cents=500),
                    ))},
                )
            ),
        )
    return town, ids


async def test_every_campaign_is_told_as_the_plain_scan_told_it_at_the_auction(desk: Desk) -> None:
    town, ids = await town_of(desk)
    for n in range(6):
        await town.sell(max_buyers=1 + n % 2)
    for receipt, scan in town.scanned:
        told = await town.tell(receipt)
        assert told.source == "recomputed"
        assert told.retold.differences == ()
        assert told.retold.open == ()
        assert by_campaign(told.retold.candidates) == by_campaign(scan)
