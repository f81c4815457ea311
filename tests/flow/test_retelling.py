"""A receipt over many campaigns is told whole again, from what is kept (rules: §3, §7)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from uuid_utils import uuid7

from exchange.core.auction import Candidate, decide
from exchange.core.contract import Clauses, Trial
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
    PingId,
    Policy,
    Schedule,
    SellerId,
)
from exchange.core.quality.requires import Requires
from exchange.core.reasons import Reason
from exchange.core.terms import Tier
from exchange.embedded import StoreUrls
from exchange.flow.contracts import Draft
from exchange.flow.ping import SPELLED_OUT
from exchange.flow.ports import Receipt
from exchange.flow.retelling import RetoldReceipt
from tests.flow.market import (
    INBOX,
    NOON,
    SECRETS,
    Desk,
    http,
    key_of,
    open_desk,
    settings_for_tests,
    until,
)

ADA = key_of("ada")
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

    async def ping(self, known: Mapping[str, Any] | None = None, **options: Any) -> Receipt:
        """Ping a lead a few seconds later. ``known`` is what the stores know of its contact."""
        self.desk.clock.forward(seconds=3)
        return await self.hold(self.desk.lead(self.seller_id, **options), known)

    async def hold(self, lead: Ping, known: Mapping[str, Any] | None = None) -> Receipt:
        """Ping a lead; the plain scan over this worker's market is noted first."""
        now, market = self.desk.clock.now(), self.desk.exchange.market
        market.move_to(self.desk.exchange.today(now))
        graded = replace(self.desk.exchange.grading.ping(lead, now), **(known or {}))
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
                    {
                        "schedule": Schedule(
                            windows=(OpenHours(days=(5,), from_minute=0, to_minute=725),)
                        )
                    },
                    {"max_age_s": 3_600},
                    {"requires": Requires(consent=("trustedform",))},
                    {"bid": Bid(exclusive_cents=30_00, shared_cents={2: 25_00, 3: 20_00})},
                    {
                        "bid": Bid(
                            exclusive_cents=30_00,
                            modifiers=(
                                Modifier(
                                    when=Condition(field="state", op="=", value="CA"), add_cents=500
                                ),
                            ),
                        )
                    },
                )
            ),
        )
    return town, ids


async def assert_told(town: Town) -> set[Reason | None]:
    """Every receipt is told as the scan of its moment; gives the reasons there were."""
    found: set[Reason | None] = set()
    for receipt, scan in town.scanned:
        told = await town.tell(receipt)
        assert told.source == "recomputed"
        assert told.retold.differences == ()
        assert told.retold.open == ()
        assert told.exact
        assert by_campaign(told.retold.candidates) == by_campaign(scan)
        found |= {candidate.reason for candidate in scan}
    checked = await town.desk.exchange.check_receipts(len(town.scanned))
    assert checked.findings == ()
    assert checked.read == checked.exact == len(town.scanned)
    return found


async def test_every_campaign_is_told_as_the_plain_scan_told_it_at_the_auction(desk: Desk) -> None:
    town, ids = await town_of(desk)
    for n in range(8):
        await town.sell(max_buyers=1 + n % 3)
    await town.ping(min_price=500_00)
    old = replace(desk.lead(town.seller_id, min_price=500_00), captured_at=NOON - timedelta(days=2))
    desk.clock.forward(seconds=3)
    await town.hold(old)
    desk.clock.forward(hours=1)
    await town.ping()
    desk.clock.forward(seconds=3)
    registry, now = desk.exchange.registry, desk.clock.now()
    # What comes after changes nothing of what was.
    for number, campaign in enumerate(town.campaigns):
        if number % 7 == 0:
            await registry.delete_campaign(campaign.campaign_id, campaign.company_id, now)
        elif number % 7 == 1:
            await town.change(campaign, bid=Bid(exclusive_cents=99_00), caps=())
    await registry.set_active("company", ids[0], False, now)
    await registry.deposit(ids[-1], 500_00, "second", now)
    for row in await desk.rows("select company_id, lead_id from sale"):
        await desk.reject(row["company_id"], row["lead_id"])
    await town.ping()
    await town.save(ids[1], 300_00)
    await registry.set_active("company", ids[0], True, desk.clock.now())
    desk.clock.forward(days=40)
    assert await assert_told(town) >= {
        None, Reason.INACTIVE, Reason.FILTER, Reason.SCHEDULE, Reason.LEAD_AGE,
        Reason.CONSENT_DEMANDED, Reason.OUTBID, Reason.BELOW_MIN_PRICE, Reason.SAME_COMPANY,
        Reason.SHARE_COUNT,
    }  # fmt: skip


