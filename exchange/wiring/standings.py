"""What standings are explained, and moved with the market, by."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from zoneinfo import ZoneInfo

from exchange.core.hours import end_of_day
from exchange.core.market import Market
from exchange.flow.dynamics import Dynamics
from exchange.flow.ports import Clock
from exchange.flow.standings import Standings
from exchange.flow.what_if import WhatIf
from exchange.settings import Settings
from exchange.stores.postgres import Postgres
from exchange.stores.postgres_registry import PostgresRegistry
from exchange.stores.postgres_standings import PostgresFactors, PostgresStandings


class StandingsParts:
    """Standings explained, and their adjustment; ``draw_key`` is of the auctions' ties."""

    def __init__(
        self,
        settings: Settings,
        *,
        market: Market,
        postgres: Postgres,
        registry: PostgresRegistry,
        draw_key: bytes,
        clock: Clock,
        today: Callable[[datetime], date],
    ) -> None:
        books, zone = PostgresStandings(postgres), ZoneInfo(settings.market.market_timezone)

        def end_of(day: date) -> datetime:
            return end_of_day(day, zone)

        self.dynamics = Dynamics(market, PostgresFactors(postgres), settings.dynamic, today)
        self.standings = Standings(
            market=market,
            registry=registry,
            books=books,
            dynamics=self.dynamics,
            what_if=WhatIf(
                market=market,
                registry=registry,
                books=books,
                clock=clock,
                today=today,
                end_of=end_of,
                draw_key=draw_key,
                kept_days=settings.stores.receipt_days,
            ),
            clock=clock,
            today=today,
            end_of=end_of,
        )
