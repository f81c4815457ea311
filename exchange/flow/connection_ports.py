"""What connection tests need of the world, and what the wire needs of them.

Implemented in `exchange.stores` and `exchange.buyers`. Source: rules §8, §12.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

from msgspec import Struct

from exchange.core.connections import Hour, Place, Uptime
from exchange.core.model import Campaign, CampaignId, CompanyId

OutcomeStatus = Literal["passed", "failed", "skipped"]


class ConnectionOutcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one test came to. ``result`` is what the answer was taken for: accepted, bid …

    ``reason`` is the code a real lead would have been counted by; ``took_ms`` has connecting in it.
    """

    target: str
    kind: str
    status: OutcomeStatus
    at: datetime
    took_ms: int | None = None
    result: str | None = None
    reason: str | None = None
    detail: str | None = None


class Registered(Struct, frozen=True, kw_only=True):
    """A place that is to be tested."""

    campaign_id: CampaignId
    company_id: CompanyId
    place: Place


class Kept(Struct, frozen=True, kw_only=True):
    """What is kept of one target: the streaks, the last results (newest first), the hours."""

    target: str
    failures: int
    successes: int
    last: Sequence[ConnectionOutcome]
    hours: Sequence[Hour]


class ConnectionState(Struct, frozen=True, kw_only=True):
    """How one of a campaign's targets has done."""

    place: Place
    failures: int
    successes: int
    last: Sequence[ConnectionOutcome]
    day: Uptime
    month: Uptime


class Tester(Protocol):
    """Tests one place of a campaign, once."""

    async def test(self, campaign: Campaign, place: Place) -> ConnectionOutcome:
        """Send a test lead or ping and read the answer; never raises for what a system does.

        Touches no money, rate or breaker. What would not be told to be a test is not sent.
        """
        ...


class ConnectionBooks(Protocol):
    """What is kept of connection tests."""

    async def register(self, places: Sequence[Registered], within_s: float) -> None:
        """Make these the places that are tested; new ones begin within so many seconds."""
        ...

    async def take(self, limit: int, again_in_s: float) -> list[tuple[CampaignId, str]]:
        """Take targets whose test is due; they are due again after about so many seconds."""
        ...

    async def record(
        self, campaign: Campaign, result: ConnectionOutcome, again_in_s: float
    ) -> None:
        """Keep a result."""
        ...

    async def kept(self, campaign_id: CampaignId, since: datetime) -> Sequence[Kept]:
        """What is kept of a campaign's targets, the hours since then."""
        ...

    async def is_out(self, campaign_id: CampaignId) -> bool:
        """Whether the company wants no tests of this campaign that it did not ask for."""
        ...

    async def opt_out(self, campaign_id: CampaignId, out: bool, now: datetime) -> None:
        """Say so, or no longer."""
        ...

    async def prune(self, before: datetime) -> None:
        """Drop one turn's worth of hours from before."""
        ...


class ConnectionDesk(Protocol):
    """Connection tests as the wire asks for them."""

    @property
    def every_s(self) -> float:
        """The time between two tests; 0 where they are made only on request."""
        ...

    async def test_now(self, campaign: Campaign) -> Sequence[ConnectionOutcome]:
        """Test every place of a campaign now. Raises Unavailable where too many are under way."""
        ...

    async def states(self, campaign: Campaign) -> Sequence[ConnectionState]:
        """How a campaign's places have done."""
        ...

    async def is_out(self, campaign_id: CampaignId) -> bool:
        """Whether a campaign is tested on request only."""
        ...

    async def opt_out(self, campaign_id: CampaignId, out: bool) -> None:
        """Have a campaign tested on request only, or not any longer."""
        ...
