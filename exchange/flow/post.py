"""A post: its offer found, the lead claimed and written down, sold, and answered.

Nothing is answered before it is durable, and whatever happens to this worker, the rows it leaves
let another one go on. Source: rules §2, §7, §8.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Final

import msgspec
from uuid_utils import uuid7

from exchange.core.lifecycle import State
from exchange.core.model import LeadId, Offer
from exchange.core.quality.grading import Grading
from exchange.core.reasons import Reason
from exchange.flow.faults import Conflict, Gone, Invalid, LostLead, NotFound, Unavailable
from exchange.flow.ports import (
    Books,
    Claim,
    Clock,
    LeadStatus,
    Offers,
    OpenLead,
    PostRequest,
    PostResult,
    Receipts,
    Vault,
)
from exchange.flow.quality import grade_post, refusal_of
from exchange.flow.sell import Selling
from exchange.flow.unchanged import check_unchanged

POLL_S: Final = 0.05
"""How often a repeated post looks whether another worker has finished the first."""

WAIT_MARGIN_S: Final = 10.0
"""How much longer than the processing limit a repeated post waits for the first one's answer."""

MOST_REFUSED: Final = 5
"""Contacts of a ping that may be refused for their quality before its offer is closed: enough to
mend a typing error, too few to try contacts until one passes."""

RECOVERY_S: Final = 10.0
"""The least time an adopted lead is given, however late it is found."""


class Posting:
    """Sells posted leads, and goes on with those other workers left."""

    def __init__(
        self,
        *,
        owner: str,
        offers: Offers,
        receipts: Receipts,
        books: Books,
        vault: Vault,
        selling: Selling,
        clock: Clock,
        limit_s: float,
        on_error: Callable[[LeadId, BaseException], None],
        grading: Grading | None = None,
    ) -> None:
        """``limit_s`` is the longest a lead may be processed; ``grading`` looks at contacts."""
        self._owner = owner
        self._offers = offers
        self._receipts = receipts
        self._books = books
        self._vault = vault
        self._selling = selling
        self._clock = clock
        self._limit_s = limit_s
        self._on_error = on_error
        self._grading = grading
        self._running: dict[LeadId, asyncio.Task[PostResult | LeadStatus]] = {}
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
        if self._grading is not None:
            offer = grade_post(self._grading, offer, request)
            if offer.contact_flaws and (why := refusal_of(self._grading, offer)) is not None:
                return await self._answer_refused(request, offer, why)
        lead = OpenLead(
            lead_id=LeadId(str(uuid7())),
            offer=offer,
            contact=request.contact,
            contact_keys=request.contact_keys,
            deadline_at=request.received_at + timedelta(seconds=self._limit_s),
            legs=(State.RECEIVED,) * len(offer.legs_cents),
        )
        return await self._see_through(request, lead)

    async def resume(self, lead: OpenLead) -> None:
        """Go on with a lead whose worker died; its outcome is for whoever asks again."""
        least = self._clock.now() + timedelta(seconds=RECOVERY_S)
        if lead.lead_id not in self._running and not self.is_draining:
            self.stranded.discard(lead.lead_id)
            lead = msgspec.structs.replace(lead, deadline_at=max(lead.deadline_at, least))
            self._start(lead, self._selling.sell(lead))

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

    async def _answer_refused(self, request: PostRequest, offer: Offer, why: Invalid) -> PostResult:
        """Refuse a contact, unless this lead was taken before: then the answer stands."""
        standing = await self._books.claimed(
            request.ping_id, request.seller_id, request.idempotency_key
        )
        if standing is None:
            try:
                why.details["contacts_left"] = await self._count_refused(offer)
            except Unavailable:
                # Nobody counts while the fast store is away; what is wrong is told all the same.
                raise why from None
            raise why
        return await self._answer_again(request, standing)

    async def _count_refused(self, offer: Offer) -> int:
        """Count a refused contact; gives how many more are looked at. After the last the offer is
        closed: kept as one that has expired, for as long as it would have been binding.
        """
        now = self._clock.now()
        ttl_s = math.ceil((offer.expires_at - now).total_seconds()) + 1
        left = MOST_REFUSED - await self._offers.count_refused(offer.ping_id, ttl_s)
        if left <= 0:
            closed = msgspec.structs.replace(offer, contact_flaws=(), expires_at=now)
            await self._offers.put(offer.ping_id, msgspec.json.encode(closed), ttl_s)
        return max(left, 0)

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
        until = loop.time() + self._limit_s + WAIT_MARGIN_S
        while loop.time() < until:
            if (task := self._running.get(lead_id)) is not None:
                await asyncio.wait({task}, timeout=until - loop.time())
            status = await self._books.status(lead_id)
            if status is not None and status.answer is not None:
                return status.answer
            await asyncio.sleep(POLL_S)
        raise Unavailable("this lead is still being delivered; post it again for its outcome")

    async def _see_through(self, request: PostRequest, lead: OpenLead) -> PostResult:
        """Sell in a task of its own, so that a seller who hangs up stops nothing."""
        task = self._start(lead, self._claim_and_sell(request, lead))
        try:
            done = await asyncio.shield(task)
        except LostLead:
            return await self._await_answer(lead.lead_id)
        except asyncio.CancelledError:
            if not (task.cancelled() and self.is_draining):
                raise
            raise Unavailable("this worker is stopping; post again for the outcome") from None
        if isinstance(done, LeadStatus):
            return await self._answer_again(request, done)
        return done

    async def _claim_and_sell(
        self, request: PostRequest, lead: OpenLead
    ) -> PostResult | LeadStatus:
        """Write the lead down, with its sale where that is certain; else sell it step by step.

        Gives what stands where the ping or the idempotency key was posted before.
        """
        outright = self._selling.outright(lead)
        claimed = await self._books.claim(
            Claim(
                lead_id=lead.lead_id,
                request=request,
                offer=lead.offer,
                sealed=self._vault.seal(request.contact, lead.lead_id),
                owner=self._owner,
                deadline_at=lead.deadline_at,
                outright=outright,
            )
        )
        if claimed.standing is not None:
            return claimed.standing
        if claimed.refusal is not None:
            return claimed.refusal
        if outright is None or not claimed.is_sold:
            return await self._selling.sell(lead)
        await self._selling.sold(lead, outright, claimed.change)
        return outright.answer

    def _start(
        self, lead: OpenLead, selling: Coroutine[None, None, PostResult | LeadStatus]
    ) -> asyncio.Task[PostResult | LeadStatus]:
        task = asyncio.create_task(selling, name=lead.lead_id)
        self._running[lead.lead_id] = task
        task.add_done_callback(partial(self._ended, lead.lead_id))
        return task

    def _ended(self, lead_id: LeadId, task: asyncio.Task[PostResult | LeadStatus]) -> None:
        self._running.pop(lead_id, None)
        if task.cancelled():
            self.stranded.add(lead_id)
        elif (error := task.exception()) is not None and not isinstance(error, LostLead):
            # It may be written down all the same, even where the store was lost meanwhile.
            self.stranded.add(lead_id)
            self._on_error(lead_id, error)
