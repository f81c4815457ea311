"""A post: the offer claimed, the lead written down, delivered down the ranks, booked, answered.

Nothing is answered before it is durable, and whatever happens to this worker, the rows it leaves
let another one go on. Source: rules §2, §7, §8.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct
from uuid_utils import uuid7

from exchange.core.cascade import Assignment, Turn, next_assignments, why_unsold
from exchange.core.lifecycle import DONE, Event, State, advance
from exchange.core.market import Market
from exchange.core.model import Campaign, CompanyId, DeliveryId, LeadId, Offer
from exchange.core.reasons import Reason
from exchange.core.standing import Verdict
from exchange.flow.announce import Announcer
from exchange.flow.deliver import Incident, deliver
from exchange.flow.faults import Conflict, Gone, Invalid, LostLead, NotFound, Unavailable
from exchange.flow.ports import (
    Attempt,
    Books,
    Claim,
    Clock,
    Contact,
    Courier,
    LeadStatus,
    LegResult,
    Offers,
    OpenLead,
    Parcel,
    PostRequest,
    PostResult,
    Receipts,
    Reservation,
    Settlement,
    Vault,
)

_DELIVERY_NAMESPACE: Final = UUID("5bb4b6f0-3b5e-4c0c-9a3f-6b1e8d1a7c11")
"""Makes one delivery id of a lead and a company; constant, so that all workers make the same."""

POLL_S: Final = 0.05
"""How often a repeated post looks whether another worker has finished the first."""

WAIT_MARGIN_S: Final = 10.0
"""How much longer than the processing limit a repeated post waits for the first one's answer."""

RECOVERY_S: Final = 10.0
"""The least time an adopted lead is given, however late it is found."""


class PostTerms(Struct, frozen=True, kw_only=True):
    """Limits of a post, in seconds: the whole processing, and the base of the backoff."""

    limit_s: float
    backoff_s: float


