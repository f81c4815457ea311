"""Tests companies' systems with a lead that says it is one; implements `connection_ports.Tester`.

Goes over connections of its own, past lines, breakers and the courier: nothing that a test does is
counted there. A request that comes out the same for a real lead is not sent. Rules: §8, §12.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from datetime import datetime
from time import perf_counter
from typing import Final

from msgspec.structs import replace

from exchange.buyers.courier import write_post
from exchange.buyers.desk import Desk
from exchange.buyers.dialect_speech import write_ping
from exchange.buyers.dialects import Dialects
from exchange.buyers.post_office import Mailer, Relay
from exchange.buyers.speech import Outgoing
from exchange.buyers.templates import Unwritable
from exchange.core.alert_systems import FAILED_BIDS
from exchange.core.connections import BIDDER, Place
from exchange.core.model import (
    Campaign,
    DeliveryId,
    DeliveryTarget,
    LeadId,
    PingId,
)
from exchange.core.reasons import Reason
from exchange.core.remote import Remote
from exchange.core.verticals import Vertical
from exchange.flow.bidding import Asked, Question
from exchange.flow.connection_ports import ConnectionOutcome
from exchange.flow.dialects import DialectFault, TrialLead, Understood
from exchange.flow.ports import Parcel

CONNECT_MS: Final = 1_000
"""What a bidder gets besides its own time: a test has no open connection to go over."""

UNMARKED: Final = (
    "not sent: its dialect does not say that a lead is a test; name the field test in it, or send "
    "one yourself with a probe"
)


class ConnectionTester:
    """Tests one place at a time. ``relay`` is the mail relay, if there is one."""

    def __init__(
        self,
        desk: Desk,
        dialects: Dialects,
        verticals: Mapping[str, Vertical],
        *,
        clock: Callable[[], datetime],
        relay: Relay | None = None,
    ) -> None:
        self._desk = desk
        self._dialects = dialects
        self._verticals = verticals
        self._clock = clock
        self._mailer = None if relay is None else Mailer(relay)

    async def test(self, campaign: Campaign, place: Place) -> ConnectionOutcome:
        """Send a test lead or ping and read the answer; never raises for what a system does."""
        at, began = self._clock(), perf_counter()
        said = ConnectionOutcome(target=place.target, kind=place.kind, status="skipped", at=at)
        vertical = self._verticals.get(campaign.vertical)
        if vertical is None:
            return replace(said, detail="the campaign's vertical is not traded any more")
        lead = self._desk.sample(vertical)
        try:
            if place.target == BIDDER:
                heard = await self._ask(campaign, lead)
            else:
                heard = await self._deliver(campaign, _target(campaign, place), lead)
        except (DialectFault, Unwritable) as fault:
            return replace(
                said,
                status="failed",
                reason=Reason.DATA_FORMAT.code,
                detail=f"the request could not be written: {fault}"[:200],
            )
        if isinstance(heard, str):
            return replace(said, detail=heard)
        return replace(
            said,
            status="passed" if _is_well(heard) else "failed",
            took_ms=round((perf_counter() - began) * 1_000),
            result=heard.result,
            reason=None if heard.reason is None else heard.reason.code,
            detail=heard.detail,
        )

    async def _ask(self, campaign: Campaign, lead: TrialLead) -> Understood | str:
        remote = campaign.bid.remote
        if remote is None:
            return "the campaign has no bidder any more"
        if not self._marks_ping(campaign, remote, lead):
            return UNMARKED
        patient = replace(remote, timeout_ms=remote.timeout_ms + CONNECT_MS)
        trial = await self._desk.try_bidder(campaign, patient, lead, None, send=True)
        return trial.understood or "there was no answer to understand"

    async def _deliver(
        self, campaign: Campaign, target: DeliveryTarget, lead: TrialLead
    ) -> Understood | str:
        if target.kind == "email":
            return await self._ask_relay(target)
        if not self._marks_post(campaign, target, lead):
            return UNMARKED
        trial = await self._desk.try_target(campaign, target, lead, None, send=True)
        return trial.understood or "there was no answer to understand"

    async def _ask_relay(self, target: DeliveryTarget) -> Understood | str:
        """Ask the relay whether it takes mail for these addresses; no mail is sent."""
        if self._mailer is None:
            return "the exchange has no mail relay"
        told = await self._mailer.send(target.to, None, target.timeout_ms / 1_000)
        return Understood(result=told.result, reason=told.reason, detail=told.detail)

    # --- the mark ---------------------------------------------------------------------------------

    def _marks_post(self, campaign: Campaign, target: DeliveryTarget, lead: TrialLead) -> bool:
        """Whether a company's system can tell a test from a lead."""
        still = self._at_one_moment()
        spoken = still.compile_post(target, None)
        if spoken is None:
            return True  # the exchange's own body says it
        written = [
            write_post(
                still,
                spoken,
                Parcel(
                    delivery_id=DeliveryId("test"),
                    lead_id=LeadId("test"),
                    campaign_id=campaign.campaign_id,
                    vertical=campaign.vertical,
                    price_cents=lead.price_cents,
                    attributes=lead.attributes,
                    contact=lead.contact,
                    test=test,
                    token=lead.token,
                ),
            )
            for test in (True, False)
        ]
        return _differ(written)

    def _marks_ping(self, campaign: Campaign, remote: Remote, lead: TrialLead) -> bool:
        """Whether a company's bidder can tell a test from a ping."""
        still = self._at_one_moment()
        spoken = still.compile_ping(remote, None)
        asked = Asked(
            campaign_id=campaign.campaign_id,
            company_id=campaign.company_id,
            remote=remote,
            share=lead.share,
        )
        written = [
            write_ping(
                still,
                spoken,
                Question(
                    ping_id=PingId("test"),
                    vertical=campaign.vertical,
                    attributes=lead.attributes,
                    max_buyers=1,
                    test=test,
                ),
                asked,
                remote.timeout_ms,
            )
            for test in (True, False)
        ]
        return _differ(written)

    def _at_one_moment(self) -> Dialects:
        """The dialects with a clock that stands still, so that only the mark can differ."""
        now = self._clock()
        still = copy(self._dialects)
        still.clock = lambda: now
        return still


def _target(campaign: Campaign, place: Place) -> DeliveryTarget:
    return campaign.delivery[int(place.target.removeprefix("delivery[").removesuffix("]"))]


def _differ(written: list[Outgoing]) -> bool:
    marked, unmarked = ((one.method, one.url, one.headers, one.body) for one in written)
    return marked != unmarked


def _is_well(heard: Understood) -> bool:
    """Whether an answer shows a system that works: a refusal of a test lead is an answer too."""
    if heard.result in ("accepted", "refused", "bid"):
        return True
    return heard.result == "no_bid" and heard.reason not in FAILED_BIDS
