"""What watches the market and tells of it: alerts, notices, bidders' health, connection tests."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import date, datetime
from typing import Final

from uuid_utils import uuid7

from exchange.buyers.fan_out import AllBidders
from exchange.core.alert_terms import Terms
from exchange.core.market import Market
from exchange.core.model import CampaignId, CompanyId
from exchange.core.standing import window_start
from exchange.flow.alert_desk import AlertCounter
from exchange.flow.alerting import Alerting
from exchange.flow.background import Background
from exchange.flow.bidder_reporting import BidderReporting
from exchange.flow.bidding import BidderState
from exchange.flow.connection_testing import ConnectionTesting
from exchange.flow.notifying import Notifying
from exchange.flow.ports import Clock
from exchange.settings import AlertsSettings, Settings
from exchange.stores.drift import StoresDrift
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_alerts import PostgresAlerts
from exchange.stores.postgres_bidders import PostgresBidders
from exchange.stores.postgres_connections import PostgresConnections
from exchange.stores.postgres_notices import PostgresNotices
from exchange.stores.postgres_snapshots import PostgresSnapshots
from exchange.stores.redis_mirror import RedisMirror
from exchange.wiring.buyers import BuyersParts
from exchange.wiring.telling import tell_failed_notice, tell_failed_step

SEND_PAUSE_S: Final = 1.0
"""Between two looks into the outbox, and at connection tests that are due."""

LEAST_LOOK_PAUSE_S: Final = 1.0
STALE_REPORTS: Final = 3
"""Reports a worker may miss before what it said of bidders is not believed."""


class AlertsParts:
    """All that alerts are made of; ``secret_of`` gives a receiver's signing secret."""

    def __init__(
        self,
        settings: Settings,
        *,
        owner: str,
        market: Market,
        postgres: Postgres,
        snapshots: PostgresSnapshots,
        mirror: RedisMirror,
        buyers: BuyersParts,
        secret_of: Callable[[CompanyId], str],
        clock: Clock,
        today: Callable[[datetime], date],
    ) -> None:
        alerts, tests = settings.alerts, settings.connection_tests
        self._settings = alerts
        defaults = _terms(alerts)
        kept, outbox = PostgresAlerts(postgres), PostgresNotices(postgres)
        reports = PostgresBidders(postgres, STALE_REPORTS * alerts.report_s)
        self.bidder_reporting = BidderReporting(
            owner=owner,
            reports=reports,
            seen=_SeenBidders(buyers.bidders),
            monotonic=time.monotonic,
        )
        self.alerting = Alerting(
            owner=owner,
            market=market,
            books=kept,
            reports=reports,
            drift=StoresDrift(
                postgres,
                snapshots,
                mirror,
                lambda now: window_start(today(now), market.policy),
            ),
            clock=clock,
            defaults=defaults,
            failures=tests.failures,
            recoveries=tests.recoveries,
            keep_days=alerts.keep_days,
            fresh_id=_fresh_id,
        )
        self.notifying = Notifying(
            notices=outbox,
            notifier=buyers.notifier,
            attempts=alerts.attempts,
            draw=random.random,
            on_failed=tell_failed_notice,
            on_error=tell_failed_step,
        )
        self.desk = AlertCounter(
            kept=kept,
            outbox=outbox,
            defaults=defaults,
            secret_of=lambda receiver: secret_of(CompanyId(receiver)),
            fresh_id=_fresh_id,
        )
        self.connections = ConnectionTesting(
            market=market,
            books=PostgresConnections(postgres),
            tester=buyers.tester,
            clock=clock,
            every_s=tests.every_min * 60.0,
            at_once=tests.at_once,
            keep_days=tests.keep_days,
            monotonic=time.monotonic,
            on_error=tell_failed_step,
        )

    def begin(self, background: Background, stack: AsyncExitStack) -> None:
        """Begin what goes on beside the market, as far as the settings want it.

        ``stack`` ends what it leaves under way; the background's steps are to end before.
        """
        stack.push_async_callback(self.notifying.close)
        stack.push_async_callback(self.connections.close)
        begin, every_s = background.begin, self._settings.every_s
        if every_s:
            # Every worker asks so often whether it is its turn; one of them has it.
            pause_s = max(LEAST_LOOK_PAUSE_S, every_s / 4)
            begin("alerts", lambda: self.alerting.look(every_s), pause_s)
            begin("notices", self.notifying.send_due, SEND_PAUSE_S)
            begin("bidder reports", self.bidder_reporting.report, self._settings.report_s)
        if self.connections.every_s:
            begin("connection tests", self.connections.step, SEND_PAUSE_S)


class _SeenBidders:
    """What this worker sees of companies' bidders: `flow.bidder_reporting.Seen`."""

    def __init__(self, bidders: AllBidders) -> None:
        self._bidders = bidders

    def campaigns(self) -> list[CampaignId]:
        """The campaigns whose bidders it asked lately."""
        return self._bidders.campaigns()

    def state(self, campaign_id: CampaignId) -> tuple[CompanyId, BidderState] | None:
        """How one of them is doing, and whose it is."""
        found = self._bidders.health_of(campaign_id)
        if found is None:
            return None
        state = BidderState(
            state=found.state,
            probability=found.probability,
            bids=found.bids,
            reasons=dict(found.reasons),
            p50_ms=found.p50_ms,
            p99_ms=found.p99_ms,
            connections=found.connections,
            waiting=found.waiting,
            simulated=found.simulated,
        )
        return found.company_id, state


def _terms(alerts: AlertsSettings) -> Terms:
    return Terms(
        near_pct=alerts.near_pct,
        cap_pct=alerts.cap_pct,
        balance_low_cents=int(alerts.balance_low * 100),
        crm_rejections=alerts.crm_rejections,
        bidder_error_pct=alerts.bidder_error_pct,
        reminder_hours=alerts.reminder_hours,
    )


def _fresh_id() -> str:
    return str(uuid7())
