"""A day's budget, spent evenly over the day: bids only where the day has earned the money.

At any time as much may be spent as the day has passed, and one first purchase ahead. What is bid
is held until the lead comes or the offer cannot be sold any more, so that many wins at once do
not overspend either. The arithmetic is pure, in integer cents and with the time passed in;
`PacedBudget` keeps the books of one bidder.
"""

from __future__ import annotations

import itertools
from datetime import datetime, time, timedelta, tzinfo
from typing import Final, NamedTuple

from bidders.kit.wire import Accepted, Bid, Lead, Ping, Price, read_price

HOLD_S: Final = 330.0
"""How long a bid's money is held: an offer can be sold for five minutes after its ping."""


class Day(NamedTuple):
    """A day of the clock on the wall, from midnight to midnight, in unix seconds."""

    start_s: float
    end_s: float


def day_of(now: float, zone: tzinfo) -> Day:
    """Give the day that holds this moment; 23 or 25 hours long where clocks are changed."""
    today = datetime.fromtimestamp(now, zone).date()
    start, end = (
        datetime.combine(day, time(), zone).timestamp() for day in (today, today + timedelta(1))
    )
    return Day(start, end)


def spendable(budget_cents: int, day: Day, now: float, ahead_cents: int = 0) -> int:
    """Give what may have been spent by now: the part of the budget the day has earned, rounded
    down, and ``ahead_cents`` more; never over the budget. From 0 before the day to all after it.
    """
    length_ms = round((day.end_s - day.start_s) * 1_000)
    passed_ms = min(max(round((now - day.start_s) * 1_000), 0), length_ms)
    return min(budget_cents * passed_ms // length_ms + ahead_cents, budget_cents)


class PacedBudget:
    """Bids a flat price while the pace allows, and books the leads that come of it.

    ``ahead`` is how far spending may run ahead of the day; by default one lead, so that the first
    can be bought at midnight. Money is held for a bid until its lead comes, for ``hold_s`` at
    most. Give `price` and `take` to a `Bidder`; both want the time in unix seconds.
    """

    def __init__(
        self,
        *,
        price: Price,
        budget: Price,
        zone: tzinfo,
        ahead: Price | None = None,
        hold_s: float = HOLD_S,
    ) -> None:
        self._price = read_price(price)
        self._price_cents = int(self._price * 100)
        self._budget_cents = int(read_price(budget) * 100)
        self._ahead_cents = self._price_cents if ahead is None else int(read_price(ahead) * 100)
        self._zone = zone
        self._hold_s = hold_s
        self._day = Day(0.0, 0.0)
        self._spent_cents = 0
        self._held: dict[str, float] = {}  # a bid's token: until when; in that order
        self._numbers = itertools.count(1)

    @property
    def spent_cents(self) -> int:
        """What the leads of the day cost."""
        return self._spent_cents

    @property
    def held_cents(self) -> int:
        """What the bids cost that may still be won; never more than the budget."""
        return len(self._held) * self._price_cents

    def price(self, ping: Ping, now: float) -> Bid | None:
        """Bid if the day has earned it, and hold the money. Test pings hold none."""
        self._move_to(now)
        wanted = self._spent_cents + self.held_cents + self._price_cents
        if wanted > spendable(self._budget_cents, self._day, now, self._ahead_cents):
            return None
        if ping.test:
            return Bid(self._price)
        token = f"hold-{next(self._numbers)}"
        self._held[token] = now + self._hold_s
        return Bid(self._price, token=token)

    def take(self, lead: Lead, now: float) -> Accepted:
        """Book a lead at what it cost; a bid that won is a lead taken, whatever the pace says."""
        self._move_to(now)
        if lead.token is not None:
            self._held.pop(lead.token, None)
        if not lead.test:
            self._spent_cents += lead.price_cents
        return Accepted()

    def _move_to(self, now: float) -> None:
        """Let go of what can no longer be won, and begin a new day when it has come."""
        while self._held and self._held[first := next(iter(self._held))] <= now:
            del self._held[first]
        if not self._day.start_s <= now < self._day.end_s:
            self._day = day_of(now, self._zone)
            self._spent_cents = 0
