"""Asks companies' bidders for an auction, all at once, over HTTP and bid streams.

Decides who is asked and with how much time; how, is the lines' to know. No task and no future per
bidder: one slot each, one waiter, one deadline. Rules: §7.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import random
from time import time
from typing import Final

import structlog
from msgspec import Struct

from exchange.buyers.addresses import Resolve, resolve_host
from exchange.buyers.bid_dialling import Dialler, read_place
from exchange.buyers.bid_letter import Letter, PlainLetter
from exchange.buyers.bid_limits import BidLimits
from exchange.buyers.bid_outbox import Outbox
from exchange.buyers.bid_pool import HttpPool, Room
from exchange.buyers.bid_round import Call, Deadlines, Round
from exchange.buyers.bid_seat import BidderHealth, Line, Seat, Unreachable, campaign_health
from exchange.buyers.bid_sockets import BidSockets
from exchange.buyers.bid_stream import StreamLine
from exchange.buyers.bid_wire import PingWriter, PlainSpeech
from exchange.buyers.opened import Opened
from exchange.buyers.signing import Signer
from exchange.buyers.speech import BidSpeech
from exchange.core.model import CampaignId, CompanyId
from exchange.core.reasons import Reason
from exchange.core.remote import Remote
from exchange.flow.bidding import Asked, Question, Said

SWEEP_S: Final = 0.5
"""How often lines are looked through for what is no longer needed."""

log = structlog.get_logger()

_LineKey = tuple[CompanyId, str]


class BiddingFigures(Struct, frozen=True, kw_only=True):
    """What one worker's bidders did since its start, and how many there are now.

    ``bids`` and ``reasons`` only grow; ``lines`` counts lines by the state of their breaker.
    """

    bids: int
    reasons: Mapping[Reason, int]
    connections: int
    waiting: int
    lines: Mapping[str, int]


class AllBidders(Opened):
    """Every company's own bidder; `exchange.flow.bidding.Bidders`.

    ``secret_of`` gives a company's signing secret, ``speech_for`` the way a campaign's bidder is
    spoken to (None: the design's own JSON). ``remote_of`` gives a campaign's bidder as it stands
    now, None of a campaign that is gone; without it, a bidder is let go when long not asked.
    ``draw`` is uniform from 0 up to 1, for probes and pauses; ``clock`` gives Unix seconds, for
    signatures. Use it as a context, or call `start` and `close`.
    """

    def __init__(
        self,
        *,
        secret_of: Callable[[CompanyId], str],
        speech_for: Callable[[Remote], BidSpeech] | None = None,
        remote_of: Callable[[CampaignId], Remote | None] | None = None,
        limits: BidLimits | None = None,
        allow_private_addresses: bool = False,
        draw: Callable[[], float] = random,
        clock: Callable[[], float] = time,
        resolve: Resolve = resolve_host,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits or BidLimits()
        self._secret_of = secret_of
        plain = PlainSpeech()
        self._speech_for = speech_for or (lambda _remote: plain)
        self._remote_of = remote_of
        self._draw = draw
        self._clock = clock
        self._dialler = Dialler(
            allow_private_addresses=allow_private_addresses,
            remember_s=self._limits.dns_s,
            resolve=resolve,
            tls=tls,
        )
        self._sockets = BidSockets(self._dialler)
        self._room = Room(self._limits.max_connections)
        self._pings = PingWriter()
        self._seats: dict[CampaignId, Seat] = {}
        self._lines: dict[_LineKey, Line] = {}
        self._past: Counter[Reason] = Counter()
        self._past_bids = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deadlines: Deadlines
        self._outbox: Outbox
        self._sweeping: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin; must run in the loop that will ask."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._deadlines = Deadlines(self._loop)
            self._outbox = Outbox(self._loop)
            self._sweeping = self._loop.call_later(SWEEP_S, self._sweep)

    async def close(self) -> None:
        """End every connection; whoever is being asked has not answered. Safe to repeat."""
        self._loop = None
        if self._sweeping is not None:
            self._sweeping.cancel()
        lines, self._lines = list(self._lines.values()), {}
        await asyncio.gather(*(line.close() for line in lines), *self._closing)
        if self._sweeping is not None:
            self._deadlines.close()
        await self._sockets.close()
        await self._dialler.close()

    async def ask(
        self, question: Question, asked: Sequence[Asked], deadline: float
    ) -> Sequence[Said]:
        """Ask all at once; one word for each, in order, ``closing_ms`` before the deadline.

        Raises RuntimeError when not started.
        """
        answered: asyncio.Future[Sequence[Said]] = asyncio.get_running_loop().create_future()

        def told(said: Sequence[Said]) -> None:
            if not answered.done():
                answered.set_result(said)

        auction = self.begin(question, asked, deadline, told)
        try:
            return await answered
        finally:
            auction.abandon()

    def begin(
        self,
        question: Question,
        asked: Sequence[Asked],
        deadline: float,
        told: Callable[[Sequence[Said]], None],
    ) -> Round:
        """Ask all at once; ``told`` hears one word for each, in order, by the same time.

        Gives the round, so that it can be abandoned. Raises RuntimeError when not started.
        """
        loop = self._loop
        if loop is None:
            raise RuntimeError("the bidders are not started")
        limits, now = self._limits, loop.time()
        end = deadline - limits.closing_ms / 1_000
        network_s = limits.network_ms / 1_000
        left_ms = int((end - now - network_s) * 1_000)
        auction = Round(len(asked), told)
        seats, calls = self._seats, auction.calls
        try:
            for index, one in enumerate(asked):
                remote = one.remote
                seat = seats.get(one.campaign_id)
                if seat is None or seat.remote is not remote:
                    seat = self._seat(one, now)
                time_ms = left_ms if left_ms < remote.timeout_ms else remote.timeout_ms
                refusal = self._refusal(seat, time_ms, now)
                if refusal is not None:
                    seat.count(refusal)
                    auction.fill(index, _turned_away(one, refusal))
                    continue
                due = now + time_ms / 1_000 + network_s
                call = Call(auction, question, index, one, seat, time_ms, due)
                calls.append(call)  # before it goes anywhere
                seat.line.place(call)
        except BaseException:
            auction.abandon()
            raise
        auction.close(self._deadlines)
        return auction

    def health(self) -> Mapping[str, BidderHealth]:
        """Tell of each campaign's bidder, by the campaign's id; not of those long not asked."""
        return campaign_health(self._seats)

    def campaigns(self) -> list[CampaignId]:
        """The campaigns whose bidders are asked at present."""
        return list(self._seats)

    def health_of(self, campaign_id: CampaignId) -> BidderHealth | None:
        """Tell of one campaign's bidder; None of one long not asked."""
        seat = self._seats.get(campaign_id)
        return None if seat is None else seat.health()

    def figures(self) -> BiddingFigures:
        """Count what all of them did."""
        reasons = Counter(self._past)
        for seat in self._seats.values():
            reasons.update(seat.reasons)
        lines = list(self._lines.values())
        return BiddingFigures(
            bids=self._past_bids + sum(seat.bids for seat in self._seats.values()),
            reasons=reasons,
            connections=sum(line.connections for line in lines),
            waiting=sum(line.waiting for line in lines),
            lines=Counter(line.breaker.state for line in lines),
        )

    # --- who is asked -----------------------------------------------------------------------------

    def _refusal(self, seat: Seat, time_ms: int, now: float) -> Reason | None:
        """Say why a bidder is not asked this time; None if it is."""
        seat.asked_at = now
        if time_ms < self._limits.least_ms:
            return Reason.BIDDER_NO_TIME
        breaker = seat.line.breaker
        if breaker.probability >= 1.0:
            breaker.admitted_at = now
        elif not breaker.admits(now, self._draw()):
            return Reason.BIDDER_RESTING
        if seat.bucket is None or seat.bucket.take(now):
            return None
        return Reason.BIDDER_BUSY

    def _seat(self, asked: Asked, now: float) -> Seat:
        """Find a campaign's seat, or make it: anew where its remote has changed."""
        seat = self._seats.get(asked.campaign_id)
        if seat is not None:
            if seat.remote == asked.remote:
                seat.remote = asked.remote  # so that it is recognised at once the next time
                return seat
            self._forget(asked.campaign_id)
        line, letter = self._reach(asked)
        seat = Seat(asked.company_id, asked.remote, line, letter, now, self._clock)
        self._seats[asked.campaign_id] = seat
        return seat

    def _reach(self, asked: Asked) -> tuple[Line, Letter | None]:
        """Find the line to a campaign's bidder, and what is needed to write to it."""
        remote, company_id = asked.remote, asked.company_id
        url = remote.url or ""
        try:
            if url.lower().startswith(("ws://", "wss://")) != remote.stream:
                raise ValueError("does not go with the way of asking")
            place = read_place(url)
            signer = Signer(self._secret_of(company_id))
            speech = None if remote.stream else self._speech_for(remote)
        except Exception as fault:  # a saved campaign may be older than a rule it breaks
            log.warning(
                "bidder_unreachable", campaign_id=asked.campaign_id, fault=type(fault).__name__
            )
            return Unreachable("the URL or the dialect cannot be used"), None
        letter: Letter | None = None
        if isinstance(speech, PlainSpeech):
            letter = PlainLetter(speech, signer, place, self._clock)
        elif speech is not None:
            letter = Letter(speech, signer, place, self._clock)
        line = self._lines.get((company_id, url))
        if line is None:
            line = self._lines[company_id, url] = (
                HttpPool(place, self._dialler, self._room, self._limits, self._outbox)
                if letter is not None
                else self._stream(url, signer)
            )
        return line, letter

    def _stream(self, url: str, signer: Signer) -> StreamLine:
        return StreamLine(
            url,
            self._sockets,
            self._room,
            self._limits,
            signer=signer,
            pings=self._pings,
            draw=self._draw,
            clock=self._clock,
        )

    # --- who is forgotten -------------------------------------------------------------------------

    def _sweep(self) -> None:
        loop = self._loop
        if loop is None:
            return
        self._sweeping = loop.call_later(SWEEP_S, self._sweep)
        now = loop.time()
        for campaign_id, seat in list(self._seats.items()):
            if now - seat.asked_at > self._limits.forget_s or self._is_over(campaign_id, seat):
                self._forget(campaign_id)
        used = {id(seat.line) for seat in self._seats.values()}
        for key, line in list(self._lines.items()):
            if id(line) in used:
                line.sweep(now)
            else:
                del self._lines[key]
                closing = loop.create_task(line.close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    def _is_over(self, campaign_id: CampaignId, seat: Seat) -> bool:
        """Tell whether a campaign is gone, or its bidder is elsewhere by now."""
        if self._remote_of is None:
            return False
        remote = self._remote_of(campaign_id)
        return remote is None or remote.url != seat.remote.url

    def _forget(self, campaign_id: CampaignId) -> None:
        """Let a seat go; what was counted stays counted."""
        seat = self._seats.pop(campaign_id)
        self._past.update(seat.reasons)
        self._past_bids += seat.bids


def _turned_away(asked: Asked, reason: Reason) -> Said:
    return Said(campaign_id=asked.campaign_id, share=asked.share, reason=reason)
