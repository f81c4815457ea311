"""A campaign's seat at the auctions: its limits, its letter, and what its bidder has done so far.

Campaigns of one company with one URL share a line, and with it connections and breaker. Knows
no sockets.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from typing import Final, Literal, Protocol

from msgspec import Struct

from exchange.buyers.bid_letter import Letter
from exchange.buyers.bid_round import Call, Holder
from exchange.buyers.speech import BidRead
from exchange.core.breaker import Breaker, BreakerState, TokenBucket, full_bucket
from exchange.core.model import CampaignId, CompanyId
from exchange.core.reasons import Reason
from exchange.core.remote import Remote
from exchange.flow.bidding import SimulatedBids

_REMEMBERED: Final = 128  # calls whose times are kept, for the figures people see


class BidderHealth(Struct, frozen=True, kw_only=True):
    """How a campaign's bidder is doing, as one worker sees it since it first asked.

    ``state``, ``probability``, ``connections`` and ``waiting`` are of the line, which campaigns of
    one company with one URL share (``away`` is a stream that is not up); bids, reasons (by code,
    counted) and times are the campaign's. Times are of its last calls, connecting included; None
    before the first. ``simulated`` is what it bid under ``simulate``, None where it did not.
    """

    company_id: CompanyId
    url: str
    stream: bool
    simulate: bool
    state: BreakerState | Literal["away"]
    probability: float
    bids: int
    reasons: Mapping[str, int]
    p50_ms: float | None
    p99_ms: float | None
    connections: int
    waiting: int
    simulated: SimulatedBids | None = None


class Line(Holder, Protocol):
    """The way to one bidder: a pool of connections, or a stream."""

    breaker: Breaker
    held_against: frozenset[Reason]
    """What lowers its probability of being asked."""

    @property
    def connections(self) -> int:
        """Connections open or being opened."""
        ...

    @property
    def waiting(self) -> int:
        """Calls that wait for a connection, or for a stream's answer."""
        ...

    def place(self, call: Call) -> None:
        """Put a call under way, without waiting; it is settled here or later."""
        ...

    def sweep(self, now: float) -> None:
        """Let go of what is no longer needed; called now and then."""
        ...

    async def close(self) -> None:
        """End every connection and every call."""
        ...


class Unreachable:
    """The line of a campaign whose bidder cannot be asked at all; ``why`` is told each time."""

    connections = 0
    waiting = 0
    held_against: frozenset[Reason] = frozenset()

    def __init__(self, why: str) -> None:
        self.breaker = Breaker()
        self._told = BidRead(reason=Reason.BIDDER_CONNECTION, detail=why)

    def place(self, call: Call) -> None:
        """Say so."""
        call.settle(self._told)

    def give_up(self, call: Call) -> BidRead | None:
        """Nothing is held."""
        return None

    def sweep(self, now: float) -> None:
        """Nothing is held."""

    async def close(self) -> None:
        """Nothing is held."""


class Seat:
    """One campaign, as long as its ``remote`` stays the same. A stream needs no ``letter``.

    ``clock`` gives Unix seconds; ``bucket`` has the requests a second, None without a limit.
    """

    __slots__ = (
        "_bids",
        "_clock",
        "_heard",
        "_reasons",
        "_simulated",
        "_times_us",
        "asked_at",
        "bucket",
        "company_id",
        "letter",
        "line",
        "remote",
    )

    def __init__(
        self,
        company_id: CompanyId,
        remote: Remote,
        line: Line,
        letter: Letter | None,
        now: float,
        clock: Callable[[], float],
    ) -> None:
        self.company_id = company_id
        self.remote = remote
        self.line = line
        self.letter = letter
        self.asked_at = now
        self.bucket: TokenBucket | None = None
        if remote.max_per_s is not None:
            self.bucket = full_bucket(remote.max_per_s, now)
        self._clock = clock
        self._bids = 0
        self._simulated: SimulatedBids | None = None
        self._reasons: dict[Reason, int] = {}
        self._times_us = array("Q", bytes(8 * _REMEMBERED))
        self._heard = 0

    def count(self, reason: Reason) -> None:
        """Count a reason."""
        self._reasons[reason] = self._reasons.get(reason, 0) + 1

    def note(self, read: BidRead, took_us: int) -> tuple[int | None, Reason | None]:
        """Count what came of a call, to its line's breaker too; gives the cents and reason that
        stand.
        """
        cents, reason = read.cents, read.reason
        if cents is not None and not 0 < cents <= self.remote.max_price_cents:
            # Whatever the speech made of it, no more than the company's own bound is believed.
            cents, reason = None, Reason.BID_PRICE
        if reason is not None and reason is Reason.BIDDER_BUSY:
            self.count(reason)
            return cents, reason
        self._times_us[self._heard % _REMEMBERED] = took_us
        self._heard += 1
        line = self.line
        if reason is not None and reason in line.held_against:
            line.breaker.failed()
        elif line.breaker.probability < 1.0:
            line.breaker.answered()
        if cents is not None:
            self._bids += 1
            if self.remote.simulate:
                reason = Reason.BIDDER_SIMULATED
                self._note_simulated(cents)
        if reason is not None:
            self.count(reason)
        return cents, reason

    @property
    def bids(self) -> int:
        """Bids that came, simulated ones included."""
        return self._bids

    @property
    def reasons(self) -> Mapping[Reason, int]:
        """How often there was none, and why; simulated bids included."""
        return self._reasons

    def health(self) -> BidderHealth:
        """Tell how it is doing."""
        times = sorted(self._times_us[: self._heard])
        return BidderHealth(
            company_id=self.company_id,
            url=self.remote.url or "",
            stream=self.remote.stream,
            simulate=self.remote.simulate,
            state=self._state,
            probability=self.line.breaker.probability,
            bids=self._bids,
            reasons={reason.code: count for reason, count in sorted(self._reasons.items())},
            p50_ms=_at_part(times, 0.5),
            p99_ms=_at_part(times, 0.99),
            connections=self.line.connections,
            waiting=self.line.waiting,
            simulated=self._simulated,
        )

    @property
    def _state(self) -> BreakerState | Literal["away"]:
        # A stream that is down is not asked at all, so that its breaker learns nothing of it.
        away = self.remote.stream and not self.line.connections
        return "away" if away else self.line.breaker.state

    def _note_simulated(self, cents: int) -> None:
        before = self._simulated
        self._simulated = SimulatedBids(
            count=1 if before is None else before.count + 1,
            total_cents=cents if before is None else before.total_cents + cents,
            last_cents=cents,
            last_at=self._clock(),
        )


def campaign_health(seats: Mapping[CampaignId, Seat]) -> dict[str, BidderHealth]:
    """Tell of every campaign's bidder."""
    return {campaign_id: seat.health() for campaign_id, seat in seats.items()}


def _at_part(times_us: list[int], part: float) -> float | None:
    if not times_us:
        return None
    return times_us[min(len(times_us) - 1, int(part * len(times_us)))] / 1_000
