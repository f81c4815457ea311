"""What the wire may call: every flow of the exchange behind one typed front."""

from __future__ import annotations

from typing import Protocol

from exchange.core.market import Market
from exchange.core.model import CampaignId, CompanyId, LeadId, Ping, PingId
from exchange.core.standing import Standing
from exchange.flow.bidding import BidderState
from exchange.flow.ports import Clock, PostRequest, PostResult, Receipt, Rejected
from exchange.flow.registry import Inbox, Registry
from exchange.flow.reports import Reports


class Doors(Protocol):
    """The exchange as the wire sees it. Every method may raise a `faults.Fault`."""

    @property
    def clock(self) -> Clock:
        """Where the time comes from."""
        ...

    @property
    def market(self) -> Market:
        """The market this worker decides from."""
        ...

    @property
    def registry(self) -> Registry:
        """Accounts, keys, campaigns, resets."""
        ...

    @property
    def inbox(self) -> Inbox:
        """Delivered leads."""
        ...

    @property
    def reports(self) -> Reports:
        """Reports over day summaries."""
        ...

    @property
    def asking(self) -> int:
        """How many pings wait for companies' own bidders now."""
        ...

    async def ping(self, ping: Ping) -> Receipt:
        """Hold the auction for a ping; the receipt says offer, no_offer or refused."""
        ...

    async def post(self, request: PostRequest) -> PostResult:
        """Sell a pinged lead; safe to repeat."""
        ...

    async def reject(
        self,
        company_id: CompanyId,
        lead_id: LeadId,
        *,
        reason_code: str | None,
        text: str | None,
        note: str | None,
    ) -> tuple[Rejected, Standing]:
        """Return a sold lead; the next ping is priced by the standing given back."""
        ...

    async def receipt(self, ping_id: PingId) -> Receipt | None:
        """The receipt of a ping."""
        ...

    async def standing(self, company_id: CompanyId) -> Standing | None:
        """A company's standing now, from the books."""
        ...

    def signing_secret(self, company_id: CompanyId) -> str:
        """What a company tells our requests by: the key of their signatures."""
        ...

    def bidder_state(self, campaign_id: CampaignId) -> BidderState | None:
        """How a campaign's own bidder is doing; None if this worker did not ask it lately."""
        ...

    def ready(self) -> list[str]:
        """What keeps this worker from being ready: empty, or draining, postgres, redis."""
        ...