class Posting:
    """Sells posted leads, and goes on with those other workers left."""

    def __init__(
        self,
        *,
        owner: str,
        market: Market,
        offers: Offers,
        receipts: Receipts,
        books: Books,
        vault: Vault,
        courier: Courier,
        announcer: Announcer,
        clock: Clock,
        terms: PostTerms,
        today: Callable[[datetime], date],
        jitter: Callable[[], float],
        incident: Incident,
        on_error: Callable[[LeadId, BaseException], None],
    ) -> None:
        self._owner = owner
        self._market = market
        self._offers = offers
        self._receipts = receipts
        self._books = books
        self._vault = vault
        self._courier = courier
        self._announcer = announcer
        self._clock = clock
        self._terms = terms
        self._today = today
        self._jitter = jitter
        self._incident = incident
        self._on_error = on_error
        self._running: dict[LeadId, asyncio.Task[PostResult]] = {}
        self.stranded: set[LeadId] = set()
        self.is_draining = False

    @property
    def running(self) -> int:
        """How many leads this worker is delivering."""
        return len(self._running)

    async def post(self, request: PostRequest) -> PostResult:
        """Sell a pinged lead. The same post again gets the same answer, here or elsewhere."""
        offer = await self._find_offer(request)
        if self._clock.now() >= offer.expires_at:
            return await self._answer_late(request)
        check_unchanged(offer, request)
        lead_id = LeadId(str(uuid7()))
        claim = Claim(
            lead_id=lead_id,
            request=request,
            offer=offer,
            sealed=self._vault.seal(request.contact, lead_id),
            owner=self._owner,
            deadline_at=request.received_at + timedelta(seconds=self._terms.limit_s),
        )
        try:
            standing = await self._books.claim(claim)
        except BaseException:
            # The seller hung up or the store was lost: the lead may be written down all the same.
            self.stranded.add(lead_id)
            raise
        if standing is not None:
            return await self._answer_again(request, standing)
        return await self._see_through(
            OpenLead(
                lead_id=lead_id,
                offer=offer,
                contact=request.contact,
                contact_keys=request.contact_keys,
                deadline_at=claim.deadline_at,
                legs=(State.RECEIVED,) * len(offer.legs_cents),
            )
        )

    async def resume(self, lead: OpenLead) -> None:
        """Go on with a lead whose worker died; its outcome is for whoever asks again."""
        least = self._clock.now() + timedelta(seconds=RECOVERY_S)
        if lead.lead_id not in self._running and not self.is_draining:
            self.stranded.discard(lead.lead_id)
            self._start(msgspec.structs.replace(lead, deadline_at=max(lead.deadline_at, least)))

    async def drain(self, deadline_s: float) -> bool:
        """Wait until no lead is in delivery here; False if some were left to another worker.

        Those are given up before the connections to companies are closed: an answer that we cut
        off ourselves is nobody's failure.
        """
        self.is_draining = True
        if not self._running:
            return True
        _, late = await asyncio.wait(list(self._running.values()), timeout=deadline_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return not late

    async def _find_offer(self, request: PostRequest) -> Offer:
        away: Unavailable | None = None
        offer = None
        try:
            offer = await self._offers.get(request.ping_id)
        except Unavailable as error:
            away = error
        if offer is None:
            receipt = await self._receipts.get(request.ping_id)
            offer = None if receipt is None else receipt.offer
        if offer is None and away is not None:
            # The receipt may still be on its way from another worker: nobody can say yet.
            raise away
        if offer is None or offer.seller_id != request.seller_id:
            reason = Reason.OFFER_UNKNOWN
            raise NotFound(reason.message, field="ping_id", code=reason.code)
        return offer

    async def _answer_late(self, request: PostRequest) -> PostResult:
        standing = await self._books.claimed(
            request.ping_id, request.seller_id, request.idempotency_key
        )
        if standing is None:
            reason = Reason.OFFER_EXPIRED
            raise Gone(reason.message, field="ping_id", code=reason.code)
        return await self._answer_again(request, standing)

    async def _answer_again(self, request: PostRequest, standing: LeadStatus) -> PostResult:
        if standing.seller_id != request.seller_id or standing.body_hash != request.body_hash:
            reason = Reason.POSTED_BEFORE
            if standing.ping_id != request.ping_id:
                raise Conflict(
                    "This Idempotency-Key was used for another post.",
                    field="Idempotency-Key",
                    code="idempotency_conflict",
                )
            raise Conflict(reason.message, field="ping_id", code=reason.code)
        return standing.answer or await self._await_answer(standing.lead_id)

    async def _await_answer(self, lead_id: LeadId) -> PostResult:
        """Wait for the answer of a lead in delivery, here or on another worker."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._terms.limit_s + WAIT_MARGIN_S
        while loop.time() < until:
            if (task := self._running.get(lead_id)) is not None:
                await asyncio.wait({task}, timeout=until - loop.time())
            status = await self._books.status(lead_id)
            if status is not None and status.answer is not None:
                return status.answer
            await asyncio.sleep(POLL_S)
        raise Unavailable("this lead is still being delivered; post it again for its outcome")

    async def _see_through(self, lead: OpenLead) -> PostResult:
        """Deliver in a task of its own, so that a seller who hangs up stops nothing."""
        try:
            return await asyncio.shield(self._start(lead))
        except LostLead:
            return await self._await_answer(lead.lead_id)

    def _start(self, lead: OpenLead) -> asyncio.Task[PostResult]:
        task = asyncio.create_task(self._run(lead), name=f"lead {lead.lead_id}")
        self._running[lead.lead_id] = task
        task.add_done_callback(lambda done: self._ended(lead.lead_id, done))
        return task

    def _ended(self, lead_id: LeadId, task: asyncio.Task[PostResult]) -> None:
        self._running.pop(lead_id, None)
        if task.cancelled():
            self.stranded.add(lead_id)
        elif (error := task.exception()) is not None and not isinstance(error, LostLead):
            self.stranded.add(lead_id)
            self._on_error(lead_id, error)

    async def _run(self, lead: OpenLead) -> PostResult:
        """Take a lead down the ranks until every leg is sold or nobody is left, and close it."""
        run = _Run(lead)
        waiting = list(lead.open)
        timed_out = False
        while True:
            assignments = waiting or next_assignments(lead.offer, run.turns, self._market.policy)
            if not assignments or (lead.contact is None and not waiting):
                break
            if self._clock.now() >= lead.deadline_at and not waiting:
                timed_out = True
                break
            reserved = bool(waiting)
            waiting = []
            await _all(self._turn(run, a, lead.contact, reserved) for a in assignments)
        untried = any(turn.reason is Reason.PROCESSING_LIMIT for turn in run.turns)
        return await self._close(run, timed_out=timed_out or untried)

    async def _turn(
        self, run: _Run, assignment: Assignment, contact: Contact | None, reserved: bool
    ) -> None:
        """One company's turn at one leg: room held, delivered, booked."""
        lead, ranked = run.lead, assignment.ranked
        campaign = self._market.campaign(ranked.campaign_id)
        delivery_id = delivery_id_of(lead.lead_id, ranked.company_id)
        if reserved and (campaign is None or contact is None):
            attempt = Attempt(
                result="refused", reason=Reason.UNREADABLE_LEAD if campaign else Reason.INACTIVE
            )
            await self._settle(run, assignment, delivery_id, attempt)
            return
        if campaign is None or contact is None:
            run.no_room(assignment, Reason.INACTIVE)
            return
        if not reserved and not await self._reserve(run, assignment, delivery_id, campaign):
            return
        loop = asyncio.get_running_loop()
        left_s = (lead.deadline_at - self._clock.now()).total_seconds()
        attempt = await deliver(
            self._courier,
            campaign,
            Parcel(
                delivery_id=delivery_id,
                lead_id=lead.lead_id,
                campaign_id=campaign.campaign_id,
                vertical=lead.offer.vertical,
                price_cents=ranked.charged_cents,
                attributes=lead.offer.attributes,
                contact=contact,
                test=lead.offer.test,
            ),
            deadline=loop.time() + left_s,
            backoff_s=self._terms.backoff_s,
            jitter=self._jitter,
            incident=self._incident,
        )
        await self._settle(run, assignment, delivery_id, attempt)

    async def _reserve(
        self, run: _Run, assignment: Assignment, delivery_id: DeliveryId, campaign: Campaign
    ) -> bool:
        """Check the gate again and hold the company's room; False where there is none."""
        standing = self._market.standings.get(assignment.ranked.company_id)
        if standing is None or standing.verdict is Verdict.EXCLUDED:
            run.no_room(assignment, Reason.CRM_GATE)
            return False
        now = self._clock.now()
        outcome, change = await self._books.reserve(
            Reservation(
                delivery_id=delivery_id,
                lead_id=run.lead.lead_id,
                assignment=assignment,
                owner=self._owner,
                now=now,
                day=self._today(now),
                campaign=campaign,
                test=run.lead.offer.test,
            )
        )
        if outcome == "lost":
            raise LostLead
        if outcome != "reserved":
            run.no_room(assignment, _NO_ROOM.get(outcome, Reason.INACTIVE))
            return False
        run.advance(assignment.leg, Event.CLAIMED)
        if change is not None:
            await self._announcer.tell(change)
        return True

    async def _settle(
        self, run: _Run, assignment: Assignment, delivery_id: DeliveryId, attempt: Attempt
    ) -> None:
        accepted = attempt.result == "accepted"
        run.advance(assignment.leg, Event.ACCEPTED if accepted else Event.NEXT_RANK)
        settled, change = await self._books.settle(
            Settlement(
                delivery_id=delivery_id,
                owner=self._owner,
                result=attempt.result,
                reason=attempt.reason,
                kind=attempt.kind,
                reference=attempt.reference,
                detail=attempt.detail,
                leg_state=run.states[assignment.leg],
                now=self._clock.now(),
                rejection_window_s=self._market.policy.rejection_window_s,
                attempts=attempt.attempts,
            )
        )
        if not settled:
            raise LostLead
        run.turned(assignment, attempt)
        if change is not None:
            await self._announcer.tell(change)

    async def _close(self, run: _Run, *, timed_out: bool) -> PostResult:
        lead = run.lead
        event = Event.LIMIT_PASSED if timed_out else Event.NO_RANK_LEFT
        if lead.contact is None:
            event = Event.FOUND_INVALID
        for leg, state in enumerate(run.states):
            if state not in DONE:
                run.advance(leg, event)
        answer = run.answer()
        standing = await self._books.finish(
            lead.lead_id, self._owner, answer, run.states, self._clock.now()
        )
        if standing.status == "sold" and not lead.offer.test:
            companies = [
                lead.offer.ranks[t.place].company_id for t in run.turns if t.result == "accepted"
            ]
            await self._remember_contact(lead, companies)
        return standing

    async def _remember_contact(self, lead: OpenLead, companies: list[CompanyId]) -> None:
        """Note the sold contact in the fast store; `exchange rebuild` restores a lost note."""
        try:
            await self._offers.saw(
                lead.contact_keys,
                lead.offer.seller_id,
                companies,
                self._clock.now(),
            )
        except Unavailable as error:
            self._on_error(lead.lead_id, error)


_NO_ROOM: Final = {
    "inactive": Reason.INACTIVE,
    "balance": Reason.BALANCE,
    "cap": Reason.CAP,
    "budget": Reason.BUDGET,
}


class _Run:
    """What a lead has come to so far, while it is taken down the ranks."""

    def __init__(self, lead: OpenLead) -> None:
        self.lead = lead
        self.turns = list(lead.turns)
        self.states = list(lead.legs)
        self.sold_cents = dict(lead.sold_cents)

    def advance(self, leg: int, event: Event) -> None:
        if event is Event.CLAIMED and self.states[leg] is State.DELIVERING:
            return  # A further company's turn at a leg that is being delivered already.
        self.states[leg] = advance(self.states[leg], event)

    def no_room(self, assignment: Assignment, reason: Reason) -> None:
        self.turns.append(
            Turn(leg=assignment.leg, place=assignment.place, result="no_room", reason=reason)
        )

    def turned(self, assignment: Assignment, attempt: Attempt) -> None:
        self.turns.append(
            Turn(
                leg=assignment.leg,
                place=assignment.place,
                result=attempt.result,
                reason=attempt.reason,
            )
        )
        if attempt.result == "accepted":
            self.sold_cents[assignment.leg] = assignment.seller_cents

    def answer(self) -> PostResult:
        """What the seller reads: each leg, and the sum of those sold."""
        legs = tuple(self._leg(leg) for leg in range(len(self.states)))
        sold = [leg.price_cents for leg in legs if leg.price_cents is not None]
        return PostResult(
            ping_id=self.lead.offer.ping_id,
            lead_id=self.lead.lead_id,
            status="sold" if sold else "unsold",
            price_cents=sum(sold) if sold else None,
            legs=legs,
            reason=None if sold else legs[0].reason,
        )

    def _leg(self, leg: int) -> LegResult:
        leg_id = f"{self.lead.offer.ping_id}-{leg + 1}"
        if (price := self.sold_cents.get(leg)) is not None:
            return LegResult(leg_id=leg_id, status="sold", price_cents=price)
        state = self.states[leg]
        if state is State.TIMED_OUT:
            return LegResult(leg_id=leg_id, status="timed_out", reason=Reason.PROCESSING_LIMIT)
        if state is State.INVALID:
            return LegResult(leg_id=leg_id, status="unsold", reason=Reason.UNREADABLE_LEAD)
        reason = why_unsold([turn for turn in self.turns if turn.leg == leg])
        return LegResult(leg_id=leg_id, status="unsold", reason=reason)


def delivery_id_of(lead_id: LeadId, company_id: CompanyId) -> DeliveryId:
    """The one delivery id of a lead and a company, the idempotency key on the wire."""
    return DeliveryId(str(uuid5(_DELIVERY_NAMESPACE, f"{lead_id}:{company_id}")))


def check_unchanged(offer: Offer, request: PostRequest) -> None:
    """Refuse a post whose attributes or contact are not what was pinged. Raises Invalid."""
    pinged = msgspec.json.decode(offer.attributes)
    for name, value in request.attributes.items():
        if name not in pinged:
            raise Invalid(
                "was not pinged; a post repeats the ping's attributes or leaves them out",
                field=f"attributes.{name}",
                code=Reason.ATTRIBUTE_CHANGED.code,
            )
        if not _same(pinged[name], value):
            reason = Reason.ATTRIBUTE_CHANGED
            raise Invalid(reason.message, field=f"attributes.{name}", code=reason.code)
    for name, digest in offer.contact_hashes.items():
        if request.contact_hashes.get(name) != digest:
            reason = Reason.CONTACT_MISMATCH
            raise Invalid(reason.message, field=f"contact.{name}", code=reason.code)


def _same(pinged: object, posted: object) -> bool:
    """Whether two attribute values agree; a form sends every value as text."""
    if isinstance(posted, str) and not isinstance(pinged, str):
        return posted == msgspec.json.encode(pinged).decode()
    return type(pinged) is type(posted) and pinged == posted


async def _all(turns: Iterable[Coroutine[None, None, None]]) -> None:
    """Let every turn of a round end, whatever the others do; then raise the first error."""
    results = await asyncio.gather(*turns, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