@pytest.fixture
async def strict(stores: StoreUrls, database: str) -> AsyncIterator[Desk]:
    """A worker that protects nobody, and takes a contact again that was sold to others."""
    made = settings_for_tests(Policy(protection_cents=1))
    windows = {"duplicate_window_days_market": 0, "duplicate_window_days_seller": 0}
    settings = replace(made, ping=replace(made.ping, **windows))
    async with open_desk(stores, database, settings=settings) as desk:
        yield desk


async def test_rooms_rates_contacts_and_contracts_are_those_of_the_moment(strict: Desk) -> None:
    desk = strict
    town, _ = await town_of(desk)
    capped, spent, failing, blocked, priced, first, tried = [
        await desk.company(f"Dear {n}") for n in range(7)
    ]
    prepaid = await desk.company("Dear prepaid", prepaid=300_00)
    seller = town.seller_id
    await town.save(capped, 300_00, caps=(Cap(period="day", leads=2),))
    await town.save(capped, 30_00)
    await town.save(prepaid, 250_00)
    await town.save(spent, 240_00, caps=(Cap(period="week", spend_cents=300_00),))
    unreachable = http("http://127.0.0.1:9/", timeout_ms=500)
    await town.save(failing, 230_00, delivery=(unreachable,))
    for company_id, clauses in (
        (blocked, Clauses(blocked=True)),
        (priced, Clauses(tiers=(Tier(min_score=0, multiply_bp=12_345),), discount_bp=777)),
        (tried, Clauses(trial=Trial(starts_at=NOON, ends_at=NOON + timedelta(days=90), leads=1))),
    ):
        await town.save(company_id, 80_00)
        await desk.exchange.contracts.create(
            seller, company_id, Draft(clauses=clauses), key=None, now=desk.clock.now()
        )
    await town.save(tried, 260_00)
    for n in range(7):
        receipt = await town.ping()
        request = desk.post_request(receipt, contact_keys=(ADA,)) if n == 0 else None
        desk.clock.forward(seconds=1)
        await (desk.exchange.post(request) if request else desk.post(receipt))
    number = await desk.exchange.suppressions.open(spent, desk.clock.now())
    await desk.exchange.suppressions.put(number, [(bytes.fromhex(ADA),)], desk.clock.now())
    await town.ping(
        contact_keys=(ADA,), known={"sold_to": {capped}, "suppressed_by": {spent}}, max_buyers=2
    )
    desk.clock.forward(seconds=3)
    await town.hold(desk.lead(seller))
    desk.clock.forward(days=1)
    await town.save(first, 25_00)
    await desk.exchange.contracts.create(
        seller, first, Draft(clauses=Clauses(first_look=True)), key=None, now=desk.clock.now()
    )
    returned = await desk.value("select lead_id from sale where company_id = $1", prepaid)
    await desk.reject(prepaid, returned)
    await town.ping()
    reset = await desk.exchange.registry.ask_reset(failing, desk.clock.now())
    desk.clock.forward(seconds=5)
    await desk.exchange.registry.approve_reset(reset.reset_id, desk.clock.now())
    await town.ping()
    crm = await desk.value("select id from rejection where kind = 'crm' limit 1")
    desk.clock.forward(seconds=5)
    await desk.exchange.returning.reverse(crm, "It had arrived.")
    await town.ping()
    desk.clock.forward(days=3)
    assert await assert_told(town) >= {
        Reason.CAP, Reason.BUDGET, Reason.BALANCE, Reason.SUPPRESSED, Reason.SOLD_BEFORE,
        Reason.CRM_GATE, Reason.CONTRACT, Reason.TRIAL_FULL, Reason.FIRST_LOOK,
    }  # fmt: skip


async def crowd(desk: Desk) -> tuple[Town, Campaign, Campaign]:
    """Many campaigns of one kind, and two dear ones: one for a single lead a day, one for any."""
    town = Town(desk, await desk.seller())
    capped, other = await desk.company("One a day"), await desk.company("Any")
    dear = await town.save(capped, 90_00, caps=(Cap(period="day", leads=1),))
    plain = await town.save(other, 80_00)
    for n in range(SPELLED_OUT):
        await town.save(other, 10_00 + n)
    return town, dear, plain


