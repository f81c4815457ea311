"""Bidders' health, from every worker's memory into the books and back as one picture.

Each worker judges bidders by itself; here it says every few seconds what it sees, so that alerts,
and whoever asks, hear of all workers. A worker that falls silent is soon not believed any more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from exchange.core.alert_systems import FAILED_BIDS, NOT_ASKED
from exchange.core.model import CampaignId, CompanyId
from exchange.flow.alert_ports import BidderReport, BidderReports
from exchange.flow.bidding import BidderState, SimulatedBids
from exchange.flow.faults import Unavailable

RECENT_S: Final = 300.0
"""How far back the answers reach that a report counts."""

STATES: Final = ("away", "resting", "faltering", "well")
"""The states a bidder may have, the worst first."""

_AT_ONCE: Final = 50
"""Bidders looked at before pings have their turn."""


class Seen(Protocol):
    """What this worker sees of the bidders it asks."""

    def campaigns(self) -> Sequence[CampaignId]:
        """The campaigns whose bidders it asked lately."""
        ...

    def state(self, campaign_id: CampaignId) -> tuple[CompanyId, BidderState] | None:
        """How one of them is doing, and whose it is; None if it was not asked lately."""
        ...


_FAILED: Final = frozenset(reason.code for reason in FAILED_BIDS)
_NOT_ASKED: Final = frozenset(reason.code for reason in NOT_ASKED)


class BidderReporting:
    """Writes what this worker has ``seen``; ``monotonic`` is a steady clock, in seconds."""

    def __init__(
        self,
        *,
        owner: str,
        reports: BidderReports,
        seen: Seen,
        monotonic: Callable[[], float],
    ) -> None:
        self._owner = owner
        self._reports = reports
        self._seen = seen
        self._monotonic = monotonic
        self._samples: dict[CampaignId, deque[tuple[float, int, int]]] = {}
        self._has_said = False

    async def report(self) -> None:
        """Write what this worker sees now; a worker that asks nobody writes nothing."""
        campaigns = self._seen.campaigns()
        if not campaigns and not self._has_said:
            return
        reports = []
        for count, campaign_id in enumerate(campaigns, start=1):
            found = self._seen.state(campaign_id)
            if found is not None:
                company_id, state = found
                asked, failed = self._recent(campaign_id, state)
                reports.append(
                    BidderReport(
                        campaign_id=campaign_id,
                        company_id=company_id,
                        state=state,
                        asked=asked,
                        failed=failed,
                    )
                )
            if count % _AT_ONCE == 0:
                await asyncio.sleep(0)
        known = {report.campaign_id for report in reports}
        for gone in [campaign for campaign in self._samples if campaign not in known]:
            del self._samples[gone]
        await self._reports.put(self._owner, reports)
        self._has_said = bool(reports)

    async def state(self, campaign_id: CampaignId) -> BidderState | None:
        """How a campaign's bidder is doing over all workers; this one's own view is the newest.

        Where the books are away, it is this worker's view alone.
        """
        own = self._seen.state(campaign_id)
        states = [] if own is None else [own[1]]
        try:
            said = await self._reports.of(campaign_id)
        except Unavailable:
            said = []
        states += [report.state for owner, report in said if owner != self._owner]
        return merge_states(states) if states else None

    def _recent(self, campaign_id: CampaignId, state: BidderState) -> tuple[int, int]:
        """Answers, and those that failed, of the last minutes."""
        now = self._monotonic()
        failed = sum(count for code, count in state.reasons.items() if code in _FAILED)
        no_bids = sum(count for code, count in state.reasons.items() if code not in _NOT_ASKED)
        asked = state.bids + no_bids
        samples = self._samples.setdefault(campaign_id, deque())
        if not samples or samples[-1][1] > asked or samples[-1][2] > failed:
            # A bidder that was forgotten, or has changed, is counted from nothing again.
            samples.clear()
            samples.append((now, 0, 0))
        samples.append((now, asked, failed))
        while samples[1][0] <= now - RECENT_S:
            samples.popleft()
        return asked - samples[0][1], failed - samples[0][2]


def merge_states(states: Sequence[BidderState]) -> BidderState:
    """One picture of several workers' views; there is at least one.

    The worst state and the longest times; the probability is their mean, the rest are sums.
    """
    reasons: dict[str, int] = {}
    for state in states:
        for code, count in state.reasons.items():
            reasons[code] = reasons.get(code, 0) + count
    return BidderState(
        state=min((state.state for state in states), key=STATES.index),
        probability=sum(state.probability for state in states) / len(states),
        bids=sum(state.bids for state in states),
        reasons=dict(sorted(reasons.items())),
        p50_ms=_longest([state.p50_ms for state in states]),
        p99_ms=_longest([state.p99_ms for state in states]),
        connections=sum(state.connections for state in states),
        waiting=sum(state.waiting for state in states),
        workers=len(states),
        simulated=_merge_simulated(
            [state.simulated for state in states if state.simulated is not None]
        ),
    )


def _merge_simulated(simulated: Sequence[SimulatedBids]) -> SimulatedBids | None:
    if not simulated:
        return None
    last = max(simulated, key=lambda one: one.last_at)
    return SimulatedBids(
        count=sum(one.count for one in simulated),
        total_cents=sum(one.total_cents for one in simulated),
        last_cents=last.last_cents,
        last_at=last.last_at,
    )


def _longest(times: Sequence[float | None]) -> float | None:
    return max((time for time in times if time is not None), default=None)
