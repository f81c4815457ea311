"""What the wire may call: every flow of the exchange behind one typed front."""

from __future__ import annotations

from typing import Protocol, TypeVar

from exchange.core.market import Market
from exchange.core.model import CampaignId, CompanyId, LeadId, Ping, PingId
from exchange.core.standing import Standing
from exchange.flow.alert_ports import AlertDesk
from exchange.flow.bidding import BidderState
from exchange.flow.connection_ports import ConnectionDesk
from exchange.flow.contracts import Contracts
from exchange.flow.ping_together import PingGroups, Told
from exchange.flow.ports import Clock, PostRequest, PostResult, Receipt, Rejected
from exchange.flow.registry import Inbox, Registry
from exchange.flow.reports import Reports
from exchange.flow.retelling import RetoldReceipt
from exchange.flow.returning import ReturnDoors
from exchange.flow.standings import Standings
from exchange.flow.suppressions import SuppressionLists

T = TypeVar("T")


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
    def returning(self) -> ReturnDoors:
        """Returns beyond the rejection itself: previews, many at once, reviews, disputes."""
        ...

    @property
    def standings(self) -> Standings:
        """Standings explained, their past, and what other ones would have come to."""
        ...

    @property
    def suppressions(self) -> SuppressionLists:
        """The contacts companies do not want."""
        ...

    @property
    def contracts(self) -> Contracts:
        """Contracts between sellers and companies."""
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

    def ping_groups(self, told: Told[T]) -> PingGroups[T]:
        """A way to hold the auctions of many pings together; ``told`` hears of each."""
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
        review: bool = False,
    ) -> tuple[Rejected, Standing]:
        """Return a sold lead; the next ping is priced by the standing given back.

        ``review`` asks for the operator's where the text fits no reason.
        """
        ...

    async def receipt(self, ping_id: PingId) -> Receipt | None:
        """The receipt of a ping. Raises Unavailable while it may still be on its way."""
        ...

    async def whole_receipt(self, ping_id: PingId) -> RetoldReceipt | None:
        """The receipt of a ping with every campaign, recomputed where it does not name it."""
        ...

    async def standing(self, company_id: CompanyId) -> Standing | None:
        """A company's standing now, from the books."""
        ...

    def signing_secret(self, company_id: CompanyId) -> str:
        """What a company tells our requests by: the key of their signatures."""
        ...

    async def bidder_state(self, campaign_id: CampaignId) -> BidderState | None:
        """How a campaign's own bidder is doing; None if no worker asked it lately."""
        ...

    @property
    def alerts(self) -> AlertDesk:
        """Alerts, and who is told of them."""
        ...

    @property
    def connections(self) -> ConnectionDesk:
        """Connection tests."""
        ...

    def ready(self) -> list[str]:
        """What keeps this worker from being ready: empty, or draining, postgres, redis."""
        ...
