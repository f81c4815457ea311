"""What returns of leads are taken, reviewed and disputed by."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime

from exchange.core.market import Market
from exchange.flow.announce import Announcer
from exchange.flow.ports import Clock
from exchange.flow.reject import Rejecting
from exchange.flow.returns import Returning
from exchange.settings import Settings
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_registry import PostgresRegistry
from exchange.stores.postgres_returns import PostgresReturns
from exchange.stores.postgres_reviews import PostgresReviews
from exchange.stores.vault import ContactVault


class ReturnsParts:
    """The rejection of one lead, and all there is beyond it."""

    def __init__(
        self,
        settings: Settings,
        *,
        market: Market,
        postgres: Postgres,
        vault: ContactVault,
        registry: PostgresRegistry,
        announcer: Announcer,
        clock: Clock,
        today: Callable[[datetime], date],
    ) -> None:
        policy = settings.returns.policy
        books = PostgresReturns(postgres, settings.market, vault)
        self.rejecting = Rejecting(
            market=market,
            returns=books,
            announcer=announcer,
            clock=clock,
            today=today,
            policy=policy,
        )
        self.returning = Returning(
            market=market,
            rejecting=self.rejecting,
            foreseeing=books,
            reviews=PostgresReviews(postgres, settings.market, policy, vault),
            registry=registry,
            announcer=announcer,
            clock=clock,
            today=today,
            policy=policy,
        )