async def test_a_change_on_its_way_is_told_as_the_worker_saw_it_and_a_missed_one_differs(
    desk: Desk, other: Desk
) -> None:
    town, dear, plain = await crowd(desk)
    await until(lambda: len(other.exchange.market.campaign_versions) == len(town.campaigns))
    await other.exchange.following.stop()
    await town.sell()
    await town.change(plain, bid=Bid(exclusive_cents=95_00))
    desk.clock.forward(seconds=0.5)
    behind = Town(other, town.seller_id)
    early = await behind.hold(other.lead(town.seller_id))
    # Far longer than any change is on its way.
    desk.clock.forward(seconds=10)
    late = await other.ping(town.seller_id)
    for receipt in (early, late):
        assert receipt.offer is not None
        assert receipt.offer.ranks[0].campaign_id == dear.campaign_id
    await other.exchange.receipts.flush()
    told = await town.tell(early)
    assert told.exact
    assert by_campaign(told.retold.candidates) == by_campaign(behind.scanned[0][1])
    told = await town.tell(late)
    assert not told.exact
    count, first, second, *_ = told.retold.differences
    assert (count.kind, count.reason, count.told, count.found) == ("count", "cap", 0, 1)
    assert (first.kind, first.campaign_id, first.told, first.found) == (
        "line", dear.campaign_id, 1, None,
    )  # fmt: skip
    assert (second.campaign_id, second.told, second.found) == (plain.campaign_id, 2, 1)
    checked = await desk.exchange.check_receipts(2)
    assert (checked.read, checked.exact) == (2, 1)
    assert checked.findings[0] == (
        f"receipt {late.ping_id}: it counts 0 campaigns kept away by cap, and 1 follow from the "
        "books"
    )


async def test_without_the_markets_version_the_time_tells_and_without_a_campaigns_nothing(
    desk: Desk,
) -> None:
    town, dear, plain = await crowd(desk)
    await town.ping()
    ((receipt, scan),) = town.scanned
    desk.clock.forward(seconds=5)
    now = desk.clock.now()
    await desk.exchange.registry.delete_campaign(plain.campaign_id, plain.company_id, now)
    await town.change(dear, active=False)
    await town.save(plain.company_id, 70_00)
    await desk.exchange.receipts.flush()
    whose = "$1 = any(string_to_array(pings, ','))"
    body = await desk.value(f"select bodies from receipt_batch where {whose}", receipt.ping_id)
    noted = f'"market":{receipt.market},'.encode()
    assert noted in body and b"facts" not in body
    bare = body.replace(noted, b"")
    changed = f"update receipt_batch set bodies = $2, sizes = $3 where {whose}"
    await desk.value(changed, receipt.ping_id, bare, str(len(bare)))
    told = await town.tell(receipt)
    assert told.receipt.market == 0
    assert told.exact
    assert by_campaign(told.retold.candidates) == by_campaign(scan)
    await desk.value("delete from campaign_past where id = $1", dear.campaign_id)
    told = await town.tell(receipt)
    assert not told.exact
    (unknown,) = told.retold.open
    assert (unknown.campaign_id, unknown.why) == (dear.campaign_id, "campaign_version")
    known = {candidate.campaign_id for candidate in told.retold.candidates}
    assert known == {one[0] for one in by_campaign(scan)} - {dear.campaign_id}


async def test_only_what_a_receipt_does_not_name_is_recomputed_one_receipt_at_a_time(
    desk: Desk,
) -> None:
    few = Town(desk, await desk.seller())
    await few.save(await desk.company(), 50_00)
    named = await few.ping()
    told = await few.tell(named)
    assert (told.source, told.exact) == ("receipt", True)
    assert told.retold.candidates == named.candidates
    town, _, _ = await crowd(desk)
    receipt = await town.ping()
    await town.tell(named)
    asked = [desk.exchange.whole_receipt(receipt.ping_id) for _ in range(2)]
    came = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(type(one).__name__ for one in came) == ["RetoldReceipt", "Unavailable"]
    # A vertical that is not traded any more cannot read the lead.
    del desk.exchange.market.verticals["solar"]
    told = await town.tell(receipt)
    assert (told.source, told.exact) == ("vertical_changed", False)
    assert await desk.exchange.whole_receipt(PingId("gone")) is None
