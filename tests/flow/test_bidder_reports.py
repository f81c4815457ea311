"""Bidders' health over all workers, and what is alerted to of it (rules §12)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from exchange.core.alert_kinds import AlertKind
from exchange.core.model import CampaignId, CompanyId
from exchange.flow.alert_ports import BidderReport
from exchange.flow.bidding import BidderState, SimulatedBids
from tests.flow.hooks import (
    kinds,
    look,
)
from tests.flow.market import Desk


def state(name: str = "well", bids: int = 0, **reasons: int) -> BidderState:
    return BidderState(
        state=name,
        probability=0.02 if name == "resting" else 1.0,
        bids=bids,
        reasons=reasons,
        p50_ms=20.0,
        p99_ms=90.0 if name == "resting" else 40.0,
        connections=2,
        waiting=1,
    )


class Eyes:
    """What a worker sees: one campaign's bidder."""

    def __init__(self, campaign_id: CampaignId, company: CompanyId, seen: BidderState) -> None:
        self.campaign_id = campaign_id
        self.found = company, seen

    def campaigns(self) -> list[CampaignId]:
        return [self.campaign_id]

    def state(self, campaign_id: CampaignId) -> tuple[CompanyId, BidderState] | None:
        return self.found if campaign_id == self.campaign_id else None


async def asking(
    desk: Desk, campaign_id: CampaignId, company: CompanyId, seen: BidderState
) -> None:
    """Have a worker see a bidder so, and say it."""
    desk.exchange.bidder_reporting._seen = Eyes(campaign_id, company, seen)
    await desk.exchange.bidder_reporting.report()


async def test_a_bidders_health_is_told_for_all_workers(desk: Desk, other: Desk) -> None:
    company = await desk.company()
    campaign = await desk.campaign(company, 45_75)
    assert await desk.exchange.bidder_state(campaign) is None
    await asking(desk, campaign, company, state(bids=10, bidder_timeout=1))
    await asking(other, campaign, company, state("resting", bids=5, bidder_timeout=9))
    for worker in (desk, other):
        found = await worker.exchange.bidder_state(campaign)
        assert found is not None
        assert (found.state, found.workers, found.bids) == ("resting", 2, 15)
        assert (found.reasons, found.connections) == ({"bidder_timeout": 10}, 4)
        assert found.p99_ms == 90.0
        assert found.probability == pytest.approx(0.51)


async def test_bids_on_trial_are_told_for_all_workers(desk: Desk, other: Desk) -> None:
    company = await desk.company()
    campaign = await desk.campaign(company, 45_75)
    early = SimulatedBids(count=2, total_cents=80_00, last_cents=30_00, last_at=1_000.0)
    late = SimulatedBids(count=1, total_cents=45_00, last_cents=45_00, last_at=2_000.0)
    await asking(desk, campaign, company, replace(state(bids=2), simulated=late))
    await asking(other, campaign, company, replace(state(bids=1), simulated=early))
    for worker in (desk, other):
        found = await worker.exchange.bidder_state(campaign)
        assert found is not None
        assert found.simulated == SimulatedBids(
            count=3, total_cents=125_00, last_cents=45_00, last_at=2_000.0
        )


async def test_a_worker_that_fell_silent_is_not_believed(desk: Desk, other: Desk) -> None:
    company = await desk.company()
    campaign = await desk.campaign(company, 45_75)
    await asking(other, campaign, company, state("resting"))
    await desk.value("update bidder_report set seen_at = now() - interval '1 minute'")
    assert await desk.exchange.bidder_state(campaign) is None
    await look(desk, times=3)
    assert await kinds(desk) == []


async def test_section_12_a_resting_bidder_is_told_after_two_looks_until_it_is_well(
    desk: Desk, other: Desk
) -> None:
    company = await desk.company()
    campaign = await desk.campaign(company, 45_75)
    await asking(desk, campaign, company, state())
    await asking(other, campaign, company, state("resting"))
    await look(desk)
    assert await kinds(desk) == []
    await look(desk)
    assert await kinds(desk) == ["bidder_resting"]
    await asking(other, campaign, company, state())
    await look(desk, times=2)
    assert await kinds(desk) == []


async def test_section_12_a_bidder_that_fails_half_its_answers_is_told(desk: Desk) -> None:
    company = await desk.company()
    campaign = await desk.campaign(company, 45_75)
    await asking(desk, campaign, company, state("faltering", bids=10, bidder_timeout=10))
    await look(desk, times=2)
    (alert,) = await desk.exchange.alerts.alerts(company, "raised", "", 10)
    assert alert.kind is AlertKind.BIDDER_ERRORS
    assert alert.text.startswith("Of the bidder's last 20 answers 10 were late or of no use")


async def test_a_bidders_errors_are_those_of_the_last_minutes(desk: Desk) -> None:
    company = await desk.company()
    campaign = await desk.campaign(company, 45_75)
    reporting, clock = desk.exchange.bidder_reporting, [0.0]
    reporting._monotonic = lambda: clock[0]
    said = []
    for clock[0], bids, timeouts in ((0.0, 0, 100), (200.0, 100, 100), (301.0, 150, 101)):
        await asking(desk, campaign, company, state(bids=bids, bidder_timeout=timeouts))
        ((_, report),) = await reporting._reports.of(campaign)
        said.append((report.asked, report.failed))
    # The first hundred timeouts are more than five minutes ago by the last report.
    assert said == [(100, 100), (200, 100), (151, 1)]
    # A bidder asked anew is counted from nothing.
    await asking(desk, campaign, company, state(bids=3))
    ((_, report),) = await reporting._reports.of(campaign)
    assert isinstance(report, BidderReport)
    assert (report.asked, report.failed) == (3, 0)
