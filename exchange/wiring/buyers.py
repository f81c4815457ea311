"""What talks to companies' systems: deliveries, bidders, tests, notices, and their one relay."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import msgspec

from exchange.buyers.bid_limits import BidLimits
from exchange.buyers.bid_wire import PlainSpeech
from exchange.buyers.connection_tester import ConnectionTester
from exchange.buyers.courier import Couriers
from exchange.buyers.desk import Desk
from exchange.buyers.dialect_speech import DialectSpeech
from exchange.buyers.dialects import Dialects
from exchange.buyers.fan_out import AllBidders
from exchange.buyers.notifier import AlertNotifier
from exchange.buyers.post_office import Relay, relay_of
from exchange.core.market import Market
from exchange.core.model import CampaignId, CompanyId
from exchange.core.remote import Remote
from exchange.flow.ports import Clock
from exchange.settings import ContactKey, EmailSettings, Settings


class BuyersParts:
    """All of `exchange.buyers`; ``secret_of`` gives what a company proves our requests with."""

    def __init__(
        self,
        settings: Settings,
        *,
        keys: tuple[ContactKey, ...],
        secret_of: Callable[[CompanyId], str],
        market: Market,
        clock: Clock,
    ) -> None:
        delivery = settings.delivery
        allow_private = delivery.allow_private_addresses
        relay = _relay(settings.email)

        def company_of(campaign_id: CampaignId) -> CompanyId | None:
            campaign = market.campaign(campaign_id)
            return None if campaign is None else campaign.company_id

        def remote_of(campaign_id: CampaignId) -> Remote | None:
            campaign = market.campaign(campaign_id)
            return None if campaign is None else campaign.bid.remote

        dialects = Dialects(
            keys=[(key.key_id, key.key) for key in keys],
            secret_of=secret_of,
            company_of=company_of,
            clock=clock.now,
        )
        self.courier = Couriers(
            max_answer_bytes=delivery.max_answer_bytes,
            allow_private_addresses=allow_private,
            dialects=dialects,
            relay=relay,
        )
        self.desk = Desk(
            dialects,
            allow_private_addresses=allow_private,
            max_answer_bytes=delivery.max_answer_bytes,
            relay=relay,
        )
        self.tester = ConnectionTester(
            self.desk, dialects, market.verticals, clock=clock.now, relay=relay
        )
        self.notifier = AlertNotifier(
            secret_of=lambda receiver: secret_of(CompanyId(receiver)),
            # A receiver compares the time of a signature with its own clock, not the market's.
            clock=lambda: datetime.now(UTC),
            allow_private_addresses=allow_private,
            relay=relay,
        )
        plain, spoken = PlainSpeech(), DialectSpeech(dialects)
        self.bidders = AllBidders(
            secret_of=secret_of,
            speech_for=lambda remote: spoken if remote.dialect or remote.preset else plain,
            remote_of=remote_of,
            limits=BidLimits(**msgspec.structs.asdict(settings.bidding)),
            allow_private_addresses=allow_private,
        )

    async def start(self, stack: AsyncExitStack) -> None:
        """Open what needs a loop; ``stack`` closes it."""
        for part in (self.courier, self.bidders, self.notifier):
            await part.start()
            stack.push_async_callback(part.close)


def _relay(email: EmailSettings) -> Relay | None:
    if email.relay_url is None or email.from_address is None:
        return None
    return relay_of(email.relay_url, email.from_address, email.security)
